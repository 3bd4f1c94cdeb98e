import Foundation
import Testing

/// `iommu-trace sweep`: what it prints, keeps and refuses.
@Suite struct SweepTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(FtraceLog(calls: 400).text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func lines(_ result: Tool.Result) -> [String] {
        result.output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    @Test func table() throws {
        let result = try run("sweep", "--policies", "queue=4..32,1ms|10ms", "--policies", "batch=2..8")
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        let lines = lines(result)
        let rows = lines.dropFirst(2).prefix { !$0.isEmpty }
        // 8 + 3 of the grid; per-page, sync, recorded and both queues to compare with.
        #expect(rows.count == 16)
        #expect(rows.contains { $0.contains(" *  ") && $0.contains("sync") && $0.contains("kernel default, strict") })
        #expect(rows.contains { $0.contains("queue=256,10ms") && $0.contains("kernel default, lazy ") })
        #expect(
            rows.allSatisfy { line in ["recorded", "inferred", "modelled", "assumed"].contains { line.hasSuffix($0) } })
        let answer = try #require(lines.first { $0.contains(" flushes saved at the kernel's default") })
        #expect(answer.contains(" of 400 flushes saved") && answer.hasSuffix("(modelled)"))
        #expect(lines.contains { $0.hasPrefix("note: timers and rings are modelled") && $0.contains("hz=250") })
    }

    /// Nothing of it shows where replays are listed.
    @Test func isNoReplay() throws {
        #expect(try run("replay").exitCode == 0)
        let before = try ["savings", "windows"].map { try run("report", $0, "--format", "csv").output }
        #expect(try run("sweep", "--policies", "batch=1..64").exitCode == 0)
        #expect(try ["savings", "windows"].map { try run("report", $0, "--format", "csv").output } == before)
    }

    @Test func reportsAnswerAgain() throws {
        #expect(try run("report", "sweep").errors == "nothing was swept yet: iommu-trace sweep\n")
        #expect(try run("report", "advice").errors == "nothing was swept yet: iommu-trace sweep\n")
        let swept = try run("sweep", "--policies", "batch=2..8", "--format", "csv")
        #expect(swept.exitCode == 0)
        #expect(try run("report", "sweep", "--format", "csv").output == swept.output)
        let domains = try run("sweep", "--policies", "batch=2..8", "--by", "domain", "--format", "csv")
        #expect(try run("report", "sweep", "--by", "domain", "--format", "csv").output == domains.output)
        #expect(domains.records.count == 2 * (swept.records.count - 1) + 1)
        // Another grid's points do not come with it.
        let other = try run("sweep", "--policies", "batch=16", "--format", "json").objects()
        #expect(other.contains { $0["policy"] as? String == "batch=16" })
        #expect(!other.contains { $0["policy"] as? String == "batch=2" })
        #expect(try run("report", "advice", "--format", "json").objects().count == 2)
        #expect(try run("forget", "log").exitCode == 0)
        #expect(try run("sql", "SELECT count(*) FROM sweep_point", "--format", "csv").output == "count(*)\n0\n")
    }

    @Test func byDomain() throws {
        let result = try run("sweep", "--policies", "batch=2..8", "--by", "domain")
        for domain in FtraceLog.domains {
            #expect(lines(result).contains { $0.hasPrefix("domain \(domain): ") && $0.contains("flushes saved") })
        }
    }

    @Test func plot() throws {
        let result = try run("sweep", "--policies", "batch=2..64", "--plot")
        #expect(result.exitCode == 0)
        let lines = lines(result)
        let first = try #require(lines.firstIndex(of: "flushes"))
        let picture = lines[(first + 1)...].prefix { !$0.contains("+---") }
        #expect(picture.count == 18)
        // A flush for each callback: the most there are.
        #expect(picture.first?.contains("|P") == true)
        #expect(picture.joined().filter { $0 == "S" }.count + picture.joined().filter { $0 == "K" }.count == 2)
        #expect(picture.contains { $0.contains("*") })
    }

    @Test func threadsAndProgress() throws {
        let one = try run("sweep", "--threads", "1", "--format", "csv")
        let two = try run("sweep", "--threads", "2", "--format", "csv", "--progress", "always")
        #expect(two.exitCode == 0)
        #expect(one.output == two.output)
        #expect(two.errors.contains("sweep: 100 %, ") && two.errors.contains(" operations/s"))
    }

    @Test func hardwareAndPart() throws {
        let rows = try run(
            "sweep", "--policies", "batch=4", "--hardware", "vtd-6.12", "--hz", "1000", "--since", "+0.001", "--format",
            "json"
        ).objects()
        #expect(rows.allSatisfy { $0["commands"] is Int && $0["hardware"] as? String == "vtd-6.12" })
        #expect(rows.contains { $0["policy"] as? String == "sync" && ($0["commands"] as? Int ?? 0) > 0 })
        #expect(rows.allSatisfy { ($0["unmap_calls"] as? Int ?? 400) < 400 })
        let options = try #require(rows.first?["options"] as? String)
        for word in ["hz=1000", "hardware=vtd-6.12", "from=", "page-sizes="] { #expect(options.contains(word)) }
    }
}
