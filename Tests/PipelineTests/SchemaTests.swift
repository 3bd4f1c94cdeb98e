import Foundation
import GRDB
import Operations
import Reporting
import Schema
import TestSupport
import Testing
import TraceStore

/// The SQL files: commented, complete, and good for the stock `sqlite3` too.
struct SchemaTests {
    /// A database with our tables and nothing in them.
    private static func emptyStore() throws -> TraceStore {
        let store = try TraceStore(path: "", access: .create)
        try store.write { _ in }
        return store
    }

    @Test("every table and column has a comment inside its CREATE TABLE, where SQLite keeps it")
    func comments() throws {
        try Self.emptyStore().read { database in
            let tables = try Row.fetchAll(database, sql: "SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
            #expect(tables.count > 15)
            for row in tables {
                let table: String = row["name"]
                let lines = (row["sql"] as String).split(separator: "\n").map {
                    $0.trimmingCharacters(in: .whitespaces)
                }
                #expect(lines.count > 1 && lines[1].hasPrefix("-- "), "\(table) has no comment")
                for column in try database.columns(in: table) {
                    let line = lines.first { $0.hasPrefix("\(column.name) ") }
                    let comment = line?.components(separatedBy: " -- ").dropFirst().joined()
                    #expect(comment?.isEmpty == false, "\(table).\(column.name) has no comment")
                }
            }
        }
    }

    @Test("every view begins with the question that it answers")
    func viewComments() throws {
        for file in Schema.views {
            let lines = file.sql.split(separator: "\n", omittingEmptySubsequences: false)
            for (index, line) in lines.enumerated() where line.hasPrefix("CREATE VIEW") {
                let comment = lines[..<index].reversed().prefix { $0.hasPrefix("-- ") }
                #expect(comment.last?.contains("?") == true, "\(line)")
            }
        }
    }

    @Test(
        "the lists in Swift name the files of the folders, no more and no fewer",
        arguments: [
            Named("tables", Schema.tables), Named("views", Schema.views), Named("reports", Schema.reports),
        ])
    func lists(folder: Named<[Schema.File]>) throws {
        let files = folder.value
        let found = SharedTraces.files(in: SharedTraces.packageRoot.appending(path: "schema/\(folder)"))
        #expect(found.allSatisfy { $0.pathExtension == "sql" })
        #expect(files.map(\.name).sorted() == found.map { $0.deletingPathExtension().lastPathComponent }.sorted())
        for file in files {
            let path = try #require(found.first { $0.lastPathComponent == "\(file.name).sql" })
            #expect(try String(contentsOf: path, encoding: .utf8) == file.sql)
        }
    }

    @Test("the words in the database are those of the program")
    func words() throws {
        let store = try Self.emptyStore()
        func rows(_ table: String) throws -> [Int64: String] {
            try store.read { database in
                try Dictionary(
                    uniqueKeysWithValues: Row.fetchAll(database, sql: "SELECT id, name FROM \(table)").map {
                        ($0["id"], $0["name"])
                    })
            }
        }
        func words<Word: CaseIterable>(_: Word.Type, _ text: KeyPath<Word, String>) -> [Int64: String]
        where Word: RawRepresentable<UInt8> {
            Dictionary(uniqueKeysWithValues: Word.allCases.map { (Int64($0.rawValue), $0[keyPath: text]) })
        }
        #expect(try rows("operation_kind") == words(Operations.Operation.Kind.self, \.text))
        #expect(try rows("layer_kind") == words(Layer.Kind.self, \.text))
        #expect(try rows("flush_cause") == words(FlushRow.Cause.self, \.text))
        for names in [try rows("operation_kind"), try rows("layer_kind"), try rows("flush_cause")] {
            #expect(Set(names.values).count == names.count)
        }
    }

    @Test("numbers in the views and comments are those of the program")
    func numbers() throws {
        let layers = try #require(Schema.tables.first { $0.name == "layer" }).sql
        #expect(layers.contains("\(Layer.Cause.attach.rawValue) an attach or detach"))
        #expect(layers.contains("\(Layer.Cause.map.rawValue) a map"))
        let readable = try #require(Schema.views.first { $0.name == "readable" }).sql
        for cause in [Layer.Cause.attach, .map] {
            #expect(readable.contains("layer.cause = \(cause.rawValue) THEN '\(cause.text)'"))
        }
        for granularity in Layer.Granularity.allCases {
            #expect(readable.contains("WHEN \(granularity.rawValue) THEN '\(granularity.text)'"))
        }
        let operations = try #require(Schema.tables.first { $0.name == "operation" }).sql
        let flags: [(Operations.Operation.Flags, String)] = [
            (.queued, "flush is queued"), (.attachProbe, "part of VFIO's attach probe"),
            (.confirmed, "tracepoint seen"),
            (.withinAttach, "detach within an attach"), (.unreturned, "return missing"), (.failed, "map failed"),
            (.byProbe, "the function itself was probed"),
        ]
        for (flag, words) in flags { #expect(operations.contains("\(flag.rawValue) \(words)")) }
    }

    @Test(
        "every report runs on a database without a trace, in every grouping",
        arguments: Report.catalogue.map { Named($0.name, $0) })
    func reports(named: Named<Report>) throws {
        let report = named.value
        let store = try Self.emptyStore()
        #expect(!report.question.isEmpty)
        #expect(report.question.hasSuffix("?"))
        #expect(!report.groupings.isEmpty)
        for grouping in report.groupings.map(Optional.some) + [nil] {
            for format in OutputFormat.allCases {
                try report.write(from: store, trace: nil, by: grouping, format: format, to: TextOutput { _ in })
            }
        }
    }

    @Test("every view can be read in a database without a trace")
    func views() throws {
        let store = try Self.emptyStore()
        let views = try store.read {
            try String.fetchAll($0, sql: "SELECT name FROM sqlite_schema WHERE type = 'view'")
        }
        #expect(views.count >= 3)
        for view in views { #expect(try Pipeline.number("SELECT count(*) FROM \(view)", in: store) == 0) }
    }

    @Test(
        "all schema files run in the stock sqlite3",
        .enabled(if: shell != nil, "needs sqlite3, which tools/setup installs"))
    func stockShell() throws {
        for (folder, files) in [("tables", Schema.tables), ("views", Schema.views), ("reports", Schema.reports)] {
            for file in files { #expect(!file.sql.isEmpty, "\(folder)/\(file.name)") }
        }
        let sql =
            ((Schema.tables + Schema.views + Schema.reports).map(\.sql) + [Schema.history, Schema.nearest])
            .map { $0 + "\n;\n" }.joined()
        let result = try Self.sqlite3(input: sql, arguments: ["-bail", ":memory:"])
        #expect(result.status == 0)
        #expect(result.errors == "")
    }

    private struct ShellResult {
        var status: Int32
        var errors: String
    }

    /// The stock shell, where there is one.
    private static let shell = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        .map { "\($0)/sqlite3" }.first(where: FileManager.default.isExecutableFile(atPath:))

    private static func sqlite3(input: String, arguments: [String]) throws -> ShellResult {
        let folder = try TemporaryFolder()
        let process = Process()
        process.executableURL = URL(filePath: try #require(shell))
        process.arguments = ["-init", "/dev/null"] + arguments
        let errors = folder.path("errors")
        try Data().write(to: URL(filePath: errors))
        process.standardInput = try FileHandle(forReadingFrom: URL(filePath: folder.write(input, to: "input")))
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle(forWritingAtPath: errors)
        try process.run()
        process.waitUntilExit()
        guard process.terminationReason == .exit else { throw CocoaError(.executableLoad) }
        return ShellResult(
            status: process.terminationStatus, errors: try String(contentsOfFile: errors, encoding: .utf8))
    }

    @Test("a new database is marked as ours")
    func marks() throws {
        let store = try Self.emptyStore()
        #expect(try Pipeline.number("PRAGMA application_id", in: store) == Int64(Schema.applicationID))
        #expect(try Pipeline.number("PRAGMA user_version", in: store) == Int64(Schema.version))
        #expect(try Pipeline.damage(of: store) == [])
    }
}
