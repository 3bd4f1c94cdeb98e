import FlushSchedules
import Foundation
import GRDB
import Ingest
import Replay
import Reporting
import TestSupport
import TraceStore

/// The whole way from a log to an answer, as the command line takes it.
enum Pipeline {
    /// Imports a log into a database that is there already.
    @discardableResult
    static func importLog(
        _ path: String, name: String? = nil, assumesSingleDomain: Bool = false, into store: TraceStore
    ) throws -> LogImport.Outcome {
        try LogImport(paths: [path], name: name, options: LogImport.Options(assumesSingleDomain: assumesSingleDomain))
            .run { store }
    }

    /// Replays a trace under the default policies.
    static func replay(
        _ trace: String? = nil, in store: TraceStore, options: ReplayOptions = ReplayOptions()
    ) throws {
        _ = try Replay(Policy.defaults.map { Replay.Request($0) }, options: options).run(in: store, trace: trace)
    }

    /// The rows of a query as CSV.
    static func csv(_ sql: String, in store: TraceStore) throws -> String {
        try csv { try Query.write(sql, from: store, format: .csv, to: $0) }
    }

    /// What `body` writes.
    static func csv(_ body: (TextOutput) throws -> Void) throws -> String {
        let text = Collector()
        let output = TextOutput { text.data.append($0) }
        try body(output)
        try output.finish()
        return String(decoding: text.data, as: UTF8.self)
    }

    private final class Collector {
        var data = Data()
    }

    /// A query's single number.
    static func number(_ sql: String, in store: TraceStore) throws -> Int64? {
        try store.read { try Int64.fetchOne($0, sql: sql) }
    }

    /// Every row of every table, as text: two databases with the same are the same.
    static func contents(of store: TraceStore) throws -> [String: [String]] {
        try store.read { database in
            var contents: [String: [String]] = [:]
            for table in try String.fetchAll(database, sql: "SELECT name FROM sqlite_schema WHERE type = 'table'") {
                let order = (1...(try database.columns(in: table).count)).map(String.init).joined(separator: ", ")
                contents[table] = try Row.fetchAll(database, sql: "SELECT * FROM \(table) ORDER BY \(order)")
                    .map { row in row.databaseValues.map { "\($0)" }.joined(separator: "|") }
            }
            return contents
        }
    }

    /// What SQLite finds wrong with a database: nothing if all is well.
    static func damage(of store: TraceStore) throws -> [String] {
        try store.read { database in
            let integrity = try String.fetchAll(database, sql: "PRAGMA integrity_check").filter { $0 != "ok" }
            let keys = try Row.fetchAll(database, sql: "PRAGMA foreign_key_check").map { "\($0)" }
            return integrity + keys
        }
    }
}
