import IOMMUModel

/// Stale translations of one domain: what an IOTLB of any size may still hold.
///
/// Policies differ only in how long that lasts. Those that flush whole domains keep no more of it than the number of the first
/// window that is open.
struct StaleDomain {
    /// The windows that some policy needs, in order.
    private(set) var windows: ContiguousArray<Window> = []
    private var firstOrder: Int64 = 0
    /// For each stale IOVA what it pointed to, and as tag the order of the last unmap call that removed it.
    private(set) var byAddress = TranslationMap()
    /// For each such page the IOVA that pointed to it, likewise.
    private(set) var byPage = TranslationMap()
    /// No policy has a window of a lower order open.
    private(set) var firstMaybeOpen: Int64 = 0
    /// Id of the first unmap call whose window may be open; `Int64.max` if none is.
    private(set) var firstOpenOperation = Int64.max
    /// How much there has to be before it is worth a look whether policies still need it.
    private(set) var trimSize = minimumTrimSize

    private static let minimumTrimSize = 64
    /// Translations that may be kept although their windows have closed.
    private static let runsKept = 4096

    /// Whether no policy has a window open.
    var isEmpty: Bool { firstMaybeOpen == end }

    /// What it holds beyond what it may keep anyway.
    var size: Int { max(windows.count, max(byAddress.runCount, byPage.runCount) - Self.runsKept) }

    /// The order that the next window will have.
    var end: Int64 { firstOrder + Int64(windows.count) }

    /// A window by its order; `nil` if no policy needs it any more.
    @inline(__always)
    func window(_ order: Int64) -> Window? {
        let index = Int(order - firstOrder)
        return windows.indices.contains(index) ? windows[index] : nil
    }

    /// Calls `body` with the windows of these orders.
    @inline(__always)
    func forEachWindow(_ orders: Range<Int64>, _ body: (Window) -> Void) {
        let first = max(Int(orders.lowerBound - firstOrder), 0)
        let last = min(Int(orders.upperBound - firstOrder), windows.count)
        guard first < last else { return }
        windows.withUnsafeBufferPointer { windows in
            for index in first..<last { body(windows[index]) }
        }
    }

    /// Adds a window.
    ///
    /// - Parameter pieces: what its addresses pointed to; those whose tag is below `firstCertain` do not count.
    mutating func open(_ window: Window, _ pieces: ContiguousArray<TranslationMap.Run>, firstCertain: Int64) {
        if windows.isEmpty { firstOpenOperation = min(firstOpenOperation, window.operation) }
        windows.append(window)
        let whole = window.range.roundedOut(to: 4096)
        let isKnown = pieces.count == 1 && pieces[0].tag >= firstCertain && pieces[0].range.contains(whole)
        if !isKnown {
            byAddress.replace(with: TranslationMap.Run(range: whole, target: 0, pageSize: 0, tag: window.order))
        }
        for piece in pieces where piece.tag >= firstCertain {
            guard let target = AddressRange(start: piece.target, size: piece.range.size) else { continue }
            byAddress.replace(
                with: TranslationMap.Run(
                    range: piece.range, target: piece.target, pageSize: 4096, tag: window.order))
            byPage.replace(
                with: TranslationMap.Run(range: target, target: piece.range.start, pageSize: 4096, tag: window.order))
        }
    }

    /// Nothing in it can be used again: the domain is freed. Policies may still close its windows.
    mutating func forgetTranslations() {
        byAddress = TranslationMap()
        byPage = TranslationMap()
    }

    /// Forgets what no policy needs any more.
    mutating func trim(_ needs: WindowNeeds) {
        let first = min(max(needs.from, firstOrder), end)
        let closed = Int(first - firstOrder)
        firstOpenOperation = min(window(first)?.operation ?? .max, needs.firstOperation)
        if closed == windows.count {
            windows.removeAll(keepingCapacity: true)
            firstOrder = first
        } else if closed > 1024, closed * 2 > windows.count {
            windows.removeSubrange(..<closed)
            firstOrder = first
        }
        firstMaybeOpen = min(first, needs.orders.first ?? first)
        // What is mapped again is mostly unmapped again as it was: a few more than are open do not matter.
        let runs = max(byAddress.runCount, byPage.runCount)
        let open = Int(end - first) + needs.orders.count
        if runs > 2 * open + Self.runsKept {
            byAddress.filter { needs.contains($0.tag) }
            byPage.filter { needs.contains($0.tag) }
        }
        trimSize = max(2 * size, Self.minimumTrimSize)
    }
}

/// What is stale in all domains, whatever the policy.
///
/// It learns what may be forgotten from numbers that the policies publish (``WindowNeeds``), and asks nobody.
struct StaleState {
    /// By domain - 1.
    private(set) var domains: ContiguousArray<StaleDomain>
    var cells: CellTable
    /// Mappings with a lower tag (``MappingTag``) were made before the last loss: it is not known which page they led to.
    var firstCertainTag: Int64 = 0

    /// Which domains may have a page stale.
    private(set) var filter = StaleFilter()
    /// Numbers of the domains that have stale translations.
    private(set) var active: ContiguousArray<Int32> = []
    /// By domain - 1, whether it is in ``active``.
    private var isActive: ContiguousArray<Bool>
    /// Those that were freed since the last ``takeDue()``: their windows are kept until all policies have closed them.
    private var freed: ContiguousArray<Int32> = []
    private var looks: UInt64 = 0
    /// Id of the latest unmap call that left a window.
    private var latestOperation = Int64.min

    init(domains: Int, tellsOnlyDomains: Bool = false) {
        cells = CellTable(tellsOnlyDomains: tellsOnlyDomains)
        self.domains = ContiguousArray(repeating: StaleDomain(), count: domains)
        isActive = ContiguousArray(repeating: false, count: domains)
    }

    /// The order that the next window of a domain will have.
    func end(of domain: Int32) -> Int64 { domains[Int(domain) - 1].end }

    /// A domain is freed.
    mutating func forget(_ domain: Int32) {
        domains[Int(domain) - 1].forgetTranslations()
        if isActive[Int(domain) - 1] { active.removeAll { $0 == domain } }
        isActive[Int(domain) - 1] = false
        freed.append(domain)
    }

    /// Adds a window to a domain.
    ///
    /// - Parameter pieces: what was removed from the page table, also what is not certain.
    /// - Returns: its order, and the id of the map call of the first piece that is certain; 0 for none.
    mutating func open(
        _ window: Window, _ pieces: ContiguousArray<TranslationMap.Run>, domain: Int32
    ) -> (order: Int64, map: Int64) {
        let index = Int(domain) - 1
        var window = window
        window.order = domains[index].end
        latestOperation = max(latestOperation, window.operation)
        for piece in pieces where piece.tag >= firstCertainTag {
            if window.map == 0 { window.map = MappingTag(piece.tag).operation }
            if let pages = AddressRange(start: piece.target, size: piece.range.size) {
                filter.add(pages, domain: domain, operation: window.operation)
            }
        }
        if !isActive[index] {
            active.append(domain)
            isActive[index] = true
        }
        domains[index].open(window, pieces, firstCertain: firstCertainTag)
        return (window.order, window.map)
    }

    // MARK: - Forgetting

    /// Domains of which it is worth a look whether policies still need what is kept: those that have grown, those that were
    /// freed, and now and then all small ones.
    mutating func takeDue() -> ContiguousArray<Int32> {
        looks &+= 1
        let mayBeSmall = looks & 15 == 0
        var due = ContiguousArray(
            active.filter {
                let domain = domains[Int($0) - 1]
                return domain.size >= domain.trimSize || mayBeSmall && domain.size < Self.smallSize
            })
        if !freed.isEmpty {
            due += freed
            freed.removeAll(keepingCapacity: true)
        }
        return due
    }

    mutating func trim(_ domain: Int32, _ needs: WindowNeeds) { domains[Int(domain) - 1].trim(needs) }

    /// What costs little to look at.
    private static let smallSize = 4096

    /// After the domains that were due are trimmed.
    mutating func endTrimming() {
        if active.contains(where: { domains[Int($0) - 1].isEmpty }) {
            for domain in active where domains[Int(domain) - 1].isEmpty { isActive[Int(domain) - 1] = false }
            active.removeAll { domains[Int($0) - 1].isEmpty }
        }
        filter.firstOpen = active.reduce(latestOperation.addingSaturated(1)) {
            min($0, domains[Int($1) - 1].firstOpenOperation)
        }
    }
}

extension AddressRange {
    /// 4096-byte pages, a part of one counting as one.
    @inline(__always)
    var pages: Int64 { Int64(truncatingIfNeeded: (last >> 12) - (start >> 12)) + 1 }
}
