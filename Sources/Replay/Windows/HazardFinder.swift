import IOMMUModel
import Operations
import TraceStore

/// Finds what happens inside open windows: stale addresses and pages that are used again, and faults (design §4 13).
struct HazardFinder {
    private let stale: StaleState
    /// Those that open windows.
    private let lanes: ContiguousArray<PolicyLane>
    /// By domain - 1, where it ever mattered: which of its pages are mapped.
    private var livePages: ContiguousArray<RangeTree?>

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
        var others: [StalePage] = []
        for domain in stale.active.prefix(Self.domainLimit) where domain != operation.domain {
            collect(domain, pages, into: &others)
        }
        if !others.isEmpty {
            others = others.flatMap { unmapped($0, in: operation.domain, table) }
        }
        guard !others.isEmpty else {
            recycled(operation, pages)
            return
        }
        var own: [StalePage] = []
        collect(operation.domain, pages, into: &own)
        for lane in lanes {
            var counted = RangeTree()
            for (stalePages, kind) in [(others, HazardKind.pageReuse), (own, .recycled)] {
                for open in openPages(stalePages, under: lane) {
                    for part in Self.parts(of: open.pages, notIn: counted) {
                        let start = open.addresses.start &+ (part.start - open.pages.start)
                        guard let addresses = AddressRange(start: start, size: part.size) else { continue }
                        lane.windows.count(
                            kind, open.window, domain: open.domain, addresses, reuse: operation.id,
                            at: operation.time)
                        // Parts counted are disjoint: their starts tell them apart.
                        _ = counted.insert(part, number: 0)
                    }
                }
            }
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

    private func collect(_ domain: Int32, _ pages: AddressRange, into found: inout [StalePage]) {
        stale.domains[Int(domain) - 1].byPage.forEachRun(overlapping: pages, limit: Self.runLimit) { run in
            guard let run = run.clipped(to: pages) else { return }
            found.append(StalePage(pages: run.range, domain: domain, order: run.tag, iova: run.target))
        }
    }

    /// Those of the pages that are open under a policy, of the latest unmap call first.
    private func openPages(_ stalePages: [StalePage], under lane: PolicyLane) -> [OpenPage] {
        var open: [OpenPage] = []
        for page in stalePages {
            guard let addresses = page.addresses(of: page.pages) else { continue }
            lane.windows.forEachOpen(page.order, in: addresses, domain: page.domain) { window, part in
                let start = page.pages.start &+ (part.start - addresses.start)
                guard let pages = AddressRange(start: start, size: part.size) else { return }
                open.append(OpenPage(window: window, domain: page.domain, addresses: part, pages: pages))
            }
        }
        if open.count > 1 { open.sort { $0.window.operation > $1.window.operation } }
        return open
    }

    // MARK: - What is mapped

    /// The parts of stale pages that are not mapped in a domain.
    private mutating func unmapped(_ page: StalePage, in domain: Int32, _ table: PageTable) -> [StalePage] {
        if livePages[Int(domain) - 1] == nil {
            // From here on it is kept up to date.
            var live = RangeTree()
            table.forEachRun(overlapping: .everything) { Self.add($0, to: &live) }
            livePages[Int(domain) - 1] = live
        }
        guard let live = livePages[Int(domain) - 1] else { return [page] }
        return Self.parts(of: page.pages, notIn: live).compactMap { part in
            page.addresses(of: part).map {
                StalePage(pages: part, domain: page.domain, order: page.order, iova: $0.start)
            }
        }
    }

    /// What is left of pages beside those of a tree, in order.
    private static func parts(of pages: AddressRange, notIn tree: RangeTree) -> [AddressRange] {
        var parts: [AddressRange] = []
        // The first page not decided yet. Ranges come in order of start: what lies before the next one is left for good.
        var next: UInt64? = pages.start
        tree.forEach(overlapping: pages) { known, _ in
            guard let start = next, known.last >= start else { return }
            if known.start > start, let part = AddressRange(start: start, last: known.start - 1) { parts.append(part) }
            next = known.last < pages.last ? known.last + 1 : nil
        }
        if let start = next, let part = AddressRange(start: start, last: pages.last) { parts.append(part) }
        return parts
    }

    private static func add(_ run: PageTable.Run, to live: inout RangeTree) {
        // A map of which the log tells no physical address is tagged so.
        guard run.tag >= 0, let pages = AddressRange(start: run.target, size: run.range.size) else { return }
        _ = live.insert(pages, number: Int64(bitPattern: run.range.start))
    }

    /// A page table is about to change in `range`.
    ///
    /// - Returns: where its runs may be others afterwards, for ``didChange(_:_:_:)``; `nil` if nobody needs to know.
    mutating func willChange(_ domain: Int32, _ range: AddressRange, _ table: PageTable) -> AddressRange? {
        guard var live = livePages[Int(domain) - 1].take() else { return nil }
        var (start, last) = (range.start, range.last)
        table.forEachRun(overlapping: range) { run in
            live.remove(start: run.target, number: Int64(bitPattern: run.range.start))
            (start, last) = (min(start, run.range.start), max(last, run.range.last))
        }
        livePages[Int(domain) - 1] = live
        return AddressRange(start: start, last: last)
    }

    /// A page table has changed there.
    mutating func didChange(_ domain: Int32, _ range: AddressRange?, _ table: PageTable) {
        guard let range, var live = livePages[Int(domain) - 1].take() else { return }
        table.forEachRun(overlapping: range) { Self.add($0, to: &live) }
        livePages[Int(domain) - 1] = live
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
