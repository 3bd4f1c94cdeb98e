import IOMMUModel

/// `recorded`: the flushes of the log. A sync covers what lies in its range, a flush_all everything (design §4 10).
struct RecordedSchedule: FlushSchedule {
    private(set) var waiting: Int64 = 0
    private var ranges: ContiguousArray<AddressRange> = []

    /// A sync follows its unmaps closely; looking further back than this for what it covers would let a hostile log make
    /// every sync expensive.
    private static let syncReach = 4096
    /// Ranges kept; of those beyond only the number is known.
    private static let rangeLimit = 1 << 20

    /// The last syncs: some may lie inside a call that is not through yet.
    private var recentSyncs: ContiguousArray<RecordedFlush> = []
    private var oldestSync = 0
    /// More callbacks than one call has.
    private static let syncsRemembered = 64

    var collecting: Collecting { .queued }

    mutating func on(_ event: DomainEvent, into actions: inout FlushActions) {
        switch event {
        case .unmapped(let call):
            open(call, &actions)
            waiting += 1
            if ranges.count < Self.rangeLimit, let range = AddressRange(start: call.iova, size: max(call.result, 1)) {
                ranges.append(range)
            }
        case .flush(let flush):
            let covered = cover(flush)
            waiting -= covered
            actions.add(.takeRecorded(calls: covered))
            if flush.isSync, !flush.isEmpty { remember(flush) }
        case .furtherInvalidation: actions.add(.takeFurther)
        case .free:
            waiting = 0
            ranges.removeAll()
        default: break
        }
    }

    /// - Returns: how many of the waiting calls the flush covers.
    private mutating func cover(_ flush: RecordedFlush) -> Int64 {
        if flush.isEmpty { return 0 }
        guard let range = flush.range else {
            ranges.removeAll(keepingCapacity: true)
            return waiting
        }
        let before = ranges.count
        if ranges.count == 1 {
            if range.contains(ranges[0]) { ranges.removeAll(keepingCapacity: true) }
        } else {
            let first = max(ranges.count - Self.syncReach, 0)
            let kept = ranges[first...].filter { !range.contains($0) }
            ranges.replaceSubrange(first..., with: kept)
        }
        return Int64(before - ranges.count)
    }

    // MARK: - Syncs inside a call

    private mutating func remember(_ sync: RecordedFlush) {
        if recentSyncs.count < Self.syncsRemembered {
            recentSyncs.append(sync)
        } else {
            recentSyncs[oldestSync] = sync
            oldestSync = (oldestSync + 1) % Self.syncsRemembered
        }
    }

    /// Opens a call's window, but for what the gather synced between the call's entry and the tracepoint that tells of
    /// it: callbacks of its own, before one that did not fit (design §4 10).
    private func open(_ call: UnmapCall, _ actions: inout FlushActions) {
        guard call.sinceEntry > 0, !recentSyncs.isEmpty, let whole = call.range else {
            actions.add(.open(nil))
            return
        }
        let (entry, overflow) = call.occasion.time.subtractingReportingOverflow(call.sinceEntry)
        var parts = [whole]
        for sync in recentSyncs
        where sync.occasion.time >= (overflow ? .min : entry) && sync.cpu == call.cpu && sync.pid == call.pid {
            parts = sync.range.map { range in parts.flatMap { $0.subtracting(range) } } ?? []
            // Nothing can have been loaded between that sync and the tracepoint: the entries were clear.
            if let synced = sync.range.map({ whole.intersection($0) }) ?? whole {
                actions.add(.syncedInside(synced, hardwareDomain: sync.hardwareDomain))
            }
        }
        for part in parts { actions.add(.open(part)) }
    }
}
