import ArgumentParser
import Replay
import Reporting
import TraceStore

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Replays a trace under flush policies.",
        discussion: """
            All policies run side by side in one pass. Each is kept as a replay of its own; the same policy and options \
            again replace it.

              iommu-trace replay
              iommu-trace replay -p sync -p queue=256,10ms -p queue=4096,100ms
              iommu-trace replay --trace vfiounmap --policy vfio --page-sizes all
            """)

    @Option(help: ArgumentHelp("The trace (default: the newest).", valueName: "name"), completion: .traces)
    var trace: String?

    @OptionGroup var policies: PolicyOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        let replay = try policies.makeReplay()
        let store = try database.open(.write)
        let name = try ReplayStep.run(replay, in: store, trace: trace, progress: progress.progress)
        let output = TextOutput.standard
        try Answer.write(from: store, trace: name, to: output)
        try output.finish()
    }
}

/// A replay with its progress line.
enum ReplayStep {
    static func run(
        _ replay: Replay, in store: TraceStore, trace: String?, progress: ProgressLine.Mode
    ) throws -> String {
        let line = ProgressLine("replay", progress)
        defer { line.finish() }
        return try replay.run(
            in: store, trace: trace,
            progress: { line.show(done: $0, of: $1, items: $0, named: "operations") },
            isCancelled: { Interrupt.hasCome })
    }
}
