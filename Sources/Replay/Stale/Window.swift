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
    var order: Int64 = 0
    /// Id of the map call of the first of it that was certainly mapped; 0 if the log does not show it.
    var map: Int64 = 0
}

/// Which windows of a domain the policies still need: what each ledger publishes, put together.
struct WindowNeeds {
    /// All from this order on.
    private(set) var from = Int64.max
    /// Besides those, these, of which the ledgers keep what they need for themselves: only whether they are open matters.
    private(set) var orders: ContiguousArray<Int64> = []
    /// Id of the first unmap call among ``orders``; `Int64.max` for none.
    private(set) var firstOperation = Int64.max

    mutating func add(from order: Int64) { from = min(from, order) }

    mutating func add(_ window: Window) {
        orders.append(window.order)
        firstOperation = min(firstOperation, window.operation)
    }

    mutating func sort() { orders.sort() }

    /// Whether a window may be open, once ``sort()`` was called.
    func contains(_ order: Int64) -> Bool {
        if order >= from { return true }
        var (low, high) = (0, orders.count)
        while low < high {
            let middle = (low + high) / 2
            if orders[middle] < order { low = middle + 1 } else { high = middle }
        }
        return low < orders.count && orders[low] == order
    }
}
