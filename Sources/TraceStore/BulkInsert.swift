import GRDB
import GRDBSQLite

/// Inserts rows of integers many times faster than by binding them: SQLite reads them out of a buffer as if it were a
/// table, `INSERT INTO target SELECT … FROM …` (a virtual table that exists for this connection only).
///
/// The buffer is filled row by row and emptied into the database whenever it is full. Each value read costs, so columns
/// that hold one value in all rows of a buffer, or NULL, are read once.
struct BulkInsert {
    /// Rows that a buffer holds.
    static let capacity = 2048

    private let database: Database
    private let table: String
    private let source: String
    private let columns: [String]
    private let feed: RowFeed
    private let rows: UnsafeMutablePointer<Int64>
    private var count = 0
    private var statements: [Uniform: Statement] = [:]

    /// Columns, as bits, that hold one value in all rows of the buffer.
    private struct Uniform: Hashable {
        var nulls: Int64
        var constants: Int64
    }

    /// - Parameter table: the table to fill, by all its columns in order; at most 63.
    init(_ database: Database, table: String) throws {
        self.database = database
        self.table = table
        source = "incoming_\(table)"
        columns = try database.columns(in: table).map(\.name)
        assert(columns.count <= 63)
        feed = RowFeed(columns: columns.count, capacity: Self.capacity)
        rows = feed.rows
        let code = sqlite3_create_module_v2(
            database.sqliteConnection, source, bulkModule, Unmanaged.passUnretained(feed).toOpaque(), nil)
        guard code == SQLITE_OK else { throw DatabaseError(resultCode: ResultCode(rawValue: code)) }
    }

    /// Adds a row: `fill` writes its columns in order.
    @inline(__always)
    mutating func append(_ fill: (inout RowWriter) -> Void) throws {
        var row = RowWriter(base: rows + count * feed.stride)
        fill(&row)
        row.finish(columns: columns.count)
        count += 1
        if count == Self.capacity { try flush() }
    }

    /// Empties the buffer into the database.
    mutating func flush() throws {
        guard count > 0 else { return }
        feed.count = count
        let uniform = uniformColumns()
        let statement = try statement(uniform)
        var constants: [Int64] = []
        for column in columns.indices where uniform.constants >> Int64(column) & 1 != 0 {
            constants.append(rows[column + 1])
        }
        statement.arguments = StatementArguments(constants)
        try statement.execute()
        count = 0
    }

    private func uniformColumns() -> Uniform {
        let stride = feed.stride
        var nulls = rows[0]
        var anyNull = rows[0]
        var varying: Int64 = 0
        for row in 1..<max(count, 1) {
            let values = rows + row * stride
            nulls &= values[0]
            anyNull |= values[0]
            for column in 1..<stride where values[column] != rows[column] { varying |= 1 << Int64(column - 1) }
        }
        return Uniform(nulls: nulls, constants: ~varying & ~anyNull & Self.lowest(columns.count))
    }

    /// So many low bits, up to all of them but the sign: 2^63 is no `Int64`.
    static func lowest(_ bits: Int) -> Int64 { bits >= 63 ? .max : (1 << Int64(bits)) - 1 }

    /// Takes the virtual table away; what is in the buffer is dropped.
    func close() {
        _ = sqlite3_create_module_v2(database.sqliteConnection, source, nil, nil, nil)
    }

    private mutating func statement(_ uniform: Uniform) throws -> Statement {
        if let statement = statements[uniform] { return statement }
        var parameters = 0
        let values = columns.indices.map { column -> String in
            if uniform.nulls >> Int64(column) & 1 != 0 { return "NULL" }
            guard uniform.constants >> Int64(column) & 1 != 0 else { return "c\(column)" }
            parameters += 1
            return "?\(parameters)"
        }
        let statement = try database.makeStatement(
            sql: "INSERT INTO \(table) SELECT \(values.joined(separator: ", ")) FROM \(source)")
        // Few combinations occur; a log that makes up many must not keep a statement for each.
        if statements.count > 64 { statements.removeAll() }
        statements[uniform] = statement
        return statement
    }
}

/// Writes one row of a ``BulkInsert``, column by column.
struct RowWriter {
    private let base: UnsafeMutablePointer<Int64>
    private var nulls: Int64 = 0
    private var column = 0

    init(base: UnsafeMutablePointer<Int64>) { self.base = base }

    @inline(__always)
    mutating func add(_ value: Int64) {
        base[column + 1] = value
        column += 1
    }

    @inline(__always)
    mutating func add(_ value: Int64?) {
        if let value {
            add(value)
        } else {
            nulls |= 1 << Int64(column)
            column += 1
        }
    }

    /// The table's INTEGER PRIMARY KEY, numbered on by SQLite: appending costs a third less than with a key of one's own.
    @inline(__always)
    mutating func addAutomaticID() { add(Int64?.none) }

    /// An address, by bit pattern.
    @inline(__always)
    mutating func add(_ value: UInt64?) { add(value.map { Int64(bitPattern: $0) }) }

    /// A number of something from 1 on, 0 for none, shifted to where this trace's numbers begin.
    @inline(__always)
    mutating func add(reference number: Int64, base: Int64) {
        if number == 0 { add(Int64?.none) } else { add(number + base) }
    }

    @inline(__always)
    func finish(columns: Int) {
        assert(column == columns)
        base[0] = nulls
    }
}

/// The rows on their way into the database: for each a word of NULL bits, then its columns.
private final class RowFeed {
    let columns: Int
    let stride: Int
    let rows: UnsafeMutablePointer<Int64>
    var count = 0

    init(columns: Int, capacity: Int) {
        self.columns = columns
        stride = columns + 1
        rows = .allocate(capacity: stride * capacity)
        rows.initialize(repeating: 0, count: stride * capacity)
    }

    deinit { rows.deallocate() }
}

// SQLite knows the two structures below by their first member, its own one.
private struct BulkTable {
    var base: sqlite3_vtab
    var feed: Unmanaged<RowFeed>
}

private struct BulkCursor {
    var base: sqlite3_vtab_cursor
    var row: UnsafeMutablePointer<Int64>
    var stride: Int
    var left: Int
}

/// The callbacks of the virtual table. Immutable after this, and it must outlive every connection.
nonisolated(unsafe) private let bulkModule: UnsafePointer<sqlite3_module> = {
    var module = sqlite3_module()
    module.iVersion = 1
    module.xConnect = { database, context, _, _, out, _ in
        guard let context, let out else { return SQLITE_MISUSE }
        let feed = Unmanaged<RowFeed>.fromOpaque(context)
        let columns = (0..<feed.takeUnretainedValue().columns).map { "c\($0)" }.joined(separator: ", ")
        let code = sqlite3_declare_vtab(database, "CREATE TABLE incoming(\(columns))")
        guard code == SQLITE_OK else { return code }
        let table = UnsafeMutablePointer<BulkTable>.allocate(capacity: 1)
        table.initialize(to: BulkTable(base: sqlite3_vtab(), feed: feed))
        out.pointee = UnsafeMutableRawPointer(table).assumingMemoryBound(to: sqlite3_vtab.self)
        return SQLITE_OK
    }
    module.xDisconnect = { table in
        UnsafeMutableRawPointer(table)?.assumingMemoryBound(to: BulkTable.self).deallocate()
        return SQLITE_OK
    }
    module.xBestIndex = { _, info in
        info?.pointee.estimatedCost = 1e6
        return SQLITE_OK
    }
    module.xOpen = { table, out in
        guard let out else { return SQLITE_MISUSE }
        let cursor = UnsafeMutablePointer<BulkCursor>.allocate(capacity: 1)
        guard let feed = UnsafeMutableRawPointer(table)?.assumingMemoryBound(to: BulkTable.self).pointee.feed else {
            return SQLITE_MISUSE
        }
        let rows = feed.takeUnretainedValue()
        cursor.initialize(
            to: BulkCursor(base: sqlite3_vtab_cursor(), row: rows.rows, stride: rows.stride, left: rows.count))
        out.pointee = UnsafeMutableRawPointer(cursor).assumingMemoryBound(to: sqlite3_vtab_cursor.self)
        return SQLITE_OK
    }
    module.xClose = { cursor in
        UnsafeMutableRawPointer(cursor)?.assumingMemoryBound(to: BulkCursor.self).deallocate()
        return SQLITE_OK
    }
    module.xFilter = { _, _, _, _, _ in SQLITE_OK }
    module.xNext = { cursor in
        guard let cursor = UnsafeMutableRawPointer(cursor)?.assumingMemoryBound(to: BulkCursor.self) else {
            return SQLITE_MISUSE
        }
        cursor.pointee.row += cursor.pointee.stride
        cursor.pointee.left -= 1
        return SQLITE_OK
    }
    module.xEof = { cursor in
        let left = UnsafeMutableRawPointer(cursor)?.assumingMemoryBound(to: BulkCursor.self).pointee.left ?? 0
        return left > 0 ? 0 : 1
    }
    module.xColumn = { cursor, context, column in
        guard let cursor = UnsafeMutableRawPointer(cursor)?.assumingMemoryBound(to: BulkCursor.self) else {
            return SQLITE_MISUSE
        }
        let row = cursor.pointee.row
        if row[0] >> Int64(column) & 1 != 0 {
            sqlite3_result_null(context)
        } else {
            sqlite3_result_int64(context, row[Int(column) + 1])
        }
        return SQLITE_OK
    }
    module.xRowid = { _, out in
        out?.pointee = 0
        return SQLITE_OK
    }
    let pointer = UnsafeMutablePointer<sqlite3_module>.allocate(capacity: 1)
    pointer.initialize(to: module)
    return UnsafePointer(pointer)
}()
