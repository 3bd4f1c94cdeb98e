import GRDB

/// The check of foreign keys before a commit (architecture.md, What holds everywhere).
enum ForeignKeys {
    /// The tables with a row for each event or flush. Their references are numbers that the writer hands out without
    /// gaps and whose tables it fills in the same transaction; looking each of them up again would take longer than the
    /// import. Tests run the whole check.
    static let bulkTables: Set = ["operation", "layer", "raw_command", "flush", "stale_window", "hazard", "timeline"]

    /// Throws if a row refers to one that is not there.
    static func check(_ database: Database) throws {
        let tables = try String.fetchAll(database, sql: "SELECT name FROM sqlite_schema WHERE type = 'table'")
        for table in tables where !bulkTables.contains(table) {
            try database.checkForeignKeys(in: table)
        }
    }
}
