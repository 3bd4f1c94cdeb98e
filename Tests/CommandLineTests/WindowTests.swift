import Foundation
import Testing

/// Stale windows and hazards on the command line.
@Suite struct WindowTests {
    private static let groupings = ["trace", "domain", "device", "task"]
    private let folder: TemporaryFolder
    private var log = FtraceLog(calls: 60)

    init() throws {
        folder = try TemporaryFolder()
        log.addReuse()
        for number in 0..<4 {
            log.add("tracing_mark_write: LAB_PHASE \(number) of 4")
            log.addCalls(20, seed: UInt64(number) + 5)
        }
        try folder.write(log.text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try run("replay", "-p", "sync", "-p", "queue=8,1ms", "-p", "recorded", "-p", "end").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func rows(_ report: String, by grouping: String = "trace") throws -> [[String: Any]] {
        try run("report", report, "--by", grouping, "--format", "json").objects()
    }

    private func numbers(_ sql: String) throws -> [[Int]] {
        try run("sql", sql, "--format", "csv").records.dropFirst().map { $0.map { Int($0) ?? -1 } }
    }

    @Test func columns() throws {
        let keys = [
            "trace", "domain", "policy", "requested", "windows", "censored", "uncertain", "unreachable_pages", "p50_ns",
            "p90_ns", "p99_ns", "max_ns", "page_p50_ns", "page_p99_ns", "exposure_page_seconds",
            "censored_page_seconds",
            "peak_stale_pages", "hazards_access", "hazards_iova_reuse", "hazards_page_reuse", "deferred_reuse",
            "model_timing_error", "same_page_remap", "recycled", "unknown_page", "evidence",
        ]
        let rows = try rows("windows")
        #expect(rows.compactMap { $0["policy"] as? String } == ["sync", "queue=8,1ms", "recorded", "end"])
        for row in rows { for key in keys { #expect(row[key] != nil, "\(key)") } }
        // A sync in each call leaves nothing; as recorded each call has its window, of 7 us to the sync and 14 to the descriptor.
        // The queue's last flush is not in the log.
        #expect(rows.map { $0["windows"] as? Int } == [0, 133, 140, 0])
        #expect(rows.map { $0["censored"] as? Int } == [0, 7, 0, 140])
        #expect(rows[0]["p50_ns"] is NSNull)
        #expect(["p50_ns", "p99_ns", "max_ns"].map { rows[2][$0] as? Int } == [21_000, 21_000, 21_000])
        #expect(rows.map { $0["deferred_reuse"] as? Int ?? -1 } == [0, log.reusedPages, 0, 0])
        // Over the whole log addresses are also reused by chance.
        let reuse = rows.map { $0["hazards_iova_reuse"] as? Int ?? -1 }
        #expect(reuse.dropLast() == [0, 0, 0])
        #expect(reuse[3] > log.reusedPages)
        #expect(rows.map { $0["evidence"] as? String } == ["inferred", "modelled", "recorded", "modelled"])
    }

    /// Whatever rows are told apart by, they add up to the trace's.
    @Test(arguments: ["domain", "device", "task"]) func sums(grouping: String) throws {
        let whole = try rows("windows")
        let parts = try rows("windows", by: grouping)
        for row in whole where row["policy"] as? String != "sync" {
            let own = parts.filter { $0["requested"] as? String == row["requested"] as? String }
            #expect(!own.isEmpty)
            for key in ["windows", "censored", "deferred_reuse", "hazards_iova_reuse", "exposure_page_seconds"] {
                let sum = own.compactMap { ($0[key] as? NSNumber)?.doubleValue }.reduce(0, +)
                #expect(abs(sum - ((row[key] as? NSNumber)?.doubleValue ?? -1)) < 1e-9, "\(key)")
            }
            #expect(own.compactMap { $0["max_ns"] as? Int }.max() == row["max_ns"] as? Int)
            let peaks = own.compactMap { $0["peak_stale_pages"] as? Int }
            #expect(peaks.allSatisfy { $0 <= row["peak_stale_pages"] as? Int ?? -1 })
            #expect(own.allSatisfy { $0[grouping] is String })
        }
        let flushes = try rows("timeline", by: grouping)
        let savings = try rows("savings")
        for row in savings {
            let own = flushes.filter { $0["requested"] as? String == row["requested"] as? String }
            #expect(own.compactMap { $0["flushes"] as? Int }.reduce(0, +) == row["flushes"] as? Int)
        }
    }

    /// Stale pages over time, summed up, are the exposure.
    @Test func timeline() throws {
        let exposures = try rows("windows").map { row in
            ["exposure_page_seconds", "censored_page_seconds"].reduce(0.0) { $0 + (row[$1] as? Double ?? 0) }
        }
        let steps = try rows("timeline")
        for (policy, exposure) in zip(["sync", "queue=8,1ms", "recorded", "end"], exposures) {
            let own = steps.filter { $0["requested"] as? String == policy }
            #expect(own.count == 128)
            let sum = own.reduce(0.0) {
                $0 + ($1["stale_pages"] as? Double ?? 0) * Double($1["step_ns"] as? Int ?? 0) / 1e9
            }
            // Rounded to a thousandth of a page in each step.
            #expect(abs(sum - exposure) <= 0.0005 * 128 * (Double(own[0]["step_ns"] as? Int ?? 0) / 1e9) + 1e-9)
        }
    }

    @Test(arguments: groupings) func everyReportInEveryGrouping(grouping: String) throws {
        for report in ["windows", "top", "hazards", "latency", "timeline"] {
            let rows = try rows(report, by: grouping)
            #expect(!rows.isEmpty, "\(report)")
            #expect(rows.allSatisfy { ($0["evidence"] as? String)?.isEmpty == false }, "\(report)")
        }
    }

    /// Both sides of a hazard, by file and line.
    @Test func hazards() throws {
        let rows = try rows("hazards", by: "hazard").filter { $0["requested"] as? String == "end" }
        let row = try #require(rows.first)
        #expect(row["kind"] as? String == "iova_reuse")
        #expect(row["is_hazard"] as? Int == 1)
        for (key, text) in [("unmap_place", "unmapped: "), ("reuse_place", "map: ")] {
            let place = try #require(row[key] as? String)
            #expect(place.hasPrefix("log.txt:"))
            let line = try #require(Int(place.dropFirst("log.txt:".count)))
            #expect(log.lines[line - 1].contains(text))
        }
    }

    @Test func latency() throws {
        let rows = try rows("latency")
        #expect(rows.map { $0["policy"] as? String } == ["recorded", "queue=8,1ms"])
        #expect(rows.map { $0["measured"] as? String } == ["as recorded", "predicted"])
        #expect(rows.map { $0["recorded_p50_ns"] as? Int } == [21_000, 21_000])
    }

    @Test func top() throws {
        let rows = try rows("top").filter { $0["requested"] as? String == "queue=8,1ms" }
        #expect(rows.map { $0["rank"] as? Int } == Array(1...10))
        let lengths = rows.compactMap { $0["length_ns"] as? Int }
        #expect(lengths == lengths.sorted(by: >))
        #expect(lengths.first == (try self.rows("windows")[1]["max_ns"] as? Int))
    }

    // MARK: - Options of a replay

    @Test func keptWindows() throws {
        let longest = try numbers(
            "SELECT closed_ns - opened_ns FROM stale_window JOIN replay ON replay.id = replay WHERE requested = 'queue=8,1ms' ORDER BY 1 DESC LIMIT 3"
        )
        for (option, kept, left) in [("all", 140, 0), ("longest=3", 3, 137), ("none", 0, 140)] {
            #expect(try run("replay", "-p", "queue=8,1ms", "--windows", option).exitCode == 0)
            let counts = try numbers(
                "SELECT (SELECT count(*) FROM stale_window WHERE replay = replay.id), windows_left_out FROM replay WHERE requested = 'queue=8,1ms'"
            )
            #expect(counts == [[kept, left]])
            if kept == 3 {
                let rows = try numbers(
                    "SELECT closed_ns - opened_ns FROM stale_window JOIN replay ON replay.id = replay WHERE requested = 'queue=8,1ms' ORDER BY stale_window.id"
                )
                #expect(rows == longest)
            }
            #expect(
                try rows("windows").filter { $0["policy"] as? String == "queue=8,1ms" }.map { $0["windows"] as? Int }
                    == [133])
        }
        _ = try DatabaseContents(folder)
    }

    @Test func partsOfALog() throws {
        func calls(_ arguments: String...) throws -> [Int] {
            let result = try Tool.run(["replay", "-p", "recorded"] + arguments, directory: folder)
            #expect(result.exitCode == 0)
            return try numbers("SELECT unmap_calls, flushes FROM replay ORDER BY id DESC LIMIT 1").first ?? []
        }
        #expect(try calls("--between", "LAB_PHASE 1", "LAB_PHASE 2") == [20, 20])
        #expect(try calls("--between", "LAB_PHASE 1", "LAB_PHASE 3 of 4") == [40, 40])
        // The same part again is the same replay, another one is another.
        #expect(try calls("--between", "PHASE 1", "PHASE 2") == [20, 20])
        #expect(try numbers("SELECT count(*) FROM replay WHERE requested = 'recorded'") == [[3]])
        let phase = try numbers(
            "SELECT time_ns - (SELECT first_ns FROM trace) FROM marker JOIN operation ON operation.id = operation WHERE text LIKE 'LAB_PHASE%' ORDER BY 1"
        ).compactMap(\.first)
        #expect(try calls("--since", "+\(phase[2])ns", "--until", "+\(phase[3])ns") == [20, 20])
        #expect(try calls("--until", "+\(phase[0])ns") == [60, 60])
        let seconds = try numbers("SELECT first_ns + \(phase[3]) FROM trace").first?.first ?? 0
        #expect(
            try calls("--since", "\(seconds / 1_000_000_000).\(String(format: "%09d", seconds % 1_000_000_000))") == [
                20, 20,
            ])
        // Of a part nothing is known of the page tables as a whole: those of the whole log stay.
        #expect(try numbers("SELECT sum(unmaps) FROM mapping_summary") == [[140]])
        _ = try DatabaseContents(folder)
    }

    @Test func answer() throws {
        let output = try run("replay", "-p", "sync", "-p", "end").output
        #expect(output.contains("\nStale windows: what a device could still reach after its unmap"))
        #expect(output.contains("\nnote: none under sync\n"))
        #expect(
            output.contains(
                "\nnote: end: 140 windows still open when the log ends: in page-seconds up to there, not in windows, percentiles and maximum\n"
            ))
        #expect(!output.contains("assumed to be attached"))
    }
}
