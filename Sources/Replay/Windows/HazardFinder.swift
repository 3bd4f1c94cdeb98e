import IOMMUModel
import Operations
import TraceStore

/// Finds what happens inside open windows: stale addresses and pages that are used again, and faults (design §4 13).
struct HazardFinder {
    private let stale: StaleState
    /// Those that open windows.
    private let lanes: ContiguousArray<PolicyLane>
    /// By domain - 1, where it ever mattered: which of its pages are mapped.
    private var livePages: ContiguousArray<MappedPages?>
    /// What one map finds; kept to be filled again.
    private var ofOthers: ContiguousArray<StalePage> = []
    private var own: ContiguousArray<StalePage> = []
    private var open: ContiguousArray<OpenPage> = []

    /// Of the stale runs that one map reuses so many are looked at: more than any one mapping has on a host, and few enough
    /// that a log which maps exabytes again and again cannot stall a replay.
    private static let runLimit = 1 << 16
    /// Likewise the domains that are looked through for a page: more than have anything stale at once.
    private static let domainLimit = 1 << 10

    /// A page, or several in a row, that an unmap call of a domain removed last.
    private struct StalePage {
        var pages: AddressRange
        var domain: Int32
        var order: Int64
        /// Address of the first page.
        var iova: UInt64

        /// The addresses of a part of the pages.
        func addresses(of part: AddressRange) -> AddressRange? {
            AddressRange(start: iova &+ (part.start - pages.start), size: part.size)
        }
    }

    /// A part of an open window, by address and by page.
    private struct OpenPage {
        var kind: HazardKind
        var window: Window
        var domain: Int32
        var addresses: AddressRange
        var pages: AddressRange
    }

    init(stale: StaleState, lanes: ContiguousArray<PolicyLane>, domains: Int) {
        self.stale = stale
        self.lanes = lanes
        livePages = ContiguousArray(repeating: nil, count: domains)
    }

    // MARK: - Maps

    /// A map that succeeds, before it changes the domain's page table.
    mutating func map(_ operation: StoredOperation, _ range: AddressRange, _ table: PageTable) {
        guard !lanes.isEmpty, !stale.active.isEmpty else { return }
        let range = range.roundedOut(to: 4096)
        reuseOfAddress(operation, range)
        if let paddr = operation.paddr, let pages = AddressRange(start: paddr & ~4095, size: range.size) {
            reuseOfPage(operation, pages, table)
        }
    }

    private func reuseOfAddress(_ operation: StoredOperation, _ range: AddressRange) {
        let domain = operation.domain
        stale.domains[Int(domain) - 1].byAddress.forEachRun(overlapping: range, limit: Self.runLimit) { run in
            guard let run = run.clipped(to: range) else { return }
            let page = operation.paddr.map { ($0 & ~4095) &+ (run.range.start - range.start) }
            for lane in lanes {
                let kind: HazardKind =
                    run.pageSize == 0 || page == nil
                    ? .unknownPage : run.target == page ? .samePageRemap : lane.windows.reuseKind(in: domain)
                lane.windows.count(
                    kind, order: run.tag, in: run.range, domain: domain, reuse: operation.id, at: operation.time)
            }
        }
    }

    private mutating func reuseOfPage(_ operation: StoredOperation, _ pages: AddressRange, _ table: PageTable) {
        let domains = stale.filter.domains(of: pages)
        guard domains != 0 else { return }
        ofOthers.removeAll(keepingCapacity: true)
        if domains & ~StaleFilter.bit(of: operation.domain) != 0 || livePages.count > 64 {
            for domain in stale.active.prefix(Self.domainLimit)
            where domain != operation.domain && domains & StaleFilter.bit(of: domain) != 0 {
                collectUnmapped(domain, pages, in: operation.domain, table)
            }
        }
        guard !ofOthers.isEmpty else {
            recycled(operation, pages)
            return
        }
        own.removeAll(keepingCapacity: true)
        Self.collect(operation.domain, pages, stale, lanes) { own.append($0) }
        for lane in lanes {
            open.removeAll(keepingCapacity: true)
            collectOpen(ofOthers, .pageReuse, under: lane)
            collectOpen(own, .recycled, under: lane)
            countOpen(under: lane, operation)
        }
    }

    /// Each page counts once, for the first window in ``open`` that it is open in.
    private func countOpen(under lane: PolicyLane, _ operation: StoredOperation) {
        func count(_ part: AddressRange, of page: OpenPage) {
            let start = page.addresses.start &+ (part.start - page.pages.start)
            guard let addresses = AddressRange(start: start, size: part.size) else { return }
            lane.windows.count(
                page.kind, page.window, domain: page.domain, addresses, reuse: operation.id, at: operation.time)
        }
        if open.count == 1 {
            count(open[0].pages, of: open[0])
            return
        }
        var counted = RangeTree()
        for (number, page) in open.enumerated() {
            counted.forEachGap(in: page.pages) { count($0, of: page) }
            _ = counted.insert(page.pages, number: Int64(number))
        }
    }

    /// Where no other domain has them stale, pages of the same domain need no comparing: each was removed last by one call.
    private func recycled(_ operation: StoredOperation, _ pages: AddressRange) {
        let domain = operation.domain
        stale.domains[Int(domain) - 1].byPage.forEachRun(overlapping: pages, limit: Self.runLimit) { run in
            guard let run = run.clipped(to: pages),
                let addresses = AddressRange(start: run.target, size: run.range.size)
            else { return }
            for lane in lanes {
                lane.windows.count(
                    .recycled, order: run.tag, in: addresses, domain: domain, reuse: operation.id, at: operation.time)
            }
        }
    }

    /// Calls `body` with those of the pages that are stale in a domain, and may be open.
    @inline(__always)
    private static func collect(
        _ domain: Int32, _ pages: AddressRange, _ stale: StaleState, _ lanes: ContiguousArray<PolicyLane>,
        _ body: (StalePage) -> Void
    ) {
        stale.domains[Int(domain) - 1].byPage.forEachRun(overlapping: pages, limit: runLimit) { run in
            guard lanes.contains(where: { $0.windows.mayBeOpen(run.tag, in: domain) }), let run = run.clipped(to: pages)
            else { return }
            body(StalePage(pages: run.range, domain: domain, order: run.tag, iova: run.target))
        }
    }

    /// Adds to ``ofOthers`` what is stale in one domain and not mapped in another.
    private mutating func collectUnmapped(
        _ domain: Int32, _ pages: AddressRange, in other: Int32, _ table: PageTable
    ) {
        Self.collect(domain, pages, stale, lanes) { stalePage in
            prepareLivePages(of: other, table)
            livePages[Int(other) - 1]?.forEachUnmapped(of: stalePage.pages) { part in
                guard let start = stalePage.addresses(of: part)?.start else { return }
                ofOthers.append(StalePage(pages: part, domain: domain, order: stalePage.order, iova: start))
            }
        }
    }

    /// Adds to ``open`` those of the pages that are open under a policy, of the latest unmap call first.
    private mutating func collectOpen(
        _ stalePages: ContiguousArray<StalePage>, _ kind: HazardKind, under lane: PolicyLane
    ) {
        let first = open.count
        for page in stalePages {
            guard let addresses = page.addresses(of: page.pages) else { continue }
            lane.windows.forEachOpen(page.order, in: addresses, domain: page.domain) { window, part in
                let start = page.pages.start &+ (part.start - addresses.start)
                guard let pages = AddressRange(start: start, size: part.size) else { return }
                open.append(
                    OpenPage(kind: kind, window: window, domain: page.domain, addresses: part, pages: pages))
            }
        }
        if open.count - first > 1 { open[first...].sort { $0.window.operation > $1.window.operation } }
    }

    // MARK: - What is mapped

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

    /// A recorded fault.
    ///
    /// - Parameter known: the domain that the device is attached to; 0 if the log does not show it.
    func fault(_ operation: StoredOperation, device known: Int32) {
        guard !lanes.isEmpty, operation.hasRange, let address = AddressRange(start: operation.iova, size: 1) else {
            return
        }
        let page = address.roundedOut(to: 4096)
        let domains =
            known > 0 && Int(known) <= livePages.count ? [known] : Array(stale.active.prefix(Self.domainLimit))
        for lane in lanes {
            var hit: (window: Window, domain: Int32)?
            var hits = 0
            for domain in domains {
                stale.domains[Int(domain) - 1].byAddress.forEachRun(overlapping: address) { run in
                    lane.windows.forEachOpen(run.tag, in: address, domain: domain) { window, _ in
                        hit = (window, domain)
                        hits += 1
                    }
                }
            }
            guard hits == 1, let hit else { continue }
            lane.windows.count(
                .access, hit.window, domain: hit.domain, page, reuse: operation.id, at: operation.time)
        }
    }
}
