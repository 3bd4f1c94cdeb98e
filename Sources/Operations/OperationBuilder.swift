import TraceFormats

/// Puts operations together from events: the second stage of an import.
///
/// It says what each event means to its parts, each of which knows one thing. They hand one another values, and none calls back:
///
/// ```
/// event ─┬─► EventTally, LogNames            how often; texts become numbers
///        ├─► DomainTable ─► Attachments      which domain, and who is attached to it
///        ├─► CallStacks ─┐                   entry, tracepoint and return become one operation
///        └─► FlushChain ─┴─► OperationOrder ─► ResolverQueue ─► to be taken
///            layers of flushes    places, ids     domains that no event names
/// ```
///
/// Memory does not grow with the log, only with what it names: domains, tasks, devices, calls in flight.
public struct OperationBuilder {
    var tally = EventTally()
    var names = LogNames()
    var domainTable: DomainTable
    var calls = CallStacks()
    var chain = FlushChain()
    var order = OperationOrder()
    var queue = ResolverQueue()
    private(set) var probeMeanings = ProbeMeanings()
    var callers = UnmapCallers()
    var twoStep = TwoStepCalls()
    var kernel = KernelSigns()
    private var settled = OperationOrder.Settled()
    /// CPUs that the log has shown, and those below them. A line's CPU is below 8192, or the line is none.
    private var cpus = 0
    /// Lost-event announcements, to be taken by the caller.
    public private(set) var losses: [LostEvents] = []
    /// Events that belong to nothing, to be taken by ``takeIssues()``.
    var issues: [ParseIssue] = []

    /// Builds operations and layers with ids from 1 on, each without gaps.
    ///
    /// - Parameter assumesSingleDomain: take all operations that name no domain for those of one, in place of finding out.
    public init(assumesSingleDomain: Bool = false) {
        domainTable = DomainTable(assumesSingle: assumesSingleDomain)
    }

    // MARK: - Events

    /// Takes the next events of the log.
    public mutating func add(_ batch: EventBatch) {
        names.add(batch.newSymbols)
        tally.prepare(names: names.count)
        let events = batch.events
        var loss = 0
        for index in events.indices {
            while loss < batch.losses.count, batch.losses[loss].precedingEvents <= index {
                lose(batch.losses[loss].0)
                loss += 1
            }
            if let event = events.baseAddress { add(event + index, texts: batch.texts) }
        }
        while loss < batch.losses.count {
            lose(batch.losses[loss].0)
            loss += 1
        }
        settle()
    }

    /// The log is at its end: calls still in flight stay without a return.
    public mutating func finish() {
        calls.finish(&order)
        chain.finish(&order)
        settle(isEnd: true)
        domainTable.finish()
    }

    private mutating func add(_ event: UnsafePointer<TraceEvent>, texts: [String]) {
        tally.add(event)
        // Known names are looked up directly; the meaning of a probe of another name is worked out once.
        let meaning = EventMeaning(known: event) ?? probeMeanings.meaning(of: event, names)
        let isUnderstood = handle(event, meaning, texts: texts)
        tally.count(event, isUnderstood: isUnderstood)
    }

    /// - Returns: whether the event was understood.
    private mutating func handle(
        _ event: UnsafePointer<TraceEvent>, _ meaning: EventMeaning, texts: [String]
    ) -> Bool {
        if case .unknown = meaning { return false }
        let cpu = Int(event.pointee.cpu)
        if cpu >= cpus { prepare(cpus: cpu + 1) }
        let task = names.task(of: event)
        calls.endMessages(onCPU: cpu, before: meaning, &order)
        switch meaning {
        case .unknown: return false
        case .mapEntry: return mapEntry(event, cpu: cpu, task: task)
        case .mapped: mapped(event, cpu: cpu, task: task)
        case .unmapEntry(let isFast): return unmapEntry(event, isFast: isFast, cpu: cpu, task: task)
        case .unmapped: return unmapped(event, cpu: cpu, task: task)
        case .unmapReturn(let isFast): return unmapReturn(event, isFast: isFast, cpu: cpu, task: task)
        case .sync: flush(event, .sync, cpu: cpu, task: task)
        case .flushAll: flush(event, .flushAll, cpu: cpu, task: task)
        case .attachProbe, .attached: attach(event, cpu: cpu, task: task)
        case .detachProbe, .detached: detach(event, cpu: cpu, task: task)
        case .domainAlloc: return domainAlloc(event, cpu: cpu, task: task)
        case .domainFree: return domainFree(event, cpu: cpu, task: task)
        case .addDeviceToGroup: changeGroup(event, .addDeviceToGroup, task: task)
        case .removeDeviceFromGroup: changeGroup(event, .removeDeviceFromGroup, task: task)
        case .fault: fault(event, task: task)
        case .access: access(event, task: task)
        case .marker: marker(event, texts: texts, cpu: cpu, task: task)
        case .cacheTagAssignment, .bounced, .repeated: break
        case .dmaMap: noteDevice(event, isMap: true, isList: false, task: task)
        case .dmaMapList: noteDevice(event, isMap: true, isList: true, task: task)
        case .dmaUnmap: noteDevice(event, isMap: false, isList: false, task: task)
        case .dmaUnmapList: noteDevice(event, isMap: false, isList: true, task: task)
        case .twoStep(let kind):
            let device = names.device(event.pointee.symbol(.device))
            twoStep.begin(TwoStepCall(event, kind, task: task, device: device), onCPU: cpu)
        case .deviceMap: deviceMap(event, cpu: cpu, task: task)
        case .deviceUnmap: deviceUnmap(event, cpu: cpu, task: task)
        case .unmapMessage: unmapMessage(event, cpu: cpu, task: task)
        case .unmappedMessage:
            guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return false }
            return calls.addPiece(iova: iova, size: size, onCPU: cpu, &order)
        case .armCommands:
            for layer in CommandDecoder.arm(event) {
                add(layer.placed(at: event, task: task, &names), cpu: cpu, task: task)
            }
        case .queueTimeout, .queueFlush, .hardwareFlush, .syncMap, .descriptor, .cacheTagFlush, .amdCommand:
            if let layer = Layer(event, meaning, task: task, &names) { add(layer, cpu: cpu, task: task) }
        }
        return true
    }

    private mutating func prepare(cpus count: Int) {
        cpus = count
        names.tasks.prepare(cpus: count)
        domainTable.attachments.prepare(cpus: count)
        calls.prepare(cpus: count)
        twoStep.prepare(cpus: count)
        chain.prepare(cpus: count)
    }

    /// An operation at an event's time and place, everything else unknown.
    func operation(_ event: UnsafePointer<TraceEvent>, _ kind: Operation.Kind, task: Int32) -> Operation {
        var operation = Operation(kind)
        operation.time = event.pointee.time
        operation.cpu = event.pointee.cpu
        operation.task = task
        operation.line = event.pointee.line
        return operation
    }

    /// What this task does on this CPU from now on belongs to `context`.
    mutating func enter(_ context: Context.Purpose?, cpu: Int, task: Int32, keepsAttach: Bool = false) {
        chain.enter(context.map { Context(task: task, purpose: $0) }, cpu: cpu, task: task, &order)
        if !keepsAttach { domainTable.attachments.goOn(cpu: cpu) }
    }

    // MARK: - Order

    /// Moves what no call in flight can precede any more to the output.
    private mutating func settle(isEnd: Bool = false) {
        let (firstOperation, firstLayer) = (settled.operations.count, settled.layers.count)
        order.settle(into: &settled)
        chain.learnIDs(from: order)
        order.forgetIDs()
        for index in firstOperation..<settled.operations.count { domainTable.grade(&settled.operations[index]) }
        queue.take(
            &settled, fromOperation: firstOperation, layer: firstLayer, &domainTable, names, isEnd: isEnd)
        for index in firstOperation..<settled.operations.count { domainTable.note(settled.operations[index]) }
    }

    private mutating func lose(_ loss: LostEvents) {
        losses.append(loss)
        // Returns may be among what was lost.
        guard let number = loss.cpu else {
            for cpu in 0..<cpus { forget(cpu) }
            return
        }
        if (0..<cpus).contains(Int(number)) { forget(Int(number)) }
    }

    private mutating func forget(_ cpu: Int) {
        calls.forget(cpu, &order)
        twoStep.forget(cpu)
        chain.forget(cpu, &order)
        domainTable.attachments.forget(cpu)
    }

    // MARK: - Taking

    /// Hands the settled operations, layers and so on to `body` and forgets them.
    public mutating func drain(_ body: (OperationBuilder) throws -> Void) rethrows {
        try body(self)
        settled.operations.removeAll(keepingCapacity: true)
        settled.layers.removeAll(keepingCapacity: true)
        settled.markers.removeAll(keepingCapacity: true)
        losses.removeAll(keepingCapacity: true)
        queue.forgetCorrections()
    }

    /// Hands over the events that belong to nothing.
    public mutating func takeIssues() -> [ParseIssue] {
        defer { issues.removeAll(keepingCapacity: true) }
        return issues
    }

    /// Operations whose place in the order is settled, to be taken by the caller.
    public var operations: ContiguousArray<Operation> { settled.operations }
    /// Layers, likewise.
    public var layers: ContiguousArray<Layer> { settled.layers }
    /// Texts of trace markers, likewise.
    public var markers: [Marker] { settled.markers }
    /// What has become clear of operations that were taken before, likewise.
    public var corrections: [Correction] { queue.corrections }

    /// Domains by number - 1.
    public var domains: ContiguousArray<Domain> { domainTable.all }
    /// By which ids the hardware knew the domains, and when.
    public var hardwareIDs: [HardwareID] { domainTable.hardwareIDs.spans + queue.hardwareIDs.spans }
    /// Tasks by number - 1.
    public var tasks: ContiguousArray<Task> { names.tasks.all }
    /// Device names by number - 1.
    public var devices: ContiguousArray<String> { names.devices.names }
    /// Names of IOMMU units by number - 1.
    public var units: ContiguousArray<String> { names.units.names }
    /// Whether all operations that name no domain are to be taken for those of one.
    public var assumesSingleDomain: Bool { domainTable.assumesSingle }
    /// How often each event occurred.
    public var eventCounts: [EventCount] { tally.eventCounts(names) }
    /// Numbers about the whole log.
    public var totals: Totals {
        Totals(
            events: tally.events, operations: order.operationCounts, layers: order.layerCounts,
            firstTime: tally.firstTime, lastTime: tally.lastTime, backwards: tally.backwards, hardwareRuns: chain.runs,
            showsReturns: calls.showsReturns, showsAttaches: domainTable.attachments.areShown,
            gathersInOneSpan: kernel.gathersInOneSpan)
    }
}
