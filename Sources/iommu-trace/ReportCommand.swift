import ArgumentParser
import Reporting
import TraceStore

struct ReportCommand: ParsableCommand {
    /// The reports with their questions, in lines that a terminal of 80 columns need not break: the parser moves nothing in.
    private static let reports = Report.catalogue.map { report in
        var lines = ["  \(report.name.padding(to: 15))"]
        for word in report.question.split(separator: " ") {
            if (lines.last?.count ?? 0) + 1 + word.count > 79 { lines.append(String(repeating: " ", count: 17)) }
            lines[lines.count - 1] += " " + word
        }
        return lines.joined(separator: "\n")
    }.joined(separator: "\n")

    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Answers a question from the database.",
        discussion: """
            Reports:
            \(Self.reports)

              iommu-trace report savings
              iommu-trace report savings --by domain --format csv -o savings.csv
              iommu-trace report costs --cost mine.txt --by domain
              iommu-trace report windows --fail-if 'p99_ns > 20ms'
              iommu-trace report churn --by task --show-sql | sqlite3 -box iommu-trace.db
              iommu-trace report --list
              iommu-trace report --html nvme.html --trace nvme
              iommu-trace report --svg pareto.svg --plot pareto
            """)

    @Argument(help: ArgumentHelp("The report.", valueName: "name"), completion: .list(Report.catalogue.map(\.name)))
    var name: String?

    @Flag(help: "List the reports and what their rows can be told apart by.")
    var list = false

    @Option(
        help: ArgumentHelp(
            "What to tell rows apart by, such as trace or domain (default: the report's first).", valueName: "what"),
        completion: .list(Report.groupings))
    var by: String?

    @Option(help: ArgumentHelp("Only this trace (default: all).", valueName: "name"), completion: .traces)
    var trace: String?

    @Option(
        help: ArgumentHelp(
            "Constants for costs, constants: those of this file before the built-in ones.",
            discussion: "One a line: name low typical high evidence source. All of them: report constants; "
                + "a file to begin with: calibrate --built-in -o FILE.",
            valueName: "file"), completion: .file())
    var cost: String?

    @Flag(
        help: ArgumentHelp(
            "Print the query instead of running it, with its parameters filled in: for sqlite3 FILE."))
    var showSql = false

    @OptionGroup var gate: GateOptions
    @OptionGroup var page: PageOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        if page.isAskedFor {
            try refuseBesidePage()
            try page.write(trace: trace, from: database)
            return
        }
        if page.plot != nil { throw UsageError(message: "--plot says what --svg FILE shows: give that too") }
        if list {
            try output.write { try ReportList.write(format: output.format, to: $0) }
            return
        }
        let known = Report.catalogue.map(\.name).joined(separator: ", ")
        guard let name else { throw UsageError(message: "name a report: \(known)") }
        guard let report = Report.named(name) else {
            throw UsageError(message: "no report is called '\(name)'; there are: \(known)")
        }
        if let by, !report.groupings.contains(by) {
            throw UsageError(
                message:
                    "report \(name) cannot be told apart by '\(by)', only by: \(report.groupings.joined(separator: ", "))"
            )
        }
        if cost != nil, !report.takesCosts {
            let names = Report.catalogue.filter(\.takesCosts).map(\.name).joined(separator: ", ")
            throw UsageError(
                message: "report \(name) computes no times, so --cost means nothing to it; it goes with: \(names)")
        }
        let costs = try cost.map { try CostFile(path: $0) }
        if showSql {
            guard gate.isEmpty else {
                throw UsageError(message: "--show-sql runs no query, so there are no rows for --fail-if")
            }
            let json = try costs?.json()
            try output.write { $0.print(report.sql(trace: trace, by: by, costs: json), terminator: "") }
            return
        }
        let gate = try gate.makeGate()
        let store = try database.open(.read)
        let line = ProgressLine("report \(name)", progress.progress, query: store)
        defer { line.finish() }
        var rows = 0
        try output.write { output in
            rows = try GateOptions.translatingErrors {
                try report.write(
                    from: store, trace: trace, by: by, costs: costs, gate: gate, format: self.output.format, to: output)
            }
        }
        if rows == 0 || !gate.isEmpty { try explain(report, store, rows: rows, isGated: !gate.isEmpty) }
        try GateOptions.check(gate)
    }

    /// Says what no rows mean, or which traces have none. A gate must not pass because nothing was there to look at.
    private func explain(_ report: Report, _ store: TraceStore, rows: Int, isGated: Bool) throws {
        if let unmet = try report.unmet(in: store, trace: trace) {
            let command = unmet.need.map(\.command) ?? ["import", "LOG"]
            let toDo = command.map { $0 + (unmet.traceToName.map { ["--trace", $0] } ?? []) }.map(database.command)
            Message.note(unmet.message + (toDo.map { ": \($0)" } ?? ""))
            if isGated, rows == 0, unmet.isAll { throw ExitStatus.refused }
            if unmet.isAll { return }
        }
        guard rows == 0 else { return }
        if let hint = report.hintWithoutRows {
            Message.note(hint)
            if isGated { throw ExitStatus.refused }
        } else {
            Message.note(report.nothingFound ?? "report \(report.name) has no rows")
        }
    }

    /// A page and a plot are not made of one report's rows: what is about those means nothing to them.
    private func refuseBesidePage() throws {
        let given = [
            (name != nil, "the report '\(name ?? "")'"), (list, "--list"), (by != nil, "--by"), (cost != nil, "--cost"),
            (output.givenFormat != nil, "--format"), (output.givenOutput != nil, "-o"), (showSql, "--show-sql"),
            (!gate.isEmpty, "--fail-if"),
        ]
        guard let other = given.first(where: \.0) else { return }
        throw UsageError(
            message:
                "\(other.1) means nothing to --html and --svg, which write a page or a plot of a whole trace; leave it out"
        )
    }
}
