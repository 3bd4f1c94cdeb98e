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

    mutating func open(_ window: Window, _ range: AddressRange) {
        let place = Int(tree.insert(range, number: window.order))
        if place == windows.count { windows.append(window) } else { windows[place] = window }
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
        if hits.count == tree.count, range.map({ range in hits.allSatisfy { range.contains($0.range) } }) ?? true {
            tree.removeAll()
            return
        }
        for index in hits.indices {
            let (window, piece) = (hits[index].window, hits[index].range)
            tree.remove(start: piece.start, number: window.order)
            guard let range, let closed = piece.intersection(range) else { continue }
            hits[index].range = closed
            for rest in piece.subtracting(range) {
                open(window, rest)
                hits[index].pages -= rest.pages
            }
        }
    }

    /// Calls `body` with the parts of `range` in which the window of this order is open.
    func forEachOpen(_ order: Int64, in range: AddressRange, _ body: (Window, AddressRange) -> Void) {
        tree.forEach(overlapping: range) { piece, place in
            guard windows[Int(place)].order == order, let part = piece.intersection(range) else { return }
            body(windows[Int(place)], part)
        }
    }

    /// Id of the first unmap call that a part belongs to, or lower where they are many; `Int64.max` if there are none.
    var firstOperation: Int64 {
        guard count <= 1024 else { return .min }
        var first = Int64.max
        tree.forEach(overlapping: .everything) { first = min(first, windows[Int($1)].operation) }
        return first
    }

    /// The orders of all open windows.
    var orders: Set<Int64> {
        var orders: Set<Int64> = []
        tree.forEach(overlapping: .everything) { orders.insert(windows[Int($1)].order) }
        return orders
    }
}
