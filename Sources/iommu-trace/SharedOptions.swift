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
        help: ArgumentHelp("The database (default: $IOMMU_TRACE_DB, otherwise \(Self.defaultPath)).", valueName: "file")
    )
    var path: String?

    func open(_ access: TraceStore.Access) throws -> TraceStore {
        let fromEnvironment = ProcessInfo.processInfo.environment["IOMMU_TRACE_DB"].flatMap { $0.isEmpty ? nil : $0 }
        let path = path ?? fromEnvironment ?? Self.defaultPath
        guard !path.isEmpty else { throw UsageError(message: "--db needs the name of a file") }
        let store = try TraceStore(path: path, access: access)
        Interrupt.onSignal { store.interrupt() }
        return store
    }
}

/// `--progress`
struct ProgressOptions: ParsableArguments {
    @Option(help: "Show progress on stderr: auto (on a terminal), always or never.")
    var progress: ProgressLine.Mode = .auto
}

/// `--policy`, `--page-sizes`, `--hz`, `--hardware`, `--iotlb`, `--accesses`, `--windows`, `--since`, `--until`, `--between`
struct PolicyOptions: ParsableArguments {
    @Option(
        name: [.customLong("policy"), .customShort("p")],
        help: ArgumentHelp(
            "A flush policy; may be given several times (default: \(Policy.defaults.map(\.canonical).joined(separator: ", "))).",
            discussion: Policy.grammar, valueName: "policy"))
    var policies: [String] = []

    @Option(
        help: ArgumentHelp(
            "Page sizes of all domains: 4K,2M,1G, or all for every power of two (default: those of --hardware, else 4K,2M,1G).",
            valueName: "sizes"))
    var pageSizes: String?

    @Option(help: ArgumentHelp("The kernel's CONFIG_HZ, for the timer of a flush queue.", valueName: "ticks"))
    var hz: Int64 = TimerWheel.hz250.hz

    @Option(
        help: ArgumentHelp(
            "Count the invalidation commands that flushes become with a driver and its hardware.",
            discussion: HardwareProfile.allCases.map { "\($0.rawValue.padding(to: 11)) \($0.summary)" }
                .joined(separator: "\n") + "\n" + Hardware.cachingHelp,
            valueName: "profile"))
    var hardware: Hardware?

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
            "Which stale windows to keep one by one: all, longest=N of each policy, or none. All are counted.",
            valueName: "which"))
    var windows: String = "longest=100000"

    @Option(
        help: ArgumentHelp(
            "Replay from this time on: seconds of the trace clock, or +T after the first event (+2.5, +250ms).",
            valueName: "time"))
    var since: String?

    @Option(help: ArgumentHelp("Replay up to this time.", valueName: "time"))
    var until: String?

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Replay from the first trace marker that holds one text to the next that holds another.",
            valueName: "marker marker"))
    var between: [String] = []

    private func part() throws -> LogPart {
        guard between.isEmpty else {
            guard between.count == 2, since == nil, until == nil else {
                throw UsageError(
                    message: since == nil && until == nil
                        ? "--between takes two texts, of the trace markers at the begin and at the end"
                        : "--between goes neither with --since nor with --until")
            }
            return .markers(between[0], between[1])
        }
        func moment(_ name: String, _ text: String?) throws -> LogPart.Moment? {
            guard let text else { return nil }
            guard let moment = LogPart.Moment(parsing: text) else {
                throw UsageError(
                    message: "\(name) \(text): give seconds of the trace clock, such as 29.055039, or +T such as +2.5")
            }
            return moment
        }
        guard since != nil || until != nil else { return .whole }
        return .times(since: try moment("--since", since), until: try moment("--until", until))
    }

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
        guard hardware != nil else {
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
        let sizes = try pageSizes.map(Self.pageSizes) ?? hardware?.profile.pageSizes ?? .fourKTwoMOneG
        let wheel = try Self.wheel(hz)
        guard let windows = WindowsKept(parsing: windows) else {
            throw UsageError(message: "--windows \(windows): give all, none or longest=N, N from 1 to 100000000")
        }
        let iotlb = try cacheModel()
        let part = try part()
        let requests =
            policies.isEmpty ? Policy.defaults.map(Replay.Request.init) : try policies.map(Self.request)
        return Replay(
            requests,
            options: ReplayOptions(
                pageSizes: sizes, wheel: wheel, hardware: hardware, iotlb: iotlb, windows: windows,
                part: part))
    }

    /// Reads a policy as typed.
    static func request(_ text: String) throws -> Replay.Request {
        do { return try Replay.Request(text) } catch { throw UsageError(message: error.description) }
    }

    /// Reads `--page-sizes`.
    static func pageSizes(_ text: String) throws -> PageSizes {
        guard let sizes = PageSizes(parsing: text) else {
            throw UsageError(message: "--page-sizes \(text): give powers of two from 4K up, such as 4K,2M,1G, or all")
        }
        return sizes
    }

    /// Reads `--hz`.
    static func wheel(_ hz: Int64) throws -> TimerWheel {
        guard let wheel = TimerWheel(hz: hz) else { throw UsageError(message: "--hz \(hz): give 1 to 10000") }
        return wheel
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

/// `--format` and `-o`
struct OutputOptions: ParsableArguments {
    @Option(
        name: .customLong("format"),
        help: ArgumentHelp("table, json, csv or markdown (default: table).", valueName: "format"))
    var givenFormat: OutputFormat?

    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp(
            "Write to a file instead of standard output; - is standard output (default: -).", valueName: "file"))
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

    fileprivate static let cachingHelp = """
        vtd-…,caching-mode and amd-…,np-cache: an emulated IOMMU that may cache absent translations. Maps flush too, and \
        what fast defers is strict.
        …,iommus=N and …,ats=N: each domain has N IOMMUs (otherwise 1), N devices with a TLB of their own (otherwise 0).
        """
}
