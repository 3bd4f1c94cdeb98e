import IOMMUModel
import Operations
import TraceStore

/// Takes a trace's operations through the model once, for any number of policies side by side.
///
/// What does not depend on a policy is done once: page tables, attachments, runs of unmaps.
struct ReplayEngine {
    let lanes: [PolicyLane]
    private let trace: TraceSummary
    private let pageSizes: PageSizes
    private let usesRuns: Bool
    private let showsFlushes: Bool

    private(set) var unmaps: ContiguousArray<UnmapCounts>
    private(set) var mappings: ContiguousArray<MappingSummaryRow>
    private var tables: ContiguousArray<PageTable>
    private let attachments: Attachments
    private var runs = RunTracker()

    init(_ trace: TraceSummary, _ requests: [Replay.Request], options: ReplayOptions) {
        let attachments = Attachments(AttachState(showsAttaches: trace.showsAttaches))
        self.trace = trace
        self.attachments = attachments
        pageSizes = options.pageSizes
        lanes = requests.map {
            PolicyLane(
                requested: $0.text, policy: $0.policy, options: options, trace: trace, attachments: attachments)
        }
        usesRuns = lanes.contains { $0.usesRuns }
        showsFlushes = trace.flushLayer != .none
        let count = trace.domains.count
        unmaps = ContiguousArray(repeating: UnmapCounts(), count: count)
        mappings = ContiguousArray(repeating: MappingSummaryRow(), count: count)
        tables = ContiguousArray(repeating: PageTable(), count: count)
    }

    /// Takes the next operation.
    mutating func apply(_ operation: StoredOperation) {
        switch operation.kind {
        case .map: map(operation)
        case .unmap, .unmapFast: unmap(operation)
        case .sync, .flushAll: flush(operation)
        case .attach:
            endRun(operation)
            fireTimers(upTo: operation.time)
            attachments.state.attach(device: operation.device, to: operation.domain)
        case .detach:
            endRun(operation)
            fireTimers(upTo: operation.time)
            attachments.state.detach(device: operation.device, from: operation.domain)
        case .domainAlloc, .marker: endRun(operation)
        case .domainFree:
            endRun(operation)
            fireTimers(upTo: operation.time)
            for lane in lanes {
                lane.schedule(of: operation.domain)?.domainFreed(at: operation.time, operation: operation.id)
            }
        case .ioPageFault, .addDeviceToGroup, .removeDeviceFromGroup: break
        }
    }

    /// The log is at its end: timers due up to its last event have fired (design §4 9).
    mutating func finish() {
        fireTimers(upTo: trace.lastTime)
        for lane in lanes { lane.finish() }
        for index in tables.indices { mappings[index].liveBytes = tables[index].mappedBytes }
    }

    private func fireTimers(upTo time: Int64) {
        for lane in lanes { lane.fireTimers(upTo: time) }
    }

    // MARK: - Operations

    private mutating func map(_ operation: StoredOperation) {
        endRun(operation)
        let index = Int(operation.domain) - 1
        guard tables.indices.contains(index), !operation.flags.contains(.failed),
            let range = AddressRange(start: operation.iova, size: operation.size)
        else { return }
        mappings[index].maps += 1
        mappings[index].mappedBytes &+= range.size
        if tables[index].map(range, to: operation.paddr, sizes: pageSizes) > 0 { mappings[index].mapsOverLive += 1 }
        mappings[index].peakLiveBytes = max(mappings[index].peakLiveBytes, tables[index].mappedBytes)
    }

    private mutating func unmap(_ operation: StoredOperation) {
        let index = Int(operation.domain) - 1
        guard tables.indices.contains(index) else { return }
        if usesRuns, let ended = runs.unmap(pid: operation.pid, domain: operation.domain) {
            endRuns(of: ended.0)
            if let other = ended.1 { endRuns(of: other) }
        }
        // Without a recorded return the call is taken to have done what it was asked to.
        let result = operation.result ?? operation.size
        count(operation, result: result, at: index)
        let call = UnmapCall(
            id: operation.id, time: operation.time, cpu: operation.cpu,
            isStrictCall: operation.kind == .unmap && isCertainlyStrict(operation), iova: operation.iova,
            size: operation.size, result: result)
        for lane in lanes {
            lane.fireTimers(upTo: operation.time)
            lane.schedule(of: operation.domain)?.unmap(call)
        }
    }

    /// Whether the log says that the call was `iommu_unmap`: the tracepoint alone is the same for both.
    private func isCertainlyStrict(_ operation: StoredOperation) -> Bool {
        operation.flags.contains(.attachProbe) || operation.flags.contains(.byProbe)
    }

    private mutating func count(_ operation: StoredOperation, result: UInt64, at index: Int) {
        unmaps[index].calls += 1
        unmaps[index].bytes &+= result
        if operation.flags.contains(.attachProbe) { unmaps[index].attachProbeCalls += 1 }
        if !attachments.state.isAttached(operation.domain) {
            unmaps[index].detachedCalls += 1
            unmaps[index].unreachableBytes &+= result
        }
        mappings[index].unmaps += 1
        mappings[index].unmappedBytes &+= result
        if let range = AddressRange(start: operation.iova, size: result) {
            if tables[index].unmap(range).bytes == 0 { mappings[index].unmapsWithoutMap += 1 }
        } else {
            mappings[index].unmapsOfNothing += 1
        }
    }

    private mutating func flush(_ operation: StoredOperation) {
        guard showsFlushes else { return }
        let flush = RecordedFlush(
            id: operation.id, time: operation.time,
            range: operation.hasRange ? AddressRange(start: operation.iova, size: operation.size) : nil,
            isSync: operation.kind == .sync)
        for lane in lanes { lane.schedule(of: operation.domain)?.recorded(flush) }
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
