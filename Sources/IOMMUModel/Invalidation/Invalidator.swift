/// One domain's way from unmaps and syncs to commands, under one ``HardwareProfile``.
///
/// One IOMMU and no device TLB: no log of today's tracepoints tells of more (model.md §4: I = 1, D = 0).
public struct Invalidator: Sendable {
    private let profile: HardwareProfile
    private let pageSizes: PageSizes
    /// What was gathered since the last sync.
    private var span: AddressRange?
    /// What must stay equal within a span: bytes of a callback, or of a page.
    private var spanSize: UInt64 = 0
    /// Pages gathered since the last sync: a span may hold others that lie between.
    private var gatheredPages: UInt64 = 0

    /// What it all came to.
    public private(set) var counts = InvalidationCounts()

    /// Nothing gathered, nothing counted.
    ///
    /// - Parameter pageSizes: those that the unmaps' callbacks are made of.
    public init(_ profile: HardwareProfile, pageSizes: PageSizes) {
        self.profile = profile
        self.pageSizes = pageSizes
    }

    /// An unmap that a sync is to follow: `iommu_unmap_fast`, or the first part of `iommu_unmap`.
    public mutating func unmap(_ range: AddressRange) {
        switch profile.collecting {
        case .wholeDomain: break
        case .oneSpan: gather(range, size: 0)
        case .eachPage:
            counts.add(commands: callbacks(range), waits: 0)
            counts.pages &+= Self.pages(range)
        case .eachCallback:
            counts.add(commands: callbacks(range), waits: callbacks(range))
            counts.pages &+= Self.pages(range)
        case .spansOfOneCallbackSize, .spansOfOnePageSize:
            let isByPage = profile.collecting == .spansOfOnePageSize
            pageSizes.forEachCallback(in: range) { iova, callback in
                guard let added = AddressRange(start: iova, size: callback.size) else { return }
                gather(added, size: isByPage ? callback.pageSize : callback.size)
            }
        }
    }

    /// `iommu_tlb_sync`: what was gathered leaves for the hardware.
    ///
    /// Also where nothing was unmapped: the contract syncs then, and the range of an empty gather, from 2^64 - 1 to 0, reads as
    /// one page with Intel's driver of 6.1 and as everything with today's Intel and AMD drivers (model.md §1.6).
    public mutating func sync() {
        switch profile.collecting {
        case .wholeDomain: counts.addDomain()
        case .eachPage: counts.waits += 1
        case .eachCallback: break
        case .oneSpan, .spansOfOneCallbackSize:
            if span != nil {
                flushSpan()
            } else if profile == .vtd61 {
                counts.add(pages: 1, asked: 0)
                counts.add(waits: 1)
            } else {
                counts.addDomain()
            }
        case .spansOfOnePageSize: flushSpan()
        }
    }

    /// `iommu_flush_tlb_all`, or a flush queue's flush.
    public mutating func flushAll() {
        span = nil
        counts.addDomain()
    }

    /// A sync of the log, of which the range is known.
    public mutating func sync(_ range: AddressRange) {
        switch profile.collecting {
        case .wholeDomain: counts.addDomain()
        case .eachPage, .eachCallback:
            counts.add(commands: callbacks(range), waits: profile == .contract ? 1 : callbacks(range))
            counts.pages &+= Self.pages(range)
        case .oneSpan, .spansOfOneCallbackSize: send(range, asked: Self.pages(range), pageSize: 4096)
        case .spansOfOnePageSize: send(range, asked: Self.pages(range), pageSize: pageSizes.granule)
        }
    }

    /// Each page of an unmap flushed by a callback of its own, as before the interface existed.
    public mutating func flushEachPage(_ range: AddressRange) {
        counts.add(commands: callbacks(range), waits: callbacks(range))
        if profile.collecting == .wholeDomain {
            counts.add(domainCommands: callbacks(range))
        } else {
            counts.pages &+= Self.pages(range)
        }
    }

    // MARK: - Spans

    /// `iommu_iotlb_gather_add_page` and `iommu_iotlb_gather_add_range`.
    private mutating func gather(_ added: AddressRange, size: UInt64) {
        if let held = span {
            let touches =
                profile.collecting == .oneSpan
                || (added.start <= held.last || added.start - held.last == 1)
                    && (held.start <= added.last || held.start - added.last == 1)
            if size == spanSize, touches,
                let joined = AddressRange(start: min(held.start, added.start), last: max(held.last, added.last))
            {
                span = joined
                gatheredPages &+= Self.pages(added)
                return
            }
            flushSpan()
        }
        span = added
        spanSize = size
        gatheredPages = Self.pages(added)
    }

    private mutating func flushSpan() {
        guard let range = span else { return }
        send(range, asked: min(gatheredPages, Self.pages(range)), pageSize: spanSize)
        span = nil
    }

    /// One flush of a range, with its wait.
    private mutating func send(_ range: AddressRange, asked: UInt64, pageSize: UInt64) {
        let pages = Self.pages(range)
        switch profile {
        case .vtd419, .vtd61, .vtd612:
            let mask = VTd.mask(page: range.start >> 12, count: pages)
            guard mask <= VTd.maximumMask else {
                counts.addDomain()
                return
            }
            counts.add(pages: 1 << UInt64(mask), asked: asked)
        case .amd419, .amd6:
            guard let bits = AMDvi.coverage(of: range) else {
                counts.addDomain()
                return
            }
            counts.add(pages: 1 << UInt64(bits - 12), asked: asked)
        case .contract, .smmuv3:
            counts.add(commands: Int64(clamping: (range.last - range.start) / max(pageSize, 4096) &+ 1), waits: 0)
            counts.pages &+= pages
            counts.overPages &+= pages &- asked
        case .smmuv3RIL:
            counts.add(commands: SMMUv3.rangeCommands(pages: pages), waits: 0)
            counts.pages &+= pages
            counts.overPages &+= pages &- asked
        }
        counts.waits += 1
    }

    /// Callbacks of the 4.15 loop.
    private func callbacks(_ range: AddressRange) -> Int64 { Int64(clamping: pageSizes.pageCount(of: range)) }

    private static func pages(_ range: AddressRange) -> UInt64 { (range.last >> 12) - (range.start >> 12) + 1 }
}
