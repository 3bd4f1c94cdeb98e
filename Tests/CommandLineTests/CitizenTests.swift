import Foundation
import Testing

/// How the tool behaves in a terminal, a shell and a pipe.
@Suite struct CitizenTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(Prepared.oneTrace.get(), to: "iommu-trace.db")
        _ = try Tool.run(["replay"], directory: folder)
    }

    private func run(_ arguments: String..., environment: [String: String] = [:]) throws -> Tool.Result {
        try Tool.run(arguments, environment: environment, directory: folder)
    }

    // MARK: - The terminal

    /// A narrow table has all that a wide one has, in parts.
    @Test(arguments: [80, 100, 200])
    func tablesFit(width: Int) throws {
        let wide = try run("report", "savings").output.split(separator: "\n")
        let narrow = try run("report", "savings", environment: ["COLUMNS": "\(width)"]).output
        let longest = narrow.split(separator: "\n").map(\.count).max() ?? 0
        #expect(longest <= width)
        func words(_ lines: [Substring]) -> Set<Substring> {
            Set(lines.flatMap { $0.split(separator: " ") }.filter { !$0.allSatisfy { $0 == "-" } })
        }
        #expect(words(narrow.split(separator: "\n")) == words(wide))
    }

    @Test func textsAreWrapped() throws {
        let info = try run("info", environment: ["COLUMNS": "60"]).output
        #expect(info.split(separator: "\n").allSatisfy { $0.count <= 60 })
        #expect(try run("info").output.split(separator: "\n").contains { $0.count > 60 })
    }

    @Test func stylesOnlyWhereTheyAreWanted() throws {
        func isStyled(_ environment: [String: String]) throws -> Bool {
            let result = try run("report", "savings", environment: environment)
            return result.output.contains("\u{1b}[1m")
        }
        #expect(try !isStyled([:]))
        #expect(try isStyled(["CLICOLOR_FORCE": "1"]))
        #expect(try !isStyled(["CLICOLOR_FORCE": "1", "NO_COLOR": "1"]))
        #expect(try !isStyled(["CLICOLOR_FORCE": "0"]))
        let error = try run("report", "nothing", environment: ["CLICOLOR_FORCE": "1"]).errors
        #expect(error.hasPrefix("\u{1b}[1;31miommu-trace:\u{1b}[0m no report is called 'nothing'"))
    }

    @Test func quiet() throws {
        try folder.write(FtraceLog(calls: 5).text, to: "log.txt")
        let again = try run("import", "log.txt", "--quiet")
        #expect(again.output == "" && again.errors == "" && again.exitCode == 0)
        #expect(try run("import", "log.txt").errors.contains("in the database already"))
        try folder.write(FtraceLog(calls: 7, seed: 9).text + "junk\n", to: "new.txt")
        let new = try run("import", "-q", "new.txt")
        #expect(new.output == "" && new.errors == "" && new.exitCode == 3)
        #expect(try run("report", "nothing", "--quiet").errors != "")
        let answer = try run("replay", "-q")
        #expect(answer.errors == "" && answer.output.contains("flushes"))
    }

    // MARK: - The manual page

    @Test func everyCommandAndOptionIsInTheManual() throws {
        let page = try run("man").output
        for command in ExampleTests.commands {
            #expect(page.contains("\n.SS \(command)\n"))
            let help = try run(command, "--help", environment: ["COLUMNS": "300"]).output
            for option in help.split(whereSeparator: { " ,\n[]".contains($0) }) where option.hasPrefix("--") {
                guard !["--help", "--version"].contains(option) else { continue }
                #expect(page.contains(option.replacing("-", with: "\\-")), "\(command) \(option)")
            }
        }
        // No text has become a request of troff's.
        let requests: Set<Substring> = [
            ".TH", ".SH", ".SS", ".PP", ".TP", ".RS", ".RE", ".nf", ".fi", ".br", ".nh", ".ad", ".\\\"",
        ]
        for line in page.split(separator: "\n") where line.hasPrefix(".") {
            #expect(requests.contains(line.prefix { $0 != " " }), "\(line)")
        }
        #expect(page.split(separator: "\n").allSatisfy { !$0.hasPrefix("'") })
    }

    // MARK: - Completions

    @Test func bashCompletes() throws {
        let script = try run("--generate-completion-script", "bash")
        try folder.write(script.output, to: "completion.bash")
        try FileManager.default.createDirectory(atPath: folder["bin"], withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: folder["bin/iommu-trace"], withDestinationPath: Tool.path)
        func completions(_ words: String...) throws -> Set<Substring> {
            let line = words.joined(separator: " ")
            let last = words.last ?? ""
            let previous = words.dropLast().last ?? ""
            let result = try Tool.run(
                [], environment: ["PATH": folder["bin"] + ":/usr/bin:/bin"], directory: folder,
                launcher: [
                    "bash", "-c",
                    """
                    . ./completion.bash; COMP_WORDS=(\(line.replacing("''", with: "\"\""))); COMP_CWORD=\(words.count - 1)
                    COMP_LINE="\(line)"; COMP_POINT=${#COMP_LINE}; _iommu-trace iommu-trace "\(last)" "\(previous)"
                    printf '%s\\n' "${COMPREPLY[@]}"
                    """,
                ])
            return Set(result.output.split(separator: "\n"))
        }
        #expect(try completions("iommu-trace", "rep").isSuperset(of: ["replay", "report"]))
        #expect(try completions("iommu-trace", "report", "wind") == ["windows"])
        #expect(try completions("iommu-trace", "replay", "--trace", "l") == ["log"])
        #expect(try completions("iommu-trace", "replay", "--policy", "que") == ["queue=256,10ms"])
    }

    @Test(arguments: ["zsh", "fish"])
    func otherShells(shell: String) throws {
        let script = try run("--generate-completion-script", shell)
        #expect(script.exitCode == 0)
        for word in ["calibrate", "windows", "single-queue=32768,1s", "vtd-6.12"] {
            #expect(script.output.contains(word))
        }
    }

    // MARK: - The schema

    /// The page in `docs/` is what the tool prints: after a change of `schema/`, `iommu-trace schema -o docs/schema.md`.
    @Test func schemaPageIsUpToDate() throws {
        let page = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/schema.md")
        #expect(try run("schema").output == String(contentsOf: page, encoding: .utf8))
    }

    @Test func schemaNamesAllThatIsThere() throws {
        let page = try run("schema").output
        let query = "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view')"
        let names = try run("sql", "--format", "csv", query).records.dropFirst()
        #expect(names.count > 30)
        for name in names {
            #expect(page.contains("\n### \(name[0])\n"))
            guard name[1] == "table" else { continue }
            let section = page.components(separatedBy: "\n### \(name[0])\n").last?.components(separatedBy: "\n### ")[0]
            let columns = try run("sql", "--format", "csv", "SELECT name FROM pragma_table_info('\(name[0])')")
            for column in columns.records.dropFirst() {
                #expect(section?.contains("\n| \(column[0]) ") == true, "\(name[0]).\(column[0])")
            }
        }
    }
}
