import ArgumentParser
import Foundation
import Ingest
import Replay
import Reporting
import TraceStore

struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Sets two traces side by side, by rates.",
        discussion: """
            A and B are traces of the database, B of another one with --with; or two log files, which are imported and replayed in a \
            temporary database, as the options of replay say. Policies are compared that were replayed in both.

              iommu-trace compare nvme-strict nvme-lazy
              iommu-trace compare before after --db monday.db --with tuesday.db
              iommu-trace compare old.txt.gz new.txt.gz --fail-if 'percent > 10'
            """)

    @Argument(help: ArgumentHelp("A trace, or a log.", valueName: "a"), completion: .tracesAndFiles)
    var first: String

    @Argument(help: ArgumentHelp("Another one.", valueName: "b"), completion: .tracesAndFiles)
    var second: String

    @Option(
        help: ArgumentHelp("The database that B is in (default: that of A).", valueName: "file"), completion: .file())
    var with: String?

    @Option(
        name: .customLong("measure"),
        help: ArgumentHelp(
            "Only this measure, as the first column calls it; may be given several times.", valueName: "name"))
    var measures: [String] = []

    @OptionGroup var gate: GateOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var policies: PolicyOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        let gate = try gate.makeGate()
        var (comparison, isDamaged) = try areLogs() ? ofLogs() : ofTraces()
        do { try comparison.keep(measures) } catch let error as ComparisonError {
            throw UsageError(message: error.message)
        }
        try output.write { output in
            try GateOptions.translatingErrors {
                try comparison.write(gate: gate, format: self.output.format, to: output)
            }
            if self.output.format == .table {
                if !comparison.doubts.isEmpty { output.say("") }
                for doubt in comparison.doubts { output.say("note: \(doubt)") }
            }
        }
        if output.format != .table { for doubt in comparison.doubts { Message.note("note: \(doubt)") } }
        if !comparison.hasReplays, measures.isEmpty {
            Message.note("no policy was replayed in both: \(database.command("replay", "--trace", "NAME"))")
        }
        try GateOptions.check(gate)
        if isDamaged { throw ExitStatus.damaged }
    }

    /// Names of traces come first: a file may be called like one.
    private func areLogs() throws -> Bool {
        let files = FileManager.default
        guard with == nil else { return false }
        // What cannot be read is no reason not to look at the logs.
        let known =
            files.fileExists(atPath: database.file)
            ? (try? database.open(.read).read { try TraceSummary.names($0) }) ?? [] : []
        let sides = [first, second].map { (isTrace: known.contains($0), isLog: files.fileExists(atPath: $0)) }
        if sides.allSatisfy(\.isTrace) { return false }
        if sides.allSatisfy(\.isLog) { return true }
        for (log, trace) in [(0, 1), (1, 0)] where sides[log].isLog && !sides[log].isTrace && sides[trace].isTrace {
            let names = [first, second]
            throw UsageError(
                message: "compare: \(names[trace]) is a trace and \(names[log]) is a log; give two of a kind: "
                    + database.command("import", names[log]))
        }
        return false
    }

    private func ofTraces() throws -> (Comparison, isDamaged: Bool) {
        if let option = policies.given.first {
            throw UsageError(
                message:
                    "\(option) is for the replays of two logs, but \(first) and \(second) are taken for traces, of which the "
                    + "replays are compared that there are: leave it out, or make others: "
                    + database.command("replay", "--trace", "NAME", option))
        }
        let store = try database.open(.read)
        let other = try with.map { path in
            let other = try TraceStore(path: path, access: .read)
            Interrupt.onSignal { other.interrupt() }
            return other
        }
        return (try Comparison(.init(store, trace: first), .init(other ?? store, trace: second)), false)
    }

    private func ofLogs() throws -> (Comparison, isDamaged: Bool) {
        let replay = try policies.makeReplay()
        var sides: [Comparison.Side] = []
        var isDamaged = false
        for log in [first, second] {
            // One each: the same log twice is a fair question.
            let store = try TraceStore(path: "", access: .create)
            Interrupt.onSignal { store.interrupt() }
            let outcome = try ImportStep.run(
                [log], name: nil, options: LogImport.Options(), progress: progress.progress
            ) {
                store
            }
            if case .imported(_, isDamaged: true) = outcome {
                Message.note(
                    "\(log): a part of the log could not be taken; import it and see: iommu-trace report issues")
                isDamaged = true
            }
            _ = try ReplayStep.run(replay, in: store, trace: nil, progress: progress.progress)
            sides.append(Comparison.Side(store, trace: nil))
        }
        return (try Comparison(sides[0], sides[1]), isDamaged)
    }
}
