import ArgumentParser
import IOMMUModel
import Replay
import TraceStore

/// `--page-sizes`, `--hz`, `--hardware`, `--since`, `--until`, `--between`: what a replay rests on, whatever the policy
struct ModelOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Page sizes of all domains: 4K,2M,1G, or all for every power of two (default: those of --hardware, else 4K,2M,1G).",
            valueName: "sizes"))
    var pageSizes: String?

    @OptionGroup var timer: TimerOptions

    @Option(
        help: ArgumentHelp(
            "Count the invalidation commands that flushes become with a driver and its hardware.",
            discussion: HardwareProfile.allCases.map { "\($0.rawValue.padding(to: 11)) \($0.summary)" }
                .joined(separator: "\n") + "\n" + Hardware.cachingHelp,
            valueName: "profile"), completion: .list(Hardware.allValueStrings))
    var hardware: Hardware?

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

    func makeOptions() throws -> ReplayOptions {
        let sizes = try pageSizes.map(Self.pageSizes) ?? hardware?.profile.pageSizes ?? .fourKTwoMOneG
        return ReplayOptions(pageSizes: sizes, wheel: try timer.wheel, hardware: hardware, part: try part())
    }

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

    /// Reads `--page-sizes`.
    static func pageSizes(_ text: String) throws -> PageSizes {
        guard let sizes = PageSizes(parsing: text) else {
            throw UsageError(message: "--page-sizes \(text): give powers of two from 4K up, such as 4K,2M,1G, or all")
        }
        return sizes
    }
}

/// `--hz`
struct TimerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The kernel's CONFIG_HZ, for the timer of a flush queue (default: what the trace's metadata says, otherwise \(TimerWheel.hz250.hz)).",
            valueName: "ticks"))
    var hz: Int64?

    /// The kernel's timer; `nil` if it was not given.
    var wheel: TimerWheel? {
        get throws {
            guard let hz else { return nil }
            guard let wheel = TimerWheel(hz: hz) else { throw UsageError(message: "--hz \(hz): give 1 to 10000") }
            return wheel
        }
    }
}
