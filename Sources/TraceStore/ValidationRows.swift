import GRDB

/// What a validation found about one quantity of one domain.
public struct ValidationRow: Sendable {
    /// What is compared.
    public enum Quantity: String, CaseIterable, Sendable {
        /// Flushes of the API against those that a policy makes out of the unmaps alone.
        case flushes
        /// Commands to the hardware, each with all that it says, against those that a flush becomes.
        case descriptors
    }

    /// From 1, in order of the trace's domains; 0 for commands that nothing joins to one.
    public var domain: Int32
    /// What is compared.
    public var quantity: Quantity
    /// What the prediction rests on: a policy, or the log's flushes; and the hardware.
    public var basis: String
    /// In the log.
    public var recorded: Int64 = 0
    /// By the model.
    public var predicted: Int64 = 0
    /// In both, one for one.
    public var matched: Int64 = 0
    /// Recorded ones that the log cannot determine, by reason.
    public var explained: [String: Int64] = [:]
    /// Recorded and not predicted, for no known reason.
    public var missing: Int64 = 0
    /// Predicted and not recorded.
    public var extra: Int64 = 0
    /// Predictions that the log cannot show: it ends, or lost events. They are in no other number.
    public var undetermined: Int64 = 0
    /// Distances in ns from recorded flushes to the predicted ones that they match, in order; empty where what is compared is
    /// more than a time.
    public var distances: [Int64] = []
    /// What else there is to say.
    public var note = ""
    /// The first differences, in order of the log.
    public var differences: [ValidationDifference] = []

    /// Nothing found yet.
    public init(domain: Int32, _ quantity: Quantity, basis: String) {
        self.domain = domain
        self.quantity = quantity
        self.basis = basis
    }

    /// Recorded ones that are explained.
    public var explainedCount: Int64 { explained.values.reduce(0, +) }

    /// What was predicted or is explained beyond what was recorded, in percent of that; `nil` if nothing was recorded.
    public var errorPercent: Double? {
        recorded == 0 ? nil : Double(predicted + explainedCount - recorded) * 100 / Double(recorded)
    }

    /// The distance that so many percent of the matches do not exceed, by nearest rank, in ns; `nil` without any.
    public func distance(percentile: Int) -> Int64? {
        guard !distances.isEmpty else { return nil }
        let sorted = distances.map { Int64(clamping: $0.magnitude) }.sorted()
        return sorted[max((sorted.count * percentile + 99) / 100 - 1, 0)]
    }
}

/// Something that is recorded and not predicted, or the other way round.
public struct ValidationDifference: Sendable {
    /// Line of the log: the recorded one's, or that of the operation that made the model predict it.
    public var line: Int64
    /// Whether the model expects it and the log has none; else the log has it unexpectedly.
    public var isExtra: Bool
    /// What it is.
    public var text: String

    /// Creates a difference.
    public init(line: Int64, isExtra: Bool, text: String) {
        self.line = line
        self.isExtra = isExtra
        self.text = text
    }
}

/// Writes what a validation of one trace found, inside a transaction of ``TraceStore/write(_:)``.
public enum ValidationWriter {
    /// Takes the place of the trace's former validation.
    ///
    /// - Parameters:
    ///   - hardware: its canonical name; `nil` if the log shows none that is understood.
    ///   - isNamed: whether it was named; else the log gave it away.
    public static func write(
        _ rows: [ValidationRow], of trace: TraceSummary, hardware: String?, isNamed: Bool, in database: Database
    ) throws {
        try delete(database, trace: trace.id)
        let domainBase = (trace.domains.first?.id ?? 1) - 1
        for row in rows {
            try database.execute(
                sql: "INSERT INTO validation VALUES (\(Array(repeating: "?", count: 19).joined(separator: ", ")))",
                arguments: [
                    nil, trace.id, row.domain > 0 ? Int64(row.domain) + domainBase : nil, row.quantity.rawValue,
                    row.basis, hardware, isNamed ? "assumed" : "inferred", row.recorded, row.predicted, row.matched,
                    row.explainedCount, row.missing, row.extra, row.undetermined, row.errorPercent,
                    row.distance(percentile: 50), row.distance(percentile: 90), row.distance(percentile: 100), row.note,
                ])
            let id = database.lastInsertedRowID
            for (reason, count) in row.explained.sorted(by: { $0.key < $1.key }) {
                try database.execute(
                    sql: "INSERT INTO validation_reason VALUES (?, ?, ?)", arguments: [id, reason, count])
            }
            for difference in row.differences {
                try database.execute(
                    sql: "INSERT INTO validation_difference VALUES (NULL, ?, ?, ?, ?)",
                    arguments: [id, difference.line, difference.isExtra ? "extra" : "missing", difference.text])
            }
        }
    }

    /// Whether anything differs.
    public static func hasDifferences(_ database: Database, trace name: String?) throws -> Bool {
        try Bool.fetchOne(
            database,
            sql: """
                SELECT EXISTS (
                    SELECT 1 FROM validation_difference AS difference
                    JOIN validation ON validation.id = difference.validation
                    JOIN trace ON trace.id = validation.trace
                    WHERE ?1 IS NULL OR trace.name = ?1)
                """, arguments: [name]) ?? false
    }

    static func delete(_ database: Database, trace: Int64) throws {
        for table in ["validation_reason", "validation_difference"] {
            try database.execute(
                sql: "DELETE FROM \(table) WHERE validation IN (SELECT id FROM validation WHERE trace = ?)",
                arguments: [trace])
        }
        try database.execute(sql: "DELETE FROM validation WHERE trace = ?", arguments: [trace])
    }
}
