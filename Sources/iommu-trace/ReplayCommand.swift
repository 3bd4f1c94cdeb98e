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
            again replace it, and forget --replay deletes it. What is printed is what was replayed just now; report savings has \
            all that is kept.

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
        let outcome = try ReplayStep.run(replay, in: store, trace: trace, progress: progress.progress)
        let again = database.command("report", "savings", "--trace", outcome.trace)
        try Kept.write("the replay is kept; see: \(again)") {
            let output = TextOutput.standard
            try ReplayStep.write(outcome, from: store, to: output)
            try output.finish()
        }
    }
}

/// A replay with its progress line.
enum ReplayStep {
    static func run(
        _ replay: Replay, in store: TraceStore, trace: String?, progress: ProgressLine.Mode
    ) throws -> Replay.Outcome {
        let line = ProgressLine("replay", progress)
        defer { line.finish() }
        return try replay.run(
            in: store, trace: trace,
            progress: { line.show(done: $0, of: $1, items: $0, named: "operations") },
            isCancelled: { Interrupt.hasCome })
    }

    /// Writes the answer of these replays, and says if there was nothing to replay.
    static func write(_ outcome: Replay.Outcome, from store: TraceStore, to output: TextOutput) throws {
        let part = outcome.part.isWhole ? nil : outcome.part.text
        try Answer.write(from: store, trace: outcome.trace, replays: outcome.replays, part: part, to: output)
        guard outcome.unmapCalls == 0 else { return }
        Message.note(
            part.map { "no unmap call lies in the part \($0): there is nothing to flush" }
                ?? "the log holds no unmap call: there is nothing to flush")
    }
}
