import ArgumentParser
import Reporting

struct SQL: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sql",
        abstract: "Runs a query of your own, read-only.",
        discussion: """
            Any single statement that does not write. Tables, columns and views carry comments: see schema/ or `.schema`.

              iommu-trace sql 'SELECT * FROM what_happened LIMIT 10'
              iommu-trace sql --format csv 'SELECT time_ns, domain FROM flush WHERE cause = 6' > timers.csv
            """)

    @Argument(help: ArgumentHelp("The query; - reads it from standard input.", valueName: "query"))
    var query: String

    @OptionGroup var output: OutputOptions
    @OptionGroup var database: DatabaseOptions

    func run() throws {
        let query = query == "-" ? Self.standardInput() : query
        let store = try database.open(.read)
        do {
            try output.write { try Query.write(query, from: store, format: output.format, to: $0) }
        } catch let error as QueryError {
            throw UsageError(message: error.description)
        }
    }

    private static func standardInput() -> String {
        var text = ""
        while let line = readLine(strippingNewline: false) { text += line }
        return text
    }
}
