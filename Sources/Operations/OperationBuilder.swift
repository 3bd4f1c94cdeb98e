import TraceFormats

/// Puts operations together from events: the second stage of an import.
///
/// * A call's entry, the tracepoint inside it and its return become one operation. Interrupts nest, so calls are matched
///   on a stack for each CPU (design §4 1).
/// * What a driver and the hardware do after a flush on the same CPU and task becomes a ``Layer`` of it (design §4 4).
/// * Kernel addresses become domains with a generation, attaches move devices among them (design §4 12).
///
/// Memory does not grow with the log, only with what it names: domains, tasks, devices, calls in flight.
public struct OperationBuilder {
    /// Operations whose place in the order is settled, to be taken by the caller.
    public internal(set) var operations: ContiguousArray<Operation> = []
    /// Layers, likewise.
    public internal(set) var layers: ContiguousArray<Layer> = []
    /// Texts of trace markers, likewise.
    public internal(set) var markers: [Marker] = []
    /// What has become clear of operations that were taken before, likewise.
    public internal(set) var corrections: [Correction] = []
    /// Lost-event announcements, likewise.
    public internal(set) var losses: [LostEvents] = []
    /// Events that belong to nothing, to be taken by ``takeIssues()``.
    var issues: [ParseIssue] = []

    /// Domains by number - 1.
    public internal(set) var domains: ContiguousArray<Domain> = []
    /// Tasks by number - 1.
    public internal(set) var tasks: ContiguousArray<Task> = []
    /// Device names by number - 1.
    public var devices: ContiguousArray<String> { deviceNames.names }
    /// Names of IOMMU units by number - 1.
    public var units: ContiguousArray<String> { unitNames.names }
    /// Numbers about the whole log.
    public internal(set) var totals = Totals()

    /// A task: the kernel's thread id, and the name that it had.
    public struct Task: Hashable, Sendable {
        /// The kernel's thread id; 0 is the idle task.
        public var pid: Int32
        /// Its name, at most 15 bytes.
        public var comm: String
    }

    /// Numbers about the whole log.
    public struct Totals: Sendable {
        /// Events read, understood or not.
        public var events: Int64 = 0
        /// Operations and layers by the raw values of their kinds.
        public var operations = InlineArray<32, Int64>(repeating: 0)
        /// Layers by the raw values of their kinds.
        public var layers = InlineArray<32, Int64>(repeating: 0)
        /// Earliest and latest time of an event in ns.
        public var firstTime = Int64.max
        /// Latest time of an event in ns.
        public var lastTime = Int64.min
        /// Events that stand earlier in time than the one before them in the log.
        public var backwards: Int64 = 0
        /// Runs of IOTLB invalidations that no attach caused.
        public var hardwareRuns: Int64 = 0
        /// Whether the log shows returns of unmap calls, and the tracepoints of maps and unmaps.
        public var showsReturns = false
        /// Whether the log shows attaches that name both the device and the domain.
        public var showsAttaches = false
        /// Whether the log shows the tracepoint of successful maps.
        public var showsMapTracepoints = false

        /// How often a kind of operation occurred.
        public subscript(kind: Operation.Kind) -> Int64 { operations[Int(kind.rawValue)] }
        /// How often a kind of layer occurred.
        public subscript(kind: Layer.Kind) -> Int64 { layers[Int(kind.rawValue)] }
    }

    /// How often an event occurred in the log.
    public struct EventCount: Hashable, Sendable {
        /// The event's name.
        public var name: String
        /// How its lines are built.
        public var form: TraceEvent.Form
        /// Whether the tool knows what it means.
        public var isUnderstood: Bool
        /// How often.
        public var count: Int64
    }

    /// Domains beyond this many are not told apart, so that a hostile log cannot fill memory; likewise tasks.
    static let domainLimit = 1 << 16
    static let taskLimit = 1 << 18
    /// Calls in flight for longer than this many operations are taken to have lost their return.
    static let inFlightLimit = 8192
    static let stackLimit = 64

    var nextLayerID: Int64
    /// Layers and markers whose operations are pending; their references are slots.
    var waitingLayers: ContiguousArray<Layer> = []
    var waitingMarkers: [(slot: Int, text: String)] = []
    var symbols: [String] = []
    var counts: ContiguousArray<InlineArray<6, Int64>> = []

    var pending: PendingOperations
    var cpus: ContiguousArray<CPUState> = []
    var domainOfPointer: [UInt64: Int32] = [:]
    var lastPointer: (pointer: UInt64, domain: Int32) = (0, 0)
    var unresolvedDomain: Int32 = 0
    /// Domains that are known by the name of a device only.
    var domainNamedAfter: [Int32: Int32] = [:]
    /// Domains that are known by the hardware's id only.
    var domainOfHardware: [Int64: Int32] = [:]
    /// Whether all operations that name no domain are to be taken for those of one.
    public let assumesSingleDomain: Bool
    var resolver = Resolver()
    var hardwareNames = HardwareNames()
    /// What tells of the domains of operations that wait, and what waits for them to be known.
    var clues: ContiguousArray<Clue> = []
    var waitingOperations: ContiguousArray<Operation> = []
    var resolvedLayers: ContiguousArray<Layer> = []
    var lastResolvedUnmap: [Int32: (domain: Int32, task: Int32, time: Int64, start: UInt64, last: UInt64)] = [:]
    var taskNumber: [TaskKey: Int32] = [:]
    var deviceNames = NameTable()
    var unitNames = NameTable()
    var domainOfDevice: [Int32: Int32] = [:]
    var probeMeanings: [UInt64: EventMeaning] = [:]
    /// Maps, and those of them that an invalidation of their address followed at once.
    var mapsSeen: Int64 = 0
    var mapsFlushed: Int64 = 0
    /// Calls on the stacks of all CPUs.
    var callsInFlight = 0

    struct TaskKey: Hashable {
        var pid: Int32
        var comm: Symbol
    }

    /// Builds operations and layers with ids from 1 on, each without gaps.
    ///
    /// - Parameter assumesSingleDomain: take all operations that name no domain for those of one, in place of finding out.
    public init(assumesSingleDomain: Bool = false) {
        self.assumesSingleDomain = assumesSingleDomain
        nextLayerID = 1
        pending = PendingOperations(firstID: 1)
    }

    /// Hands the settled operations, layers and so on to `body` and forgets them.
    public mutating func drain(_ body: (OperationBuilder) throws -> Void) rethrows {
        try body(self)
        operations.removeAll(keepingCapacity: true)
        layers.removeAll(keepingCapacity: true)
        markers.removeAll(keepingCapacity: true)
        losses.removeAll(keepingCapacity: true)
        corrections.removeAll(keepingCapacity: true)
    }

    /// Hands over the events that belong to nothing.
    public mutating func takeIssues() -> [ParseIssue] {
        defer { issues.removeAll(keepingCapacity: true) }
        return issues
    }

    /// How often each event occurred.
    public var eventCounts: [EventCount] {
        var result: [EventCount] = []
        for index in counts.indices {
            for slot in 0..<6 where counts[index][slot] > 0 {
                guard let form = TraceEvent.Form(rawValue: UInt8(slot / 2)) else { continue }
                result.append(
                    EventCount(
                        name: text(Symbol(rawValue: UInt32(index))), form: form, isUnderstood: slot % 2 == 1,
                        count: counts[index][slot]))
            }
        }
        return result
    }

    // MARK: - Events

    /// Takes the next events of the log.
    public mutating func add(_ batch: EventBatch) {
        symbols.append(contentsOf: batch.newSymbols)
        while counts.count < symbols.count { counts.append(InlineArray(repeating: 0)) }
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
        for cpu in cpus.indices { closeCalls(onCPU: cpu) }
        for cpu in cpus.indices {
            closeMessages(onCPU: cpu)
            releaseHeldLayers(onCPU: cpu)
            releaseSender(onCPU: cpu)
        }
        settle(isEnd: true)
    }

    mutating func add(_ event: UnsafePointer<TraceEvent>, texts: [String]) {
        totals.events += 1
        if event.pointee.time < totals.lastTime { totals.backwards += 1 }
        totals.firstTime = min(totals.firstTime, event.pointee.time)
        totals.lastTime = max(totals.lastTime, event.pointee.time)
        let meaning = meaning(of: event)
        let understood = handle(event, meaning, texts: texts)
        let name = Int(event.pointee.name.rawValue)
        let slot = Int(event.pointee.form.rawValue) * 2 + (understood ? 1 : 0)
        if name < counts.count, slot < 6 { counts[name][slot] += 1 }
    }

    /// Known names are looked up directly; the meaning of a probe of another name is worked out once.
    mutating func meaning(of event: UnsafePointer<TraceEvent>) -> EventMeaning {
        if let known = EventMeaning(known: event) { return known }
        let key =
            UInt64(event.pointee.location.rawValue) << 32 | UInt64(event.pointee.name.rawValue) << 2
            | UInt64(event.pointee.form.rawValue)
        if let known = probeMeanings[key] { return known }
        let isReturn = event.pointee.form == .probeReturn
        let meaning = EventMeaning(probeAt: text(event.pointee.location), isReturn: isReturn)
        if probeMeanings.count > 1 << 16 { probeMeanings.removeAll() }
        probeMeanings[key] = meaning
        return meaning
    }

    /// - Returns: whether the event was understood.
    mutating func handle(_ event: UnsafePointer<TraceEvent>, _ meaning: EventMeaning, texts: [String]) -> Bool {
        if case .unknown = meaning { return false }
        let cpu = cpuIndex(of: event)
        let task = task(of: event, onCPU: cpu)
        if cpus[cpu].message != nil { endMessages(onCPU: cpu, before: meaning) }
        switch meaning {
        case .unknown: return false
        case .mapEntry: return mapEntry(event, cpu: cpu, task: task)
        case .mapped: mapped(event, cpu: cpu, task: task)
        case .unmapEntry(let isFast): return unmapEntry(event, isFast: isFast, cpu: cpu, task: task)
        case .unmapped: return unmapped(event, cpu: cpu, task: task)
        case .unmapReturn(let isFast): return unmapReturn(event, isFast: isFast, cpu: cpu, task: task)
        case .sync, .flushAll:
            if case .sync = meaning {
                flush(event, .sync, cpu: cpu, task: task)
            } else {
                flush(event, .flushAll, cpu: cpu, task: task)
            }
        case .attachProbe, .attached: attach(event, cpu: cpu, task: task)
        case .detachProbe, .detached: detach(event, cpu: cpu, task: task)
        case .domainAlloc: return domainAlloc(event, cpu: cpu, task: task)
        case .domainFree: return domainFree(event, cpu: cpu, task: task)
        case .addDeviceToGroup, .removeDeviceFromGroup:
            var operation = operation(
                event, isRemoval(meaning) ? .removeDeviceFromGroup : .addDeviceToGroup, task: task)
            operation.device = device(event.pointee.symbol(.device))
            operation.detail = event.pointee[.group].map { Int64(bitPattern: $0) }
            append(operation)
        case .fault:
            var operation = operation(event, .ioPageFault, task: task)
            operation.device = device(event.pointee.symbol(.device))
            if let attached = domainOfDevice[operation.device], attached > 0 { operation.domain = attached }
            operation.iova = event.pointee[.iova]
            operation.detail = event.pointee[.flags].map { Int64(bitPattern: $0) }
            append(operation)
        case .access:
            // Devices work beside the CPU whose line it is: nothing of that CPU's ends here.
            var operation = operation(event, .access, task: task)
            operation.device = device(event.pointee.symbol(.device))
            if let pointer = event.pointee[.domain] { operation.domain = domain(pointer) }
            operation.iova = event.pointee[.iova]
            operation.paddr = event.pointee[.paddr]
            operation.detail = event.pointee[.hardwareDomain].map { Int64(bitPattern: $0) }
            append(operation)
        case .marker:
            cpus[cpu].run = nil
            let operation = operation(event, .marker, task: task)
            let text = event.pointee[.text].map { Int(truncatingIfNeeded: $0) } ?? -1
            if texts.indices.contains(text) { waitingMarkers.append((pending.end, texts[text])) }
            append(operation)
        case .cacheTagAssignment, .bounced, .repeated: break
        case .dmaMap: noteDevice(event, isMap: true, isList: false, task: task)
        case .dmaMapList: noteDevice(event, isMap: true, isList: true, task: task)
        case .dmaUnmap: noteDevice(event, isMap: false, isList: false, task: task)
        case .dmaUnmapList: noteDevice(event, isMap: false, isList: true, task: task)
        case .deviceMap: deviceMap(event, cpu: cpu, task: task)
        case .deviceUnmap: deviceUnmap(event, cpu: cpu, task: task)
        case .unmapMessage: unmapMessage(event, cpu: cpu, task: task)
        case .unmappedMessage: return unmappedMessage(event, cpu: cpu)
        case .queueTimeout, .queueFlush, .hardwareFlush, .syncMap, .descriptor, .cacheTagFlush, .amdCommand,
            .armCommands:
            if let layer = decode(event, meaning) { add(layer, cpu: cpu, task: task) }
        }
        return true
    }

    func isRemoval(_ meaning: EventMeaning) -> Bool {
        if case .removeDeviceFromGroup = meaning { return true }
        return false
    }

    // MARK: - Order

    func operation(_ event: UnsafePointer<TraceEvent>, _ kind: Operation.Kind, task: Int32) -> Operation {
        var operation = Operation(kind)
        operation.time = event.pointee.time
        operation.cpu = event.pointee.cpu
        operation.task = task
        operation.line = event.pointee.line
        return operation
    }

    mutating func append(_ operation: Operation, isOpen: Bool = false) {
        pending.append(operation, isOpen: isOpen)
        if pending.count > Self.inFlightLimit { pending.closeFirst() }
    }

    mutating func emit(_ layer: Layer) {
        waitingLayers.append(layer)
    }

    /// Moves what no call in flight can precede any more to the output.
    mutating func settle(isEnd: Bool = false) {
        let (firstOperation, firstLayer) = (operations.count, layers.count)
        pending.drain { operation in
            totals.operations[Int(operation.kind.rawValue)] += 1
            operations.append(operation)
        }
        var settled = 0
        while settled < waitingLayers.count {
            if let slot = waitingLayers[settled].flushSlot {
                guard let id = pending.id(ofSlot: slot) else { break }
                waitingLayers[settled].flush = id
            }
            waitingLayers[settled].id = nextLayerID
            nextLayerID += 1
            totals.layers[Int(waitingLayers[settled].kind.rawValue)] += 1
            layers.append(waitingLayers[settled])
            settled += 1
        }
        waitingLayers.removeSubrange(..<settled)
        var named = 0
        while named < waitingMarkers.count, let id = pending.id(ofSlot: waitingMarkers[named].slot) {
            markers.append(Marker(operation: id, text: waitingMarkers[named].text))
            named += 1
        }
        waitingMarkers.removeSubrange(..<named)
        for cpu in cpus.indices { cpus[cpu].resolve(pending) }
        if waitingLayers.isEmpty, waitingMarkers.isEmpty { pending.forgetIDs() }
        resolve(operationsFrom: firstOperation, layersFrom: firstLayer, isEnd: isEnd)
    }

    mutating func lose(_ loss: LostEvents) {
        losses.append(loss)
        // Returns may be among what was lost.
        guard let number = loss.cpu else {
            for cpu in cpus.indices { forget(cpu) }
            return
        }
        if cpus.indices.contains(Int(number)) { forget(Int(number)) }
    }

    private mutating func forget(_ cpu: Int) {
        closeCalls(onCPU: cpu)
        closeMessages(onCPU: cpu)
        releaseHeldLayers(onCPU: cpu)
        releaseSender(onCPU: cpu)
        cpus[cpu].forget()
    }
}
