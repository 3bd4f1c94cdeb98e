extension IOMMUCore {
    /// Says what the next sync is to flush: `iommu_tlb_range_add` (model.md §1.1).
    ///
    /// Nothing happens without the callback, and from 5.4 on, where there is no such function.
    public mutating func tlbRangeAdd(_ domain: Int32, iova: UInt64, size: UInt64) {
        guard era.recordsRangesInDomain else { return }
        addRange(domain, AddressRange(start: iova, size: size), count: 1)
    }

    /// Flushes what was added, or is in `gather`, and returns when it is gone: `iommu_tlb_sync`, `iommu_iotlb_sync` (model.md
    /// §1.5, §1.6).
    ///
    /// Up to 5.3 that is everything added to the domain, by whomever. Nothing happens without the callback.
    ///
    /// - Parameter gather: is empty afterwards.
    public mutating func tlbSync(_ domain: Int32, gather: inout Gather) {
        if era.recordsRangesInDomain { syncRanges(domain) } else { sync(domain, gather: &gather, isImplicit: false) }
    }

    /// Flushes the whole domain and returns when it is gone: `iommu_flush_tlb_all` (model.md §1.1).
    ///
    /// Nothing happens without the callback.
    public mutating func flushTLBAll(_ domain: Int32) {
        guard self.domain(domain)?.has(.flushTLBAll) == true else { return }
        counts.flushAlls &+= 1
        record(.flushAll(domain: domain))
        // What was added is flushed by it too.
        withDomain(domain) { _ = $0.takeRangesToSync() }
        send(.wholeDomain, to: domain)
    }

    // MARK: - Up to 5.3

    /// - Parameter count: how many calls it stands for.
    mutating func addRange(_ number: Int32, _ range: AddressRange?, count: UInt64) {
        guard let driver = domain(number)?.driver, driver.callbacks.contains(.tlbRangeAdd) else { return }
        counts.rangeAdds &+= Int64(clamping: count)
        guard let range, driver.flushing == .rangesAtSync else { return }
        withDomain(number) { $0.addRangeToSync(range) }
    }

    mutating func syncRanges(_ number: Int32) {
        guard let driver = domain(number)?.driver, driver.callbacks.contains(.tlbSync) else { return }
        var ranges: [AddressRange] = []
        var hint = InvalidationHint.leavesOnly
        withDomain(number) {
            let taken = $0.takeRangesToSync()
            ranges = taken.ranges
            if taken.holdsTables { hint = .tablesToo }
        }
        counts.syncs &+= 1
        record(.sync(domain: number, ranges: ranges, isImplicit: false))
        switch driver.flushing {
        case .insideUnmap: break
        case .domainAtSync: send(.wholeDomain, to: number)
        case .rangesAtSync: for range in ranges { send(InvalidationCommand(range, hint: hint), to: number) }
        }
    }

    // MARK: - From 5.4 on

    mutating func sync(_ number: Int32, gather: inout Gather, isImplicit: Bool) {
        let span = gather.take()
        guard let driver = domain(number)?.driver, driver.callbacks.contains(.tlbSync) else { return }
        if era.skipsEmptySyncs, span == nil { return }
        counts.syncs &+= 1
        if isImplicit { counts.implicitSyncs &+= 1 }
        record(.sync(domain: number, ranges: span.map { [$0.range] } ?? [], isImplicit: isImplicit))
        switch driver.flushing {
        case .insideUnmap: break
        case .domainAtSync: send(.wholeDomain, to: number)
        case .rangesAtSync:
            if let span {
                send(InvalidationCommand(span.range, hint: span.holdsTables ? .tablesToo : .leavesOnly), to: number)
            } else if driver.emptySyncFlushesDomain {
                send(.wholeDomain, to: number)
            }
        }
    }

    // MARK: - Hardware

    /// Sends a command to each IOMMU that a device of the domain is behind, and then to each device that has translations of its
    /// own: they would be asked for again, from a cache that still had them. A domain without devices needs none.
    mutating func send(_ command: InvalidationCommand, to number: Int32) {
        guard let attached = domain(number)?.devices, !attached.isEmpty else { return }
        var seen: Set<Int32> = []
        for device in attached {
            guard let unit = self.device(device)?.unit, seen.insert(unit).inserted else { continue }
            send(command, domain: number, unit: unit)
        }
        for device in attached { sendToDevice(command, device) }
    }

    mutating func send(_ command: InvalidationCommand, domain: Int32, unit: Int32) {
        guard let position = Self.position(unit, in: units) else { return }
        counts.commands &+= 1
        record(.command(command, domain: domain, unit: unit))
        if let range = command.range {
            units[position].iotlb?.invalidate(domain: domain, range)
        } else {
            units[position].iotlb?.invalidateDomain(domain)
        }
    }

    mutating func sendToDevice(_ command: InvalidationCommand, _ device: Int32) {
        guard let position = Self.position(device, in: devices), devices[position].tlb != nil else { return }
        counts.deviceCommands &+= 1
        record(.deviceCommand(command, device: device))
        if let range = command.range {
            devices[position].tlb?.invalidate(range)
        } else {
            devices[position].tlb?.invalidateAll()
        }
    }
}
