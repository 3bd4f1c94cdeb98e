import GRDB
import Schema
import TraceStore

/// A question that the database answers: a file of `schema/reports`.
///
/// The file's first comment line is the question; a line `-- by: trace, domain` names what rows may be told apart by. For the
/// format `table`, which is read by people, `-- tables leave out:` names columns that it goes without (`trace` only where all rows
/// are of one; what is empty in all rows goes, too), `-- under: constants` has the constants listed under the table,
/// `-- under: contradictions` what contradicts the events, and `-- note:` a sentence; `-- note by device, task:` one that is only said
/// where rows are told apart by these.
/// `-- needs: replay` names what another command must have made (``Need``). What is said where there are no rows although that is
/// there: `-- nothing found:` that all is well, `-- without rows:` that there was nothing to look at, and what to do. `-- at most by
/// fault: 10000 of faults` says that this grouping tells so many rows of a trace, and in which column each says how many there are.
/// `-- tables add: in_words` names the columns of sentences (``ReportWords``), here too with `by` for some groupings.
public struct Report: Sendable {
    /// The file's name, and the command line's.
    public let name: String
    /// The question that it answers.
    public let question: String
    /// What rows can be told apart by; the first is the default.
    public let groupings: [String]
    /// The query.
    public let sql: String
    /// Columns that a table goes without.
    let columnsLeftOut: [String]
    /// Whether the constants that the rows rest on are listed under a table.
    let listsConstants: Bool
    /// Whether a table says where what was told of the recordings contradicts their events.
    let listsContradictions: Bool
    /// What a table says at its end, and for which groupings; `nil` for all.
    let notes: [(text: String, groupings: [String]?)]
    /// What it reads that another command makes, or another recording has; empty for what an import makes.
    public let needs: [Need]
    /// What no rows mean, where all is well then.
    public let nothingFound: String?
    /// Why there may be no rows although ``needs`` are there, and what to do.
    public let hintWithoutRows: String?

    /// How many rows of a trace a grouping tells, and which column has how many there are.
    let limits: [(grouping: String, rows: Int, column: String)]
    /// Columns of sentences that tables get, and for which groupings; `nil` for all.
    let wordColumns: [(name: String, groupings: [String]?)]

    /// All reports, in the order in which they are listed.
    public static let catalogue = Schema.reports.map(Report.init)

    /// What the rows of one report or another can be told apart by.
    public static let groupings = catalogue.reduce(into: [String]()) { all, report in
        all += report.groupings.filter { !all.contains($0) }
    }

    /// The report of this name.
    public static func named(_ name: String) -> Report? {
        catalogue.first { $0.name == name }
    }

    /// The report of this name, which is part of the program.
    ///
    /// - Throws: ``MissingReport``, rather than nothing being said.
    public static func required(_ name: String) throws -> Report {
        guard let report = named(name) else { throw MissingReport(name: name) }
        return report
    }

    init(_ file: Schema.File) {
        name = file.name
        sql = file.sql
        let comments = file.sql.split(separator: "\n").prefix { $0.hasPrefix("--") }
            .map { $0.dropFirst(2).drop { $0 == " " } }
        question = comments.first.map(String.init) ?? ""
        func list(_ label: String) -> [String] {
            comments.first { $0.hasPrefix(label) }
                .map { $0.dropFirst(label.count).split(separator: ",").map { $0.trimmingPrefix(" ") }.map(String.init) }
                ?? []
        }
        groupings = list("by: ")
        columnsLeftOut = list("tables leave out: ")
        listsConstants = list("under: ").contains("constants")
        listsContradictions = list("under: ").contains("contradictions")
        func text(_ label: String) -> String? {
            comments.first { $0.hasPrefix(label) }.map { String($0.dropFirst(label.count)) }
        }
        needs = list("needs: ").compactMap(Need.init)
        nothingFound = text("nothing found: ")
        hintWithoutRows = text("without rows: ")
        /// Lines that may be for some groupings only: `LABEL: text` and `LABEL by device, task: text`.
        func lines(_ label: String) -> [(text: String, groupings: [String]?)] {
            comments.compactMap { line in
                if line.hasPrefix(label + ": ") { return (String(line.dropFirst(label.count + 2)), nil) }
                guard line.hasPrefix(label + " by ") else { return nil }
                let parts = line.dropFirst(label.count + 4).split(separator: ": ", maxSplits: 1)
                guard parts.count == 2 else { return nil }
                return (String(parts[1]), parts[0].split(separator: ",").map { String($0.trimmingPrefix(" ")) })
            }
        }
        limits = lines("at most").flatMap { text, groupings in
            let parts = text.split(separator: " of ", maxSplits: 1)
            guard parts.count == 2, let rows = Int(parts[0]) else { return [(String, Int, String)]() }
            return (groupings ?? []).map { ($0, rows, String(parts[1])) }
        }
        wordColumns = lines("tables add").flatMap { text, groupings in
            text.split(separator: ",").map { (String($0.trimmingPrefix(" ")), groupings) }
        }
        notes = lines("note").map { ("note: \($0.text)", $0.groupings) }
    }

    /// What a grouping says in sentences, in tables.
    func words(by grouping: String) -> [(column: String, sentence: ReportWords.Sentence)] {
        wordColumns.compactMap { column in
            guard column.groupings?.contains(grouping) ?? true else { return nil }
            return ReportWords.sentences[name]?[column.name].map { (column.name, $0) }
        }
    }

    /// Whether it computes times from constants, so that a cost file may be given.
    public var takesCosts: Bool { sql.contains(":cost") }

    /// Writes the report's rows.
    ///
    /// - Parameters:
    ///   - trace: a trace's name; `nil` for all.
    ///   - grouping: one of ``groupings``; `nil` for the first.
    ///   - costs: constants that stand before the built-in ones, where it ``takesCosts``.
    ///   - sweep: the number of a sweep, for reports of them; `nil` for all.
    ///   - gate: conditions that the rows are held against.
    /// - Returns: how many rows there were.
    @discardableResult
    public func write(
        from store: TraceStore, trace: String?, by grouping: String?, costs: CostFile? = nil, sweep: Int64? = nil,
        gate: Gate = Gate(),
        format: OutputFormat, to output: TextOutput
    ) throws -> Int {
        try store.read { database in
            if let trace { _ = try TraceSummary(database, name: trace, path: store.path) }
            let statement = try database.makeStatement(sql: sql)
            statement.arguments = try arguments(trace: trace, by: grouping, costs, sweep: sweep)
            let by = grouping ?? groupings.first ?? ""
            try gate.begin(
                statement.columnNames, limit: limits.first { $0.grouping == by }.map { ($0.rows, $0.column) })
            guard format == .table else {
                let words = format == .markdown ? words(by: by) : []
                return try Query.write(statement, words, format.renderer(output)) { gate.look(at: $0) }
            }
            return try writeTable(statement, trace: trace, by: grouping, costs, gate, database, to: output)
        }
    }

    /// What its parameters stand for.
    func arguments(
        trace: String?, by grouping: String?, _ costs: CostFile?, sweep: Int64? = nil
    ) throws -> StatementArguments {
        var arguments: [String: (any DatabaseValueConvertible)?] = [:]
        if sql.contains(":trace") { arguments.updateValue(trace, forKey: "trace") }
        if sql.contains(":by") { arguments.updateValue(grouping ?? groupings.first, forKey: "by") }
        if sql.contains(":sweep") { arguments.updateValue(sweep, forKey: "sweep") }
        if takesCosts { arguments.updateValue(try costs?.json(), forKey: "cost") }
        return StatementArguments(arguments)
    }

    private func writeTable(
        _ statement: Statement, trace: String?, by grouping: String?, _ costs: CostFile?, _ gate: Gate,
        _ database: Database, to output: TextOutput
    ) throws -> Int {
        var used: Set<String> = []
        let by = grouping ?? groupings.first ?? ""
        let renderer = CondensedRenderer(output, leavingOut: columnsLeftOut, keeping: [by, "evidence"])
        let count = try Query.write(statement, words(by: by), renderer) { row in
            gate.look(at: row)
            guard listsConstants, let constants = row["constants"] as String? else { return }
            for constant in constants.split(separator: ", ") {
                used.formUnion(constant.split(separator: " ").prefix(1).map(String.init))
            }
        }
        var notes = notes.filter { $0.groupings?.contains(by) ?? true }.map(\.text)
        if listsContradictions {
            let id = try trace.flatMap {
                try Int64.fetchOne(database, sql: "SELECT id FROM trace WHERE name = ?", arguments: [$0])
            }
            notes += try MetadataDescription.contradictions(id, database).map { "note: \($0)" }
        }
        if count > 0, !notes.isEmpty { output.say("") }
        if !used.isEmpty, let report = Report.named("constants") {
            let rows = try Row.fetchAll(
                database, sql: report.sql, arguments: report.arguments(trace: nil, by: nil, costs))
            for row in rows where used.contains(row["constant"]) {
                let numbers = ["low_ns", "typical_ns", "high_ns"].compactMap { (row[$0] as DatabaseValue).number }
                output.say(
                    "constant: \(row["constant"] as String) \(numbers.joined(separator: "..")) ns (\(row["evidence"] as String), "
                        + "\(row["file"] as String)): \(row["source"] as String)")
            }
        }
        if count > 0 { for note in notes { output.say(note) } }
        return count
    }
}

/// A report that the program itself asks for is missing from it.
public struct MissingReport: Error, CustomStringConvertible {
    /// The report's name.
    public let name: String
    /// What is missing.
    public var description: String {
        "the report \(name) is missing from this program; build it again from its sources"
    }
}

/// A query of the user's own.
public enum Query {
    /// Writes the rows of any single statement that does not write.
    public static func write(
        _ sql: String, from store: TraceStore, format: OutputFormat, to output: TextOutput
    ) throws {
        try store.read { database in
            do {
                let statements = try database.allStatements(sql: sql)
                guard let statement = try statements.next() else { throw QueryError.returnsNothing }
                guard statement.isReadonly else { throw QueryError.writes }
                guard try statements.next() == nil else { throw QueryError.several }
                // ATTACH, COMMIT and their like write nothing themselves, but undo what keeps the query read-only.
                guard statement.columnCount > 0 else { throw QueryError.returnsNothing }
                try write(statement, format: format, to: output)
            } catch let error as DatabaseError where error.isAboutTheQuery {
                throw QueryError.failed(error.message ?? error.description)
            }
        }
    }

    /// - Returns: how many rows there were.
    @discardableResult
    static func write(_ statement: Statement, format: OutputFormat, to output: TextOutput) throws -> Int {
        try write(statement, [], format.renderer(output)) { _ in }
    }

    /// - Parameters:
    ///   - words: columns of sentences beside those of the statement.
    ///   - look: is shown each row.
    /// - Returns: how many rows there were.
    static func write(
        _ statement: Statement, _ words: [(column: String, sentence: ReportWords.Sentence)],
        _ renderer: any RowRenderer,
        look: (Row) -> Void
    ) throws -> Int {
        var count = 0
        var renderer = renderer
        let columns = WordColumns(statement.columnNames, adding: words)
        renderer.begin(columns: columns.names)
        let rows = try Row.fetchCursor(statement)
        while let row = try rows.next() {
            look(row)
            renderer.row(columns.cells(row))
            count += 1
        }
        renderer.end()
        return count
    }
}

/// Why a query of the user's is not run.
public enum QueryError: Error, CustomStringConvertible {
    /// It would change the database.
    case writes
    /// It is not the only one.
    case several
    /// It has no rows for an answer, or there is none.
    case returnsNothing
    /// SQLite does not understand it: its own words.
    case failed(String)

    /// What is wrong and what to do.
    public var description: String {
        switch self {
        case .writes: "the statement would change the database; sql runs read-only: use a SELECT, or sqlite3 on a copy"
        case .several: "sql runs one statement at a time; give the others in calls of their own"
        case .returnsNothing: "the statement returns no rows; use a SELECT"
        case .failed(let message): "sql: \(message)"
        }
    }
}

extension DatabaseError {
    /// Whether the text of the query is to blame, or what it computes, rather than the database.
    fileprivate var isAboutTheQuery: Bool {
        [.SQLITE_ERROR, .SQLITE_MISUSE, .SQLITE_TOOBIG, .SQLITE_MISMATCH, .SQLITE_RANGE].contains(
            resultCode.primaryResultCode)
    }
}

/// The reports that there are, as rows.
public enum ReportList {
    /// Writes name, question and groupings of each report.
    public static func write(format: OutputFormat, to output: TextOutput) throws {
        var renderer = format.renderer(output)
        renderer.begin(columns: ["report", "by", "question"])
        for report in Report.catalogue {
            renderer.row(
                [report.name, report.groupings.joined(separator: ", "), report.question].map(\.databaseValue))
        }
        renderer.end()
    }
}
