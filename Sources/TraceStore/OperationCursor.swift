import GRDB
import GRDBSQLite
import Operations

/// An operation as a replay reads it back: the columns that matter to a model, domains and tasks as small numbers.
public struct StoredOperation: Sendable {
    /// 0 for a run of IOTLB invalidations, which is no operation.
    public var id: Int64
    /// ns
    public var time: Int64
    /// What happened.
    public var kind: Operation.Kind
    /// What else is known.
    public var flags: Operation.Flags = []
    /// The CPU of ``time``.
    public var cpu: Int32
    /// Thread id.
    public var pid: Int32
    /// From 1, in order of the trace's domains; 0 for none.
    public var domain: Int32
    /// From 1; 0 for none.
    public var device: Int32 = 0
    /// First byte, 0 if unknown.
    public var iova: UInt64 = 0
    /// Bytes asked for, 0 if unknown.
    public var size: UInt64 = 0
    /// Physical address of a map, 0 if unknown.
    public var paddr: UInt64 = 0
    /// Bytes done; `nil` if the log does not show it.
    public var result: UInt64?
    /// Whether ``iova`` is known.
    public var hasRange = false
    /// Line in the log; only set where runs of IOTLB invalidations stand in for flushes.
    public var line: Int64 = 0
}

/// Reads a trace's operations in the order of the log.
///
/// Where a log has no flush of the API, its runs of IOTLB invalidations stand in for them (design §4 4), as syncs of
/// their pages or as flush_alls.
public struct OperationCursor {
    private let operations: RawStatement
    private let runs: RawStatement?
    private let firstDomain: Int64
    private let firstDevice: Int64
    private let firstTask: Int64
    private let pids: [Int32]
    private var nextOperation: StoredOperation?
    private var nextRun: StoredOperation?

    /// Starts at a trace's first operation. No schema change may happen while it is in use.
    public init(_ database: Database, _ trace: TraceSummary) throws {
        firstDomain = (trace.domains.first?.id ?? 1) - 1
        firstTask = trace.firstTaskID
        pids = trace.pids
        firstDevice =
            (try Int64.fetchOne(database, sql: "SELECT min(id) FROM device WHERE trace = ?", arguments: [trace.id]) ?? 1)
            - 1
        func bounds(_ ids: Range<Int64>) -> [Int64] { [ids.lowerBound, ids.upperBound] }
        operations = try RawStatement(
            database,
            """
            SELECT id, time_ns, kind, cpu, task, domain, device, iova, size, result, paddr, flags, line
            FROM operation WHERE id >= ?1 AND id < ?2 ORDER BY id
            """, bounds(trace.operationIDs))
        if trace.flushLayer == .hardware {
            // A run without a domain is one of the operations without a domain, or of whoever had its hardware id last.
            let unresolved = trace.domains.first { $0.name == "unresolved" }?.id ?? 0
            runs = try RawStatement(
                database,
                """
                SELECT 0, time_ns, CASE granularity WHEN 3 THEN \(Operation.Kind.sync.rawValue)
                    ELSE \(Operation.Kind.flushAll.rawValue) END,
                    cpu, task,
                    coalesce(domain, nullif(\(unresolved), 0), (
                        SELECT domain.id FROM domain
                        WHERE domain.trace = layer.trace AND domain.hardware_domain = layer.hardware_domain
                    ), (SELECT min(domain.id) FROM domain WHERE domain.trace = layer.trace)), NULL,
                    address & ~((4096 << coalesce(mask, 0)) - 1), 4096 << coalesce(mask, 0), NULL, NULL, 0, line
                FROM layer WHERE id >= ?1 AND id < ?2 AND flags & 2 <> 0 ORDER BY id
                """, bounds(trace.layerIDs))
        } else {
            runs = nil
        }
        nextOperation = nil
        nextRun = nil
        nextOperation = try read(operations)
        nextRun = try runs.flatMap(read)
    }

    /// The next operation; `nil` after the last.
    @inline(__always)
    public mutating func next() throws -> StoredOperation? {
        if let run = nextRun, run.line < nextOperation?.line ?? .max {
            nextRun = try runs.flatMap(read)
            return run
        }
        guard let operation = nextOperation else { return nil }
        nextOperation = try read(operations)
        return operation
    }

    /// Each column fetched costs: only what the kind of operation has is.
    @inline(__always)
    private func read(_ statement: RawStatement) throws -> StoredOperation? {
        guard try statement.step() else { return nil }
        let task = Int(statement.integer(4) - firstTask)
        let domain = statement.integer(5)
        var operation = StoredOperation(
            id: statement.integer(0),
            time: statement.integer(1),
            kind: Operation.Kind(rawValue: UInt8(truncatingIfNeeded: statement.integer(2))) ?? .marker,
            cpu: Int32(truncatingIfNeeded: statement.integer(3)),
            pid: pids.indices.contains(task) ? pids[task] : -1,
            domain: domain > 0 ? Int32(truncatingIfNeeded: domain - firstDomain) : 0)
        switch operation.kind {
        case .map, .unmap, .unmapFast, .sync:
            operation.hasRange = !statement.isNull(7)
            operation.iova = UInt64(bitPattern: statement.integer(7))
            operation.size = UInt64(bitPattern: statement.integer(8))
            if operation.kind == .map {
                operation.paddr = UInt64(bitPattern: statement.integer(10))
            } else if operation.kind.isUnmap, !statement.isNull(9) {
                operation.result = UInt64(bitPattern: statement.integer(9))
            }
            operation.flags = Operation.Flags(rawValue: UInt8(truncatingIfNeeded: statement.integer(11)))
        case .attach, .detach:
            let device = statement.integer(6)
            operation.device = device > 0 ? Int32(truncatingIfNeeded: device - firstDevice) : 0
        default: break
        }
        if runs != nil { operation.line = statement.integer(12) }
        return operation
    }
}

/// A statement stepped through SQLite's own functions: a row costs what SQLite needs for it and nothing more.
final class RawStatement {
    private let statement: OpaquePointer
    private let database: Database

    init(_ database: Database, _ sql: String, _ arguments: [Int64]) throws {
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v2(database.sqliteConnection, sql, -1, &statement, nil)
        guard code == SQLITE_OK, let statement else {
            throw DatabaseError(resultCode: ResultCode(rawValue: code), message: database.lastErrorMessage, sql: sql)
        }
        self.statement = statement
        self.database = database
        for (index, argument) in arguments.enumerated() { sqlite3_bind_int64(statement, Int32(index + 1), argument) }
    }

    deinit { sqlite3_finalize(statement) }

    @inline(__always)
    func step() throws -> Bool {
        let code = sqlite3_step(statement)
        if code == SQLITE_ROW { return true }
        guard code == SQLITE_DONE else {
            throw DatabaseError(resultCode: ResultCode(rawValue: code), message: database.lastErrorMessage)
        }
        return false
    }

    @inline(__always)
    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }

    @inline(__always)
    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }
}
