import Foundation
import GRDB
import IOMMUModel
@testable import Replay
import TestSupport
import Testing
import TraceStore

@testable import Reporting

/// Page sizes and churn, against computations that are written differently.
struct WorkloadTests {
    private static let logs =
        SharedTraces.bundled + SharedTraces.labProbes.filter { $0.name.hasPrefix("6.12") }.prefix(2)
        + SharedTraces.labProbes.filter { $0.name.contains("amd") }.prefix(1)

    /// An imported and replayed log. Page sizes of two kinds, so that both stand beside each other.
    private static func store(_ log: RecordedLog) throws -> TraceStore {
        try PreparedLogs.copy(of: log, after: "replays of two page sizes") { store in
            try Pipeline.replay(in: store)
            try Pipeline.replay(in: store, options: ReplayOptions(pageSizes: .fourK))
        }
    }

    private static func rows(_ report: String, by grouping: String, _ store: TraceStore) throws -> [Row] {
        let report = try #require(Report.named(report))
        return try store.read {
            try Row.fetchAll($0, sql: report.sql, arguments: ["trace": nil, "by": grouping])
        }
    }

    /// What is sent to a test of a map, out of the operations themselves.
    private struct Call {
        var isMap: Bool
        var time: Int64
        var domain: Int64
        var iova: UInt64
        var paddr: UInt64?
        var size: UInt64
    }

    private static func calls(_ store: TraceStore) throws -> [Call] {
        try store.read { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT kind, time_ns, domain, iova, paddr, CASE WHEN kind = 1 THEN size ELSE coalesce(result, size) END
                    FROM operation WHERE kind IN (1, 2, 3) AND NOT flags & 32 ORDER BY id
                    """
            ).map { row in
                Call(
                    isMap: row[0] == 1, time: row[1], domain: row[2], iova: UInt64(bitPattern: row[3] as Int64),
                    paddr: (row[4] as Int64?).map { UInt64(bitPattern: $0) }, size: UInt64(row[5] as Int64))
            }
        }
    }

    // MARK: - Churn

    /// Page by page, in dictionaries.
    private struct ObviousChurn {
        var reuses = 0
        var longest: Int64 = -1
        var distances: [Int64] = []
        var pageReuses = 0
        var liveBytes: UInt64 = 0
        var peakBytes: UInt64 = 0
        var live: [SIMD2<UInt64>: UInt64?] = [:]
        var removed: [SIMD2<UInt64>: (call: Int64, time: Int64)] = [:]
        var removedPages: [UInt64: Int64] = [:]

        mutating func take(_ call: Call, number: Int64) {
            let domain = UInt64(call.domain)
            let pages = stride(from: call.iova, to: call.iova + call.size, by: 4096)
            if call.isMap {
                let first = SIMD2(domain, call.iova)
                if live[first] == nil, let moment = removed.removeValue(forKey: first) {
                    reuses += 1
                    longest = max(longest, call.time - moment.time)
                    distances.append(number - moment.call)
                }
                // Anything that is replaced is gone first.
                for page in pages where live.removeValue(forKey: SIMD2(domain, page)) != nil { liveBytes -= 4096 }
                if let paddr = call.paddr, removedPages.removeValue(forKey: paddr) != nil { pageReuses += 1 }
                for page in pages {
                    live[SIMD2(domain, page)] = .some(call.paddr.map { $0 + (page - call.iova) })
                    liveBytes += 4096
                }
                peakBytes = max(peakBytes, liveBytes)
            } else {
                for page in pages {
                    removed[SIMD2(domain, page)] = (number, call.time)
                    guard let target = live.removeValue(forKey: SIMD2(domain, page)) else { continue }
                    liveBytes -= 4096
                    if let target { removedPages[target] = number }
                }
            }
        }
    }

    @Test("churn is what dictionaries of pages count", arguments: logs.filter { !$0.name.contains("amd") })
    func churn(log: RecordedLog) throws {
        let store = try Self.store(log)
        let row = try #require(try Self.rows("churn", by: "trace", store).first)
        var obvious = ObviousChurn()
        for (index, call) in try Self.calls(store).enumerated() { obvious.take(call, number: Int64(index + 1)) }
        #expect(row["iova_reuses"] as Int64 == Int64(obvious.reuses))
        #expect(row["page_reuses"] as Int64 == Int64(obvious.pageReuses))
        #expect(row["iova_max_ns"] as Int64? == (obvious.reuses > 0 ? obvious.longest : nil))
        #expect(row["iova_max_calls"] as Int64? == obvious.distances.max())
        #expect(row["peak_live_bytes"] as Int64 == Int64(obvious.peakBytes))
        #expect(row["live_bytes"] as Int64 == Int64(obvious.liveBytes))
        // By nearest rank, up to the width of a bucket.
        let sorted = obvious.distances.sorted()
        for (percent, column) in [(50, "iova_p50_calls"), (90, "iova_p90_calls"), (99, "iova_p99_calls")]
        where !sorted.isEmpty {
            let exact = Double(sorted[(percent * sorted.count + 99) / 100 - 1])
            let found = Double(row[column] as Int64)
            #expect(found >= exact && found <= exact * 1.008, "\(column)")
        }
    }

    @Test("counts of calls and bytes are those of the operations", arguments: logs)
    func sums(log: RecordedLog) throws {
        let store = try Self.store(log)
        let expected = try store.read {
            try Row.fetchOne(
                $0,
                sql: """
                    SELECT sum(kind = 1), sum(kind <> 1), sum(CASE WHEN kind = 1 THEN size END),
                        sum(CASE WHEN kind <> 1 THEN coalesce(result, size) END)
                    FROM operation WHERE kind IN (1, 2, 3) AND NOT flags & 32
                    """)
        }
        for grouping in ["trace", "domain", "device", "task"] {
            for report in ["churn", "churn-timeline"] {
                let rows = try Self.rows(report, by: grouping, store)
                for (index, column) in ["maps", "unmaps", "mapped_bytes", "unmapped_bytes"].enumerated() {
                    #expect(
                        rows.reduce(0) { $0 + ($1[column] as Int64) } == expected?[index] as Int64?,
                        "\(report) \(column)")
                }
            }
            // Levels by whoever mapped add up to that of the trace.
            let end = try Self.rows("churn", by: grouping, store).reduce(0) { $0 + ($1["live_mappings"] as Int64) }
            let steps = try Self.rows("churn-timeline", by: grouping, store)
            let last = steps.map { $0["start_ns"] as Int64 }.max()
            #expect(steps.filter { $0["start_ns"] == last }.reduce(0) { $0 + ($1["live_mappings"] as Int64) } == end)
        }
        #expect(
            try Pipeline.number("SELECT sum(live_bytes) FROM mapping_summary", in: store)
                == Pipeline.number("SELECT live_bytes FROM churn_total WHERE told_by = 'trace'", in: store))
    }

    // MARK: - Page sizes

    @Test("bytes in large pages, and what would be, are what blocks of addresses say", arguments: logs)
    func pageSizes(log: RecordedLog) throws {
        let store = try Self.store(log)
        let rows = try Self.rows("page-sizes", by: "trace", store).filter { $0["offered"] == "4K,2M,1G" }
        for (size, name) in [(Int64(1 << 21), "2m"), (1 << 30, "1g")] {
            // Whole blocks of a range, and those that are blocks on both sides.
            func whole(_ address: String) -> String {
                "max((\(address) + size) / \(size) - (\(address) + \(size - 1)) / \(size), 0) * \(size)"
            }
            let isAlike = "((iova | paddr) - (iova & paddr)) % \(size) = 0"
            let rounded = "(iova + \(size - 1)) / \(size) * \(size)"
            let expected = try #require(
                try store.read {
                    try Row.fetchOne(
                        $0,
                        sql: """
                            SELECT total(size), total(CASE WHEN \(isAlike) THEN \(whole("iova")) END),
                                total(\(whole("paddr"))), total(\(whole("iova"))),
                                total(CASE WHEN \(isAlike) THEN max(iova + size - \(rounded), 0) END)
                            FROM operation WHERE kind = 1 AND NOT flags & 32
                            """)
                })
            func sum(_ column: String, _ isCounted: (Row) -> Bool = { _ in true }) -> Double {
                rows.filter(isCounted).reduce(0) { $0 + Double($1[column] as Int64) }
            }
            let large = sum("bytes") { ($0["page_size"] as Int64) >= size }
            #expect(sum("bytes") == expected[0])
            #expect(large == expected[1])
            #expect(large + sum("iova_lifted_\(name)_bytes") == expected[2])
            #expect(large + sum("paddr_lifted_\(name)_bytes") == expected[3])
            #expect(large + sum("length_lifted_\(name)_bytes") == expected[4])
            #expect(sum("offered_lifted_\(name)_bytes") == 0)
            // Where only 4K is offered, that is what keeps them small.
            let small = try Self.rows("page-sizes", by: "trace", store).filter { $0["offered"] == "4K" }
            #expect(small.allSatisfy { $0["capped_by"] == "offered" })
            #expect(small.reduce(0) { $0 + Double($1["offered_lifted_\(name)_bytes"] as Int64) } == large)
        }
    }

    @Test("the terms of iommu_pgsize, one by one")
    func limits() {
        let sizes = PageSizes.fourKTwoMOneG
        let (twoM, k): (UInt64, UInt64) = (1 << 21, 4096)
        #expect(sizes.limits(of: k, iova: k, paddr: 0, size: twoM) == .iova)
        #expect(sizes.limits(of: k, iova: 0, paddr: k, size: twoM) == .paddr)
        #expect(sizes.limits(of: k, iova: 0, paddr: twoM, size: twoM - k) == .length)
        #expect(sizes.limits(of: k, iova: k, paddr: k, size: k) == [.iova, .paddr, .length])
        #expect(sizes.limits(of: 1 << 30, iova: 0, paddr: 0, size: 1 << 40) == .offered)
        func large(_ limit: PageSizes.Limits, _ iova: UInt64, _ paddr: UInt64, _ length: UInt64) -> Range<UInt64> {
            sizes.largePages(notBelow: twoM, without: limit, iova: iova, paddr: paddr, length: length)
        }
        #expect(large(.iova, k, 0, twoM + k) == 0..<twoM)
        #expect(large(.paddr, k, 0, twoM + k).isEmpty)
        #expect(large(.length, twoM, 0, k) == 0..<k)
        #expect(large(.length, k, 0, k).isEmpty)
        #expect(
            PageSizes.fourK.largePages(notBelow: twoM, without: .offered, iova: 0, paddr: 0, length: twoM) == 0..<twoM)
        #expect(PageSizes.fourK.largePages(notBelow: twoM, without: .iova, iova: 0, paddr: 0, length: twoM).isEmpty)
    }

    // MARK: - What was unmapped last

    @Test("what was removed last is what a dictionary remembers", arguments: 0..<20)
    func lastRemoved(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var removed = LastRemoved(spaces: 2)
        var obvious: [SIMD2<UInt64>: LastRemoved.Moment] = [:]
        for number in 1...4000 {
            let page = UInt64.random(in: 0..<600, using: &random) << 12
            let space = Int32.random(in: 0..<2, using: &random)
            if Bool.random(using: &random) {
                let pages =
                    UInt64.random(in: 0..<4, using: &random) == 0 ? UInt64.random(in: 17..<60, using: &random) : 2
                let moment = LastRemoved.Moment(ordinal: Int64(number), time: Int64(number) * 3)
                guard let range = AddressRange(start: page, size: pages << 12) else { continue }
                removed.add(range, space: space, moment)
                for offset in 0..<pages { obvious[SIMD2(UInt64(space), page + offset << 12)] = moment }
            } else {
                let expected = obvious.removeValue(forKey: SIMD2(UInt64(space), page))
                #expect(removed.take(page, space: space) == expected)
            }
        }
    }

    /// Addresses that are never used again do not cost memory for ever, and the recent half is remembered.
    @Test func lastRemovedForgets() throws {
        var removed = LastRemoved(spaces: 1)
        let count = LastRemoved.limit * 2
        for number in 1...count {
            let range = try #require(AddressRange(start: UInt64(number) << 12, size: 4096))
            removed.add(range, space: 0, LastRemoved.Moment(ordinal: Int64(number), time: 0))
        }
        #expect(removed.take(UInt64(count) << 12, space: 0)?.ordinal == Int64(count))
        #expect(removed.take(UInt64(count - LastRemoved.limit / 4) << 12, space: 0) != nil)
        #expect(removed.take(1 << 12, space: 0) == nil)
    }

    // MARK: - Rows

    /// The summaries are written once, whatever is replayed afterwards, and go with the trace.
    @Test func kept() throws {
        let log = try #require(SharedTraces.bundled.first)
        let store = try Self.store(log)
        let tables = ["page_size_summary", "churn_total", "churn_step"]
        let before = try Pipeline.contents(of: store).filter { tables.contains($0.key) }
        try Pipeline.replay(in: store)
        #expect(try Pipeline.contents(of: store).filter { tables.contains($0.key) } == before)
        #expect(before.values.allSatisfy { !$0.isEmpty })
        let name = try #require(try store.read { try String.fetchOne($0, sql: "SELECT name FROM trace") })
        try store.forget(trace: name)
        for table in tables { #expect(try Pipeline.number("SELECT count(*) FROM \(table)", in: store) == 0) }
    }

    /// Figures of evidence: shares of one whole, and of the operations themselves.
    @Test("what evidence counts is there", arguments: logs) func evidence(log: RecordedLog) throws {
        let store = try Self.store(log)
        let rows = try Self.rows("evidence", by: "trace", store)
        let grades = rows.filter { $0["what"] == "domain of maps and unmaps" }
        let operations = try Pipeline.number("SELECT count(*) FROM operation WHERE kind IN (1, 2, 3)", in: store)
        #expect(grades.reduce(0) { $0 + ($1["count"] as Int64) } == operations)
        #expect(grades.allSatisfy { $0["total"] == operations })
        let pointers = try Pipeline.number(
            "SELECT count(*) FROM operation WHERE kind IN (1, 2, 3) AND grade IS NULL AND domain IS NOT NULL", in: store
        )
        #expect(grades.first { $0["part"] == "pointer" }?["count"] ?? 0 == pointers)
        let unmaps = try Pipeline.number("SELECT count(*) FROM operation WHERE kind IN (2, 3)", in: store)
        for what in ["bytes that unmaps removed", "which call unmaps were"] {
            #expect(rows.filter { $0["what"] == what }.reduce(0) { $0 + ($1["count"] as Int64) } == unmaps, "\(what)")
        }
        let removed = try Pipeline.number(
            "SELECT count(*) FROM operation WHERE kind IN (2, 3) AND result IS NOT NULL", in: store)
        #expect(rows.first { $0["part"] == "as returned" }?["count"] ?? 0 == removed)
        let constants = try Pipeline.number("SELECT count(*) FROM cost", in: store)
        #expect(rows.filter { $0["what"] == "cost constants" }.reduce(0) { $0 + ($1["count"] as Int64) } == constants)
        #expect(rows.allSatisfy { ["recorded", "inferred", "modelled", "assumed"].contains($0["evidence"] as String) })
        // Each row says in words what it rests on; what is not recorded, how it could be.
        #expect(rows.allSatisfy { EvidenceWords($0).restsOn != $0["basis"] as String })
        #expect(grades.allSatisfy { $0["part"] == "pointer" || EvidenceWords($0).recordBetter != nil })
        let parts = try Self.rows("evidence", by: "domain", store).filter { $0["what"] == "domain of maps and unmaps" }
        #expect(parts.reduce(0) { $0 + ($1["count"] as Int64) } == operations)
    }
}
