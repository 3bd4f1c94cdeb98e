extension IOMMUCore {
    /// Maps `size` bytes from `iova` to `paddr` and on: `iommu_map` (model.md §1.3).
    ///
    /// A map that fails half way unmaps what it had mapped by `iommu_unmap`: no map event up to 7.0, but an unmap event that no map
    /// belongs to, of 0 bytes if nothing was mapped; since 7.1 a map event of those bytes before it. What drivers let it replace does not come back. 0 bytes succeed.
    ///
    /// - Throws: ``IOMMUError/noDevice`` without the callback or page sizes; ``IOMMUError/invalid`` in a domain without page
    ///   table, or if an address or the size is no multiple of the smallest page, and nothing has changed then; else what the
    ///   driver said.
    public mutating func map(_ domain: Int32, iova: UInt64, paddr: UInt64, size: UInt64) throws(IOMMUError) {
        try mapWithoutSync(domain, iova: iova, paddr: paddr, size: size)
        syncMap(domain, iova: iova, size: size)
    }

    /// One segment of a scatterlist, `struct scatterlist`.
    public struct ScatterElement: Hashable, Sendable {
        /// Physical address of the page.
        public var page: UInt64
        /// Bytes into the page.
        public var offset: UInt64
        /// Bytes.
        public var length: UInt64
        /// `sg_is_dma_bus_address`: another device's memory, which needs no mapping (6.x).
        public var isBusAddress: Bool

        /// A segment.
        public init(page: UInt64, offset: UInt64 = 0, length: UInt64, isBusAddress: Bool = false) {
            self.page = page
            self.offset = offset
            self.length = length
            self.isBusAddress = isBusAddress
        }
    }

    /// Maps the elements one behind the other from `iova` on: `iommu_map_sg` (model.md §1.8).
    ///
    /// Up to 4.19 `default_iommu_map_sg` makes one map call for each element; later, elements that follow each other in
    /// memory are mapped by one call. What is mapped is unmapped again if one fails.
    ///
    /// - Returns: bytes mapped; 0 after an error, up to 5.14.
    /// - Throws: the error of the map that failed, from 5.15 on; ``IOMMUError/missingCallback`` up to 4.19.
    public mutating func mapSG(_ domain: Int32, iova: UInt64, elements: [ScatterElement]) throws(IOMMUError) -> UInt64 {
        if era.mapSGIsCallback {
            guard self.domain(domain)?.has(.mapSG) == true else { throw .missingCallback }
            return mapEach(domain, iova: iova, elements: elements)
        }
        var mapped: UInt64 = 0
        do {
            var run: (start: UInt64, length: UInt64) = (0, 0)
            for element in elements where !(element.isBusAddress && era.mapSGReturnsErrors) {
                let start = element.page &+ element.offset
                if run.length > 0, start != run.start &+ run.length {
                    try mapWithoutSync(domain, iova: iova &+ mapped, paddr: run.start, size: run.length)
                    mapped &+= run.length
                    run.length = 0
                }
                if run.length == 0 { run.start = start }
                run.length &+= element.length
            }
            if run.length > 0 {
                try mapWithoutSync(domain, iova: iova &+ mapped, paddr: run.start, size: run.length)
                mapped &+= run.length
            }
        } catch {
            _ = unmap(domain, iova: iova, size: mapped)
            guard era.mapSGReturnsErrors else { return 0 }
            throw error
        }
        syncMap(domain, iova: iova, size: mapped)
        return mapped
    }

    /// `default_iommu_map_sg`.
    private mutating func mapEach(_ domain: Int32, iova: UInt64, elements: [ScatterElement]) -> UInt64 {
        guard let granule = self.domain(domain)?.pageSizes?.granule else { return 0 }
        var mapped: UInt64 = 0
        do {
            for element in elements {
                // The pages' addresses are multiples of every page size; what may be odd is the offset.
                guard element.offset & (granule - 1) == 0 else { throw IOMMUError.invalid }
                try map(domain, iova: iova &+ mapped, paddr: element.page &+ element.offset, size: element.length)
                mapped &+= element.length
            }
        } catch {
            _ = unmap(domain, iova: iova, size: mapped)
            return 0
        }
        return mapped
    }

    /// The physical address behind `iova`, `iommu_iova_to_phys`: 0 where nothing is mapped, and without the callback.
    ///
    /// That 0 is also an address goes unnoticed: a page that is mapped to 0 looks as if it were not.
    public func iovaToPhys(_ domain: Int32, iova: UInt64) -> UInt64 {
        guard let domain = self.domain(domain), domain.has(.iovaToPhys) else { return 0 }
        if domain.type.contains(.passThrough) { return iova }
        return domain.table?.physicalAddress(of: iova) ?? 0
    }

    // MARK: - The loop

    /// `__iommu_map`.
    private mutating func mapWithoutSync(
        _ number: Int32, iova: UInt64, paddr: UInt64, size: UInt64
    ) throws(IOMMUError) {
        guard let isPaging = domain(number)?.type.contains(.paging) else { throw .invalid }
        if era.checksTypeFirst, !isPaging { throw .invalid }
        guard let sizes = domain(number)?.pageSizes(with: .map) else { throw .noDevice }
        guard isPaging, (iova | paddr | size) & (sizes.granule - 1) == 0 else { throw .invalid }

        var done: UInt64 = 0
        var failure = size == 0 ? nil : refusal(iova: iova, paddr: paddr, size: size, sizes: sizes)
        while failure == nil, done < size {
            let (from, to) = (iova &+ done, paddr &+ done)
            guard let next = callback(sizes, iova: from, paddr: to, size: size - done) else { break }
            if done == 0 || !callbackTakesCall(number) { counts.callbacks &+= 1 }
            var result = RadixPageTable.MapResult()
            withDomain(number) { domain in
                guard let mapped = domain.table?.map(iova: from, paddr: to, pageSize: next.pageSize, count: next.count)
                else { return }
                result = mapped
            }
            if result.flushesAtOnce, let range = AddressRange(start: from, size: next.size) {
                send(
                    InvalidationCommand(range, hint: result.freedTables.isEmpty ? .leavesOnly : .tablesToo), to: number)
            }
            done &+= result.mappedBytes
            failure = result.error.map { IOMMUError($0) }
        }
        if let failure {
            counts.failedMaps &+= 1
            if era.tracesFailedMaps { record(.map(domain: number, iova: iova, paddr: paddr, size: done)) }
            _ = unmap(number, iova: iova, size: done)
            throw failure
        }
        counts.maps &+= 1
        record(.map(domain: number, iova: iova, paddr: paddr, size: size))
    }

    /// What the first callback of a hostile map would say: addresses that wrap around, and more pages than the model takes.
    private func refusal(iova: UInt64, paddr: UInt64, size: UInt64, sizes: PageSizes) -> IOMMUError? {
        guard AddressRange(start: iova, size: size) != nil, AddressRange(start: paddr, size: size) != nil else {
            return .outOfRange
        }
        var pages: UInt64 = 0
        var done: UInt64 = 0
        while done < size, let next = sizes.callback(iova: iova &+ done, paddr: paddr &+ done, size: size - done) {
            pages &+= next.count
            done &+= next.size
        }
        return pages > pageLimit ? .tooBig : nil
    }

    /// The pages of the next callback: one up to 5.14, later as many as have one size (model.md §1.4).
    func callback(
        _ sizes: PageSizes, iova: UInt64, paddr: UInt64, size: UInt64, takesRuns: Bool? = nil
    ) -> PageSizes.Callback? {
        if takesRuns ?? era.callbacksTakeRuns { return sizes.callback(iova: iova, paddr: paddr, size: size) }
        return sizes.pageSize(merged: iova | paddr, size: size).map { PageSizes.Callback(pageSize: $0, count: 1) }
    }

    /// Whether the driver is called once for a whole call: it has generic page tables.
    func callbackTakesCall(_ number: Int32) -> Bool {
        era.callbacksTakeCalls && domain(number)?.driver.gathering == .anything
    }

    private mutating func syncMap(_ domain: Int32, iova: UInt64, size: UInt64) {
        guard era.syncsMaps, self.domain(domain)?.has(.tlbSyncMap) == true,
            let range = AddressRange(start: iova, size: size)
        else { return }
        record(.syncMap(domain: domain, range: range))
    }
}
