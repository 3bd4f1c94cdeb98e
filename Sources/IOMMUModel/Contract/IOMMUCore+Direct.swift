extension IOMMUCore {
    /// Most pages of one direct region; each can become a map event. 1 GiB of 4 KiB pages.
    public static let directPageLimit: UInt64 = 1 << 18

    /// Maps a device's reserved regions of the direct kind to themselves: `iommu_group_create_direct_mappings` (model.md §1.7).
    ///
    /// Only in a default domain of the DMA kind. Pages that are mapped already, as `iommu_iova_to_phys` tells, are left out; so
    /// page 0 never is, and is mapped again. Up to 5.14 each page is a map call and the domain is flushed at the end; later
    /// pages that follow each other are one call, and the flush is for those devices only that have regions at all. After an
    /// error there is no flush.
    ///
    /// - Throws: what a map failed with: the rest is not mapped.
    public mutating func createDirectMappings(group: Int32, device: Int32) throws(IOMMUError) {
        guard let group = self.group(group), let device = self.device(device) else { throw .invalid }
        guard let number = group.defaultDomain, let type = domain(number)?.type, isDirectlyMapped(type) else { return }
        // A kernel takes this for a bug: such a domain has page sizes.
        guard let granule = domain(number)?.pageSizes?.granule else { throw .invalid }
        for region in device.reservedRegions where region.kind == .direct {
            guard let pages = Self.pages(of: region, granule: granule) else { continue }
            guard pages.size / granule <= Self.directPageLimit else { throw .tooBig }
            try mapDirectly(pages, granule: granule, in: number)
        }
        if !era.joinsDirectMappings || !device.reservedRegions.isEmpty { flushTLBAll(number) }
    }

    private func isDirectlyMapped(_ type: DomainType) -> Bool {
        era.hasFlushQueueDomains ? type.contains([.paging, .dmaAPI]) : type == .dma
    }

    /// Both ends of a region rounded up to whole pages; `nil` if nothing is left.
    private static func pages(of region: ReservedRegion, granule: UInt64) -> AddressRange? {
        guard let range = AddressRange(start: region.start, size: region.length) else { return nil }
        let (start, overflow) = range.start.addingReportingOverflow(granule - 1)
        guard !overflow else { return nil }
        return AddressRange(start: start & ~(granule - 1), last: range.last | (granule - 1))
    }

    private mutating func mapDirectly(_ pages: AddressRange, granule: UInt64, in domain: Int32) throws(IOMMUError) {
        var waiting: AddressRange?
        var page = pages.start
        while page <= pages.last {
            if iovaToPhys(domain, iova: page) != 0 {
                if let run = waiting { try map(domain, iova: run.start, paddr: run.start, size: run.size) }
                waiting = nil
            } else if era.joinsDirectMappings {
                waiting = AddressRange(start: waiting?.start ?? page, last: page | (granule - 1))
            } else {
                try map(domain, iova: page, paddr: page, size: granule)
            }
            guard page <= .max - granule else { break }
            page += granule
        }
        if let run = waiting { try map(domain, iova: run.start, paddr: run.start, size: run.size) }
    }
}
