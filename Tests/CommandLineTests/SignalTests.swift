import Foundation
import GRDB
import Glibc
import Testing

/// Ctrl-C and its like: the run ends, the database is as before.
@Suite struct SignalTests {
    private let folder: TemporaryFolder
    /// Long enough that an import has begun to write before it has seen the end.
    private let long = FtraceLog(calls: 3000, seed: 2)

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(FtraceLog(calls: 40).text, to: "log.txt")
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func expectInterrupted(_ tool: RunningTool, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let result = try tool.finish(sourceLocation: sourceLocation)
        #expect(result.exitCode == 130, sourceLocation: sourceLocation)
        #expect(
            result.errors.hasSuffix("iommu-trace: interrupted; the database is as it was before\n"),
            "\(result.errors)", sourceLocation: sourceLocation)
        #expect(result.output == "", sourceLocation: sourceLocation)
    }

    /// Starts an import from a pipe that stays open, and waits until it writes into its transaction.
    private func startImport(of text: Data) throws -> RunningTool {
        let tool = try RunningTool(["import", "-"], directory: folder)
        tool.write(text)
        try tool.wait(for: "a journal") { folder.exists("iommu-trace.db-journal") }
        return tool
    }

    @Test(arguments: [SIGINT, SIGTERM]) func importIntoNewDatabase(signal: Int32) throws {
        let tool = try startImport(of: long.data)
        tool.send(signal)
        try expectInterrupted(tool)
        #expect(try folder.files == ["log.txt"])
    }

    @Test(arguments: [SIGINT, SIGTERM]) func importIntoDatabaseWithTraces(signal: Int32) throws {
        #expect(try run("import", "log.txt").exitCode == 0)
        let before = try DatabaseContents(folder)
        let tool = try startImport(of: long.data)
        tool.send(signal)
        try expectInterrupted(tool)
        #expect(try folder.files == ["iommu-trace.db", "log.txt"])
        #expect(try DatabaseContents(folder) == before)
    }

    /// While the tool waits for the very first byte, from a pipe or for whoever shall write into a named one.
    @Test(arguments: [SIGINT, SIGTERM], [["import", "-"], ["import", "pipe"], ["-"], ["sql", "-", "--db", "x.db"]])
    func noByteArrives(signal: Int32, arguments: [String]) throws {
        #expect(mkfifo(folder["pipe"], 0o600) == 0)
        #expect(try run("import", "log.txt", "--db", "x.db").exitCode == 0)
        let files = try folder.files
        let tool = try RunningTool(arguments, directory: folder)
        try tool.waitUntilItCatchesSignals()
        tool.send(signal)
        try expectInterrupted(tool)
        #expect(try folder.files == files)
    }

    /// Too little has arrived to know whether it is a log at all, and the rest of the line does not come.
    @Test(arguments: [FtraceLog(calls: 2).data, Data("# tracer: no".utf8), FtraceLog(calls: 300).data.gzipped])
    func littleHasArrived(text: Data) throws {
        let tool = try RunningTool(["import", "-"], directory: folder)
        try tool.waitUntilItCatchesSignals()
        tool.write(text)
        tool.send(SIGINT)
        try expectInterrupted(tool)
        #expect(try folder.files == ["log.txt"])
    }

    @Test func oneShot() throws {
        let tool = try RunningTool(["-", "--progress", "always"], directory: folder)
        tool.write(long.data)
        try tool.waitForErrors(containing: "import: ")
        tool.send(SIGINT)
        try expectInterrupted(tool)
        #expect(try folder.files == ["log.txt"])
    }

    /// After the first of many progress lines.
    @Test(arguments: [SIGINT, SIGTERM]) func replay(signal: Int32) throws {
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try run("replay", "--policy", "sync").exitCode == 0)
        try repeatOperations(times: 5000)
        let replays = try run("sql", "SELECT * FROM replay_domain", "--format", "csv").output
        let tool = try RunningTool(["replay", "--progress", "always"], directory: folder)
        try tool.waitForErrors(containing: "replay: ")
        tool.send(signal)
        try expectInterrupted(tool)
        #expect(try run("sql", "SELECT * FROM replay_domain", "--format", "csv").output == replays)
        #expect(try run("sql", "SELECT count(*) FROM replay", "--format", "csv").output == "count(*)\n1\n")
        #expect(try run("sql", "PRAGMA integrity_check", "--format", "csv").output == "integrity_check\nok\n")
        #expect(try run("sql", "PRAGMA foreign_key_check", "--format", "csv").records.count == 1)
    }

    /// The former sweep stays, nothing of the new one does.
    @Test(arguments: [SIGINT, SIGTERM]) func sweep(signal: Int32) throws {
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try run("sweep", "--policies", "batch=2..8").exitCode == 0)
        try repeatOperations(times: 5000)
        let points = try run("sql", "SELECT * FROM sweep_point", "--format", "csv").output
        let tool = try RunningTool(["sweep", "--progress", "always"], directory: folder)
        try tool.waitForErrors(containing: "sweep: ")
        tool.send(signal)
        try expectInterrupted(tool)
        #expect(try run("sql", "SELECT * FROM sweep_point", "--format", "csv").output == points)
        #expect(try run("sql", "SELECT count(*) FROM sweep", "--format", "csv").output == "count(*)\n1\n")
        #expect(try run("sql", "PRAGMA integrity_check", "--format", "csv").output == "integrity_check\nok\n")
    }

    /// Makes a long trace of a short one much faster than an import would.
    private func repeatOperations(times: Int) throws {
        let names = [
            "trace", "time_ns", "kind", "cpu", "task", "domain", "device", "iova", "size", "result", "paddr",
            "since_entry_ns", "detail", "flags", "line",
        ].joined(separator: ", ")
        try folder.edit(
            sql: """
                WITH RECURSIVE time(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM time WHERE n < \(times))
                INSERT INTO operation (\(names))
                SELECT \(names.replacing("time_ns", with: "time_ns + n * 1000000")) FROM time, operation
                WHERE kind IN (SELECT id FROM operation_kind WHERE name IN ('map', 'unmap_fast', 'sync'));
                UPDATE trace SET operations = (SELECT count(*) FROM operation),
                    last_ns = (SELECT max(time_ns) FROM operation);
                """)
    }

    @Test func query() throws {
        #expect(try run("import", "log.txt").exitCode == 0)
        let tool = try RunningTool(
            ["sql", "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n"],
            directory: folder)
        try tool.waitUntilItCatchesSignals()
        // A query is interrupted while it runs, which begins some time after this.
        try tool.wait(for: "its end") {
            tool.send(SIGINT)
            return tool.hasEnded
        }
        #expect(try tool.finish().exitCode == 130)
    }

    // MARK: - Killed

    @Test func killedImportIntoNewDatabase() throws {
        let tool = try startImport(of: long.data)
        tool.send(SIGKILL)
        #expect(try tool.end() == .signal(SIGKILL))
        #expect(try run("info").exitCode == 4)
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try DatabaseContents(folder).traces == ["log"])
    }

    @Test func killedImport() throws {
        #expect(try run("import", "log.txt").exitCode == 0)
        let before = try DatabaseContents(folder)
        let tool = try startImport(of: long.data)
        tool.send(SIGKILL)
        #expect(try tool.end() == .signal(SIGKILL))
        #expect(try DatabaseContents(folder) == before)

        try folder.write(long.data, to: "long.txt")
        #expect(try run("import", "long.txt").exitCode == 0)
        #expect(try DatabaseContents(folder).traces == ["log", "long"])
    }
}

extension RunningTool {
    /// Waits until the tool handles Ctrl-C and a polite kill itself, which it begins to do as soon as it runs.
    fileprivate func waitUntilItCatchesSignals() throws {
        let both = UInt64(1) << UInt64(SIGINT - 1) | UInt64(1) << UInt64(SIGTERM - 1)
        try wait(for: "handlers of signals") { (caughtSignals ?? 0) & both == both }
    }

    /// As the kernel shows it: a bit for each signal.
    private var caughtSignals: UInt64? {
        let status = try? String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)
        let line = status?.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }
        return line?.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) }
    }
}
