import ArgumentParser
import Ingest
import Replay
import Reporting
import TraceStore

struct OneShot: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Imports a log, replays it and prints the answer; keeps nothing.",
        discussion: """
            This is what `iommu-trace LOG` does. The database is a temporary one.

              iommu-trace nvme.txt.gz
              iommu-trace nvme.txt.gz --policy sync --policy queue=1024,20ms
            """)

    @Argument(help: ArgumentHelp("The log; - is standard input.", valueName: "log"), completion: .file())
    var log: String?

    @OptionGroup var metadata: MetadataOptions
    @OptionGroup var domains: DomainOptions
    @OptionGroup var clock: ClockOptions
    @OptionGroup var policies: PolicyOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        guard let log else { throw CleanExit.helpRequest(IOMMUTrace.self) }
        let replay = try policies.makeReplay()
        var temporary: TraceStore?
        let options = LogImport.Options(
            ticksPerSecond: try clock.ticks, assumesSingleDomain: domains.assumeSingleDomain,
            metadata: metadata.metadata)
        let outcome = try ImportStep.run([log], name: nil, options: options, progress: progress.progress) {
            let store = try TraceStore(path: "", access: .create)
            Interrupt.onSignal { store.interrupt() }
            temporary = store
            return store
        }
        guard let store = temporary else { return }
        let replayed = try ReplayStep.run(replay, in: store, trace: nil, progress: progress.progress)
        let output = TextOutput.standard
        try TraceDescription.write(from: store, trace: replayed.trace, to: output)
        output.print("")
        try ReplayStep.write(replayed, from: store, to: output)
        try output.finish()
        if case .imported(_, isDamaged: true) = outcome {
            Message.note("\(log): a part of the log could not be taken; import it and see: iommu-trace report issues")
            throw ExitStatus.damaged
        }
    }
}
