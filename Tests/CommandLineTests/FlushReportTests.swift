import Foundation
import Testing

/// Whose flushes and times are: savings and costs by device and task (design §4 32).
@Suite struct FlushReportTests {
    private let folder: TemporaryFolder
    private let log = PhasedLog(callsInPhase: 40)

    private static let policies = [
        "per-page", "sync", "fast", "recorded", "vfio", "batch=5", "queue=8,1ms", "single-queue=16,2ms", "every=300us",
        "end",
    ]
    private static let groupings = ["domain", "device", "task"]

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(log.text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
        let policies = Self.policies.flatMap { ["-p", $0] }
        for hardware in [[], ["--hardware", "contract"]] {
            #expect(try Tool.run(["replay"] + policies + hardware, directory: folder).exitCode == 0)
        }
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func report(_ name: String, by grouping: String = "trace") throws -> [[String: Any]] {
        try run("report", name, "--by", grouping, "--format", "json").objects()
    }

    /// Which replay a row is of.
    private func replay(_ row: [String: Any]) -> [String?] {
        [row["requested"] as? String, row["hardware"] as? String]
    }

    private func number(_ row: [String: Any], _ column: String) throws -> Double {
        try #require(row[column] as? NSNumber, "\(column) of \(replay(row))").doubleValue
    }

    @Test(arguments: groupings) func savingsAddUp(grouping: String) throws {
        let (whole, parts) = (try report("savings"), try report("savings", by: grouping))
        #expect(whole.count == Self.policies.count * 2)
        for row in whole {
            let own = parts.filter { replay($0) == replay(row) }
            #expect(own.count >= 3)
            #expect(Set(own.compactMap { $0[grouping] as? String }).count == own.count)
            var columns = ["unmap_calls", "pages_unmapped", "flushes", "saved_flushes"]
            if row["hardware"] is String {
                columns += ["commands", "domain_commands", "waits", "pages_invalidated", "over_invalidated_pages"]
            }
            for column in columns {
                let sum = try own.reduce(0) { $0 + (try number($1, column)) }
                #expect(try sum == number(row, column), "\(column) of \(replay(row))")
            }
            for part in own {
                #expect(
                    try number(part, "saved_flushes") == number(part, "unmap_calls") - number(part, "flushes"))
                // A domain's ring is nobody's else.
                #expect((part["flushes_pending"] is NSNull) == (grouping != "domain"))
                #expect(["recorded", "inferred", "modelled", "assumed"].contains(part["evidence"] as? String))
            }
        }
    }

    @Test func flushesAreOfTheTaskInWhoseCallTheyRun() throws {
        let rows = try report("savings", by: "task").filter { $0["hardware"] is NSNull }
        func flushes(_ policy: String) -> [String: Int] {
            Dictionary(
                uniqueKeysWithValues: rows.filter { $0["requested"] as? String == policy }.compactMap { row in
                    (row["task"] as? String).flatMap { task in (row["flushes"] as? Int).map { (task, $0) } }
                })
        }
        // In the log a kworker flushes what others unmapped, and nobody's timer is seen.
        var recorded: [String: Int] = [:]
        for line in log.log.lines where line.contains(": sync: ") || line.contains(": flush_all: ") {
            recorded[String(line.drop { $0 == " " }.prefix { $0 != " " }), default: 0] += 1
        }
        #expect(flushes("recorded") == recorded)
        #expect(flushes("every=300us").filter { $0.value > 0 }.map(\.key) == ["no task: timers"])
        for policy in ["sync", "vfio", "batch=5"] { #expect(flushes(policy)["no task: timers"] == nil) }
        let kworker = try #require(
            rows.first {
                $0["requested"] as? String == "recorded" && ($0["task"] as? String)?.hasPrefix("kworker") == true
            })
        #expect(kworker["unmap_calls"] as? Int == 0)
        #expect(try number(kworker, "saved_flushes") < 0)
        #expect(kworker["saved_percent"] is NSNull)
    }

    @Test(arguments: groupings) func costsAddUp(grouping: String) throws {
        let (whole, parts) = (try report("costs"), try report("costs", by: grouping))
        for row in whole {
            let own = parts.filter { replay($0) == replay(row) }
            #expect(own.count >= 3)
            let ends = ["page_table", "queue", "flush", "total"].flatMap { name in
                ["low", "typical", "high"].map { "\(name)_\($0)_ms" }
            }
            for column in ends + ["saved_typical_ms"] {
                // Each is rounded to a ps.
                let sum = try own.reduce(0) { $0 + (try number($1, column)) }
                #expect(
                    abs(try sum - number(row, column)) < 1e-6 * Double(own.count + 1), "\(column) of \(replay(row))")
            }
            for part in own {
                for name in ["page_table", "queue", "flush", "total", "saved"] {
                    let interval = try ["low", "typical", "high"].map { try number(part, "\(name)_\($0)_ms") }
                    #expect(interval == interval.sorted())
                }
            }
        }
    }

    /// What is said of a grouping stands under its table only.
    @Test(arguments: ["savings", "costs"]) func notes(name: String) throws {
        let words = "note: a flush is of the device and task in whose call it runs"
        for (grouping, isSaid) in [("trace", false), ("domain", false), ("device", true), ("task", true)] {
            let table = try run("report", name, "--by", grouping)
            #expect(table.exitCode == 0)
            #expect(table.output.contains(words) == isSaid, "\(grouping)")
        }
        #expect(try !run("report", name).output.contains(words))
    }

    @Test func withoutFlushes() throws {
        var bare = FtraceLog(calls: 30)
        bare.lines.removeAll { line in ["sync: ", "hw_flush: ", "qi_submit: "].contains { line.contains($0) } }
        try folder.write(bare.text, to: "bare.txt")
        #expect(try run("import", "bare.txt").exitCode == 0)
        #expect(try run("replay", "-p", "recorded", "-p", "sync", "--hardware", "vtd-6.1").exitCode == 0)
        for grouping in ["device", "task"] {
            let rows = try run("report", "savings", "--trace", "bare", "--by", grouping, "--format", "json").objects()
            for row in rows {
                let isTold = row["requested"] as? String == "sync"
                for column in ["flushes", "saved_flushes", "commands", "waits"] {
                    #expect((row[column] is NSNull) != isTold, "\(column)")
                }
            }
            #expect(Set(rows.map { $0["requested"] as? String }) == ["recorded", "sync"])
            let costs = try run("report", "costs", "--trace", "bare", "--by", grouping, "--format", "json").objects()
            #expect(costs.count == rows.count)
            for row in costs {
                #expect((row["total_typical_ms"] is NSNull) == (row["requested"] as? String == "recorded"))
                #expect(row["page_table_typical_ms"] is NSNumber)
            }
        }
    }
}
