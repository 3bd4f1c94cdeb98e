import Foundation
import GRDB
import TraceStore

/// Two logs side by side, by rates: views `how_each_log_ran` and `how_each_replay_ran`.
public struct Comparison: Sendable {
    /// A log and the database that it is in.
    public struct Side {
        let store: TraceStore
        let trace: String?

        /// - Parameter trace: its name; `nil` for the newest.
        public init(_ store: TraceStore, trace: String?) {
            self.store = store
            self.trace = trace
        }
    }

    /// The columns of its rows.
    static let columns = ["measure", "policy", "a", "b", "difference", "percent", "evidence", "comparable"]

    /// A row.
    private struct Line: Sendable {
        var measure: String
        var policy: String
        var values: (Double?, Double?)
        var evidence: String
        var comparable: String
    }

    /// A replay, or the log itself where ``requested`` is empty.
    private struct Measured {
        var requested = ""
        var policy = ""
        var options = ""
        var layer = ""
        var evidence = "recorded"
        var measures: [(name: String, value: Double?)]
    }

    private struct Log {
        var name: String
        var facts: [String: String]
        var losses: [String]
        var whole: Measured
        var replays: [Measured]
    }

    /// The names of the two logs.
    public let names: (String, String)
    /// Why the two are not to be compared, or only with care.
    public let doubts: [String]
    private var lines: [Line]

    /// Reads both logs.
    public init(_ first: Side, _ second: Side) throws {
        let (a, b) = (try Self.read(first), try Self.read(second))
        names = (a.name, b.name)
        doubts = Self.doubts(a, b)
        lines = Self.lines(a.whole, b.whole)
        for replay in a.replays {
            let others = b.replays.filter { $0.requested == replay.requested }
            guard let other = others.last(where: { $0.options == replay.options }) ?? others.last else { continue }
            // Of several replays that differ in their options one is taken: that which the other log has, else the newest.
            let own = a.replays.filter { $0.requested == replay.requested }
            let isBest =
                replay.options == other.options
                || own.last?.options == replay.options
                    && !own.contains { own in others.contains { $0.options == own.options } }
            if isBest { lines += Self.lines(replay, other) }
        }
    }

    /// Keeps the rows of these measures only; none means all.
    ///
    /// - Throws: ``ComparisonError`` if there is no such measure.
    public mutating func keep(_ measures: [String]) throws {
        guard !measures.isEmpty else { return }
        var known: [String] = []
        for line in lines where !known.contains(line.measure) { known.append(line.measure) }
        for measure in measures where !known.contains(measure) {
            throw ComparisonError(
                message: "--measure \(measure): there is no such measure; there are: \(known.joined(separator: ", "))")
        }
        lines = lines.filter { measures.contains($0.measure) }
    }

    /// Whether any policy was replayed in both.
    public var hasReplays: Bool { lines.contains { !$0.policy.isEmpty } }

    /// Writes the rows.
    public func write(gate: Gate, format: OutputFormat, to output: TextOutput) throws {
        try gate.begin(Self.columns)
        if format == .table {
            output.say("a = \(names.0), b = \(names.1); percent is how much b exceeds a")
            output.say("")
        }
        var renderer = format.renderer(output)
        renderer.begin(columns: Self.columns)
        for line in lines {
            let (a, b) = line.values
            let difference = a.flatMap { a in b.map { $0 - a } }
            let percent = difference.flatMap { difference in a.flatMap { $0 == 0 ? nil : 100 * difference / abs($0) } }
            let row: [DatabaseValue] = [
                line.measure.databaseValue, line.policy.isEmpty ? .null : line.policy.databaseValue,
                Self.rounded(a), Self.rounded(b), Self.rounded(difference),
                percent.map { (($0 * 100).rounded() / 100).databaseValue } ?? .null,
                line.evidence.databaseValue, line.comparable.databaseValue,
            ]
            gate.look(at: row)
            renderer.row(row)
        }
        renderer.end()
    }

    // MARK: - Reading

    private static let words: Set<String> = [
        "trace", "name", "replay", "requested", "policy", "options", "layer", "evidence",
    ]

    private static func read(_ side: Side) throws -> Log {
        try side.store.read { database in
            let trace = try TraceSummary(database, name: side.trace, path: side.store.path)
            let row = try Row.fetchOne(
                database, sql: "SELECT * FROM how_each_log_ran WHERE trace = ?", arguments: [trace.id])
            let whole = Measured(measures: row.map(measures) ?? [])
            let replays = try Row.fetchAll(
                database, sql: "SELECT * FROM how_each_replay_ran WHERE trace = ? ORDER BY replay",
                arguments: [trace.id]
            ).map { row in
                Measured(
                    requested: row["requested"], policy: row["policy"], options: row["options"], layer: row["layer"],
                    evidence: row["evidence"], measures: measures(row))
            }
            return Log(
                name: trace.name, facts: try facts(trace, database), losses: try losses(trace, database), whole: whole,
                replays: replays)
        }
    }

    private static func measures(_ row: Row) -> [(name: String, value: Double?)] {
        row.compactMap { name, value in
            words.contains(name) ? nil : (name, Double.fromDatabaseValue(value))
        }
    }

    /// What should be alike, in words.
    private static func facts(_ trace: TraceSummary, _ database: Database) throws -> [String: String] {
        var facts = [
            "where flushes are seen": trace.flushLayer.rawValue,
            "attaches": trace.showsAttaches ? "seen" : "not seen",
        ]
        // Known only where the database keeps what came with a recording.
        if try database.tableExists("metadata") {
            facts["kernel"] = try String.fetchOne(
                database,
                sql:
                    "SELECT value FROM metadata WHERE trace = ? AND key IN ('kernel_release', 'kernel') ORDER BY key DESC",
                arguments: [trace.id])
        }
        return facts
    }

    private static func losses(_ trace: TraceSummary, _ database: Database) throws -> [String] {
        var losses = try SilentLoss.all(of: trace.name, database).map(\.text)
        if !trace.losses.isEmpty { losses.append("events were lost at \(trace.losses.count) places") }
        let overwritten = try Int64.fetchOne(
            database, sql: "SELECT buffer_written - buffer_entries FROM trace WHERE id = ?", arguments: [trace.id])
        if let overwritten, overwritten > 0 { losses.append("\(overwritten) events were overwritten before it begins") }
        return losses
    }

    // MARK: - Comparing

    private static func doubts(_ a: Log, _ b: Log) -> [String] {
        var doubts: [String] = []
        for key in Set(a.facts.keys).union(b.facts.keys).sorted() where a.facts[key] != b.facts[key] {
            doubts.append("\(key): \(a.facts[key] ?? "not known") in a, \(b.facts[key] ?? "not known") in b")
        }
        if a.facts["kernel"] == nil, b.facts["kernel"] == nil {
            doubts.append("whether both are of one kernel is not known")
        }
        for (side, log) in [("a", a), ("b", b)] {
            doubts += log.losses.map { "\(side): \($0): its rates are lower bounds" }
            let others = (side == "a" ? b : a).replays.map(\.requested)
            let alone = Set(log.replays.map(\.requested)).subtracting(others).sorted()
            if !alone.isEmpty { doubts.append("replayed in \(side) only, left out: \(alone.joined(separator: ", "))") }
        }
        return doubts
    }

    private static func lines(_ a: Measured, _ b: Measured) -> [Line] {
        var reasons: [String] = []
        if a.policy != b.policy { reasons.append("policies differ: \(a.policy) and \(b.policy)") }
        if a.options != b.options { reasons.append("options differ: \(a.options) and \(b.options)") }
        if a.layer != b.layer { reasons.append("flushes are counted at the layers \(a.layer) and \(b.layer)") }
        let comparable = reasons.isEmpty ? "yes" : "no, " + reasons.joined(separator: "; ")
        let grades = ["recorded", "inferred", "modelled", "assumed"]
        let weakest = [a, b].map(\.evidence).max { grades.firstIndex(of: $0) ?? 3 < grades.firstIndex(of: $1) ?? 3 }
        let label = a.requested == a.policy || a.policy != b.policy ? a.requested : "\(a.requested) = \(a.policy)"
        return a.measures.compactMap { name, value in
            let other = b.measures.first { $0.name == name }?.value ?? nil
            guard value != nil || other != nil else { return nil }
            let isModelled = name.hasSuffix("per_million") || name.hasPrefix("commands") || name.hasPrefix("iotlb")
            return Line(
                measure: name, policy: label, values: (value, other),
                evidence: isModelled && weakest != "assumed" ? "modelled" : weakest ?? "assumed",
                comparable: comparable)
        }
    }

    private static func rounded(_ value: Double?) -> DatabaseValue {
        guard let value else { return .null }
        // Six digits are more than a rate is known to.
        guard value != 0, value.isFinite, abs(value) < 1e15 else { return value.databaseValue }
        let scale = pow(10, 5 - floor(log10(abs(value))))
        return (scale >= 1 ? (value * scale).rounded() / scale : value.rounded()).databaseValue
    }
}

/// What is wrong with what was asked of a comparison.
public struct ComparisonError: Error {
    /// What, and what to do.
    public let message: String
}
