import GRDB
import TraceStore

/// One replay of a trace, as the reports savings and windows have it: what the page and the terminal's answer are made of.
struct ReplayedPolicy {
    var id: Int64
    /// How it is called for people.
    var label: String
    var savings: Row
    var windows: Row
    /// What `savings` does not tell.
    var counts = Counts()

    var flushes: Int64? { savings.whole("flushes") }
    var calls: Int64 { savings.whole("unmap_calls") ?? 0 }
    var name: String { savings.string("policy") }
    var requested: String { savings.string("requested") }
    var options: String { savings.string("options") }
    var evidence: String { savings.string("evidence") }
    /// Page-seconds, of closed windows and, up to the end of the log, of open ones.
    var exposure: Double? {
        windows.real("exposure_page_seconds").map { $0 + (windows.real("censored_page_seconds") ?? 0) }
    }
    /// Windows open at the end of the log.
    var open: Int64 { windows.whole("censored") ?? 0 }
    /// Whether ``exposure`` is only a part of it.
    var isExposureMore: Bool { open > 0 || (windows.whole("uncertain") ?? 0) > 0 }
    var closed: Int64 { windows.whole("windows") ?? 0 }
    /// Whether it leaves anything stale.
    var opensWindows: Bool { closed > 0 || isExposureMore }
    /// Unmap calls made while a device was attached: others cost the hardware nothing.
    var attachedCalls: Int64 { calls.subtractingSaturated(counts.detachedCalls) }
    /// Flushes made while a device was attached.
    var attachedFlushes: Int64? { flushes.map { $0.subtractingSaturated(counts.detachedFlushes) } }
    /// Of ``attachedCalls``, what cost no flush and waits for none: a flush that is due at the end of the log saves nothing.
    var saved: Int64? {
        attachedFlushes.map { attachedCalls.subtractingSaturated($0).subtractingSaturated(counts.pending) }
    }
    /// ``saved`` of a hundred calls.
    var savedPercent: Double? {
        guard attachedCalls > 0 else { return nil }
        return saved.map { 100 * Double($0) / Double(attachedCalls) }
    }
    /// Whether only a part of the log was replayed.
    var isOfAPart: Bool { options.contains("from=") }

    /// Sums over the domains of a replay.
    struct Counts {
        /// Unmap calls made while no device was attached, and flushes likewise: no hardware command follows.
        var (detachedCalls, detachedFlushes): (Int64, Int64) = (0, 0)
        /// Flushes that are due when the log ends, and that hardware would see.
        var pending: Int64 = 0
        /// The longest window that is open at the end of the log, up to there, in ns.
        var longestOpen: Int64?
    }

    /// All replays of a trace, in the order in which they were made.
    static func all(of trace: TraceSummary, _ database: Database) throws -> [ReplayedPolicy] {
        let (savings, windows) = (try Report.required("savings"), try Report.required("windows"))
        let saved = try Row.fetchAll(
            database, sql: savings.sql, arguments: savings.arguments(trace: trace.name, by: "trace", nil))
        let open = try Row.fetchAll(
            database, sql: windows.sql, arguments: windows.arguments(trace: trace.name, by: "trace", nil))
        func key(_ row: Row) -> [String] { [row.string("requested"), row.string("options")] }
        let windowsOf = Dictionary(open.map { (key($0), $0) }) { first, _ in first }
        let replays = try Row.fetchAll(
            database, sql: "SELECT id, requested, options FROM replay WHERE trace = ? ORDER BY id",
            arguments: [trace.id])
        let counts = try counts(trace.id, database)
        let numbers = Dictionary(replays.map { (key($0), $0.whole("id") ?? 0) }) { first, _ in first }
        return saved.compactMap { row in
            guard let id = numbers[key(row)], let windows = windowsOf[key(row)] else { return nil }
            return ReplayedPolicy(
                id: id, label: label(row), savings: row, windows: windows, counts: counts[id] ?? Counts())
        }
    }

    /// As it was asked for, with what came of it.
    private static func label(_ row: Row) -> String {
        let (requested, policy) = (row.string("requested"), row.string("policy"))
        // A replay of a part of the log stands beside that of the whole.
        let part = row.string("options").contains("from=") ? " (part of the log)" : ""
        return (requested == policy ? policy : "\(requested) = \(policy)") + part
    }

    private static func counts(_ trace: Int64, _ database: Database) throws -> [Int64: Counts] {
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT replay_domain.replay, CAST(total(detached_calls) AS INTEGER) AS detached_calls,
                    CAST(total(detached_flushes) AS INTEGER) AS detached_flushes,
                    CAST(total(CASE WHEN detached_calls = 0 OR stale_total.censored > 0 THEN flushes_pending END) AS INTEGER)
                        AS pending,
                    (SELECT max(window_summary.max_ns)
                        FROM window_summary JOIN window_end ON window_end.id = window_summary.window_end
                        WHERE window_summary.replay = replay_domain.replay AND NOT uncertain
                            AND window_end.name = 'end of log') AS longest_open
                FROM replay_domain
                LEFT JOIN stale_total ON stale_total.replay = replay_domain.replay AND stale_total.told_by = 'domain'
                    AND stale_total.member = replay_domain.domain
                WHERE replay_domain.replay IN (SELECT id FROM replay WHERE trace = ?) GROUP BY replay_domain.replay
                """, arguments: [trace])
        return Dictionary(
            rows.map { row in
                let counts = Counts(
                    detachedCalls: row.whole("detached_calls") ?? 0,
                    detachedFlushes: row.whole("detached_flushes") ?? 0, pending: row.whole("pending") ?? 0,
                    longestOpen: row.whole("longest_open"))
                return (row.whole("replay") ?? 0, counts)
            }
        ) { first, _ in first }
    }
}

extension ReplayedPolicy {
    /// Pages reused, and accesses made, inside windows.
    var hazards: Int64? {
        guard flushes != nil else { return nil }
        return ["hazards_access", "hazards_iova_reuse", "hazards_page_reuse"].reduce(0) {
            $0.addingSaturated(windows.whole($1) ?? 0)
        }
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
