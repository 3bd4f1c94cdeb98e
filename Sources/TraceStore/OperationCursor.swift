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
    /// From 1, in order of the trace's tasks; 0 if unknown.
    public var task: Int32 = 0
    /// From 1, in order of the trace's domains; 0 for none.
    public var domain: Int32
    /// From 1; 0 for none.
    public var device: Int32 = 0
    /// First byte, 0 if unknown.
    public var iova: UInt64 = 0
    /// Bytes asked for, 0 if unknown.
    public var size: UInt64 = 0
    /// Physical address of a map, or what an access was translated to; `nil` if unknown.
    public var paddr: UInt64?
    /// The hardware's domain id of an access or of a run of IOTLB invalidations; -1 if unknown, or for all of them.
    public var hardwareDomain: Int64 = -1
    /// ns from the call's entry to ``time``; 0 if the entry was not recorded apart.
    public var sinceEntry: Int64 = 0
    /// Bytes done; `nil` if the log does not show it.
    public var result: UInt64?
    /// Whether ``iova`` is known.
    public var hasRange = false
    /// Line in the log.
    public var line: Int64 = 0
    /// Time in ns of a flush's last layer, not before ``time``.
    public var completed: Int64 = 0
    /// Of unmaps at this line or time, in ns, or later it is not certain that the flush covers them: another hardware domain
    /// flushes too.
    public var certainBefore: (line: Int64, time: Int64) = (.max, .max)
    /// Whether it is a further invalidation of the run that came before it, and no flush of its own.
    public var continuesFlush = false
}

/// Reads a trace's operations in the order of the log.
///
/// Where a log has no flush of the API, its runs of IOTLB invalidations stand in for them (design §4 4), as syncs of
/// their pages or as flush_alls.
public struct OperationCursor {
    private let operations: RawStatement
    private let runs: InvalidationRuns?
    private let flushEnds: FlushEnds?
    private let readsEntries: Bool
    private let firstDomain: Int64
    private let firstDevice: Int64
    private let firstTask: Int64
    private let pids: [Int32]
    /// The one that ``advance()`` has come to.
    public private(set) var operation = StoredOperation(id: 0, time: 0, kind: .marker, cpu: -1, pid: -1, domain: 0)
    /// Where runs stand in for flushes: what comes next of either kind.
    private var nextOperation: StoredOperation?
    private var nextRun: StoredOperation?

    /// Starts at a trace's first operation. No schema change may happen while it is in use.
    ///
    /// - Parameters:
    ///   - last: the log ends after this line.
    ///   - followsFlushes: whether flushes matter: their ends, and the runs that stand in for them. Without, each flush ends
    ///     when it begins, and runs are left out.
    public init(
        _ database: Database, _ trace: TraceSummary, through last: Int64 = .max, followsFlushes: Bool = true
    ) throws {
        firstDomain = (trace.domains.first?.id ?? 1) - 1
        firstTask = trace.firstTaskID
        pids = trace.pids
        firstDevice = trace.firstDeviceID
        operations = try RawStatement(
            database,
            """
            SELECT id, time_ns, kind, cpu, task, domain, device, iova, size, result, paddr, flags, line, since_entry_ns, detail
            FROM operation WHERE id >= ?1 AND id < ?2 AND line <= ?3 ORDER BY id
            """, [trace.operationIDs.lowerBound, trace.operationIDs.upperBound, last])
        flushEnds = followsFlushes && trace.flushLayer == .api ? try FlushEnds(database, trace, through: last) : nil
        runs =
            followsFlushes && trace.flushLayer == .hardware
            ? try InvalidationRuns(database, trace, through: last) : nil
        // Only a sync may lie inside an unmap call.
        readsEntries = followsFlushes && trace.showsSyncs
        nextOperation = nil
        nextRun = nil
        if runs != nil {
            nextOperation = try readNext()
            nextRun = try runs?.next()
        }
    }

    /// Goes on to the next operation.
    ///
    /// - Returns: whether there is one.
    @inline(__always)
    public mutating func advance() throws -> Bool {
        runs == nil ? try read() : try advanceAmongRuns()
    }

    private mutating func advanceAmongRuns() throws -> Bool {
        if let run = nextRun, run.continuesFlush || run.line < nextOperation?.line ?? .max {
            nextRun = try runs?.next()
            operation = run
            return true
        }
        guard let next = nextOperation else { return false }
        nextOperation = try readNext()
        operation = next
        return true
    }

    private mutating func readNext() throws -> StoredOperation? { try read() ? operation : nil }

    /// Each column fetched costs: only what the kind of operation has is.
    @inline(__always)
    private mutating func read() throws -> Bool {
        guard try operations.step() else { return false }
        let task = Int(operations.integer(4) - firstTask)
        let domain = operations.integer(5)
        operation = StoredOperation(
            id: operations.integer(0),
            time: operations.integer(1),
            kind: Operation.Kind(rawValue: UInt8(truncatingIfNeeded: operations.integer(2))) ?? .marker,
            cpu: Int32(truncatingIfNeeded: operations.integer(3)),
            pid: pids.indices.contains(task) ? pids[task] : -1,
            task: pids.indices.contains(task) ? Int32(truncatingIfNeeded: task + 1) : 0,
            domain: domain > 0 ? Int32(truncatingIfNeeded: domain - firstDomain) : 0,
            line: operations.integer(12))
        switch operation.kind {
        case .map, .unmap, .unmapFast, .sync, .ioPageFault:
            operation.hasRange = !operations.isNull(7)
            operation.iova = UInt64(bitPattern: operations.integer(7))
            operation.size = UInt64(bitPattern: operations.integer(8))
            if operation.kind == .map {
                if !operations.isNull(10) { operation.paddr = UInt64(bitPattern: operations.integer(10)) }
            } else if operation.kind.isUnmap {
                if !operations.isNull(9) { operation.result = UInt64(bitPattern: operations.integer(9)) }
                if readsEntries { operation.sinceEntry = operations.integer(13) }
                operation.device = device(6)
            } else if operation.kind == .ioPageFault {
                operation.device = device(6)
            }
            operation.flags = Operation.Flags(rawValue: UInt8(truncatingIfNeeded: operations.integer(11)))
        case .access:
            operation.hasRange = !operations.isNull(7)
            operation.iova = UInt64(bitPattern: operations.integer(7))
            if !operations.isNull(10) { operation.paddr = UInt64(bitPattern: operations.integer(10)) }
            if !operations.isNull(14) { operation.hardwareDomain = operations.integer(14) }
            operation.device = device(6)
        case .attach, .detach:
            operation.device = device(6)
            operation.flags = Operation.Flags(rawValue: UInt8(truncatingIfNeeded: operations.integer(11)))
        default: break
        }
        if operation.kind == .sync || operation.kind == .flushAll {
            operation.completed = try flushEnds?.end(of: operation) ?? operation.time
        }
        return true
    }

    @inline(__always)
    private func device(_ column: Int32) -> Int32 {
        let device = operations.integer(column)
        return device > 0 ? Int32(truncatingIfNeeded: device - firstDevice) : 0
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
