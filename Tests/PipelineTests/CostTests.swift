import Foundation
import GRDB
import IOMMUModel
import Replay
import Reporting
import TestSupport
import Testing
import TraceStore

/// Report costs, against figures that were computed by hand, and what must hold for any log.
struct CostTests {
    /// Three calls that remove 34 pages, as in `Diff/time-spent.txt`; the log goes on for longer than a flush queue's timer.
    private static func store(hardware: HardwareProfile? = nil, _ policies: [String]) throws -> TraceStore {
        let folder = try #require(Bundle.module.resourceURL?.appending(path: "Diff"))
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.appending(path: "time-spent.txt").path, into: store)
        var options = ReplayOptions()
        options.hardware = hardware.map { Hardware($0) }
        _ = try Replay(try policies.map { try Replay.Request($0) }, options: options).run(in: store, trace: nil)
        return store
    }

    private static func rows(
        _ store: TraceStore, by grouping: String = "trace", costs: CostFile? = nil
    ) throws -> [[String: DatabaseValue]] {
        let report = try #require(Report.named("costs"))
        return try store.read { database in
            let json = try costs?.json()
            return try Row.fetchAll(
                database, sql: report.sql, arguments: ["trace": nil, "by": grouping, "cost": json]
            ).map { Dictionary($0.map { ($0.0, $0.1) }, uniquingKeysWith: { first, _ in first }) }
        }
    }

    /// Low, typical and high in ns.
    private static func interval(_ row: [String: DatabaseValue], _ name: String) -> [Double] {
        ["low", "typical", "high"].map { end in
            let value = row["\(name)_\(end)_ms"].flatMap { Double.fromDatabaseValue($0) } ?? -1
            return (value * 1e6).rounded()
        }
    }

    @Test("times of each part and what is saved, without a hardware profile")
    func byHand() throws {
        let rows = try Self.rows(Self.store(["per-page", "sync", "fast"]))
        try #require(rows.count == 3)
        for row in rows { #expect(Self.interval(row, "page_table") == [180, 241, 1255]) }
        #expect(Self.interval(rows[0], "flush") == [8160, 23800, 68000])
        #expect(Self.interval(rows[1], "flush") == [720, 2100, 6000])
        #expect(Self.interval(rows[1], "total") == [900, 2341, 7255])
        #expect(Self.interval(rows[2], "queue") == [150, 210, 300])
        #expect(Self.interval(rows[2], "flush") == [500, 1000, 5000])
        #expect(Self.interval(rows[2], "total") == [830, 1451, 6555])
        // 31 syncs more than sync needs: each end takes the same constant on both sides.
        #expect(Self.interval(rows[0], "saved") == [-62000, -21700, -7440])
        #expect(Self.interval(rows[1], "saved") == [0, 0, 0])
        // 3 syncs - 3 entries - 1 flush_all: the low end takes the low sync and the high others.
        #expect(Self.interval(rows[2], "saved") == [-4580, 890, 5350])
        // 6555 ns of 50 ms.
        #expect(rows[2]["cpu_high_percent"] == 0.013.databaseValue)
        #expect(
            rows[2]["constants"]
                == "unmap_base 60..70..160 ns, unmap_pte 0.5..1..25 ns, queue_entry 50..70..100 ns, flush_all 500..1000..5000 ns"
                .databaseValue)
        #expect(rows.allSatisfy { $0["evidence"] == "modelled".databaseValue })
    }

    @Test("commands beyond the first of a submission, and the sync of the same hardware to be held against")
    func hardware() throws {
        let rows = try Self.rows(Self.store(hardware: .smmuv3, ["sync", "fast"]))
        try #require(rows.count == 2)
        // One command for each page, so 31 commands beside the first ones of 3 syncs: 720 + 620, 1200 + 1550, 1680 + 4650.
        #expect(Self.interval(rows[0], "flush") == [1340, 2750, 6330])
        #expect(Self.interval(rows[0], "saved") == [0, 0, 0])
        #expect(Self.interval(rows[1], "flush") == [500, 1000, 5000])
        // Of that, less the queue's 300, 210, 150 and the flush_all's 5000, 1000, 500.
        #expect(Self.interval(rows[1], "saved") == [-3960, 1540, 5680])
        let alone = try Self.rows(Self.store(hardware: .smmuv3, ["fast"]))
        #expect(alone.map { $0["saved_typical_ms"] } == [.null])
        #expect(alone.map { Self.interval($0, "flush") } == [[500, 1000, 5000]])
    }

    @Test("a file's constants stand before the built-in ones, one by one")
    func overrides() throws {
        let costs = try CostFile(Data("sync 1 2 3 measured me\nqueue_entry 10 10 10 hearsay him".utf8), name: "mine")
        let rows = try Self.rows(Self.store(["sync", "fast"]), costs: costs)
        try #require(rows.count == 2)
        #expect(Self.interval(rows[0], "flush") == [3, 6, 9])
        #expect(Self.interval(rows[1], "queue") == [30, 30, 30])
        #expect(Self.interval(rows[1], "flush") == [500, 1000, 5000])
        #expect(rows[1]["cost_file"] == "built in,mine".databaseValue)
    }

    @Test(
        "in every log an interval is one, the parts make the total, and domains, devices and tasks the trace",
        arguments: SharedTraces.bundled)
    func properties(log: RecordedLog) throws {
        let store = try PreparedLogs.copy(of: log)
        for hardware in [nil, HardwareProfile.vtd612] {
            var options = ReplayOptions()
            options.hardware = hardware.map { Hardware($0) }
            let policies = ["sync", "recorded", "vfio", "batch=8", "queue=256,10ms", "every=1ms", "end", "per-page"]
            _ = try Replay(try policies.map { try Replay.Request($0) }, options: options).run(in: store, trace: nil)
        }
        let whole = try Self.rows(store)
        let groupings = try ["domain", "device", "task"].map { try Self.rows(store, by: $0) }
        #expect(whole.count == 16)
        func key(_ row: [String: DatabaseValue]) -> [DatabaseValue?] { [row["requested"], row["hardware"]] }
        for row in whole {
            let isTold = row["flushes"]?.isNull == false
            for parts in groupings.map({ $0.filter { key($0) == key(row) } }) {
                for name in ["unmap_calls", "flushes", "commands", "waits"] where row[name]?.isNull == false {
                    let sum = parts.reduce(Int64(0)) { $0 + ($1[name].flatMap { Int64.fromDatabaseValue($0) } ?? -1) }
                    #expect(row[name] == sum.databaseValue, "\(key(row)) \(name)")
                }
            }
            for name in isTold ? ["total", "page_table", "queue", "flush", "saved"] : ["page_table", "queue"] {
                let ends = Self.interval(row, name)
                #expect(ends == ends.sorted(), "\(key(row)) \(name)")
                for own in groupings.map({ $0.filter { key($0) == key(row) } }) {
                    for (index, end) in ends.enumerated() where name != "saved" || index == 1 {
                        let sum = own.map { Self.interval($0, name)[index] }.reduce(0, +)
                        #expect(abs(sum - end) <= 2 * Double(own.count), "\(key(row)) \(name)")
                    }
                }
            }
            guard isTold else {
                #expect(row["total_typical_ms"] == .null)
                #expect(row["saved_typical_ms"] == .null)
                continue
            }
            let sums = zip(
                zip(Self.interval(row, "page_table"), Self.interval(row, "queue")), Self.interval(row, "flush")
            ).map { $0.0 + $0.1 + $1 }
            for (sum, total) in zip(sums, Self.interval(row, "total")) { #expect(abs(sum - total) <= 3) }
            if row["requested"] == "sync".databaseValue { #expect(Self.interval(row, "saved") == [0, 0, 0]) }
        }
        // Nothing is sent for a domain without devices.
        #expect(
            try Pipeline.number(
                """
                SELECT count(*)
                FROM (SELECT replay, domain, sum(times) AS times FROM what_takes_time WHERE constant = 'sync' GROUP BY 1, 2) AS step
                JOIN replay_domain USING (replay, domain) JOIN replay ON replay.id = step.replay
                WHERE replay.policy = 'sync' AND hardware IS NULL AND times <> replay_domain.unmap_calls - detached_calls
                """, in: store) == 0)
    }
}

/// What a log says about times, by nearest rank, and the cost file that comes of it.
struct CalibrationTests {
    /// Ten unmaps: their clears take 1 to 10 µs, their syncs reach the hardware after as long, and the task goes on after twice
    /// as long. One map takes 4 µs; of the log's first one it is not known before its tracepoint that there are any.
    private static let log: String = {
        let domain = "domain=0xff2caa95c1103290"
        var lines = [
            "0 7 0 map: (__iommu_map+0x5/0x2a0) \(domain) iova=0x1000 paddr=0x9000 size=4096 prot=0x7",
            "0 7 3 map: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x0000000000009000 size=4096",
            "0 7 10 map: (__iommu_map+0x5/0x2a0) \(domain) iova=0x2000 paddr=0x9000 size=4096 prot=0x7",
            "0 7 14 map: IOMMU: iova=0x0000000000002000 - 0x0000000000003000 paddr=0x0000000000009000 size=4096",
        ]
        var time = 100
        for index in 1...10 {
            lines += [
                "0 7 \(time) unmap_fast: (iommu_unmap_fast+0x5/0x10) \(domain) iova=0x\(index)000 size=4096 queued=0",
                "0 7 \(time + index) unmapped: (iommu.unmap) iova=0x\(index)000 size=4096 unmapped=4096",
                // Another task and another CPU: neither is what comes next.
                "1 8 \(time + 20) tracing_mark_write: elsewhere",
                "0 7 \(time + 20) sync: (intel_iommu_tlb_sync+0x5/0xf0) \(domain) start=0x\(index)000 end=0x\(index)fff pgsize=4096",
                "0 7 \(time + 20 + index) qi_submit: iotlb_inv dmar0: 0x400f2 0x\(index)000 0x0 0x0",
            ]
            time += 20 + 2 * index
        }
        lines.append("0 7 \(time) tracing_mark_write: done")
        return FtraceText.expand(lines.joined(separator: "\n"))
    }()

    private static func store(_ log: String) throws -> TraceStore {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(log, to: "log.txt"), into: store)
        return store
    }

    @Test("percentiles are by nearest rank, and say what they are bounds of")
    func percentiles() throws {
        let report = try #require(Report.named("calibration"))
        let rows = try Self.store(Self.log).read {
            try Row.fetchAll($0, sql: report.sql, arguments: ["trace": "log"]).map { row in
                row.databaseValues.dropFirst().map { String.fromDatabaseValue($0) ?? "\($0)" }.joined(separator: "|")
            }
        }
        #expect(
            rows == [
                "sync to the first command|lower|sync|10|1000|5000|9000|10000|inferred|NULL",
                "sync to the last layer|lower|sync|10|1000|5000|9000|10000|inferred|NULL",
                "sync to the task's next event|upper|sync|10|2000|10000|18000|20000|inferred|sync, sync.vtd",
                "sync to the task's next event, an unmap|upper|sync|9|2000|10000|18000|18000|inferred|sync, sync.vtd",
                "unmap to its page-table clear, one page|upper|unmap_base|10|1000|5000|9000|10000|inferred|unmap_base",
                "map to its tracepoint, one page|upper|map_base|1|4000|4000|4000|4000|inferred|map_base",
            ])
    }

    @Test("a cost file has what the log bounds often enough, and everything else as it was")
    func costFile() throws {
        let calibration = try Calibration(from: Self.store(Self.log), trace: nil)
        #expect(calibration.constants.map(\.name) == [.unmapBase, .sync, .syncVTd])
        #expect(calibration.left.contains(.mapBase))
        let sync = try #require(calibration.constants.last)
        #expect([sync.low, sync.typical, sync.high] == [2000, 10000, 18000])
        #expect(sync.evidence == .inferred)
        #expect(sync.source.hasPrefix("calibrated from log: n = 10, p10, p50, p90 of 'sync to the task's next event'"))
        let file = try calibration.costFile()
        let builtIn = try CostFile.builtIn()
        #expect(file.constants.map(\.name) == builtIn.constants.map(\.name))
        for (own, other) in zip(file.constants, builtIn.constants) where calibration.left.contains(own.name) {
            #expect(own == other)
        }
    }

    @Test("a log without flushes, or without what the hardware was told, bounds nothing")
    func refusals() throws {
        let lines = Self.log.split(separator: "\n")
        for word in [" sync: ", " qi_submit: "] {
            let store = try Self.store(lines.filter { !$0.contains(word) }.joined(separator: "\n") + "\n")
            #expect(throws: CalibrationError.withoutFlushTimes(trace: "log")) {
                try Calibration(from: store, trace: nil)
            }
        }
        let empty = try TraceStore(path: "", access: .create)
        try empty.write { _ in }
        #expect(throws: StoreError.noTraces(path: "")) { try Calibration(from: empty, trace: nil) }
    }

    @Test("times as large as a log can write them are bounds, too")
    func hugeTimes() throws {
        let domain = "domain=0xff2caa95c1103290"
        var lines: [String] = []
        for index in 0..<12 {
            // A clock that jumps to and fro.
            let time = index % 2 == 0 ? "1.000000" : "9223372035.999999"
            for event in [
                "unmap_fast: (iommu_unmap_fast+0x5/0x10) \(domain) iova=0x1000 size=4096 queued=0",
                "sync: (intel_iommu_tlb_sync+0x5/0xf0) \(domain) start=0x1000 end=0x1fff pgsize=4096",
                "qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0",
            ] { lines.append("           fio-271     [001] d.Z..  \(time): \(event)") }
            lines.append(
                "           fio-271     [001] d.Z..  \(index % 3 == 0 ? "9223372035.999999" : "0.000000"): unmapped: (iommu.unmap) "
                    + "iova=0x1000 size=4096 unmapped=4096")
        }
        let store = try Self.store(lines.joined(separator: "\n") + "\n")
        let file = try Calibration(from: store, trace: nil).costFile()
        #expect(file.constants.allSatisfy { $0.low <= $0.typical && $0.typical <= $0.high })
        #expect(try CostFile(Data(file.text.utf8), name: "own").constants.count == file.constants.count)
        try Pipeline.replay(in: store)
        for name in ["costs", "calibration"] {
            let report = try #require(Report.named(name))
            for format in OutputFormat.allCases {
                #expect(try report.write(from: store, trace: nil, by: nil, format: format, to: TextOutput { _ in }) > 0)
            }
        }
    }

    @Test("a sync within an unmap is not what comes after it, and a clock that runs backwards has no lengths")
    func nesting() throws {
        let domain = "domain=0xff2caa95c1103290"
        let store = try Self.store(
            FtraceText.expand(
                """
                0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) \(domain) iova=0x1000 size=4096 queued=0
                0 7 12 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
                0 7 20 unmap_fast: (iommu_unmap_fast+0x5/0x10) \(domain) iova=0x9000 size=4096 queued=0
                0 7 24 sync: (intel_iommu_tlb_sync+0x5/0xf0) \(domain) start=0x1000 end=0x1fff pgsize=4096
                0 7 26 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
                0 7 31 unmapped: (iommu.unmap) iova=0x9000 size=4096 unmapped=4096
                0 7 40 sync: (intel_iommu_tlb_sync+0x5/0xf0) \(domain) start=0x9000 end=0x9fff pgsize=4096
                0 7 39 qi_submit: iotlb_inv dmar0: 0x400f2 0x9000 0x0 0x0
                0 7 38 tracing_mark_write: done
                """))
        let report = try #require(Report.named("calibration"))
        let rows = try store.read {
            try Row.fetchAll($0, sql: report.sql, arguments: ["trace": nil]).map {
                "\($0["measure"] as String)|\($0["n"] as Int64)|\($0["p50_ns"] as Int64)"
            }
        }
        #expect(
            rows == [
                "sync to the first command|1|2000", "sync to the last layer|1|2000",
                "sync to the task's next event|1|7000", "sync to the task's next event, an unmap|1|7000",
                "unmap to its page-table clear, one page|1|2000",
            ])
    }
}
