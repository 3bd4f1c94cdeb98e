import IOMMUModel
import Operations
import TraceStore

/// One policy on its way through a trace: a ``FlushSchedule`` for each domain, their timers, and what is counted.
///
/// All classes of a replay live on one thread, and none hands a property out while it changes: what is touched for each
/// operation goes without checks for exclusive access, which would take a tenth of a replay.
final class PolicyLane {
    /// Why a policy was chosen for a domain, and how sure that is.
    struct Choice {
        var policy: Policy
        var reason: String
        var evidence: Evidence
    }

    let requested: String
    let policy: Policy
    let options: ReplayOptions

    /// Flushes since the last ``takeRows()``, in order.
    @exclusivity(unchecked) private(set) var rows: ContiguousArray<FlushRow> = []

    let trace: TraceSummary
    private(set) var schedules: ContiguousArray<FlushSchedule?> = []
    private(set) var choices: ContiguousArray<Choice> = []
    /// By number of the ``Cell``.
    @exclusivity(unchecked) private(set) var counts: ContiguousArray<FlushCounts> = []
    @exclusivity(unchecked) private var timers = TimerHeap()
    /// By domain - 1: flushes of the calls themselves that are not a row yet.
    @exclusivity(unchecked) private var sums: ContiguousArray<FlushRow?>
    private let attachments: Attachments
    @exclusivity(unchecked) var windows: WindowLedger
    /// By domain - 1, what its flushes become at the hardware; empty if that is not asked.
    @exclusivity(unchecked) private var invalidators: ContiguousArray<Invalidator> = []
    /// By number of the ``Cell``, what its flushes became.
    @exclusivity(unchecked) private(set) var sent: ContiguousArray<InvalidationCounts> = []
    /// By domain - 1, the cell that what its invalidator has counted is of; -1 for none yet.
    @exclusivity(unchecked) private var payers: ContiguousArray<Int32> = []
    /// The IOTLB that its commands empty; `nil` if that is not asked.
    let cache: LaneCache?

    init(
        requested: String, policy: Policy, options: ReplayOptions, trace: TraceSummary, attachments: Attachments,
        stale: StaleState, span: (first: Int64, last: Int64), choices chosen: [Choice?]? = nil,
        observer: FlushObserver? = nil
    ) {
        self.requested = requested
        self.policy = policy
        self.options = options
        self.trace = trace
        self.attachments = attachments
        self.observer = observer
        let isStrict = options.hardware?.cachesAbsent == true
        var choices = ContiguousArray(trace.domains.map { Self.choice(policy, for: $0, in: trace, isStrict: isStrict) })
        for (index, choice) in (chosen ?? []).enumerated() {
            if let choice { choices[index] = choice }
        }
        self.choices = choices
        cache = options.iotlb.map { model in
            LaneCache(
                model, isInRuns: choices.map { $0.policy == .vfio },
                unresolved: trace.domains.firstIndex { $0.isUnresolved }.map { Int32($0 + 1) } ?? 0)
        }
        windows = WindowLedger(
            stale: stale, kept: options.windows, detail: options.detail,
            domains: zip(choices, trace.domains).map { choice, domain in
                (choice.policy.manner(in: trace), choice.policy.reuseKind(in: domain.mode))
            }, span: span)
        usesRuns = choices.contains { $0.policy == .vfio }
        followsFlushes = choices.contains { $0.policy == .recorded }
        waits = choices.contains {
            switch $0.policy {
            case .recorded, .queue, .singleQueue, .every: true
            case .perPage, .sync, .vfio, .batch, .end, .fast: false
            }
        }
        if let hardware = options.hardware {
            invalidators = ContiguousArray(
                repeating: Invalidator(
                    hardware, pageSizes: options.pageSizes, keepsCommands: options.iotlb != nil),
                count: trace.domains.count)
            payers = ContiguousArray(repeating: -1, count: trace.domains.count)
        }
        sums = ContiguousArray(repeating: nil, count: trace.domains.count)
        for (index, choice) in choices.enumerated() {
            let isLeftOut = chosen.map { $0[index] == nil } ?? false
            schedules.append(isLeftOut ? nil : schedule(choice.policy, domain: Int32(index + 1)))
        }
    }

    /// Whether any domain's schedule depends on where runs of unmaps end.
    let usesRuns: Bool

    /// Whether any domain's schedule depends on the flushes of the log.
    let followsFlushes: Bool
    /// Whether anything happens by itself in the course of time: timers, or flushes of the log that take a while.
    let waits: Bool

    /// The schedule of a domain; `nil` for domain 0.
    @inline(__always)
    func schedule(of domain: Int32) -> FlushSchedule? {
        let index = Int(domain) - 1
        return index >= 0 && index < schedules.count ? schedules[index] : nil
    }

    // MARK: - Choices

    /// What `fast` stands for in a domain (design §4 3), and how well founded a policy's counts are there.
    ///
    /// - Parameter isStrict: whether the hardware makes all DMA domains strict.
    private static func choice(
        _ policy: Policy, for domain: TraceSummary.Domain, in trace: TraceSummary, isStrict: Bool
    ) -> Choice {
        let ofDomain: Evidence = domain.evidence == .recorded ? .recorded : .assumed
        switch policy {
        case .perPage: return Choice(policy: policy, reason: "", evidence: .assumed)
        case .sync: return Choice(policy: policy, reason: "", evidence: .inferred)
        case .recorded:
            return Choice(policy: policy, reason: "", evidence: trace.flushLayer == .api ? .recorded : .inferred)
        case .vfio, .batch, .queue, .singleQueue, .every, .end:
            return Choice(policy: policy, reason: "", evidence: max(.modelled, ofDomain))
        case .fast: break
        }
        if domain.mode == .deferred {
            return Choice(
                policy: .recorded, reason: "the domain deferred its flushes",
                evidence: trace.flushLayer == .api ? .recorded : .inferred)
        }
        if isStrict, domain.kind != .unmanaged {
            return Choice(
                policy: .sync, reason: "hardware that caches absent translations: strict", evidence: .modelled)
        }
        switch domain.kind {
        case .unmanaged:
            return Choice(
                policy: .vfio, reason: "an unmanaged domain (\(domain.kindEvidence.rawValue))",
                evidence: max(.modelled, ofDomain))
        case .dma:
            return Choice(
                policy: .kernelQueue, reason: "a DMA domain (\(domain.kindEvidence.rawValue))",
                evidence: max(.modelled, ofDomain))
        case .identity, .blocked, .unknown:
            return Choice(
                policy: .kernelQueue, reason: "a domain of unknown kind: taken for a DMA domain", evidence: .assumed)
        }
    }

    private func schedule(_ policy: Policy, domain: Int32) -> FlushSchedule? {
        switch policy {
        case .perPage: return PerPageSchedule(domain: domain, lane: self, pageSizes: options.pageSizes)
        case .sync: return SyncSchedule(domain: domain, lane: self)
        case .recorded: return RecordedSchedule(domain: domain, lane: self)
        case .vfio: return VFIOSchedule(domain: domain, lane: self, pageSizes: options.pageSizes)
        case .batch(let calls): return BatchSchedule(domain: domain, lane: self, calls: calls)
        case .every(let interval): return EverySchedule(domain: domain, lane: self, interval: interval)
        case .end: return EndSchedule(domain: domain, lane: self)
        case .queue(let entries, let timeout), .singleQueue(let entries, let timeout):
            var isPerCPU = false
            if case .queue = policy { isPerCPU = true }
            let settings = FlushQueue.Settings(entries: entries, timeout: timeout, ringPerCPU: isPerCPU)
            return settings.map { QueueSchedule(domain: domain, lane: self, settings: $0, wheel: options.wheel) }
        case .fast: return nil
        }
    }

    // MARK: - Flushes

    /// Whether a device is attached to the domain now.
    func isAttached(_ domain: Int32) -> Bool { attachments.state.isAttached(domain) }

    /// When and where in the log a flush happens.
    struct Occasion {
        /// ns
        var time: Int64
        /// Id of the operation, 0 for none.
        var operation: Int64
        /// Line of the log, 0 for none.
        var line: Int64
        /// Number of the ``Cell``.
        var cell: Int32

        init(_ call: UnmapCall) { (time, operation, line, cell) = (call.time, call.id, call.line, call.cell) }
        init(_ flush: RecordedFlush) { (time, operation, line, cell) = (flush.time, flush.id, flush.line, flush.cell) }
        init(_ free: DomainFree) { (time, operation, line, cell) = (free.time, free.id, free.line, free.cell) }

        init(timerAt time: Int64, cell: Int32) { (self.time, operation, line, self.cell) = (time, 0, 0, cell) }
    }

    /// Counts a flush and keeps its row. One that the policy makes closes the domain's open windows.
    ///
    /// - Parameter isAttached: whether a device was attached at that time; `nil` if that is now.
    func record(
        domain: Int32, at occasion: Occasion, cause: FlushRow.Cause, flushes: Int64, calls: Int64,
        isAttached: Bool? = nil
    ) {
        let isAttached = isAttached ?? self.isAttached(domain)
        let index = Int(domain) - 1
        let own = Int(occasion.cell)
        if own >= counts.count {
            counts.append(contentsOf: repeatElement(FlushCounts(), count: own + 1 - counts.count))
        }
        counts[own].add(flushes, isAttached: isAttached, isFlushAll: cause == .recordedFlushAll)
        guard options.detail == .full else {
            if cause.closesWindows {
                windows.closeAll(domain, at: occasion.time, .flush(cause), line: occasion.line)
            }
            return
        }
        windows.flushed(occasion.cell, at: occasion.time, flushes: flushes)
        let row = FlushRow(
            time: occasion.time, domain: domain, operation: occasion.operation, cause: cause, flushes: flushes,
            calls: calls, isAttached: isAttached)
        if cause == .call { sumUp(row, at: index) } else { rows.append(row) }
        if cause.closesWindows { windows.closeAll(domain, at: occasion.time, .flush(cause), line: occasion.line) }
    }

    /// The same for a timer, which no operation shows.
    ///
    /// - Returns: the number of the cell that it counts for.
    func recordTimer(domain: Int32, at time: Int64, calls: Int64) -> Int32 {
        let cell = windows.stale.cells.number(
            domain: domain, device: attachments.state.onlyDevice(of: domain), task: 0)
        record(domain: domain, at: Occasion(timerAt: time, cell: cell), cause: .timer, flushes: 1, calls: calls)
        return cell
    }

    /// The window of an unmap call opens, from an address on: what lies before was flushed inside the call.
    @inline(__always)
    func open(_ call: UnmapCall, domain: Int32, from start: UInt64? = nil) {
        if let window = call.window { windows.open(window, domain: domain, from: start) }
    }

    // MARK: - Hardware

    /// Who wants to know of each flush, in place of the sums.
    private let observer: FlushObserver?

    /// What flushes of a domain become, if that is asked and a device is attached: otherwise no command follows.
    ///
    /// - Parameters:
    ///   - cell: in whose call they are sent.
    ///   - time: when they are sent, ns.
    ///   - hardwareDomain: the only one that a flush of the log is for; -1 for all that the domain stands for.
    @inline(__always)
    func withInvalidator(
        of domain: Int32, for cell: Int32, at time: Int64, isAttached: Bool? = nil, hardwareDomain: Int64 = -1,
        _ body: (inout Invalidator) -> Void
    ) {
        guard !invalidators.isEmpty else { return }
        let isAttached = isAttached ?? self.isAttached(domain)
        if let observer {
            observer.take(domain, isAttached: isAttached, body)
        } else if isAttached {
            charge(cell, domain: domain)
            body(&invalidators[Int(domain) - 1])
            if let cache { send(to: cache, domain, hardwareDomain: hardwareDomain, at: time) }
        }
    }

    /// Whatever the domain's flushes become from now on is sent in this cell's calls.
    @inline(__always)
    private func charge(_ cell: Int32, domain: Int32) {
        if payers[Int(domain) - 1] != cell { changePayer(of: Int(domain) - 1, to: cell) }
    }

    private func changePayer(of index: Int, to cell: Int32) {
        let payer = Int(payers[index])
        payers[index] = cell
        guard payer >= 0 else { return }
        if payer >= sent.count {
            sent.append(contentsOf: repeatElement(InvalidationCounts(), count: payer + 1 - sent.count))
        }
        sent[payer].add(invalidators[index].takeCounts())
    }

    private func send(to cache: LaneCache, _ domain: Int32, hardwareDomain: Int64, at time: Int64) {
        invalidators[Int(domain) - 1].takeCommands {
            cache.apply($0.range, domain, hint: $0.hint, hardwareDomain: hardwareDomain, at: time)
        }
    }

    /// A further invalidation of the run that stands in for a flush of the log: no flush of its own, but caches obey it.
    func invalidateFurther(_ flush: RecordedFlush, domain: Int32) {
        guard let cache, isAttached(domain) else { return }
        cache.apply(flush.range, domain, hardwareDomain: flush.hardwareDomain, at: flush.time)
    }

    /// Maps of one `iommu_map` or `iommu_map_sg`: hardware that caches absent translations has to forget them.
    func map(_ range: AddressRange, domain: Int32, cell: Int32, at time: Int64) {
        withInvalidator(of: domain, for: cell, at: time) { $0.map(range) }
    }

    /// An unmap call whose ranges go into the gather of a sync to come.
    @inline(__always)
    func gather(_ call: UnmapCall, domain: Int32) {
        guard !invalidators.isEmpty, let range = AddressRange(start: call.iova, size: call.result) else { return }
        let isAttached = isAttached(domain)
        if let observer {
            observer.take(domain, isAttached: isAttached) { $0.unmap(range, leaves: windows.stale.removed ?? []) }
            return
        }
        guard isAttached else { return }
        charge(call.cell, domain: domain)
        invalidators[Int(domain) - 1].unmap(range, leaves: windows.stale.removed ?? [])
        // The contract's range_adds only record: they take effect at the sync.
        if let cache, options.hardware?.profile != .contract {
            send(to: cache, domain, hardwareDomain: -1, at: call.time)
        }
    }

    // MARK: - Rows

    /// Rows of sync and per-page would repeat every unmap call; those of a domain within a millisecond become one.
    private func sumUp(_ row: FlushRow, at index: Int) {
        guard let sum = sums[index] else {
            sums[index] = row
            return
        }
        if row.isAttached == sum.isAttached, (0..<Self.summedTime).contains(row.time &- sum.time) {
            sums[index]?.flushes = sum.flushes.addingSaturated(row.flushes)
            sums[index]?.calls += row.calls
        } else {
            rows.append(sum)
            sums[index] = row
        }
    }

    /// ns
    private static let summedTime: Int64 = 1_000_000

    /// Hands over the flushes and forgets them.
    @inline(__always)
    func takeRows(_ body: (FlushRow) throws -> Void) rethrows {
        for row in rows { try body(row) }
        rows.removeAll(keepingCapacity: true)
    }

    // MARK: - Timers

    func arm(_ schedule: FlushSchedule, for deadline: Int64) {
        timers.arm(domain: schedule.domain, deadline: deadline)
    }

    func disarm(_ schedule: FlushSchedule) { timers.disarm(domain: schedule.domain) }

    /// Lets the timers fire that are due at `time` or before, and the flushes of the log end that are through by then.
    @inline(__always)
    func fireTimers(upTo time: Int64) {
        while true {
            let completion = windows.nextCompletion
            if let completion, completion <= time, completion <= timers.nextDeadline {
                windows.finishFirstCompletion()
            } else if timers.nextDeadline <= time, let (domain, deadline) = timers.pop() {
                schedule(of: domain)?.timerFired(at: deadline)
            } else {
                return
            }
        }
    }

    // MARK: - The end

    /// Turns what was not a row yet into rows; what is open stays so from `time` on.
    func finish(at time: Int64) {
        windows.finish(at: time)
        cache?.finish()
        for index in payers.indices { changePayer(of: index, to: -1) }
        for index in sums.indices {
            if let sum = sums[index] { rows.append(sum) }
            sums[index] = nil
        }
    }

    /// The weakest evidence that the flushes of these domains rest on.
    func weakestEvidence(of rows: [ReplayDomainRow]) -> Evidence {
        rows.map { choices[Int($0.domain) - 1].evidence }.max() ?? .recorded
    }

    /// The replay's own row.
    func header(_ rows: [ReplayDomainRow], _ options: String, _ part: TraceSummary.Part) -> ReplayWriter.Header {
        let applied = rows.filter { $0.unmapCalls > 0 }.map(\.policy)
        let chosen = Set(applied).sorted().joined(separator: "+")
        let used = rows.map { choices[Int($0.domain) - 1] }
        let countsRecorded = policy == .recorded || used.contains { $0.policy == .recorded }
        return ReplayWriter.Header(
            requested: requested,
            policy: policy == .fast && !chosen.isEmpty ? chosen : policy.canonical,
            options: options, hzFrom: policy.hasTimer ? self.options.hzFrom : nil,
            hardware: self.options.hardware?.canonical,
            iotlb: self.options.iotlb.map { ($0.geometry.canonical, $0.accesses.rawValue) },
            layer: countsRecorded && trace.flushLayer == .hardware ? "hardware" : "api",
            evidence: weakestEvidence(of: rows).text, span: (part.firstTime, part.lastTime))
    }
}

extension FlushRow.Cause {
    /// Whether it is the policy's own flush of all that waits. Those of the log close what they cover when they are through.
    fileprivate var closesWindows: Bool {
        switch self {
        case .call, .recordedSync, .recordedFlushAll: false
        case .batchFull, .ringFull, .timer, .gatherSplit, .endOfRun, .domainFree: true
        }
    }
}

/// Who is attached where: one state for all lanes.
final class Attachments {
    @exclusivity(unchecked) var state: AttachState

    init(_ state: AttachState) { self.state = state }
}

extension HardwareCounts {
    init(_ counts: InvalidationCounts) {
        self.init(
            commands: counts.commands, domainCommands: counts.domainCommands,
            furtherCommands: counts.furtherCommands, waits: counts.waits,
            deviceTLBCommands: counts.deviceTLBCommands, pages: Int64(clamping: counts.pages),
            overPages: Int64(clamping: counts.overPages))
    }
}
