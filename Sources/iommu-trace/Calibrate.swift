import ArgumentParser
import Reporting
import TraceStore

struct Calibrate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says how long flushes took in a log, and makes a cost file of it.",
        discussion: """
            For logs that hold sync (or flush_all) and the hardware flush that follows. No event marks a completion, so each \
            length is a bound: the table says of what. With -o a cost file is written in which the constants that the log bounds \
            are replaced; the others stay as they are built in.

              iommu-trace calibrate
              iommu-trace calibrate nvme -o nvme.cost
              iommu-trace report costs --cost nvme.cost
              iommu-trace calibrate --built-in -o mine.cost
            """)

    @Argument(help: ArgumentHelp("The trace (default: the newest).", valueName: "trace"), completion: .traces)
    var trace: String?

    @Flag(help: "Write the built-in cost file, to be edited; needs no trace.")
    var builtIn = false

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Write a cost file; - is standard output, instead of the table.", valueName: "file"),
        completion: .file())
    var output: String?

    @OptionGroup var database: DatabaseOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        if builtIn {
            guard trace == nil else {
                throw UsageError(message: "--built-in needs no trace; leave '\(trace ?? "")' out")
            }
            try OutputFile.write(output ?? "-") { CostFile.writeBuiltIn(to: $0) }
            return
        }
        let store = try database.open(.read)
        let line = ProgressLine("calibrate", progress.progress, query: store)
        defer { line.finish() }
        let calibration = try Calibration(from: store, trace: trace)
        if let output { try OutputFile.write(output) { try calibration.writeCostFile(to: $0) } }
        guard output != "-" else { return }
        let table = TextOutput.standard
        try calibration.write(from: store, to: table)
        try table.finish()
    }
}
