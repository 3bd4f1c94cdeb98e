import ArgumentParser
import Reporting
import TraceStore

struct Info: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says what the database holds, and what its logs cannot tell.",
        discussion: """
              iommu-trace info
              iommu-trace info --trace nvme
            """)

    @Option(help: ArgumentHelp("Only this trace (default: all).", valueName: "name"), completion: .traces)
    var trace: String?

    @OptionGroup var database: DatabaseOptions
    @OptionGroup var messages: MessageOptions

    func run() throws {
        let store = try database.open(.read)
        let output = TextOutput.standard
        try TraceDescription.write(from: store, trace: trace, to: output)
        try output.finish()
    }
}

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists the traces in the database.",
        discussion: """
              iommu-trace list
              iommu-trace list --format json
            """)

    @OptionGroup var output: OutputOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var messages: MessageOptions

    func run() throws {
        let store = try database.open(.read)
        try output.write {
            try Query.write(
                """
                SELECT name AS trace, source, events, operations, round((last_ns - first_ns) / 1e9, 3) AS seconds,
                    (SELECT count(*) FROM replay WHERE replay.trace = trace.id) AS replays
                FROM trace ORDER BY id
                """, from: store, format: output.format, to: $0)
        }
    }
}

struct Forget: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Deletes a trace and its replays from the database.",
        discussion: """
            The file keeps its size; the room is used by later imports, or freed by: sqlite3 FILE VACUUM

              iommu-trace forget nvme
            """)

    @Argument(help: ArgumentHelp("The trace.", valueName: "trace"), completion: .traces)
    var trace: String

    @OptionGroup var database: DatabaseOptions
    @OptionGroup var messages: MessageOptions

    func run() throws {
        let store = try database.open(.write)
        try store.forget(trace: trace)
        Message.note("trace \(trace) is gone")
    }
}
