import GRDB
import GRDBSQLite

/// Tells how far SQLite is with a long query: it says nothing of what is left, but that it goes on.
///
/// Used by the thread that runs the query, and by no other.
final class QueryWatch: @unchecked Sendable {
    /// Steps of SQLite's machine between two looks: some hundredths of a second.
    private static let stepsBetween: Int32 = 1_000_000

    private let show: (Int64) -> Void
    private var steps: Int64 = 0

    /// - Parameter show: is told the millions of steps done.
    init(_ show: @escaping (Int64) -> Void) { self.show = show }

    func install(on database: Database) {
        sqlite3_progress_handler(
            database.sqliteConnection, Self.stepsBetween,
            { context in
                if let context { Unmanaged<QueryWatch>.fromOpaque(context).takeUnretainedValue().step() }
                return 0
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    static func remove(from database: Database) { sqlite3_progress_handler(database.sqliteConnection, 0, nil, nil) }

    private func step() {
        steps += 1
        show(steps)
    }
}
