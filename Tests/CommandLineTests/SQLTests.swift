import Foundation
import Testing

/// The user's own queries run read-only.
@Suite struct SQLTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(Prepared.oneTrace.get(), to: "iommu-trace.db")
        try folder.write(Prepared.twoTraces.get(), to: "other.db")
    }

    private func run(_ arguments: String..., stdin: String = "") throws -> Tool.Result {
        try Tool.run(arguments, stdin: Data(stdin.utf8), directory: folder)
    }

    @Test(arguments: [
        "SELECT name, events FROM trace", "select name, events from trace;", "SELECT name, events FROM trace; -- all",
        "/* which */ SELECT name, events FROM trace", "WITH t AS (SELECT * FROM trace) SELECT name, events FROM t",
    ])
    func query(sql: String) throws {
        let result = try run("sql", sql)
        #expect(result.exitCode == 0)
        #expect(result.output == "name  events\n----  ------\nlog       33\n")
        #expect(result.errors == "")
    }

    @Test func queryFromStandardInput() throws {
        let result = try run("sql", "-", "--format", "csv", stdin: "SELECT name\nFROM trace\n")
        #expect(result.exitCode == 0)
        #expect(result.output == "name\nlog\n")
    }

    @Test func views() throws {
        for view in ["what_happened", "what_the_hardware_did", "when_it_flushed"] {
            #expect(try run("sql", "SELECT * FROM \(view) LIMIT 3").exitCode == 0)
        }
        let rows = try run("sql", "SELECT * FROM what_happened WHERE kind = 'unmap_fast'", "--format", "json").objects()
        #expect(rows.count == 5)
        #expect((rows.first?["place"] as? String)?.hasPrefix("log.txt:") == true)
    }

    struct Refusal: CustomTestStringConvertible {
        var sql: String
        var message: String
        var testDescription: String { sql }

        init(_ sql: String, _ message: String) {
            self.sql = sql
            self.message = message
        }
    }

    private static let writes = "the statement would change the database; sql runs read-only"
    private static let several = "sql runs one statement at a time"
    private static let nothing = "the statement returns no rows; use a SELECT"

    static let refusals = [
        Refusal("DELETE FROM trace", writes),
        Refusal("UPDATE trace SET name = 'x'", writes),
        Refusal("INSERT INTO trace (name) VALUES ('x') RETURNING name", writes),
        Refusal("WITH t AS (SELECT 1) DELETE FROM trace", writes),
        Refusal("DROP TABLE trace", writes),
        Refusal("CREATE TABLE mine (a)", writes),
        Refusal("CREATE TEMP TABLE mine (a)", writes),
        Refusal("VACUUM", writes),
        Refusal("VACUUM INTO 'copy.db'", writes),
        Refusal("PRAGMA user_version = 7", writes),
        Refusal("PRAGMA journal_mode = WAL", writes),
        Refusal("SELECT 1; DELETE FROM trace", several),
        Refusal("SELECT 1; SELECT 2", several),
        Refusal("ATTACH 'new.db' AS new", nothing),
        Refusal("ATTACH 'other.db' AS other; DELETE FROM other.trace", "sql: no such table: other.trace"),
        Refusal("ATTACH 'other.db' AS other; DELETE FROM trace", several),
        Refusal("ATTACH 'other.db' AS other", nothing),
        Refusal("PRAGMA query_only = 0", nothing),
        Refusal("COMMIT", nothing),
        Refusal("ROLLBACK", nothing),
        Refusal("", nothing),
        Refusal("/* nothing */", nothing),
        Refusal("SELEC name FROM trace", "sql: near \"SELEC\": syntax error"),
        Refusal("SELECT name FROM", "sql: incomplete input"),
        Refusal("SELECT * FROM nosuch", "sql: no such table: nosuch"),
        Refusal("SELECT nosuch FROM trace", "sql: no such column: nosuch"),
        Refusal("SELECT name FROM trace WHERE id = :id", "sql: missing statement argument: id"),
        Refusal("SELECT load_extension('x')", "sql: not authorized"),
        Refusal("SELECT writefile('x', 'y')", "sql: no such function: writefile"),
        Refusal("SELECT sum(9223372036854775807) FROM operation", "sql: integer overflow"),
    ]

    @Test(arguments: refusals) func refused(_ refusal: Refusal) throws {
        let bytes = (try folder.read("iommu-trace.db"), try folder.read("other.db"))
        let files = try folder.files
        let result = try run("sql", refusal.sql)
        #expect(result.exitCode == 2)
        #expect(result.output == "")
        #expect(result.errors.hasPrefix("iommu-trace: \(refusal.message)"), "\(result.errors)")
        #expect(try folder.read("iommu-trace.db") == bytes.0)
        #expect(try folder.read("other.db") == bytes.1)
        #expect(try folder.files == files)
    }
}
