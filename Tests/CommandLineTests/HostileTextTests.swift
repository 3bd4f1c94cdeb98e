import Foundation
import Testing

/// Names and texts out of a log that want more than to be read.
@Suite struct HostileTextTests {
    private static let task = "a\u{1b}[31m\"|,\\<b>"
    private static let marker = "stop\u{1b}]0;owned\u{7} \"quoted\", | pipe \\| both \\\\ <b>bold</b> \u{9b}2J\u{7f}"
    private static let device = "0000:\u{1b}[2J|,'\\|:08.0"
    private static let name = "x\u{1b}[31m|\ny"

    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        var log = FtraceLog(calls: 5)
        log.add("tracing_mark_write: \(Self.marker)")
        log.add("map: IOMMU: iova=0x1000 - 0x2000 paddr=0x101066000 size=4096", task: Self.task)
        log.add("attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xff1f9ec78baa2dd0 dev=\"\(Self.device)\"")
        log.lines.append("garbage \u{1b}[2J\"quoted\", | pipe \\| \r tail")
        try folder.write(log.text, to: "log.txt")
        let odd = "x\u{1b}[31m|\"\u{9b}2J\u{7f}"
        try folder.write([
            "log.meta/cmdline": "iommu.strict=0 \(odd)\n", "log.meta/\(odd)": odd,
            "log.meta/groups": "1 DMA-FQ \(Self.device.replacing(" ", with: ""))=\(odd)\n",
            "log.meta/kprobe_profile": "\(odd) 1 2\n",
            "log.meta/\(odd).stats": "CPU: 0\ndropped events: 7\n", "log.meta/trace_clock": "uptime\n",
        ])
        #expect(try run("import", "log.txt", "--name", Self.name).exitCode == 3)
        #expect(try run("replay").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private static let outputs = [
        ["report", "savings"], ["report", "savings", "--by", "domain"], ["report", "domains"], ["report", "issues"],
        ["report", "events"], ["report", "metadata"], ["report", "contradictions"], ["report", "losses"], ["list"],
        ["sql", "SELECT * FROM what_happened"],
        ["sql", "SELECT * FROM what_the_hardware_did"],
    ]

    @Test(arguments: outputs) func tables(arguments: [String]) throws {
        let rows = try Tool.run(arguments + ["--format", "json"], directory: folder).objects()
        let result = try Tool.run(arguments, directory: folder)
        #expect(result.exitCode == 0)
        #expect(result.output.controlCharacters == [])
        #expect(result.output.split(separator: "\n").filter { !$0.hasPrefix("note: ") }.count == rows.count + 2)
    }

    @Test(arguments: outputs) func markdown(arguments: [String]) throws {
        let rows = try Tool.run(arguments + ["--format", "json"], directory: folder).objects()
        let result = try Tool.run(arguments + ["--format", "markdown"], directory: folder)
        #expect(result.exitCode == 0)
        #expect(result.output.controlCharacters == [])
        let cells = Markdown.parse(result.output)
        #expect(cells.count == rows.count + 2)
        // Some have a column of sentences more.
        #expect(Set(cells.map(\.count)).count == 1)
        #expect(cells.allSatisfy { cell in rows.allSatisfy { 0...1 ~= cell.count - $0.count } })
        // HTML would be taken for markup.
        #expect(!result.output.contains(#/[^\\]</#))
    }

    @Test(arguments: outputs) func json(arguments: [String]) throws {
        let result = try Tool.run(arguments + ["--format", "json"], directory: folder)
        #expect(result.exitCode == 0)
        #expect(result.output.controlCharacters == [])
        #expect(try !result.objects().isEmpty)
    }

    @Test func pretendedColumnsInMarkdown() throws {
        let result = try run("sql", "SELECT 1 AS \"a|b\", '\\' AS c, '|' AS d", "--format", "markdown")
        #expect(Markdown.parse(result.output).map(\.count) == [3, 3, 3])
        #expect(Markdown.parse(result.output).first == ["a|b", "c", "d"])
    }

    /// What is made safe for a terminal is still there for a program.
    @Test(arguments: ["json", "csv"]) func dataIsKept(format: String) throws {
        let result = try run(
            "sql",
            """
            SELECT (SELECT text FROM marker WHERE text LIKE 'stop%') AS marker, (SELECT name FROM trace) AS name,
                (SELECT comm FROM task WHERE comm LIKE 'a%') AS task,
                (SELECT name FROM device WHERE name LIKE '%|%') AS device
            """, "--format", format)
        let expected = [Self.marker, Self.name, Self.task, Self.device]
        if format == "csv" {
            #expect(result.records.last == expected)
        } else {
            let row = try #require(try result.objects().first)
            #expect(["marker", "name", "task", "device"].map { row[$0] as? String } == expected)
        }
    }

    /// Texts for people: the import's summary, `info`, the answer, messages.
    @Test func prose() throws {
        let odd = try folder.write(FtraceLog(calls: 5, seed: 2).text + "damage\n", to: "log\u{1b}[31m|.txt")
        for arguments in [
            [odd], ["import", odd], ["import", odd], ["info"], ["replay"], ["replay", "--trace", Self.name],
            ["forget", "\u{1b}[2J"], ["report", "\u{1b}[2J"], ["import", "\u{1b}[2J.txt"],
            ["info", "--db", "\u{1b}[2J"],
            ["replay", "--policy", "\u{1b}[2J"], ["forget", Self.name],
        ] {
            let result = try Tool.run(arguments, directory: folder)
            #expect(result.output.controlCharacters == [], "\(arguments)")
            #expect(result.errors.controlCharacters == [], "\(arguments)")
            #expect(!(result.output + result.errors).isEmpty, "\(arguments)")
        }
    }

    /// A task may call itself anything, even an event.
    @Test func taskThatLooksLikeAnEvent() throws {
        var log = FtraceLog(calls: 5)
        log.add("sync: (x+0x5/0xf0) domain=0x1", task: "a-1 [000] 1: m")
        try folder.write(log.text, to: "task.txt")
        #expect(try run("import", "task.txt").exitCode == 0)
        let tasks = try run("sql", "SELECT pid, comm FROM task WHERE comm LIKE 'a-1%'", "--format", "csv").records
        #expect(tasks.dropFirst() == [["271", "a-1 [000] 1: m"]])
    }
}
