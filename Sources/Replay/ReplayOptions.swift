import FlushSchedules
import IOMMUModel
import TraceStore

/// What a replay rests on beside the policy. Stored with it, as far as the policy depends on it.
public struct ReplayOptions: Sendable {
    /// The page sizes of all domains: no log tells them.
    public var pageSizes: PageSizes
    /// The kernel's timer.
    public private(set) var wheel: TimerWheel
    /// Who says how fast ``wheel`` ticks: `--hz`, `default`, or what the trace's metadata has it from.
    public private(set) var hzFrom: String
    /// The driver by whose rules callers gather and page tables are called back.
    private(set) var driver: HardwareProfile.Rules
    /// Which commands flushes become; `nil` if that is not asked.
    public var hardware: Hardware?
    /// The IOTLB that those commands empty; `nil` if that is not asked, or there is no ``hardware``.
    public var iotlb: CacheModel?
    /// The stale windows that become rows of their own. No other figure depends on it.
    public var windows: WindowsKept
    /// The part of the log that is replayed.
    public var part: LogPart
    /// How much of it is kept. No figure depends on it.
    var detail = Detail.full

    /// What a replay keeps beside counts, sums and percentiles of the trace and its domains.
    enum Detail {
        /// Flushes and hazards one by one, steps of time, and the same by device and task.
        case full
        /// Nothing.
        case sums
    }

    /// 4K, 2M and 1G pages, the trace's own HZ or 250, the longest 100,000 windows, the whole log.
    public init(
        pageSizes: PageSizes = .fourKTwoMOneG, wheel: TimerWheel? = nil, hardware: Hardware? = nil,
        iotlb: CacheModel? = nil, windows: WindowsKept = .default, part: LogPart = .whole
    ) {
        self.pageSizes = pageSizes
        self.wheel = wheel ?? .hz250
        hzFrom = wheel == nil ? "default" : "--hz"
        self.hardware = hardware
        driver = hardware.map(HardwareProfile.Rules.init) ?? .assumed
        self.iotlb = hardware == nil ? nil : iotlb
        self.windows = windows
        self.part = part
    }

    /// Takes the trace's own HZ and the rules of its own driver, if they are known and none were asked for.
    func adopting(_ trace: TraceSummary) -> ReplayOptions {
        var options = self
        if hzFrom == "default", let hz = trace.hz, let wheel = TimerWheel(hz: hz.ticks) {
            (options.wheel, options.hzFrom) = (wheel, hz.source)
        }
        if hardware == nil, let profile = HardwareProfile.recorded(in: trace) {
            options.driver = HardwareProfile.Rules(Hardware(profile))
        }
        return options
    }

    /// The options that the figures of a policy depend on, `name=value` joined by spaces.
    func text(for policy: Policy, _ part: TraceSummary.Part) -> String {
        let sizes = "page-sizes=\(pageSizes.text)"
        let hz = "hz=\(wheel.hz)"
        var words: [String] =
            switch policy {
            case .perPage, .vfio: [sizes] + driver.words
            case .queue, .singleQueue: [hz]
            case .fast: [sizes, hz] + driver.words
            case .sync, .recorded, .iommufd, .batch, .every, .end: []
            }
        if let hardware {
            words.removeAll { $0.hasPrefix("driver=") }
            if !words.contains(sizes) { words.insert(sizes, at: 0) }
            words.append("hardware=\(hardware.canonical)")
        }
        if let iotlb { words.append(iotlb.text) }
        if !part.isWhole { words += ["from=\(part.firstTime)ns", "to=\(part.lastTime)ns"] }
        return words.joined(separator: " ")
    }
}

extension HardwareProfile {
    /// What of a driver decides when callers flush, whatever the hardware is told then.
    struct Rules: Hashable, Sendable {
        /// What ends a span of the gather.
        var gatherRule: Gather.Rule
        /// Whether one page-table callback takes a whole call.
        var callbacksTakeCalls: Bool
        /// The profile that it is of; `nil` where nothing tells.
        var profile: HardwareProfile?

        init(_ hardware: Hardware) {
            gatherRule = hardware.gatherRule
            callbacksTakeCalls = hardware.profile.callbacksTakeCalls
            profile = hardware.profile
        }

        private init() { (gatherRule, callbacksTakeCalls, profile) = (.callbacks, false, nil) }

        /// Intel's of 5.4 to 6.18, where nothing tells.
        static let assumed = Rules()

        /// What a replay's options say of them: nothing where they are those that are assumed.
        var words: [String] {
            guard let profile, gatherRule != Self.assumed.gatherRule || callbacksTakeCalls else { return [] }
            return ["driver=\(profile.rawValue)"]
        }
    }
}

extension Policy {
    /// Whether the kernel's timer has a part in it.
    var hasTimer: Bool {
        switch self {
        case .queue, .singleQueue, .fast: true
        case .perPage, .vfio, .iommufd, .sync, .recorded, .batch, .every, .end: false
        }
    }
}

extension PageSizes {
    /// Reads `4K,2M,1G` or `all` (every power of two from 4K up); `nil` if that is neither.
    public init?(parsing text: String) {
        if text == "all" {
            self = .everyPowerOfTwo
            return
        }
        var bitmap: UInt64 = 0
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let suffix = part.last, let unit = Self.units[suffix], part.first?.isNumber == true,
                let number = UInt64(part.dropLast())
            else {
                return nil
            }
            let (size, overflow) = number.multipliedReportingOverflow(by: unit)
            guard !overflow, size.nonzeroBitCount == 1 else { return nil }
            bitmap |= size
        }
        self.init(bitmap: bitmap)
    }

    private static let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]

    /// As it is typed: `4K,2M,1G` or `all`.
    public var text: String {
        if self == .everyPowerOfTwo { return "all" }
        return (12..<64).filter { bitmap >> $0 & 1 != 0 }.map { shift in
            let unit = min(shift / 10, 4)
            return "\(UInt64(1) << UInt64(shift - unit * 10))\(["", "K", "M", "G", "T"][unit])"
        }.joined(separator: ",")
    }
}
