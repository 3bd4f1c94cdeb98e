import Foundation
import GRDB
import Ingest
import TestSupport
import Testing
import TraceFormats
import TraceStore

/// What becomes of each published log and of each shape of the laboratory's: a log that is missing from the table, or
/// that changes sides, is a failure.
struct SharedLogTests {
    enum Outcome {
        /// Imported with so many maps and unmaps; lines that could not be taken as they stand, by reason.
        case imported(maps: Int64, unmaps: Int64, _ issues: [String: Int64] = [:])
        /// Refused, in these words among others.
        case refused(String)
    }

    private static let noTime = "event without time, CPU and task"

    private static let outcomes: [String: Outcome] = [
        // Published.
        "dyndbg-iommu-core-messages.txt": .imported(maps: 2, unmaps: 2),
        "ftrace-lost-event-marker-variants.txt": .refused("places where it says that events were lost: 3"),
        "lkml-amd-2021-07-19-io-page-fault.txt": .imported(maps: 0, unmaps: 0),
        "lkml-ath12k-2025-07-02-use-after-unmap.txt": .imported(maps: 1, unmaps: 1),
        "lkml-i915-2025-11-19-high-iova.txt": .imported(maps: 1, unmaps: 0),
        "lkml-intel-iommu-qi-submit-and-cache-tag-samples.txt": .imported(maps: 0, unmaps: 0, [noTime: 8]),
        "lkml-mediatek-2021-08-vcodec-use-after-unmap.txt": .imported(maps: 0, unmaps: 9),
        "lkml-qcom-2021-02-05-payloads-old-and-vendor-dev.txt": .imported(maps: 9, unmaps: 7, [noTime: 16]),
        "rhel9-qemu-kvm-vfio-iommu-map-unmap.txt": .imported(maps: 12, unmaps: 2),
        "lisa-trace_txt-trace.txt.gz": .refused("sched_switch (1856), sched_wakeup (1068), print (14)"),
        "SOURCES.md": .refused("holds no event of an IOMMU"),
        // The laboratory's shapes.
        "shape.annotate.txt": .imported(maps: 96, unmaps: 96),
        "shape.clock-boot.txt": .imported(maps: 96, unmaps: 96),
        "shape.clock-counter.txt": .refused("trace clock counter, which counts events"),
        "shape.clock-global.txt": .imported(maps: 101, unmaps: 101),
        "shape.clock-local.txt": .imported(maps: 101, unmaps: 101),
        "shape.clock-mono.txt": .imported(maps: 96, unmaps: 96),
        "shape.clock-mono_raw.txt": .imported(maps: 96, unmaps: 96),
        "shape.clock-perf.txt": .imported(maps: 98, unmaps: 98),
        "shape.clock-tai.txt": .imported(maps: 96, unmaps: 96),
        "shape.clock-uptime.txt": .refused("trace clock uptime, which counts hundredths of a second"),
        "shape.clock-x86-tsc.txt": .refused("trace clock x86-tsc, which counts CPU cycles"),
        "shape.dropnew.txt.gz": .refused("it holds no event at all"),
        "shape.fields.txt": .imported(maps: 96, unmaps: 96),
        "shape.hex.txt": .refused("ftrace's option hex"),
        "shape.latency.txt": .imported(maps: 96, unmaps: 96),
        "shape.nocontext.txt": .imported(maps: 96, unmaps: 96, [noTime: 203]),
        "shape.noirqinfo.txt": .imported(maps: 96, unmaps: 96),
        "shape.nomarkers.txt": .imported(maps: 96, unmaps: 96),
        "shape.overrun.report.txt.gz": .imported(maps: 265, unmaps: 265),
        "shape.overrun.txt.gz": .imported(maps: 265, unmaps: 265),
        "shape.pipe-lossy.txt.gz": .imported(maps: 3000, unmaps: 3000),
        "shape.raw.txt": .refused("ftrace's option raw"),
        "shape.tc-F-map.report.txt": .imported(maps: 200, unmaps: 0),
        "shape.tc-R.report.txt": .imported(maps: 200, unmaps: 200),
        "shape.tc-cpu0.report.txt": .imported(maps: 200, unmaps: 200),
        "shape.tc-default.report.txt": .imported(maps: 200, unmaps: 200),
        "shape.tc-l.report.txt": .imported(maps: 200, unmaps: 200),
        "shape.tc-local.report.txt": .imported(maps: 200, unmaps: 200),
        "shape.tc-t.report.txt": .imported(maps: 200, unmaps: 200),
        "shape.tc-ts2secs.report.txt": .imported(maps: 200, unmaps: 200),
        "shape.tc-tsdiff.report.txt": .imported(maps: 200, unmaps: 200),
        "shape.tgid.txt": .imported(maps: 96, unmaps: 96),
    ]

    private static let logs =
        SharedTraces.foundFiles.filter { !$0.name.hasSuffix(".dat") } + SharedTraces.shapes

    @Test(
        "each shared log goes in or is refused as it should",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: logs)
    func outcome(log: RecordedLog) throws {
        let expected = try #require(Self.outcomes[log.name], "\(log) is not in the table")
        switch expected {
        case .imported(let maps, let unmaps, let issues):
            let store = try PreparedLogs.copy(of: log)
            #expect(try Pipeline.number("SELECT count(*) FROM operation WHERE kind = 1", in: store) == maps)
            #expect(try Pipeline.number("SELECT count(*) FROM operation WHERE kind IN (2, 3)", in: store) == unmaps)
            let found = try store.read { database in
                try Row.fetchAll(database, sql: "SELECT reason, count FROM parse_issue_count")
                    .reduce(into: [String: Int64]()) { $0[$1["reason"]] = $1["count"] }
            }
            #expect(found == issues)
            #expect(try Pipeline.damage(of: store).isEmpty)
            try Pipeline.replay(in: store)
        case .refused(let words):
            let error = #expect(throws: (any Error).self) { try PreparedLogs.outcome(of: log) }
            #expect("\(error.map { "\($0)" } ?? "")".contains(words), "\(error.map { "\($0)" } ?? "")")
        }
    }

    // MARK: - One recording, several texts

    /// Everything of the operations and layers but times and lines.
    private static func calls(of store: TraceStore, microseconds: Bool = true) throws -> [String] {
        try store.read { database in
            let time = microseconds ? "time_ns / 1000" : "0"
            let operations = try Row.fetchAll(
                database,
                sql: """
                    SELECT \(time), kind, flags, cpu, iova, size, result, paddr,
                        (SELECT pid FROM task WHERE id = operation.task)
                    FROM operation WHERE kind <> 13 ORDER BY id
                    """)
            let layers = try Row.fetchAll(
                database,
                sql: "SELECT \(time), kind, cpu, hardware_domain, granularity, address, mask FROM layer ORDER BY id")
            return (operations + layers).map { row in row.databaseValues.map { "\($0)" }.joined(separator: "|") }
        }
    }

    /// - Parameter shape: the file's name without its `shape.`.
    private static func calls(_ shape: String, microseconds: Bool = true) throws -> [String] {
        let log = try #require(SharedTraces.shapes.first { $0.name == "shape.\(shape)" })
        return try calls(of: PreparedLogs.copy(of: log), microseconds: microseconds)
    }

    @Test(
        "one recording gives the same operations, however trace-cmd prints it",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: ["R", "l", "ts2secs", "tsdiff"])
    func reports(option: String) throws {
        let calls = try Self.calls("tc-default.report.txt")
        #expect(calls.count == 403)
        #expect(try Self.calls("tc-\(option).report.txt") == calls)
    }

    @Test(
        "nanoseconds are the same operations with more digits",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"))
    func nanoseconds() throws {
        #expect(
            try Self.calls("tc-t.report.txt", microseconds: false)
                == Self.calls("tc-default.report.txt", microseconds: false))
    }

    @Test(
        "the kernel's text and the report of one buffer are the same operations",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"))
    func kernelAndReport() throws {
        #expect(
            try Self.calls("overrun.txt.gz") == Self.calls("overrun.report.txt.gz"))
    }

    /// By other hands than those that are tested.
    private static func decompressed(_ path: String) throws -> String {
        let gzip = Process()
        let output = Pipe()
        gzip.executableURL = URL(filePath: "/usr/bin/env")
        gzip.arguments = ["gzip", "-dc", path]
        gzip.standardOutput = output
        try gzip.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        gzip.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    @Test(
        "a report has as many events as grep finds in it",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: ["6.1-strict/nvme.record-v6", "6.1-lazy/nvme.record-v7", "6.1-strict/vfiokill.record-v6"])
    func counts(name: String) throws {
        let folder = try #require(SharedTraces.folder)
        let path = folder.appending(path: "lab/\(name).report.txt.gz").path
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(path, into: store)
        let text = try Self.decompressed(path)
        for event in ["map", "unmap", "qi_submit", "attach_device_to_domain"] {
            let lines = text.split(separator: "\n").filter { $0.contains(": \(event): ") }.count
            let counted = try Pipeline.number(
                "SELECT coalesce(sum(count), 0) FROM event_count WHERE name = '\(event)'", in: store)
            #expect(counted == Int64(lines), "\(event)")
        }
        #expect(try Pipeline.number("SELECT count(*) FROM parse_issue", in: store) == 0)
    }

    @Test(
        "a counting clock's log goes in with its rate", .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: ["counter", "uptime", "x86-tsc"])
    func ticks(clock: String) throws {
        let log = try #require(SharedTraces.shapes.first { $0.name == "shape.clock-\(clock).txt" })
        let store = try TraceStore(path: "", access: .create)
        _ = try LogImport(paths: [log.path], options: LogImport.Options(ticksPerSecond: 1_000_000_000)).run { store }
        #expect(try Pipeline.number("SELECT count(*) FROM operation WHERE kind IN (1, 2)", in: store) == 192)
        let first: Int64 = clock == "counter" ? 4 : clock == "uptime" ? 1753 : 64_580_847_743
        #expect(try Pipeline.number("SELECT first_ns FROM trace", in: store) == first)
    }
}
