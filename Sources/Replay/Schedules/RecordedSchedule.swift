import IOMMUModel
import TraceStore

/// `recorded`: the flushes of the log. A sync covers what lies in its range, a flush_all everything (design §4 10).
final class RecordedSchedule: FlushSchedule {
    private var ranges: ContiguousArray<AddressRange> = []

    /// A sync follows its unmaps closely; looking further back than this for what it covers would let a hostile log make
    /// every sync expensive.
    private static let syncReach = 4096
    /// Ranges kept; of those beyond only the number is known.
    private static let rangeLimit = 1 << 20

    /// The last syncs, of which some may lie inside a call that is not through yet.
    private var recentSyncs: ContiguousArray<RecordedFlush> = []
    private var oldestSync = 0
    /// More callbacks than one call has.
    private static let syncsRemembered = 64

    override func unmap(_ call: UnmapCall) {
        open(call)
        waiting += 1
        if ranges.count < Self.rangeLimit, let range = AddressRange(start: call.iova, size: max(call.result, 1)) {
            ranges.append(range)
        }
    }

    override func recorded(_ flush: RecordedFlush) {
        var covered = waiting
        if flush.isEmpty {
            covered = 0
        } else if let range = flush.range {
            let first = max(ranges.count - Self.syncReach, 0)
            let before = ranges.count
            if ranges.count == 1 {
                if range.contains(ranges[0]) { ranges.removeAll(keepingCapacity: true) }
            } else {
                let kept = ranges[first...].filter { !range.contains($0) }
                ranges.replaceSubrange(first..., with: kept)
            }
            covered = Int64(before - ranges.count)
        } else {
            ranges.removeAll(keepingCapacity: true)
        }
        let cause: FlushRow.Cause = flush.isSync ? .recordedSync : .recordedFlushAll
        lane.record(domain: domain, at: PolicyLane.Occasion(flush), cause: cause, flushes: 1, calls: covered)
        waiting -= covered
        lane.withInvalidator(of: domain, for: flush.cell, at: flush.time, hardwareDomain: flush.hardwareDomain) {
            if let range = flush.range { $0.sync(range) } else if flush.isEmpty { $0.sync() } else { $0.flushAll() }
        }
        lane.windows.complete(flush, domain: domain, .flush(cause))
        if flush.isSync, !flush.isEmpty { remember(flush) }
    }

    override func continued(_ flush: RecordedFlush) {
        lane.invalidateFurther(flush, domain: domain)
        lane.windows.extend(flush, domain: domain, .flush(flush.isSync ? .recordedSync : .recordedFlushAll))
    }

    // MARK: - Syncs inside a call

    private func remember(_ sync: RecordedFlush) {
        if recentSyncs.count < Self.syncsRemembered {
            recentSyncs.append(sync)
        } else {
            recentSyncs[oldestSync] = sync
            oldestSync = (oldestSync + 1) % Self.syncsRemembered
        }
    }

    /// Opens a call's window, but for what the gather synced between the call's entry and the tracepoint that tells of
    /// it: callbacks of its own, before one that did not fit (design §4 10).
    private func open(_ call: UnmapCall) {
        guard let window = call.window else { return }
        guard call.sinceEntry > 0, !recentSyncs.isEmpty else {
            lane.windows.open(window, domain: domain)
            return
        }
        var parts = [window.range]
        for sync in recentSyncs
        where sync.time >= call.time.subtractingSaturated(call.sinceEntry) && sync.cpu == call.cpu
            && sync.pid == call.pid
        {
            parts = sync.range.map { range in parts.flatMap { $0.subtracting(range) } } ?? []
            // Nothing can have been loaded between that sync and the tracepoint: the entries were clear.
            if let cache = lane.cache, let synced = sync.range.map({ window.range.intersection($0) }) ?? window.range {
                cache.apply(synced, domain, hardwareDomain: sync.hardwareDomain, at: call.time)
            }
        }
        lane.windows.open(window, domain: domain, parts: parts)
    }
}
