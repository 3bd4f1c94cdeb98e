import GRDB
import TraceStore

/// What a page is made of: summaries only, so that it takes no longer for a large log.
struct PageData {
    /// One replay, as the reports savings and windows have it.
    struct Policy {
        var id: Int64
        /// How the page calls it.
        var label: String
        var savings: Row
        var windows: Row

        var flushes: Int64? { savings.whole("flushes") }
        var calls: Int64 { savings.whole("unmap_calls") ?? 0 }
        var name: String { savings.string("policy") }
        var requested: String { savings.string("requested") }
        var options: String { savings.string("options") }
        var evidence: String { savings.string("evidence") }
        var exposure: Double? { windows.real("exposure_page_seconds") }
        var closed: Int64 { windows.whole("windows") ?? 0 }
        /// Whether it leaves anything stale.
        var opensWindows: Bool {
            closed > 0 || (windows.whole("censored") ?? 0) > 0 || (windows.whole("uncertain") ?? 0) > 0
        }
        /// Whether only a part of the log was replayed.
        var isOfAPart: Bool { options.contains("from=") }
    }

    /// Stale pages and flushes in one step of time.
    struct Moment {
        var (start, length): (Int64, Int64)
        var pages: Double
        var flushes: Int64
    }

    /// How many replays a page shows: what is more is for the reports.
    static let mostPolicies = 24

    let trace: TraceSummary
    /// The row of `trace`.
    let log: Row
    /// The replays of the whole log, or where there are none those of a part.
    let policies: [Policy]
    /// How many replays are not among them.
    let policiesLeftOut: Int
    /// By replay.
    let timelines: [Int64: [Moment]]
    /// Lengths of closed windows and how many there are, by replay.
    let lengths: [Int64: [(nanoseconds: Int64, count: Int64)]]
    /// What the domains that unmap are for.
    let unmappingKinds: Set<String>

    init(_ database: Database, trace name: String?, path: String) throws {
        trace = try TraceSummary(database, name: name, path: path)
        log = try Row.fetchOne(database, sql: "SELECT * FROM trace WHERE id = ?", arguments: [trace.id]) ?? Row()
        let all = try Self.policies(database, trace)
        let whole = all.filter { !$0.isOfAPart }
        let shown = (whole.isEmpty ? all : whole).prefix(Self.mostPolicies)
        policies = Array(shown)
        policiesLeftOut = all.count - shown.count
        timelines = try Self.timelines(database, trace.id, Set(shown.map(\.id)))
        lengths = try Self.lengths(database, trace.id)
        unmappingKinds = try Set(
            String.fetchAll(
                database,
                sql: """
                    SELECT DISTINCT domain.kind FROM replay_domain JOIN domain ON domain.id = replay_domain.domain
                    WHERE replay_domain.replay = ? AND replay_domain.unmap_calls > 0
                    """, arguments: [shown.first?.id]))
    }

    private static func policies(_ database: Database, _ trace: TraceSummary) throws -> [Policy] {
        guard let savings = Report.named("savings"), let windows = Report.named("windows") else { return [] }
        let arguments = try savings.arguments(trace: trace.name, by: "trace", nil)
        let saved = try Row.fetchAll(database, sql: savings.sql, arguments: arguments)
        let open = try Row.fetchAll(
            database, sql: windows.sql, arguments: windows.arguments(trace: trace.name, by: "trace", nil))
        func key(_ row: Row) -> [String] { [row.string("requested"), row.string("options")] }
        let windowsOf = Dictionary(open.map { (key($0), $0) }) { first, _ in first }
        let replays = try Row.fetchAll(
            database, sql: "SELECT id, requested, options FROM replay WHERE trace = ? ORDER BY id",
            arguments: [trace.id])
        let numbers = Dictionary(replays.map { (key($0), $0.whole("id") ?? 0) }) { first, _ in first }
        var labels: [String: Int] = [:]
        for row in saved { labels[label(row), default: 0] += 1 }
        return saved.compactMap { row in
            guard let id = numbers[key(row)], let windows = windowsOf[key(row)] else { return nil }
            // The same policy under other options is told apart by these.
            let isAlone = labels[label(row)] == 1
            let options = row.string("options")
            let label = isAlone || options.isEmpty ? label(row) : "\(label(row)) (\(options))"
            return Policy(id: id, label: label, savings: row, windows: windows)
        }
    }

    private static func label(_ row: Row) -> String {
        let (requested, policy) = (row.string("requested"), row.string("policy"))
        return requested == policy ? policy : "\(requested) = \(policy)"
    }

    private static func timelines(_ database: Database, _ trace: Int64, _ shown: Set<Int64>) throws -> [Int64: [Moment]]
    {
        let replays = try Row.fetchAll(
            database, sql: "SELECT id, first_ns, last_ns, step_ns FROM replay WHERE trace = ? AND flushes IS NOT NULL",
            arguments: [trace])
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT replay, start_ns, total(page_ns), CAST(total(flushes) AS INTEGER) FROM timeline
                WHERE replay IN (SELECT id FROM replay WHERE trace = ?) GROUP BY replay, start_ns
                """, arguments: [trace])
        var counted: [Int64: [Int64: (pages: Double, flushes: Int64)]] = [:]
        for row in rows {
            counted[row[0], default: [:]][row[1]] = (row[2], row[3])
        }
        var timelines: [Int64: [Moment]] = [:]
        for replay in replays {
            guard let id = replay.whole("id"), shown.contains(id), let first = replay.whole("first_ns"),
                let last = replay.whole("last_ns"), let step = replay.whole("step_ns"), step > 0
            else { continue }
            timelines[id] = (0..<Int64(128)).map { first &+ $0 &* step }.prefix { $0 <= last }.map { start in
                let sum = counted[id]?[start] ?? (0, 0)
                return Moment(start: start, length: step, pages: sum.pages / Double(step), flushes: sum.flushes)
            }
        }
        return timelines
    }

    private static func lengths(_ database: Database, _ trace: Int64) throws
        -> [Int64: [(nanoseconds: Int64, count: Int64)]]
    {
        var lengths: [Int64: [(nanoseconds: Int64, count: Int64)]] = [:]
        let rows = try Row.fetchCursor(
            database,
            sql: """
                SELECT window_summary.replay, window_histogram.up_to_ns, CAST(total(window_histogram.windows) AS INTEGER)
                FROM window_summary JOIN window_histogram ON window_histogram.summary = window_summary.id
                WHERE window_summary.replay IN (SELECT id FROM replay WHERE trace = ?)
                GROUP BY 1, 2
                """, arguments: [trace])
        while let row = try rows.next() { lengths[row[0], default: []].append((row[1], row[2])) }
        return lengths
    }

    /// Policies that did the same, under one name: 'fast' beside what it chose would only draw it twice.
    func distinct(_ isWanted: (Policy) -> Bool = { _ in true }) -> [Policy] {
        var found: [Policy] = []
        for policy in policies where isWanted(policy) {
            if let twin = found.firstIndex(where: { $0.isTwin(of: policy) }) {
                if found[twin].requested == policy.requested { continue }
                found[twin].label = "\(found[twin].name) = \(twinNames(found[twin], policy))"
            } else {
                found.append(policy)
            }
        }
        return found
    }

    private func twinNames(_ first: Policy, _ second: Policy) -> String {
        let known = first.label.split(separator: " = ").map(String.init).filter { $0 != first.name }
        return (known + [second.requested]).filter { $0 != first.name }.joined(separator: ", ")
    }
}

extension PageData.Policy {
    fileprivate func isTwin(of other: Self) -> Bool {
        name == other.name && flushes == other.flushes && closed == other.closed && exposure == other.exposure
            && savings.string("hardware") == other.savings.string("hardware")
            && windows.whole("max_ns") == other.windows.whole("max_ns")
    }
}

extension Row {
    /// A whole number; `nil` for anything else: whatever wrote the database, reading it does not end the program.
    func whole(_ column: String) -> Int64? { (self[column] as DatabaseValue?).flatMap(Int64.fromDatabaseValue) }
    /// A number.
    func real(_ column: String) -> Double? { (self[column] as DatabaseValue?).flatMap(Double.fromDatabaseValue) }
    /// A text; empty for NULL.
    func string(_ column: String) -> String { (self[column] as DatabaseValue?)?.text ?? "" }
}
