import Dispatch
import IOMMUModel
import TraceStore

/// What a log's maps and unmaps amount to by themselves, whatever the policy.
///
/// It is the same in each replay of a log, so that only the first one takes the time. It takes it on a thread of its own, as
/// nothing of the replay waits for it: calls are handed over in batches, in their order.
final class Workload {
    /// A map call that succeeds, or an unmap call.
    fileprivate struct Call {
        var time: Int64
        /// Of an unmap what it removed; `nil` for nothing.
        var range: AddressRange?
        /// Physical address of a map, if the log tells it.
        var paddr: UInt64?
        /// Bytes that an unmap removed, as recorded.
        var size: UInt64 = 0
        var domain: Int32
        var device: Int32
        var task: Int32
        var isMap: Bool
        /// Whether anything is mapped in a map's range already.
        var isOverLive = false
    }

    private static let batchSize = 1024
    /// So many batches may wait: memory stays bounded where the other thread is slower.
    private static let batchLimit = 16

    private let tally: Tally
    private let queue = DispatchQueue(label: "workload")
    private let free = DispatchSemaphore(value: batchLimit)
    private var batch: ContiguousArray<Call> = []

    /// - Parameter missing: what the database does not hold yet.
    init(_ trace: TraceSummary, _ sizes: PageSizes, missing: WorkloadRows.Missing) {
        tally = Tally(trace, sizes, missing)
        batch.reserveCapacity(Self.batchSize)
    }

    /// A map call that succeeds.
    func map(_ operation: StoredOperation, _ range: AddressRange, device: Int32, isOverLive: Bool) {
        take(
            Call(
                time: operation.time, range: range, paddr: operation.paddr, domain: operation.domain, device: device,
                task: operation.task, isMap: true, isOverLive: isOverLive))
    }

    /// An unmap call.
    func unmap(_ operation: StoredOperation, _ range: AddressRange?, device: Int32, result: UInt64) {
        take(
            Call(
                time: operation.time, range: range, size: result, domain: operation.domain, device: device,
                task: operation.task, isMap: false))
    }

    @inline(__always)
    private func take(_ call: Call) {
        batch.append(call)
        if batch.count == Self.batchSize { handOver() }
    }

    private func handOver() {
        let full = batch
        batch = []
        batch.reserveCapacity(Self.batchSize)
        free.wait()
        queue.async { [tally, free] in
            for call in full { tally.take(call) }
            free.signal()
        }
    }

    /// What it came to.
    func rows() -> WorkloadRows {
        handOver()
        return queue.sync { tally.rows() }
    }
}

/// Adds up. Only the queue of its ``Workload`` touches it.
private final class Tally: @unchecked Sendable {
    /// Numbers of its own: those of the windows must not depend on whether it is looked at.
    private var cells = CellTable()
    @exclusivity(unchecked) private var churn: ChurnTally?
    @exclusivity(unchecked) private var pageSizes: PageSizeTally?
    private let offered: PageSizes

    init(_ trace: TraceSummary, _ sizes: PageSizes, _ missing: WorkloadRows.Missing) {
        offered = sizes
        if missing.churn {
            churn = ChurnTally(domains: trace.domains.count, first: trace.firstTime, last: trace.lastTime)
        }
        if missing.pageSizes { pageSizes = PageSizeTally(sizes) }
    }

    func take(_ call: Workload.Call) {
        guard call.isMap || churn != nil else { return }
        let cell = cells.number(domain: call.domain, device: call.device, task: call.task)
        if !call.isMap {
            churn?.unmap(call.range, size: call.size, domain: call.domain, at: call.time, cell: cell, cells)
        } else if let range = call.range {
            churn?.map(
                range, to: call.paddr, domain: call.domain, at: call.time, isOverLive: call.isOverLive, cell: cell,
                cells)
            pageSizes?.map(range, to: call.paddr, cell: cell)
        }
    }

    func rows() -> WorkloadRows {
        WorkloadRows(
            offered: offered.text, pageSizes: pageSizes?.rows(cells.cells), totals: churn?.totals(cells),
            steps: churn?.stepRows(cells.cells))
    }
}
