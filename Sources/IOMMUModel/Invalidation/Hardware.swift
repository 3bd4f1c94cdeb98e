/// The hardware that flushes are sent to: a driver in its era, and what the IOMMU says of itself.
public struct Hardware: Hashable, Sendable {
    /// The driver and its era.
    public let profile: HardwareProfile
    /// Whether translations that are absent may be cached: VT-d's caching mode, AMD's NpCache.
    ///
    /// Only emulated IOMMUs say so, so that each map is seen by the hypervisor. The driver then flushes what it maps, and
    /// defers nothing: DMA domains are strict, whatever the command line asked for (model.md §2.7, §4.1, §4.2).
    public let cachesAbsent: Bool
    /// Whether domains have first-stage tables: VT-d's scalable mode, whose commands name a PASID (model.md §4.1).
    public let isFirstStage: Bool
    /// Whether one command may name a range that is no page: RISC-V's capability S.
    public let hasRanges: Bool
    /// IOMMUs that each domain is attached to, at least one: each is told of each flush.
    public let units: Int
    /// Devices of each domain that have a TLB of their own (ATS): each is told of each flush.
    public let deviceTLBs: Int

    /// More of either than this is no machine.
    public static let maximumCount = 1024

    /// One IOMMU that caches no absent translation, and no device with a TLB.
    public init(_ profile: HardwareProfile) {
        self.init(uncheckedProfile: profile, cachesAbsent: false)
    }

    /// `nil` if the profile's hardware has nothing like that, or numbers are out of range: 1 to ``maximumCount`` units, at most so
    /// many devices.
    public init?(
        _ profile: HardwareProfile, cachesAbsent: Bool = false, isFirstStage: Bool = false, hasRanges: Bool = false,
        units: Int = 1, deviceTLBs: Int = 0
    ) {
        guard !cachesAbsent || profile.cachingWord != nil, !isFirstStage || profile.hasFirstStage,
            !hasRanges || profile.hasRanges, (1...Self.maximumCount).contains(units),
            (0...Self.maximumCount).contains(deviceTLBs),
            profile != .contract || units == 1 && deviceTLBs == 0
        else { return nil }
        self.init(
            uncheckedProfile: profile, cachesAbsent: cachesAbsent, isFirstStage: isFirstStage, hasRanges: hasRanges,
            units: units, deviceTLBs: deviceTLBs)
    }

    private init(
        uncheckedProfile profile: HardwareProfile, cachesAbsent: Bool, isFirstStage: Bool = false,
        hasRanges: Bool = false, units: Int = 1, deviceTLBs: Int = 0
    ) {
        self.profile = profile
        self.cachesAbsent = cachesAbsent
        self.isFirstStage = isFirstStage
        self.hasRanges = hasRanges
        self.units = units
        self.deviceTLBs = deviceTLBs
    }

    /// All that there is, as it is typed, but for numbers: each profile, and each with each of its words alone.
    public static let all: [Hardware] = HardwareProfile.allCases.flatMap { profile in
        [
            Hardware(profile), Hardware(profile, cachesAbsent: true), Hardware(profile, isFirstStage: true),
            Hardware(profile, hasRanges: true),
        ].compactMap { $0 }
    }

    /// What ends a span of what is gathered. Before there was a gather, and where a sync flushes all, nothing does.
    public var gatherRule: Gather.Rule {
        guard case .spans(let rule) = profile.collecting else { return .anything }
        return rule == .anything && cachesAbsent && profile.driver == .amd ? .gaps : rule
    }

    /// Reads `vtd-6.1`, `vtd-6.1,caching-mode`, `amd-6,iommus=2,ats=1`; `nil` if it is nothing like that.
    public init?(parsing text: String) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard let profile = HardwareProfile(rawValue: String(parts[0])) else { return nil }
        var (cachesAbsent, isFirstStage, hasRanges, units, deviceTLBs) = (false, false, false, 1, 0)
        var seen: Set<Substring> = []
        for part in parts.dropFirst() {
            let words = part.split(separator: "=", omittingEmptySubsequences: false)
            guard seen.insert(words[0]).inserted else { return nil }
            let number = words.count == 2 && words[1].allSatisfy { $0.isASCII && $0.isNumber } ? Int(words[1]) : nil
            switch (words[0], number) {
            case ("iommus", let number?): units = number
            case ("ats", let number?): deviceTLBs = number
            case ("first-stage", nil) where words.count == 1: isFirstStage = true
            case ("ranges", nil) where words.count == 1: hasRanges = true
            case (let word, nil) where words.count == 1 && word == profile.cachingWord ?? "": cachesAbsent = true
            default: return nil
            }
        }
        self.init(
            profile, cachesAbsent: cachesAbsent, isFirstStage: isFirstStage, hasRanges: hasRanges, units: units,
            deviceTLBs: deviceTLBs)
    }

    /// The one way of writing it.
    public var canonical: String {
        var text = profile.rawValue
        if cachesAbsent, let word = profile.cachingWord { text += ",\(word)" }
        if isFirstStage { text += ",first-stage" }
        if hasRanges { text += ",ranges" }
        if units > 1 { text += ",iommus=\(units)" }
        if deviceTLBs > 0 { text += ",ats=\(deviceTLBs)" }
        return text
    }
}
