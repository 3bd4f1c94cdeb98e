/// Intel VT-d first-stage tables: those of the CPU, x86-64 with 4 or 5 levels (model.md §3.1).
public struct VTdFirstStage: PageTableFormat {
    /// A short name for reports.
    public let name: String
    /// The pages that a map may ask for.
    public let pageSizes: PageSizes
    /// Shapes and limits.
    public let geometry: PageTableGeometry

    /// Tables of 4 or 5 levels.
    ///
    /// - Parameter has1G: `CAP.FL1GP`, bit 56.
    public init(levels: Int = 4, has1G: Bool = true) {
        let levels = min(max(levels, 4), 5)
        name = "vtd-first-stage-\(levels)"
        pageSizes = has1G ? .fourKTwoMOneG : PageSizes(uncheckedBitmap: 1 << 12 | 1 << 21)
        geometry = PageTableGeometry(
            granuleShift: 12, bitsPerLevel: 9, startLevels: levels, inputBits: 12 + 9 * levels, outputBits: 52)
    }

    /// What the driver does where mappings meet.
    public var rules: PageTableRules { .vtd }

    /// The entry that points to a table.
    public func tableEntry(to address: UInt64, level: Int) -> UInt64 {
        address & addressMask | X86Entry.present | X86Entry.write | X86Entry.user | X86Entry.accessed
    }

    /// The entry that maps a page.
    public func leafEntry(to target: UInt64, size: UInt64, level: Int) -> UInt64 {
        target & addressMask | X86Entry.present | X86Entry.write | X86Entry.user | X86Entry.accessed | X86Entry.dirty
            | (level > 0 ? X86Entry.largePage : 0)
    }

    /// What hardware reads in an entry.
    public func decode(_ entry: UInt64, level: Int) -> PageTableEntry {
        X86Entry.decode(entry, level: level, entrySize: geometry.entrySize(level: level))
    }
}

/// Entries of x86-64 page tables.
enum X86Entry {
    static let present: UInt64 = 1 << 0
    static let write: UInt64 = 1 << 1
    static let user: UInt64 = 1 << 2
    static let accessed: UInt64 = 1 << 5
    static let dirty: UInt64 = 1 << 6
    static let largePage: UInt64 = 1 << 7

    static func decode(_ entry: UInt64, level: Int, entrySize: UInt64) -> PageTableEntry {
        guard entry & present != 0 else { return .absent }
        guard level > 0, entry & largePage == 0 else {
            return .leaf(target: entry & addressMask & ~(entrySize - 1), size: entrySize)
        }
        return .table(entry & addressMask)
    }
}
