import ArgumentParser
import Foundation
import Glibc
import Ingest
import Replay
import Synchronization
import Reporting
import TraceFormats
import TraceStore

/// The command line's root: names the subcommands and turns errors into messages and exit codes.
@main
struct IOMMUTrace: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "iommu-trace",
        abstract: "Replays recorded IOMMU workloads under other TLB flush policies.",
        discussion: """
            Import a log of iommu:map and iommu:unmap events, replay it, and read how many TLB flushes each policy costs:

              iommu-trace LOG                     all at once, nothing kept
              iommu-trace import LOG              keep it in \(DatabaseOptions.defaultPath)
              iommu-trace replay                  the newest trace, under three policies
              iommu-trace report savings          the answer: table, json, csv, markdown
            """,
        version: Version.text,
        subcommands: [
            OneShot.self, Import.self, ReplayCommand.self, SweepCommand.self, ReportCommand.self, HistoryCommand.self,
            CompareCommand.self, ValidateCommand.self, Calibrate.self, ExportCommand.self, Info.self, SQL.self,
            List.self,
            Forget.self, SchemaCommand.self, Man.self,
        ],
        defaultSubcommand: OneShot.self)

    static func main() {
        Interrupt.install()
        do {
            if let mistake = FirstWord.mistake(in: Array(CommandLine.arguments.dropFirst())) {
                throw UsageError(message: mistake)
            }
            var command = try parseAsRoot()
            try command.run()
        } catch let status as ExitStatus {
            Glibc.exit(status.rawValue)
        } catch {
            Glibc.exit(report(error).rawValue)
        }
    }

    /// Says what went wrong, on stderr, and which exit code that is.
    private static func report(_ error: any Error) -> ExitStatus {
        switch error {
        case StoreError.interrupted:
            Message.error("interrupted; the database is as it was before")
            return .interrupted
        case let error as LogError:
            Message.error(error.message)
            return .refused
        case let error as ImportError:
            Message.error(error.message)
            return .refused
        case let error as StoreError:
            Message.error(error.message)
            if case .noSuchTrace = error { return .usage }
            return .refused
        case let error as SidecarError:
            Message.error(error.message)
            return .usage
        case let error as CostFileError:
            Message.error(error.description)
            return .refused
        case let error as CalibrationError:
            Message.error(error.description)
            return .refused
        case let error as MissingReport:
            Message.error(error.description)
            return .refused
        case let error as LogPartError:
            Message.error(error.message)
            return .usage
        case let error as UsageError:
            Message.error(error.message)
            return .usage
        case let error as OutputError:
            Message.error(error.message)
            return .refused
        default:
            return reportArguments(error)
        }
    }

    /// Errors of the argument parser; help and version are among them, for stdout and exit code 0.
    private static func reportArguments(_ error: any Error) -> ExitStatus {
        let message = fullMessage(for: error)
        switch exitCode(for: error) {
        case .success:
            let output = TextOutput.standard
            output.print(message)
            do { try output.finish() } catch { return report(error) }
            return .success
        case .validationFailure:
            Message.raw(message + "\n")
            return .usage
        default:
            Message.error(message.hasPrefix("Error: ") ? String(message.dropFirst(7)) : message)
            return .refused
        }
    }
}

/// The exit codes, as the README lists them.
enum ExitStatus: Int32, Error {
    case success = 0
    /// A condition of `--fail-if` holds.
    case finding = 1
    /// The command line cannot be understood.
    case usage = 2
    /// Imported, but a part of the log was damaged.
    case damaged = 3
    /// Nothing was done; or what was done could not be written out, and the message says so.
    case refused = 4
    /// By a signal.
    case interrupted = 130
}

/// Arguments that parse but make no sense.
struct UsageError: Error {
    var message: String
}

/// Output about something that is in the database already.
enum Kept {
    /// Writes it. Where that fails the message says that the rest was done, and the exit code is that of the output.
    static func write(_ what: String, _ body: () throws -> Void) throws {
        do { try body() } catch let error as OutputError {
            Message.error("\(error.message); \(what)")
            throw ExitStatus.refused
        }
    }
}

/// Messages for people, on stderr.
enum Message {
    /// Whether notes are left out.
    static let isQuiet = Mutex(false)

    static func error(_ text: String) {
        let name = Terminal.isStyled(STDERR_FILENO) ? "\u{1b}[1;31miommu-trace:\u{1b}[0m" : "iommu-trace:"
        raw(name + " ")
        write(text)
    }

    static func note(_ text: String) { if !isQuiet.withLock({ $0 }) { write(text) } }

    private static func write(_ text: String) {
        // What a log or a path holds must not reach the terminal as control sequences.
        let clean = text.unicodeScalars.map {
            $0 == "\n" || $0.value >= 32 && $0.value != 127 && !(128...159).contains($0.value) ? String($0) : "?"
        }
        raw(clean.joined() + "\n")
    }

    /// Writes to stderr as it is. If that fails, there is nowhere left to say so.
    static func raw(_ text: String) {
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
    }
}
