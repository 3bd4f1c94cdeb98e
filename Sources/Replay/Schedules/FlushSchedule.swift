import IOMMUModel
import TraceStore

/// An unmap call as a schedule sees it.
struct UnmapCall {
    /// Id of the operation.
    var id: Int64
    /// Line of the log.
    var line: Int64
    /// When its page-table entries were clear, in ns.
    var time: Int64
    /// ns from the call's entry to ``time``, 0 if unknown.
    var sinceEntry: Int64
    var cpu: Int32
    var pid: Int32
    /// Number of its ``Cell``.
    var cell: Int32
    /// What it left behind; `nil` where no device could reach that.
    var window: Window?
    /// It syncs before it returns, whatever the policy: VFIO's test at attach.
    var isStrictCall: Bool
    var iova: UInt64
    /// Bytes asked for.
    var size: UInt64
    /// Bytes removed.
    var result: UInt64
}

/// A flush of the log itself.
struct RecordedFlush {
    var id: Int64
    /// Line of the log.
    var line: Int64
    /// ns
    var time: Int64
    /// When its last layer was through, in ns.
    var completed: Int64
    /// Of windows that opened at this line or time, in ns, or later it is not certain that it covers them.
    var certainBefore: (line: Int64, time: Int64)
    var cpu: Int32
    var pid: Int32
    /// Number of its ``Cell``.
    var cell: Int32
    /// What it covers; `nil` for the whole domain, as for a sync of which the log tells no range.
    var range: AddressRange?
    /// A sync of an empty gather, which covers nothing.
    var isEmpty: Bool
    var isSync: Bool
    /// The only one that the flush is for, by the hardware's id; -1 if that is not known.
    var hardwareDomain: Int64
}

/// A domain is freed.
struct DomainFree {
    var id: Int64
    /// Line of the log.
    var line: Int64
    /// ns
    var time: Int64
    /// Number of its ``Cell``.
    var cell: Int32
}

/// One domain under one policy: decides when to flush, and tells its ``PolicyLane``.
///
/// A class for each policy; what it does not care about does nothing.
class FlushSchedule {
    /// Number of the domain, from 1.
    final let domain: Int32
    final unowned let lane: PolicyLane
    /// Unmap calls that no flush has covered yet.
    @exclusivity(unchecked) final var waiting: Int64 = 0

    init(domain: Int32, lane: PolicyLane) {
        self.domain = domain
        self.lane = lane
    }

    /// An unmap call of the domain.
    func unmap(_ call: UnmapCall) {}
    /// A flush of the domain in the log.
    func recorded(_ flush: RecordedFlush) {}
    /// A further invalidation of the run that stands in for that flush.
    func continued(_ flush: RecordedFlush) {}
    /// The task that unmapped last has gone on to something else, or another one unmaps.
    func endOfRun() {}
    /// The timer that this schedule armed fires.
    func timerFired(at time: Int64) {}
    /// The domain is freed.
    func domainFreed(_ free: DomainFree) {}
    /// Whether the policy still owes a flush.
    var isFlushDue: Bool { waiting > 0 }

    /// A flush that covers all waiting calls, at an unmap call.
    final func flushAllWaiting(at call: UnmapCall, cause: FlushRow.Cause) {
        lane.record(domain: domain, at: PolicyLane.Occasion(call), cause: cause, flushes: 1, calls: waiting)
        waiting = 0
    }
}
