import IOMMUModel

/// Open windows of a domain under a policy that closes them by address: each as the parts that are still open.
struct OpenPieces {
    private var tree = RangeTree()
    /// By place in the tree.
    private var windows: ContiguousArray<Window> = []

    var count: Int { tree.count }

    /// A part of a window that closes.
    struct Closed {
        var window: Window
        var range: AddressRange
        /// 4096-byte pages that are open in it no more: one of which another part stays open still is.
        var pages: Int64
    }

    /// Opens a part of a window.
    ///
    /// - Returns: 4096-byte pages that no other part of it holds open already.
    @discardableResult
    mutating func open(_ window: Window, _ range: AddressRange) -> Int64 {
        let pages = range.pages - pagesShared(by: range, of: window.order)
        let place = Int(tree.insert(range, number: window.order))
        if place == windows.count { windows.append(window) } else { windows[place] = window }
        return pages
    }

    /// How many pages of a part are open in other parts of its window too: its first and last one, if it begins or ends inside.
    private func pagesShared(by part: AddressRange, of order: Int64) -> Int64 {
        func isOpen(_ range: AddressRange?) -> Bool {
            var isOpen = false
            if let range {
                tree.forEach(overlapping: range) { if windows[Int($1)].order == order { isOpen = true } }
            }
            return isOpen
        }
        let whole = part.roundedOut(to: 4096)
        let isFirst = part.start > whole.start && isOpen(AddressRange(start: whole.start, last: part.start - 1))
        if isFirst, part.pages == 1 { return 1 }
        let isLast = part.last < whole.last && isOpen(AddressRange(start: part.last + 1, last: whole.last))
        return (isFirst ? 1 : 0) + (isLast ? 1 : 0)
    }

    /// Closes what lies in `range`, or everything, of the windows that `isCovered` holds for: it becomes all of `hits`.
    mutating func close(
        _ range: AddressRange?, where isCovered: (Window) -> Bool,
        into hits: inout ContiguousArray<Closed>
    ) {
        hits.removeAll(keepingCapacity: true)
        guard !tree.isEmpty else { return }
        tree.forEach(overlapping: range ?? .everything) { piece, place in
            let window = windows[Int(place)]
            if isCovered(window) { hits.append(Closed(window: window, range: piece, pages: piece.pages)) }
        }
        // Mostly a sync covers all that is open.
        if hits.count == tree.count,
            hits.allSatisfy({ $0.range.isOfWholePages && range?.contains($0.range) ?? true })
        {
            tree.removeAll()
            return
        }
        for index in hits.indices {
            let (window, piece) = (hits[index].window, hits[index].range)
            tree.remove(start: piece.start, number: window.order)
            if let range, let closed = piece.intersection(range), closed != piece {
                hits[index].range = closed
                for rest in piece.subtracting(range) { open(window, rest) }
            }
            let closed = hits[index].range
            hits[index].pages = closed.pages - pagesShared(by: closed, of: window.order)
        }
    }

    /// Calls `body` with the parts of `range` in which the window of this order is open.
    func forEachOpen(_ order: Int64, in range: AddressRange, _ body: (Window, AddressRange) -> Void) {
        tree.forEach(overlapping: range) { piece, place in
            guard windows[Int(place)].order == order, let part = piece.intersection(range) else { return }
            body(windows[Int(place)], part)
        }
    }

    /// Calls `body` with the window of each open part.
    func forEach(_ body: (Window) -> Void) {
        tree.forEach(overlapping: .everything) { body(windows[Int($1)]) }
    }
}

extension AddressRange {
    /// Whether it begins and ends with a 4096-byte page.
    fileprivate var isOfWholePages: Bool { start & 4095 == 0 && last & 4095 == 4095 }
}
