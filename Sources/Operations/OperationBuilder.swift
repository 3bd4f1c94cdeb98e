import TraceFormats

/// Puts operations together from events: the second stage of an import.
///
/// * A call's entry, the tracepoint inside it and its return become one operation. Interrupts nest, so calls are matched
///   on a stack for each CPU (design §4 1).
/// * What a driver and the hardware do after a flush on the same CPU and task becomes a ``Layer`` of it (design §4 4).
/// * Kernel addresses become domains with a generation, attaches move devices among them (design §2, §4 12).
///
/// Memory does not grow with the log, only with what it names: domains, tasks, devices, calls in flight.
public final class OperationBuilder {
    /// Operations whose place in the order is settled, to be taken by the caller.
    public private(set) var operations: ContiguousArray<Operation> = []
    /// Layers, likewise.
    public private(set) var layers: ContiguousArray<Layer> = []
    /// Texts of trace markers, likewise.
    public private(set) var markers: [Marker] = []
    /// Lost-event announcements, each with the id that the next operation may have.
    public private(set) var losses: [(LostEvents, nextID: Int64)] = []
    /// Events that belong to nothing, to be taken by ``takeIssues()``.
    private var issues: [ParseIssue] = []

    /// Domains by number - 1.
    public private(set) var domains: ContiguousArray<Domain> = []
    /// Tasks by number - 1.
    public private(set) var tasks: ContiguousArray<Task> = []
    /// Device names by number - 1.
    public private(set) var devices: ContiguousArray<String> = []
    /// Names of IOMMU units by number - 1.
    public private(set) var units: ContiguousArray<String> = []
    /// Numbers about the whole log.
    public private(set) var totals = Totals()

    /// A task: the kernel's thread id, and the name that it had.
    public struct Task: Hashable, Sendable {
        public var pid: Int32
        public var comm: String
    }

    /// Numbers about the whole log.
    public struct Totals: Sendable {
        /// Events read, understood or not.
        public var events: Int64 = 0
        /// Operations and layers by the raw values of their kinds.
        public var operations = InlineArray<32, Int64>(repeating: 0)
        public var layers = InlineArray<32, Int64>(repeating: 0)
        /// Earliest and latest time of an event in ns.
        public var firstTime = Int64.max
        public var lastTime = Int64.min
        /// Events that stand earlier in time than the one before them in the log.
        public var backwards: Int64 = 0
        /// Runs of IOTLB invalidations that no attach caused.
        public var hardwareRuns: Int64 = 0
        /// Whether the log shows returns of unmap calls, and the tracepoints of maps and unmaps.
        public var showsReturns = false
        public var showsMapTracepoints = false

        /// How often a kind of operation occurred.
        public subscript(kind: Operation.Kind) -> Int64 { operations[Int(kind.rawValue)] }
        /// How often a kind of layer occurred.
        public subscript(kind: Layer.Kind) -> Int64 { layers[Int(kind.rawValue)] }
    }

    /// How often an event occurred in the log.
    public struct EventCount: Hashable, Sendable {
        public var name: String
        public var form: TraceEvent.Form
        /// Whether the tool knows what it means.
        public var isUnderstood: Bool
        public var count: Int64
    }

    /// Domains beyond this many are not told apart, so that a hostile log cannot fill memory; likewise tasks.
    private static let domainLimit = 1 << 16
    private static let taskLimit = 1 << 18
    /// Calls in flight for longer than this many operations are taken to have lost their return.
    private static let inFlightLimit = 8192
    private static let stackLimit = 64

    private var nextID: Int64
    private var symbols: [String] = []
    private var counts: ContiguousArray<InlineArray<6, Int64>> = []

    private var pending = PendingOperations()
    private var cpus: ContiguousArray<CPUState> = []
    private var domainOfPointer: [UInt64: Int32] = [:]
    private var lastPointer: (pointer: UInt64, domain: Int32) = (0, 0)
    private var unresolvedDomain: Int32 = 0
    private var taskNumber: [TaskKey: Int32] = [:]
    private var deviceOfSymbol: [Symbol: Int32] = [:]
    private var unitOfSymbol: [Symbol: Int32] = [:]
    private var deviceOfName: [String: Int32] = [:]
    private var unitOfName: [String: Int32] = [:]
    private var domainOfDevice: [Int32: Int32] = [:]
    private var probeMeanings: [UInt64: EventMeaning] = [:]
    /// Calls on the stacks of all CPUs.
    private var callsInFlight = 0

    private struct TaskKey: Hashable {
        var pid: Int32
        var comm: Symbol
    }

    /// Builds operations with ids from `firstID` on.
    public init(firstID: Int64 = 1) {
        nextID = firstID
    }

    /// Hands the settled operations, layers and so on to `body` and forgets them.
    public func drain(_ body: (OperationBuilder) throws -> Void) rethrows {
        try body(self)
        operations.removeAll(keepingCapacity: true)
        layers.removeAll(keepingCapacity: true)
        markers.removeAll(keepingCapacity: true)
        losses.removeAll(keepingCapacity: true)
    }

    /// Hands over the events that belong to nothing.
    public func takeIssues() -> [ParseIssue] {
        defer { issues.removeAll(keepingCapacity: true) }
        return issues
    }

    /// The next id that is not in use: where a further log can go on.
    public var endID: Int64 { nextID }

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
    public func add(_ batch: EventBatch) {
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
    public func finish() {
        for cpu in cpus.indices { closeCalls(onCPU: cpu) }
        for cpu in cpus.indices { releaseHeldLayers(onCPU: cpu) }
        settle()
    }

    private func add(_ event: UnsafePointer<TraceEvent>, texts: [String]) {
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
    private func meaning(of event: UnsafePointer<TraceEvent>) -> EventMeaning {
        if event.pointee.form == .tracepoint || EventName(event.pointee.name) != nil {
            return EventMeaning(event, text: text)
        }
        let key =
            UInt64(event.pointee.location.rawValue) << 32 | UInt64(event.pointee.name.rawValue) << 2
            | UInt64(event.pointee.form.rawValue)
        if let known = probeMeanings[key] { return known }
        let meaning = EventMeaning(event, text: text)
        probeMeanings[key] = meaning
        return meaning
    }

    /// - Returns: whether the event was understood.
    private func handle(_ event: UnsafePointer<TraceEvent>, _ meaning: EventMeaning, texts: [String]) -> Bool {
        if case .unknown = meaning { return false }
        let cpu = cpuIndex(of: event)
        let task = task(of: event, onCPU: cpu)
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
            var operation = operation(event, isRemoval(meaning) ? .removeDeviceFromGroup : .addDeviceToGroup, task: task)
            operation.device = device(event.pointee.symbol(.device))
            operation.detail = event.pointee[.group].map { Int64(bitPattern: $0) }
            append(operation)
        case .fault:
            var operation = operation(event, .ioPageFault, task: task)
            operation.device = device(event.pointee.symbol(.device))
            operation.iova = event.pointee[.iova]
            operation.detail = event.pointee[.flags].map { Int64(bitPattern: $0) }
            append(operation)
        case .marker:
            cpus[cpu].run = nil
            let operation = operation(event, .marker, task: task)
            let text = event.pointee[.text].map { Int(truncatingIfNeeded: $0) } ?? -1
            if texts.indices.contains(text) { markers.append(Marker(operation: nextID, text: texts[text])) }
            append(operation)
        case .cacheTagAssignment:
            break
        case .queueTimeout, .queueFlush, .hardwareFlush, .syncMap, .descriptor, .cacheTagFlush, .amdCommand, .armCommands:
            if let layer = decode(event, meaning) { add(layer, cpu: cpu, task: task) }
        }
        return true
    }

    private func isRemoval(_ meaning: EventMeaning) -> Bool {
        if case .removeDeviceFromGroup = meaning { return true }
        return false
    }

    // MARK: - Calls

    private func mapEntry(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return false }
        enterContext(nil, cpu: cpu, task: task)
        var operation = operation(event, .map, task: task)
        operation.iova = iova
        operation.size = size
        operation.paddr = event.pointee[.paddr]
        operation.domain = domain(event.pointee[.domain])
        domains[Int(operation.domain) - 1].probeCandidate.map(iova: iova, size: size)
        // In a log that shows the tracepoints of successful maps too, this one is only an attempt until its own comes.
        let call = Call(
            kind: .map, slot: pending.end, domain: operation.domain, iova: iova, size: size, task: task,
            entered: event.pointee.time)
        append(operation, isOpen: totals.showsMapTracepoints)
        cpus[cpu].lastMap = call
        if totals.showsMapTracepoints { push(call, onCPU: cpu) }
        return true
    }

    private func mapped(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return }
        totals.showsMapTracepoints = true
        if let call = popCall(onCPU: cpu, where: { $0.kind == .map && $0.iova == iova && $0.size == size }) {
            confirm(call, at: event, result: size)
            cpus[cpu].lastMap = nil
            return
        }
        // The first tracepoint of the log follows an attempt that was let go unconfirmed.
        if let call = cpus[cpu].lastMap, call.iova == iova, call.size == size, call.task == task {
            cpus[cpu].lastMap = nil
            return
        }
        enterContext(nil, cpu: cpu, task: task)
        var operation = operation(event, .map, task: task)
        operation.iova = iova
        operation.size = size
        operation.result = size
        operation.paddr = event.pointee[.paddr]
        operation.flags = .confirmed
        operation.domain = domain(event.pointee[.domain])
        operation.device = device(event.pointee.symbol(.device))
        domains[Int(operation.domain) - 1].probeCandidate.map(iova: iova, size: size)
        append(operation)
    }

    private func unmapEntry(_ event: UnsafePointer<TraceEvent>, isFast: Bool, cpu: Int, task: Int32) -> Bool {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return false }
        enterContext(nil, cpu: cpu, task: task)
        if !totals.showsReturns { dropClearedCalls(onCPU: cpu) }
        var operation = operation(event, isFast ? .unmapFast : .unmap, task: task)
        operation.iova = iova
        operation.size = size
        operation.domain = domain(event.pointee[.domain])
        operation.flags = .byProbe
        if event.pointee[.queued] == 1 { operation.flags.insert(.queued) }
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        push(
            Call(
                kind: operation.kind, slot: pending.end, domain: operation.domain, iova: iova, size: size, task: task,
                entered: event.pointee.time),
            onCPU: cpu)
        append(operation, isOpen: true)
        return true
    }

    private func unmapped(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return false }
        let result = event.pointee[.unmapped] ?? size
        // A probe on the tracepoint tells the same thing as the tracepoint itself, right beside it.
        let clear = Clear(iova: iova, size: size, result: result, form: event.pointee.form)
        if let last = cpus[cpu].lastClear, last.isSameCall(as: clear) {
            cpus[cpu].lastClear = nil
            return true
        }
        cpus[cpu].lastClear = clear
        let matches = { (call: Call) in call.kind.isUnmap && !call.isCleared && call.iova == iova && call.size == size }
        if let (cpu, index) = findCall(onCPU: cpu, task: task, where: matches) {
            let call = cpus[cpu].calls[index]
            confirm(call, at: event, result: result)
            if totals.showsReturns {
                cpus[cpu].calls[index].isCleared = true
            } else {
                // What is above it on the stack was entered later and yet not cleared: its tracepoint was missed.
                closeCalls(onCPU: cpu, above: index)
                removeCalls(onCPU: cpu, from: index)
                cpus[cpu].returning = call
            }
            return true
        }
        enterContext(nil, cpu: cpu, task: task)
        var operation = operation(event, .unmap, task: task)
        operation.iova = iova
        operation.size = size
        operation.result = result
        operation.flags = .confirmed
        operation.domain = domain(event.pointee[.domain])
        operation.device = device(event.pointee.symbol(.device))
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        append(operation)
        return true
    }

    private func unmapReturn(_ event: UnsafePointer<TraceEvent>, isFast: Bool, cpu: Int, task: Int32) -> Bool {
        guard let result = event.pointee[.unmapped] else { return false }
        let wasShown = totals.showsReturns
        totals.showsReturns = true
        let kind: Operation.Kind = isFast ? .unmapFast : .unmap
        let iova = event.pointee[.iova]
        let matches = { (call: Call) in call.kind == kind && (iova == nil || call.iova == iova) }
        if let (cpu, index) = findCall(onCPU: cpu, task: task, where: matches) {
            let call = cpus[cpu].calls[index]
            // Calls above it on the stack must have returned before; their returns were missed.
            closeCalls(onCPU: cpu, above: index)
            removeCalls(onCPU: cpu, from: index)
            if !call.isCleared { close(call, at: event, result: result, isFast: isFast) }
            return true
        }
        // The first return of the log belongs to a call whose tracepoint already closed it.
        if !wasShown, let call = cpus[cpu].returning, matches(call) {
            cpus[cpu].returning = nil
            return true
        }
        guard let iova, let size = event.pointee[.size] else {
            issues.append(
                ParseIssue(
                    reason: .returnWithoutCall, line: event.pointee.line, offset: 0, excerpt: text(event.pointee.name)))
            return true
        }
        // The entry was missed, but the return says it all.
        var operation = operation(event, kind, task: task)
        operation.iova = iova
        operation.size = size
        operation.result = result
        operation.flags = .byProbe
        operation.domain = domain(event.pointee[.domain])
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        append(operation)
        return true
    }

    /// What an unmap changes beside itself: the domain's census and attach-probe test, the CPU's last unmap.
    private func noteUnmap(_ operation: inout Operation, iova: UInt64, size: UInt64, cpu: Int) {
        let index = Int(operation.domain) - 1
        let isFast = operation.kind == .unmapFast
        let isQueued = operation.flags.contains(.queued)
        domains[index].census.unmap(cpu: operation.cpu, isQueued: isQueued)
        if domains[index].probeCandidate.unmap(iova: iova, size: size, isFast: isFast) {
            operation.flags.insert(.attachProbe)
        }
        if isQueued { domains[index].learn(.dma, .inferred) }
        cpus[cpu].lastUnmap = (operation.domain, iova, iova &+ (max(size, 1) - 1))
    }

    /// The entries are clear: that moment, not the call's entry, is the operation's time and place in the order.
    private func confirm(_ call: Call, at event: UnsafePointer<TraceEvent>, result: UInt64) {
        guard var operation = pending.withdraw(call.slot) else { return }
        operation.id = nextID
        nextID += 1
        operation.time = event.pointee.time
        operation.sinceEntry = event.pointee.time - call.entered
        operation.cpu = event.pointee.cpu
        operation.line = event.pointee.line
        operation.result = result
        operation.flags.insert(.confirmed)
        pending.append(operation, isOpen: false)
    }

    /// A call without a tracepoint inside returns: unmap_fast has cleared the entries just now, unmap at some time
    /// before its own sync, of which the entry is the only bound (design §4 10).
    private func close(_ call: Call, at event: UnsafePointer<TraceEvent>, result: UInt64, isFast: Bool) {
        if isFast {
            guard var operation = pending.withdraw(call.slot) else { return }
            operation.id = nextID
            nextID += 1
            operation.time = event.pointee.time
            operation.sinceEntry = event.pointee.time - call.entered
            operation.cpu = event.pointee.cpu
            operation.line = event.pointee.line
            operation.result = result
            pending.append(operation, isOpen: false)
        } else {
            pending.close(call.slot) { $0.result = result }
        }
    }

    // MARK: - Flushes and layers

    private func flush(_ event: UnsafePointer<TraceEvent>, _ kind: Operation.Kind, cpu: Int, task: Int32) {
        var operation = operation(event, kind, task: task)
        operation.domain = domain(event.pointee[.domain])
        let index = Int(operation.domain) - 1
        if kind == .sync {
            // `end` is inclusive; an empty gather has start above it (model.md §1.6).
            if let start = event.pointee[.start], let last = event.pointee[.end], start <= last {
                operation.iova = start
                operation.size = min(last - start, UInt64(Int64.max) - 1) + 1
            }
            operation.detail = event.pointee[.pageSize].map { Int64(bitPattern: $0) }
        }
        if let held = cpus[cpu].held, held.task == task {
            operation.detail = (held.isTimer ? Operation.FlushCause.timer : .ringFull).rawValue
            domains[index].learn(.dma, .inferred)
            for var layer in held.layers {
                layer.flush = nextID
                layer.domain = operation.domain
                layer.cause = .flush
                emit(layer)
            }
            cpus[cpu].held = nil
        }
        domains[index].census.flush(cpu: operation.cpu, isFlushAll: kind == .flushAll)
        enterContext(Context(task: task, purpose: .flush(nextID, operation.domain)), cpu: cpu, task: task)
        append(operation)
    }

    private func add(_ layer: Layer, cpu: Int, task: Int32) {
        var layer = layer
        layer.task = task
        layer.id = nextID
        nextID += 1
        if layer.kind == .queueTimeout || layer.kind == .queueFlush {
            // These precede the flush_all that they cause.
            if cpus[cpu].held?.task != task { releaseHeldLayers(onCPU: cpu) }
            var held = cpus[cpu].held ?? HeldLayers(task: task)
            if layer.kind == .queueTimeout || held.layers.count > 1 {
                releaseHeldLayers(onCPU: cpu)
                held = HeldLayers(task: task)
            }
            held.isTimer = held.isTimer || layer.kind == .queueTimeout
            held.layers.append(layer)
            cpus[cpu].held = held
            return
        }
        if layer.kind == .contextInvalidation {
            enterContext(Context(task: task, purpose: .attach), cpu: cpu, task: task)
        }
        if layer.kind == .syncMap || layer.kind == .cacheTagFlushRangeNotPresent {
            enterContext(Context(task: task, purpose: .map), cpu: cpu, task: task)
        }
        switch cpus[cpu].context(of: task)?.purpose {
        case .flush(let id, let domain):
            layer.flush = id
            layer.cause = .flush
            layer.domain = domain
            if let hardwareDomain = layer.hardwareDomain {
                domains[Int(domain) - 1].hardwareDomain = hardwareDomain
            }
        case .attach: layer.cause = .attach
        case .map: layer.cause = .map
        case nil: break
        }
        if layer.kind.invalidatesIOTLB { addInvalidation(&layer, cpu: cpu, task: task) }
        emit(layer)
    }

    /// An IOTLB invalidation: does it begin a run, which is a flush where the log has none of the API (design §4 4)?
    private func addInvalidation(_ layer: inout Layer, cpu: Int, task: Int32) {
        // A flush of a whole domain sends one command to each unit, so the second to a unit belongs to another flush.
        let run = InvalidationRun(
            task: task, hardwareDomain: layer.hardwareDomain, unit: layer.unit, isPageSelective: layer.granularity == .page)
        let isContinued = cpus[cpu].run.map { run.continues($0) } ?? false
        cpus[cpu].run = run
        guard layer.cause != .attach, layer.cause != .map else { return }
        layer.startsRun = !isContinued
        if layer.startsRun { totals.hardwareRuns += 1 }
        guard layer.cause == nil, let unmap = cpus[cpu].lastUnmap else { return }
        layer.domain = unmap.domain
        let first = layer.address.map { $0 & ~Self.coverageMask(layer.mask) } ?? 0
        let last = layer.granularity == .page ? first | Self.coverageMask(layer.mask) : .max
        if layer.granularity != .page {
            domains[Int(unmap.domain) - 1].census.flush(cpu: layer.cpu, isFlushAll: true)
        } else if first <= unmap.start, unmap.last <= last {
            domains[Int(unmap.domain) - 1].census.flush(cpu: layer.cpu, isFlushAll: false)
        }
        if let hardwareDomain = layer.hardwareDomain {
            domains[Int(unmap.domain) - 1].hardwareDomain = hardwareDomain
        }
    }

    /// The low bits of an address that a command with this mask ignores.
    private static func coverageMask(_ mask: Int64?) -> UInt64 {
        let bits = UInt64(clamping: mask ?? 0) + 12
        return bits >= 64 ? .max : (1 << bits) - 1
    }

    // MARK: - Domains and devices

    private func attach(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        let device = device(event.pointee.symbol(.device))
        // The tracepoint follows when the attach whose entry a probe saw has succeeded.
        if event.pointee.form == .tracepoint, let last = cpus[cpu].lastAttach, last.device == device, last.isProbe {
            cpus[cpu].lastAttach = nil
            return
        }
        enterContext(Context(task: task, purpose: .attach), cpu: cpu, task: task)
        var operation = operation(event, .attach, task: task)
        operation.device = device
        if let pointer = event.pointee[.domain] { operation.domain = domain(pointer) }
        cpus[cpu].lastAttach = (
            device, domainOfDevice[device] ?? 0, event.pointee.form != .tracepoint, task: task, isFresh: true
        )
        domainOfDevice[device] = operation.domain
        if operation.domain > 0 {
            domains[Int(operation.domain) - 1].wasAttached = true
            domains[Int(operation.domain) - 1].probeCandidate.anythingElse()
        }
        append(operation)
    }

    private func detach(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        let device = device(event.pointee.symbol(.device))
        var operation = operation(event, .detach, task: task)
        operation.device = device
        if let last = cpus[cpu].lastAttach, last.isFresh, last.device == device, last.task == task,
            event.pointee[.domain] == nil, event.pointee.form != .tracepoint
        {
            // Since 6.6 an attach first blocks the device's translation: this is its first step, not its end.
            operation.domain = last.former
            operation.flags = .withinAttach
            cpus[cpu].lastAttach?.isFresh = false
        } else {
            if let pointer = event.pointee[.domain] {
                operation.domain = domain(pointer)
            } else {
                operation.domain = domainOfDevice[device] ?? 0
            }
            if domainOfDevice[device] == operation.domain { domainOfDevice[device] = 0 }
        }
        enterContext(Context(task: task, purpose: .attach), cpu: cpu, task: task, keepsAttach: true)
        append(operation)
    }

    private func domainAlloc(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let pointer = event.pointee[.domain] else { return false }
        var operation = operation(event, .domainAlloc, task: task)
        operation.detail = event.pointee[.type].map { Int64(bitPattern: $0) }
        enterContext(nil, cpu: cpu, task: task)
        if pointer != 0 {
            let number = allocate(pointer)
            operation.domain = number
            let index = Int(number) - 1
            domains[index].allocated = event.pointee.time
            if let type = event.pointee[.type] {
                domains[index].learn(Self.kind(ofType: type), .recorded)
            } else {
                // Only owners that map by themselves call these; the kernel's own paths use inner functions.
                let caller = text(event.pointee.caller)
                if caller == "iommu_domain_alloc" || caller.hasPrefix("iommu_paging_domain_alloc") {
                    domains[index].learn(.unmanaged, .inferred)
                }
            }
        }
        append(operation)
        return true
    }

    private func domainFree(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let pointer = event.pointee[.domain] else { return false }
        enterContext(nil, cpu: cpu, task: task)
        var operation = operation(event, .domainFree, task: task)
        operation.domain = domain(pointer)
        domains[Int(operation.domain) - 1].freed = event.pointee.time
        append(operation)
        return true
    }

    /// Domain types by their feature bits (model.md §1.1).
    private static func kind(ofType type: UInt64) -> Domain.Kind {
        if type & 2 != 0 { return .dma }
        if type & 1 != 0 { return .unmanaged }
        if type & 4 != 0 { return .identity }
        return type == 0 ? .blocked : .unknown
    }

    /// The domain that has this address now; the unresolved one for none.
    private func domain(_ pointer: UInt64?) -> Int32 {
        guard let pointer else {
            if unresolvedDomain == 0 { unresolvedDomain = newDomain(pointer: nil, generation: 0) }
            domains[Int(unresolvedDomain) - 1].isUsed = true
            return unresolvedDomain
        }
        if lastPointer.domain != 0, lastPointer.pointer == pointer { return lastPointer.domain }
        let number = domainOfPointer[pointer] ?? newDomain(pointer: pointer, generation: 0)
        domainOfPointer[pointer] = number
        domains[Int(number) - 1].isUsed = true
        lastPointer = (pointer, number)
        return number
    }

    /// An address is allocated: a new generation, if the one before it was freed or used (its free was missed).
    private func allocate(_ pointer: UInt64) -> Int32 {
        lastPointer = (0, 0)
        if let old = domainOfPointer[pointer] {
            let former = domains[Int(old) - 1]
            guard former.freed != nil || former.isUsed else { return old }
            let number = newDomain(pointer: pointer, generation: former.generation + 1)
            domainOfPointer[pointer] = number
            return number
        }
        let number = newDomain(pointer: pointer, generation: 0)
        domainOfPointer[pointer] = number
        return number
    }

    private func newDomain(pointer: UInt64?, generation: Int) -> Int32 {
        guard domains.count < Self.domainLimit else { return Int32(Self.domainLimit) }
        domains.append(Domain(pointer: pointer, generation: generation))
        return Int32(domains.count)
    }

    private func device(_ symbol: Symbol?) -> Int32 {
        guard let symbol, symbol != .none else { return 0 }
        return number(of: symbol, in: &deviceOfSymbol, names: &devices, byName: &deviceOfName)
    }

    private func unit(_ symbol: Symbol?) -> Int32 {
        guard let symbol, symbol != .none else { return 0 }
        return number(of: symbol, in: &unitOfSymbol, names: &units, byName: &unitOfName)
    }

    private func number(
        of symbol: Symbol, in numbers: inout [Symbol: Int32], names: inout ContiguousArray<String>,
        byName: inout [String: Int32]
    ) -> Int32 {
        if let number = numbers[symbol] { return number }
        let name = text(symbol)
        let number = byName[name] ?? Int32(names.count + 1)
        if Int(number) > names.count { names.append(name) }
        byName[name] = number
        numbers[symbol] = number
        return number
    }

    private func text(_ symbol: Symbol) -> String {
        let index = Int(symbol.rawValue)
        return index < symbols.count ? symbols[index] : ""
    }

    // MARK: - Decoding

    private func decode(_ event: UnsafePointer<TraceEvent>, _ meaning: EventMeaning) -> Layer? {
        var layer: Layer
        switch meaning {
        case .queueTimeout: layer = Layer(.queueTimeout)
        case .queueFlush: layer = Layer(.queueFlush)
        case .syncMap:
            layer = Layer(.syncMap)
            layer.address = event.pointee[.iova]
        case .hardwareFlush:
            layer = Layer(.hardwareFlush)
            layer.hardwareDomain = event.pointee[.hardwareDomain].map { Int64(bitPattern: $0) }
            layer.address = event.pointee[.address]
            layer.mask = event.pointee[.order].map { Int64(bitPattern: $0) }
            layer.word0 = event.pointee[.type]
        case .cacheTagFlush(let kind):
            layer = Layer(kind)
            layer.hardwareDomain = event.pointee[.hardwareDomain].map { Int64(bitPattern: $0) }
            layer.address = event.pointee[.address]
            layer.mask = event.pointee[.mask].map { Int64(bitPattern: $0) }
            layer.granularity = kind == .cacheTagFlushAll ? .domain : .page
        case .descriptor:
            layer = CommandDecoder.queuedInvalidation(event, type: text(event.pointee.symbol(.type) ?? .none))
        case .amdCommand: layer = CommandDecoder.amd(event)
        case .armCommands: layer = CommandDecoder.arm(event)
        default: return nil
        }
        layer.time = event.pointee.time
        layer.cpu = event.pointee.cpu
        layer.line = event.pointee.line
        layer.unit = unit(event.pointee.symbol(.unit))
        layer.device = device(event.pointee.symbol(.device))
        return layer
    }

    // MARK: - Order

    private func operation(_ event: UnsafePointer<TraceEvent>, _ kind: Operation.Kind, task: Int32) -> Operation {
        var operation = Operation(kind)
        operation.time = event.pointee.time
        operation.cpu = event.pointee.cpu
        operation.task = task
        operation.line = event.pointee.line
        return operation
    }

    private func append(_ operation: Operation, isOpen: Bool = false) {
        var operation = operation
        operation.id = nextID
        nextID += 1
        pending.append(operation, isOpen: isOpen)
        if pending.count > Self.inFlightLimit { pending.closeFirst() }
    }

    private func emit(_ layer: Layer) {
        totals.layers[Int(layer.kind.rawValue)] += 1
        layers.append(layer)
    }

    /// Moves what no call in flight can precede any more to the output.
    private func settle() {
        pending.drain { operation in
            totals.operations[Int(operation.kind.rawValue)] += 1
            operations.append(operation)
        }
    }

    private func lose(_ loss: LostEvents) {
        losses.append((loss, nextID))
        // Returns may be among what was lost.
        for cpu in cpus.indices where loss.cpu == nil || cpu == Int(loss.cpu ?? -1) {
            closeCalls(onCPU: cpu)
            cpus[cpu].forget()
        }
    }

    // MARK: - CPUs

    private func cpuIndex(of event: UnsafePointer<TraceEvent>) -> Int {
        let index = Int(event.pointee.cpu)
        while cpus.count <= index { cpus.append(CPUState()) }
        return index
    }

    private func task(of event: UnsafePointer<TraceEvent>, onCPU cpu: Int) -> Int32 {
        let last = cpus[cpu].lastTask
        if last.number != 0, last.pid == event.pointee.pid, last.comm == event.pointee.comm { return last.number }
        let key = TaskKey(pid: event.pointee.pid, comm: event.pointee.comm)
        let number: Int32
        if let known = taskNumber[key] {
            number = known
        } else if tasks.count < Self.taskLimit {
            tasks.append(Task(pid: event.pointee.pid, comm: text(event.pointee.comm)))
            number = Int32(tasks.count)
            taskNumber[key] = number
        } else {
            number = Int32(Self.taskLimit)
        }
        cpus[cpu].lastTask = (event.pointee.pid, event.pointee.comm, number)
        return number
    }

    private func push(_ call: Call, onCPU cpu: Int) {
        if cpus[cpu].calls.count >= Self.stackLimit { closeCalls(onCPU: cpu) }
        cpus[cpu].calls.append(call)
        callsInFlight += 1
    }

    /// Takes the topmost matching call off a CPU's stack.
    private func popCall(onCPU cpu: Int, where matches: (Call) -> Bool) -> Call? {
        guard let index = cpus[cpu].calls.lastIndex(where: matches) else { return nil }
        callsInFlight -= 1
        return cpus[cpu].calls.remove(at: index)
    }

    /// The topmost matching call on this CPU's stack, otherwise one of the same task on another CPU: a task may move.
    private func findCall(onCPU cpu: Int, task: Int32, where matches: (Call) -> Bool) -> (cpu: Int, index: Int)? {
        if let index = cpus[cpu].calls.lastIndex(where: matches) { return (cpu, index) }
        guard callsInFlight > cpus[cpu].calls.count else { return nil }
        for other in cpus.indices where other != cpu && !cpus[other].calls.isEmpty {
            if let index = cpus[other].calls.lastIndex(where: { $0.task == task && matches($0) }) {
                return (other, index)
            }
        }
        return nil
    }

    private func dropClearedCalls(onCPU cpu: Int) {
        while cpus[cpu].calls.last?.isCleared == true { removeCalls(onCPU: cpu, from: cpus[cpu].calls.count - 1) }
    }

    /// Gives up waiting for the returns of the calls above a place on a CPU's stack.
    private func closeCalls(onCPU cpu: Int, above index: Int = -1) {
        for call in cpus[cpu].calls[(index + 1)...] where !call.isCleared {
            pending.close(call.slot) { operation in
                if operation.kind == .map {
                    operation.flags.insert(.failed)
                    operation.result = 0
                } else {
                    operation.flags.insert(.unreturned)
                }
            }
        }
        removeCalls(onCPU: cpu, from: index + 1)
    }

    private func removeCalls(onCPU cpu: Int, from index: Int) {
        callsInFlight -= cpus[cpu].calls.count - index
        cpus[cpu].calls.removeSubrange(index...)
    }

    private func releaseHeldLayers(onCPU cpu: Int) {
        for layer in cpus[cpu].held?.layers ?? [] { emit(layer) }
        cpus[cpu].held = nil
    }

    /// What this task does on this CPU from now on belongs to `context`.
    private func enterContext(_ context: Context?, cpu: Int, task: Int32, keepsAttach: Bool = false) {
        if cpus[cpu].held != nil, cpus[cpu].held?.task == task { releaseHeldLayers(onCPU: cpu) }
        cpus[cpu].run = nil
        if !keepsAttach { cpus[cpu].lastAttach?.isFresh = false }
        cpus[cpu].setContext(context, of: task)
    }
}
