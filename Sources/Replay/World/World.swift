import FlushSchedules
import IOMMUModel
import Operations
import TraceStore

/// What no policy changes: page tables, attachments, losses, runs of unmaps, and what became stale.
///
/// Takes operations and says in ``WorldEvent``s what they come to. It does not know who listens, nor whether anybody does; what
/// nobody asks for it leaves out.
struct World {
    /// What those who listen want to know.
    struct Interests {
        /// Stale translations, and who uses them again.
        var staleTranslations = false
        /// The leaves that unmaps remove.
        var leaves = false
        /// The flushes of the log.
        var flushes = false
        /// Where runs of unmaps end.
        var runs = false
        /// When maps of one call are done.
        var mapCalls = false
        /// Which accesses fill a cache; `nil` for no cache.
        var accesses: AccessAssumption?
    }

    private let trace: TraceSummary
    private let part: TraceSummary.Part
    private let isAsItWas: Bool
    private let pageSizes: PageSizes
    private let interests: Interests
    private let showsFlushes: Bool
    /// Whether `dma_iova_unlink` syncs in domains that defer, too.
    private let unlinkSyncs: Bool
    /// Number of the domain that stands for all that the log does not name; 0 if there is none.
    private let unresolved: Int32
    /// By the hardware's id, where it was never that of another domain.
    private let onlyDomainOfHardware: [Int64: Int32]

    /// By number of the ``Cell``.
    private(set) var unmaps: ContiguousArray<UnmapCounts> = []
    private(set) var mappings: ContiguousArray<MappingSummaryRow>
    /// By domain - 1.
    private var tables: ContiguousArray<PageTable>
    private(set) var attachments: AttachState
    private(set) var stale: StaleState
    private var reuses: ReuseFinder
    private var runs = RunTracker()
    /// Maps that hardware which caches absent translations has not been told of yet.
    private var mapRuns: MapRuns?
    private var mistakes: MistakeFinder
    /// What the maps and unmaps amount to by themselves, if that is asked.
    var workload: Workload?
    private var losses: Int32 = 0
    private var latestTime = Int64.min
    /// Of the operation before, which a clock that runs backwards may have put after the latest one.
    private var formerTime = Int64.min
    private var latestID: Int64 = 0
    /// What one unmap removes; kept to be filled again.
    private var removed: ContiguousArray<PageTable.Run>? = []

    /// - Parameter isAsItWas: whether the log's own flushes are to be found again, not those of other callers: calls of
    ///   `iommu_unmap` flush, and ``endMaps(of:in:at:into:)`` says which maps were one call.
    init(
        _ trace: TraceSummary, options: ReplayOptions, part: TraceSummary.Part, isAsItWas: Bool = false,
        interests: Interests
    ) {
        self.trace = trace
        self.part = part
        self.isAsItWas = isAsItWas
        self.interests = interests
        pageSizes = options.pageSizes
        attachments = AttachState(showsAttaches: trace.showsAttaches, assumed: trace.domains.map(\.isAssumedAttached))
        stale = StaleState(domains: trace.domains.count, tellsOnlyDomains: options.detail == .sums)
        reuses = ReuseFinder(domains: trace.domains.count)
        let known = trace.domains.enumerated().compactMap { index, domain in
            domain.isUnresolved ? nil : domain.hardwareDomain.map { ($0, Int32(index + 1)) }
        }
        onlyDomainOfHardware = Dictionary(known) { _, _ in 0 }
        unresolved = trace.domains.firstIndex { $0.isUnresolved }.map { Int32($0 + 1) } ?? 0
        mapRuns = interests.mapCalls ? MapRuns(domains: trace.domains, isTold: isAsItWas) : nil
        showsFlushes = trace.flushLayer != .none
        unlinkSyncs = trace.kernelVersion.map { $0 >= .unlinkSyncs } ?? false
        mistakes = MistakeFinder(
            unresolved: unresolved, span: (part.firstTime, part.lastTime),
            refusesDoubleMaps: HardwareProfile.recorded(in: trace)?.refusesDoubleMaps ?? false)
        mappings = ContiguousArray(repeating: MappingSummaryRow(), count: trace.domains.count)
        tables = ContiguousArray(repeating: PageTable(), count: trace.domains.count)
    }

    /// Says which domains are attached before anything happens.
    mutating func begin(into batch: inout WorldEvents) {
        for index in tables.indices { tellAttachment(of: Int32(index + 1), at: .min, into: &batch) }
    }

    /// Takes the next operation of a trace, or of the part of it that is replayed.
    mutating func apply(_ operation: StoredOperation, into batch: inout WorldEvents) {
        noteLosses(before: operation.line, into: &batch)
        latestID = max(latestID, operation.id)
        if operation.time > mistakes.nextSample { mistakes.sample(before: operation.time, tables) }
        // Devices do not end what a CPU is doing.
        if operation.kind != .access, let ended = mapRuns?.take(operation) {
            tellMaps(ended, at: operation.time, into: &batch)
        }
        switch operation.kind {
        case .map: map(operation, into: &batch)
        case .unmap, .unmapFast: unmap(operation, into: &batch)
        case .sync, .flushAll: flush(operation, into: &batch)
        case .attach, .detach:
            endRun(operation, into: &batch)
            batch.add(.moment, at: operation.time)
            move(operation, into: &batch)
        case .domainAlloc, .marker: endRun(operation, into: &batch)
        case .domainFree: free(operation, into: &batch)
        case .ioPageFault:
            batch.add(.moment, at: operation.time)
            fault(operation, device: attachments.domain(of: operation.device), into: &batch)
        case .access: access(operation, into: &batch)
        case .addDeviceToGroup, .removeDeviceFromGroup: break
        }
        latestTime = max(latestTime, operation.time)
        formerTime = operation.time
    }

    /// Takes an operation from before the part that is replayed: what is mapped and attached changes, nothing else.
    mutating func prepare(_ operation: StoredOperation, into batch: inout WorldEvents) {
        noteLosses(before: operation.line, into: &batch)
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
        case .attach, .detach: moveDevice(operation, into: &batch)
        default: break
        }
    }

    /// The log, or its part, is at its end: timers due up to then have fired (design §4 9).
    mutating func finish(into batch: inout WorldEvents) {
        noteLosses(before: part.lines.upperBound, into: &batch)
        for run in mapRuns?.takeAll() ?? [] { tellMaps(run, at: part.lastTime, into: &batch) }
        batch.add(.moment, at: part.lastTime)
        for index in tables.indices { mappings[index].liveBytes = tables[index].mappedBytes }
    }

    /// What callers did wrong and what stays mapped, at the end of the log.
    mutating func findings() -> MistakeRows { mistakes.rows(tables, stale.cells) }

    // MARK: - Forgetting

    /// Domains of which policies should say what they need (``StaleState/takeDue()``).
    mutating func takeDue() -> ContiguousArray<Int32> { interests.staleTranslations ? stale.takeDue() : [] }

    /// Forgets what no policy needs any more of what is stale in a domain.
    mutating func trim(_ domain: Int32, _ needs: WindowNeeds) { stale.trim(domain, needs) }

    /// After all that were due are trimmed.
    mutating func endTrimming() { stale.endTrimming() }

    /// Whatever is open where the log announces a loss becomes uncertain; what was due by then is not.
    private mutating func noteLosses(before line: Int64, into batch: inout WorldEvents) {
        while Int(losses) < trace.losses.count, trace.losses[Int(losses)].line < line {
            let due = max(latestTime, trace.losses[Int(losses)].time)
            losses &+= 1
            stale.firstCertainTag = (latestID + 1) << 1
            mistakes.lost(after: latestID)
            batch.add(.loss(due: due), at: formerTime)
        }
    }

    // MARK: - Maps

    private mutating func map(_ operation: StoredOperation, into batch: inout WorldEvents) {
        endRun(operation, into: &batch)
        let index = Int(operation.domain) - 1
        guard tables.indices.contains(index), !operation.flags.contains(.failed),
            let range = AddressRange(start: operation.iova, size: operation.size)
        else { return batch.add(.moment, at: operation.time) }
        var event = WorldEvent.Map(operation: operation.id)
        if interests.staleTranslations { reuses.map(operation, range, tables[index], stale, &event, into: &batch) }
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
            event.replaced = range
            if interests.accesses != nil { event.leaves = leaves(of: range, at: index, into: &batch) }
        }
        batch.add(event, domain: operation.domain, at: operation.time)
        if interests.accesses == .touchOnMap, mapRuns == nil {
            touch(operation.domain, range, at: operation.time, into: &batch)
        }
        mappings[index].peakLiveBytes = max(mappings[index].peakLiveBytes, tables[index].mappedBytes)
    }

    /// Maps in the model's page table. A mapping is tagged with its map call, which also tells whether a loss lies between.
    private mutating func changeTable(_ operation: StoredOperation, _ range: AddressRange, at index: Int) -> UInt64 {
        let tag = MappingTag.tag(of: operation, isSeveral: isSeveral(operation, range))
        guard reuses.follows(operation.domain) else {
            return tables[index].map(range, to: operation.paddr ?? 0, sizes: pageSizes, tag: tag)
        }
        let changed = reuses.willChange(operation.domain, range.roundedOut(to: pageSizes.granule), tables[index])
        defer { reuses.didChange(operation.domain, changed, tables[index]) }
        return tables[index].map(range, to: operation.paddr ?? 0, sizes: pageSizes, tag: tag)
    }

    /// Whether a map becomes pages of more than one size.
    private func isSeveral(_ operation: StoredOperation, _ range: AddressRange) -> Bool {
        guard range.size > pageSizes.granule else { return false }
        let (whole, mask) = (range.roundedOut(to: pageSizes.granule), ~(pageSizes.granule &- 1))
        let first = pageSizes.callback(iova: whole.start, paddr: (operation.paddr ?? 0) & mask, size: whole.size & mask)
        return first.map { $0.size < whole.size } ?? false
    }

    /// The log shows a command of a task: maps inside its block were a call of their own.
    mutating func endMaps(
        of pid: Int32, in block: AddressRange, at time: Int64, into batch: inout WorldEvents
    ) {
        if let run = mapRuns?.end(pid: pid, in: block) { tellMaps(run, at: time, into: &batch) }
    }

    private mutating func tellMaps(_ run: MapRuns.Run, at time: Int64, into batch: inout WorldEvents) {
        guard run.domain > 0, Int(run.domain) <= tables.count else { return }
        let device = run.device > 0 ? run.device : attachments.onlyDevice(of: run.domain)
        let cell = stale.cells.number(domain: run.domain, device: device, task: run.task)
        batch.add(.mapsDone(run.range, cell: cell), domain: run.domain, at: time)
        // Only then may the driver's caller hand the pages to a device.
        if interests.accesses == .touchOnMap { touch(run.domain, run.range, at: time, into: &batch) }
    }

    // MARK: - Accesses

    private func leaves(of range: AddressRange, at index: Int, into batch: inout WorldEvents) -> Range<Int32> {
        var found: ContiguousArray<PageTable.Run> = []
        tables[index].forEachRun(overlapping: range) { found.append($0) }
        return batch.add(found)
    }

    private func touch(_ domain: Int32, _ range: AddressRange, at time: Int64, into batch: inout WorldEvents) {
        guard attachments.isAttached(domain) else { return }
        let pages = range.roundedOut(to: pageSizes.granule)
        let leaves = leaves(of: pages, at: Int(domain) - 1, into: &batch)
        batch.add(.touch(pages, leaves: leaves), domain: domain, at: time)
    }

    /// An access that the log shows.
    private mutating func access(_ operation: StoredOperation, into batch: inout WorldEvents) {
        guard operation.hasRange else { return }
        batch.add(.moment, at: operation.time)
        let domain = domain(ofAccess: operation)
        guard domain > 0, Int(domain) <= tables.count, attachments.isAttached(domain) else { return }
        let page = operation.iova & ~4095
        let leaf = tables[Int(domain) - 1].leaf(of: page)
        // One of which it is known what the page table said was no use of what had been there before.
        if leaf == nil, operation.paddr == nil { fault(operation, device: domain, into: &batch) }
        guard interests.accesses == .recorded else { return }
        batch.add(
            WorldEvent.Access(
                hardwareDomain: operation.hardwareDomain, iova: page, leaf: leaf,
                recorded: operation.paddr.map { $0 & ~4095 }),
            domain: domain, at: operation.time)
    }

    /// Whose page table a recorded access went through: the domain that the log names, else that of the device, else the
    /// one that the hardware knew by that id then, or ever, else the one that stands for all that are not named; 0 if there is none.
    private func domain(ofAccess operation: StoredOperation) -> Int32 {
        if operation.domain > 0 { return operation.domain }
        if operation.device > 0, case let domain = attachments.domain(of: operation.device), domain > 0 {
            return domain
        }
        let then = trace.hardwareDomains.domain(of: operation.hardwareDomain, line: operation.line)
        let known = then > 0 ? then : onlyDomainOfHardware[operation.hardwareDomain] ?? 0
        return known > 0 ? known : unresolved
    }

    /// - Parameter known: the domain that the device is attached to; 0 if the log does not show it.
    private func fault(_ operation: StoredOperation, device known: Int32, into batch: inout WorldEvents) {
        guard interests.staleTranslations, operation.hasRange,
            let address = AddressRange(start: operation.iova, size: 1)
        else { return }
        let first = batch.reuseCount
        reuses.fault(address, in: known, stale, into: &batch)
        let found = batch.reuses(since: first)
        guard !found.isEmpty else { return }
        batch.add(
            .fault(
                WorldEvent.Fault(operation: operation.id, page: address.roundedOut(to: 4096), addresses: found)),
            at: operation.time)
    }

    // MARK: - Unmaps

    private mutating func unmap(_ operation: StoredOperation, into batch: inout WorldEvents) {
        let index = Int(operation.domain) - 1
        guard tables.indices.contains(index) else { return }
        if interests.runs, let ended = runs.unmap(pid: operation.pid, domain: operation.domain) {
            batch.add(.endOfRun, domain: ended.0, at: operation.time)
            if let other = ended.1 { batch.add(.endOfRun, domain: other, at: operation.time) }
        }
        // Without a recorded return the call is taken to have done what it was asked to.
        let result = operation.result ?? operation.size
        let isAttached = attachments.isAttached(operation.domain)
        let cell = cell(of: operation)
        let range = AddressRange(start: operation.iova, size: result)
        // What a failed map had mapped and takes back, its caller has never had.
        let isUndoing = operation.flags.contains(.failed)
        count(operation, result: result, isAttached: isAttached, cell: cell, at: index)
        if isUndoing {
            removed?.removeAll(keepingCapacity: true)
        } else if let range {
            clear(operation, range, cell: cell, at: index)
        } else {
            mappings[index].unmapsOfNothing += 1
        }
        if !isUndoing, MistakeFinder.isTelling(operation) { mistakes.tellResult(operation, cell) }
        if workload != nil, !isUndoing {
            let device = device(of: operation)
            workload?.unmap(operation, range, device: device, result: result)
        }
        var event = WorldEvent.Unmap(
            call: UnmapCall(
                occasion: Occasion(time: operation.time, operation: operation.id, line: operation.line, cell: cell),
                sinceEntry: operation.sinceEntry, cpu: operation.cpu, pid: operation.pid, iova: operation.iova,
                size: operation.size, result: result, isStrict: operation.kind == .unmap && isStrict(operation),
                isImmediate: isImmediate(operation), isAttached: isAttached),
            range: range, losses: losses)
        if let range, let removed {
            if interests.leaves { event.leaves = batch.add(removed) }
            if isAttached, !isUndoing, interests.staleTranslations {
                (event.order, event.map) = stale.open(
                    Window(
                        operation: operation.id, line: operation.line, opened: operation.time, range: range, cell: cell,
                        losses: losses), removed, domain: operation.domain)
            }
        }
        batch.add(event, domain: operation.domain, at: operation.time)
    }

    /// The domain, device and task that an operation is counted for.
    private mutating func cell(of operation: StoredOperation) -> Int32 {
        stale.cells.number(domain: operation.domain, device: device(of: operation), task: operation.task)
    }

    /// The device that an operation is counted for; 0 if the log does not show it, or shows several.
    private func device(of operation: StoredOperation) -> Int32 {
        operation.device > 0 ? operation.device : attachments.onlyDevice(of: operation.domain)
    }

    /// Whether a call of `iommu_unmap` stays one. A log tells the two apart by a probe only: the tracepoint is the same for both.
    private func isStrict(_ operation: StoredOperation) -> Bool {
        operation.flags.contains(.attachProbe) || isAsItWas && operation.flags.contains(.byProbe)
    }

    /// Whether the caller syncs right after the call, past any flush queue: in a domain that queues, who says that he does not;
    /// elsewhere the two-step DMA API, since that has done so everywhere.
    func isImmediate(_ operation: StoredOperation) -> Bool {
        guard operation.kind == .unmapFast, !operation.flags.contains(.queued) else { return false }
        let isMixed = trace.domains[Int(operation.domain) - 1].mode == .mixed
        return isMixed && operation.flags.contains(.byProbe)
            || operation.flags.contains(.unlinked) && unlinkSyncs
    }

    private mutating func count(
        _ operation: StoredOperation, result: UInt64, isAttached: Bool, cell: Int32, at index: Int
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
    }

    /// Takes what an unmap call removed out of the page table.
    private mutating func clear(_ operation: StoredOperation, _ range: AddressRange, cell: Int32, at index: Int) {
        removed?.removeAll(keepingCapacity: true)
        let isFollowed = reuses.follows(operation.domain)
        let changed = isFollowed ? reuses.willChange(operation.domain, range, tables[index]) : nil
        let found = tables[index].unmap(range, into: &removed)
        if found.bytes == 0 { mappings[index].unmapsWithoutMap += 1 }
        if isFollowed { reuses.didChange(operation.domain, changed, tables[index]) }
        if MistakeFinder.isPart(found, removed) { mistakes.findRest(operation, cell, of: removed, tables[index]) }
    }

    private mutating func flush(_ operation: StoredOperation, into batch: inout WorldEvents) {
        guard interests.flushes, showsFlushes, operation.domain > 0, Int(operation.domain) <= tables.count else {
            return
        }
        let occasion = Occasion(
            time: operation.time, operation: operation.id, line: operation.line, cell: cell(of: operation))
        batch.add(
            WorldEvent.LogFlush(
                flush: RecordedFlush(
                    occasion: occasion, cpu: operation.cpu, pid: operation.pid,
                    range: operation.hasRange ? AddressRange(start: operation.iova, size: operation.size) : nil,
                    isEmpty: operation.kind == .sync && operation.hasRange && operation.size == 0,
                    isSync: operation.kind == .sync, hardwareDomain: operation.hardwareDomain),
                completed: operation.completed, certainBefore: operation.certainBefore,
                order: stale.end(of: operation.domain), isFurther: operation.continuesFlush),
            domain: operation.domain, at: operation.time)
    }

    // MARK: - Attachment

    private mutating func move(_ operation: StoredOperation, into batch: inout WorldEvents) {
        let former = attachments.domain(of: operation.device)
        moveDevice(operation, into: &batch)
        guard former > 0, Int(former) <= tables.count, !attachments.isAttached(former) else { return }
        batch.add(.detached(line: operation.line), domain: former, at: operation.time)
    }

    private mutating func moveDevice(_ operation: StoredOperation, into batch: inout WorldEvents) {
        let former = attachments.domain(of: operation.device)
        if operation.kind == .attach {
            attachments.attach(device: operation.device, to: operation.domain)
        } else if !operation.flags.contains(.withinAttach) {
            attachments.detach(device: operation.device, from: operation.domain)
        }
        let now = attachments.domain(of: operation.device)
        guard now != former else { return }
        for domain in [former, now] where domain > 0 && Int(domain) <= tables.count {
            tellAttachment(of: domain, at: operation.time, into: &batch)
        }
    }

    private mutating func tellAttachment(of domain: Int32, at time: Int64, into batch: inout WorldEvents) {
        let cell = stale.cells.number(domain: domain, device: attachments.onlyDevice(of: domain), task: 0)
        batch.add(
            .attachment(WorldEvent.Attachment(isAttached: attachments.isAttached(domain), timerCell: cell)),
            domain: domain, at: time)
    }

    private mutating func free(_ operation: StoredOperation, into batch: inout WorldEvents) {
        endRun(operation, into: &batch)
        batch.add(.moment, at: operation.time)
        guard operation.domain > 0, Int(operation.domain) <= tables.count else { return }
        let occasion = Occasion(
            time: operation.time, operation: operation.id, line: operation.line, cell: cell(of: operation))
        batch.add(.free(occasion), domain: operation.domain, at: operation.time)
        stale.forget(operation.domain)
    }

    // MARK: - Runs

    /// Ends the run of the task, which has gone on to this, and any run in this domain.
    private mutating func endRun(_ operation: StoredOperation, into batch: inout WorldEvents) {
        guard interests.runs else { return }
        if let domain = runs.end(pid: operation.pid) { batch.add(.endOfRun, domain: domain, at: operation.time) }
        switch operation.kind {
        case .map, .attach, .domainFree:
            if runs.end(domain: operation.domain) {
                batch.add(.endOfRun, domain: operation.domain, at: operation.time)
            }
        default: break
        }
    }
}
