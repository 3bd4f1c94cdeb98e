import GRDB

/// Events that a log must have had and does not show, a row of the view `what_must_have_happened`.
struct SilentLoss {
    /// In words, with how many, of how many, and how that is known.
    let text: String

    static func all(of trace: String, _ database: Database) throws -> [SilentLoss] {
        try Row.fetchAll(
            database, sql: "SELECT * FROM what_must_have_happened WHERE trace = ? ORDER BY missing DESC, what",
            arguments: [trace]
        ).map { row in
            SilentLoss(
                text: "\(row["missing"] as Int64) \(row["what"] as String) are missing without a word beside "
                    + "\(row["seen"] as Int64) seen: \(row["reason"] as String) (\(row["evidence"] as String))")
        }
    }
}
