import ArgumentParser
import Reporting
import TraceStore

/// `--html`, `--svg`, `--plot`
struct PageOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Write one page about a trace (the newest, or --trace): answer, figures, tables; - is standard output.",
            valueName: "file"), completion: .file())
    var html: String?

    @Option(
        help: ArgumentHelp("Write one figure of that page as SVG; needs --plot.", valueName: "file"),
        completion: .file())
    var svg: String?

    @Option(
        help: ArgumentHelp(
            "Which figure.", valueName: "figure"))
    var plot: ReportPlot?

    /// Whether a page or a plot is what is wanted.
    var isAskedFor: Bool { html != nil || svg != nil }

    /// Writes what was asked for, over what is there like `-o`.
    func write(trace: String?, from database: DatabaseOptions) throws {
        if svg != nil, plot == nil {
            throw UsageError(
                message: "--svg needs --plot: \(ReportPlot.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        if svg == nil, plot != nil { throw UsageError(message: "--plot says what --svg FILE shows: give that too") }
        if html == "-", svg == "-" {
            throw UsageError(message: "--html - and --svg - both go to standard output; name a file for one")
        }
        let store = try database.open(.read)
        if let html {
            try OutputFile.write(html) {
                try ReportPage.write(from: store, trace: trace, program: Version.text, to: $0)
            }
        }
        guard let svg, let plot else { return }
        guard let picture = try plot.svg(from: store, trace: trace) else {
            let command = database.command(["replay"] + (trace.map { ["--trace", $0] } ?? []))
            Message.note(
                "there is nothing to draw in a plot of \(plot.rawValue), so none was written; \(command) makes more")
            return
        }
        try OutputFile.write(svg) { $0.print(picture.source, terminator: "") }
    }
}

extension ReportPlot: ExpressibleByArgument {}
