/// Which kernel's `drivers/iommu/iommu.c` is followed: the interface has kept its shape, but not its details.
public enum InterfaceEra: Int, CaseIterable, Comparable, Sendable {
    /// 4.15 and 4.16, where unmap_fast, range_add and sync were founded.
    case v415
    /// 4.17 to 5.3.
    case v419
    /// 5.4 to 5.14: callers gather what they unmap, and the sync is theirs.
    case v54
    /// 5.15 to 7.0, as 6.12 has it: callbacks take runs of pages.
    case v612
    /// 7.1 and later: a map that fails is told of, a sync of nothing is none, and drivers with generic page tables are called once.
    case v71

    /// Older eras come first.
    public static func < (left: InterfaceEra, right: InterfaceEra) -> Bool { left.rawValue < right.rawValue }

    /// Ranges to flush are recorded in the domain, by range_add, and not in a gather (model.md §1.5, §1.6).
    public var recordsRangesInDomain: Bool { self < .v54 }
    /// An unmap that is refused returns the error as a `size_t`, a huge number; later ones return 0 (model.md §1.5).
    public var returnsUnmapErrorsAsSizes: Bool { self == .v415 }
    /// A callback maps or unmaps several pages of one size: `map_pages`, `unmap_pages` (model.md §1.4).
    public var callbacksTakeRuns: Bool { self >= .v612 }
    /// A driver with generic page tables maps or unmaps a whole call in one callback: `map_range`, `unmap_range` (model.md §1.11).
    public var callbacksTakeCalls: Bool { self >= .v71 }
    /// A map that fails has an event too, of the bytes that were mapped (model.md §1.11).
    public var tracesFailedMaps: Bool { self >= .v71 }
    /// `iommu_iotlb_sync` does not call the driver if nothing was gathered (model.md §1.11).
    public var skipsEmptySyncs: Bool { self >= .v71 }
    /// `iommu_map` looks at the domain's type before it looks for the callback (model.md §1.3).
    var checksTypeFirst: Bool { self >= .v612 }
    /// `iommu_map` tells the driver when it is done: `iotlb_sync_map` (model.md §1.3).
    var syncsMaps: Bool { self >= .v54 }
    /// `map_sg` is a driver's callback, one map call for each element (model.md §1.8).
    var mapSGIsCallback: Bool { self < .v54 }
    /// `iommu_map_sg` returns its error; before, it returned 0 bytes (model.md §1.8).
    var mapSGReturnsErrors: Bool { self >= .v612 }
    /// There are domains of type DMA-FQ; before, a queue was the driver's own affair.
    public var hasFlushQueueDomains: Bool { self >= .v612 }
    /// Pages of a direct mapping that follow each other are mapped by one call (model.md §1.7).
    var joinsDirectMappings: Bool { self >= .v612 }
    /// Leaving a domain shows as `detach_device_from_domain`; later, only what follows shows (model.md §7.1).
    var tracesDetach: Bool { self < .v612 }
    /// Only a group in its default domain, or in none, can be attached; before, one without a default domain always could.
    var refusesToTakeOver: Bool { self >= .v612 }
    /// If one device of a group cannot be attached, those before it go back.
    var undoesGroupAttach: Bool { self >= .v612 }
}
