import FlushSchedules
import Foundation
import GRDB
import IOMMUModel
import Ingest
import Replay
import Reporting
import TestSupport
import Testing
import TraceFormats
import TraceStore

/// An import is there whole or not at all, and twice is once (design §4 17, §5).
struct ImportTests {
    /// A log of many operations of every sort, different for each seed.
    private static func log(_ seed: UInt64, calls: Int = 300) -> String {
        var generator = SeededGenerator(seed: seed)
        var text = """
            # entries-in-buffer/entries-written: 100/200   #P:4
            0 7 1 tracing_mark_write: LAB_START \(seed)
            0 7 2 domain_alloc: (iommu_domain_alloc+0x28/0x80 <- intel_iommu_domain_alloc) domain=0xb
            0 7 3 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xb dev="0000:00:0\(seed).0"
            0 7 4 qi_submit: cc_inv dmar0: 0x4000090031 0x0 0x0 0x0
            CPU:2 [LOST 12 EVENTS]
            this is no event
            0 7 5 io_page_fault: IOMMU:nvme 0000:00:0\(seed).0 iova=0x40 flags=0x1
            0 7 6 map: (__iommu_map+0x5/0x2a0) domain=0xb iova=0x90000000 paddr=0x3000 size=4096 prot=0x6
            0 7 7 map: (__iommu_map+0x5/0x2a0) domain=0xb iova=0x90000000 paddr=0x4000 size=4096 prot=0x6

            """
        for index in 0..<calls {
            let time = 10 + index * 10
            let domain = ["0xa", "0xb"].randomElement(using: &generator) ?? ""
            let cpu = Int.random(in: 0...3, using: &generator)
            let task = Int.random(in: 7...11, using: &generator)
            let iova = "0x\(String(Int.random(in: 1...4000, using: &generator), radix: 16))000"
            text += """
                \(cpu) \(task) \(time) map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(iova) paddr=0x2000 size=4096 prot=0x6
                \(cpu) \(task) \(time + 1) unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(iova) size=4096 queued=0
                \(cpu) \(task) \(time + 2) unmapped: (iommu.unmap) iova=\(iova) size=4096 unmapped=4096
                \(cpu) \(task) \(time + 3) sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=\(iova) end=\(iova) pgsize=4096
                \(cpu) \(task) \(time + 4) qi_submit: iotlb_inv dmar\(seed): 0x\(seed)00f2 \(iova) 0x0 0x0
                \(cpu) \(task) \(time + 5) qi_submit: dev_tlb_inv dmar\(seed): 0x1000000003 0x7ffffffffffff001 0x0 0x0

                """
        }
        return FtraceText.expand(text)
    }

    private static func isImported(_ outcome: LogImport.Outcome, as name: String) -> Bool {
        if case .imported(name, _) = outcome { return true }
        return false
    }

    // MARK: - The same log

    @Test("the same log again changes nothing and says what it is called, whatever its file")
    func twice() throws {
        let folder = try TemporaryFolder()
        let text = Self.log(1)
        let path = try folder.write(text, to: "first.txt")
        let other = try folder.write(Gzip.member(Array(text.utf8)), to: "other.txt.gz")
        let store = try TraceStore(path: folder.path("db"), access: .create)
        #expect(Self.isImported(try Pipeline.importLog(path, into: store), as: "first"))
        try Pipeline.replay(in: store)
        let before = try Pipeline.contents(of: store)
        for (again, name) in [(path, nil), (other, nil), (path, "third")] {
            guard case .alreadyThere("first") = try Pipeline.importLog(again, name: name, into: store) else {
                Issue.record("imported again")
                continue
            }
            #expect(try Pipeline.contents(of: store) == before)
        }
    }

    @Test("one byte more is another log, of the same name with a number")
    func almostTheSame() throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        for (index, name) in ["log", "log-2", "log-3"].enumerated() {
            let text = Self.log(1) + String(repeating: "\n", count: index)
            #expect(Self.isImported(try Pipeline.importLog(folder.write(text, to: "log.txt"), into: store), as: name))
        }
        #expect(try Pipeline.damage(of: store) == [])
    }

    @Test(
        "a trace is called as its file, without folder and endings",
        arguments: [
            ("nvme.txt.gz", "nvme"), ("a.b.log", "a.b"), ("x.trace", "x"), ("nvme.probes.txt", "nvme.probes"),
            (".gz", ".gz"), ("plain", "plain"), ("x.dat", "x"), ("x.dat.zst", "x"), ("x.txt.xz", "x"),
        ])
    func names(file: String, name: String) throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        #expect(Self.isImported(try Pipeline.importLog(folder.write(Self.log(1), to: file), into: store), as: name))
        #expect(try Pipeline.number("SELECT count(*) FROM trace WHERE source LIKE '%/\(file)'", in: store) == 1)
    }

    @Test("gzip and plain of one text give the same rows")
    func gzipAndPlain() throws {
        let folder = try TemporaryFolder()
        let text = Array(Self.log(1).utf8)
        let half = text.count / 2
        var contents: [[String: [String]]] = []
        for (name, bytes) in [
            ("a", text), ("b", Gzip.member(text)),
            ("c", Gzip.member(Array(text[..<half])) + Gzip.member(Array(text[half...]))),
        ] {
            let store = try TraceStore(path: "", access: .create)
            try Pipeline.importLog(folder.write(bytes, to: name), name: "log", into: store)
            try Pipeline.replay(in: store)
            #expect(try Pipeline.number("SELECT file_bytes FROM trace", in: store) == Int64(bytes.count))
            contents.append(try Pipeline.contents(of: store))
        }
        for index in contents.indices { contents[index]["trace"] = nil }
        #expect(contents[0]["operation"]?.count ?? 0 > 900)
        #expect(contents[0]["layer"]?.count ?? 0 > 600)
        #expect(contents[0] == contents[1])
        #expect(contents[0] == contents[2])
    }

    // MARK: - Several logs

    private static let readings = [
        """
        SELECT time_ns, kind, cpu, task, domain, device, iova, size, result, paddr, detail, text, place
        FROM what_happened WHERE trace = 'second' ORDER BY id
        """,
        """
        SELECT time_ns, kind, cpu, task, cause, domain, unit, device, hardware_domain, granularity, address, mask, place
        FROM what_the_hardware_did WHERE trace = 'second' ORDER BY id
        """,
        """
        SELECT requested, policy, time_ns, domain, cause, flushes, calls, attached
        FROM when_it_flushed WHERE trace = 'second' ORDER BY requested, time_ns, domain, cause
        """,
        "SELECT word0, word1 FROM raw_command JOIN layer ON layer.id = layer WHERE trace = (SELECT id FROM trace WHERE name = 'second') ORDER BY layer",
    ]

    @Test("two traces in one database keep apart")
    func twoTraces() throws {
        let folder = try TemporaryFolder()
        let first = try folder.write(Self.log(1), to: "first.txt")
        let second = try folder.write(Self.log(2), to: "second.txt")
        let alone = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(second, into: alone)
        try Pipeline.replay(in: alone)
        let both = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(first, into: both)
        try Pipeline.replay(in: both)
        try Pipeline.importLog(second, into: both)
        try Pipeline.replay("second", in: both)
        for sql in Self.readings {
            let expected = try Pipeline.csv(sql, in: alone)
            #expect(expected.split(separator: "\n").count > 2, "\(sql)")
            #expect(try Pipeline.csv(sql, in: both) == expected)
        }
        for report in Report.catalogue {
            for grouping in report.groupings {
                #expect(
                    try Self.csv(report, "second", grouping, alone) == Self.csv(report, "second", grouping, both))
            }
        }
        #expect(try Pipeline.damage(of: both) == [])
    }

    private static func csv(_ report: Report, _ trace: String, _ grouping: String, _ store: TraceStore) throws -> String
    {
        var data = Data()
        let output = TextOutput { data.append($0) }
        try report.write(from: store, trace: trace, by: grouping, format: .csv, to: output)
        try output.finish()
        return String(decoding: data, as: UTF8.self)
    }

    @Test("forgetting the newer of two traces leaves the database as it was before it came")
    func forgetNewer() throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(Self.log(1), to: "first.txt"), into: store)
        try Pipeline.replay(in: store)
        let before = try Pipeline.contents(of: store)
        let sidecar = [
            "cmdline": "iommu.strict=0", "stats": "CPU: 0\noverrun: 3\n unmap 5 1\n", "groups": "1 DMA 0000:00:02.0",
        ]
        _ = try folder.write(sidecar, into: "second.meta")
        let parts = [
            try folder.write(Self.log(2), to: "second.txt"),
            try folder.write(
                FtraceText.expand("0 9 7 tracing_mark_write: of another part"), to: "more"),
        ]
        _ = try LogImport(paths: parts, name: "second").run { store }
        let cache = CacheModel(try CacheGeometry(parsing: "64x8"))
        try Pipeline.replay("second", in: store, options: ReplayOptions(hardware: Hardware(.vtd61), iotlb: cache))
        _ = try Validation().run(in: store, trace: "second")
        _ = try Sweep(PolicyGrid(parsing: ["batch=2..4"])).run(in: store, trace: "second")
        let between = try Pipeline.contents(of: store)
        for (table, rows) in between
        where ![
            "operation_kind", "grade", "layer_kind", "flush_cause", "window_end", "hazard_kind", "mistake_kind", "cost",
            "validation_reason",
            "validation_difference",
        ].contains(table) {
            #expect(rows.count > before[table]?.count ?? 0, "\(table) is not touched by this test")
        }
        try store.forget(trace: "second")
        #expect(try Pipeline.contents(of: store) == before)
        #expect(try Pipeline.damage(of: store) == [])
    }

    @Test("forgetting the older of two traces leaves the newer one whole, and a third may come")
    func forgetOlder() throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(Self.log(1), to: "first.txt"), into: store)
        try Pipeline.replay(in: store)
        try Pipeline.importLog(folder.write(Self.log(2), to: "second.txt"), into: store)
        try Pipeline.replay("second", in: store)
        let readings = try Self.readings.map { try Pipeline.csv($0, in: store) }
        try store.forget(trace: "first")
        #expect(try Self.readings.map { try Pipeline.csv($0, in: store) } == readings)
        #expect(try Pipeline.number("SELECT count(DISTINCT trace) FROM operation", in: store) == 1)
        try Pipeline.importLog(folder.write(Self.log(1), to: "first.txt"), into: store)
        try Pipeline.replay("first", in: store)
        #expect(try Self.readings.map { try Pipeline.csv($0, in: store) } == readings)
        #expect(try Pipeline.damage(of: store) == [])
    }

    @Test("forgetting the only trace leaves no row of it")
    func forgetOnly() throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try store.write { _ in }
        let empty = try Pipeline.contents(of: store)
        try Pipeline.importLog(folder.write(Self.log(1), to: "first.txt"), into: store)
        try Pipeline.replay(in: store)
        #expect(throws: StoreError.noSuchTrace(name: "other", known: ["first"])) { try store.forget(trace: "other") }
        try store.forget(trace: "first")
        #expect(try Pipeline.contents(of: store) == empty)
        #expect(throws: StoreError.noTraces(path: "")) { try store.forget(trace: "first") }
    }

    // MARK: - Failures

    @Test("an import that fails at any page leaves the database as it was, and succeeds with more room")
    func failingImport() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("db")
        let first = try TraceStore(path: path, access: .create)
        try Pipeline.importLog(folder.write(Self.log(1), to: "first.txt"), into: first)
        try Pipeline.replay(in: first)
        let before = try Pipeline.contents(of: first)
        let pages = Int(try #require(try Pipeline.number("PRAGMA page_count", in: first)))
        first.close()
        let second = try folder.write(Self.log(2, calls: 3000), to: "second.txt")
        var failures = 0
        for limit in stride(from: pages, through: pages + 1000, by: 7) {
            let store = try TraceStore(path: path, access: .write, pageLimit: limit)
            defer { store.close() }
            do {
                try Pipeline.importLog(second, into: store)
            } catch StoreError.full(path) {
                failures += 1
                #expect(try Pipeline.contents(of: store) == before)
                #expect(try Pipeline.damage(of: store) == [])
                // The same connection can still be used.
                #expect(try Pipeline.number("SELECT count(*) FROM trace", in: store) == 1)
                continue
            }
            #expect(try Pipeline.number("SELECT count(*) FROM trace", in: store) == 2)
            #expect(try Pipeline.damage(of: store) == [])
            break
        }
        #expect(failures > 8)
        let store = try TraceStore(path: path, access: .read)
        #expect(try Pipeline.number("SELECT count(*) FROM trace", in: store) == 2)
    }

    @Test("a replay that fails at any page leaves the database as it was")
    func failingReplay() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("db")
        let first = try TraceStore(path: path, access: .create)
        try Pipeline.importLog(folder.write(Self.log(1, calls: 4000), to: "first.txt"), into: first)
        _ = try Replay([Replay.Request(.sync)]).run(in: first, trace: nil)
        let before = try Pipeline.contents(of: first)
        let pages = Int(try #require(try Pipeline.number("PRAGMA page_count", in: first)))
        first.close()
        let requests = [Policy.sync, .recorded, .batch(calls: 2), .queue(entries: 4, timeout: 1_000_000)]
        var failures = 0
        for limit in stride(from: pages, through: pages + 300, by: 5) {
            let store = try TraceStore(path: path, access: .write, pageLimit: limit)
            defer { store.close() }
            do {
                _ = try Replay(requests.map { Replay.Request($0) }).run(in: store, trace: nil)
            } catch StoreError.full(path) {
                failures += 1
                #expect(try Pipeline.contents(of: store) == before)
                continue
            }
            #expect(try Pipeline.number("SELECT count(*) FROM replay", in: store) == 4)
            break
        }
        #expect(failures > 2)
    }

    @Test("a first import that fails leaves no file")
    func failingFirstImport() throws {
        let folder = try TemporaryFolder()
        let log = try folder.write(Self.log(1, calls: 3000), to: "log.txt")
        for limit in [1, 5, 20, 40] {
            let path = folder.path("db-\(limit)")
            let store = try TraceStore(path: path, access: .create, pageLimit: limit)
            #expect(throws: StoreError.full(path: path)) { try Pipeline.importLog(log, into: store) }
            store.close()
            #expect(!FileManager.default.fileExists(atPath: path))
            #expect(!FileManager.default.fileExists(atPath: path + "-journal"))
        }
    }

    @Test("an import that is cancelled leaves nothing, whenever that is", arguments: [0, 1, 2, 5, 8])
    func cancelled(after batches: Int) throws {
        let folder = try TemporaryFolder()
        let log = try folder.write(Self.log(1, calls: 4000), to: "log.txt")
        let asked = Counter()
        let path = folder.path("db")
        let logImport = LogImport(paths: [log], isCancelled: { asked.next() > batches })
        #expect(throws: StoreError.interrupted) {
            try logImport.run { try TraceStore(path: path, access: .create) }
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    /// Counts how often it is asked.
    private final class Counter: @unchecked Sendable {
        private let lock = NSLock()
        private var count = 0

        func next() -> Int {
            lock.lock()
            defer { lock.unlock() }
            count += 1
            return count
        }
    }

    @Test("a log without events of an IOMMU is refused, and nothing is created")
    func nothingOfAnIOMMU() throws {
        let folder = try TemporaryFolder()
        let log = try folder.write(
            FtraceText.expand("0 7 1 sched_switch: prev_comm=a\n0 7 2 sched_switch: x\n0 7 3 print: x") + "?\n",
            to: "log.txt")
        let path = folder.path("db")
        do {
            _ = try LogImport(paths: [log]).run { try TraceStore(path: path, access: .create) }
            Issue.record("imported")
        } catch ImportError.nothingOfAnIOMMU(log, let events, let issues, _) {
            #expect(events.map(\.0) == ["sched_switch", "print"])
            #expect(events.map(\.1) == [2, 1])
            #expect(issues.map(\.0) == ["not an event line"])
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("a file that is no log is refused, and nothing is created")
    func noLog() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("db")
        for bytes in [[], Array("PERFILE2".utf8), [0, 1, 2], Gzip.member([])] {
            let log = try folder.write(bytes, to: "file")
            #expect(throws: LogError.self) {
                _ = try LogImport(paths: [log]).run { try TraceStore(path: path, access: .create) }
            }
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("a truncated archive keeps what came before the damage, and says so")
    func truncated() throws {
        let folder = try TemporaryFolder()
        let whole = Gzip.member(Array(Self.log(1).utf8))
        let store = try TraceStore(path: "", access: .create)
        let outcome = try Pipeline.importLog(
            folder.write(Array(whole[..<(whole.count / 2)]), to: "log.txt.gz"), into: store)
        guard case .imported("log", isDamaged: true) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(try Pipeline.number("SELECT count(*) FROM operation", in: store) ?? 0 > 100)
        #expect(
            try Pipeline.number("SELECT count(*) FROM parse_issue WHERE reason = 'archive is truncated'", in: store)
                == 1)
        #expect(try Pipeline.damage(of: store) == [])
    }

    @Test("at most 10,000 issues of one reason become rows, all are counted")
    func manyIssues() throws {
        let folder = try TemporaryFolder()
        let text = Self.log(1, calls: 1) + String(repeating: "?\n", count: 12_000)
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(text, to: "log.txt"), into: store)
        #expect(try Pipeline.number("SELECT count(*) FROM parse_issue", in: store) == 10_000)
        #expect(try Pipeline.number("SELECT count FROM parse_issue_count", in: store) == 12_001)
    }

    @Test("a log with every sort of line leaves a whole database")
    func everySort() throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(Self.log(3, calls: 3000), to: "log.txt"), into: store)
        #expect(try Pipeline.number("SELECT count(*) FROM operation", in: store) == 3 * 3000 + 6)
        #expect(try Pipeline.number("SELECT count(*) FROM layer", in: store) == 2 * 3000 + 1)
        #expect(try Pipeline.number("SELECT count(*) FROM raw_command", in: store) == 3000 + 1)
        #expect(try Pipeline.number("SELECT count(*) FROM lost_events WHERE cpu = 2 AND count = 12", in: store) == 1)
        #expect(try Pipeline.number("SELECT buffer_written - buffer_entries FROM trace", in: store) == 100)
        let trace = try Pipeline.csv(
            "SELECT first_operation, operations, first_layer, layers, flush_layer, shows_attaches FROM trace", in: store
        )
        #expect(trace.hasSuffix("\n1,9006,1,6001,api,1\n"))
        #expect(try Pipeline.damage(of: store) == [])
    }
}
