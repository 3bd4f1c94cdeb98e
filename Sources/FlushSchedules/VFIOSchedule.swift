import IOMMUModel

/// `vfio`: how VFIO's type1 driver unmaps a guest's memory (model.md §2.1, design §4 7).
///
/// * Regions go through a ``Gather``, which syncs by itself before one that does not fit: by which rule depends on the IOMMU's
///   driver.
/// * After 512 regions the driver syncs; the gather's own syncs do not count as that.
/// * A region that does not touch what the run has unmapped belongs to another `VFIO_IOMMU_UNMAP_DMA`, before which the
///   driver has synced; likewise when the task goes on to something else.
/// * The test for superpages at attach is made of `iommu_unmap`, which syncs before it returns. Other calls of that count as
///   regions: under this policy they are fast.
struct VFIOSchedule: FlushSchedule {
    private let pageSizes: PageSizes
    private let rule: Gather.Rule
    private var gather = Gather()
    private var regions: Int64 = 0
    private(set) var waiting: Int64 = 0
    /// What the run has unmapped.
    private var unmapped: AddressRange?
    private var lastUnmap: UnmapCall?

    /// How many regions VFIO unmaps before it syncs, `VFIO_IOMMU_TLB_SYNC_MAX`.
    static let regionLimit: Int64 = 512

    init(pageSizes: PageSizes, rule: Gather.Rule) { (self.pageSizes, self.rule) = (pageSizes, rule) }

    var collecting: Collecting { .gathered }

    mutating func on(_ event: DomainEvent, into actions: inout FlushActions) {
        switch event {
        case .unmapping(let call): begin(call, &actions)
        case .unmapped(let call): unmap(call, &actions)
        case .endOfRun: endRun(.endOfRun, &actions)
        default: break
        }
    }

    /// What is no further region of the run ends it.
    private mutating func begin(_ call: UnmapCall, _ actions: inout FlushActions) {
        // Nothing there to unmap ends the loop over the memory, as does a gap.
        guard !call.isStrict, let range = call.range else { return endRun(.endOfRun, &actions) }
        let joined = unmapped?.joined(with: range)
        if joined == nil { endRun(.gatherSplit, &actions) }
        unmapped = joined ?? range
        if regions > 0 { actions.add(.runGoesOn) }
    }

    private mutating func unmap(_ call: UnmapCall, _ actions: inout FlushActions) {
        if call.isStrict { return actions.flush(.call, at: call.occasion, calls: 1, .sync) }
        guard let range = call.range else { return }
        lastUnmap = call
        var unflushed = range.start
        switch rule {
        case .anything, .gaps:
            if gather.add(range, length: 0, by: rule) != nil {
                flushWaiting(.gatherSplit, at: call.occasion, .nothing, &actions)
            }
        case .callbacks, .pages:
            pageSizes.forEachCallback(in: range) { iova, callback in
                guard let added = AddressRange(start: iova, size: callback.size) else { return }
                let length = rule == .pages ? callback.pageSize : callback.size
                if gather.add(added, length: length, by: rule) != nil {
                    flushWaiting(.gatherSplit, at: call.occasion, .nothing, &actions)
                    unflushed = iova
                }
            }
        }
        waiting += 1
        actions.add(.open(AddressRange(start: max(unflushed, range.start), last: range.last)))
        regions += 1
        guard regions == Self.regionLimit else { return }
        if gather.take() != nil { flushWaiting(.batchFull, at: call.occasion, .sync, &actions) }
        regions = 0
    }

    private mutating func flushWaiting(
        _ cause: FlushCause, at occasion: Occasion, _ request: PolicyFlush.Request, _ actions: inout FlushActions
    ) {
        actions.flush(cause, at: occasion, calls: waiting, request)
        waiting = 0
    }

    /// The sync came right after the run's last unmap, though only what follows shows that it was the last.
    private mutating func endRun(_ cause: FlushCause, _ actions: inout FlushActions) {
        regions = 0
        unmapped = nil
        guard gather.take() != nil, let lastUnmap else { return }
        actions.flush(cause, at: lastUnmap.occasion, calls: waiting, .sync, wasAttached: lastUnmap.isAttached)
        waiting = 0
    }
}
