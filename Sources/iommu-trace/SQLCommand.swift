import ArgumentParser
import Glibc
import Reporting
import TraceStore

struct SQL: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sql",
        abstract: "Runs a query of your own, read-only.",
        discussion: """
            Any single statement that does not write. Tables, columns and views carry comments: see schema/ or `.schema`.

              iommu-trace sql 'SELECT * FROM what_happened LIMIT 10'
              iommu-trace sql --format csv 'SELECT * FROM flush WHERE cause = 6' > t.csv
            """)

    @Argument(help: ArgumentHelp("The query; - reads it from standard input.", valueName: "query"))
    var query: String

    @OptionGroup var output: OutputOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        let query = query == "-" ? try Self.standardInput() : query
        let store = try database.open(.read)
        let line = ProgressLine("sql", progress.progress, query: store)
        defer { line.finish() }
        do {
            try output.write { try Query.write(query, from: store, format: output.format, to: $0) }
        } catch let error as QueryError {
            throw UsageError(message: error.description)
        }
    }

    /// All of standard input. Waits so that a signal ends it: the handler of ``Interrupt`` leaves a read undisturbed.
    private static func standardInput() throws -> String {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !Interrupt.hasCome {
            var request = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            if poll(&request, 1, 100) == 0 { continue }
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            guard count > 0 else { return String(decoding: text, as: UTF8.self) }
            text += buffer[..<count]
        }
        throw StoreError.interrupted
    }
}
