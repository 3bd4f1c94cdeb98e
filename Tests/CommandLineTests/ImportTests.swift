import Foundation
import Testing

/// What `import` takes.
@Suite struct ImportTests {
    private let folder: TemporaryFolder
    private let log = FtraceLog(calls: 40)

    init() throws { folder = try TemporaryFolder() }

    private func run(_ arguments: String..., stdin: Data = Data()) throws -> Tool.Result {
        try Tool.run(arguments, stdin: stdin, directory: folder)
    }

    /// The counts that a whole log must have become.
    private func expectWhole(_ result: Tool.Result, _ name: String, _ log: FtraceLog) throws {
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        #expect(result.output.hasPrefix("trace \(name), from "))
        #expect(result.output.contains("40 map, 40 unmap_fast, 40 sync, 2 attach, 1 marker"))
        #expect(result.output.contains("issues      none"))
        let contents = try DatabaseContents(folder)
        #expect(contents.traces == [name])
        #expect(contents.count("operation") == 123)
        #expect(contents.count("domain") == 2)
        #expect(contents.count("parse_issue") == 0)
    }

    @Test func plainText() throws {
        try folder.write(log.text, to: "nvme.txt")
        try expectWhole(run("import", "nvme.txt"), "nvme", log)
    }

    @Test func gzip() throws {
        try folder.write(log.data.gzipped, to: "nvme.txt.gz")
        try expectWhole(run("import", "nvme.txt.gz"), "nvme", log)
    }

    /// Where one member ends and the next one begins is in the middle of a line.
    @Test func severalGzipMembers() throws {
        let data = log.data
        let members = [data[..<1000], data[1000..<1001], Data(), data[1001...]].map { Data($0).gzipped }
        try folder.write(members.reduce(Data(), +), to: "nvme.gz")
        try expectWhole(run("import", "nvme.gz"), "nvme", log)
    }

    /// `gzip` takes a file that was filled up with zeros, as from a tape, for whole.
    @Test func gzipWithPadding() throws {
        try folder.write(log.data.gzipped + Data(count: 700), to: "nvme.gz")
        try expectWhole(run("import", "nvme.gz"), "nvme", log)
    }

    @Test func standardInput() throws { try expectWhole(run("import", "-", stdin: log.data), "stdin", log) }

    @Test func gzipOnStandardInput() throws {
        try expectWhole(run("import", "-", "--name", "host", stdin: log.data.gzipped), "host", log)
    }

    @Test func namedPipe() throws {
        #expect(mkfifo(folder["pipe"], 0o600) == 0)
        let tool = try RunningTool(["import", "pipe"], directory: folder)
        var descriptor: Int32 = -1
        try tool.wait(for: "a reader of the pipe") {
            descriptor = open(folder["pipe"], O_WRONLY | O_NONBLOCK | O_CLOEXEC)
            return descriptor >= 0
        }
        let pipe = FileHandle(fileDescriptor: descriptor)
        try pipe.write(contentsOf: log.data)
        try pipe.close()
        try expectWhole(tool.finish(), "pipe", log)
    }

    @Test func carriageReturns() throws {
        try folder.write(log.text.replacing("\n", with: "\r\n"), to: "nvme.txt")
        try expectWhole(run("import", "nvme.txt"), "nvme", log)
    }

    @Test func withoutLastLineFeed() throws {
        try folder.write(String(log.text.dropLast()), to: "nvme.txt")
        try expectWhole(run("import", "nvme.txt"), "nvme", log)
    }

    @Test func name() throws {
        try folder.write(log.text, to: "nvme.txt")
        try expectWhole(run("import", "nvme.txt", "--name", "strict, today"), "strict, today", log)
    }

    @Test func severalLogs() throws {
        for seed in 1...3 { try folder.write(FtraceLog(calls: 5, seed: UInt64(seed)).text, to: "\(seed).txt") }
        let result = try run("import", "1.txt", "2.txt", "3.txt")
        #expect(result.exitCode == 0)
        #expect(try DatabaseContents(folder).traces == ["1", "2", "3"])
        for name in ["1", "2", "3"] { #expect(result.output.contains("trace \(name), from \(name).txt")) }
    }

    /// Two logs of one name are told apart.
    @Test func sameNameTwice() throws {
        for seed in 1...2 {
            try FileManager.default.createDirectory(atPath: folder["\(seed)"], withIntermediateDirectories: false)
            try folder.write(FtraceLog(calls: 5, seed: UInt64(seed)).text, to: "\(seed)/log.txt")
        }
        #expect(try run("import", "1/log.txt", "2/log.txt").exitCode == 0)
        #expect(try DatabaseContents(folder).traces == ["log", "log-2"])
    }

    /// A name that somebody chose is kept to, or the log is refused; the same log again is no other.
    @Test func chosenNameThatIsTaken() throws {
        for seed in 1...2 { try folder.write(FtraceLog(calls: 5, seed: UInt64(seed)).text, to: "\(seed).txt") }
        #expect(try run("import", "1.txt", "--name", "host").exitCode == 0)
        let bytes = try folder.read("iommu-trace.db")
        let taken = try run("import", "2.txt", "--name", "host")
        #expect(taken.exitCode == 4)
        #expect(
            taken.errors
                == "iommu-trace: 2.txt: another log, 1.txt, is called 'host' already; nothing was imported: give another --name, "
                + "or forget that one first\n")
        #expect(try folder.read("iommu-trace.db") == bytes)
        let again = try run("import", "1.txt", "--name", "host")
        #expect(again.exitCode == 0)
        #expect(again.errors.contains("is in the database already, as trace host"))
        #expect(try run("import", "2.txt", "--name", "host-2").exitCode == 0)
        #expect(try DatabaseContents(folder).traces == ["host", "host-2"])
    }

    /// The bytes count, not the file's name or how it is packed.
    @Test(arguments: ["nvme.txt", "again.txt.gz", "-"])
    func sameLogTwice(second: String) throws {
        try folder.write(log.text, to: "nvme.txt")
        try folder.write(log.data.gzipped, to: "again.txt.gz")
        #expect(try run("import", "nvme.txt").exitCode == 0)
        let before = try DatabaseContents(folder)
        let result = try run("import", second, stdin: log.data)
        #expect(result.exitCode == 0)
        #expect(result.output == "")
        #expect(
            result.errors == "\(second): is in the database already, as trace nvme; nothing was changed\n")
        #expect(try DatabaseContents(folder) == before)
    }

    @Test func refusedLogAmongGoodOnes() throws {
        try folder.write(log.text, to: "1.txt")
        try folder.write("", to: "empty.txt")
        try folder.write(FtraceLog(calls: 5, seed: 2).text, to: "2.txt")
        let result = try run("import", "1.txt", "empty.txt", "missing.txt", "2.txt")
        #expect(result.exitCode == 4)
        #expect(result.errors.contains("empty.txt: is empty"))
        #expect(result.errors.contains("missing.txt: cannot be read: No such file or directory"))
        #expect(try DatabaseContents(folder).traces == ["1", "2"])
    }

    /// The worst of several outcomes is the exit code, wherever it stands.
    @Test func damagedLogAmongGoodOnes() throws {
        try folder.write(log.text + "what is this\n", to: "1.txt")
        try folder.write(FtraceLog(calls: 5, seed: 2).text, to: "2.txt")
        #expect(try run("import", "1.txt", "2.txt").exitCode == 3)
        #expect(try DatabaseContents(folder).traces == ["1", "2"])
    }

    @Test func listAndForget() throws {
        for seed in 1...2 { try folder.write(FtraceLog(calls: 5, seed: UInt64(seed)).text, to: "\(seed).txt") }
        #expect(try run("import", "1.txt").exitCode == 0)
        let before = try DatabaseContents(folder)
        #expect(try run("import", "2.txt").exitCode == 0)
        #expect(try run("replay", "--trace", "2").exitCode == 0)
        #expect(try run("list", "--format", "csv").records.map(\.first) == ["trace", "1", "2"])
        let result = try run("forget", "2")
        #expect(result.exitCode == 0)
        #expect(result.errors == "trace 2 is gone\n")
        #expect(try DatabaseContents(folder) == before)
    }
}
