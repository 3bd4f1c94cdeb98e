import Foundation
import GRDB
import Testing

/// All rows of a database, to see whether something has changed.
struct DatabaseContents: Equatable {
    var tables: [String: [[DatabaseValue]]] = [:]

    /// Reads an intact database; fails if SQLite finds fault with it, or a row refers to one that is not there.
    init(
        _ folder: TemporaryFolder, _ name: String = "iommu-trace.db", sourceLocation: SourceLocation = #_sourceLocation
    )
        throws
    {
        try #require(folder.exists(name), "\(name) is not there", sourceLocation: sourceLocation)
        tables = try DatabaseQueue(path: folder[name]).read { database in
            let complaints = try String.fetchAll(database, sql: "PRAGMA integrity_check")
            #expect(complaints == ["ok"], sourceLocation: sourceLocation)
            let orphans = try Row.fetchAll(database, sql: "PRAGMA foreign_key_check")
            #expect(orphans.isEmpty, sourceLocation: sourceLocation)
            var tables: [String: [[DatabaseValue]]] = [:]
            for table in try String.fetchAll(database, sql: "SELECT name FROM sqlite_schema WHERE type = 'table'") {
                tables[table] = try Row.fetchAll(database, sql: "SELECT * FROM \(table)")
                    .map { Array($0.databaseValues) }
            }
            return tables
        }
    }

    /// Rows of a table; none if there is no such table.
    func count(_ table: String) -> Int { tables[table]?.count ?? 0 }

    /// Number of rows by table.
    var counts: [String: Int] { tables.mapValues(\.count) }

    /// The names of the traces.
    var traces: [String] { tables["trace", default: []].compactMap { String.fromDatabaseValue($0[1]) } }
}

extension TemporaryFolder {
    /// Changes a database behind the tool's back.
    func edit(_ name: String = "iommu-trace.db", sql: String) throws {
        try DatabaseQueue(path: self[name]).write { try $0.execute(sql: sql) }
    }
}
