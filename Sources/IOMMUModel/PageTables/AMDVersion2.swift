/// AMD v2 tables: those of the CPU, `drivers/iommu/amd/io_pgtable_v2.c` (model.md §3.1).
public struct AMDVersion2: PageTableFormat {
    /// A short name for reports.
    public let name: String
    /// Shapes and limits.
    public let geometry: PageTableGeometry

    /// Tables of 4 or 5 levels.
    public init(levels: Int = 4) {
        let levels = min(max(levels, 4), 5)
        name = "amd-v2-\(levels)"
        geometry = PageTableGeometry(
            granuleShift: 12, bitsPerLevel: 9, startLevels: levels, inputBits: 12 + 9 * levels, outputBits: 52)
    }

    /// The pages that a map may ask for.
    public var pageSizes: PageSizes { .fourKTwoMOneG }

    /// `v2_alloc_pte` clears what is in the way, and `iommu_v2_unmap_pages` frees no table.
    public var rules: PageTableRules { .amdReplacing }

    /// The entry that points to a table.
    public func tableEntry(to address: UInt64, level: Int) -> UInt64 {
        address & addressMask | X86Entry.present | X86Entry.write | X86Entry.user | X86Entry.accessed | X86Entry.dirty
    }

    /// The entry that maps a page.
    public func leafEntry(to target: UInt64, size: UInt64, level: Int) -> UInt64 {
        tableEntry(to: target, level: level) | (level > 0 ? X86Entry.largePage : 0)
    }

    /// What hardware reads in an entry.
    public func decode(_ entry: UInt64, level: Int) -> PageTableEntry {
        X86Entry.decode(entry, level: level, entrySize: geometry.entrySize(level: level))
    }
}

extension PageTableRules {
    /// AMD 6.x: what is in the way is cleared, and the range is flushed by the map.
    static let amdReplacing = PageTableRules(
        unmapWalk: .leaves(countingAbsentTables: false), overPage: .replace, overSuperpage: .replace,
        insideSuperpage: .replace, overTable: .replace, flushesWalksAtOnce: false)
}
