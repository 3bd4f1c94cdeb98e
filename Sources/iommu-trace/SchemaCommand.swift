import ArgumentParser
import Reporting

struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Says what the database's tables, columns and views hold, in Markdown.",
        discussion: """
              iommu-trace schema | less
              iommu-trace schema -o schema.md
            """)

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Write to a file instead of standard output; - is standard output.", valueName: "file"),
        completion: .file())
    var output: String = "-"

    @OptionGroup var messages: MessageOptions

    func run() throws { try OutputFile.write(output) { SchemaDescription.write(to: $0) } }
}
