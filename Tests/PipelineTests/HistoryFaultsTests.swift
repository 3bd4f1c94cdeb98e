import Foundation
import GRDB
import Ingest
import Replay
import Reporting
import TestSupport
import Testing
import TraceStore

/// `history` tells of an address what report faults tells of a fault there, and all that it promises (design §4 28).
struct HistoryFaultsTests {
    private struct Row {
        var cells: [String: String]
        subscript(column: String) -> String { cells[column] ?? "" }
    }

    private static func rows(_ text: String) throws -> [Row] {
        let rows = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
        return rows.map { row in Row(cells: row.mapValues { ($0 as? NSNumber)?.stringValue ?? $0 as? String ?? "" }) }
    }

    private static func history(
        _ first: UInt64, _ last: UInt64, limit: Int64 = 100_000, domain: String? = nil, in store: TraceStore
    ) throws -> [Row] {
        let history = History(first...last, domain: domain, limit: limit)
        return try rows(Pipeline.csv { _ = try history.write(from: store, format: .json, to: $0) })
    }

    private static func outcome(_ first: UInt64, _ last: UInt64, in store: TraceStore) throws -> History.Outcome {
        var outcome = History.Outcome()
        _ = try Pipeline.csv {
            outcome = try History(first...last, limit: 100_000).write(from: store, format: .csv, to: $0)
        }
        return outcome
    }

    private static func faults(in store: TraceStore) throws -> [Row] {
        let report = try #require(Report.named("faults"))
        return try rows(
            Pipeline.csv { try report.write(from: store, trace: nil, by: "fault", format: .json, to: $0) })
    }

    private static func store(_ log: String, name: String = "log.txt") throws -> TraceStore {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(FtraceText.expand(log), to: name), into: store)
        return store
    }

    // MARK: - Agreement

    /// Maps, unmaps, flushes and faults of two domains at the same addresses: misaligned ones, failed maps, unmaps of nothing, of less, of more,
    /// syncs within calls, of parts, of nothing, of everything, and faults of a device that the log shows nowhere.
    private static func log(_ seed: UInt64) -> String {
        var generator = SeededGenerator(seed: seed)
        var lines = [
            "0 7 1 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev=\"0000:00:03.0\"",
            "0 7 2 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xb dev=\"0000:00:04.0\"",
        ]
        func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
        for index in 0..<300 {
            let time = 10 + index * 10
            let domain = Bool.random(using: &generator) ? "0xa" : "0xb"
            let base: UInt64 = Bool.random(using: &generator) ? 0x10000 : 0xffff_8000_0000_0000
            let iova =
                base + UInt64.random(in: 0..<40, using: &generator) * 4096
                + (Int.random(in: 0..<8, using: &generator) == 0 ? 2048 : 0)
            let size = [4096, 4096, 8192, 16384, 65536].randomElement(using: &generator) ?? 4096
            let last = hex(iova + UInt64(size) - 1)
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<3:
                lines.append(
                    "0 7 \(time) map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(hex(iova)) paddr=0x2000 size=\(size) prot=0x6"
                )
                // Without its tracepoint it failed.
                guard Int.random(in: 0..<6, using: &generator) > 0 else { continue }
                lines.append(
                    "0 7 \(time + 1) map: IOMMU: iova=\(hex(iova)) - \(hex(iova + UInt64(size))) paddr=0x2000 size=\(size)"
                )
            case 3..<6:
                let removed = [size, size, size / 2, 0, size * 2].randomElement(using: &generator) ?? size
                lines.append(
                    "0 7 \(time) unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(hex(iova)) size=\(size) queued=0"
                )
                if Bool.random(using: &generator) {
                    lines.append(
                        "0 7 \(time + 1) sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=\(hex(iova)) end=\(last) pgsize=4096"
                    )
                }
                lines.append(
                    "0 7 \(time + 2) unmapped: (iommu.unmap) iova=\(hex(iova)) size=\(size) unmapped=\(removed)")
            case 6:
                let end = Bool.random(using: &generator) ? last : hex(iova &- 1)
                lines.append(
                    "\(Int.random(in: 0...1, using: &generator)) 7 \(time) sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=\(hex(iova)) end=\(end) pgsize=4096"
                )
            case 7 where Int.random(in: 0..<3, using: &generator) == 0:
                lines.append("0 7 \(time) flush_all: (intel_flush_iotlb_all+0x5/0xd0) domain=\(domain)")
            default:
                let device = ["3", "4", "9"].randomElement(using: &generator) ?? ""
                let address = hex(iova & ~4095 + UInt64.random(in: 0..<4096, using: &generator))
                lines.append("1 8 \(time) io_page_fault: IOMMU:nvme 0000:00:0\(device).0 iova=\(address) flags=0x1")
            }
        }
        return lines.joined(separator: "\n")
    }

    @Test("of each fault both tell the same last map, unmap and flush, however wide the range", arguments: 1...3)
    func agree(seed: UInt64) throws {
        let store = try Self.store(Self.log(seed))
        let faults = try Self.faults(in: store)
        var told: Set<String> = []
        let everywhere = try Self.history(0, .max, in: store)
        for (index, fault) in faults.enumerated() {
            let address = try #require(UInt64(fault["iova"].dropFirst(2), radix: 16))
            let page = address & ~4095
            let expected =
                ["use after unmap": "unmapped", "never mapped": "unseen"][fault["finding"]] ?? "mapped"
            told.insert("\(expected) \(fault["domain_is"]) \(fault["flushed"])")
            // A query each is slow: one in three shows as much.
            let near = index % 3 == 0 ? try Self.history(page, page + 4095, in: store) : nil
            for rows in [near, everywhere].compactMap({ $0 }) {
                let row = try #require(
                    rows.first { $0["what"] == "io_page_fault" && $0["time_ns"] == fault["time_ns"] })
                #expect(row["before"] == expected, "\(fault)")
                #expect(
                    row["since_ns"] == fault[expected == "unmapped" ? "unmapped_ns_ago" : "mapped_ns_ago"],
                    "\(fault)")
                #expect(row["evidence"] == fault["evidence"])
                #expect(row["access"] == fault["access"])
            }
            // The flush of the unmap, where the page is the first of it in the range.
            guard let near, !fault["unmap_place"].isEmpty else { continue }
            let unmap = try #require(
                near.first { $0["what"] == "unmap_fast" && $0["place"] == fault["unmap_place"] }, "\(fault)")
            let begin = try #require(Int64(unmap["time_ns"]))
            let flushes = near.filter { row in
                row["what"] == "flush" && row["policy"] == "as logged" && row["domain"] == fault["domain"]
                    && (Int64(row["time_ns"]) ?? 0) - (Int64(row["since_ns"]) ?? 0) == begin
            }
            #expect(flushes.map { $0["since_ns"] } == [fault["flushed_ns"]], "\(fault)")
            #expect((flushes.first?["note"] == "not seen") == (fault["flushed"] == "not seen"))
        }
        #expect(faults.count > 40)
        #expect(told.count >= 6, "\(told)")
    }

    @Test("neither --limit nor --domain changes what is said of a row", arguments: 1...2)
    func limits(seed: UInt64) throws {
        let store = try Self.store(Self.log(seed))
        let all = try Self.history(0x10000, 0x30000, in: store)
        let domain = try #require(all.first { !$0["domain"].isEmpty }?["domain"])
        let columns = ["before", "since_ns", "page", "note", "asked", "inside_call", "evidence"]
        for (limit, name) in [(7, nil), (20, nil), (100_000, domain)] as [(Int64, String?)] {
            let few = try Self.history(0x10000, 0x30000, limit: limit, domain: name, in: store)
            let own = few.filter { $0["what"] != "page mapped elsewhere" }
            #expect(!own.isEmpty)
            for row in own {
                let same = all.filter { other in
                    ["time_ns", "what", "policy", "iova", "place"].allSatisfy { other[$0] == row[$0] }
                }
                #expect(
                    same.contains { other in columns.allSatisfy { other[$0] == row[$0] } }, "\(row) \(same)")
            }
        }
    }

    @Test("a flush of another part of the range is none of an unmap")
    func flushOfAnotherPart() throws {
        let store = try Self.store(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=0
            0 7 11 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            0 7 12 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x4000 end=0x4fff pgsize=4096
            0 7 13 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0xfff pgsize=4096
            0 7 20 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x1fff pgsize=4096
            """)
        let rows = try Self.history(0x1000, 0x4fff, in: store).filter { $0["what"] == "flush" }
        #expect(rows.map { $0["since_ns"] } == ["9000"])
    }

    @Test("an unmap of a part of a mapping, or of several, is no unmap of what nobody mapped")
    func partsOfMappings() throws {
        let store = try Self.store(
            """
            0 7 1 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x10000 paddr=0x500000 size=65536 prot=0x3
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x12000 size=4096 queued=0
            0 7 11 unmapped: (iommu.unmap) iova=0x12000 size=4096 unmapped=4096
            0 7 12 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x10000 size=8192 queued=0
            0 7 13 unmapped: (iommu.unmap) iova=0x10000 size=8192 unmapped=8192
            0 7 20 map: (__iommu_map+0x5/0x2a0) domain=0xb iova=0x800000 paddr=0x502000 size=4096 prot=0x3
            0 7 21 map: (__iommu_map+0x5/0x2a0) domain=0xb iova=0x801000 paddr=0x503000 size=4096 prot=0x3
            """)
        let rows = try Self.history(0x10000, 0x1ffff, in: store)
        #expect(rows.filter { $0["what"] == "unmap_fast" }.map { $0["before"] } == ["mapped", "mapped"])
        // What was unmapped of it is unmapped, and the rest is not.
        #expect(
            rows.filter { $0["what"] == "page mapped elsewhere" }.map { [$0["iova"], $0["before"]] }
                == [["0x800000", "unmapped"], ["0x801000", "mapped"]])
    }

    // MARK: - Bounds

    /// A mapping of so many pages, and pages of it that are mapped again in another domain.
    private static func large(pages: UInt64, again: [UInt64]) -> String {
        let maps = again.enumerated().map { index, page in
            "0 7 \(10 + index) map: (__iommu_map+0x5/0x2a0) domain=0xb iova=0x\(String(0x1000 * (index + 1), radix: 16)) paddr=0x\(String(0x1_0000_0000 + page * 4096, radix: 16)) size=4096 prot=0x3"
        }
        return
            ([
                "0 7 1 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x40000000 paddr=0x100000000 size=\(pages * 4096) prot=0x3"
            ]
            + maps).joined(separator: "\n")
    }

    @Test(
        "all pages of a large mapping are looked up elsewhere, up to 4096 of them",
        arguments: [512, 513, 1024, 4096] as [UInt64])
    func largeMapping(pages: UInt64) throws {
        let again = [0, 511, 512, 513, 1023, 1024, 4095, 4096].filter { $0 < pages }
        let store = try Self.store(Self.large(pages: pages, again: again))
        let last = 0x4000_0000 + pages * 4096 - 1
        let rows = try Self.history(0x4000_0000, last, in: store)
        #expect(rows.filter { $0["what"] == "page mapped elsewhere" }.count == again.count)
        #expect(try Self.outcome(0x4000_0000, last, in: store).pagesLeftOut == 0)
    }

    @Test("what is beyond 4096 pages is said to be left out, for each trace by itself")
    func tooLarge() throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        for (name, pages) in [("one", 5000), ("two", 4097), ("three", 16)] as [(String, UInt64)] {
            let log = Self.large(pages: pages, again: [3, 4095, 4096].filter { $0 < pages })
            try Pipeline.importLog(folder.write(FtraceText.expand(log), to: "\(name).txt"), into: store)
        }
        let rows = try Self.history(0x4000_0000, 0x5000_0000, in: store)
        let elsewhere = rows.filter { $0["what"] == "page mapped elsewhere" }
        #expect(elsewhere.count { $0["trace"] == "one" } == 2)
        #expect(elsewhere.count { $0["trace"] == "two" } == 2)
        #expect(elsewhere.count { $0["trace"] == "three" } == 1)
        let left = Dictionary(rows.map { ($0["trace"], $0["pages_left_out"]) }) { first, _ in first }
        #expect(left == ["one": "904", "two": "1", "three": "0"])
        #expect(try Self.outcome(0x4000_0000, 0x5000_0000, in: store).pagesLeftOut == 905)
    }

    @Test("a mapping that does not begin on a page is found by each page that it touches")
    func misaligned() throws {
        let store = try Self.store(
            """
            0 7 1 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x1800 paddr=0x500800 size=4096 prot=0x3
            0 7 9 io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x2040 flags=0x0001
            """)
        #expect(try Self.faults(in: store).map { $0["finding"] } == ["still mapped"])
        let rows = try Self.history(0x2000, 0x2fff, in: store)
        #expect(rows.map { $0["before"] } == ["unseen", "mapped"])
    }

    @Test("a sync within a call is found however much other CPUs do meanwhile")
    func longCall() throws {
        var lines = [
            "0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=8192 queued=0",
            "0 7 11 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x1fff pgsize=4096",
        ]
        for index in 0..<100 {
            lines.append(
                "1 8 \(12 + index) map: (__iommu_map+0x5/0x2a0) domain=0xb iova=0x\(String(0x1000 * (index + 1), radix: 16)) paddr=0x5000 size=4096 prot=0x3"
            )
        }
        lines += [
            "0 7 200 unmapped: (iommu.unmap) iova=0x1000 size=8192 unmapped=8192",
            "0 7 201 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev=\"0000:00:03.0\"",
            "1 8 202 io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x1040 flags=0x0001",
        ]
        let store = try Self.store(lines.joined(separator: "\n"))
        let fault = try #require(try Self.faults(in: store).first)
        #expect(fault["flushed_ns"] == "-189000")
        #expect(fault["flushed"] == "before the fault")
        let flush = try #require(
            try Self.history(0x1000, 0x1fff, domain: fault["domain"], in: store).first { $0["policy"] == "as logged" })
        #expect(flush["since_ns"] == "-189000" && flush["inside_call"] == "1")
    }

    // MARK: - What was replayed besides

    /// An unmap, its sync with a descriptor that comes after it, a fault after 12 ms.
    private static let deferred = """
        0 7 1 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev="0000:00:03.0"
        0 7 2 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x1000 paddr=0x5000 size=4096 prot=0x3
        0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=0
        0 7 11 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
        0 7 20 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x1fff pgsize=4096
        0 7 25 qi_submit: iotlb_inv dmar0: 0x700f2 0x1000 0x0 0x0
        0 7 400 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x9000 paddr=0x9000 size=4096 prot=0x3
        1 8 18000 io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x1040 flags=0x0001
        0 7 30000 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0xa000 paddr=0x9000 size=4096 prot=0x3
        """

    @Test(
        "what the log shows of a fault's flush does not depend on replays, and a replay of a part hides nothing after it"
    )
    func otherReplays() throws {
        let store = try Self.store(Self.deferred)
        func fault() throws -> Row { try #require(try Self.faults(in: store).first) }
        let before = try fault()
        #expect(before["flushed_ns"] == "9000" && before["flushed"] == "before the fault")
        #expect(before["hidden"] == "no" && before["hidden_because"] == "age")
        var options = ReplayOptions()
        options.windows = .all
        let requests = [Replay.Request(.recorded), Replay.Request(.kernelQueue)]
        // It ends while the queue still waits: that its window has no end there says nothing of the fault.
        var part = options
        part.part = .times(since: nil, until: .init(parsing: "100.0005"))
        _ = try Replay(requests, options: part).run(in: store, trace: nil)
        let partly = try fault()
        #expect(partly["hidden"] == "no" && partly["hidden_because"] == "age")
        #expect(partly["flushed_ns"] == before["flushed_ns"])
        _ = try Replay(requests, options: options).run(in: store, trace: nil)
        let after = try fault()
        #expect(after["hidden"] == "no" && after["hidden_because"] == "replay")
        #expect(after["flushed_ns"] == before["flushed_ns"])
        #expect(try #require(Int64(after["replay_flushed_ns"])) > 10_000_000)
        // And the history tells which rows are of the part.
        let rows = try Self.history(0x1000, 0x1fff, in: store).filter { $0["policy"] == "queue=256,10ms" }
        #expect(
            rows.map { [$0["note"], $0["options"].isEmpty ? "whole" : "part"] }.sorted { $0[0] < $1[0] }
                == [["open", "part"], ["timer", "whole"]])
    }
}
