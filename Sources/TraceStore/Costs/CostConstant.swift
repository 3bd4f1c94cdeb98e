/// How long one step takes, as an interval in nanoseconds: what report costs multiplies counts with (design §4 21).
public struct CostConstant: Hashable, Sendable, Codable {
    /// The constants that there are. The raw value is the word in a cost file.
    public enum Name: String, CaseIterable, Sendable, Codable {
        /// Page-table work of a map of one entry.
        case mapBase = "map_base"
        /// Each entry more of a map.
        case mapEntry = "map_pte"
        /// Page-table work of an unmap of one entry.
        case unmapBase = "unmap_base"
        /// Each entry more of an unmap.
        case unmapEntry = "unmap_pte"
        /// `alloc_iova_fast` out of its caches.
        case iovaAlloc = "iova_alloc"
        /// `free_iova_fast` into its caches.
        case iovaFree = "iova_free"
        /// `queue_iova`.
        case queueEntry = "queue_entry"
        /// A sync where no hardware profile says more: first command and wait.
        case sync
        /// A submission under a vtd profile: first command and wait.
        case syncVTd = "sync.vtd"
        /// A submission under an amd profile: first command and wait.
        case syncAMD = "sync.amd"
        /// A submission under an smmuv3 profile: first command and wait.
        case syncSMMUv3 = "sync.smmuv3"
        /// Each command of a submission after the first.
        case command
        /// A flush of a whole domain: command and wait.
        case flushAll = "flush_all"
        /// A device TLB's invalidation, beside the IOTLB's.
        case deviceTLB = "device_tlb"
        /// A device's access that misses the IOTLB.
        case iotlbMiss = "iotlb_miss"
        /// A device's access that hits the IOTLB.
        case iotlbHit = "iotlb_hit"

        /// What takes so long.
        public var meaning: String {
            switch self {
            case .mapBase: "page-table work of a map of one entry"
            case .mapEntry: "each entry more of a map"
            case .unmapBase: "page-table work of an unmap of one entry"
            case .unmapEntry: "each entry more of an unmap"
            case .iovaAlloc: "allocating an IOVA from the caches"
            case .iovaFree: "freeing an IOVA into the caches"
            case .queueEntry: "queueing an unmap in a flush queue"
            case .sync: "a sync, no hardware profile: first command and wait"
            case .syncVTd: "a submission under a vtd profile: first command and wait"
            case .syncAMD: "a submission under an amd profile: first command and wait"
            case .syncSMMUv3: "a submission under an smmuv3 profile: first command and wait"
            case .command: "each command of a submission after the first"
            case .flushAll: "a flush of a whole domain: command and wait"
            case .deviceTLB: "a device TLB's invalidation, beside the IOTLB's"
            case .iotlbMiss: "a device's access that misses the IOTLB"
            case .iotlbHit: "a device's access that hits the IOTLB"
            }
        }

        /// The part of report costs that uses it; `nil` for those that are there for users' own queries.
        public var part: String? {
            switch self {
            case .unmapBase, .unmapEntry: "page table"
            case .queueEntry: "queue"
            case .sync, .syncVTd, .syncAMD, .syncSMMUv3, .command, .flushAll: "flush"
            case .mapBase, .mapEntry, .iovaAlloc, .iovaFree, .deviceTLB, .iotlbMiss, .iotlbHit: nil
            }
        }
    }

    /// How a constant is known.
    public enum Evidence: String, CaseIterable, Sendable, Codable {
        /// Somebody measured it.
        case measured
        /// Told by somebody who knows.
        case hearsay
        /// It follows from a log.
        case inferred
        /// Nobody published a figure.
        case assumption
    }

    /// Which constant.
    public var name: Name
    /// Low end of the interval, ns.
    public var low: Double
    /// What is taken for one figure, ns.
    public var typical: Double
    /// High end of the interval, ns.
    public var high: Double
    /// How it is known.
    public var evidence: Evidence
    /// Who says so, and of what machine.
    public var source: String
    /// The file that it stands in.
    public var file: String

    /// Creates a constant.
    public init(
        _ name: Name, low: Double, typical: Double, high: Double, evidence: Evidence, source: String, file: String
    ) {
        self.name = name
        self.low = low
        self.typical = typical
        self.high = high
        self.evidence = evidence
        self.source = source
        self.file = file
    }
}
