import IOMMUModel
import TraceStore

/// What a log's maps and unmaps amount to by themselves, whatever the policy.
///
/// It is the same in each replay of a log, so that only the first one takes the time.
struct Workload {
    /// Numbers of its own: those of the windows must not depend on whether it is looked at.
    private let cells = CellTable()
    private var churn: ChurnTally?
    private var pageSizes: PageSizeTally?
    private let offered: PageSizes

    /// - Parameter missing: what the database does not hold yet.
    init(_ trace: TraceSummary, _ sizes: PageSizes, missing: WorkloadRows.Missing) {
        offered = sizes
        if missing.churn {
            churn = ChurnTally(domains: trace.domains.count, first: trace.firstTime, last: trace.lastTime)
        }
        if missing.pageSizes { pageSizes = PageSizeTally(sizes) }
    }

    /// A map call that succeeds.
    mutating func map(_ operation: StoredOperation, _ range: AddressRange, device: Int32, isOverLive: Bool) {
        let cell = cells.number(domain: operation.domain, device: device, task: operation.task)
        churn?.map(
            range, to: operation.paddr, domain: operation.domain, at: operation.time, isOverLive: isOverLive,
            cell: cell, cells)
        pageSizes?.map(range, to: operation.paddr, cell: cell)
    }

    /// An unmap call.
    mutating func unmap(_ operation: StoredOperation, _ range: AddressRange?, device: Int32, result: UInt64) {
        guard churn != nil else { return }
        let cell = cells.number(domain: operation.domain, device: device, task: operation.task)
        churn?.unmap(range, size: result, domain: operation.domain, at: operation.time, cell: cell, cells)
    }

    /// What it came to.
    var rows: WorkloadRows {
        WorkloadRows(
            offered: offered.text, pageSizes: pageSizes?.rows(cells.cells), totals: churn?.totals(cells),
            steps: churn?.stepRows(cells.cells))
    }
}
