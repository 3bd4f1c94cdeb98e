import ArgumentParser
import Replay
import Reporting
import TraceStore

struct SweepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep",
        abstract: "Replays a trace under a grid of flush schedules: flushes saved against exposure.",
        discussion: """
            All schedules run side by side in one pass, the kernel's defaults and the log's own flushes among them. Marked with * \
            is the front: schedules than which no other has both fewer flushes and less exposure. The same grid and options \
            again replace what was found; report sweep and report advice answer from it at once.

              iommu-trace sweep
              iommu-trace sweep --policies 'queue=64..4096,1ms..100ms' --plot
              iommu-trace sweep --policies batch=1..64 --policies every=10ms --by domain
              iommu-trace sweep --policies 'single-queue=1024..4096,10ms..1s/7' --format csv
            """)

    @Option(
        help: ArgumentHelp(
            "Policies with ranges for their parameters; may be given several times (default: \(PolicyGrid.standard.joined(separator: " "))).",
            discussion: PolicyGrid.grammar, valueName: "grid"))
    var policies: [String] = []

    @Option(help: ArgumentHelp("The trace (default: the newest).", valueName: "name"))
    var trace: String?

    @Option(help: ArgumentHelp("A front for the whole trace or for each domain: trace or domain.", valueName: "what"))
    var by: String = "trace"

    @Flag(help: "Draw the points under the table, flushes over exposure, both axes logarithmic.")
    var plot = false

    @Option(
        help: ArgumentHelp(
            "How many threads at most; the answer is the same (default: one on each CPU).", valueName: "n"))
    var threads: Int?

    @OptionGroup var model: ModelOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        let points = try Report.required("sweep")
        guard points.groupings.contains(by) else {
            throw UsageError(
                message: "a sweep is told apart by \(points.groupings.joined(separator: " or ")), not by '\(by)'")
        }
        guard threads.map({ (1...256).contains($0) }) ?? true else {
            throw UsageError(message: "--threads takes 1 to 256, not \(threads ?? 0)")
        }
        if plot, output.format != .table {
            throw UsageError(message: "--plot is drawn under a table, and --format \(output.format.rawValue) has none")
        }
        let sweep = Sweep(try grid(), options: try model.makeOptions(), threads: threads)
        let store = try database.open(.write)
        let (name, number) = try sweepTrace(sweep, in: store)
        try Kept.write("the sweep is kept; see: \(database.command("report", "sweep", "--trace", name))") {
            try output.write { text in
                guard output.format == .table else {
                    try points.write(from: store, trace: nil, by: by, sweep: number, format: output.format, to: text)
                    return
                }
                try SweepAnswer.write(from: store, sweep: number, by: by, isPlotted: plot, to: text)
            }
        }
    }

    private func grid() throws -> PolicyGrid {
        do {
            return try PolicyGrid(parsing: policies.isEmpty ? PolicyGrid.standard : policies)
        } catch {
            throw UsageError(message: error.description)
        }
    }

    private func sweepTrace(_ sweep: Sweep, in store: TraceStore) throws -> (trace: String, sweep: Int64) {
        let line = ProgressLine("sweep", progress.progress)
        defer { line.finish() }
        do {
            return try sweep.run(
                in: store, trace: trace, progress: { line.show(done: $0, of: $1, items: $0, named: "operations") },
                isCancelled: { Interrupt.hasCome })
        } catch let error as SweepError {
            throw UsageError(message: error.message)
        }
    }
}
