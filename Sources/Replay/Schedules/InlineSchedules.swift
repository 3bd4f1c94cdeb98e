import IOMMUModel

/// `sync`: one sync in each unmap call, also if nothing was there to unmap (design §4 6).
final class SyncSchedule: FlushSchedule {
    override func unmap(_ call: UnmapCall) {
        lane.record(domain: domain, at: PolicyLane.Occasion(call), cause: .call, flushes: 1, calls: 1)
        lane.gather(call, domain: domain)
        lane.withInvalidator(of: domain, for: call.cell, at: call.time) { $0.sync() }
    }
}

/// `per-page`: each callback of the 4.15 loop flushes for itself (design §4 5).
final class PerPageSchedule: FlushSchedule {
    private let pageSizes: PageSizes

    init(domain: Int32, lane: PolicyLane, pageSizes: PageSizes) {
        self.pageSizes = pageSizes
        super.init(domain: domain, lane: lane)
    }

    override func unmap(_ call: UnmapCall) {
        // Where less came back than was asked for, the loop ended with a callback that found nothing.
        let isCutShort = call.result < call.size
        let callbacks =
            AddressRange(start: call.iova, size: isCutShort ? call.result : call.size).map(pageSizes.pageCount) ?? 0
        let flushes = Int64(clamping: callbacks &+ (isCutShort ? 1 : 0))
        guard flushes > 0 else { return }
        lane.record(domain: domain, at: PolicyLane.Occasion(call), cause: .call, flushes: flushes, calls: 1)
        if let range = AddressRange(start: call.iova, size: call.result) {
            lane.withInvalidator(of: domain, for: call.cell, at: call.time) { $0.flushEachPage(range) }
        }
    }
}
