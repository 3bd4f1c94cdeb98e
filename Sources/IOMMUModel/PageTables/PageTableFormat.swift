/// How one driver lays out its page tables: shapes, entries, and what it does where mappings meet.
///
/// Sizes and geometry follow model.md §3.1. Levels count from the leaf: level 0 holds the smallest pages, as in AMD's
/// driver; VT-d counts from 1, and Arm from the root down.
public protocol PageTableFormat: Sendable {
    /// A short name for reports.
    var name: String { get }
    /// The pages that a map may ask for, the domain's `pgsize_bitmap`.
    var pageSizes: PageSizes { get }
    /// Shapes and limits.
    var geometry: PageTableGeometry { get }
    /// What the driver does where mappings meet.
    var rules: PageTableRules { get }

    /// The entry that points to a table, in a table of `level`.
    ///
    /// - Parameter address: physical address of the table, a multiple of the granule.
    func tableEntry(to address: UInt64, level: Int) -> UInt64

    /// The entry that maps a page, in a table of `level`; every one of ``PageTableGeometry/entryCount(of:)`` entries holds the same.
    ///
    /// - Parameters:
    ///   - target: physical address of the page's first byte, a multiple of `size`.
    ///   - size: bytes of the page, one of ``pageSizes``.
    func leafEntry(to target: UInt64, size: UInt64, level: Int) -> UInt64

    /// What hardware reads in an entry of a table of `level`.
    func decode(_ entry: UInt64, level: Int) -> PageTableEntry
}

/// What an entry of a page table says.
public enum PageTableEntry: Hashable, Sendable {
    /// Nothing is mapped: hardware faults.
    case absent
    /// The walk goes on in the table at a physical address.
    case table(UInt64)
    /// The walk ends: the page of `size` bytes that this entry is (a part) of starts at `target`.
    case leaf(target: UInt64, size: UInt64)
}

/// The shape of a format's tables.
public struct PageTableGeometry: Hashable, Sendable {
    /// log2 of the bytes of the smallest page, which is also the size of a table.
    public let granuleShift: Int
    /// log2 of the entries of a table.
    public let bitsPerLevel: Int
    /// Levels of an empty table.
    public let startLevels: Int
    /// Levels that it can grow to; AMD v1 is the only one that grows at run time.
    public let maxLevels: Int
    /// Bits of an IOVA.
    public let inputBits: Int
    /// Bits of a physical address.
    public let outputBits: Int

    /// A shape of fixed height, or of one that grows from `startLevels` to `maxLevels`.
    public init(
        granuleShift: Int, bitsPerLevel: Int, startLevels: Int, maxLevels: Int? = nil, inputBits: Int, outputBits: Int
    ) {
        self.granuleShift = granuleShift
        self.bitsPerLevel = bitsPerLevel
        self.startLevels = startLevels
        self.maxLevels = maxLevels ?? startLevels
        self.inputBits = inputBits
        self.outputBits = outputBits
    }

    /// Entries of one table.
    public var entriesPerTable: UInt64 { 1 << UInt64(bitsPerLevel) }
    /// Bytes of one table.
    public var tableSize: UInt64 { 1 << UInt64(granuleShift) }

    /// Index of the entry for `iova` in a table of `level` (model.md §3.1, last line).
    public func index(of iova: UInt64, level: Int) -> Int {
        Int(truncatingIfNeeded: (iova >> UInt64(shift(ofLevel: level))) & (entriesPerTable - 1))
    }

    /// The level whose tables hold leaves of `size`, a power of two: AMD's `PAGE_SIZE_LEVEL`.
    public func level(ofPageSize size: UInt64) -> Int {
        max(size.trailingZeroBitCount - granuleShift, 0) / bitsPerLevel
    }

    /// How many entries with the same content a leaf of `size` fills: AMD's `PAGE_SIZE_PTE_COUNT`, 1 elsewhere.
    public func entryCount(of size: UInt64) -> Int {
        1 << (max(size.trailingZeroBitCount - granuleShift, 0) % bitsPerLevel)
    }

    /// Bytes that one entry of a table of `level` covers; 0 from 2^64 on.
    public func entrySize(level: Int) -> UInt64 { 1 << UInt64(shift(ofLevel: level)) }

    /// log2 of the bytes that one entry of a table of `level` covers.
    public func shift(ofLevel level: Int) -> Int { granuleShift + level * bitsPerLevel }

    /// The last IOVA that a table of so many levels translates.
    public func lastAddress(levels: Int) -> UInt64 {
        let bits = min(shift(ofLevel: levels), inputBits)
        return bits < 64 ? 1 << UInt64(bits) &- 1 : .max
    }
}

/// What a driver does where mappings meet: model.md §3.2 to §3.4.
public struct PageTableRules: Hashable, Sendable {
    /// What a map does with something that is in its way.
    public enum OverLive: Hashable, Sendable {
        /// The map fails.
        case fail(PageTableError)
        /// The old entry stays, and the map reports success all the same: VT-d's compare-and-swap from 0.
        case keepOld
        /// The old entry goes, whole.
        case replace
    }

    /// How an unmap goes through the table.
    public enum UnmapWalk: Hashable, Sendable {
        /// VT-d, `intel_iommu_unmap` and `domain_unmap`: clear all that the range touches, whatever it is; free the
        /// tables that lie inside it; report the bytes asked for, holes included.
        ///
        /// The range first grows to the size of the entry at its start, *even if that entry is absent*: then it may
        /// reach, and clear, mappings beyond what was asked for.
        case range
        /// Arm, `__arm_lpae_unmap`: clear entries at the level of the page size, tables there with all that is in
        /// them; end at the first absent one. A larger leaf is split up, or refused with a warning.
        case entries(splitting: Bool)
        /// AMD, `iommu_v1_unmap_pages`: clear leaf after leaf, each whole; keep all tables. An absent entry of the
        /// lowest level counts as unmapped; an absent table ends the unmap, or counts too (4.19).
        case leaves(countingAbsentTables: Bool)
    }

    /// What an unmap of a part of a superpage does.
    public enum PartialUnmap: Hashable, Sendable {
        /// The whole page loses its translation, and more is reported than was asked for.
        case wholeEntry
        /// The part goes, the rest stays at the same addresses in smaller pages.
        case split
        /// Nothing goes.
        case refuse
    }

    /// How an unmap goes through the table.
    public var unmapWalk: UnmapWalk
    /// A smallest page where one is.
    public var overPage: OverLive
    /// A superpage where one is, of the same level.
    public var overSuperpage: OverLive
    /// A page inside a larger one.
    public var insideSuperpage: OverLive
    /// A superpage where a table is, empty or not.
    public var overTable: OverLive
    /// Whether caches of table entries are flushed before an unmap that frees tables returns (Arm's `tlb_flush_walk`);
    /// otherwise the tables wait for the flush that the leaves wait for (model.md §3.4).
    public var flushesWalksAtOnce: Bool

    /// A set of rules.
    public init(
        unmapWalk: UnmapWalk, overPage: OverLive, overSuperpage: OverLive, insideSuperpage: OverLive,
        overTable: OverLive, flushesWalksAtOnce: Bool
    ) {
        self.unmapWalk = unmapWalk
        self.overPage = overPage
        self.overSuperpage = overSuperpage
        self.insideSuperpage = insideSuperpage
        self.overTable = overTable
        self.flushesWalksAtOnce = flushesWalksAtOnce
    }

    /// What an unmap of a part of a superpage does (model.md §3.3).
    public var partialUnmap: PartialUnmap {
        switch unmapWalk {
        case .range, .leaves: .wholeEntry
        case .entries(splitting: true): .split
        case .entries(splitting: false): .refuse
        }
    }
}

/// Why a map failed.
public enum PageTableError: Int32, Error, Hashable, Sendable {
    /// `-ENOMEM`: the table has grown to the limit of the model's memory; AMD up to 4.19, a page inside a superpage.
    case outOfMemory = 12
    /// `-EBUSY`: something is mapped there (AMD up to 4.19).
    case busy = 16
    /// `-EEXIST`: something is mapped there (Arm).
    case exists = 17
    /// `-EINVAL`: no page size of the format, or an address that is no multiple of it.
    case invalid = 22
    /// `-E2BIG`: more pages than ``RadixPageTable/pageLimit``. No kernel says so.
    case tooManyPages = 7
    /// `-ERANGE`: an address beyond the format's.
    case outOfRange = 34

    /// The Linux error number, positive.
    public var errno: Int32 { rawValue }
}
