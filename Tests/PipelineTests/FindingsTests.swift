import Foundation
import GRDB
import Ingest
import Replay
import TestSupport
import Testing
import TraceStore

@testable import Reporting

/// Reports faults, mistakes and leaks against plain SQL over the operations, written differently (design §4 28-30).
struct FindingsTests {
    private static func rows(_ report: String, by grouping: String, in store: TraceStore) throws -> [[String: String]] {
        let found = try #require(Report.named(report))
        let text = try Pipeline.csv { try found.write(from: store, trace: nil, by: grouping, format: .json, to: $0) }
        let rows = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
        return rows.map { row in row.mapValues { ($0 as? NSNumber)?.stringValue ?? $0 as? String ?? "" } }
    }

    private static func log(_ seed: UInt64) -> String {
        var generator = SeededGenerator(seed: seed)
        var text = """
            0 7 1 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev="0000:00:03.0"
            0 7 2 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xb dev="0000:00:04.0"

            """
        let sizes: [UInt64] = [4096, 4096, 8192, 20480, 65536, 0x21000, 0x200000, 0x300_0000, 0x8000_0000]
        for index in 0..<400 {
            let domain = ["0xa", "0xb"].randomElement(using: &generator) ?? ""
            let size: UInt64 = sizes[Int.random(in: 0..<sizes.count, using: &generator)]
            // Near to each other, and also where the sign of a 64-bit number changes its meaning.
            let base: UInt64 = Bool.random(using: &generator) ? 0 : 0xffff_8000_0000_0000
            let iova = base + UInt64.random(in: 0..<3000, using: &generator) * 4096
            let start = "0x" + String(iova, radix: 16)
            let time = 10 + index * 10
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<4:
                text +=
                    "0 7 \(time) map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(start) paddr=0x2000 size=\(size) prot=0x6\n"
            case 4..<7:
                let removed = Bool.random(using: &generator) ? size : size / 8192 * 4096
                text += """
                    0 7 \(time) unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(start) size=\(size) queued=0
                    0 7 \(time + 1) unmapped: (iommu.unmap) iova=\(start) size=\(size) unmapped=\(removed)

                    """
            default:
                let device = ["3", "4", "9"].randomElement(using: &generator) ?? ""
                let address = "0x" + String(iova + UInt64.random(in: 0..<4096, using: &generator), radix: 16)
                text += "0 7 \(time) io_page_fault: IOMMU:nvme 0000:00:0\(device).0 iova=\(address) flags=0x1\n"
            }
        }
        return FtraceText.expand(text)
    }

    /// What the report should say of each fault, fault by fault.
    private static let lastBefore = """
        WITH near AS (
            SELECT fault.id AS fault, earlier.id, earlier.line, earlier.kind, earlier.domain, fault.domain AS own
            FROM operation AS fault
            JOIN operation AS earlier ON earlier.id < fault.id AND earlier.kind IN (1, 2, 3)
                AND (earlier.iova < 0) = (fault.iova < 0)
                AND fault.iova - fault.iova % 4096 - (fault.iova < 0 AND fault.iova % 4096 <> 0) * 4096 - earlier.iova
                    BETWEEN 0 AND coalesce(earlier.result, earlier.size) - 1
            WHERE fault.kind = 10
        )
        SELECT
            fault.line,
            coalesce(
                max(near.line) FILTER (WHERE near.kind > 1 AND near.domain = near.own),
                CASE WHEN total(near.domain = near.own) = 0 THEN max(near.line) FILTER (WHERE near.kind > 1) END
            ) AS unmap,
            coalesce(
                max(near.line) FILTER (WHERE near.kind = 1 AND near.domain = near.own),
                CASE WHEN total(near.domain = near.own) = 0 THEN max(near.line) FILTER (WHERE near.kind = 1) END
            ) AS map
        FROM operation AS fault
        LEFT JOIN near ON near.fault = fault.id
        WHERE fault.kind = 10
        GROUP BY fault.id
        ORDER BY fault.id
        """

    @Test("each fault has the last unmap and the last map of its address", arguments: 1...6)
    func faults(seed: UInt64) throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(Self.log(seed), to: "log.txt"), into: store)
        var expected: [[String]] = []
        for row in try store.read({ try Row.fetchAll($0, sql: Self.lastBefore) }) {
            let lines: [Int64?] = [row["line"], row["unmap"], row["map"]]
            expected.append(lines.map { line in line.map { String($0) } ?? "" })
        }
        var found: [[String]] = []
        for row in try Self.rows("faults", by: "fault", in: store) {
            let places = ["fault_place", "unmap_place", "map_place"].map { row[$0] ?? "" }
            found.append(places.map { String($0.split(separator: ":").last ?? "") })
        }
        #expect(expected.count > 60)
        #expect(Set(expected.map { [$0[1] == "", $0[2] == ""] }).count >= 3)
        #expect(found == expected)
    }

    @Test(
        "mistakes and what stays mapped agree with the page-table summary and the operations",
        arguments: SharedTraces.bundled + SharedTraces.labProbes.prefix(5) + SharedTraces.labOthers.prefix(6))
    func findings(log: RecordedLog) throws {
        let store = try PreparedLogs.copy(of: log)
        try Pipeline.replay(in: store)
        let different = try Pipeline.csv(
            """
            WITH found AS (
                SELECT
                    domain,
                    total(calls) FILTER (WHERE kind = 1) AS doubled, total(calls) FILTER (WHERE kind IN (2, 7)) AS removed_none,
                    total(calls) FILTER (WHERE kind = 3) AS less, total(calls) FILTER (WHERE kind = 4) AS more
                FROM mistake_summary
                GROUP BY domain
            ),
            live AS (
                SELECT operation.domain, sum(live_mapping.bytes) AS bytes, max(live_mapping.bytes - operation.size) AS over
                FROM live_mapping JOIN operation ON operation.id = live_mapping.operation AND operation.kind = 1
                GROUP BY operation.domain
            )
            SELECT mapping_summary.*
            FROM mapping_summary
            LEFT JOIN found ON found.domain = mapping_summary.domain
            LEFT JOIN live ON live.domain = mapping_summary.domain
            WHERE coalesce(found.doubled, 0) <> mapping_summary.maps_over_live
                OR coalesce(found.removed_none, 0) <> mapping_summary.unmaps_of_nothing
                OR coalesce(live.bytes, 0) <> mapping_summary.live_bytes
                OR live.over > 0
                OR coalesce(found.less, 0) <> (
                    SELECT count(*) FROM operation
                    WHERE kind IN (2, 3) AND domain = mapping_summary.domain AND result BETWEEN 1 AND size - 1
                )
                OR (SELECT bytes FROM live_sample WHERE domain = mapping_summary.domain AND step = 10) <> mapping_summary.live_bytes
                OR (SELECT max(bytes) FROM live_sample WHERE domain = mapping_summary.domain) > mapping_summary.peak_live_bytes
            """, in: store)
        #expect(different.split(separator: "\n").count == 1, "\(different)")
        for grouping in ["trace", "domain", "device", "task"] {
            let rows = try Self.rows("leaks", by: grouping, in: store)
            let mappings = rows.compactMap { $0["mappings"].flatMap(Int64.init) }.reduce(0, +)
            #expect(try Pipeline.number("SELECT count(*) FROM live_mapping", in: store) == mappings)
        }
    }

    @Test(
        "the published mails: which unmap the device had used on, and that a flush queue could have hidden it",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: [
            ("lkml-ath12k-2025-07-02-use-after-unmap.txt", "6176000", ":4", ":1"),
            ("lkml-mediatek-2021-08-vcodec-use-after-unmap.txt", "1793000", ":1", ""),
        ])
    func mails(name: String, age: String, unmap: String, map: String) throws {
        let store = try PreparedLogs.copy(of: #require(SharedTraces.found.first { $0.name == name }))
        let row = try #require(try Self.rows("faults", by: "fault", in: store).first)
        #expect(row["finding"] == "use after unmap")
        #expect(row["unmapped_ns_ago"] == age)
        #expect(row["hidden"] == "could have been")
        #expect(row["hidden_evidence"] == "assumed")
        #expect(row["unmap_place"]?.hasSuffix(name + unmap) == true)
        #expect(map.isEmpty ? row["map_place"] == "" : row["map_place"]?.hasSuffix(name + map) == true)
    }

    /// One log's only fault, and what report faults says of it; `in_words` and `because` as people read it.
    private static func fault(_ lines: String, config: String? = nil) throws -> [String: String] {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        let metadata = try config.map { try folder.write(["config": $0], into: "meta") }
        let log = try folder.write(FtraceText.expand(lines), to: "log.txt")
        _ = try LogImport(paths: [log], options: LogImport.Options(metadata: metadata)).run { store }
        let rows = try rows("faults", by: "fault", in: store)
        #expect(rows.count == 1)
        return try words(of: #require(rows.first), in: store)
    }

    /// A fault's row with what is said of it.
    private static func words(of row: [String: String], in store: TraceStore) throws -> [String: String] {
        let report = try #require(Report.named("faults"))
        let arguments = try report.arguments(trace: nil, by: "fault", nil)
        let facts = try #require(try store.read { try Row.fetchOne($0, sql: report.sql, arguments: arguments) })
        let words = FaultWords(facts)
        return row.merging(["in_words": words.sentence(), "because": words.hiddenBecause ?? ""]) { $1 }
    }

    @Test("what nothing unmapped is still mapped, also where no event names a domain")
    func stillMapped() throws {
        let row = try Self.fault(
            """
            0 7 1 map: IOMMU: iova=0x1000 - 0x2000 paddr=0x5000 size=4096
            0 7 9 io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x1040 flags=0x0001

            """)
        #expect(row["finding"] == "still mapped")
        #expect(row["hidden"] == "")
        #expect(row["evidence"] == "assumed")
        #expect(row["unmap_place"] == "" && row["map_place"]?.hasSuffix(":1") == true)
    }

    @Test("an unmap that removed more than was asked for unmapped all of that")
    func removedMore() throws {
        let row = try Self.fault(
            """
            0 7 1 map: IOMMU: iova=0x200000 - 0x400000 paddr=0x600000 size=2097152
            0 7 2 unmap: IOMMU: iova=0x200000 - 0x201000 size=4096 unmapped_size=2097152
            0 7 9 io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x3ff040 flags=0x0001

            """)
        #expect(row["finding"] == "use after unmap")
        #expect(row["unmap_place"]?.hasSuffix(":2") == true)
    }

    @Test("a log without maps and unmaps does not tell that an address was never mapped")
    func noCalls() throws {
        let row = try Self.fault("0 7 9 io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x1040 flags=0x0001\n")
        #expect(row["finding"] == "not known")
        #expect(row["uncertain"] == "1")
        #expect(row["evidence"] == "assumed")
    }

    @Test("words: ages in seconds from one second on, and what stands behind an IOMMU that names itself")
    func words() throws {
        let row = try Self.fault(
            """
            0 7 1 map: IOMMU: iova=0x1000 - 0x2000 paddr=0x5000 size=4096
            0 7 1500001 unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=4096
            0 7 1501001 io_page_fault: IOMMU:mtk 10205000.iommu iova=0x1040 flags=0x0001

            """)
        let words = try #require(row["in_words"])
        #expect(words.hasPrefix("a device behind 10205000.iommu writes 0x1040, use after unmap, 1.000 ms after "))
        #expect(words.contains(" unmapped it, 1.501 s after "))
    }

    @Test("where nothing has a time of its own, no age is told and nothing concluded from one")
    func noTimes() throws {
        let row = try Self.fault(
            """
            0 7 1 map: IOMMU: iova=0x1000 - 0x2000 paddr=0x5000 size=4096
            0 7 1 unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=4096
            0 7 1 io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x1040 flags=0x0001

            """)
        #expect(row["finding"] == "use after unmap")
        #expect(row["hidden"] == "not known" && row["hidden_evidence"] == "assumed")
        #expect(row["unmapped_ns_ago"] == "" && row["flushed"] == "no times")
        #expect(row["in_words"]?.contains(" ms ") == false)
    }

    @Test(
        "how long a queue may hold an unmap is that of the kernel's HZ",
        arguments: [
            (hz: nil as Int?, age: 15_900, hidden: "could have been", because: "16 ms (HZ 250"),
            (nil, 16_100, "no", "16 ms (HZ 250"), (1000, 10_900, "could have been", "11 ms (HZ 1000"),
            (1000, 11_100, "no", "11 ms (HZ 1000"), (100, 19_900, "could have been", "20 ms (HZ 100"),
            (100, 20_100, "no", "20 ms (HZ 100"),
        ])
    func hz(hz: Int?, age: Int, hidden: String, because: String) throws {
        let row = try Self.fault(
            """
            0 7 1 map: IOMMU: iova=0x1000 - 0x2000 paddr=0x5000 size=4096
            0 7 10 unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=4096
            0 7 \(10 + age) io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x1040 flags=0x0001

            """, config: hz.map { "CONFIG_HZ=\($0)\n" })
        #expect(row["hidden"] == hidden)
        #expect(row["hidden_because"] == "age" && row["hz_evidence"] == (hz == nil ? "assumed" : "recorded"))
        #expect(row["because"]?.contains(because) == true)
        #expect(row["hidden_evidence"] == "assumed")
    }

    @Test(
        "no flush queue is said to hide an access to a domain that has none; VFIO's own batches are, where they were replayed"
    )
    func unmanaged() throws {
        let log = """
            0 7 1 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev="0000:00:03.0"
            0 7 2 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x1000 paddr=0x5000 size=4096 prot=0x3
            0 7 3 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x2000 paddr=0x6000 size=4096 prot=0x3
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=0
            0 7 11 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            1 8 12 io_page_fault: IOMMU:vfio 0000:00:03.0 iova=0x1040 flags=0x0001
            0 7 13 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x2000 size=4096 queued=0
            0 7 14 unmapped: (iommu.unmap) iova=0x2000 size=4096 unmapped=4096
            0 7 15 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x2fff pgsize=4096

            """
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(FtraceText.expand(log), to: "log.txt"), into: store)
        try store.write { try $0.execute(sql: "UPDATE domain SET kind = 'unmanaged', kind_evidence = 'recorded'") }
        let before = try Self.words(of: #require(try Self.rows("faults", by: "fault", in: store).first), in: store)
        #expect(before["hidden"] == "no")
        #expect(before["hidden_evidence"] == "inferred")
        #expect(before["hidden_because"] == "unmanaged" && before["schedule"] == "vfio")
        #expect(before["because"]?.contains("VFIO flushes in its own calls") == true)
        #expect(before["in_words"]?.hasSuffix("; no flush queue could have hidden it, its domain has none") == true)
        var options = ReplayOptions()
        options.windows = .all
        _ = try Replay([Replay.Request(.init("vfio"))], options: options).run(in: store, trace: nil)
        let after = try #require(try Self.rows("faults", by: "fault", in: store).first)
        #expect(after["hidden"] == "could have been")
        #expect(after["hidden_evidence"] == "modelled")
        #expect(
            try Self.words(of: after, in: store)["in_words"]?.hasSuffix("; VFIO's own batches could have hidden it")
                == true)
    }

    @Test("faults are counted by trace, domain, device and task; the sums are those of the faults", arguments: 1...3)
    func faultsCounted(seed: UInt64) throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(Self.log(seed), to: "log.txt"), into: store)
        let faults = try Self.rows("faults", by: "fault", in: store)
        let words = [
            "used_after_unmap": "use after unmap", "mapped_again": "mapped again since", "still_mapped": "still mapped",
            "never_mapped": "never mapped",
        ]
        #expect(Set(faults.compactMap { $0["finding"] }) == Set(words.values))
        for (grouping, key) in [("trace", "trace"), ("domain", "domain"), ("device", "device")] {
            let rows = try Self.rows("faults", by: grouping, in: store)
            let members = Dictionary(grouping: faults) { $0[key].flatMap { $0.isEmpty ? nil : $0 } ?? "unknown" }
            #expect(Set(rows.compactMap { $0[key] }) == Set(members.keys))
            for row in rows {
                let own = members[row[key] ?? ""] ?? []
                #expect(row["faults"] == String(own.count))
                for (column, finding) in words {
                    #expect(row[column] == String(own.count { $0["finding"] == finding }))
                }
                #expect(row["could_have_been_hidden"] == String(own.count { $0["hidden"] == "could have been" }))
                let grades = Set(own.compactMap { $0["hidden_evidence"] })
                #expect(
                    row["hidden_evidence"] == ["assumed", "modelled", "inferred"].first { grades.contains($0) } ?? "")
                #expect(row["fault_place"] == own.first?["fault_place"])
                let ages = own.filter { $0["finding"] == "use after unmap" }.compactMap {
                    $0["unmapped_ns_ago"].flatMap { Int($0) }
                }
                #expect(row["shortest_ns"] == ages.min().map(String.init) ?? "")
            }
        }
        let tasks = try Self.rows("faults", by: "task", in: store)
        #expect(tasks.compactMap { $0["faults"].flatMap { Int($0) } }.reduce(0, +) == faults.count)
    }
}
