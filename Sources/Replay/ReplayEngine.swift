import IOMMUModel
import Operations
import TraceStore

/// Takes a trace's operations through the model once, for any number of policies side by side.
///
/// What does not depend on a policy is done once: page tables, attachments, runs of unmaps.
struct ReplayEngine {
    let lanes: [PolicyLane]
    private let trace: TraceSummary
    private let part: TraceSummary.Part
    private let isAsItWas: Bool
    private let pageSizes: PageSizes
    private let usesRuns: Bool
    private let showsFlushes: Bool

    /// By number of the ``Cell``.
    private(set) var unmaps: ContiguousArray<UnmapCounts> = []
    private(set) var mappings: ContiguousArray<MappingSummaryRow>
    private var tables: ContiguousArray<PageTable>
    private let attachments: Attachments
    private var runs = RunTracker()

    private let stale: StaleState
    /// The lanes that open windows, those that wait for something, and those that the log's own flushes matter to.
    private let openingLanes: ContiguousArray<PolicyLane>
    private let waitingLanes: ContiguousArray<PolicyLane>
    private let followingLanes: ContiguousArray<PolicyLane>
    /// The IOTLBs of the lanes, if that is asked, and what fills them.
    private let caches: ContiguousArray<LaneCache>
    private let accesses: AccessAssumption
    /// By the hardware's id, where it is that of one domain only.
    private let domainOfHardware: [Int64: Int32]
    /// Number of the domain that stands for all that the log does not name; 0 if there is none.
    private let unresolved: Int32
    /// By domain - 1 and lane.
    private let schedules: ContiguousArray<FlushSchedule?>
    private var hazards: HazardFinder
    /// Maps that hardware which caches absent translations has not been told of yet.
    private var mapRuns: MapRuns?
    /// What the maps and unmaps amount to by themselves, if that is asked.
    var workload: Workload?
    private var nextLoss = 0
    private var latestTime = Int64.min
    private var latestID: Int64 = 0
    private var mistakes: MistakeFinder

    init(
        _ trace: TraceSummary, _ requests: [Replay.Request], options: ReplayOptions, part: TraceSummary.Part? = nil
    ) {
        let span = part ?? trace.wholePart
        self.init(trace, options: options, part: span) { attachments, stale in
            requests.map {
                PolicyLane(
                    requested: $0.text, policy: $0.policy, options: options, trace: trace, attachments: attachments,
                    stale: stale, span: (span.firstTime, span.lastTime))
            }
        }
    }

    /// - Parameter isAsItWas: whether the log's own flushes are to be found again, not those of other callers: calls of
    ///   `iommu_unmap` flush, and ``endMaps(of:in:)`` says which maps were one call.
    init(
        _ trace: TraceSummary, options: ReplayOptions, part: TraceSummary.Part, isAsItWas: Bool = false,
        lanes makeLanes: (Attachments, StaleState) -> [PolicyLane]
    ) {
        let attachments = Attachments(
            AttachState(showsAttaches: trace.showsAttaches, assumed: trace.domains.map(\.isAssumedAttached)))
        let stale = StaleState(domains: trace.domains.count, tellsOnlyDomains: options.detail == .sums)
        self.trace = trace
        self.part = part
        self.isAsItWas = isAsItWas
        self.attachments = attachments
        self.stale = stale
        pageSizes = options.pageSizes
        let lanes = makeLanes(attachments, stale)
        self.lanes = lanes
        openingLanes = ContiguousArray(lanes.filter(\.windows.opensWindows))
        waitingLanes = ContiguousArray(lanes.filter(\.waits))
        followingLanes = ContiguousArray(lanes.filter(\.followsFlushes))
        caches = ContiguousArray(lanes.compactMap(\.cache))
        accesses = options.iotlb?.accesses ?? .none
        let known = trace.domains.enumerated().compactMap { index, domain in
            domain.isUnresolved ? nil : domain.hardwareDomain.map { ($0, Int32(index + 1)) }
        }
        domainOfHardware = Dictionary(known) { _, _ in 0 }
        unresolved = trace.domains.firstIndex { $0.isUnresolved }.map { Int32($0 + 1) } ?? 0
        schedules = ContiguousArray(
            (0..<trace.domains.count).flatMap { index in lanes.map { $0.schedule(of: Int32(index + 1)) } })
        hazards = HazardFinder(stale: stale, lanes: openingLanes, domains: trace.domains.count)
        mapRuns = options.hardware?.cachesAbsent == true ? MapRuns(domains: trace.domains, isTold: isAsItWas) : nil
        usesRuns = lanes.contains { $0.usesRuns }
        showsFlushes = trace.flushLayer != .none
        mistakes = MistakeFinder(
            unresolved: unresolved, cells: stale.cells, span: (part.firstTime, part.lastTime))
        let count = trace.domains.count
        mappings = ContiguousArray(repeating: MappingSummaryRow(), count: count)
        tables = ContiguousArray(repeating: PageTable(), count: count)
    }

    /// Takes the next operation of a trace, or of the part of it that is replayed.
    mutating func apply(_ operation: StoredOperation) {
        noteLosses(before: operation.line)
        latestID = max(latestID, operation.id)
        if operation.time > mistakes.nextSample { mistakes.sample(before: operation.time, tables) }
        if usesRuns {
            for lane in lanes where lane.usesRuns { lane.windows.now = operation.time }
        }
        // Devices do not end what a CPU is doing.
        if operation.kind != .access, let ended = mapRuns?.take(operation) { sendMaps(ended, at: operation.time) }
        switch operation.kind {
        case .map: map(operation)
        case .unmap, .unmapFast: unmap(operation)
        case .sync, .flushAll: flush(operation)
        case .attach, .detach:
            endRun(operation)
            fireTimers(upTo: operation.time)
            move(operation)
        case .domainAlloc, .marker: endRun(operation)
        case .domainFree: free(operation)
        case .ioPageFault:
            fireTimers(upTo: operation.time)
            hazards.fault(operation, device: attachments.state.domain(of: operation.device))
        case .access: access(operation)
        case .addDeviceToGroup, .removeDeviceFromGroup: break
        }
        latestTime = max(latestTime, operation.time)
    }

    /// Takes an operation from before the part that is replayed: what is mapped and attached changes, nothing else.
    mutating func prepare(_ operation: StoredOperation) {
        noteLosses(before: operation.line)
        latestID = max(latestID, operation.id)
        let index = Int(operation.domain) - 1
        switch operation.kind {
        case .map where tables.indices.contains(index) && !operation.flags.contains(.failed):
            if let range = AddressRange(start: operation.iova, size: operation.size) {
                _ = changeTable(operation, range, at: index)
            }
        case .unmap, .unmapFast:
            guard tables.indices.contains(index) else { return }
            if let range = AddressRange(start: operation.iova, size: operation.result ?? operation.size) {
                _ = tables[index].unmap(range)
            }
        case .attach: attachments.state.attach(device: operation.device, to: operation.domain)
        case .detach where !operation.flags.contains(.withinAttach):
            attachments.state.detach(device: operation.device, from: operation.domain)
        default: break
        }
    }

    /// The log, or its part, is at its end: timers due up to then have fired (design §4 9).
    mutating func finish() {
        noteLosses(before: part.lines.upperBound)
        for run in mapRuns?.takeAll() ?? [] { sendMaps(run, at: part.lastTime) }
        fireTimers(upTo: part.lastTime)
        for lane in lanes { lane.finish(at: part.lastTime) }
        for index in tables.indices { mappings[index].liveBytes = tables[index].mappedBytes }
    }

    /// What callers did wrong and what stays mapped, at the end of the log.
    mutating func findings() -> MistakeRows { mistakes.rows(tables) }

    private func fireTimers(upTo time: Int64) {
        for lane in waitingLanes { lane.fireTimers(upTo: time) }
    }

    /// Whatever is open where the log announces a loss becomes uncertain; what was due by then is not.
    private mutating func noteLosses(before line: Int64) {
        while nextLoss < trace.losses.count, trace.losses[nextLoss].line < line {
            fireTimers(upTo: max(latestTime, trace.losses[nextLoss].time))
            stale.losses &+= 1
            stale.firstCertainTag = (latestID + 1) << 1
            mistakes.lost(after: latestID)
            nextLoss += 1
        }
    }

    // MARK: - Operations

    private mutating func map(_ operation: StoredOperation) {
        endRun(operation)
        fireTimers(upTo: operation.time)
        let index = Int(operation.domain) - 1
        guard tables.indices.contains(index), !operation.flags.contains(.failed),
            let range = AddressRange(start: operation.iova, size: operation.size)
        else { return }
        hazards.map(operation, range, tables[index])
        mappings[index].maps += 1
        mappings[index].mappedBytes = mappings[index].mappedBytes.addingSaturated(range.size)
        let replaced = changeTable(operation, range, at: index)
        if workload != nil {
            let device = device(of: operation)
            workload?.map(operation, range, device: device, isOverLive: replaced > 0)
        }
        if replaced > 0 || MistakeFinder.isMisaligned(operation) {
            let cell = cell(of: operation)
            mistakes.map(operation, cell: cell, replaced: replaced, tag: tables[index].replacedTag)
        }
        if replaced > 0 {
            mappings[index].mapsOverLive += 1
            for cache in caches { cache.replaced(operation.domain, range, tables[index]) }
        }
        if accesses == .touchOnMap, mapRuns == nil { touch(operation.domain, range, at: operation.time) }
        mappings[index].peakLiveBytes = max(mappings[index].peakLiveBytes, tables[index].mappedBytes)
    }

    /// The log shows a command of a task: maps inside its block were a call of their own.
    mutating func endMaps(of pid: Int32, in block: AddressRange, at time: Int64) {
        if let run = mapRuns?.end(pid: pid, in: block) { sendMaps(run, at: time) }
    }

    private func sendMaps(_ run: MapRuns.Run, at time: Int64) {
        let device = run.device > 0 ? run.device : attachments.state.onlyDevice(of: run.domain)
        let cell = stale.cells.number(domain: run.domain, device: device, task: run.task)
        for lane in lanes { lane.map(run.range, domain: run.domain, cell: cell, at: time) }
        // Only then may the driver's caller hand the pages to a device.
        if accesses == .touchOnMap { touch(run.domain, run.range, at: time) }
    }

    // MARK: - Accesses

    private func touch(_ domain: Int32, _ range: AddressRange, at time: Int64) {
        guard !caches.isEmpty, attachments.state.isAttached(domain) else { return }
        let pages = range.roundedOut(to: pageSizes.granule)
        for cache in caches { cache.touch(domain, pages, tables[Int(domain) - 1], at: time) }
    }

    /// An access that the log shows.
    private func access(_ operation: StoredOperation) {
        guard operation.hasRange else { return }
        fireTimers(upTo: operation.time)
        let domain = domain(ofAccess: operation)
        guard domain > 0, Int(domain) <= tables.count, attachments.state.isAttached(domain) else { return }
        let page = operation.iova & ~4095
        let leaf = tables[Int(domain) - 1].leaf(of: page)
        // One of which it is known what the page table said was no use of what had been there before.
        if leaf == nil, operation.paddr == nil { hazards.fault(operation, device: domain) }
        guard accesses == .recorded else { return }
        for cache in caches {
            cache.access(
                domain, hardwareDomain: operation.hardwareDomain, iova: page, leaf: leaf,
                recorded: operation.paddr.map { $0 & ~4095 }, at: operation.time)
        }
    }

    /// Whose page table a recorded access went through: the domain that the log names, else that of the device, else the
    /// one that the hardware knew by that id last, else the one that stands for all that are not named; 0 if there is none.
    private func domain(ofAccess operation: StoredOperation) -> Int32 {
        if operation.domain > 0 { return operation.domain }
        if operation.device > 0, case let domain = attachments.state.domain(of: operation.device), domain > 0 {
            return domain
        }
        let known = domainOfHardware[operation.hardwareDomain] ?? 0
        return known > 0 ? known : unresolved
    }

    /// Maps in the model's page table. A mapping is tagged with its map call, which also tells whether a loss lies between.
    private mutating func changeTable(_ operation: StoredOperation, _ range: AddressRange, at index: Int) -> UInt64 {
        let tag = MappingTag.tag(of: operation, isSeveral: isSeveral(operation, range))
        let changed = hazards.willChange(operation.domain, range.roundedOut(to: pageSizes.granule), tables[index])
        defer { hazards.didChange(operation.domain, changed, tables[index]) }
        return tables[index].map(range, to: operation.paddr ?? 0, sizes: pageSizes, tag: tag)
    }

    /// Whether a map becomes pages of more than one size.
    private func isSeveral(_ operation: StoredOperation, _ range: AddressRange) -> Bool {
        guard range.size > pageSizes.granule else { return false }
        let (whole, mask) = (range.roundedOut(to: pageSizes.granule), ~(pageSizes.granule &- 1))
        let first = pageSizes.callback(iova: whole.start, paddr: (operation.paddr ?? 0) & mask, size: whole.size & mask)
        return first.map { $0.size < whole.size } ?? false
    }

    private mutating func unmap(_ operation: StoredOperation) {
        let index = Int(operation.domain) - 1
        guard tables.indices.contains(index) else { return }
        if usesRuns, let ended = runs.unmap(pid: operation.pid, domain: operation.domain) {
            endRuns(of: ended.0)
            if let other = ended.1 { endRuns(of: other) }
        }
        fireTimers(upTo: operation.time)
        // Without a recorded return the call is taken to have done what it was asked to.
        let result = operation.result ?? operation.size
        let isAttached = attachments.state.isAttached(operation.domain)
        let cell = cell(of: operation)
        let range = AddressRange(start: operation.iova, size: result)
        count(operation, range, result: result, isAttached: isAttached, cell: cell, at: index)
        if workload != nil {
            let device = device(of: operation)
            workload?.unmap(operation, range, device: device, result: result)
        }
        var window: Window?
        if let range {
            if !isAttached {
                for lane in lanes { lane.windows.unreachable(cell, pages: range.pages) }
            } else if !openingLanes.isEmpty {
                window = open(operation, range, cell: cell)
            }
        }
        let call = UnmapCall(
            id: operation.id, line: operation.line, time: operation.time, sinceEntry: operation.sinceEntry,
            cpu: operation.cpu, pid: operation.pid, cell: cell, window: window,
            isStrictCall: operation.kind == .unmap && isStrict(operation), iova: operation.iova,
            size: operation.size, result: result)
        let isCached = !caches.isEmpty && isClearing(range, operation.domain)
        for lane in index * lanes.count..<(index + 1) * lanes.count { schedules[lane]?.unmap(call) }
        if isCached, let range {
            for cache in caches { cache.cleared(operation.domain, range, at: operation.time, isAttached: isAttached) }
        }
    }

    /// Tells the caches what an unmap call removed.
    ///
    /// - Returns: whether any holds something of it.
    private func isClearing(_ range: AddressRange?, _ domain: Int32) -> Bool {
        guard let range else { return false }
        var any = false
        for cache in caches where cache.clearing(domain, range, stale.removed ?? []) { any = true }
        return any
    }

    /// The domain, device and task that an operation is counted for.
    private func cell(of operation: StoredOperation) -> Int32 {
        stale.cells.number(
            domain: operation.domain, device: device(of: operation), task: operation.task)
    }

    /// The device that an operation is counted for; 0 if the log does not show it, or shows several.
    private func device(of operation: StoredOperation) -> Int32 {
        operation.device > 0 ? operation.device : attachments.state.onlyDevice(of: operation.domain)
    }

    private mutating func open(_ operation: StoredOperation, _ range: AddressRange, cell: Int32) -> Window {
        stale.removed?.removeAll { $0.tag < stale.firstCertainTag }
        let window = Window(
            operation: operation.id, line: operation.line, opened: operation.time, range: range, cell: cell,
            losses: stale.losses, order: stale.domains[Int(operation.domain) - 1].end,
            map: stale.removed?.first.map { MappingTag($0.tag).operation } ?? 0)
        stale.open(window, stale.removed ?? [], domain: operation.domain, under: openingLanes)
        return window
    }

    /// Whether a call of `iommu_unmap` stays one. A log tells the two apart by a probe only: the tracepoint is the same for both.
    private func isStrict(_ operation: StoredOperation) -> Bool {
        operation.flags.contains(.attachProbe) || isAsItWas && operation.flags.contains(.byProbe)
    }

    /// Counts an unmap call, and removes from the model's page table what it removed.
    private mutating func count(
        _ operation: StoredOperation, _ range: AddressRange?, result: UInt64, isAttached: Bool, cell: Int32,
        at index: Int
    ) {
        let own = Int(cell)
        if own >= unmaps.count {
            unmaps.append(contentsOf: repeatElement(UnmapCounts(), count: own + 1 - unmaps.count))
        }
        unmaps[own].calls += 1
        unmaps[own].addPages(of: result)
        if operation.flags.contains(.attachProbe) { unmaps[own].attachProbeCalls += 1 }
        if !isAttached {
            unmaps[own].detachedCalls += 1
            unmaps[own].unreachableBytes = unmaps[own].unreachableBytes.addingSaturated(result)
        }
        mappings[index].unmaps += 1
        mappings[index].unmappedBytes = mappings[index].unmappedBytes.addingSaturated(result)
        if let range {
            stale.removed?.removeAll(keepingCapacity: true)
            let changed = hazards.willChange(operation.domain, range, tables[index])
            let removed = tables[index].unmap(range, into: &stale.removed)
            if removed.bytes == 0 { mappings[index].unmapsWithoutMap += 1 }
            hazards.didChange(operation.domain, changed, tables[index])
            if MistakeFinder.isPart(removed, stale.removed) {
                mistakes.findRest(operation, cell, of: stale.removed, tables[index])
            }
        } else {
            mappings[index].unmapsOfNothing += 1
        }
        if MistakeFinder.isTelling(operation) { mistakes.tellResult(operation, cell) }
    }

    private mutating func flush(_ operation: StoredOperation) {
        guard showsFlushes, operation.domain > 0 else { return }
        let flush = RecordedFlush(
            id: operation.id, line: operation.line, time: operation.time, completed: operation.completed,
            certainBefore: operation.certainBefore, cpu: operation.cpu, pid: operation.pid, cell: cell(of: operation),
            range: operation.hasRange ? AddressRange(start: operation.iova, size: operation.size) : nil,
            isEmpty: operation.kind == .sync && operation.hasRange && operation.size == 0,
            isSync: operation.kind == .sync, hardwareDomain: operation.hardwareDomain)
        for lane in followingLanes {
            guard let schedule = lane.schedule(of: operation.domain) else { continue }
            if operation.continuesFlush { schedule.continued(flush) } else { schedule.recorded(flush) }
        }
    }

    // MARK: - Attachment

    private func move(_ operation: StoredOperation) {
        let former = attachments.state.domain(of: operation.device)
        if operation.kind == .attach {
            attachments.state.attach(device: operation.device, to: operation.domain)
        } else if !operation.flags.contains(.withinAttach) {
            attachments.state.detach(device: operation.device, from: operation.domain)
        }
        guard former > 0, Int(former) <= tables.count, !attachments.state.isAttached(former) else { return }
        for lane in lanes { lane.windows.closeAll(former, at: operation.time, .detach, line: operation.line) }
        for cache in caches { cache.detach(former, at: operation.time) }
    }

    private mutating func free(_ operation: StoredOperation) {
        endRun(operation)
        fireTimers(upTo: operation.time)
        guard operation.domain > 0, Int(operation.domain) <= tables.count else { return }
        let free = DomainFree(
            id: operation.id, line: operation.line, time: operation.time, cell: cell(of: operation))
        for lane in lanes {
            lane.schedule(of: operation.domain)?.domainFreed(free)
            lane.windows.closeAll(operation.domain, at: operation.time, .flush(.domainFree), line: operation.line)
            lane.windows.forget(operation.domain)
            lane.cache?.detach(operation.domain, at: operation.time)
        }
        stale.forget(operation.domain)
    }

    // MARK: - Runs

    /// Ends the run of the task, which has gone on to this, and any run in this domain.
    private mutating func endRun(_ operation: StoredOperation) {
        guard usesRuns else { return }
        if let domain = runs.end(pid: operation.pid) { endRuns(of: domain) }
        switch operation.kind {
        case .map, .attach, .domainFree:
            if runs.end(domain: operation.domain) { endRuns(of: operation.domain) }
        default: break
        }
    }

    private func endRuns(of domain: Int32) {
        for lane in lanes where lane.usesRuns { lane.schedule(of: domain)?.endOfRun() }
    }
}

/// Runs of unmaps: of one task in one domain, until either does something else (design §4 7).
struct RunTracker {
    private var domainOfTask: [Int32: Int32] = [:]
    private var taskOfDomain: [Int32: Int32] = [:]
    private var last: (pid: Int32, domain: Int32)?

    /// An unmap: begins or continues a run.
    ///
    /// - Returns: the domains whose runs it ends, if any.
    mutating func unmap(pid: Int32, domain: Int32) -> (Int32, Int32?)? {
        if let last, last == (pid, domain) { return nil }
        var ended: [Int32] = []
        if let former = domainOfTask[pid], former != domain {
            ended.append(former)
            taskOfDomain[former] = nil
        }
        if let other = taskOfDomain[domain], other != pid {
            ended.append(domain)
            domainOfTask[other] = nil
        }
        domainOfTask[pid] = domain
        taskOfDomain[domain] = pid
        last = (pid, domain)
        guard let first = ended.first else { return nil }
        return (first, ended.count > 1 ? ended[1] : nil)
    }

    /// The task does something else.
    ///
    /// - Returns: the domain of the run that it ends.
    mutating func end(pid: Int32) -> Int32? {
        if domainOfTask.isEmpty { return nil }
        guard let domain = domainOfTask.removeValue(forKey: pid) else { return nil }
        taskOfDomain[domain] = nil
        last = nil
        return domain
    }

    /// Something else happens to the domain.
    ///
    /// - Returns: whether that ends a run.
    mutating func end(domain: Int32) -> Bool {
        if taskOfDomain.isEmpty { return false }
        guard let pid = taskOfDomain.removeValue(forKey: domain) else { return false }
        domainOfTask[pid] = nil
        last = nil
        return true
    }
}
