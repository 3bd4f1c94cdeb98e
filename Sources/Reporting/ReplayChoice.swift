import GRDB

/// Some replays of a trace: what the rows of reports are held against, which do not hold their numbers.
struct ReplayChoice {
    private struct Key: Hashable {
        var requested: String
        var options: String
    }

    private let keys: Set<Key>?

    /// - Parameter replays: their numbers; `nil` for all.
    init(_ replays: [Int64]?, _ database: Database) throws {
        keys = try replays.map { replays in
            try Set(
                replays.compactMap {
                    try Row.fetchOne(
                        database, sql: "SELECT requested, options FROM replay WHERE id = ?", arguments: [$0])
                }.map { Key(requested: $0[0], options: $0[1]) })
        }
    }

    /// Whether a row, one of the trace that has the columns requested and options, is of one of them.
    func contains(_ row: Row) -> Bool {
        keys?.contains(Key(requested: row["requested"], options: row["options"])) ?? true
    }
}
