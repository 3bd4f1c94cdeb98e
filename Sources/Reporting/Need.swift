import GRDB
import TraceStore

/// What a report reads that another command makes: `-- needs: replay` in its file.
public enum Need: String, CaseIterable, Sendable {
    /// A replay of the trace, or of a part of it.
    case replay
    /// A replay of all of the trace: what the model saw of its mappings.
    case wholeReplay = "whole replay"
    /// Replays that kept closed windows one by one, where there were any.
    case windows
    /// A replay with a simulated IOTLB.
    case iotlb
    /// A sweep of the trace.
    case sweep
    /// A validation of the trace.
    case validation
    /// Maps, in a log that shows unmaps: without them nobody knows what is still mapped, or mapped again.
    case maps

    /// Whether the trace in `trace` has it, in SQL.
    var condition: String {
        switch self {
        case .replay: "EXISTS (SELECT 1 FROM replay WHERE replay.trace = trace.id)"
        case .wholeReplay: "EXISTS (SELECT 1 FROM mapping_summary WHERE mapping_summary.trace = trace.id)"
        case .windows:
            """
            EXISTS (SELECT 1 FROM replay WHERE replay.trace = trace.id) AND NOT EXISTS (
                SELECT 1 FROM replay JOIN stale_total ON stale_total.replay = replay.id AND stale_total.told_by = 'trace'
                WHERE replay.trace = trace.id AND stale_total.windows > 0
                    AND NOT EXISTS (SELECT 1 FROM stale_window WHERE stale_window.replay = replay.id)
            )
            """
        case .iotlb: "EXISTS (SELECT 1 FROM replay WHERE replay.trace = trace.id AND iotlb IS NOT NULL)"
        case .sweep: "EXISTS (SELECT 1 FROM sweep WHERE sweep.trace = trace.id)"
        case .validation: "EXISTS (SELECT 1 FROM validation WHERE validation.trace = trace.id)"
        case .maps:
            """
            EXISTS (SELECT 1 FROM kind_count WHERE kind_count.trace = trace.id AND stage = 'operation' AND kind = 1)
            OR NOT EXISTS (
                SELECT 1 FROM kind_count WHERE kind_count.trace = trace.id AND stage = 'operation' AND kind IN (2, 3))
            """
        }
    }

    /// What was not done to a trace that does not have it.
    var words: String {
        switch self {
        case .replay: "replayed"
        case .wholeReplay: "replayed as a whole"
        case .windows: "replayed with its windows kept"
        case .iotlb: "replayed with an IOTLB"
        case .sweep: "swept"
        case .validation: "validated"
        case .maps: "recorded with its maps"
        }
    }

    /// The words of the command line that makes it; `nil` for what only another recording has.
    public var command: [String]? {
        switch self {
        case .replay, .wholeReplay: ["replay"]
        case .windows: ["replay", "--windows", "all"]
        case .iotlb: ["replay", "--hardware", "vtd-6.12", "--iotlb", "64x8"]
        case .sweep: ["sweep"]
        case .validation: ["validate"]
        case .maps: nil
        }
    }
}

/// What keeps a report from looking at a trace.
public struct Unmet: Sendable {
    /// What is missing; `nil` if there is no trace at all.
    public let need: Need?
    /// The traces that lack it, oldest first.
    public let traces: [String]
    /// Whether no trace that was asked for has it, so that the report looked at nothing.
    public let isAll: Bool
    /// Whether one trace was asked for by its name.
    fileprivate let isNamed: Bool

    /// The trace that the command is to name, if it must name one.
    public var traceToName: String? { isNamed || !isAll ? traces.first : nil }

    /// What is missing and where, without what to do.
    public var message: String {
        guard let need else { return "the database holds no trace" }
        let shown = traces.prefix(8).joined(separator: ", ") + (traces.count > 8 ? ", …" : "")
        if need == .maps {
            return
                "this cannot be told of \(shown): \(traces.count == 1 ? "the log shows" : "these logs show") unmaps, but no map"
        }
        guard isNamed || !isAll else {
            return need == .iotlb ? "no replay simulated an IOTLB yet" : "nothing was \(need.words) yet"
        }
        return traces.count == 1 ? "trace \(shown) was not \(need.words) yet" : "not \(need.words) yet: \(shown)"
    }
}

extension Report {
    /// What the report needs and a trace does not have; `nil` if all is there.
    ///
    /// - Parameter trace: a trace's name; `nil` for all.
    public func unmet(in store: TraceStore, trace: String?) throws -> Unmet? {
        try store.read { database in
            let all = try Int.fetchOne(
                database, sql: "SELECT count(*) FROM trace WHERE name = ?1 OR ?1 IS NULL", arguments: [trace])
            guard let all, all > 0 else { return Unmet(need: nil, traces: [], isAll: true, isNamed: false) }
            for need in needs {
                let traces = try String.fetchAll(
                    database,
                    sql:
                        "SELECT name FROM trace WHERE (name = ?1 OR ?1 IS NULL) AND NOT (\(need.condition)) ORDER BY id",
                    arguments: [trace])
                if traces.isEmpty { continue }
                return Unmet(need: need, traces: traces, isAll: traces.count == all, isNamed: trace != nil)
            }
            return nil
        }
    }
}
