import IOMMUModel

/// `recorded`: the flushes of the log. A sync covers what lies in its range, a flush_all everything (design §4 10).
final class RecordedSchedule: FlushSchedule {
    private var ranges: ContiguousArray<AddressRange> = []

    /// A sync follows its unmaps closely; looking further back than this for what it covers would let a hostile log make
    /// every sync expensive.
    private static let syncReach = 4096
    /// Ranges kept; of those beyond only the number is known.
    private static let rangeLimit = 1 << 20

    override func unmap(_ call: UnmapCall) {
        waiting += 1
        if ranges.count < Self.rangeLimit, let range = AddressRange(start: call.iova, size: max(call.result, 1)) {
            ranges.append(range)
        }
    }

    override func recorded(_ flush: RecordedFlush) {
        var covered = waiting
        if flush.isSync {
            let first = max(ranges.count - Self.syncReach, 0)
            let before = ranges.count
            if let range = flush.range {
                if ranges.count == 1 {
                    if range.contains(ranges[0]) { ranges.removeAll(keepingCapacity: true) }
                } else {
                    let kept = ranges[first...].filter { !range.contains($0) }
                    ranges.replaceSubrange(first..., with: kept)
                }
            }
            covered = Int64(before - ranges.count)
        } else {
            ranges.removeAll(keepingCapacity: true)
        }
        lane.record(
            domain: domain, at: flush.time, operation: flush.id,
            cause: flush.isSync ? .recordedSync : .recordedFlushAll,
            flushes: 1, calls: covered)
        waiting -= covered
    }
}
