import FlushSchedules
import ArgumentParser
import Foundation
import Glibc
import Replay
import Reporting
import TraceStore
import IOMMUModel

/// `--db`
struct DatabaseOptions: ParsableArguments {
    static let defaultPath = "iommu-trace.db"

    @Option(
        name: .customLong("db"),
        help: ArgumentHelp(
            "The database (default: $IOMMU_TRACE_DB, otherwise \(Self.defaultPath)).", valueName: "file"),
        completion: .file())
    var path: String?

    /// The file's name as it was given, or by default.
    var file: String {
        let fromEnvironment = ProcessInfo.processInfo.environment["IOMMU_TRACE_DB"].flatMap { $0.isEmpty ? nil : $0 }
        return path ?? fromEnvironment ?? Self.defaultPath
    }

    func open(_ access: TraceStore.Access) throws -> TraceStore {
        let path = file
        guard !path.isEmpty else { throw UsageError(message: "--db needs the name of a file") }
        let store = try TraceStore(path: path, access: access)
        Interrupt.onSignal { store.interrupt() }
        return store
    }

    /// A command to be pasted, on the database that was given with this one.
    func command(_ words: [String]) -> String {
        (["iommu-trace"] + words.map(\.quotedForShell)).joined(separator: " ") + suffix
    }

    /// A command to be pasted, on the database that was given with this one.
    func command(_ words: String...) -> String { command(words) }

    /// ` --db FILE`, where that was given: the variable and the default hold for the next command, too.
    private var suffix: String { path.map { " --db \($0.quotedForShell)" } ?? "" }
}

extension String {
    /// As one word of a shell's command line.
    var quotedForShell: String {
        let isPlain =
            !isEmpty
            && unicodeScalars.allSatisfy { scalar in
                scalar.isASCII
                    && (scalar.properties.isAlphabetic || "0123456789+,-./:=@_%".unicodeScalars.contains(scalar))
            }
        return isPlain ? self : "'" + replacing("'", with: "'\\''") + "'"
    }
}

/// `--quiet`
struct MessageOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Say nothing on stderr but what went wrong.")
    var quiet = false

    func validate() { if quiet { Message.isQuiet.withLock { $0 = true } } }
}

/// `--progress` and `--quiet`
struct ProgressOptions: ParsableArguments {
    @Option(
        name: .customLong("progress"), help: "Show progress on stderr; auto: on a terminal (default: auto).")
    var mode: ProgressLine.Mode?

    @OptionGroup var messages: MessageOptions

    var progress: ProgressLine.Mode { mode ?? (messages.quiet ? .never : .auto) }
}

/// `--policy`, `--iotlb`, `--accesses`, `--windows`, and what ``ModelOptions`` has
struct PolicyOptions: ParsableArguments {
    @Option(
        name: [.customLong("policy"), .customShort("p")],
        help: ArgumentHelp(
            "A flush policy; may be given several times (default: \(Policy.defaults.map(\.canonical).joined(separator: ", "))).",
            discussion: Policy.grammar, valueName: "policy"), completion: .policies)
    var policies: [String] = []

    @OptionGroup var model: ModelOptions

    @Option(
        help: ArgumentHelp(
            "Simulate an IOTLB that those commands empty; needs --hardware.",
            discussion: CacheGeometry.grammar + "\nThese are figures of simulators and emulators, none is a vendor's.",
            valueName: "geometry"))
    var iotlb: String?

    @Option(
        help: ArgumentHelp(
            "What fills it: an assumption, which each report names (default: \(AccessAssumption.touchOnMap.rawValue)).",
            discussion: AccessAssumption.allCases.map { "\($0.rawValue.padding(to: 13)) \($0.summary)" }
                .joined(separator: "\n"),
            valueName: "assumption"))
    var accesses: String?

    @Option(
        help: ArgumentHelp(
            "Which stale windows to keep one by one: all, longest=N of each policy, or none. All are counted (default: longest=100000).",
            valueName: "which"))
    var windows: String?

    private func cacheModel() throws -> CacheModel? {
        guard let iotlb else {
            if accesses != nil { throw UsageError(message: "--accesses fills an IOTLB: it goes with --iotlb") }
            return nil
        }
        let geometry: CacheGeometry
        do {
            geometry = try CacheGeometry(parsing: iotlb)
        } catch {
            throw UsageError(message: "--iotlb: \(error.description)")
        }
        guard model.hardware != nil else {
            throw UsageError(
                message: "--iotlb needs --hardware: which commands empty it depends on the driver, such as vtd-6.12")
        }
        guard let accesses else { return CacheModel(geometry) }
        guard let assumption = AccessAssumption(rawValue: accesses) else {
            throw UsageError(
                message: "--accesses \(accesses): give "
                    + AccessAssumption.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return CacheModel(geometry, accesses: assumption)
    }

    func makeReplay() throws -> Replay {
        var options = try model.makeOptions()
        if let windows {
            guard let kept = WindowsKept(parsing: windows) else {
                throw UsageError(message: "--windows \(windows): give all, none or longest=N, N from 1 to 100000000")
            }
            options.windows = kept
        }
        options.iotlb = try cacheModel()
        let requests =
            policies.isEmpty ? Policy.defaults.map(Replay.Request.init) : try policies.map(Self.request)
        return Replay(requests, options: options)
    }

    /// Reads a policy as typed.
    static func request(_ text: String) throws -> Replay.Request {
        do { return try Replay.Request(text) } catch { throw UsageError(message: error.description) }
    }

    /// The options of these that were given, as they are typed.
    var given: [String] {
        let all = [
            ("--policy", !policies.isEmpty), ("--page-sizes", model.pageSizes != nil), ("--hz", model.timer.hz != nil),
            ("--hardware", model.hardware != nil), ("--since", model.since != nil), ("--until", model.until != nil),
            ("--between", !model.between.isEmpty), ("--iotlb", iotlb != nil), ("--accesses", accesses != nil),
            ("--windows", windows != nil),
        ]
        return all.filter(\.1).map(\.0)
    }
}

/// `--ticks-per-second`
struct ClockOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "For a log whose times are bare counts (trace clocks counter, uptime, x86-tsc): how many make a second.",
            valueName: "n"))
    var ticksPerSecond: String?

    /// The number; `nil` if none was given.
    var ticks: UInt64? {
        get throws {
            guard let ticksPerSecond else { return nil }
            guard let ticks = UInt64(ticksPerSecond), (1...1_000_000_000_000).contains(ticks) else {
                throw UsageError(message: "--ticks-per-second \(ticksPerSecond): give a whole number from 1 to 10^12")
            }
            return ticks
        }
    }
}

/// `--assume-single-domain`
struct DomainOptions: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Take all operations that name no domain for those of one.",
            discussion: "Otherwise descriptors, events of the DMA API and overlaps tell, as far as they go."))
    var assumeSingleDomain = false
}

/// `--metadata`
struct MetadataOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A folder of files that say what the log does not: uname, cmdline, group_types, hz, trace_clock, stats, dmesg.",
            discussion: "Default: the folder LOG.meta beside the log, nvme.meta for nvme.txt.gz, if there is one.",
            valueName: "folder"))
    var metadata: String?
}

/// `--format` and `-o`
struct OutputOptions: ParsableArguments {
    @Option(
        name: .customLong("format"),
        help: ArgumentHelp(
            "How rows are written (default: table); a table leaves out columns that are empty in all rows.",
            valueName: "format"))
    var givenFormat: OutputFormat?

    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp(
            "Write to a file instead of standard output; - is standard output (default: -).", valueName: "file"),
        completion: .file())
    var givenOutput: String?

    /// How rows are written.
    var format: OutputFormat { givenFormat ?? .table }

    func write(_ body: (TextOutput) throws -> Void) throws { try OutputFile.write(givenOutput ?? "-", body) }
}

/// Where `-o` leads.
enum OutputFile {
    static func write(_ output: String, _ body: (TextOutput) throws -> Void) throws {
        if output != "-", Self.isDatabase(output) {
            throw UsageError(
                message: "\(output): is an SQLite database and is not overwritten; name another file with -o")
        }
        let text = output == "-" ? TextOutput.standard : .file(output)
        try body(text)
        try text.finish()
    }

    /// Whether a file is an SQLite database: `-o` and `--db` are easily mixed up.
    private static func isDatabase(_ path: String) -> Bool {
        var status = stat()
        // A pipe, say, is not opened twice.
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            let file = FileHandle(forReadingAtPath: path)
        else { return false }
        defer { try? file.close() }
        return (try? file.read(upToCount: 16)) == Data("SQLite format 3\0".utf8)
    }
}

extension OutputFormat: ExpressibleByArgument {}
extension Hardware: ExpressibleByArgument {
    /// Reads a profile with its word for cached absent translations.
    public init?(argument: String) { self.init(parsing: argument) }

    /// What may be typed.
    public static var allValueStrings: [String] { all.map(\.canonical) }
    /// As it is typed.
    public var defaultValueDescription: String { canonical }

    static let cachingHelp = """
        vtd-…,caching-mode and amd-…,np-cache: an emulated IOMMU that may cache absent translations. Maps flush too, and \
        what fast defers is strict.
        …,iommus=N and …,ats=N: each domain has N IOMMUs (otherwise 1), N devices with a TLB of their own (otherwise 0).
        """
}
