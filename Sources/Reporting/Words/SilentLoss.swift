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
            let what = row.string("what")
            return SilentLoss(
                text: "\(row.string("missing")) \(what) are missing without a word beside "
                    + "\(row.string("seen")) seen: \(reason(what, row.string("implied_by"))) (\(row.string("evidence")))"
            )
        }
    }

    /// What shows that they must have been there.
    static func reason(_ what: String, _ implied: String) -> String {
        switch what {
        case "sync": "page-selective invalidations that no sync sent"
        case "flush_all": "invalidations of whole domains that no flush_all sent"
        case "unmap or unmap_fast": "tracepoints inside a call whose entry no probe saw"
        case "iommu:unmap": "calls without the tracepoint inside"
        case "return": "calls that do not return"
        case "descriptor": "functions that send a descriptor, without it"
        default: "implied by \(implied)"
        }
    }

    /// The same for a row of a report in which `column` is 'no sync' or what else is missing; `nil` for other rows.
    static func reason(_ row: Row, _ column: String) -> String? {
        let (what, implied) = (row.string(column), row.string("implied_by"))
        guard !implied.isEmpty, what.hasPrefix("no ") else { return nil }
        return reason(String(what.dropFirst(3)), implied)
    }
}
