extension IOMMUCore {
    /// Unmaps `size` bytes from `iova` on and flushes them: `iommu_unmap` (model.md §1.5, §1.6).
    ///
    /// It stops where a callback unmaps nothing; what lies behind the hole stays. A superpage of which a part was asked for may
    /// go whole, and count whole. Up to 5.3 the sync is done before the unmap event, whatever was unmapped; later it follows
    /// the event, and is done even for a call that is refused.
    ///
    /// - Returns: bytes unmapped. Refused: 0, but in 4.15 ``IOMMUError/asSize`` of ``IOMMUError/noDevice`` without the callback
    ///   or page sizes, of ``IOMMUError/invalid`` in a domain without page table or where something is not aligned.
    public mutating func unmap(_ domain: Int32, iova: UInt64, size: UInt64) -> UInt64 {
        var gather = Gather()
        let unmapped = unmap(
            domain, iova: iova, size: size, gather: &gather, isStrict: era.recordsRangesInDomain)
        if !era.recordsRangesInDomain { tlbSync(domain, gather: &gather) }
        return unmapped
    }

    /// Unmaps as ``unmap(_:iova:size:)`` does, but leaves the flush to the caller: `iommu_unmap_fast` (model.md §1.5, §1.6).
    ///
    /// Up to 5.3 the caller says by ``tlbRangeAdd(_:iova:size:)`` what ``tlbSync(_:gather:)`` is to flush; later the driver adds
    /// what it removed to `gather`, and syncs by itself what the gather cannot take together with it.
    ///
    /// - Parameter gather: stays as it is up to 5.3.
    /// - Returns: bytes unmapped; refused, the same as ``unmap(_:iova:size:)``.
    public mutating func unmapFast(
        _ domain: Int32, iova: UInt64, size: UInt64, gather: inout Gather
    ) -> UInt64 {
        unmap(domain, iova: iova, size: size, gather: &gather, isStrict: false)
    }

    /// What is to be done about a buffer's addresses after ``dmaUnmap(_:iova:size:)``.
    public struct DMAUnmapResult: Hashable, Sendable {
        /// Bytes unmapped; anything but the buffer's, rounded out to whole pages, would be a warning in a kernel.
        public var unmapped: UInt64
        /// The addresses must go through a flush queue, because nothing was flushed; otherwise they are free.
        public var mustQueue: Bool
    }

    /// Unmaps one buffer of the DMA API: `__iommu_dma_unmap` (model.md §2.3).
    ///
    /// A DMA domain is flushed at once, by `iommu_unmap` up to 5.3 and by unmap_fast and a sync later; a DMA-FQ domain not at all.
    public mutating func dmaUnmap(_ domain: Int32, iova: UInt64, size: UInt64) -> DMAUnmapResult {
        guard let type = self.domain(domain)?.type, let granule = self.domain(domain)?.pageSizes?.granule,
            let range = AddressRange(start: iova, size: size)?.roundedOut(to: granule)
        else { return DMAUnmapResult(unmapped: 0, mustQueue: false) }
        guard !era.recordsRangesInDomain else {
            return DMAUnmapResult(unmapped: unmap(domain, iova: range.start, size: range.size), mustQueue: false)
        }
        var gather = Gather(isQueued: type.contains(.flushQueue))
        let unmapped = unmapFast(domain, iova: range.start, size: range.size, gather: &gather)
        if !gather.isQueued { tlbSync(domain, gather: &gather) }
        return DMAUnmapResult(unmapped: unmapped, mustQueue: gather.isQueued)
    }

    /// `__iommu_unmap`.
    ///
    /// - Parameter isStrict: up to 5.3, whether it flushes.
    private mutating func unmap(
        _ number: Int32, iova: UInt64, size: UInt64, gather: inout Gather, isStrict: Bool
    ) -> UInt64 {
        guard let isPaging = domain(number)?.type.contains(.paging) else { return refuse(.invalid) }
        guard let sizes = domain(number)?.pageSizes(with: .unmap) else { return refuse(.noDevice) }
        guard isPaging, (iova | size) & (sizes.granule - 1) == 0 else { return refuse(.invalid) }

        var unmapped: UInt64 = 0
        // No driver has anything beyond 2^64; and what would take too many callbacks is done in runs, in any era.
        if let range = AddressRange(start: iova, size: size) {
            let takesRuns = era.callbacksTakeRuns || sizes.pageCount(of: range) > pageLimit
            while unmapped < size {
                let start = iova &+ unmapped
                guard
                    let next = callback(sizes, iova: start, paddr: start, size: size - unmapped, takesRuns: takesRuns)
                else { break }
                if unmapped == 0 || !callbackTakesCall(number) { counts.callbacks &+= 1 }
                let bytes = unmapCallback(number, iova: start, next, gather: &gather)
                guard bytes > 0 else { break }
                // The size that was asked for, not what was unmapped: of a superpage it may be a small part.
                if isStrict { addRange(number, AddressRange(start: start, size: next.size), count: next.count) }
                let (sum, overflow) = unmapped.addingReportingOverflow(bytes)
                unmapped = overflow ? .max : sum
            }
        }
        if isStrict { syncRanges(number) }
        counts.unmaps &+= 1
        record(.unmap(domain: number, iova: iova, size: size, unmapped: unmapped))
        return unmapped
    }

    private func refuse(_ error: IOMMUError) -> UInt64 { era.returnsUnmapErrorsAsSizes ? error.asSize : 0 }

    /// The driver's `unmap` or `unmap_pages`, with what it flushes or gathers by itself.
    ///
    /// - Returns: bytes that it reports.
    private mutating func unmapCallback(
        _ number: Int32, iova: UInt64, _ callback: PageSizes.Callback, gather: inout Gather
    ) -> UInt64 {
        var result = RadixPageTable.UnmapResult()
        var flushing = DriverModel.Flushing.rangesAtSync
        var gathering = Gather.Rule.callbacks
        withDomain(number) { domain in
            (flushing, gathering) = (domain.driver.flushing, domain.driver.gathering)
            guard
                let unmapped = domain.table?.unmap(iova: iova, pageSize: callback.pageSize, count: callback.count)
            else { return }
            result = unmapped
        }
        // A superpage may be larger than what lies between here and 2^64.
        let bytes = result.reportedBytes
        guard bytes > 0 else { return 0 }
        let last = iova.addingReportingOverflow(bytes - 1)
        let range = AddressRange(uncheckedStart: iova, last: last.overflow ? .max : last.partialValue)
        let hint: InvalidationHint = result.freedTables.isEmpty ? .leavesOnly : .tablesToo
        if flushing == .insideUnmap {
            send(InvalidationCommand(range, hint: hint), to: number)
            return bytes
        }
        if result.flushesWalksAtOnce {
            send(InvalidationCommand(range, hint: .tablesToo), to: number)
        } else if hint == .tablesToo {
            if era.recordsRangesInDomain { withDomain(number) { $0.addTables() } } else { gather.addTables() }
        }
        if !era.recordsRangesInDomain, !gather.isQueued {
            // VT-d compares the bytes of callbacks, Arm those of pages.
            let length = gathering == .pages ? callback.pageSize : range.size
            if !gather.fits(range, length: length, by: gathering) { sync(number, gather: &gather, isImplicit: true) }
            _ = gather.add(range, length: length, by: gathering)
        }
        return bytes
    }
}
