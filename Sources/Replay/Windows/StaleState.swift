import IOMMUModel

/// What one unmap call that a device could reach left behind, whatever the policy.
struct Window {
    /// Id of the unmap call.
    var operation: Int64
    /// Line of the log.
    var line: Int64
    /// ns
    var opened: Int64
    /// What it removed.
    var range: AddressRange
    /// Number of its ``Cell``.
    var cell: Int32
    /// How many losses the log had announced before.
    var losses: Int32
    /// Number among its domain's windows, in order.
    var order: Int64
    /// Id of the map call of the first of it that was mapped; 0 if the log does not show it.
    var map: Int64
}

/// Stale translations of one domain, common to all policies: what an IOTLB of any size may still hold.
///
/// Policies differ only in how long that lasts. Those that flush whole domains need to keep no more of it than where in
/// ``windows`` the first open one is.
final class StaleDomain {
    /// The windows that some policy needs, in order.
    @exclusivity(unchecked) private(set) var windows: ContiguousArray<Window> = []
    @exclusivity(unchecked) private var firstOrder: Int64 = 0
    /// For each stale IOVA what it pointed to, and as tag the order of the last unmap call that removed it.
    @exclusivity(unchecked) private(set) var byAddress = TranslationMap()
    /// For each such page the IOVA that pointed to it, likewise.
    @exclusivity(unchecked) private(set) var byPage = TranslationMap()

    /// Whether no policy has a window open.
    var isEmpty: Bool { windows.isEmpty && byAddress.runCount == 0 }

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
        for index in first..<last { body(windows[index]) }
    }

    /// Adds a window.
    ///
    /// - Parameters:
    ///   - pieces: what its addresses pointed to, as far as that is known and certain.
    func open(_ window: Window, _ pieces: ContiguousArray<TranslationMap.Run>) {
        windows.append(window)
        let whole = window.range.roundedOut(to: 4096)
        if pieces.count != 1 || !pieces[0].range.contains(whole) {
            byAddress.replace(with: TranslationMap.Run(range: whole, target: 0, pageSize: 0, tag: window.order))
        }
        for piece in pieces {
            guard let target = AddressRange(start: piece.target, size: piece.range.size) else { continue }
            byAddress.replace(
                with: TranslationMap.Run(
                    range: piece.range, target: piece.target, pageSize: 4096, tag: window.order))
            byPage.replace(
                with: TranslationMap.Run(range: target, target: piece.range.start, pageSize: 4096, tag: window.order))
        }
    }

    /// Forgets everything.
    func forgetAll() {
        firstOrder = end
        windows = []
        byAddress = TranslationMap()
        byPage = TranslationMap()
    }

    /// Forgets what no policy needs any more.
    ///
    /// - Returns: id of the first unmap call whose window is, or may be, open; `Int64.max` if none is.
    func forgetClosed(under lanes: ContiguousArray<PolicyLane>, domain: Int32) -> Int64 {
        let order = min(lanes.reduce(Int64.max) { min($0, $1.windows.firstOpen(in: domain)) }, end)
        let pieces = lanes.reduce(0) { $0 + $1.windows.openPieces(in: domain) }
        let closed = Int(order - firstOrder)
        if closed == windows.count {
            windows.removeAll(keepingCapacity: true)
            firstOrder = order
        } else if closed > 1024, closed * 2 > windows.count {
            windows.removeSubrange(..<closed)
            firstOrder = order
        }
        if windows.isEmpty, pieces == 0 {
            byAddress.removeAll()
            byPage.removeAll()
        } else if max(byAddress.runCount, byPage.runCount) > 4 * (windows.count + pieces) + 256 {
            let open = lanes.reduce(into: Set<Int64>()) { $0.formUnion($1.windows.ordersOfPieces(in: domain)) }
            byAddress.filter { $0.tag >= order || open.contains($0.tag) }
            byPage.filter { $0.tag >= order || open.contains($0.tag) }
        }
        return lanes.reduce(window(order)?.operation ?? .max) { min($0, $1.windows.firstOfPieces(in: domain)) }
    }
}

/// What all policies of a replay share of stale translations.
final class StaleState {
    /// By domain - 1.
    let domains: ContiguousArray<StaleDomain>
    let cells: CellTable
    /// How many losses the log has announced so far.
    @exclusivity(unchecked) var losses: Int32 = 0
    /// Mappings with a lower tag (``MappingTag``) were made before the last of them: it is not known which page they led to.
    @exclusivity(unchecked) var firstCertainTag: Int64 = 0
    /// What the latest unmap removed from the page table; kept to be filled again.
    @exclusivity(unchecked) var removed: ContiguousArray<TranslationMap.Run>? = []

    /// Which domains may have a page stale.
    @exclusivity(unchecked) private(set) var filter = StaleFilter()
    /// Numbers of the domains that have stale pages.
    @exclusivity(unchecked) private(set) var active: ContiguousArray<Int32> = []
    private var opened: Int64 = 0

    init(domains: Int, tellsOnlyDomains: Bool = false) {
        cells = CellTable(tellsOnlyDomains: tellsOnlyDomains)
        self.domains = ContiguousArray((0..<domains).map { _ in StaleDomain() })
    }

    /// A domain is freed, its windows are closed under all policies.
    func forget(_ domain: Int32) {
        domains[Int(domain) - 1].forgetAll()
        active.removeAll { $0 == domain }
    }

    /// Adds a window to a domain, and now and then forgets those that are closed under all policies.
    func open(
        _ window: Window, _ pieces: ContiguousArray<TranslationMap.Run>, domain: Int32,
        under lanes: ContiguousArray<PolicyLane>
    ) {
        opened += 1
        if opened & 255 == 0 {
            filter.firstOpen = active.reduce(window.operation) {
                min($0, domains[Int($1) - 1].forgetClosed(under: lanes, domain: $1))
            }
            active.removeAll { domains[Int($0) - 1].isEmpty }
        }
        if domains[Int(domain) - 1].isEmpty { active.append(domain) }
        domains[Int(domain) - 1].open(window, pieces)
        for piece in pieces {
            if let pages = AddressRange(start: piece.target, size: piece.range.size) {
                filter.add(pages, domain: domain, operation: window.operation)
            }
        }
    }
}

extension AddressRange {
    /// 4096-byte pages, a part of one counting as one.
    @inline(__always)
    var pages: Int64 { Int64(truncatingIfNeeded: (last >> 12) - (start >> 12)) + 1 }
}
