import GRDB

/// What a reader of savings and stale windows must know beside the numbers: the same sentences on the page and in a terminal.
enum ReplayNote: Hashable {
    // Of what policies cost.

    /// Recorded flushes cannot be counted.
    case noFlushes
    /// The log shows what reaches the hardware only.
    case hardwareLayer
    /// Events that must have been there are missing.
    case missing(String)
    /// The page sizes that callbacks follow from are nobody's word.
    case pageSizes
    /// The log does not tell whose driver gathered.
    case driver
    /// How fast the modelled timers tick, and who says so.
    case timers(hz: String, from: String)
    /// Some flushes are still to come when the log ends.
    case pending(policy: String, flushes: Int64)
    /// Unmap calls of domains without a device.
    case detached(calls: Int64, of: Int64)
    /// Which policy was chosen for a domain, what it comes to there, and why.
    case choice(
        requested: String, domain: String, policy: String, flushes: Int64?, calls: Int64, reason: String,
        evidence: String)
    /// How many more of them there are.
    case moreChoices(Int)

    // Of simulated caches.

    /// Addresses that a queue's allocator would not have given out are hit.
    case withheldHits
    /// Nothing was ever accessed.
    case noAccesses

    // Of what policies expose.

    /// Policies that leave nothing stale.
    case noWindows([String])
    /// Pages unmapped in domains without a device.
    case unreachable(pages: Int64)
    /// Windows that have no end.
    case open(policy: String, windows: Int64)
    /// Windows that span a loss.
    case uncertain(policy: String, windows: Int64)
    /// Windows of operations whose domain is not known.
    case unresolved(policy: String, windows: Int64, pages: Int64, open: Int64)
    /// The recorded kernel's own queue, modelled, flushes later than the kernel did.
    case modelIsLate(policy: String, pages: Int64)
    /// An address that was used again, which would not have happened under that policy.
    case withheld(policy: String, pages: Int64)
    /// Nothing says that a device was attached.
    case assumedAttached
    /// All events stand at one time.
    case noTimes

    /// A sentence without its full stop.
    var text: String {
        switch self {
        case .noFlushes: "the log shows no flushes, so recorded has no number"
        case .hardwareLayer:
            "recorded flushes are counted at the hardware layer: the log shows none of the API (inferred)"
        case .missing(let what): "of what is recorded, \(what): what rests on it is a lower bound"
        case .driver:
            "vfio follows the gather of VT-d's driver up to 6.18 (assumed): the log tells neither its kernel nor commands (--hardware)"
        case .pageSizes: "page sizes are assumed: no log tells them (--page-sizes)"
        case .timers(let hz, let source): "timers are modelled on the kernel's timer wheel at HZ=\(hz), \(source)"
        case .pending(let policy, let flushes):
            "\(policy): \(Number.count(flushes, "flush", "flushes")) \(flushes == 1 ? "is" : "are") due when the log ends: not made, and not really saved"
        case .detached(let calls, let all):
            "\(Number.whole(calls)) of \(Number.count(all, "unmap call")) \(calls == 1 ? "was" : "were") made with no device attached: a flush for \(calls == 1 ? "it" : "them") reaches no hardware, so saving it saves no time"
        case .choice(let requested, let domain, let policy, let flushes, let calls, let reason, let evidence):
            "\(requested) in domain \(domain): \(policy), \(flushes.map { Number.count($0, "flush", "flushes") } ?? "an unknown number of flushes") for \(Number.count(calls, "unmap call")); \(reason) (\(evidence))"
        case .moreChoices(let count):
            "… and in \(Number.count(Int64(count), "more domain")): report savings --by domain"
        case .withheldHits:
            "hits and stale hits under a queue are in part of addresses that an allocator that defers would have withheld (deferred_reuse): the log's kernel did not defer"
        case .noAccesses: "the log records no access of a device, so nothing was ever cached"
        case .noWindows(let policies): "none under \(policies.joined(separator: ", "))"
        case .unreachable(let pages):
            "\(Number.count(pages, "page")) \(pages == 1 ? "was" : "were") unmapped while no device was attached: no window"
        case .open(let policy, let windows):
            "\(policy): \(Number.count(windows, "window")) still open when the log ends: in page-seconds up to there, not in windows, percentiles and maximum"
        case .uncertain(let policy, let windows):
            "\(policy): \(Number.count(windows, "window")) open where events were lost: in no figure here"
        case .unresolved(let policy, let windows, let pages, let open):
            "\(policy): \(Number.count(windows, "window")) of \(Number.count(pages, "page")), \(Number.whole(open)) of them still open at the end, \(windows == 1 ? "is" : "are") of operations whose domain is not known (unresolved)"
        case .modelIsLate(let policy, let pages):
            "\(policy): \(Number.count(pages, "page")) reused where the recorded kernel, which has this queue, had flushed already: the model is late there"
        case .withheld(let policy, let pages):
            "\(policy): \(Number.count(pages, "page")) of addresses that were used again before its flush: an allocator that defers as it does would have withheld them"
        case .assumedAttached:
            "devices are assumed to be attached throughout where the log shows no attach (assumed)"
        case .noTimes:
            "the log has no times, so no window has a length: windows and hazards are in the order of its lines"
        }
    }

    /// As a sentence of its own. Names of policies stay as they are.
    var sentence: String {
        switch self {
        case .pending, .choice, .moreChoices, .open, .uncertain, .unresolved, .modelIsLate, .withheld: return text + "."
        default: return text.prefix(1).uppercased() + text.dropFirst() + "."
        }
    }
}

/// Which notes go with which replays: the facts behind the sentences, read once for the page and the terminal.
struct ReplayNotes {
    /// Of what policies cost.
    let cost: [ReplayNote]
    /// Which policies were chosen where, and why.
    let choices: [ReplayNote]
    /// Of what policies expose.
    let exposure: [ReplayNote]
    private let withheld: Set<Int64>

    private static let mostChoices = 12

    /// - Parameters:
    ///   - policies: replays of one trace, as they are shown, with their labels.
    ///   - trace: its name.
    init(_ policies: [ReplayedPolicy], of trace: String, _ database: Database) throws {
        cost = Self.cost(
            policies, try SilentLoss.all(of: trace, database), isDriverKnown: try Self.isDriverKnown(trace, database))
        choices = try Self.choices(policies, trace, database)
        exposure = Self.exposure(policies, try Self.unresolved(policies, database))
        withheld = Set(policies.filter { ($0.windows.whole("deferred_reuse") ?? 0) > 0 }.map(\.id))
    }

    /// Whether a log, or what is known beside it, tells of which driver the gather is.
    private static func isDriverKnown(_ trace: String, _ database: Database) throws -> Bool {
        try Bool.fetchOne(
            database,
            sql: """
                SELECT EXISTS (
                    SELECT 1 FROM trace WHERE name = ? AND (
                        EXISTS (SELECT 1 FROM kind_count WHERE kind_count.trace = trace.id AND stage = 'layer')
                        OR EXISTS (
                            SELECT 1 FROM metadata
                            WHERE metadata.trace = trace.id AND key IN ('kernel_release', 'evident_kernel') AND number IS NOT NULL
                        )
                    )
                )
                """, arguments: [trace]) ?? false
    }

    private static func cost(
        _ policies: [ReplayedPolicy], _ losses: [SilentLoss], isDriverKnown: Bool
    ) -> [ReplayNote] {
        var notes: [ReplayNote] = []
        func add(_ note: ReplayNote) { if !notes.contains(note) { notes.append(note) } }
        if policies.contains(where: { $0.flushes == nil }) { add(.noFlushes) }
        if policies.contains(where: { $0.savings.string("layer") == "hardware" }) { add(.hardwareLayer) }
        for loss in losses { add(.missing(loss.text)) }
        for policy in policies {
            let (name, options) = (policy.name, policy.options)
            if options.contains("page-sizes="), name.contains("vfio") || name.contains("per-page") { add(.pageSizes) }
            if !isDriverKnown, name == "vfio", !options.contains("hardware=") { add(.driver) }
            if name.contains("queue="), let hz = options.split(separator: " ").first(where: { $0.hasPrefix("hz=") }) {
                add(.timers(hz: String(hz.dropFirst(3)), from: hzSource(policy.savings.string("hz_from"))))
            }
        }
        for policy in policies where policy.counts.detachedCalls > 0 {
            add(.detached(calls: policy.counts.detachedCalls, of: policy.calls))
        }
        for policy in policies {
            // Worth a word where it is one in a hundred.
            if let pending = policy.savings.whole("flushes_pending"), pending > 0,
                let saved = policy.savings.whole("saved_flushes"), pending > saved / 100
            {
                add(.pending(policy: policy.label, flushes: pending))
            }
        }
        return notes
    }

    /// Who says what HZ is, and how good that is.
    private static func hzSource(_ source: String) -> String {
        switch source {
        case "--hz": "as given with --hz (assumed)"
        case "default", "": "the default (assumed; --hz)"
        default: "as \(source) of the recording says (recorded; --hz)"
        }
    }

    private static func choices(_ policies: [ReplayedPolicy], _ trace: String, _ database: Database) throws
        -> [ReplayNote]
    {
        guard policies.contains(where: { !$0.savings.string("reason").isEmpty }) else { return [] }
        let report = try Report.required("savings")
        let chosen = try ReplayChoice(policies.map(\.id), database)
        let rows = try Row.fetchAll(
            database, sql: report.sql, arguments: report.arguments(trace: trace, by: "domain", nil)
        ).filter { chosen.contains($0) && !$0.string("reason").isEmpty && ($0.whole("unmap_calls") ?? 0) > 0 }
        var notes = rows.prefix(mostChoices).map { row in
            ReplayNote.choice(
                requested: row.string("requested"), domain: row.string("domain"), policy: row.string("policy"),
                flushes: row.whole("flushes"), calls: row.whole("unmap_calls") ?? 0, reason: row.string("reason"),
                evidence: row.string("evidence"))
        }
        if rows.count > mostChoices { notes.append(.moreChoices(rows.count - mostChoices)) }
        return notes
    }

    private static func exposure(_ policies: [ReplayedPolicy], _ unresolved: [ReplayNote]) -> [ReplayNote] {
        var notes: [ReplayNote] = []
        if policies.contains(where: \.opensWindows), !policies.contains(where: { $0.exposure != nil }) {
            notes.append(.noTimes)
        }
        let none = policies.filter { !$0.opensWindows && $0.flushes != nil }
        if !none.isEmpty { notes.append(.noWindows(none.map(\.label))) }
        if let pages = policies.compactMap({ $0.windows.whole("unreachable_pages") }).max(), pages > 0 {
            notes.append(.unreachable(pages: pages))
        }
        for policy in policies {
            func count(_ column: String) -> Int64 { policy.windows.whole(column) ?? 0 }
            if policy.open > 0 { notes.append(.open(policy: policy.label, windows: policy.open)) }
            if count("uncertain") > 0 {
                notes.append(.uncertain(policy: policy.label, windows: count("uncertain")))
            }
            // What the kernel's own queue gets wrong tells of the model. Other policies did not run: there it tells of addresses.
            let (late, deferred) = (count("model_timing_error"), count("deferred_reuse"))
            if late > 0, policy.isOwnQueue { notes.append(.modelIsLate(policy: policy.label, pages: late)) }
            let withheld = policy.isOwnQueue ? deferred : deferred.addingSaturated(late)
            if withheld > 0 { notes.append(.withheld(policy: policy.label, pages: withheld)) }
        }
        notes += unresolved
        if policies.contains(where: { $0.windows.string("attached") == "assumed" }) { notes.append(.assumedAttached) }
        return notes
    }

    /// Which of the windows are of operations of which the domain is not known: what closes those is not known either.
    private static func unresolved(_ policies: [ReplayedPolicy], _ database: Database) throws -> [ReplayNote] {
        try policies.compactMap { policy in
            let row = try Row.fetchOne(
                database,
                sql: """
                    SELECT CAST(total(window_summary.windows) AS INTEGER) AS windows, CAST(total(window_summary.pages) AS INTEGER) AS pages,
                        CAST(total(CASE WHEN window_end.name = 'end of log' THEN window_summary.windows END) AS INTEGER) AS open
                    FROM window_summary
                    JOIN window_end ON window_end.id = window_summary.window_end
                    JOIN domain ON domain.id = window_summary.domain
                    JOIN trace ON trace.id = domain.trace
                    WHERE window_summary.replay = ? AND domain.name = 'unresolved' AND domain.evidence = 'assumed'
                        AND NOT trace.single_domain AND window_end.name <> 'unreachable'
                    """, arguments: [policy.id])
            guard let row, let windows = row.whole("windows"), windows > 0 else { return nil }
            return .unresolved(
                policy: policy.label, windows: windows, pages: row.whole("pages") ?? 0, open: row.whole("open") ?? 0)
        }
    }

    /// Of a simulated cache under some of the policies.
    func caches(_ policies: [ReplayedPolicy]) -> [ReplayNote] {
        var notes: [ReplayNote] = []
        if policies.contains(where: { withheld.contains($0.id) }) { notes.append(.withheldHits) }
        let isUsed = policies.contains {
            ($0.savings.whole("iotlb_hits") ?? 0) > 0 || ($0.savings.whole("iotlb_misses") ?? 0) > 0
        }
        if policies.contains(where: { $0.savings.string("accesses") == "recorded" }), !isUsed {
            notes.append(.noAccesses)
        }
        return notes
    }
}

extension ReplayedPolicy {
    /// Whether it is the queue that a kernel which defers has by itself.
    var isOwnQueue: Bool { name == "queue=256,10ms" && savings.string("mode") == "deferred" }
}
