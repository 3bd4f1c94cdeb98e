import FlushSchedules
import TraceStore

/// Counts the flushes of one policy, and keeps their rows.
struct FlushCounter {
    /// By number of the ``Cell``.
    private(set) var counts: ContiguousArray<FlushCounts> = []
    /// Flushes since ``takeRows(_:)``, in order.
    private var rows: ContiguousArray<FlushRow> = []
    /// By domain - 1: flushes of the calls themselves that are not a row yet.
    private var sums: ContiguousArray<FlushRow?>
    private let keepsRows: Bool

    init(domains: Int, keepsRows: Bool) {
        sums = ContiguousArray(repeating: nil, count: domains)
        self.keepsRows = keepsRows
    }

    /// Counts a flush.
    @inline(__always)
    mutating func add(_ row: FlushRow, cell: Int32) {
        let own = Int(cell)
        if own >= counts.count {
            counts.append(contentsOf: repeatElement(FlushCounts(), count: own + 1 - counts.count))
        }
        counts[own].add(row.flushes, isAttached: row.isAttached, cause: row.cause)
        guard keepsRows else { return }
        if row.cause == .call { sumUp(row, at: Int(row.domain) - 1) } else { rows.append(row) }
    }

    /// Rows of sync and per-page would repeat every unmap call; those of a domain within a millisecond become one.
    private mutating func sumUp(_ row: FlushRow, at index: Int) {
        guard let sum = sums[index] else {
            sums[index] = row
            return
        }
        if row.isAttached == sum.isAttached, (0..<Self.summedTime).contains(row.time &- sum.time) {
            sums[index]?.flushes = sum.flushes.addingSaturated(row.flushes)
            sums[index]?.calls += row.calls
        } else {
            rows.append(sum)
            sums[index] = row
        }
    }

    /// ns
    private static let summedTime: Int64 = 1_000_000

    /// Turns what was not a row yet into rows.
    mutating func finish() {
        for index in sums.indices {
            if let sum = sums[index] { rows.append(sum) }
            sums[index] = nil
        }
    }

    /// Hands over the rows and forgets them.
    mutating func takeRows() -> ContiguousArray<FlushRow> {
        defer { rows = [] }
        return rows
    }
}

extension FlushRow.Cause {
    init(_ cause: FlushCause) {
        self =
            switch cause {
            case .call: .call
            case .batchFull: .batchFull
            case .ringFull: .ringFull
            case .timer: .timer
            case .gatherSplit: .gatherSplit
            case .endOfRun: .endOfRun
            case .domainFree: .domainFree
            }
    }
}
