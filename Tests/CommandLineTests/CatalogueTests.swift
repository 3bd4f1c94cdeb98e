import Foundation
import TestSupport
import Testing

/// What all reports have in common beside their formats: gates, queries to take away, and the comparison of two logs.
@Suite struct CatalogueTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(FtraceLog(calls: 50).text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try run("replay", "-p", "sync", "-p", "queue=4,2ms").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    // MARK: - --fail-if

    @Test func gateThatHolds() throws {
        let plain = try run("report", "savings", "--format", "csv")
        let result = try run("report", "savings", "--format", "csv", "--fail-if", "flushes < 10")
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        #expect(result.output == plain.output)
    }

    @Test func gateThatFails() throws {
        let plain = try run("report", "savings", "--format", "csv")
        let result = try run(
            "report", "savings", "--format", "csv", "--fail-if", "flushes >= 50", "--fail-if", "policy == sync")
        #expect(result.exitCode == 1)
        // The rows are there all the same.
        #expect(result.output == plain.output)
        let lines = result.errors.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(
            lines.first
                == "iommu-trace: flushes >= 50: row 1 (trace log, policy sync, requested sync, mode strict) has 50")
        #expect(lines.last?.hasPrefix("iommu-trace: policy == sync: row 1 (") == true)
        #expect(lines.last?.hasSuffix(" has sync") == true)
    }

    struct Asked: CustomTestStringConvertible {
        var condition: String
        var code: Int32
        var testDescription: String { condition }
        init(_ condition: String, _ code: Int32) { (self.condition, self.code) = (condition, code) }
    }

    /// max_ns of the queue is some µs: its ring is full after three calls.
    @Test(arguments: [
        Asked("max_ns > 7us", 1), Asked("max_ns>7000ns", 1), Asked("max_ns > 7000", 1), Asked("max_ns > 1s", 0),
        Asked("max_ns >= 1000000000ns", 0), Asked("max_ns < 1s", 1), Asked("max_ns == 1s", 0), Asked("max_ns != 1s", 1),
        Asked("windows == 0", 1), Asked("windows > -1", 1), Asked("windows < 0", 0),
        Asked("requested == 'queue=4,2ms'", 1),
        Asked("requested != sync", 1), Asked("requested == nosuch", 0), Asked("evidence == assumed", 0),
        // Sync opens no window: what is not known meets nothing.
        Asked("p50_ns < 0", 0),
    ]) func units(_ asked: Asked) throws {
        let result = try run("report", "windows", "--fail-if", asked.condition)
        #expect(result.exitCode == asked.code, "\(result.errors)")
    }

    @Test func bytesAndPercent() throws {
        #expect(try run("report", "churn", "--fail-if", "mapped_bytes > 4K").exitCode == 1)
        #expect(try run("report", "churn", "--fail-if", "mapped_bytes > 1G").exitCode == 0)
        #expect(try run("report", "savings", "--fail-if", "saved_percent > 1%").exitCode == 1)
        #expect(try run("report", "savings", "--fail-if", "saved_percent > 100 %").exitCode == 0)
        #expect(try run("report", "costs", "--fail-if", "total_high_ms > 1ns").exitCode == 1)
        #expect(try run("report", "costs", "--fail-if", "total_high_ms > 1s").exitCode == 0)
    }

    @Test(arguments: [
        ("nosuch > 1", "there is no column 'nosuch'; there are: trace, domain, device, task, policy, requested, mode"),
        ("flushes > 1ms", "flushes is not measured in ms"), ("flushes > 1K", "flushes is not measured in K"),
        ("saved_percent > 1ms", "saved_percent is not measured in ms"), ("flushes > 1 furlong", "'furlong' is no unit"),
        ("flushes > many", "'many' is no number"), ("flushes", "give a column"), ("", "give a column"),
        ("> 5", "give a column"), ("flushes >", "give a column"), ("flushes = 5", "give a column"),
        ("flushes <> 5", "give a column"), ("a b > 5", "give a column"),
    ]) func mistakes(condition: String, words: String) throws {
        let result = try run("report", "savings", "-o", "out", "--fail-if", condition)
        #expect(result.exitCode == 2)
        #expect(result.output == "")
        #expect(result.errors.hasPrefix("iommu-trace: --fail-if '\(condition)': "))
        #expect(result.errors.contains(words), "\(result.errors)")
        #expect(!folder.exists("out"))
    }

    /// A gate must not pass because nothing was there to look at.
    @Test func gateOfNothing() throws {
        let result = try run("report", "tlb", "--fail-if", "stale_hits > 0")
        #expect(result.exitCode == 4)
        #expect(result.errors.contains("no replay simulated an IOTLB yet: iommu-trace replay --hardware"))
        // No hazards are good news.
        #expect(try run("report", "hazards", "--by", "hazard", "--fail-if", "pages > 0").exitCode == 0)
    }

    /// Names out of a log reach the terminal as words.
    @Test func hostileFindings() throws {
        try folder.write(
            FtraceLog(calls: 3).text.replacing("fio-", with: "f\u{1b}[31mo-"), to: "hostile.txt")
        _ = try run("import", "hostile.txt")
        _ = try run("replay", "--trace", "hostile")
        let result = try run("report", "churn", "--by", "task", "--trace", "hostile", "--fail-if", "maps >= 0")
        #expect(result.exitCode == 1)
        #expect(result.errors.controlCharacters.isEmpty)
    }

    // MARK: - --show-sql

    /// What sqlite3 makes of a query.
    private func sqlite(_ query: String) throws -> String {
        try folder.write(query, to: "query.sql")
        let process = Process()
        process.executableURL = URL(filePath: try #require(SQLiteShell.path))
        process.arguments = ["-json", folder["iommu-trace.db"], ".read \(folder["query.sql"])"]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return String(decoding: data, as: UTF8.self)
    }

    /// sqlite3 prints twenty digits of a number, which are not read back to the last bit.
    private static func isSame(_ left: Any?, _ right: Any?) -> Bool {
        if let left = left as? NSNumber, let right = right as? NSNumber {
            return abs(left.doubleValue - right.doubleValue) <= 1e-12 * abs(right.doubleValue)
        }
        if let left = left as? String { return left == right as? String }
        return left is NSNull && right is NSNull
    }

    /// The query that is printed gives the rows of the report, in sqlite3 too, and needs no database.
    @Test(.enabled(if: SQLiteShell.path != nil)) func showSQL() throws {
        let reports = try run("report", "--list", "--format", "json").objects()
        #expect(reports.count > 15)
        for report in reports {
            let name = try #require(report["report"] as? String)
            for grouping in try #require(report["by"] as? String).split(separator: ", ").map(String.init) {
                let options = [name, "--by", grouping, "--trace", "log"]
                let shown = try Tool.run(["report"] + options + ["--show-sql", "--db", "no.db"], directory: folder)
                #expect(shown.exitCode == 0)
                #expect(shown.errors == "")
                #expect(!folder.exists("no.db"))
                let expected = try Tool.run(["report"] + options + ["--format", "json"], directory: folder).objects()
                let output = try sqlite(shown.output)
                let found = output.isEmpty ? [] : try JSONSerialization.jsonObject(with: Data(output.utf8))
                let rows = try #require(found as? [[String: Any]])
                #expect(rows.count == expected.count, "\(name) by \(grouping)")
                for (row, other) in zip(rows, expected) {
                    #expect(row.keys.sorted() == other.keys.sorted())
                    for (column, value) in row { #expect(Self.isSame(value, other[column]), "\(name) \(column)") }
                }
            }
        }
    }

    @Test func parametersOfShownSQL() throws {
        let shown = try run("report", "windows", "--by", "task", "--trace", "it's; \u{1b}[31m\n-- x", "--show-sql")
        #expect(shown.output.hasPrefix("-- report windows of iommu-trace; run it with: sqlite3 FILE < THIS\n"))
        #expect(shown.output.contains("-- :trace = ('it''s; ' || char(27) || '[31m' || char(10) || '-- x')\n"))
        #expect(shown.output.contains("-- :by = 'task'\n"))
        #expect(shown.output.controlCharacters.isEmpty)
        let code = shown.output.split(separator: "\n").filter { !$0.hasPrefix("--") }.joined(separator: "\n")
        #expect(!code.contains(":trace") && !code.contains(":by"))
        #expect(try run("report", "windows", "--show-sql").output.contains("-- :trace = NULL\n"))
        let gated = try run("report", "windows", "--show-sql", "--fail-if", "windows > 1")
        #expect(gated.exitCode == 2)
        #expect(gated.errors.contains("--show-sql runs no query"))
    }

    // MARK: - tlb

    @Test func tlb() throws {
        let empty = try run("report", "tlb")
        #expect(empty.exitCode == 0)
        #expect(
            empty.errors == "no replay simulated an IOTLB yet: iommu-trace replay --hardware vtd-6.12 --iotlb 64x8\n")
        #expect(
            try run("replay", "-p", "queue=4,2ms", "-p", "sync", "--hardware", "vtd-6.1", "--iotlb", "64x8").exitCode
                == 0)
        let rows = try run("report", "tlb", "--format", "json").objects()
        #expect(rows.map { $0["requested"] as? String } == ["queue=4,2ms", "sync"])
        for row in rows {
            let numbers = try ["hits", "misses", "faults"].map { try #require(row[$0] as? Int) }
            #expect(row["lookups"] as? Int == numbers.reduce(0, +))
            #expect(row["accesses"] as? String == "touch-on-map")
            #expect(row["accesses_evidence"] as? String == "assumed")
            #expect(row["hardware"] as? String == "vtd-6.1")
            #expect(try #require(row["live_entries_killed"] as? Int) <= #require(row["entries_killed"] as? Int))
        }
        // One each of what the log maps is looked up, and misses.
        let pages = try run("sql", "SELECT sum(size) / 4096 AS pages FROM operation WHERE kind = 1", "--format", "json")
        #expect(rows.first?["lookups"] as? Int == (try pages.objects().first?["pages"] as? Int))
        let parts = try run("report", "tlb", "--by", "domain", "--format", "json").objects()
        for column in ["lookups", "misses", "stale_entries", "entries_killed"] {
            #expect(
                parts.compactMap { $0[column] as? Int }.reduce(0, +)
                    == rows.compactMap { $0[column] as? Int }.reduce(0, +), "\(column)")
        }
    }

    // MARK: - compare

    private func bundled(_ name: String) throws -> String {
        try #require(SharedTraces.log(name)).path
    }

    private func value(_ rows: [[String: Any]], _ measure: String, _ policy: String?, _ column: String) -> Double? {
        let row = rows.first {
            $0["measure"] as? String == measure
                && ($0["policy"] as? String)?.split(separator: " ").first.map(String.init) == policy
        }
        return (row?[column] as? NSNumber)?.doubleValue
    }

    /// A strict and a lazy recording of one workload, once as logs, once as traces of two databases.
    @Test func compareStrictAndLazy() throws {
        let (strict, lazy) = (try bundled("6.1-strict/nvme.probes"), try bundled("6.1-lazy/nvme.probes"))
        let ofLogs = try run("compare", strict, lazy, "--format", "json", "-p", "sync", "-p", "recorded", "-p", "fast")
        #expect(ofLogs.exitCode == 0)
        let rows = try ofLogs.objects()
        for (log, database) in [(strict, "a.db"), (lazy, "b.db")] {
            _ = try run("import", log, "--db", database)
            _ = try run("replay", "-p", "sync", "-p", "recorded", "-p", "fast", "--db", database)
        }
        let names = try ["a.db", "b.db"].map {
            try #require(try run("list", "--db", $0, "--format", "json").objects().first?["trace"] as? String)
        }
        let ofTraces = try run("compare", names[0], names[1], "--db", "a.db", "--with", "b.db", "--format", "json")
        #expect(ofTraces.output == ofLogs.output)
        // A strict log flushed at each unmap, a lazy one did not; under sync both do.
        #expect(value(rows, "flushes_per_unmap", "sync", "a") == 1)
        #expect(value(rows, "flushes_per_unmap", "sync", "b") == 1)
        #expect(value(rows, "flushes_per_unmap", "recorded", "a") == 1)
        #expect(value(rows, "flushes_per_unmap", nil, "a") == 1)
        let b = try #require(value(rows, "flushes_per_unmap", "recorded", "b"))
        #expect(b > 0 && b < 0.1)
        let difference = try #require(value(rows, "flushes_per_unmap", "recorded", "difference"))
        #expect(abs(difference - (b - 1)) < 1e-5)
        let percent = try #require(value(rows, "flushes_per_unmap", "recorded", "percent"))
        #expect(abs(percent - 100 * (b - 1)) < 0.01)
        // Against plain SQL.
        for (database, column) in [("a.db", "a"), ("b.db", "b")] {
            let expected =
                try run(
                    "sql",
                    "SELECT 1e9 * sum(kind IN (2, 3)) / (SELECT last_ns - first_ns FROM trace) AS rate FROM operation",
                    "--db", database, "--format", "json"
                ).objects().first?["rate"] as? Double
            let found = try #require(value(rows, "unmaps_per_second", nil, column))
            #expect(abs(found - (expected ?? 0)) <= 1e-5 * found)
            let p99 =
                try run("report", "windows", "--db", database, "--format", "json").objects()
                .first { $0["requested"] as? String == "recorded" }?["p99_ns"] as? Double
            let window = try #require(value(rows, "window_p99_ns", "recorded", column))
            #expect(abs(window - (p99 ?? 0)) <= 1e-5 * window)
        }
        // fast is another policy in each.
        let fast = rows.filter { $0["policy"] as? String == "fast" }
        #expect(!fast.isEmpty)
        #expect(fast.allSatisfy { ($0["comparable"] as? String)?.hasPrefix("no, policies differ: ") == true })
        #expect(rows.filter { $0["policy"] as? String == "sync" }.allSatisfy { $0["comparable"] as? String == "yes" })
    }

    @Test func compareGate() throws {
        try folder.write(FtraceLog(calls: 50, seed: 7).text, to: "other.txt")
        _ = try run("import", "other.txt")
        _ = try run("replay", "--trace", "other", "-p", "sync", "-p", "queue=4,2ms")
        let same = try run("compare", "log", "log", "--format", "json")
        #expect(same.exitCode == 0)
        #expect(try same.objects().allSatisfy { $0["difference"] is NSNull || $0["difference"] as? Double == 0 })
        #expect(try run("compare", "log", "log", "--fail-if", "percent != 0").exitCode == 0)
        let gated = try run("compare", "log", "other", "--measure", "mapped_bytes_per_second", "--fail-if", "a > 0")
        #expect(gated.exitCode == 1)
        #expect(gated.errors.contains("a > 0: row 1 (measure mapped_bytes_per_second) has "))
        let table = try run("compare", "log", "other")
        #expect(table.output.hasPrefix("a = log, b = other; "))
        #expect(table.output.contains("\nnote: whether both are of one kernel is not known\n"))
        for (arguments, words) in [
            (
                ["--measure", "nosuch"],
                "--measure nosuch: there is no such measure; there are: seconds, maps_per_second"
            ),
            (["--fail-if", "nosuch > 1"], "there is no column 'nosuch'; there are: measure, policy, a, b"),
        ] {
            let result = try Tool.run(["compare", "log", "other"] + arguments, directory: folder)
            #expect(result.exitCode == 2)
            #expect(result.errors.contains(words), "\(result.errors)")
        }
        #expect(try run("compare", "log", "nosuch").exitCode == 2)
    }

    /// What makes two logs hard to compare is said.
    @Test func compareDoubts() throws {
        var lines = FtraceLog(calls: 40, seed: 3).lines.filter { !$0.contains(" sync: ") }
        lines.insert("CPU:1 [LOST 12 EVENTS]", at: lines.count / 2)
        try folder.write(lines.joined(separator: "\n") + "\n", to: "lossy.txt")
        _ = try run("import", "lossy.txt")
        _ = try run("replay", "--trace", "lossy", "-p", "sync", "-p", "batch=5")
        let result = try run("compare", "log", "lossy", "--format", "csv")
        #expect(result.exitCode == 0)
        #expect(result.errors.contains("note: b: events were lost at 1 places: its rates are lower bounds\n"))
        #expect(result.errors.contains("note: where flushes are seen: api in a, hardware in b\n"))
        #expect(result.errors.contains("note: replayed in a only, left out: queue=4,2ms\n"))
        #expect(result.errors.contains("note: replayed in b only, left out: batch=5\n"))
    }
}

/// The stock `sqlite3`, where it is installed.
private enum SQLiteShell {
    static let path = ["/usr/bin/sqlite3", "/usr/local/bin/sqlite3", "/bin/sqlite3"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }
}
