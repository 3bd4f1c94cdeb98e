/// The hardware that flushes are sent to: a driver in its era, and what the IOMMU says of itself.
public struct Hardware: Hashable, Sendable {
    /// The driver and its era.
    public let profile: HardwareProfile
    /// Whether translations that are absent may be cached: VT-d's caching mode, AMD's NpCache.
    ///
    /// Only emulated IOMMUs say so, so that each map is seen by the hypervisor. The driver then flushes what it maps, and
    /// defers nothing: DMA domains are strict, whatever the command line asked for (model.md §2.7, §4.1, §4.2).
    public let cachesAbsent: Bool

    /// Hardware that caches no absent translation.
    public init(_ profile: HardwareProfile) {
        self.profile = profile
        cachesAbsent = false
    }

    /// `nil` if the profile's hardware has nothing like that.
    public init?(_ profile: HardwareProfile, cachesAbsent: Bool) {
        guard !cachesAbsent || profile.cachingWord != nil else { return nil }
        self.profile = profile
        self.cachesAbsent = cachesAbsent
    }

    /// All that there is, as it is typed: each profile, and each with its word for absent translations that are cached.
    public static let all: [Hardware] = HardwareProfile.allCases.flatMap { profile in
        [Hardware(profile)] + (Hardware(profile, cachesAbsent: true).map { [$0] } ?? [])
    }

    /// Reads `vtd-6.1` or `vtd-6.1,caching-mode`; `nil` if it is none of ``all``.
    public init?(parsing text: String) {
        guard let hardware = Self.all.first(where: { $0.canonical == text }) else { return nil }
        self = hardware
    }

    /// As it is typed.
    public var canonical: String {
        cachesAbsent ? "\(profile.rawValue),\(profile.cachingWord ?? "")" : profile.rawValue
    }
}
