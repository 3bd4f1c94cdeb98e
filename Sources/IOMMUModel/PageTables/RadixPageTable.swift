/// The page table of one domain, entry by entry, as the driver of its ``PageTableFormat`` builds it.
///
/// ``PageTable`` knows what is mapped, in a handful of runs; this knows which entries and tables say so: what an unmap
/// of a part of a page does, which tables are freed and when, what hardware would walk. Calls are those of the driver's
/// `map_pages`, `unmap_pages` and `iova_to_phys`; the loop around them, `iommu_map`, is the caller's, with
/// ``PageSizes/callback(iova:paddr:size:)``.
///
/// Tables lie at made-up physical addresses, so that entries are those of the format. A hostile log can ask for one
/// table per level and page: their memory has a limit, and no call takes longer than ``pageLimit`` pages and the tables
/// that exist.
public struct RadixPageTable: Sendable {
    /// A table that no entry points to any more.
    ///
    /// Its page may be reused when the flush that follows is done: caches of table entries may still point to it.
    public struct FreedTable: Hashable, Sendable {
        /// Level of the entries in it.
        public var level: Int
        /// The first IOVA that it translated.
        public var iova: UInt64
    }

    /// What a map did.
    public struct MapResult: Hashable, Sendable {
        /// Bytes that the driver reports as mapped, from the start; after an error, what `iommu_map` unmaps again.
        public var mappedBytes: UInt64 = 0
        /// Why it ended early.
        public var error: PageTableError?
        /// Bytes of ``mappedBytes`` that still have their old translation (VT-d).
        public var keptBytes: UInt64 = 0
        /// Bytes, in the range or beside it, that lost an old translation.
        public var replacedBytes: UInt64 = 0
        /// Tables that made room for superpages, in the order in which they went. VT-d frees their pages even before the
        /// flush, in `dma_pte_free_pagetable`.
        public var freedTables: [FreedTable] = []
        /// Whether the driver flushes before the map returns, because something old was taken away.
        public var flushesAtOnce = false

        /// Nothing was done.
        public init() {}
    }

    /// What an unmap did.
    public struct UnmapResult: Hashable, Sendable {
        /// Bytes that the driver reports as unmapped: `unmapped_size`. Holes may count, and whole superpages do.
        public var reportedBytes: UInt64 = 0
        /// Bytes that were translated and are not any more.
        public var clearedBytes: UInt64 = 0
        /// Larger leaves that were replaced by a table of smaller ones.
        public var splits = 0
        /// Tables that went, in the order in which they went.
        public var freedTables: [FreedTable] = []
        /// Whether the driver flushes caches of table entries before the unmap returns, strict or not.
        public var flushesWalksAtOnce = false

        /// Nothing was done.
        public init() {}
    }

    /// A leaf, or what is left of one that was overwritten in part.
    public struct Leaf: Hashable, Sendable {
        /// Its first address.
        public var iova: UInt64
        /// Bytes from there on that it translates.
        public var bytes: UInt64
        /// Where `iova` points to.
        public var target: UInt64
        /// Bytes of the page that its entries say they belong to.
        public var pageSize: UInt64
    }

    /// Most pages of one map: 64 GiB in pages of 4 KiB. More is refused as ``PageTableError/tooManyPages``.
    public static let pageLimit: UInt64 = 1 << 24

    /// What tables of one domain may take of the model's memory unless its creator says otherwise: 256 MiB.
    public static let defaultMemoryLimit = 1 << 28

    /// The format.
    public let format: any PageTableFormat

    let geometry: PageTableGeometry
    let rules: PageTableRules
    private let tableLimit: Int

    /// Entries by number of the table; none where a number is free.
    var tables: ContiguousArray<ContiguousArray<UInt64>> = []
    private var freeNumbers: ContiguousArray<Int> = []
    var root = 0

    /// Levels now.
    public internal(set) var levels: Int
    /// Bytes translated now.
    public internal(set) var mappedBytes: UInt64 = 0
    /// Tables that entries point to now, and the root.
    public var tableCount: Int { tables.count - freeNumbers.count }
    /// Memory that they take in a kernel.
    public var tableBytes: UInt64 { UInt64(tableCount) << UInt64(geometry.granuleShift) }

    /// An empty table: its root.
    ///
    /// - Parameter memoryLimit: bytes that all its tables may take; the root always fits.
    public init(format: any PageTableFormat, memoryLimit: Int = defaultMemoryLimit) {
        self.format = format
        geometry = format.geometry
        rules = format.rules
        levels = geometry.startLevels
        tableLimit = memoryLimit >> geometry.granuleShift
        root = addTable()
    }

    // MARK: - Lookup

    /// The physical address behind `iova`, as hardware walks there; `nil` where it would fault.
    public func physicalAddress(of iova: UInt64) -> UInt64? {
        guard let slot = deepestSlot(for: iova), case .leaf(let target, let size) = decode(slot) else { return nil }
        return target | iova & (size &- 1)
    }

    /// The entry for `iova` in the table of `level`, as it lies in memory; `nil` if the walk does not get there.
    public func entry(for iova: UInt64, level: Int) -> UInt64? {
        guard iova <= geometry.lastAddress(levels: levels), level >= 0, level < levels else { return nil }
        var slot = self.slot(for: iova, in: root, level: levels - 1)
        while slot.level > level {
            guard case .table(let address) = decode(slot) else { return nil }
            slot = self.slot(for: iova, in: number(at: address), level: slot.level - 1)
        }
        return entry(slot)
    }

    /// Calls `body` with each leaf that shares a byte with `range`, in order of address.
    public func forEachLeaf(overlapping range: AddressRange = .everything, _ body: (Leaf) -> Void) {
        visit(root, level: levels - 1, base: 0, range: range, body)
    }

    private func visit(_ table: Int, level: Int, base: UInt64, range: AddressRange, _ body: (Leaf) -> Void) {
        let shift = UInt64(geometry.shift(ofLevel: level))
        let entrySize: UInt64 = 1 << shift
        var index = range.start > base ? geometry.index(of: range.start, level: level) : 0
        let entries = tables[table].count
        while index < entries {
            let iova = base &+ UInt64(index) << shift
            // The root of a table with 64 bits of address has more entries than addresses.
            guard iova <= range.last, index == 0 || iova > base else { return }
            let entry = tables[table][index]
            guard entry != 0 else {
                index += 1
                continue
            }
            switch format.decode(entry, level: level) {
            case .absent: index += 1
            case .table(let address):
                visit(number(at: address), level: level - 1, base: iova, range: range, body)
                index += 1
            case .leaf(let target, let size):
                let end = min((index | (geometry.entryCount(of: size) - 1)) + 1, entries)
                let first = index
                while index < end, tables[table][index] == entry { index += 1 }
                body(
                    Leaf(
                        iova: iova, bytes: UInt64(index - first) &* entrySize, target: target | iova & (size &- 1),
                        pageSize: size))
            }
        }
    }

    // MARK: - Tables and entries

    /// Where an entry lies.
    struct Slot {
        var table: Int
        var index: Int
        var level: Int
    }

    func slot(for iova: UInt64, in table: Int, level: Int) -> Slot {
        Slot(table: table, index: geometry.index(of: iova, level: level), level: level)
    }

    func entry(_ slot: Slot) -> UInt64 { tables[slot.table][slot.index] }

    func decode(_ slot: Slot) -> PageTableEntry { format.decode(entry(slot), level: slot.level) }

    /// Where the walk for `iova` ends: at a leaf, or at nothing. `nil` for an address beyond the table.
    func deepestSlot(for iova: UInt64) -> Slot? {
        guard iova <= geometry.lastAddress(levels: levels) else { return nil }
        var slot = self.slot(for: iova, in: root, level: levels - 1)
        while case .table(let address) = decode(slot) {
            slot = self.slot(for: iova, in: number(at: address), level: slot.level - 1)
        }
        return slot
    }

    /// The made-up physical address of a table: table 0 lies one table's size above 0.
    func address(of table: Int) -> UInt64 { (UInt64(table) + 1) << UInt64(geometry.granuleShift) }

    func number(at address: UInt64) -> Int { Int(truncatingIfNeeded: address >> UInt64(geometry.granuleShift)) - 1 }

    /// Whether the limit allows so many tables more.
    func hasRoom(for count: Int) -> Bool { tableCount + count <= tableLimit }

    /// A new table, empty.
    mutating func addTable() -> Int {
        let empty = ContiguousArray<UInt64>(repeating: 0, count: Int(geometry.entriesPerTable))
        guard let number = freeNumbers.popLast() else {
            tables.append(empty)
            return tables.count - 1
        }
        tables[number] = empty
        return number
    }

    /// Takes a table out, with all tables below it.
    ///
    /// - Returns: bytes that they had translated.
    mutating func free(_ table: Int, level: Int, iova: UInt64, into freed: inout [FreedTable]) -> UInt64 {
        let entries = tables[table]
        let entrySize = geometry.entrySize(level: level)
        var bytes: UInt64 = 0
        freed.append(FreedTable(level: level, iova: iova))
        tables[table] = []
        freeNumbers.append(table)
        for (index, entry) in entries.enumerated() where entry != 0 {
            switch format.decode(entry, level: level) {
            case .absent: break
            case .leaf: bytes &+= entrySize
            case .table(let address):
                let start = iova &+ UInt64(index) &* entrySize
                bytes &+= free(number(at: address), level: level - 1, iova: start, into: &freed)
            }
        }
        return bytes
    }

    /// Empties an entry, whatever it holds.
    ///
    /// - Parameter iova: any address that the entry is for.
    /// - Returns: bytes that it had translated, itself or in tables below.
    mutating func clear(_ slot: Slot, iova: UInt64, into freed: inout [FreedTable]) -> UInt64 {
        let old = decode(slot)
        tables[slot.table][slot.index] = 0
        let entrySize = geometry.entrySize(level: slot.level)
        switch old {
        case .absent: return 0
        case .leaf:
            mappedBytes &-= entrySize
            return entrySize
        case .table(let address):
            let start = iova & ~(entrySize &- 1)
            let bytes = free(number(at: address), level: slot.level - 1, iova: start, into: &freed)
            mappedBytes &-= bytes
            return bytes
        }
    }
}
