import ArgumentParser
import Reporting
import TraceStore

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Writes a trace and its replays for other programs.",
        discussion: """
            --timeline makes JSON for https://ui.perfetto.dev (open the page, then the file; nothing is sent anywhere). Each domain has \
            its unmaps, the flushes of each replayed policy, the stale windows as slices, and counters of stale pages and flushes \
            per second. Large logs: counters stand for all, of windows the longest are drawn.

              iommu-trace export --timeline trace.json
              iommu-trace export --timeline - --trace nvme | gzip > trace.json.gz
            """)

    @Option(
        help: ArgumentHelp("Write a timeline for Perfetto; - is standard output.", valueName: "file"),
        completion: .file())
    var timeline: String

    @Option(help: ArgumentHelp("The trace (default: the newest).", valueName: "name"), completion: .traces)
    var trace: String?

    @Option(help: ArgumentHelp("Draw at most so many windows of each policy, the longest.", valueName: "number"))
    var windows: Int = TimelineExport.Limits().windows

    @Option(help: ArgumentHelp("Draw unmaps one by one only if there are no more than these.", valueName: "number"))
    var unmaps: Int = TimelineExport.Limits().unmaps

    @OptionGroup var database: DatabaseOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        guard windows >= 0, unmaps >= 0 else { throw UsageError(message: "--windows and --unmaps take 0 and more") }
        let store = try database.open(.read)
        let line = ProgressLine("export", progress.progress, query: store)
        defer { line.finish() }
        let export = TimelineExport(
            from: store, trace: trace, limits: TimelineExport.Limits(unmaps: unmaps, windows: windows))
        var drawn = TimelineExport.Drawn()
        try OutputFile.write(timeline) { drawn = try export.write(to: $0) }
        if drawn.unmaps.drawn < drawn.unmaps.all {
            Message.note("drawn: none of \(drawn.unmaps.all) unmaps one by one (--unmaps); the counters stand for all")
        }
        if drawn.windows.drawn < drawn.windows.all {
            Message.note(
                "drawn: the longest \(drawn.windows.drawn) of \(drawn.windows.all) stale windows (--windows here; of those that are "
                    + "open at the end a replay keeps none without --windows all)")
        }
        if drawn.windows.all == 0, drawn.others == 0 {
            let command = database.command(["replay"] + (trace.map { ["--trace", $0] } ?? []))
            Message.note("nothing was replayed yet, so only unmaps are drawn: \(command)")
        }
    }
}
