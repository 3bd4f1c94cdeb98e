import ArgumentParser
import IOMMUModel
import Replay
import Reporting
import TraceStore

struct ValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Holds the model against what a log recorded: predicted flushes and commands, one by one.",
        discussion: """
            Flushes are predicted from the unmaps alone, by the policy that each domain's owner follows; commands to the \
            hardware from those flushes, by the rules of the driver that the log's commands give away. recorded = matched + \
            explained + missing; predicted = matched + extra. What a log cannot determine, as the flushes of an attach, is \
            explained, by reason.

              iommu-trace validate
              iommu-trace validate --trace vfiounmap --policy vfio --format json
              iommu-trace validate --hardware vtd-6.12 --differences 50
            """)

    @Option(help: ArgumentHelp("Only this trace (default: all).", valueName: "name"), completion: .traces)
    var trace: String?

    @Option(
        help: ArgumentHelp(
            "The driver and its hardware, as for replay (default: what the log's commands give away).",
            valueName: "profile"), completion: .list(Hardware.allValueStrings))
    var hardware: Hardware?

    @Option(
        name: [.short, .long],
        help: ArgumentHelp(
            "Predict the flushes of all domains by this policy (default: for each domain what its owner does).",
            valueName: "policy"), completion: .policies)
    var policy: String?

    @Option(
        help: ArgumentHelp(
            "Page sizes of all domains: 4K,2M,1G, or all for every power of two (default: those of the hardware).",
            valueName: "sizes"))
    var pageSizes: String?

    @OptionGroup var timer: TimerOptions

    @Option(help: ArgumentHelp("How many differences to keep for each domain and quantity.", valueName: "number"))
    var differences: Int = 10

    @Option(help: ArgumentHelp("What to tell rows apart by: domain or trace.", valueName: "what"))
    var by: String = "domain"

    @OptionGroup var output: OutputOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        guard (0...100_000).contains(differences) else {
            throw UsageError(message: "--differences takes 0 to 100000, not \(differences)")
        }
        guard ["domain", "trace"].contains(by) else {
            throw UsageError(message: "rows of validate are told apart by domain or trace, not by '\(by)'")
        }
        let (report, list) = (try Report.required("validate"), try Report.required("differences"))
        var validation = Validation(hardware: hardware, differencesKept: differences)
        validation.policy = try policy.map { try PolicyOptions.request($0).policy }
        validation.pageSizes = try pageSizes.map(ModelOptions.pageSizes)
        validation.wheel = try timer.wheel
        let store = try database.open(.write)
        let names = try trace.map { [$0] } ?? store.read { try TraceSummary.names($0) }
        guard !names.isEmpty else { throw StoreError.noTraces(path: store.path) }
        for name in names {
            let line = ProgressLine("validate \(name)", progress.progress)
            defer { line.finish() }
            _ = try validation.run(
                in: store, trace: name, progress: { line.show(done: $0, of: $1, items: $0, named: "operations") },
                isCancelled: { Interrupt.hasCome })
        }
        try Kept.write("the validation is kept; see: \(database.command("report", "validate"))") {
            try output.write { text in
                try report.write(from: store, trace: trace, by: by, format: output.format, to: text)
                let hasDifferences = try store.read { try ValidationWriter.hasDifferences($0, trace: trace) }
                if hasDifferences, output.format == .table || output.format == .markdown {
                    text.print("\nThe first differences:\n")
                    try list.write(from: store, trace: trace, by: nil, format: output.format, to: text)
                }
            }
        }
    }
}
