/// A driver as the interface sees it: which callbacks of `iommu_ops` it has, and when what it unmaps is flushed.
///
/// Real drivers stood on different sides of what the interface says (model.md §1.9). The default is what it says.
public struct DriverModel: Sendable {
    /// Members of `iommu_ops` that are not NULL.
    public struct Callbacks: OptionSet, Hashable, Sendable {
        /// A bit for each.
        public let rawValue: UInt16

        /// Any of them.
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// `map`, or `map_pages`.
        public static let map = Callbacks(rawValue: 1 << 0)
        /// `unmap`, or `unmap_pages`.
        public static let unmap = Callbacks(rawValue: 1 << 1)
        /// `map_sg`, up to 4.19: `default_iommu_map_sg` in every driver.
        public static let mapSG = Callbacks(rawValue: 1 << 2)
        /// `flush_iotlb_all`.
        public static let flushTLBAll = Callbacks(rawValue: 1 << 3)
        /// `iotlb_range_add`, up to 5.3.
        public static let tlbRangeAdd = Callbacks(rawValue: 1 << 4)
        /// `iotlb_sync`.
        public static let tlbSync = Callbacks(rawValue: 1 << 5)
        /// `iotlb_sync_map`, from 5.4 on.
        public static let tlbSyncMap = Callbacks(rawValue: 1 << 6)
        /// `iova_to_phys`.
        public static let iovaToPhys = Callbacks(rawValue: 1 << 7)
        /// `attach_dev`.
        public static let attachDevice = Callbacks(rawValue: 1 << 8)
        /// `detach_dev`.
        public static let detachDevice = Callbacks(rawValue: 1 << 9)

        /// All of them.
        public static let all = Callbacks(rawValue: (1 << 10) - 1)
        /// None of the three by which the interface flushes.
        public static let withoutFlushes = all.subtracting([.flushTLBAll, .tlbRangeAdd, .tlbSync])
    }

    /// When the hardware hears of what an unmap removed.
    public enum Flushing: Hashable, Sendable {
        /// At the sync, range by range: what the interface says.
        case rangesAtSync
        /// At the sync, the whole domain; range_add is an empty function (AMD 4.17 to 5.12).
        case domainAtSync
        /// Inside each unmap callback, which waits for it: unmap_fast is as slow as unmap (Intel up to 5.3).
        case insideUnmap
    }

    /// How page tables are laid out.
    public var format: any PageTableFormat
    /// Which callbacks there are.
    public var callbacks: Callbacks
    /// When unmaps are flushed.
    public var flushing: Flushing
    /// What ends a span of the gather (5.4 and later).
    public var gathering: Gather.Rule
    /// A sync of an empty gather flushes the whole domain: its range, from 2^64 - 1 to 0, reads as everything with VT-d and
    /// AMD of today (model.md §1.6).
    public var emptySyncFlushesDomain: Bool
    /// `IOMMU_CAP_DEFERRED_FLUSH`: without it a domain asked for as DMA-FQ is a DMA domain (model.md §2.7).
    public var canDeferFlushes: Bool

    /// A driver with all callbacks that does what the interface says.
    public init(
        format: any PageTableFormat, callbacks: Callbacks = .all, flushing: Flushing = .rangesAtSync,
        gathering: Gather.Rule = .callbacks, emptySyncFlushesDomain: Bool = false, canDeferFlushes: Bool = true
    ) {
        self.format = format
        self.callbacks = callbacks
        self.flushing = flushing
        self.gathering = gathering
        self.emptySyncFlushesDomain = emptySyncFlushesDomain
        self.canDeferFlushes = canDeferFlushes
    }

    /// Intel up to 5.3: no flush callbacks, `unmap` flushes and waits.
    public static func flushingInUnmap(_ format: any PageTableFormat) -> DriverModel {
        DriverModel(format: format, callbacks: .withoutFlushes, flushing: .insideUnmap)
    }

    /// AMD 4.17 to 5.12: a sync flushes the domain.
    public static func flushingDomains(_ format: any PageTableFormat) -> DriverModel {
        DriverModel(format: format, flushing: .domainAtSync, gathering: .anything)
    }
}
