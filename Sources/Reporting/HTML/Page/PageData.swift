import GRDB
import TraceStore

/// What a page is made of: summaries only, so that it takes no longer for a large log.
struct PageData {
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
    let policies: [ReplayedPolicy]
    /// What goes with them in sentences.
    let notes: ReplayNotes
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
        notes = try ReplayNotes(policies, of: trace.name, database)
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

    private static func policies(_ database: Database, _ trace: TraceSummary) throws -> [ReplayedPolicy] {
        let all = try ReplayedPolicy.all(of: trace, database)
        // Under which options each is there: the same policy under other ones is told apart by these.
        var optionsOf: [String: Set<String>] = [:]
        for policy in all { optionsOf[label(policy), default: []].insert(policy.options) }
        var known: Set<String> = []
        return all.compactMap { policy in
            var policy = policy
            let isAlone = optionsOf[label(policy)]?.count == 1
            let options = policy.options
            policy.label = isAlone || options.isEmpty ? label(policy) : "\(label(policy)) (\(options))"
            // Asked for by two names, it is one policy.
            return known.insert("\(policy.label)\u{0}\(options)").inserted ? policy : nil
        }
    }

    /// The policy by its canonical name. What fast chose, it says.
    private static func label(_ policy: ReplayedPolicy) -> String {
        let (requested, name) = (policy.requested, policy.name)
        return isChoice(requested) && requested != name ? "\(requested) = \(name)" : name
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
    func distinct(_ isWanted: (ReplayedPolicy) -> Bool = { _ in true }) -> [ReplayedPolicy] {
        var found: [ReplayedPolicy] = []
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

    private func twinNames(_ first: ReplayedPolicy, _ second: ReplayedPolicy) -> String {
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

extension ReplayedPolicy {
    fileprivate func isTwin(of other: Self) -> Bool {
        name == other.name && flushes == other.flushes && closed == other.closed && exposure == other.exposure
            && savings.string("hardware") == other.savings.string("hardware")
            && windows.whole("max_ns") == other.windows.whole("max_ns")
    }
}
