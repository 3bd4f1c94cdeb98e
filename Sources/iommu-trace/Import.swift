import ArgumentParser
import Foundation
import Ingest
import Reporting
import TraceFormats
import TraceStore

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Imports logs into the database.",
        discussion: """
            A log is text or a trace.dat of trace-cmd; plain or compressed with gzip, zstd or xz; from a file or - for \
            standard input. Text is ftrace's, as `cat /sys/kernel/tracing/trace` prints it, in any of its formats; what \
            `trace-cmd report` or `perf script` prints; the kernel log with dynamic debug; or a mail that quotes them. Each log \
            becomes a trace; the same log twice changes nothing. What must be unpacked first, a compressed trace.dat, goes to a \
            temporary file in TMPDIR. With --merge all logs are parts of one recording, such as one file for each CPU, and \
            become one trace in the order of time.

              iommu-trace import nvme.txt.gz trace.dat
              iommu-trace import --merge cpu0.txt cpu1.txt --name host
              ssh host cat /sys/kernel/tracing/trace | iommu-trace import - --name remote

            Exit code 3: imported, but a part of the log was damaged (see: iommu-trace report issues). 4: refused; or imported, but \
            the summary could not be written, as the message says.
            """)

    @Argument(help: ArgumentHelp("The logs; - is standard input.", valueName: "log"), completion: .file())
    var logs: [String]

    @Option(
        help: ArgumentHelp(
            "What to call the trace: a name that no other has (default: the file's name without endings, and a number where that is taken).",
            valueName: "name"))
    var name: String?

    @Flag(help: "The logs are parts of one recording, on one clock: make one trace of them, in the order of time.")
    var merge = false

    @Flag(help: "Refuse a log at the first thing in it that cannot be taken as it stands (exit code 4).")
    var strict = false

    @OptionGroup var metadata: MetadataOptions
    @OptionGroup var domains: DomainOptions
    @OptionGroup var clock: ClockOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var progress: ProgressOptions

    func validate() throws {
        if name != nil, logs.count > 1, !merge {
            throw ValidationError("--name goes with one log only, or with --merge.")
        }
        if name?.isEmpty == true {
            throw ValidationError("--name '': a trace needs a name; leave --name out for that of the file.")
        }
        if merge, logs.count(where: { $0 == "-" }) > 1 { throw ValidationError("standard input can be one part only.") }
        if logs.count > LogImport.mostParts, merge {
            throw ValidationError("--merge takes at most \(LogImport.mostParts) logs.")
        }
        if metadata.metadata != nil, logs.count > 1, !merge {
            throw ValidationError("--metadata goes with one log only, or with --merge.")
        }
    }

    func run() throws {
        let options = LogImport.Options(
            ticksPerSecond: try clock.ticks, isStrict: strict, assumesSingleDomain: domains.assumeSingleDomain,
            metadata: metadata.metadata)
        var store: TraceStore?
        var worst = ExitStatus.success
        for files in merge ? [logs] : logs.map({ [$0] }) {
            let log = files.joined(separator: " + ")
            do {
                let outcome = try ImportStep.run(files, name: name, options: options, progress: progress.progress) {
                    let opened = try store ?? database.open(.create)
                    store = opened
                    return opened
                }
                switch outcome {
                case .alreadyThere(let name):
                    Message.note(
                        "\(log): is in the database already, as trace \(name); nothing was changed"
                            + (metadata.metadata == nil ? "" : " (forget it first to import it with other metadata)"))
                case .imported(let name, let isDamaged):
                    if let store {
                        do { try describe(name, in: store) } catch let status as ExitStatus {
                            worst = max(worst, status)
                        }
                    }
                    if isDamaged {
                        Message.note(
                            "\(log): a part could not be taken: "
                                + database.command("report", "issues", "--trace", name))
                        worst = max(worst, .damaged)
                    }
                }
            } catch {
                // One refused log does not keep the others out; an unusable database or a signal does.
                guard logs.count > 1, !merge, ImportStep.isAboutTheLog(error) else { throw error }
                Message.error("\(error)")
                worst = .refused
            }
        }
        if worst != .success { throw worst }
    }

    private func describe(_ trace: String, in store: TraceStore) throws {
        guard !progress.messages.quiet else { return }
        try Kept.write("trace \(trace) was imported; see: \(database.command("info", "--trace", trace))") {
            let output = TextOutput.standard
            try TraceDescription.write(from: store, trace: trace, to: output)
            try output.finish()
        }
    }

    private func max(_ left: ExitStatus, _ right: ExitStatus) -> ExitStatus {
        left.rawValue > right.rawValue ? left : right
    }
}

/// An import with its progress line.
enum ImportStep {
    static func run(
        _ files: [String], name: String?, options: LogImport.Options, progress: ProgressLine.Mode,
        openStore: () throws -> TraceStore
    ) throws -> LogImport.Outcome {
        let line = ProgressLine("import", progress)
        defer { line.finish() }
        let logImport = LogImport(
            paths: files, name: name, options: options,
            progress: { line.show(done: $0.bytes, of: $0.totalBytes, items: $0.events, named: "events") },
            isCancelled: { Interrupt.hasCome })
        return try logImport.run(openStore: openStore)
    }

    static func isAboutTheLog(_ error: any Error) -> Bool {
        error is LogError || error is ImportError || error is SidecarError
    }
}
