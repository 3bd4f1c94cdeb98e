import Foundation
import Testing

/// `export --timeline`: JSON that Perfetto reads. `tools/checks/timeline-check` holds whole logs against the database.
@Suite struct TimelineExportTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(FtraceLog(calls: 30).text, to: "log.txt")
        _ = try Tool.run(["import", "log.txt"], directory: folder)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func events(_ result: Tool.Result) throws -> [[String: Any]] {
        let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        return try #require(object?["traceEvents"] as? [[String: Any]])
    }

    private func count(_ events: [[String: Any]], _ phase: String, _ category: String? = nil) -> Int {
        events.filter { $0["ph"] as? String == phase && (category == nil || $0["cat"] as? String == category) }.count
    }

    @Test func allThatHappened() throws {
        _ = try run("replay", "--policy", "queue", "--policy", "batch=7", "--windows", "all")
        let result = try run("export", "--timeline", "-")
        #expect(result.exitCode == 0 && result.errors == "")
        let events = try events(result)
        #expect(count(events, "i", "unmap") == 30)
        let windows = try #require(
            Int(run("sql", "--format", "csv", "SELECT count(*) FROM stale_window").records[1][0]))
        #expect(windows > 30)
        #expect(count(events, "b") == windows && count(events, "e") == windows)
        #expect(count(events, "C") > 0)
        // Each flush row of batch=7 is one flush.
        let flushes = try #require(Int(run("sql", "--format", "csv", "SELECT count(*) FROM flush").records[1][0]))
        #expect(count(events, "i", "flush") == flushes)
    }

    @Test func limitsAreSaid() throws {
        _ = try run("replay", "--policy", "batch=3")
        let result = try run("export", "--timeline", "t.json", "--windows", "5", "--unmaps", "10")
        #expect(result.errors.contains("the longest 5 of 30 stale windows"))
        #expect(result.errors.contains("none of 30 unmaps one by one"))
        let text = try folder.text("t.json")
        #expect(text.components(separatedBy: "\"ph\": \"b\"").count == 6)
        #expect(!text.contains("\"unmap 4 KiB\""))
        #expect(text.contains("stale pages: "))
    }

    @Test func withoutReplays() throws {
        let result = try run("export", "--timeline", "-")
        #expect(result.errors.contains("nothing was replayed yet"))
        #expect(count(try events(result), "i", "unmap") == 30)
    }

    /// A name out of a log stays a name.
    @Test func hostileNames() throws {
        var log = FtraceLog(calls: 3)
        log.add("unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=4096", task: "\"},{\"ph\u{1}")
        try folder.write(log.text, to: "evil.txt")
        _ = try run("import", "evil.txt")
        let events = try events(run("export", "--timeline", "-"))
        let tasks = events.compactMap { ($0["args"] as? [String: Any])?["task"] as? String }
        #expect(tasks.contains { $0.hasPrefix("\"},{\"ph") })
    }

    @Test func mistakes() throws {
        #expect(try run("export").exitCode == 2)
        #expect(try run("export", "--timeline", "iommu-trace.db").exitCode == 2)
        #expect(try run("export", "--timeline", "-", "--windows", "-1").exitCode == 2)
        #expect(try run("export", "--timeline", "-", "--trace", "none").exitCode == 2)
    }
}
