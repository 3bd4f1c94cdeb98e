extension RadixPageTable {
    /// Unmaps `count` pages of `pageSize` from `iova` on: the driver's `unmap_pages`, called again for as long as it
    /// makes progress, as `__iommu_unmap` does.
    ///
    /// Nothing happens if the address is no multiple of the page size, that is none of the format's, or the range
    /// reaches beyond the table.
    public mutating func unmap(iova: UInt64, pageSize: UInt64, count: UInt64 = 1) -> UnmapResult {
        var result = UnmapResult()
        guard pageSize.nonzeroBitCount == 1, format.pageSizes.bitmap & pageSize != 0, iova & (pageSize - 1) == 0
        else { return result }
        let (size, overflow) = pageSize.multipliedReportingOverflow(by: count)
        guard !overflow, let range = AddressRange(start: iova, size: size) else { return result }
        switch rules.unmapWalk {
        case .range: unmapRange(range, &result)
        case .entries(let splitting): unmapEntries(range, pageSize: pageSize, splitting: splitting, &result)
        case .leaves(let countingAbsentTables):
            unmapLeaves(from: iova, size: size, countingAbsentTables: countingAbsentTables, &result)
        }
        result.flushesWalksAtOnce = rules.flushesWalksAtOnce && !result.freedTables.isEmpty
        return result
    }

    // MARK: - VT-d

    private mutating func unmapRange(_ asked: AddressRange, _ result: inout UnmapResult) {
        guard asked.last <= geometry.lastAddress(levels: levels), let first = deepestSlot(for: asked.start) else {
            return
        }
        let size = max(asked.size, geometry.entrySize(level: first.level))
        // The kernel warns, and clears nothing, where the rounding reaches beyond the table; it still reports the size.
        result.reportedBytes = size
        guard let range = AddressRange(start: asked.start, size: size),
            range.last <= geometry.lastAddress(levels: levels)
        else { return }
        clear(range, in: root, level: levels - 1, base: 0, &result)
    }

    /// `dma_pte_clear_level`; but a superpage that the range covers in part goes whole, where the driver would take the
    /// mapped page for a table.
    private mutating func clear(
        _ range: AddressRange, in table: Int, level: Int, base: UInt64, _ result: inout UnmapResult
    ) {
        let shift = UInt64(geometry.shift(ofLevel: level))
        let entrySize: UInt64 = 1 << shift
        var index = range.start > base ? geometry.index(of: range.start, level: level) : 0
        let entries = tables[table].count
        while index < entries {
            let start = base &+ UInt64(index) << shift
            guard start <= range.last else { return }
            guard tables[table][index] != 0 else {
                index += 1
                continue
            }
            let slot = Slot(table: table, index: index, level: level)
            let isCovered = range.start <= start && range.last >= start + (entrySize - 1)
            if case .table(let address) = decode(slot), !isCovered {
                clear(range, in: number(at: address), level: level - 1, base: start, &result)
            } else {
                result.clearedBytes &+= clear(slot, iova: start, into: &result.freedTables)
            }
            index += 1
        }
    }

    // MARK: - Arm

    private mutating func unmapEntries(
        _ range: AddressRange, pageSize: UInt64, splitting: Bool, _ result: inout UnmapResult
    ) {
        guard range.last <= geometry.lastAddress(levels: levels) else { return }
        let level = geometry.level(ofPageSize: pageSize)
        while result.reportedBytes < range.size {
            let iova = range.start &+ result.reportedBytes
            var slot = self.slot(for: iova, in: root, level: levels - 1)
            while slot.level > level {
                switch decode(slot) {
                case .absent: return
                case .table(let address):
                    slot = self.slot(for: iova, in: number(at: address), level: slot.level - 1)
                case .leaf(let target, _):
                    guard splitting, split(slot, target: target) else { return }
                    result.splits += 1
                }
            }
            // The rest of this table, or of the range.
            let entries = tables[slot.table].count
            while slot.index < entries, result.reportedBytes < range.size {
                guard decode(slot) != .absent else { return }
                let start = range.start &+ result.reportedBytes
                result.clearedBytes &+= clear(slot, iova: start, into: &result.freedTables)
                result.reportedBytes &+= pageSize
                slot.index += 1
            }
        }
    }

    /// Puts a table with leaves of the next level in place of a leaf: `arm_lpae_split_blk_unmap`.
    private mutating func split(_ slot: Slot, target: UInt64) -> Bool {
        guard hasRoom(for: 1) else { return false }
        let table = addTable()
        let size = geometry.entrySize(level: slot.level - 1)
        for index in tables[table].indices {
            tables[table][index] = format.leafEntry(
                to: target &+ UInt64(index) &* size, size: size, level: slot.level - 1)
        }
        tables[slot.table][slot.index] = format.tableEntry(to: address(of: table), level: slot.level)
        return true
    }

    // MARK: - AMD

    private mutating func unmapLeaves(
        from start: UInt64, size: UInt64, countingAbsentTables: Bool, _ result: inout UnmapResult
    ) {
        var iova = start
        while result.reportedBytes < size, let slot = deepestSlot(for: iova) {
            var leafSize = geometry.entrySize(level: slot.level)
            if case .leaf(_, let size) = decode(slot) {
                leafSize = size
                // Every entry of the page, even one that was overwritten since.
                let count = geometry.entryCount(of: size)
                let first = slot.index & ~(count - 1)
                for index in first..<first + count {
                    let slot = Slot(table: slot.table, index: index, level: slot.level)
                    let offset = UInt64(index - first) &* geometry.entrySize(level: slot.level)
                    result.clearedBytes &+= clear(slot, iova: iova & ~(size - 1) &+ offset, into: &result.freedTables)
                }
            } else {
                guard slot.level == 0 || countingAbsentTables else { return }
                // All absent entries from here on in one go: a log can ask for a table full of them at every line.
                let last = tables[slot.table].count - 1
                var index = slot.index
                while index < last, tables[slot.table][index + 1] == 0, result.reportedBytes &+ leafSize < size {
                    result.reportedBytes &+= leafSize
                    iova = iova &+ leafSize
                    index += 1
                }
            }
            result.reportedBytes &+= leafSize
            let next = (iova & ~(leafSize &- 1)) &+ leafSize
            guard next > iova else { return }
            iova = next
        }
    }
}
