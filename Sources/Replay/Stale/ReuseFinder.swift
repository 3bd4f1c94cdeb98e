import IOMMUModel
import Operations
import TraceStore

/// Finds stale translations that are used again: addresses and pages that are mapped, addresses that fault (design §4 13).
///
/// Which of them still lie in an open window each policy knows for itself.
struct ReuseFinder {
    /// By domain - 1, where it ever mattered: which of its pages are mapped.
    private var livePages: ContiguousArray<MappedPages?>

    /// Of the stale runs that one map reuses so many are looked at: more than any one mapping has on a host, and few enough
    /// that a log which maps exabytes again and again cannot stall a replay.
    private static let runLimit = 1 << 16
    /// Likewise the domains that are looked through for a page: more than have anything stale at once.
    private static let domainLimit = 1 << 10

    init(domains: Int) { livePages = ContiguousArray(repeating: nil, count: domains) }

    // MARK: - Maps

    /// A map that succeeds, before it changes the domain's page table.
    mutating func map(
        _ operation: StoredOperation, _ range: AddressRange, _ table: PageTable, _ stale: StaleState,
        _ event: inout WorldEvent.Map, into batch: inout WorldEvents
    ) {
        guard !stale.active.isEmpty else { return }
        let range = range.roundedOut(to: 4096)
        let first = batch.reuseCount
        reuseOfAddress(operation, range, stale, &batch)
        event.addresses = batch.reuses(since: first)
        guard let paddr = operation.paddr, let pages = AddressRange(start: paddr & ~4095, size: range.size) else {
            return
        }
        let domains = stale.filter.domains(of: pages)
        guard domains != 0 else { return }
        let firstOfOthers = batch.reuseCount
        if domains & ~StaleFilter.bit(of: operation.domain) != 0 || livePages.count > 64 {
            for domain in stale.active.prefix(Self.domainLimit)
            where domain != operation.domain && domains & StaleFilter.bit(of: domain) != 0 {
                reuseOfPages(pages, of: domain, in: operation.domain, table, stale, &batch)
            }
        }
        event.pagesOfOthers = batch.reuses(since: firstOfOthers)
        let firstOwn = batch.reuseCount
        Self.forEachStale(operation.domain, pages, stale) { batch.add($0) }
        event.ownPages = batch.reuses(since: firstOwn)
    }

    private func reuseOfAddress(
        _ operation: StoredOperation, _ range: AddressRange, _ stale: StaleState, _ batch: inout WorldEvents
    ) {
        let domain = operation.domain
        let firstOpen = stale.domains[Int(domain) - 1].firstMaybeOpen
        stale.domains[Int(domain) - 1].byAddress.forEachRun(overlapping: range, limit: Self.runLimit) { run in
            guard run.tag >= firstOpen, let run = run.clipped(to: range) else { return }
            let page = operation.paddr.map { ($0 & ~4095) &+ (run.range.start - range.start) }
            batch.add(
                StaleUse(
                    domain: domain, order: run.tag, addresses: run.range,
                    page: run.pageSize == 0 || page == nil ? .unknown : run.target == page ? .same : .another))
        }
    }

    /// Calls `body` with those of the pages that are stale in a domain.
    @inline(__always)
    private static func forEachStale(
        _ domain: Int32, _ pages: AddressRange, _ stale: StaleState, _ body: (StaleUse) -> Void
    ) {
        let firstOpen = stale.domains[Int(domain) - 1].firstMaybeOpen
        stale.domains[Int(domain) - 1].byPage.forEachRun(overlapping: pages, limit: runLimit) { run in
            guard run.tag >= firstOpen, let run = run.clipped(to: pages),
                let addresses = AddressRange(start: run.target, size: run.range.size)
            else { return }
            body(StaleUse(domain: domain, order: run.tag, addresses: addresses, paddr: run.range.start))
        }
    }

    /// Adds what of the pages is stale in one domain and not mapped in another.
    private mutating func reuseOfPages(
        _ pages: AddressRange, of domain: Int32, in other: Int32, _ table: PageTable, _ stale: StaleState,
        _ batch: inout WorldEvents
    ) {
        Self.forEachStale(domain, pages, stale) { use in
            guard let pages = use.pages else { return }
            prepareLivePages(of: other, table)
            livePages[Int(other) - 1]?.forEachUnmapped(of: pages) { part in
                let start = use.addresses.start &+ (part.start - pages.start)
                guard let addresses = AddressRange(start: start, size: part.size) else { return }
                batch.add(StaleUse(domain: domain, order: use.order, addresses: addresses, paddr: part.start))
            }
        }
    }

    // MARK: - What is mapped

    /// Whether it is kept up to date which pages a domain has mapped.
    @inline(__always)
    func follows(_ domain: Int32) -> Bool { livePages[Int(domain) - 1] != nil }

    /// From here on it is kept up to date which pages a domain has mapped.
    private mutating func prepareLivePages(of domain: Int32, _ table: PageTable) {
        guard livePages[Int(domain) - 1] == nil else { return }
        livePages[Int(domain) - 1] = MappedPages()
        didChange(domain, .everything, table)
    }

    /// A page table is about to change in `range`.
    ///
    /// - Returns: where its runs may be others afterwards, for ``didChange(_:_:_:)``; `nil` if nobody needs to know.
    mutating func willChange(_ domain: Int32, _ range: AddressRange, _ table: PageTable) -> AddressRange? {
        let index = Int(domain) - 1
        guard livePages[index] != nil else { return nil }
        var (start, last) = (range.start, range.last)
        table.forEachRun(overlapping: range) { run in
            livePages[index]?.remove(start: run.target, iova: run.range.start)
            (start, last) = (min(start, run.range.start), max(last, run.range.last))
        }
        return AddressRange(start: start, last: last)
    }

    /// A page table has changed there.
    mutating func didChange(_ domain: Int32, _ range: AddressRange?, _ table: PageTable) {
        let index = Int(domain) - 1
        guard let range, livePages[index] != nil else { return }
        table.forEachRun(overlapping: range) { run in
            // A map of which the log tells no physical address is tagged so.
            guard run.tag >= 0, let pages = AddressRange(start: run.target, size: run.range.size) else { return }
            livePages[index]?.insert(pages, iova: run.range.start)
        }
    }

    // MARK: - Faults

    /// A recorded fault at one address.
    ///
    /// - Parameter known: the domain that the device is attached to; 0 if the log does not show it.
    func fault(_ address: AddressRange, in known: Int32, _ stale: StaleState, into batch: inout WorldEvents) {
        let domains =
            known > 0 && Int(known) <= livePages.count ? [known] : Array(stale.active.prefix(Self.domainLimit))
        for domain in domains {
            stale.domains[Int(domain) - 1].byAddress.forEachRun(overlapping: address) { run in
                batch.add(StaleUse(domain: domain, order: run.tag, addresses: address))
            }
        }
    }
}
