/// Intel VT-d second-stage tables, `struct dma_pte` in `drivers/iommu/intel/iommu.h` (model.md §3.1).
public struct VTdSecondStage: PageTableFormat {
    /// What `CAP.SLLPS` offers beside 4 KiB.
    public enum Superpages: Hashable, Sendable {
        case none, twoM, twoMAndOneG
    }

    /// A short name for reports.
    public let name: String
    /// The pages that a map may ask for.
    public let pageSizes: PageSizes
    /// Shapes and limits.
    public let geometry: PageTableGeometry

    /// Tables of 3, 4 or 5 levels, for 39, 48 or 57 bits; other numbers are taken for the nearest of these.
    public init(levels: Int = 4, superpages: Superpages = .twoMAndOneG) {
        let levels = min(max(levels, 3), 5)
        name = "vtd-second-stage-\(levels)"
        pageSizes =
            switch superpages {
            case .none: .fourK
            case .twoM: PageSizes(uncheckedBitmap: 1 << 12 | 1 << 21)
            case .twoMAndOneG: .fourKTwoMOneG
            }
        geometry = PageTableGeometry(
            granuleShift: 12, bitsPerLevel: 9, startLevels: levels, inputBits: 12 + 9 * levels, outputBits: 52)
    }

    /// What the driver does where mappings meet.
    public var rules: PageTableRules { .vtd }

    private static let readWrite: UInt64 = 1 << 0 | 1 << 1
    private static let largePage: UInt64 = 1 << 7

    /// The entry that points to a table.
    public func tableEntry(to address: UInt64, level: Int) -> UInt64 { address & addressMask | Self.readWrite }

    /// The entry that maps a page.
    public func leafEntry(to target: UInt64, size: UInt64, level: Int) -> UInt64 {
        target & addressMask | Self.readWrite | (level > 0 ? Self.largePage : 0)
    }

    /// An entry that allows neither reads nor writes is absent: `dma_pte_present`.
    public func decode(_ entry: UInt64, level: Int) -> PageTableEntry {
        guard entry & Self.readWrite != 0 else { return .absent }
        guard level > 0, entry & Self.largePage == 0 else {
            let size = geometry.entrySize(level: level)
            return .leaf(target: entry & addressMask & ~(size - 1), size: size)
        }
        return .table(entry & addressMask)
    }
}

extension PageTableRules {
    /// `__domain_mapping` and `intel_iommu_unmap` of K6.12.
    ///
    /// A 4 KiB entry is never overwritten: a compare-and-swap from 0 fails with a message, and the map succeeds. A
    /// superpage goes through `switch_to_super_page` first, which clears tables and leaves of its range alike. A small
    /// page inside a superpage is undefined: the driver takes the mapped page for a table. Here the superpage stays.
    static let vtd = PageTableRules(
        unmapWalk: .range, overPage: .keepOld, overSuperpage: .replace, insideSuperpage: .keepOld, overTable: .replace,
        flushesWalksAtOnce: false)
}

/// Bits 51 to 12, where x86 formats hold physical addresses.
let addressMask: UInt64 = 0x000f_ffff_ffff_f000
