import Foundation
import GRDB
import Operations
import Schema
import Synchronization

/// The database of traces and replays: a file, or a temporary one.
///
/// Writers work in one transaction each, so that an import or a replay is there whole or not at all.
public final class TraceStore: Sendable {
    /// What may be done with the file.
    public enum Access: Sendable {
        /// Create it if it is not there.
        case create
        /// It must be there.
        case write
        /// It must be there and stays as it is.
        case read
    }

    /// The file's path; empty for a temporary database.
    public let path: String
    private let queue: DatabaseQueue
    private let isNew: Bool
    private let watch = Mutex<QueryWatch?>(nil)

    /// Opens a database and checks that it is one of ours.
    ///
    /// The tables of a new one are created by the first ``write(_:)``, together with what that writes.
    ///
    /// - Parameters:
    ///   - path: the file; empty for a database that is gone when it is closed.
    ///   - pageLimit: for tests: the file may not have more pages.
    public init(path: String, access: Access, pageLimit: Int? = nil) throws(StoreError) {
        self.path = path
        let exists = path.isEmpty || FileManager.default.fileExists(atPath: path)
        if !exists, access != .create { throw .missing(path: path) }
        isNew = !exists
        var configuration = Configuration()
        configuration.readonly = access == .read
        // Rows are checked once before a commit instead of one by one: recipes for bulk loading.
        configuration.foreignKeysEnabled = false
        configuration.busyMode = .timeout(2)
        configuration.prepareDatabase { database in
            if !database.configuration.readonly {
                try database.execute(sql: "PRAGMA page_size = 8192")
                try database.execute(sql: "PRAGMA synchronous = NORMAL")
            }
            try database.execute(sql: "PRAGMA cache_size = -24576")
            if let pageLimit { try database.execute(sql: "PRAGMA max_page_count = \(pageLimit)") }
        }
        let prepared = configuration
        queue = try Self.translatingErrors(path: path) {
            do {
                return try Self.open(path, access, prepared, isNew: !exists)
            } catch let error as DatabaseError where error.extendedResultCode == .SQLITE_READONLY_ROLLBACK {
                // A writer was killed. What it left half done must be rolled back, and a reader may not do that.
                var writing = prepared
                writing.readonly = false
                try Self.open(path, .write, writing, isNew: false).close()
                return try Self.open(path, access, prepared, isNew: false)
            }
        }
    }

    /// Opens a temporary database that begins as a copy of another one, for tests: an import takes a hundred times as long.
    package convenience init(copyOf original: TraceStore) throws(StoreError) {
        try self.init(path: "", access: .create)
        try Self.translatingErrors(path: original.path) { try original.queue.backup(to: queue) }
    }

    private static func open(
        _ path: String, _ access: Access, _ configuration: Configuration, isNew: Bool
    ) throws -> DatabaseQueue {
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        do {
            try queue.read { try check($0, path: path, access) }
        } catch {
            try? queue.close()
            if isNew { try? FileManager.default.removeItem(atPath: path) }
            throw error
        }
        return queue
    }

    /// Ends whatever statement is running, from any thread: it throws ``StoreError/interrupted``.
    public func interrupt() {
        queue.interrupt()
    }

    /// Runs `body` in a transaction, which is rolled back if it throws.
    ///
    /// Foreign keys are checked before the commit.
    public func write<Result>(_ body: (Database) throws -> Result) throws -> Result {
        do {
            return try Self.translatingStoreErrors(path: path) {
                var result: Result?
                let watch = watch.withLock { $0 }
                try queue.inTransaction(.immediate) { database in
                    watch?.install(on: database)
                    defer { if watch != nil { QueryWatch.remove(from: database) } }
                    if try !Self.hasSchema(database) { try Self.createSchema(database) }
                    let value = try body(database)
                    try ForeignKeys.check(database)
                    result = value
                    return .commit
                }
                guard let result else { throw StoreError.interrupted }
                return result
            }
        } catch {
            removeIfEmpty()
            throw error
        }
    }

    /// Runs `body`, which may only read.
    public func read<Result>(_ body: (Database) throws -> Result) throws -> Result {
        try Self.translatingStoreErrors(path: path) {
            try queue.read { database in
                let watch = watch.withLock { $0 }
                watch?.install(on: database)
                defer { if watch != nil { QueryWatch.remove(from: database) } }
                return try body(database)
            }
        }
    }

    /// From now on ``read(_:)`` and ``write(_:)`` tell that they go on, now and then, in millions of steps of SQLite's machine.
    public func onProgress(_ show: @escaping (Int64) -> Void) { watch.withLock { $0 = QueryWatch(show) } }

    /// Closes the file; nothing may be done with it afterwards.
    public func close() {
        try? queue.close()
    }

    // MARK: - Schema

    /// Leaves no empty file behind where there was none before.
    private func removeIfEmpty() {
        guard isNew, !path.isEmpty else { return }
        let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
        if size == 0 { try? FileManager.default.removeItem(atPath: path) }
    }

    private static func check(_ database: Database, path: String, _ access: Access) throws {
        let application = try Int32.fetchOne(database, sql: "PRAGMA application_id") ?? 0
        let version = try Int32.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        let isEmpty = try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema") == 0
        if isEmpty, application == 0 || application == Schema.applicationID {
            // Left by an import that was killed, say. A writer creates the tables; a reader has nothing to read.
            if access == .read { throw StoreError.noTraces(path: path) }
            return
        }
        guard application == Schema.applicationID else { throw StoreError.foreign(path: path) }
        if version > Schema.version { throw StoreError.newer(path: path, version: Int(version)) }
        if version < Schema.version { throw StoreError.older(path: path, version: Int(version)) }
    }

    private static func hasSchema(_ database: Database) throws -> Bool {
        try Int32.fetchOne(database, sql: "PRAGMA application_id") == Schema.applicationID
    }

    private static func createSchema(_ database: Database) throws {
        for file in Schema.tables + Schema.views { try database.execute(sql: file.sql) }
        for kind in Operation.Kind.allCases {
            try database.execute(
                sql: "INSERT INTO operation_kind VALUES (?, ?)", arguments: [kind.rawValue, kind.text])
        }
        for kind in Layer.Kind.allCases {
            try database.execute(sql: "INSERT INTO layer_kind VALUES (?, ?)", arguments: [kind.rawValue, kind.text])
        }
        for grade in Grade.allCases {
            try database.execute(
                sql: "INSERT INTO grade VALUES (?, ?, ?)", arguments: [grade.rawValue, grade.text, grade.meaning])
        }
        for cause in FlushRow.Cause.allCases {
            try database.execute(sql: "INSERT INTO flush_cause VALUES (?, ?)", arguments: [cause.rawValue, cause.text])
        }
        for end in WindowEnd.allCases {
            try database.execute(sql: "INSERT INTO window_end VALUES (?, ?)", arguments: [end.rawValue, end.text])
        }
        for kind in HazardKind.allCases {
            try database.execute(
                sql: "INSERT INTO hazard_kind VALUES (?, ?, ?, ?)",
                arguments: [kind.rawValue, kind.text, kind.isHazard, kind.meaning])
        }
        for kind in MistakeKind.allCases {
            try database.execute(
                sql: "INSERT INTO mistake_kind VALUES (?, ?, ?, ?, ?)",
                arguments: [kind.rawValue, kind.text, kind.isMistake, kind.evidence, kind.meaning])
        }
        try CostFile.builtIn().store(in: database)
        try database.execute(sql: "PRAGMA application_id = \(Schema.applicationID)")
        try database.execute(sql: "PRAGMA user_version = \(Schema.version)")
    }

    // MARK: - Errors

    private static func translatingErrors<Result>(
        path: String, _ body: () throws -> Result
    ) throws(StoreError) -> Result {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw StoreError(error, path: path)
        } catch let error as StoreError {
            throw error
        } catch {
            throw .other(path: path, message: String(describing: error))
        }
    }

    /// Like ``translatingErrors(path:_:)``, for bodies that also throw errors of their own.
    private static func translatingStoreErrors<Result>(path: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw StoreError(error, path: path)
        }
    }
}
