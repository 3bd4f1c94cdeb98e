import FlushSchedules
import IOMMUModel
import Operations
import TraceStore

@testable import Replay

/// What one policy does in one domain, worked out from the definitions (design §4 5-9, 12) by walking all operations of
/// the trace for it alone.
struct ScheduleTwin {
    struct Flush: Hashable {
        var time: Int64
        var operation: Int64
        var cause: FlushRow.Cause
        var flushes: Int64 = 1
        var calls: Int64
        var isAttached: Bool
    }

    let policy: Policy
    let domain: Int32
    let showsAttaches: Bool
    var pageSizes = PageSizes.fourKTwoMOneG
    var hz: Int64 = 250
    /// What the driver's gather cannot take with what it holds.
    var rule = Gather.Rule.callbacks

    private(set) var flushes: [Flush] = []
    /// By index into ``flushes``: the address from which on a call's callbacks came after a flush inside it.
    private(set) var splits: [Int: UInt64] = [:]
    private(set) var unmapCalls: Int64 = 0
    private(set) var detachedCalls: Int64 = 0
    private(set) var attachProbeCalls: Int64 = 0
    private(set) var bytes: UInt64 = 0
    private(set) var unreachableBytes: UInt64 = 0

    private var domainOfDevice: [Int32: Int32] = [:]
    /// Calls that no flush has covered: what the sync of a log must contain.
    private var pending: [AddressRange?] = []
    private var deadline: Int64?
    private var rings: [Int32: Int64] = [:]
    private var run = Run()

    private struct Run {
        var pid: Int32?
        var calls = 0
        var hull: AddressRange?
        /// The gather: its callbacks, neighbours of one length.
        var gathered: [AddressRange] = []
        var pageSize: UInt64 = 0
        var last = Flush(time: 0, operation: 0, cause: .endOfRun, calls: 0, isAttached: false)
    }

    init(_ policy: Policy, domain: Int32, showsAttaches: Bool) {
        self.policy = policy
        self.domain = domain
        self.showsAttaches = showsAttaches
    }

    var callsPending: Int64 { Int64(pending.count) }
    var isFlushPending: Bool { !pending.isEmpty || deadline != nil }
    var flushCount: Int64 { flushes.reduce(0) { $0 + $1.flushes } }
    var detachedFlushCount: Int64 { flushes.filter { !$0.isAttached }.reduce(0) { $0 + $1.flushes } }

    /// Design §4 12.
    private var isAttached: Bool { !showsAttaches || domainOfDevice.values.contains(domain) }

    mutating func replay(_ operations: [StoredOperation], lastTime: Int64) {
        for operation in operations { apply(operation) }
        fireTimer(upTo: lastTime)
    }

    mutating func apply(_ operation: StoredOperation) {
        if policy == .vfio { endRun(before: operation) }
        switch operation.kind {
        case .unmap, .unmapFast:
            guard operation.domain > 0 else { return }
            fireTimer(upTo: operation.time)
            if operation.domain == domain { unmap(operation) }
        case .attach:
            fireTimer(upTo: operation.time)
            if operation.device > 0 { domainOfDevice[operation.device] = operation.domain }
        case .detach:
            fireTimer(upTo: operation.time)
            if domainOfDevice[operation.device] == operation.domain { domainOfDevice[operation.device] = nil }
        case .domainFree:
            fireTimer(upTo: operation.time)
            guard operation.domain == domain else { return }
            switch policy {
            case .end: flush(operation.time, operation.id, .domainFree)
            default:
                // Nothing is left to flush (design §4 7, 8).
                rings = [:]
                pending = []
                deadline = nil
            }
        case .map, .ioPageFault: fireTimer(upTo: operation.time)
        case .sync, .flushAll:
            if policy == .recorded, operation.domain == domain { recorded(operation) }
        default: break
        }
    }

    private mutating func flush(_ time: Int64, _ operation: Int64, _ cause: FlushRow.Cause) {
        flushes.append(
            Flush(time: time, operation: operation, cause: cause, calls: callsPending, isAttached: isAttached))
        pending = []
    }

    // MARK: - Unmaps

    private mutating func unmap(_ operation: StoredOperation) {
        let result = operation.result ?? operation.size
        unmapCalls += 1
        bytes += result
        if operation.flags.contains(.attachProbe) { attachProbeCalls += 1 }
        if !isAttached {
            detachedCalls += 1
            unreachableBytes += result
        }
        switch policy {
        case .sync: call(operation, flushes: 1)
        case .perPage: call(operation, flushes: callbacks(operation, result: result))
        case .recorded: pending.append(AddressRange(start: operation.iova, size: max(result, 1)))
        case .vfio: vfio(operation, result: result)
        case .batch(let calls):
            pending.append(nil)
            if callsPending == calls { flush(operation.time, operation.id, .batchFull) }
        case .every(let interval):
            if pending.isEmpty { deadline = operation.time + interval }
            pending.append(nil)
        case .end: pending.append(nil)
        case .queue(let entries, let timeout):
            queue(operation, ring: operation.cpu, entries: entries, timeout: timeout)
        case .singleQueue(let entries, let timeout):
            queue(operation, ring: 0, entries: entries, timeout: timeout)
        // IOMMUFDTests has a twin for its own, page by page.
        case .fast, .iommufd: break
        }
    }

    /// A flush inside the call, which opens no window.
    private mutating func call(_ operation: StoredOperation, flushes count: Int64) {
        guard count > 0 else { return }
        flushes.append(
            Flush(
                time: operation.time, operation: operation.id, cause: .call, flushes: count, calls: 1,
                isAttached: isAttached))
    }

    /// Design §4 5: one page at a time, and one callback that finds nothing where the loop ended early.
    private func callbacks(_ operation: StoredOperation, result: UInt64) -> Int64 {
        var count: Int64 = result < operation.size ? 1 : 0
        var iova = operation.iova
        var left = min(result, operation.size)
        while left > 0, let page = pageSizes.pageSize(merged: iova, size: left) {
            count += 1
            iova += page
            left -= page
        }
        return count
    }

    // MARK: - Flush queue

    /// Design §4 8.
    private mutating func queue(_ operation: StoredOperation, ring: Int32, entries: Int64, timeout: Int64) {
        if rings[ring, default: 0] == entries - 1 {
            flush(operation.time, operation.id, .ringFull)
            rings = [:]
        }
        rings[ring, default: 0] += 1
        pending.append(nil)
        if deadline == nil { deadline = expiry(operation.time, timeout) }
    }

    private func expiry(_ time: Int64, _ timeout: Int64) -> Int64 {
        let second: Int64 = 1_000_000_000
        let delta = (timeout * hz + second - 1) / second
        let granularity: Int64 = delta < 63 ? 1 : delta < 504 ? 8 : 64
        let tick = ((time * hz / second + delta) / granularity + 1) * granularity
        return (tick * second + hz - 1) / hz
    }

    mutating func fireTimer(upTo time: Int64) {
        guard let due = deadline, due <= time else { return }
        deadline = nil
        rings = [:]
        flush(due, 0, .timer)
    }

    // MARK: - Recorded flushes

    /// Design §4 4 and 10.
    private mutating func recorded(_ operation: StoredOperation) {
        let before = callsPending
        if operation.kind == .flushAll || !operation.hasRange {
            pending = []
        } else if let range = AddressRange(start: operation.iova, size: operation.size) {
            pending.removeAll { $0.map { range.contains($0) } ?? false }
        }
        flushes.append(
            Flush(
                time: operation.time, operation: operation.id,
                cause: operation.kind == .sync ? .recordedSync : .recordedFlushAll, calls: before - callsPending,
                isAttached: isAttached))
    }

    // MARK: - VFIO

    /// Design §4 7: who ends the run that is going on in this domain.
    private mutating func endRun(before operation: StoredOperation) {
        let isOwn = run.pid == operation.pid
        let isHere = operation.domain == domain
        switch operation.kind {
        case .unmap, .unmapFast: if operation.domain > 0, isOwn != isHere { endRun(.endOfRun) }
        case .map, .attach, .domainFree: if isOwn || isHere { endRun(.endOfRun) }
        case .detach, .domainAlloc, .marker: if isOwn { endRun(.endOfRun) }
        default: break
        }
    }

    private mutating func endRun(_ cause: FlushRow.Cause) {
        if !run.gathered.isEmpty {
            // The driver had synced before it went on, at a time when the domain was as it was at that call.
            var flush = run.last
            flush.cause = cause
            flush.calls = callsPending
            flushes.append(flush)
        }
        pending = []
        run = Run()
    }

    private mutating func vfio(_ operation: StoredOperation, result: UInt64) {
        if operation.kind == .unmap, operation.flags.contains(.attachProbe) {
            endRun(.endOfRun)
            return call(operation, flushes: 1)
        }
        guard let range = AddressRange(start: operation.iova, size: result) else { return endRun(.endOfRun) }
        // Whether it touches the first or the last byte that the run unmapped, or lies between.
        if let hull = run.hull,
            hull.start > range.last && hull.start - range.last > 1
                || range.start > hull.last && range.start - hull.last > 1
        {
            endRun(.gatherSplit)
        }
        run.hull = AddressRange(
            start: min(run.hull?.start ?? .max, range.start), last: max(run.hull?.last ?? 0, range.last))
        pageSizes.forEachCallback(in: range) { iova, callback in
            guard let added = AddressRange(start: iova, size: callback.size) else { return }
            let (low, high) = (run.gathered.map(\.start).min() ?? 0, run.gathered.map(\.last).max() ?? 0)
            let isGap = added.start > high && added.start - high > 1 || low > added.last && low - added.last > 1
            let isOther =
                rule == .callbacks && run.gathered.last?.size != added.size
                || rule == .pages && run.pageSize != callback.pageSize
            if !run.gathered.isEmpty, rule != .anything, isGap || isOther {
                flush(operation.time, operation.id, .gatherSplit)
                splits[flushes.count - 1] = iova
                run.gathered = []
            }
            run.gathered.append(added)
            run.pageSize = callback.pageSize
        }
        pending.append(nil)
        run.pid = operation.pid
        run.calls += 1
        run.last = Flush(
            time: operation.time, operation: operation.id, cause: .endOfRun, calls: 0, isAttached: isAttached)
        if run.calls == 512 {
            flush(operation.time, operation.id, .batchFull)
            run.gathered = []
            run.calls = 0
        }
    }
}
