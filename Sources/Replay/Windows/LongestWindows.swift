import TraceStore

/// The longest windows seen so far, at most so many; of equally long ones the earliest unmap calls.
struct LongestWindows {
    private let limit: Int
    /// Half as many more as are wanted: now and then the shorter ones go.
    private var rows: ContiguousArray<StaleWindowRow> = []
    /// What a window must be as long as, ns.
    private var least: Int64 = 0

    init(limit: Int) { self.limit = limit }

    /// Whether a window of this length might belong to them.
    @inline(__always)
    func isWorthwhile(_ length: Int64) -> Bool { length >= least && limit > 0 }

    mutating func insert(_ row: StaleWindowRow) {
        rows.append(row)
        guard rows.count >= limit + limit / 2 + 16 else { return }
        select()
        least = rows[..<limit].reduce(Int64.max) { min($0, $1.length) }
        rows.removeSubrange(limit...)
    }

    /// All of them, the longest first.
    mutating func takeAll() -> [StaleWindowRow] {
        defer { rows = [] }
        // A row is long: places are sorted, not rows.
        let places = rows.indices.sorted { Self.isBefore(rows[$0], rows[$1]) }
        return places.prefix(limit).map { rows[$0] }
    }

    /// Moves the longest ones to the front, in any order among themselves (quickselect).
    private mutating func select() {
        var low = 0
        var high = rows.count - 1
        while low < high {
            let pivot = rows[low + (high - low) / 2]
            var left = low
            var right = high
            while left <= right {
                while Self.isBefore(rows[left], pivot) { left += 1 }
                while Self.isBefore(pivot, rows[right]) { right -= 1 }
                if left <= right {
                    rows.swapAt(left, right)
                    left += 1
                    right -= 1
                }
            }
            if limit <= right { high = right } else if limit >= left { low = left } else { return }
        }
    }

    private static func isBefore(_ left: StaleWindowRow, _ right: StaleWindowRow) -> Bool {
        if left.length != right.length { return left.length > right.length }
        return (left.operation, left.iova) < (right.operation, right.iova)
    }
}
