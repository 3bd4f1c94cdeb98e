import Foundation
import Testing

/// What tables, which are read by people, show of the rows, and what reaches a terminal.
@Suite struct TableTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(Prepared.twoTraces.get(), to: "iommu-trace.db")
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func heading(_ output: String) -> [String] {
        output.split(separator: "\n").first.map { $0.split(separator: " ").map(String.init) } ?? []
    }

    /// The columns that a table leaves out are exactly those without a value; the other formats have them all.
    @Test(arguments: ["savings", "windows", "latency", "tlb"]) func emptyColumns(report: String) throws {
        #expect(try run("replay", "--trace", "log", "-p", "sync", "-p", "queue=2,1ms").exitCode == 0)
        if report == "tlb" {
            #expect(
                try run("replay", "--trace", "log", "--hardware", "vtd-6.1", "--iotlb", "64x8", "-p", "sync").exitCode
                    == 0)
        }
        let rows = try run("report", report, "--format", "csv").records
        let columns = try #require(rows.first)
        let filled = columns.indices.filter { index in rows.dropFirst().contains { !$0[index].isEmpty } }
            .map { columns[$0] }
        #expect(filled.count < columns.count)
        let shown = try heading(run("report", report).output)
        #expect(shown.filter { $0 != "differs" } == filled)
        #expect(try heading(run("report", report, "--format", "markdown").output).filter { $0 != "|" } == columns)
    }

    /// What rows are told apart by stays, known or not, and so does the evidence.
    @Test func columnsThatStay() throws {
        #expect(try run("replay", "--trace", "log", "-p", "sync").exitCode == 0)
        for grouping in ["domain", "device", "task"] {
            let shown = try heading(run("report", "windows", "--by", grouping).output)
            #expect(shown.contains(grouping) && shown.contains("evidence"))
        }
        // Without rows nothing says what is empty.
        let empty = try heading(run("report", "sweep", "--by", "domain").output)
        #expect(empty.contains("domain"))
    }

    /// A query of one's own has the columns that it names.
    @Test func ownQueries() throws {
        #expect(try heading(run("sql", "SELECT NULL AS a, 1 AS b").output) == ["a", "b"])
    }

    /// `trace` is left out where it says nothing, and only there.
    @Test func severalTraces() throws {
        #expect(try run("replay", "--trace", "log", "-p", "sync").exitCode == 0)
        #expect(try !heading(run("report", "costs").output).contains("trace"))
        #expect(try run("replay", "--trace", "other", "-p", "sync").exitCode == 0)
        for report in ["costs", "calibration"] {
            let both = try run("report", report).output
            #expect(heading(both).first == "trace", "\(report)")
            #expect(both.contains("\nlog ") && both.contains("\nother "))
            #expect(try !heading(run("report", report, "--trace", "log").output).contains("trace"))
        }
    }

    /// So many rows are looked at; a longer table has all its columns.
    @Test func longTable() throws {
        let log = FtraceLog(calls: 4200)
        try folder.write(log.text + String(repeating: "no event\n", count: 4200), to: "long.txt")
        #expect(try run("import", "long.txt").exitCode == 3)
        let result = try run("report", "issues", "--trace", "long")
        #expect(result.output.split(separator: "\n").count == 4202)
        #expect(
            try heading(result.output) == run("report", "issues", "--trace", "long", "--format", "csv").records.first)
    }

    /// On a narrow terminal a table is not broken into parts of nothing.
    @Test func narrowTerminal() throws {
        #expect(try run("replay", "--trace", "log").exitCode == 0)
        let result = try Tool.run(["report", "savings"], environment: ["COLUMNS": "80"], directory: folder)
        let parts = result.output.components(separatedBy: "\n\n").filter { $0.contains("---") }
        #expect(parts.count <= 5, "\(result.output)")
        #expect(result.output.split(separator: "\n").allSatisfy { $0.hasPrefix("note:") || $0.count <= 80 })
    }

    // MARK: - Numbers

    /// As sqlite3 prints them: 15 digits, without what adding up leaves behind.
    @Test func digits() throws {
        let query =
            "SELECT 0.1 + 0.2 AS a, 641.5471349999999 AS b, 1e300 AS c, -0.1 - 0.2 AS d, 1.0 / 3 AS e, 2.5 AS f, 4e15 + 0.5 AS g"
        let csv = try run("sql", query, "--format", "csv").records
        #expect(
            csv.last == ["0.3", "641.547135", "1e+300", "-0.3", "0.333333333333333", "2.5", "4e+15"]
                || csv.last == [
                    "0.3", "641.547135", "1e+300", "-0.3", "0.333333333333333", "2.5", "4000000000000000.0",
                ])
        let json = try run("sql", query, "--format", "json").output
        #expect(json.contains("\"a\": 0.3, \"b\": 641.547135,"))
        #expect(try run("sql", query).output.contains("641.547135 "))
    }

    // MARK: - Terminals

    /// Runs a command with a terminal for standard output, through script(1).
    private func onTerminal(_ arguments: String) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/script")
        process.arguments = ["-qec", "'\(Tool.path)' \(arguments)", "/dev/null"]
        process.currentDirectoryURL = URL(filePath: folder.path)
        process.environment = ["PATH": "/usr/bin:/bin", "TERM": "dumb", "COLUMNS": "200"]
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: text, as: UTF8.self).replacing("\r\n", with: "\n")
    }

    /// Bytes of a log that a terminal would obey reach a file as they are, and a terminal in words.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script")))
    func csvOnTerminal() throws {
        let query = "sql --format csv \"SELECT 'a' || char(27) || ']0;title' || char(7) AS t, char(155) || '31m' AS u\""
        let shown = try onTerminal(query)
        #expect(shown == "t,u\na\\x1b]0;title\\x07,\\x9b31m\n")
        let kept = try run(
            "sql", "--format", "csv", "SELECT 'a' || char(27) || ']0;title' || char(7) AS t, char(155) || '31m' AS u")
        #expect(kept.output == "t,u\na\u{1b}]0;title\u{7},\u{9b}31m\n")
    }
}
