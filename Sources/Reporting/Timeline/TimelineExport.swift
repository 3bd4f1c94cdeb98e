import Foundation
import GRDB
import Schema
import TraceStore

/// A trace and its replays as a timeline for ui.perfetto.dev: the JSON of Chrome's trace event format, which Perfetto reads.
///
/// Each domain is a process: its unmaps, the flushes of each policy, the stale windows as asynchronous slices (they overlap), and
/// counters of stale pages and of flushes per second. Written row by row, whatever the size.
public struct TimelineExport {
    /// How much of a large log is drawn; counters always stand for all of it.
    public struct Limits: Sendable {
        /// Most unmaps that are drawn one by one; of a log with more none is.
        public var unmaps: Int
        /// Most stale windows of each policy, the longest.
        public var windows: Int

        /// What a browser can still show.
        public init(unmaps: Int = 200_000, windows: Int = 20_000) {
            self.unmaps = unmaps
            self.windows = windows
        }
    }

    /// What was drawn.
    public struct Drawn: Sendable {
        /// Unmaps drawn, and those of the log.
        public var unmaps: (drawn: Int64, all: Int64) = (0, 0)
        /// Stale windows drawn, and those that the replays counted.
        public var windows: (drawn: Int64, all: Int64) = (0, 0)
        /// Flushes and values of counters.
        public var others: Int64 = 0

        /// Nothing yet.
        public init() {}
    }

    private let store: TraceStore
    private let trace: String?
    private let limits: Limits

    /// - Parameter trace: a trace's name; `nil` for the newest.
    public init(from store: TraceStore, trace: String?, limits: Limits = Limits()) {
        self.store = store
        self.trace = trace
        self.limits = limits
    }

    /// Writes the timeline.
    @discardableResult
    public func write(to output: TextOutput) throws -> Drawn {
        try store.read { database in
            let summary = try TraceSummary(database, name: trace, path: store.path)
            var writer = Writer(database, output, summary, limits)
            try writer.write()
            return writer.drawn
        }
    }
}

private struct Writer {
    private struct Lane {
        var replay: Int64
        var label: String
        /// Thread number of its flushes.
        var thread: Int64
        var step: Int64
        var evidence: String
    }

    private static let unmapThread: Int64 = 1
    private static let firstFlushThread: Int64 = 10

    private let database: Database
    private let output: TextOutput
    private let trace: TraceSummary
    private let limits: TimelineExport.Limits
    private var isFirst = true
    var drawn = TimelineExport.Drawn()

    init(_ database: Database, _ output: TextOutput, _ trace: TraceSummary, _ limits: TimelineExport.Limits) {
        self.database = database
        self.output = output
        self.trace = trace
        self.limits = limits
    }

    mutating func write() throws {
        output.print(
            "{\"displayTimeUnit\": \"ns\", \"otherData\": {\"tool\": \"iommu-trace\", \"schema\": \(Schema.version), "
                + "\"trace\": \(quoted(trace.name)), \"time\": \"ns of the trace clock since \(trace.firstTime)\"}, "
                + "\"traceEvents\": [", terminator: "")
        let lanes = try lanes()
        let domains = try writeNames(lanes)
        try writeUnmaps()
        for lane in lanes {
            try writeFlushes(lane)
            try writeWindows(lane)
            for domain in domains { try writeCounters(lane, domain) }
        }
        output.print("\n]}")
    }

    private func lanes() throws -> [Lane] {
        try Row.fetchAll(
            database,
            sql: "SELECT id, requested, policy, options, step_ns, evidence FROM replay WHERE trace = ? ORDER BY id",
            arguments: [trace.id]
        ).enumerated().map { index, row in
            let (requested, policy): (String, String) = (row["requested"], row["policy"])
            let part = (row["options"] as String).contains("from=") ? " (part of the log)" : ""
            return Lane(
                replay: row["id"], label: (requested == policy ? policy : "\(requested) = \(policy)") + part,
                thread: Self.firstFlushThread + Int64(index), step: max(row["step_ns"], 1), evidence: row["evidence"])
        }
    }

    // MARK: - Names

    /// - Returns: the domains that anything is drawn of.
    private mutating func writeNames(_ lanes: [Lane]) throws -> [Int64] {
        let used = Set(
            try Int64.fetchAll(
                database, sql: "SELECT domain FROM mapping_summary WHERE trace = ? AND maps + unmaps > 0",
                arguments: [trace.id])
                + Int64.fetchAll(
                    database,
                    sql: "SELECT DISTINCT domain FROM timeline WHERE replay IN (SELECT id FROM replay WHERE trace = ?)",
                    arguments: [trace.id]))
        let all = used.isEmpty ? Set(trace.domains.map(\.id)) : used
        for domain in trace.domains where all.contains(domain.id) {
            name("process_name", process: domain.id, thread: nil, "domain \(domain.name) (\(domain.mode.rawValue))")
            name("thread_name", process: domain.id, thread: Self.unmapThread, "unmaps")
            for lane in lanes {
                name(
                    "thread_name", process: domain.id, thread: lane.thread, "flushes: \(lane.label) (\(lane.evidence))")
            }
        }
        return all.sorted()
    }

    private mutating func name(_ what: String, process: Int64, thread: Int64?, _ text: String) {
        let thread = thread.map { ", \"tid\": \($0)" } ?? ""
        event(
            "\"ph\": \"M\", \"name\": \"\(what)\", \"pid\": \(process)\(thread), \"args\": {\"name\": \(quoted(text))}")
    }

    // MARK: - What happened

    private mutating func writeUnmaps() throws {
        drawn.unmaps.all =
            try Int64.fetchOne(
                database,
                sql: "SELECT sum(count) FROM kind_count WHERE trace = ? AND stage = 'operation' AND kind IN (2, 3)",
                arguments: [trace.id]) ?? 0
        guard drawn.unmaps.all <= limits.unmaps else { return }
        let rows = try Row.fetchCursor(
            database,
            sql: """
                SELECT time_ns, domain, iova, size, result, task.comm || '-' || task.pid AS task, cpu, line
                FROM operation JOIN task ON task.id = operation.task
                WHERE operation.id >= ? AND operation.id < ? AND kind IN (2, 3) AND domain IS NOT NULL ORDER BY operation.id
                """, arguments: [trace.operationIDs.lowerBound, trace.operationIDs.upperBound])
        while let row = try rows.next() {
            let bytes: Int64 = row["result"] ?? row["size"] ?? 0
            event(
                "\"ph\": \"i\", \"s\": \"t\", \"name\": \"unmap \(size(bytes))\", \"cat\": \"unmap\", \"pid\": \(row["domain"] as Int64), "
                    + "\"tid\": \(Self.unmapThread), \"ts\": \(stamp(row["time_ns"])), \"args\": {\"iova\": \(address(row["iova"])), "
                    + "\"bytes\": \(bytes), \"task\": \(quoted(row["task"])), \"cpu\": \(row["cpu"] as Int64), \"line\": \(row["line"] as Int64)}"
            )
            drawn.unmaps.drawn += 1
        }
    }

    private mutating func writeFlushes(_ lane: Lane) throws {
        let rows = try Row.fetchCursor(
            database,
            sql: """
                SELECT time_ns, domain, flush_cause.name AS cause, flushes, calls, attached
                FROM flush JOIN flush_cause ON flush_cause.id = flush.cause WHERE replay = ? ORDER BY flush.id
                """, arguments: [lane.replay])
        while let row = try rows.next() {
            let flushes: Int64 = row["flushes"]
            event(
                "\"ph\": \"i\", \"s\": \"t\", \"name\": \(quoted(flushes == 1 ? "flush" : "\(flushes) flushes")), \"cat\": \"flush\", "
                    + "\"pid\": \(row["domain"] as Int64), \"tid\": \(lane.thread), \"ts\": \(stamp(row["time_ns"])), "
                    + "\"args\": {\"cause\": \(quoted(row["cause"])), \"flushes\": \(flushes), \"unmap calls\": \(row["calls"] as Int64), "
                    + "\"attached\": \((row["attached"] as Int64) == 1)}")
            drawn.others += 1
        }
    }

    /// The longest windows; an open one is drawn up to the end of the log.
    private mutating func writeWindows(_ lane: Lane) throws {
        drawn.windows.all +=
            try Int64.fetchOne(
                database,
                sql: "SELECT windows + censored + uncertain FROM stale_total WHERE replay = ? AND told_by = 'trace'",
                arguments: [lane.replay]) ?? 0
        let rows = try Row.fetchCursor(
            database,
            sql: """
                SELECT stale_window.id, stale_window.domain, stale_window.iova, stale_window.size, opened_ns, closed_ns,
                    window_end.name AS ended, uncertain, operation.line
                FROM stale_window
                JOIN window_end ON window_end.id = stale_window.window_end
                JOIN operation ON operation.id = stale_window.operation
                WHERE stale_window.replay = ?1
                ORDER BY coalesce(closed_ns, ?2) - opened_ns DESC, stale_window.id LIMIT ?3
                """, arguments: [lane.replay, trace.lastTime, limits.windows])
        let name = quoted("stale: \(lane.label)")
        while let row = try rows.next() {
            let opened: Int64 = row["opened_ns"]
            let closed = max(row["closed_ns"] ?? trace.lastTime, opened)
            let id =
                "\"cat\": \"stale\", \"name\": \(name), \"id\": \(row["id"] as Int64), \"pid\": \(row["domain"] as Int64), \"tid\": 0"
            event(
                "\"ph\": \"b\", \(id), \"ts\": \(stamp(opened)), \"args\": {\"iova\": \(address(row["iova"])), "
                    + "\"bytes\": \(row["size"] as Int64), \"ended by\": \(quoted(row["ended"])), \"uncertain\": \((row["uncertain"] as Int64) == 1), "
                    + "\"unmapped at line\": \(row["line"] as Int64), \"evidence\": \(quoted(lane.evidence))}")
            event("\"ph\": \"e\", \(id), \"ts\": \(stamp(closed))")
            drawn.windows.drawn += 1
        }
    }

    /// Averages of the replay's equal steps: of all windows and flushes, also of those that are not drawn.
    private mutating func writeCounters(_ lane: Lane, _ domain: Int64) throws {
        let rows = try Row.fetchCursor(
            database,
            sql: """
                SELECT start_ns, total(page_ns) AS page_ns, total(flushes) AS flushes FROM timeline
                WHERE replay = ? AND domain = ? GROUP BY start_ns ORDER BY start_ns
                """, arguments: [lane.replay, domain])
        let step = lane.step
        var next: Int64?
        while let row = try rows.next() {
            let start: Int64 = row["start_ns"]
            if let end = next, end < start { counters(lane, domain, at: end, pages: 0, rate: 0) }
            counters(
                lane, domain, at: start, pages: (row["page_ns"] as Double) / Double(step),
                rate: (row["flushes"] as Double) * 1e9 / Double(step))
            next = start.addingSaturated(step)
        }
        if let end = next { counters(lane, domain, at: end, pages: 0, rate: 0) }
    }

    private mutating func counters(_ lane: Lane, _ domain: Int64, at time: Int64, pages: Double, rate: Double) {
        for (what, value) in [("stale pages", pages), ("flushes per second", rate)] {
            event(
                "\"ph\": \"C\", \"name\": \(quoted("\(what): \(lane.label) (\(lane.evidence))")), \"pid\": \(domain), \"ts\": \(stamp(time)), "
                    + "\"args\": {\"value\": \(number(value))}")
            drawn.others += 1
        }
    }

    // MARK: - Text

    private mutating func event(_ members: String) {
        output.print("\(isFirst ? "" : ",")\n{\(members)}", terminator: "")
        isFirst = false
    }

    private func quoted(_ text: String) -> String { JSONRenderer.quoted(text) }

    /// µs since the log's first event, to the ns: a number that a double holds exactly for months.
    private func stamp(_ time: Int64) -> String {
        let since = max(time.subtractingSaturated(trace.firstTime), 0)
        let fraction = String(since % 1000)
        return "\(since / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
    }

    private func address(_ value: Int64?) -> String {
        value.map { "\"0x\(String(UInt64(bitPattern: $0), radix: 16))\"" } ?? "null"
    }

    private func size(_ bytes: Int64) -> String {
        bytes >= 1 << 20 && bytes % (1 << 20) == 0
            ? "\(bytes >> 20) MiB" : bytes >= 1024 && bytes % 1024 == 0 ? "\(bytes >> 10) KiB" : "\(bytes) B"
    }

    private func number(_ value: Double) -> String { value.isFinite ? "\((value * 1000).rounded() / 1000)" : "0" }
}
