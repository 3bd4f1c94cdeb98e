import TraceStore

/// `batch=N`: a sync right after the N-th pending call (design §4 7).
final class BatchSchedule: FlushSchedule {
    private let calls: Int64

    init(domain: Int32, lane: PolicyLane, calls: Int64) {
        self.calls = calls
        super.init(domain: domain, lane: lane)
    }

    override func unmap(_ call: UnmapCall) {
        waiting += 1
        lane.open(call, domain: domain)
        lane.gather(call, domain: domain)
        guard waiting >= calls else { return }
        flushAllWaiting(at: call, cause: .batchFull)
        lane.withInvalidator(of: domain, for: call.cell, at: call.time) { $0.sync() }
    }
}

/// `every=T`: a sync T after the first pending call (design §4 7).
final class EverySchedule: FlushSchedule {
    private let interval: Int64

    init(domain: Int32, lane: PolicyLane, interval: Int64) {
        self.interval = interval
        super.init(domain: domain, lane: lane)
    }

    override func unmap(_ call: UnmapCall) {
        if waiting == 0 { lane.arm(self, for: call.time.addingSaturated(interval)) }
        waiting += 1
        lane.open(call, domain: domain)
        lane.gather(call, domain: domain)
    }

    override func timerFired(at time: Int64) {
        let cell = lane.recordTimer(domain: domain, at: time, calls: waiting)
        lane.withInvalidator(of: domain, for: cell, at: time) { $0.sync() }
        waiting = 0
    }
}

/// `end`: one flush_all when the domain is freed (design §4 7).
final class EndSchedule: FlushSchedule {
    override func unmap(_ call: UnmapCall) {
        waiting += 1
        lane.open(call, domain: domain)
    }

    override func domainFreed(_ free: DomainFree) {
        lane.record(
            domain: domain, at: PolicyLane.Occasion(free), cause: .domainFree, flushes: 1, calls: waiting)
        lane.withInvalidator(of: domain, for: free.cell, at: free.time) { $0.flushAll() }
        waiting = 0
    }
}
