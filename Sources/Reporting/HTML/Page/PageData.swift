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
        /// What `savings` does not tell: see ``PageData/counts(_:_:)``.
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
    }

    /// Sums over the domains of a replay.
    struct Counts {
        /// Unmap calls made while no device was attached, and flushes likewise: no hardware command follows.
        var (detachedCalls, detachedFlushes): (Int64, Int64) = (0, 0)
        /// Flushes that are due when the log ends, and that hardware would see.
        var pending: Int64 = 0
        /// The longest window that is open at the end of the log, up to there, in ns.
        var longestOpen: Int64?
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
    /// Whether time passes in the log: one without times puts all its events at 0.
    var hasTimes: Bool { (log.whole("last_ns") ?? 0) > (log.whole("first_ns") ?? 0) }

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
        let counts = try counts(database, trace.id)
        let numbers = Dictionary(replays.map { (key($0), $0.whole("id") ?? 0) }) { first, _ in first }
        // Under which options each is there: the same policy under other ones is told apart by these.
        var optionsOf: [String: Set<String>] = [:]
        for row in saved { optionsOf[label(row), default: []].insert(row.string("options")) }
        var known: Set<String> = []
        return saved.compactMap { row in
            guard let id = numbers[key(row)], let windows = windowsOf[key(row)] else { return nil }
            let isAlone = optionsOf[label(row)]?.count == 1
            let options = row.string("options")
            let label = isAlone || options.isEmpty ? label(row) : "\(label(row)) (\(options))"
            // Asked for by two names, it is one policy.
            guard known.insert("\(label)\u{0}\(options)").inserted else { return nil }
            return Policy(id: id, label: label, savings: row, windows: windows, counts: counts[id] ?? Counts())
        }
    }

    private static func counts(_ database: Database, _ trace: Int64) throws -> [Int64: Counts] {
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

    /// The policy by its canonical name. What fast chose, it says.
    private static func label(_ row: Row) -> String {
        let (requested, policy) = (row.string("requested"), row.string("policy"))
        return isChoice(requested) && requested != policy ? "\(requested) = \(policy)" : policy
    }

    /// Whether a name is not a policy but stands for what each domain would get.
    private static func isChoice(_ requested: String) -> Bool { ["fast", "lazy"].contains(requested) }

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
                guard found[twin].requested != policy.requested, Self.isChoice(policy.requested) else { continue }
                found[twin].label = "\(twinNames(found[twin], policy)) = \(found[twin].name)"
            } else {
                found.append(policy)
            }
        }
        return found
    }

    private func twinNames(_ first: Policy, _ second: Policy) -> String {
        let known = first.label.split(separator: " = ").map(String.init).filter(Self.isChoice)
        return (known + [second.requested]).joined(separator: ", ")
    }
}

extension PageData {
    /// A place in the log: its line is enough where the file is the one that the page names.
    func place(_ place: String) -> String {
        let file = log.string("source") + ":"
        return place.hasPrefix(file) ? "line " + place.dropFirst(file.count) : place
    }

    /// A length of time in a table; none in a log without times.
    func length(_ nanoseconds: Int64?) -> PageTable.Cell { hasTimes ? .milliseconds(nanoseconds) : .missing }
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
