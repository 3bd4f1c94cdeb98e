/// AMD v1 tables, `drivers/iommu/amd/io_pgtable.c` (model.md §3.1).
///
/// A page of any power of two is 2^n equal entries side by side, and grows past a table's end into the next level. The
/// entries say how large it is by low ones in the address, under the level code 7. The table starts with 3 levels and
/// gets a new root whenever an address or a page is too large for it.
public struct AMDVersion1: PageTableFormat {
    /// What the driver does about a map over a live mapping.
    public enum Era: Hashable, Sendable {
        /// K4.19: `-EBUSY`; an unmap goes on behind absent tables.
        case refusing
        /// K6.x: the old mapping is replaced; an unmap ends at an absent table.
        case replacing
    }

    /// The era that the rules follow.
    public let era: Era
    /// Shapes and limits.
    public let geometry: PageTableGeometry

    /// Tables that grow up to `maxLevels`, `amd_iommu_hpt_level`: 4 to 6.
    public init(era: Era = .replacing, maxLevels: Int = 6) {
        self.era = era
        geometry = PageTableGeometry(
            granuleShift: 12, bitsPerLevel: 9, startLevels: 3, maxLevels: min(max(maxLevels, 3), 6), inputBits: 64,
            outputBits: 52)
    }

    /// A short name for reports.
    public var name: String { era == .refusing ? "amd-v1-4.19" : "amd-v1" }

    /// Bits 51 to 12 but 39: `AMD_IOMMU_PGSIZES`, without 512 GiB.
    public var pageSizes: PageSizes { PageSizes(uncheckedBitmap: addressMask & ~(1 << 39)) }

    /// What the driver does where mappings meet.
    public var rules: PageTableRules {
        switch era {
        case .replacing: .amdReplacing
        case .refusing:
            // A superpage on the way looks like a table of the wrong level, which reads as no memory for tables.
            PageTableRules(
                unmapWalk: .leaves(countingAbsentTables: true), overPage: .fail(.busy), overSuperpage: .fail(.busy),
                insideSuperpage: .fail(.outOfMemory), overTable: .fail(.busy), flushesWalksAtOnce: false)
        }
    }

    private static let present: UInt64 = 1 << 0
    private static let coherent: UInt64 = 1 << 60
    private static let readWrite: UInt64 = 1 << 61 | 1 << 62
    private static let sizeInAddress = 7

    /// `PM_LEVEL_ENC`.
    private func code(_ level: Int) -> UInt64 { UInt64(truncatingIfNeeded: level) << 9 & 0xe00 }

    /// `PM_LEVEL_PDE`: the entry names the level of the table that it points to, counted from 1.
    public func tableEntry(to address: UInt64, level: Int) -> UInt64 {
        address & addressMask | code(level) | Self.present | Self.readWrite
    }

    /// `PAGE_SIZE_PTE` for several entries; one alone needs no size.
    public func leafEntry(to target: UInt64, size: UInt64, level: Int) -> UInt64 {
        let flags = Self.present | Self.coherent | Self.readWrite
        guard geometry.entryCount(of: size) > 1 else { return target & addressMask | flags }
        return (target | (size &- 1)) & ~(size >> 1) & addressMask | code(Self.sizeInAddress) | flags
    }

    /// What hardware reads in an entry.
    public func decode(_ entry: UInt64, level: Int) -> PageTableEntry {
        guard entry & Self.present != 0 else { return .absent }
        let next = Int(truncatingIfNeeded: entry >> 9 & 7)
        if next == Self.sizeInAddress {
            // PTE_PAGE_SIZE: twice the first 0 above the flags.
            let zero = min((~(entry & addressMask | 0xfff)).trailingZeroBitCount, 62)
            let size: UInt64 = 1 << UInt64(zero + 1)
            return .leaf(target: entry & addressMask & ~(size - 1), size: size)
        }
        guard level > 0, next != 0 else {
            let size = geometry.entrySize(level: level)
            return .leaf(target: entry & addressMask & ~(size - 1), size: size)
        }
        return .table(entry & addressMask)
    }
}
