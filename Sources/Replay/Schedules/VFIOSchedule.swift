import IOMMUModel
import TraceStore

/// `vfio`: how VFIO's type1 driver unmaps a guest's memory (model.md §2.1, design §4 7).
///
/// * Regions go through a ``Gather``, which syncs by itself before one that does not fit.
/// * After 512 regions the driver syncs; the gather's own syncs do not count as that.
/// * A region that does not touch what the run has unmapped belongs to another `VFIO_IOMMU_UNMAP_DMA`, before which the
///   driver has synced; likewise when the task goes on to something else.
/// * The test for superpages at attach is made of `iommu_unmap`, which syncs before it returns. Other calls of that count as
///   regions: under this policy they are fast.
final class VFIOSchedule: FlushSchedule {
    private let pageSizes: PageSizes
    private var gather = Gather()
    private var regions: Int64 = 0
    /// What the run has unmapped.
    private var unmapped: AddressRange?
    private var lastUnmap: (occasion: PolicyLane.Occasion, wasAttached: Bool)?

    init(domain: Int32, lane: PolicyLane, pageSizes: PageSizes) {
        self.pageSizes = pageSizes
        super.init(domain: domain, lane: lane)
    }

    override func unmap(_ call: UnmapCall) {
        if call.isStrictCall {
            endOfRun()
            lane.record(domain: domain, at: PolicyLane.Occasion(call), cause: .call, flushes: 1, calls: 1)
            lane.gather(call, domain: domain)
            lane.withInvalidator(of: domain, for: call.cell, at: call.time) { $0.sync() }
            return
        }
        // Nothing there to unmap ends the loop over the memory, as does a gap.
        guard let range = AddressRange(start: call.iova, size: call.result) else {
            endOfRun()
            return
        }
        let joined = unmapped?.joined(with: range)
        if joined == nil { endOfRun(cause: .gatherSplit) }
        unmapped = joined ?? range
        if regions > 0 {
            lane.windows.runGoesOn(in: domain)
            lane.cache?.runGoesOn(in: domain)
        }
        lastUnmap = (PolicyLane.Occasion(call), lane.isAttached(domain))
        var unflushed = range.start
        lane.gather(call, domain: domain)
        pageSizes.forEachCallback(in: range) { iova, callback in
            guard let added = AddressRange(start: iova, size: callback.size) else { return }
            if gather.add(added) != nil {
                flushAllWaiting(at: call, cause: .gatherSplit)
                unflushed = iova
            }
        }
        waiting += 1
        lane.open(call, domain: domain, from: unflushed)
        regions += 1
        if regions == Policy.vfioRegions {
            if gather.sync() != nil {
                flushAllWaiting(at: call, cause: .batchFull)
                lane.withInvalidator(of: domain, for: call.cell, at: call.time) { $0.sync() }
            }
            regions = 0
        }
    }

    override func endOfRun() { endOfRun(cause: .endOfRun) }

    /// The sync came right after the run's last unmap, though only what follows shows that it was the last.
    private func endOfRun(cause: FlushRow.Cause) {
        regions = 0
        unmapped = nil
        guard gather.sync() != nil, let lastUnmap else { return }
        lane.record(
            domain: domain, at: lastUnmap.occasion, cause: cause, flushes: 1, calls: waiting,
            isAttached: lastUnmap.wasAttached)
        let occasion = lastUnmap.occasion
        lane.withInvalidator(
            of: domain, for: occasion.cell, at: occasion.time, isAttached: lastUnmap.wasAttached
        ) { $0.sync() }
        waiting = 0
    }
}
