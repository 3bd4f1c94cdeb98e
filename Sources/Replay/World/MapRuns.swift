import IOMMUModel
import Operations
import TraceStore

/// Which maps are one `iommu_map_sg`: hardware that caches absent translations is told of them at once.
///
/// The log has an event for each contiguous piece of a scatterlist and none for the list. What is taken for one: maps of one
/// task in a domain of the DMA API, each beginning where the last one ended, with nothing between. Elsewhere, as under
/// VFIO, each map is a call of its own.
struct MapRuns {
    /// Maps of one call, so far.
    struct Run {
        /// Where.
        var domain: Int32
        /// What they mapped.
        var range: AddressRange
        /// The first one's device and task.
        var device: Int32
        var task: Int32
    }

    /// By domain - 1, whether its maps may be parts of scatterlists.
    private let hasLists: [Bool]
    /// Whether the commands of the log tell where a list ends; else any other operation of the task ends it.
    private let isTold: Bool
    /// By task.
    private var open: [Int32: Run] = [:]

    init(domains: [TraceSummary.Domain], isTold: Bool) {
        hasLists = domains.map { $0.kind != .unmanaged }
        self.isTold = isTold
    }

    /// The next operation, before it is applied.
    ///
    /// - Returns: the run that is complete with what came before.
    mutating func take(_ operation: StoredOperation) -> Run? {
        guard operation.kind == .map, !operation.flags.contains(.failed), operation.domain > 0,
            let range = AddressRange(start: operation.iova, size: operation.size)
        else { return isTold ? nil : open.removeValue(forKey: operation.pid) }
        if let run = open[operation.pid], run.domain == operation.domain, hasLists[Int(run.domain) - 1],
            run.range.last != .max, run.range.last + 1 == range.start,
            let joined = AddressRange(start: run.range.start, last: range.last)
        {
            open[operation.pid]?.range = joined
            return nil
        }
        let run = Run(domain: operation.domain, range: range, device: operation.device, task: operation.task)
        return open.updateValue(run, forKey: operation.pid)
    }

    /// A command of a task: its run is complete if it begins in the block that the command covers.
    mutating func end(pid: Int32, in block: AddressRange) -> Run? {
        guard let run = open[pid], block.start <= run.range.start, run.range.start <= block.last else { return nil }
        return open.removeValue(forKey: pid)
    }

    /// The runs that are still open.
    mutating func takeAll() -> [Run] {
        defer { open = [:] }
        return open.sorted { $0.key < $1.key }.map(\.value)
    }
}
