import IOMMUModel

/// Which accesses of devices fill an IOTLB: an assumption, for few logs tell of them (design §4 18, 22).
public enum AccessAssumption: String, CaseIterable, Sendable {
    /// None: the cache stays empty.
    case none
    /// A device reads each page once, right after it is mapped.
    case touchOnMap = "touch-on-map"
    /// Those that the log shows.
    case recorded

    /// What it stands for, in a few words.
    public var summary: String {
        switch self {
        case .none: "no access: the cache stays empty"
        case .touchOnMap: "a device reads each page of a map once, right after it"
        case .recorded: "the iotlb_fill lines of the log, as tools/qemu-accesses writes them"
        }
    }
}

/// A finite IOTLB, and what fills it. A simulation: what it does not hold any more, real hardware may.
public struct CacheModel: Hashable, Sendable {
    /// Size, grouping and replacement.
    public let geometry: CacheGeometry
    /// What fills it.
    public let accesses: AccessAssumption

    /// A cache and what fills it.
    public init(_ geometry: CacheGeometry, accesses: AccessAssumption = .touchOnMap) {
        self.geometry = geometry
        self.accesses = accesses
    }

    /// As the options of a replay have it.
    var text: String { "iotlb=\(geometry.canonical) accesses=\(accesses.rawValue)" }
}
