import Foundation
import Testing

/// What `replay` prints, and how single replays are deleted.
@Suite struct ForgetTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(FtraceLog(calls: 50).text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func replays() throws -> [String] {
        try run("sql", "SELECT requested || ' ' || options AS r FROM replay ORDER BY id", "--format", "json").objects()
            .compactMap { $0["r"] as? String }
    }

    /// What a run prints is about what it replayed, whatever else the database holds.
    @Test func answerOfThisRun() throws {
        let first = try run("replay").output
        #expect(try run("replay", "--hardware", "vtd-6.12", "--iotlb", "64x8").exitCode == 0)
        #expect(try run("replay", "-p", "batch=7", "-p", "sync", "--since", "+100us").exitCode == 0)
        #expect(try run("replay").output == first)
        #expect(!first.contains("batch=7") && !first.contains("vtd"))
        let hardware = try run("replay", "-p", "sync", "--hardware", "vtd-6.12").output
        #expect(hardware.split(separator: "\n").filter { $0.hasPrefix("sync ") }.count == 1)
        #expect(!hardware.contains("per-page"))
    }

    @Test func titleOfAPart() throws {
        let result = try run("replay", "-p", "sync", "--since", "25.241900", "--until", "25.242")
        #expect(
            result.output.hasPrefix(
                "TLB flushes of log from 25.241900000 to 25.242000000 s of the trace clock under each policy"))
    }

    @Test func emptyPart() throws {
        let result = try run("replay", "-p", "sync", "--until", "25.241810")
        #expect(result.exitCode == 0)
        #expect(result.errors.hasPrefix("no unmap call lies in the part from 25.2417"), "\(result.errors)")
        #expect(try run("replay", "-p", "sync").errors == "")
        #expect(try run("replay", "-p", "sync", "--until", "25.241810", "--quiet").errors == "")
    }

    /// Rows that are alike up to the policy are told apart in the tables.
    @Test(arguments: ["savings", "windows", "latency"]) func rowsOfParts(report: String) throws {
        #expect(try run("replay", "-p", "queue=4,2ms").exitCode == 0)
        #expect(!(try run("report", report).output.contains("differs")))
        #expect(try run("replay", "-p", "queue=4,2ms", "--since", "25.242", "--until", "25.2425").exitCode == 0)
        #expect(try run("replay", "-p", "queue=4,2ms", "--since", "25.2425").exitCode == 0)
        let table = try Tool.run(["report", report], environment: ["COLUMNS": "100"], directory: folder).output
        let parts = table.components(separatedBy: "\n\n").filter { $0.contains("---") }
        #expect(parts.count > 1)
        for part in parts {
            let lines = part.split(separator: "\n").dropFirst().filter { !$0.hasPrefix("note:") && !$0.hasPrefix("--") }
            #expect(lines.count == 3)
            #expect(Set(lines).count == 3, "\(part)")
            #expect(lines.contains { $0.contains("25.242..25.2425 s") }, "\(part)")
        }
    }

    /// The same where a replay has many rows.
    @Test(arguments: ["top", "timeline"]) func manyRowsOfParts(report: String) throws {
        #expect(try run("replay", "-p", "end").exitCode == 0)
        #expect(try run("replay", "-p", "queue=4,2ms").exitCode == 0)
        #expect(!(try run("report", report).output.contains("differs")))
        for policy in ["end", "queue=4,2ms"] {
            #expect(try run("replay", "-p", policy, "--since", "25.2419").exitCode == 0)
        }
        let lines = try run("report", report).output.split(separator: "\n")
        #expect(lines.first?.contains("differs") == true)
        let (parts, whole) = (
            lines.count { $0.contains(" 25.2419..25.2") }, lines.dropFirst(2).count { $0.contains(" - ") }
        )
        #expect(parts > 0 && whole > 0)
    }

    /// The same, for hardware beside none: what comes along with it, the page sizes, is not named.
    @Test(arguments: [80, 100]) func rowsOfHardware(width: Int) throws {
        #expect(try run("replay", "-p", "queue=4,2ms", "-p", "fast").exitCode == 0)
        #expect(try run("replay", "-p", "queue=4,2ms", "-p", "fast", "--hardware", "vtd-6.12").exitCode == 0)
        let table = try Tool.run(["report", "savings"], environment: ["COLUMNS": "\(width)"], directory: folder).output
        let parts = table.components(separatedBy: "\n\n").filter { $0.contains("---") }
        #expect(parts.count > 1)
        for part in parts {
            let lines = part.split(separator: "\n").filter { !$0.hasPrefix("note:") }
            #expect(lines.count == 6)
            #expect(lines.count { $0.contains(" hardware=vtd-6.12") } == 2, "\(part)")
        }
    }

    @Test func forgetReplay() throws {
        #expect(try run("replay", "-p", "strict", "-p", "batch=7", "-p", "queue").exitCode == 0)
        #expect(try run("replay", "-p", "batch=7", "-p", "strict", "--hardware", "vtd-6.12").exitCode == 0)
        #expect(try replays().count == 5)
        let one = try run("forget", "log", "--replay", "batch=7 hardware=vtd-6.12")
        #expect(one.exitCode == 0)
        #expect(
            one.errors == "gone from trace log: replay of batch=7 page-sizes=4K,2M,1G hardware=vtd-6.12\n")
        #expect(try replays().count == 4)
        // By what was asked for, or by what it means.
        #expect(try run("forget", "log", "--replay", "sync", "--replay", "queue").exitCode == 0)
        #expect(try replays() == ["batch=7 "])
        let left = try run(
            "sql", "SELECT count(*) AS n FROM flush WHERE replay NOT IN (SELECT id FROM replay)", "--format", "csv")
        #expect(left.output == "n\n0\n")
        // What all replays share is still there.
        #expect(try run("forget", "log", "--replay", "batch=7").exitCode == 0)
        #expect(try replays() == [])
        #expect(try run("report", "mistakes", "--format", "csv").records.count > 1)
        #expect(try run("report", "savings").errors == "nothing was replayed yet: iommu-trace replay\n")
        #expect(try run("replay", "-p", "sync").exitCode == 0)
    }

    /// What fast chose is not what was asked for by that name.
    @Test func forgetReplayBesideFast() throws {
        #expect(try run("replay", "-p", "fast", "-p", "queue=256,10ms").exitCode == 0)
        #expect(try run("forget", "log", "--replay", "queue=256,10ms").exitCode == 0)
        #expect(try replays().map { $0.prefix(5) } == ["fast "])
        #expect(try run("forget", "log", "--replay", "queue=256,10ms").exitCode == 0)
        #expect(try replays() == [])
    }

    /// One that is not there keeps the others.
    @Test func forgetReplayThatIsNotThere() throws {
        #expect(try run("replay", "-p", "sync", "-p", "batch=7").exitCode == 0)
        for wanted in ["batch=8", "batch=7 hardware=vtd-6.12", "batch", ""] {
            let result = try run("forget", "log", "--replay", "sync", "--replay", wanted)
            #expect(result.exitCode == 2)
            #expect(
                result.errors
                    == "iommu-trace: trace log holds no replay '\(wanted)'; there are: 'sync', 'batch=7'\n")
            #expect(try replays() == ["sync ", "batch=7 "])
        }
    }

    @Test func progressOfForget() throws {
        #expect(try run("replay").exitCode == 0)
        for arguments in [["info"], ["calibrate"], ["forget", "log"]] {
            let result = try Tool.run(arguments + ["--progress", "always"], directory: folder)
            #expect(result.exitCode == 0, "\(result.errors)")
        }
    }
}
