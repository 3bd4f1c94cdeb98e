import GRDB
import Schema
import TraceStore

/// Everything that happened to an address, or a range of them, in order: what a maintainer asks for when a device faults.
public struct History: Sendable {
    /// First and last byte; whole pages are looked at.
    public var addresses: ClosedRange<UInt64>
    /// A trace's name; `nil` for all.
    public var trace: String?
    /// A domain's name; `nil` for all.
    public var domain: String?
    /// A policy as asked for or canonical; `nil` for all.
    public var policy: String?
    /// How many of the latest operations on the range are told.
    public var limit: Int64

    /// A history of addresses.
    public init(
        _ addresses: ClosedRange<UInt64>, trace: String? = nil, domain: String? = nil, policy: String? = nil,
        limit: Int64 = 1000
    ) {
        self.addresses = addresses
        self.trace = trace
        self.domain = domain
        self.policy = policy
        self.limit = limit
    }

    /// What came of it.
    public struct Outcome: Sendable {
        /// Rows written.
        public var rows = 0
        /// Operations on the range that are not told: only the latest are.
        public var leftOut: Int64 = 0
        /// Pages of memory that were mapped there and of which it was not looked up who else maps them.
        public var pagesLeftOut: Int64 { pagesLeftOutOf.values.reduce(0) { $0.addingSaturated($1) } }
        /// The same by trace.
        private var pagesLeftOutOf: [String: Int64] = [:]
        /// Where nothing is about the range: the nearest mappings, in words.
        public var nearest: [String] = []

        /// Nothing yet.
        public init() {}

        fileprivate mutating func look(at row: Row) {
            leftOut = row.whole("left_out") ?? 0
            pagesLeftOutOf[row.string("trace")] = row.whole("pages_left_out") ?? 0
        }
    }

    /// Writes the history. A table gets a title and is made for people and mails; the other formats have the query's columns.
    ///
    /// - Throws: ``HistoryError`` for a domain or policy that there is not.
    public func write(from store: TraceStore, format: OutputFormat, to output: TextOutput) throws -> Outcome {
        try store.read { database in
            if let trace { _ = try TraceSummary(database, name: trace, path: store.path) }
            try check(database)
            let statement = try database.makeStatement(sql: Schema.history)
            statement.arguments = arguments.merging(["policy": policy, "rows": limit])
            var outcome = Outcome()
            if format == .table {
                try writeTable(statement, to: output, &outcome)
            } else {
                let words: [(String, ReportWords.Sentence)] = format == .markdown ? [("note", HistoryWords.note)] : []
                outcome.rows = try Query.write(statement, words, format.renderer(output)) { outcome.look(at: $0) }
            }
            if outcome.rows == 0 { outcome.nearest = try nearest(database) }
            return outcome
        }
    }

    /// The range as it is printed.
    public var title: String { "\(Self.hex(addresses.lowerBound))-\(Self.hex(addresses.upperBound))" }

    private var arguments: StatementArguments {
        [
            "first": Int64(bitPattern: addresses.lowerBound), "last": Int64(bitPattern: addresses.upperBound),
            "trace": trace, "domain": domain,
        ]
    }

    private static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

    private func check(_ database: Database) throws {
        if let domain,
            try Bool.fetchOne(
                database,
                sql: """
                    SELECT NOT EXISTS (
                        SELECT 1 FROM domain JOIN trace ON trace.id = domain.trace
                        WHERE domain.name = ?1 AND (?2 IS NULL OR trace.name = ?2)
                    )
                    """, arguments: [domain, trace]) == true
        {
            throw HistoryError.noSuchDomain(domain)
        }
        if let policy,
            try Bool.fetchOne(
                database,
                sql: """
                    SELECT NOT EXISTS (
                        SELECT 1 FROM replay_domain JOIN replay ON replay.id = replay_domain.replay
                        WHERE replay.requested = ?1 OR replay_domain.policy = ?1
                    )
                    """, arguments: [policy]) == true
        {
            throw HistoryError.notReplayed(policy)
        }
    }

    // MARK: - For people

    private static let columns = [
        "seconds", "what", "iova", "size", "paddr", "after", "note", "domain", "who", "place", "evidence",
    ]

    private func writeTable(_ statement: Statement, to output: TextOutput, _ outcome: inout Outcome) throws {
        let rows = try Row.fetchAll(statement)
        outcome.rows = rows.count
        for row in rows { outcome.look(at: row) }
        guard !rows.isEmpty else { return }
        output.say("History of \(title)")
        var trace = ""
        var renderer: (any RowRenderer)?
        for row in rows {
            let name: String = row["trace"]
            if renderer == nil || name != trace {
                renderer?.end()
                output.say("")
                output.say("in \(name):")
                output.say("")
                renderer = OutputFormat.table.renderer(output)
                renderer?.begin(columns: Self.columns)
                trace = name
            }
            renderer?.row(Self.cells(row))
        }
        renderer?.end()
    }

    private static func cells(_ row: Row) -> [DatabaseValue] {
        let policy: String? = row["policy"]
        let what: String = row["what"]
        // Who: the caller, or for a fault the device that made the access.
        let who: String? = what == "io_page_fault" || what == "access" ? row["device"] ?? row["task"] : row["task"]
        let isModelled = what == "flush" && policy != "as logged"
        // A replay of a part of the log stands beside that of the whole.
        let part = row.string("options").isEmpty ? "" : " (part of the log)"
        return [
            seconds(row["time_ns"]).databaseValue, (policy.map { "\(what), \($0)\(part)" } ?? what).databaseValue,
            row["iova"],
            row["size"], row["paddr"], (row["since_ns"] as Int64?).map(duration)?.databaseValue ?? .null,
            HistoryWords.note(row)?.databaseValue ?? .null,
            row["domain"], isModelled ? .null : who?.databaseValue ?? .null, row["place"], row["evidence"],
        ]
    }

    /// Nanoseconds as seconds, exactly.
    static func seconds(_ nanoseconds: Int64) -> String {
        let size = nanoseconds.magnitude
        let fraction = String(size % 1_000_000_000)
        return (nanoseconds < 0 ? "-" : "") + "\(size / 1_000_000_000)."
            + String(repeating: "0", count: 9 - fraction.count) + fraction
    }

    /// Nanoseconds in the unit in which they are read, exactly.
    static func duration(_ nanoseconds: Int64) -> String {
        let size = nanoseconds.magnitude
        for (unit, length, digits) in [("s", UInt64(1_000_000_000), 9), ("ms", 1_000_000, 6), ("us", 1000, 3)]
        where size >= length {
            var fraction = String(size % length)
            fraction = String(repeating: "0", count: digits - fraction.count) + fraction
            while fraction.last == "0" { fraction.removeLast() }
            return (nanoseconds < 0 ? "-" : "") + "\(size / length)" + (fraction.isEmpty ? "" : ".\(fraction)")
                + " \(unit)"
        }
        return "\(nanoseconds) ns"
    }

    private func nearest(_ database: Database) throws -> [String] {
        try Row.fetchAll(database, sql: Schema.nearest, arguments: arguments).map { row in
            let (side, pages, iova, size): (String, Int64, String, Int64?) = (
                row["side"], row["pages_away"], row["iova"], row["size"]
            )
            return
                "nearest \(side), \(pages) pages away: \(iova), \(size ?? 0) bytes, mapped by \(row["task"] as String) in domain "
                + "\((row["domain"] as String?) ?? "unknown") of \(row["trace"] as String), \(row["place"] as String)"
        }
    }
}

/// Why there is no history.
public enum HistoryError: Error, CustomStringConvertible {
    /// No domain has this name.
    case noSuchDomain(String)
    /// Nothing was replayed under this policy.
    case notReplayed(String)

    /// What is wrong and what to do.
    public var description: String {
        switch self {
        case .noSuchDomain(let name): "no domain is called '\(name)'; for the names: report domains"
        case .notReplayed(let name): "nothing was replayed under '\(name)': replay --policy \(name)"
        }
    }
}

extension StatementArguments {
    fileprivate func merging(_ others: StatementArguments) -> StatementArguments {
        var merged = self
        _ = merged.append(contentsOf: others)
        return merged
    }
}
