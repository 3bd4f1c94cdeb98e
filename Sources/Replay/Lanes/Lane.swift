import FlushSchedules
import IOMMUModel
import TraceStore

/// One policy on its way through a trace: a schedule for each domain, and what takes note of what the schedules do.
///
/// Everything in it is its own. What happens it reads from batches of ``WorldEvent``s, what windows there are from ``StaleState``:
/// whoever else goes through the same trace changes nothing here.
struct Lane {
    let requested: String
    let policy: Policy
    let options: ReplayOptions
    let trace: TraceSummary
    /// By domain - 1.
    let choices: ContiguousArray<PolicyChoice>
    /// Whether any domain's schedule depends on where runs of unmaps end.
    let usesRuns: Bool
    /// Whether any domain's schedule depends on the leaves that unmaps remove.
    let usesLeaves: Bool
    /// Whether any domain's schedule depends on the flushes of the log.
    let followsFlushes: Bool
    /// Whether the policy opens windows in any domain.
    let opensWindows: Bool
    private let waits: Bool
    private let tellsMaps: Bool

    /// By domain - 1; `nil` where the policy says nothing.
    private(set) var schedules: ContiguousArray<(any FlushSchedule)?>
    private let collecting: ContiguousArray<Collecting>
    /// By domain - 1.
    private let isInRuns: ContiguousArray<Bool>
    /// By domain - 1.
    private let isQueue: ContiguousArray<Bool>
    private var actions = FlushActions()
    private var timers = TimerHeap()
    /// By domain - 1, as far as events have come.
    private var attachments: ContiguousArray<WorldEvent.Attachment>

    // What takes note.
    private(set) var counter: FlushCounter
    private(set) var windows: WindowLedger
    /// What reaches the hardware, if that is asked.
    var commands: CommandSink?
    /// Who wants to know of each flush, in place of ``commands``.
    private var observer: FlushObserver?

    /// - Parameters:
    ///   - choices: the policy of each domain, `nil` where none applies; left out, what `policy` means in each.
    init(
        requested: String, policy: Policy, options: ReplayOptions, trace: TraceSummary,
        span: (first: Int64, last: Int64),
        choices chosen: [PolicyChoice?]? = nil, observer: FlushObserver? = nil
    ) {
        self.requested = requested
        self.policy = policy
        self.options = options
        self.trace = trace
        self.observer = observer
        let isStrict = options.hardware?.cachesAbsent == true
        let choices = ContiguousArray(
            trace.domains.indices.map { index in
                chosen.flatMap { $0[index] }
                    ?? PolicyChoice(policy, for: trace.domains[index], in: trace, isStrict: isStrict)
            })
        self.choices = choices
        usesRuns = choices.contains { $0.policy.isInRuns }
        followsFlushes = choices.contains { $0.policy == .recorded }
        waits = choices.contains { $0.policy.waits }
        tellsMaps = isStrict
        schedules = ContiguousArray(
            choices.indices.map { index in
                if let chosen, chosen[index] == nil { return nil }
                return choices[index].policy.schedule(
                    pageSizes: options.pageSizes, wheel: options.wheel, rule: options.driver.gatherRule,
                    callbacksTakeCalls: options.driver.callbacksTakeCalls)
            })
        collecting = ContiguousArray(schedules.map { $0?.collecting ?? .queued })
        isInRuns = ContiguousArray(choices.map { $0.policy.isInRuns })
        isQueue = ContiguousArray(choices.map { $0.policy.isQueue })
        usesLeaves = collecting.contains(.inPieces)
        attachments = ContiguousArray(
            repeating: WorldEvent.Attachment(isAttached: false, timerCell: 0), count: trace.domains.count)
        counter = FlushCounter(domains: trace.domains.count, keepsRows: options.detail == .full)
        windows = WindowLedger(
            kept: options.windows, detail: options.detail,
            domains: zip(choices, trace.domains).map { choice, domain in
                (choice.policy.manner(in: trace), choice.policy.reuseKind(in: domain.mode))
            }, span: span)
        opensWindows = windows.opensWindows
        guard observer == nil, let hardware = options.hardware else { return }
        let cache = options.iotlb.map { model in
            LaneCache(
                model, isInRuns: choices.map { $0.policy.isInRuns },
                unresolved: trace.domains.firstIndex { $0.isUnresolved }.map { Int32($0 + 1) } ?? 0)
        }
        commands = CommandSink(
            hardware, pageSizes: options.pageSizes, domains: trace.domains.count, cache: cache)
    }

    /// Whether a device is attached to the domain now.
    func isAttached(_ domain: Int32) -> Bool { attachments[Int(domain) - 1].isAttached }

    // MARK: - Events

    /// Takes what happened next.
    mutating func take(_ batch: WorldEvents.View, _ stale: StaleState) {
        for index in batch.events.indices { take(batch.events[index], batch, stale) }
    }

    @inline(__always)
    private mutating func take(_ event: WorldEvent, _ batch: WorldEvents.View, _ stale: StaleState) {
        if usesRuns { windows.now = event.now }
        let domain = event.domain
        switch event.what {
        case .unmap(let place):
            if waits { fireTimers(upTo: event.now, stale) }
            if let first = batch.unmaps.baseAddress { take(first + Int(place), domain, batch, stale) }
        case .map(let place):
            if waits { fireTimers(upTo: event.now, stale) }
            if let first = batch.maps.baseAddress { take(first + Int(place), domain, at: event.now, batch, stale) }
        case .flush(let place): if followsFlushes { take(batch.flushes[Int(place)], domain, stale) }
        case .free(let occasion): free(domain, occasion, stale)
        case .attachment(let attachment): attachments[Int(domain) - 1] = attachment
        case .detached(let line):
            windows.closeAll(domain, at: event.now, .detach, line: line, stale)
            commands?.cache?.detach(domain, at: event.now)
        case .endOfRun: if usesRuns { ask(.endOfRun, domain, stale) }
        case .moment: if waits { fireTimers(upTo: event.now, stale) }
        case .loss(let due):
            if waits { fireTimers(upTo: due, stale) }
            windows.losses &+= 1
        case .fault(let fault): take(fault, at: event.now, batch, stale)
        case .access(let place):
            let access = batch.accesses[Int(place)]
            commands?.cache?.access(
                domain, hardwareDomain: access.hardwareDomain, iova: access.iova, leaf: access.leaf,
                recorded: access.recorded, at: event.now)
        case .mapsDone(let range, let cell):
            if tellsMaps { request(.mapped(range), domain, for: cell, at: event.now) }
        case .touch(let range, let leaves):
            commands?.cache?.touch(domain, range, batch.leaves(leaves), at: event.now)
        }
    }

    private mutating func take(
        _ unmap: UnsafePointer<WorldEvent.Unmap>, _ domain: Int32, _ batch: WorldEvents.View, _ stale: StaleState
    ) {
        let index = Int(domain) - 1
        if !unmap.pointee.call.isAttached, let range = unmap.pointee.range {
            windows.unreachable(unmap.pointee.call.occasion.cell, pages: range.pages)
        }
        let reachesHardware = commands != nil || observer != nil
        var isCached = false
        if reachesHardware, let range = unmap.pointee.range {
            isCached = commands?.cache?.clearing(domain, range, batch.leaves(unmap.pointee.leaves)) ?? false
        }
        if isInRuns[index] { ask(.unmapping(unmap.pointee.call), domain, stale, unmap: unmap) }
        if collecting[index] == .inPieces {
            if let range = unmap.pointee.range {
                schedules[index]?.remove(batch.leaves(unmap.pointee.leaves), of: range)
            }
        } else if reachesHardware, let range = unmap.pointee.range {
            tellHardware(unmap.pointee, range, domain, batch)
        } else if reachesHardware {
            commands?.unmappedNothing(at: unmap.pointee.call, domain: domain)
            observer?.unmappedNothing(at: unmap.pointee.call.iova, domain: domain)
        }
        ask(.unmapped(unmap.pointee.call), domain, stale, unmap: unmap, batch: batch)
        if isCached, let range = unmap.pointee.range {
            let call = unmap.pointee.call
            commands?.cache?.cleared(domain, range, at: call.occasion.time, isAttached: call.isAttached)
        }
    }

    /// The hardware side sees each unmap, whatever the schedule makes of it.
    ///
    /// - Parameter range: all that the call removed, or the part of it that the schedule names.
    private mutating func tellHardware(
        _ unmap: WorldEvent.Unmap, _ range: AddressRange, _ domain: Int32, _ batch: WorldEvents.View
    ) {
        let (index, call) = (Int(domain) - 1, unmap.call)
        let leaves = batch.leaves(unmap.leaves)
        let collecting = call.isImmediate && isQueue[index] ? .gathered : collecting[index]
        if call.isAttached {
            commands?.unmapped(range, leaves: leaves, collecting, domain: domain, at: call.occasion)
        }
        // Where the policy says nothing, nobody gathers.
        if schedules[index] != nil {
            observer?.unmapped(range, leaves: leaves, collecting, domain: domain, isAttached: call.isAttached)
        }
    }

    @inline(__always)
    private mutating func take(
        _ map: UnsafePointer<WorldEvent.Map>, _ domain: Int32, at time: Int64, _ batch: WorldEvents.View,
        _ stale: StaleState
    ) {
        if opensWindows, map.pointee.usesStale { windows.mapped(map.pointee, at: time, batch, stale) }
        if let replaced = map.pointee.replaced {
            commands?.cache?.replaced(domain, replaced, batch.leaves(map.pointee.leaves))
        }
    }

    private mutating func take(
        _ fault: WorldEvent.Fault, at time: Int64, _ batch: WorldEvents.View, _ stale: StaleState
    ) {
        if opensWindows { windows.faulted(fault, at: time, batch, stale) }
    }

    private mutating func take(_ flush: WorldEvent.LogFlush, _ domain: Int32, _ stale: StaleState) {
        ask(flush.isFurther ? .furtherInvalidation(flush.flush) : .flush(flush.flush), domain, stale, flush: flush)
    }

    private mutating func free(_ domain: Int32, _ occasion: Occasion, _ stale: StaleState) {
        ask(.free(occasion), domain, stale)
        windows.closeAll(domain, at: occasion.time, .flush(.domainFree), line: occasion.line, stale)
        windows.forget(domain)
        commands?.cache?.detach(domain, at: occasion.time)
    }

    /// Lets the timers fire that are due at `time` or before, and the flushes of the log end that are through by then.
    @inline(__always)
    private mutating func fireTimers(upTo time: Int64, _ stale: StaleState) {
        while min(windows.nextCompletion, timers.nextDeadline) <= time, fireFirst(stale) {}
    }

    /// - Returns: whether there was anything.
    private mutating func fireFirst(_ stale: StaleState) -> Bool {
        if windows.nextCompletion <= timers.nextDeadline, windows.finishFirstCompletion(stale) { return true }
        guard let (domain, deadline) = timers.pop() else { return false }
        if domain > 0 { ask(.timer(deadline), domain, stale) }
        return true
    }

    // MARK: - Actions

    /// Asks the domain's schedule what is to be done, and does it.
    ///
    /// - Parameters:
    ///   - unmap: the unmap call that the event is about.
    ///   - flush: the flush of the log that it is about.
    @inline(__always)
    private mutating func ask(
        _ event: DomainEvent, _ domain: Int32, _ stale: StaleState, unmap: UnsafePointer<WorldEvent.Unmap>? = nil,
        batch: WorldEvents.View? = nil, flush: WorldEvent.LogFlush? = nil
    ) {
        actions.removeAll()
        schedules[Int(domain) - 1]?.on(event, into: &actions)
        for index in 0..<actions.count {
            switch actions[index] {
            case .open(let part):
                if let unmap, unmap.pointee.order >= 0 { windows.open(unmap.pointee, domain, part, stale) }
            case .gather(let part):
                guard commands != nil || observer != nil, let unmap, let batch else { continue }
                tellHardware(unmap.pointee, part, domain, batch)
            case .flush(let flush): record(flush, domain, stale)
            case .takeRecorded(let calls): if let flush { record(flush, domain, calls: calls, stale) }
            case .takeFurther:
                guard let flush else { continue }
                if isAttached(domain) {
                    commands?.invalidate(
                        flush.flush.range, domain: domain, hardwareDomain: flush.flush.hardwareDomain,
                        at: flush.flush.occasion.time)
                }
                windows.extend(flush, domain, stale)
            case .syncedInside(let range, let hardwareDomain):
                guard let unmap, unmap.pointee.order >= 0 else { continue }
                commands?.invalidate(
                    range, domain: domain, hardwareDomain: hardwareDomain, at: unmap.pointee.call.occasion.time)
            case .runGoesOn:
                windows.runGoesOn(in: domain, stale)
                commands?.cache?.runGoesOn(in: domain)
            case .arm(let deadline): timers.arm(domain: domain, deadline: deadline)
            case .disarm: timers.disarm(domain: domain)
            }
        }
    }

    /// A flush that the policy makes. It closes the domain's open windows, unless it is of the call itself.
    @inline(__always)
    private mutating func record(_ flush: PolicyFlush, _ domain: Int32, _ stale: StaleState) {
        let attachment = attachments[Int(domain) - 1]
        let isAttached = flush.wasAttached ?? attachment.isAttached
        let cell = flush.occasion?.cell ?? attachment.timerCell
        let cause = FlushRow.Cause(flush.cause)
        count(
            FlushRow(
                time: flush.time, domain: domain, operation: flush.occasion?.operation ?? 0, cause: cause,
                flushes: flush.flushes, calls: flush.calls, isAttached: isAttached), cell: cell)
        if flush.cause != .call {
            windows.closeAll(domain, at: flush.time, .flush(cause), line: flush.occasion?.line ?? 0, stale)
        }
        if case .nothing = flush.request { return }
        request(.policy(flush.request), domain, for: cell, at: flush.time, isAttached: isAttached)
    }

    /// A flush of the log. What it covers closes when its last layer is through.
    private mutating func record(_ flush: WorldEvent.LogFlush, _ domain: Int32, calls: Int64, _ stale: StaleState) {
        let occasion = flush.flush.occasion
        count(
            FlushRow(
                time: occasion.time, domain: domain, operation: occasion.operation,
                cause: flush.flush.isSync ? .recordedSync : .recordedFlushAll, flushes: 1, calls: calls,
                isAttached: isAttached(domain)), cell: occasion.cell)
        request(
            .recorded(flush.flush), domain, for: occasion.cell, at: occasion.time,
            hardwareDomain: flush.flush.hardwareDomain)
        windows.complete(flush, domain, stale)
    }

    @inline(__always)
    private mutating func count(_ row: FlushRow, cell: Int32) {
        counter.add(row, cell: cell)
        if options.detail == .full { windows.flushed(cell, at: row.time, flushes: row.flushes) }
    }

    @inline(__always)
    private mutating func request(
        _ request: FlushRequest, _ domain: Int32, for cell: Int32, at time: Int64, isAttached: Bool? = nil,
        hardwareDomain: Int64 = -1
    ) {
        let isAttached = isAttached ?? self.isAttached(domain)
        if isAttached {
            commands?.flush(request, domain: domain, for: cell, at: time, hardwareDomain: hardwareDomain)
        }
        observer?.flush(request, domain: domain, isAttached: isAttached)
    }

    // MARK: - The end

    /// The log is at its end: what is open stays so from `time` on.
    mutating func finish(at time: Int64, _ stale: StaleState) {
        windows.finish(at: time, stale)
        counter.finish()
        commands?.finish()
    }

    /// What was flushed since the last time, where an observer wants to know.
    mutating func takeObserved() -> [FlushObserver.Flush] { observer?.takeFlushes() ?? [] }

    /// Hands over the flushes since the last time, as rows.
    mutating func takeFlushRows() -> ContiguousArray<FlushRow> { counter.takeRows() }

    /// Hands over what became rows since the last time.
    mutating func takeRows() -> LaneRows {
        let (windows, hazards) = windows.takeRows()
        return LaneRows(flushes: counter.takeRows(), windows: windows, hazards: hazards)
    }
}

/// What a lane hands over to be written.
struct LaneRows {
    var flushes: ContiguousArray<FlushRow>
    var windows: ContiguousArray<StaleWindowRow>
    var hazards: ContiguousArray<HazardRow>
}
