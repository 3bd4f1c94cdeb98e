extension RadixPageTable {
    /// Maps `count` pages of `pageSize` from `iova` to `paddr` and on: the driver's `map_pages`.
    ///
    /// A page that fails leaves no trace but tables, and those before it stay mapped: `iommu_map` then unmaps
    /// ``MapResult/mappedBytes`` (model.md §1.3). What can be told beforehand fails before anything is mapped.
    public mutating func map(iova: UInt64, paddr: UInt64, pageSize: UInt64, count: UInt64 = 1) -> MapResult {
        var result = MapResult()
        if let error = refusal(iova: iova, paddr: paddr, pageSize: pageSize, count: count) {
            result.error = error
            return result
        }
        var offset: UInt64 = 0
        var slot: Slot?
        for _ in 0..<count {
            result.error = mapPage(iova: iova &+ offset, paddr: paddr &+ offset, pageSize: pageSize, &slot, &result)
            guard result.error == nil else { break }
            offset &+= pageSize
        }
        result.mappedBytes = offset
        return result
    }

    /// What is wrong with the arguments of a map.
    private func refusal(iova: UInt64, paddr: UInt64, pageSize: UInt64, count: UInt64) -> PageTableError? {
        guard pageSize.nonzeroBitCount == 1, format.pageSizes.bitmap & pageSize != 0,
            (iova | paddr) & (pageSize - 1) == 0
        else { return .invalid }
        guard count <= Self.pageLimit else { return .tooManyPages }
        guard count > 0 else { return nil }
        let (size, overflow) = pageSize.multipliedReportingOverflow(by: count)
        guard !overflow, let from = AddressRange(start: iova, size: size),
            let to = AddressRange(start: paddr, size: size),
            from.last <= geometry.lastAddress(levels: geometry.maxLevels),
            geometry.level(ofPageSize: pageSize) < geometry.maxLevels, to.last >> UInt64(geometry.outputBits) == 0
        else { return .outOfRange }
        return nil
    }

    /// Maps one page.
    ///
    /// - Parameter previous: where the page before this one lies, and then this one; `nil` if that is not known.
    private mutating func mapPage(
        iova: UInt64, paddr: UInt64, pageSize: UInt64, _ previous: inout Slot?, _ result: inout MapResult
    ) -> PageTableError? {
        if var slot = previous, slot.index + geometry.entryCount(of: pageSize) < tables[slot.table].count {
            slot.index += geometry.entryCount(of: pageSize)
            previous = slot
            return mapLeaf(at: slot, iova: iova, paddr: paddr, pageSize: pageSize, &result)
        }
        previous = nil
        let level = geometry.level(ofPageSize: pageSize)
        // AMD's increase_address_space: the old root becomes the first entry of the new one.
        while iova | (pageSize - 1) > geometry.lastAddress(levels: levels) || level >= levels {
            guard hasRoom(for: 1) else { return .outOfMemory }
            let table = addTable()
            tables[table][0] = format.tableEntry(to: address(of: root), level: levels)
            root = table
            levels += 1
        }
        var slot = self.slot(for: iova, in: root, level: levels - 1)
        while slot.level > level {
            switch decode(slot) {
            case .table(let address):
                slot = self.slot(for: iova, in: number(at: address), level: slot.level - 1)
                continue
            case .leaf(_, let size):
                switch rules.insideSuperpage {
                case .fail(let error): return error
                case .keepOld:
                    result.keptBytes &+= pageSize
                    return nil
                case .replace:
                    guard hasRoom(for: slot.level - level) else { return .outOfMemory }
                    result.replacedBytes &+= clearEqualEntries(around: slot, size: size)
                    result.flushesAtOnce = true
                }
            case .absent: break
            }
            guard hasRoom(for: 1) else { return .outOfMemory }
            let table = addTable()
            tables[slot.table][slot.index] = format.tableEntry(to: address(of: table), level: slot.level)
            slot = self.slot(for: iova, in: table, level: slot.level - 1)
        }
        previous = slot
        return mapLeaf(at: slot, iova: iova, paddr: paddr, pageSize: pageSize, &result)
    }

    private mutating func mapLeaf(
        at slot: Slot, iova: UInt64, paddr: UInt64, pageSize: UInt64, _ result: inout MapResult
    ) -> PageTableError? {
        let entrySize = geometry.entrySize(level: slot.level)
        let new = format.leafEntry(to: paddr, size: pageSize, level: slot.level)
        let first = slot.index
        let last = first + geometry.entryCount(of: pageSize) - 1
        // All entries of the page are looked at before the first is written.
        for index in first...last where tables[slot.table][index] != 0 {
            let slot = Slot(table: slot.table, index: index, level: slot.level)
            if case .fail(let error) = rule(for: decode(slot), level: slot.level) { return error }
        }
        for index in first...last {
            let slot = Slot(table: slot.table, index: index, level: slot.level)
            switch rule(for: decode(slot), level: slot.level) {
            case .keepOld:
                result.keptBytes &+= entrySize
                continue
            case .replace:
                let start = iova &+ UInt64(index - first) &* entrySize
                result.replacedBytes &+= clear(slot, iova: start, into: &result.freedTables)
                result.flushesAtOnce = true
            case .fail, nil: break
            }
            tables[slot.table][index] = new
            mappedBytes &+= entrySize
        }
        return nil
    }

    /// What a map does about an entry where its leaf is to go; `nil` if there is nothing.
    private func rule(for entry: PageTableEntry, level: Int) -> PageTableRules.OverLive? {
        switch entry {
        case .absent: nil
        case .leaf: level > 0 ? rules.overSuperpage : rules.overPage
        case .table: rules.overTable
        }
    }

    /// Empties all entries of the leaf that an entry is part of, but those that were overwritten since: `alloc_pte`.
    ///
    /// - Returns: bytes that they had translated.
    private mutating func clearEqualEntries(around slot: Slot, size: UInt64) -> UInt64 {
        let count = geometry.entryCount(of: size)
        let first = slot.index & ~(count - 1)
        let entry = entry(slot)
        var bytes: UInt64 = 0
        for index in first..<first + count where tables[slot.table][index] == entry {
            tables[slot.table][index] = 0
            bytes &+= geometry.entrySize(level: slot.level)
        }
        mappedBytes &-= bytes
        return bytes
    }
}
