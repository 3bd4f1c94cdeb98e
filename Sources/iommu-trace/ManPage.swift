import ArgumentParser
import Foundation
import Reporting

/// The manual page, made of what the argument parser knows of each command.
struct ManPage {
    /// The parser's description of a command, as `--experimental-dump-help` prints it; what is needed of it.
    private struct Tool: Decodable {
        var command: Command
    }

    private struct Command: Decodable {
        var commandName: String
        var abstract: String?
        var discussion: String?
        var arguments: [Argument]?
        var subcommands: [Command]?
    }

    private struct Argument: Decodable {
        enum Kind: String, Decodable {
            case option, flag, positional
        }

        struct Name: Decodable {
            var kind: String
            var name: String

            var text: String { kind == "long" ? "--\(name)" : "-\(name)" }
        }

        var kind: Kind
        var abstract: String?
        var discussion: String?
        var names: [Name]?
        var valueName: String?
        var isOptional: Bool
        var isRepeating: Bool
        var shouldDisplay: Bool
        var defaultValue: String?
        var allValues: [String]?

        var isCommon: Bool { names?.contains { ["help", "version"].contains($0.name) } ?? false }
    }

    private let tool: Tool
    private var lines: [String] = []

    /// The page of a root command.
    static func text(of root: any ParsableCommand.Type) throws -> String {
        var page = ManPage(tool: try JSONDecoder().decode(Tool.self, from: Data(root._dumpHelp().utf8)))
        page.write()
        return page.lines.joined(separator: "\n") + "\n"
    }

    private mutating func write() {
        let root = tool.command
        lines += [
            ".\\\" Made by: \(root.commandName) man",
            ".TH \(root.commandName.uppercased()) 1 \"\" \"\(Version.text)\" \"User Commands\"", ".nh", ".ad l",
        ]
        section("NAME")
        lines.append("\(Self.escaped(root.commandName)) \\- \(Self.escaped(Self.lowercased(root.abstract ?? "")))")
        section("SYNOPSIS")
        for command in commands { lines += [".br", Self.synopsis(command, of: root.commandName)] }
        section("DESCRIPTION")
        paragraphs(root.discussion ?? "")
        section("COMMANDS")
        for command in commands { write(command, of: root.commandName) }
        for (heading, text) in Self.endings {
            section(heading)
            paragraphs(text)
        }
    }

    private var commands: [Command] { (tool.command.subcommands ?? []).filter { $0.commandName != "help" } }

    private static let endings = [
        (
            "EXIT STATUS",
            """
            0    fine
            1    a condition of --fail-if holds
            2    the command line cannot be understood
            3    imported, but a part of the log was damaged
            4    refused: nothing was done; or done, but the answer could not be written out, as the message says
            130  interrupted; the database is as it was before
            """
        ),
        (
            "ENVIRONMENT",
            """
            IOMMU_TRACE_DB  the database, where --db names none
            COLUMNS         how wide a terminal is, if it does not say so itself
            NO_COLOR        no heading is set off; CLICOLOR_FORCE sets them off where no terminal is
            TMPDIR          where a compressed trace.dat is unpacked
            """
        ),
        (
            "FILES",
            """
            iommu-trace.db, an SQLite database, in the folder from which the command is called. Its tables and columns carry \
            comments: iommu-trace schema.
            """
        ),
        ("SEE ALSO", "trace-cmd(1), perf-script(1), sqlite3(1)"),
    ]

    private static func synopsis(_ command: Command, of root: String) -> String {
        let arguments = command.arguments ?? []
        let hasOptions = arguments.contains { $0.kind != .positional && $0.shouldDisplay }
        let names = arguments.filter { $0.kind == .positional && $0.shouldDisplay }.map { argument in
            let name = (argument.valueName ?? "value") + (argument.isRepeating ? "..." : "")
            return argument.isOptional ? "[\(name)]" : name
        }
        return "\\fB\(escaped(root)) \(escaped(command.commandName))\\fR"
            + ([hasOptions ? "[options]" : nil] + names).compactMap { $0.map { " \\fI\(escaped($0))\\fR" } }.joined()
    }

    private mutating func write(_ command: Command, of root: String) {
        lines += [".SS \(Self.escaped(command.commandName))"]
        if let abstract = command.abstract { lines.append(Self.escaped(abstract)) }
        if let discussion = command.discussion { paragraphs(discussion) }
        for argument in command.arguments ?? [] where argument.shouldDisplay && !argument.isCommon {
            write(argument)
        }
    }

    private mutating func write(_ argument: Argument) {
        let value = argument.valueName.map { "\\fI\(Self.escaped($0))\\fR" } ?? ""
        lines.append(".TP")
        switch argument.kind {
        case .positional: lines.append(value)
        case .flag: lines.append(Self.names(argument))
        case .option: lines.append("\(Self.names(argument)) \(value)")
        }
        var abstract = argument.abstract ?? ""
        if let value = argument.defaultValue, !abstract.contains("(default:") { abstract += " (default: \(value))" }
        if let values = argument.allValues, !values.isEmpty {
            abstract += " (values: \(values.joined(separator: ", ")))"
        }
        lines.append(Self.escaped(abstract))
        if let discussion = argument.discussion, !discussion.isEmpty {
            lines.append(".RS")
            paragraphs(discussion)
            lines.append(".RE")
        }
    }

    private static func names(_ argument: Argument) -> String {
        (argument.names ?? []).sorted { $0.text.count < $1.text.count }.map { "\\fB\(escaped($0.text))\\fR" }
            .joined(separator: ", ")
    }

    private mutating func section(_ name: String) { lines.append(".SH \(name)") }

    /// Text as it stands in the help: lines that are moved in or hold columns stay lines.
    private mutating func paragraphs(_ text: String) {
        for block in text.split(separator: "\n\n") {
            let rows = block.split(separator: "\n").map(String.init)
            let isListing = rows.contains { $0.hasPrefix("  ") || $0.contains("  ") && rows.count > 1 }
            lines.append(".PP")
            if isListing { lines.append(".nf") }
            lines += rows.map(Self.escaped)
            if isListing { lines.append(".fi") }
        }
    }

    private static func lowercased(_ text: String) -> String {
        (text.prefix(1).lowercased() + text.dropFirst()).trimmingSuffix(".")
    }

    /// Nothing in it is a request or an escape of troff's.
    private static func escaped(_ text: String) -> String {
        let text = text.replacing("\\", with: "\\e").replacing("-", with: "\\-")
        return text.first == "." || text.first == "'" ? "\\&" + text : text
    }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: Character) -> String { last == suffix ? String(dropLast()) : self }
}

struct Man: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints the manual page.",
        discussion: """
              iommu-trace man | man -l -
              iommu-trace man > iommu-trace.1

            Completions for a shell come from: iommu-trace --generate-completion-script bash|zsh|fish
            tools/install puts all of it into its place.
            """)

    @OptionGroup var messages: MessageOptions

    func run() throws {
        let output = TextOutput.standard
        output.print(try ManPage.text(of: IOMMUTrace.self), terminator: "")
        try output.finish()
    }
}
