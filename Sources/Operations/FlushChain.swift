import TraceFormats

/// What the layers that follow on a CPU and task belong to.
struct Context {
    enum Purpose {
        /// A sync or flush_all: the slot of its operation and its id, 0 while that is not known; and its domain.
        case flush(slot: Int, id: Int64, domain: Int32)
        case attach
        case map
    }

    var task: Int32
    var purpose: Purpose
}

/// What drivers and hardware do becomes layers, each of the flush that it belongs to (design §4 4).
///
/// It knows what each CPU is at: which call of the API the lines belong to that follow, and what was mapped and unmapped last.
struct FlushChain {
    /// Events of a flush queue that precede the flush_all that they cause.
    private struct HeldLayers {
        var task: Int32
        var isTimer = false
        var layers: [Layer] = []
    }

    /// The last of a run of IOTLB invalidations with nothing of the API between them.
    private struct InvalidationRun {
        var task: Int32
        var hardwareDomain: Int64?
        var isPageSelective: Bool
        /// Where whole domains are invalidated: the units that were told.
        var units: Set<Int32>

        /// Whether one more belongs to the same flush.
        func isContinued(by next: InvalidationRun) -> Bool {
            task == next.task && hardwareDomain == next.hardwareDomain
                && isPageSelective == next.isPageSelective && units.isDisjoint(with: next.units)
        }
    }

    /// The last unmap of a CPU.
    struct Unmap {
        var domain: Int32
        /// First and last byte.
        var start: UInt64
        var last: UInt64
        var line: Int64
    }

    /// What is in progress on one CPU.
    private struct State {
        /// Of the tasks that took turns here lately, newest last.
        var contexts: [Context] = []
        /// The run of IOTLB invalidations going on.
        var run: InvalidationRun?
        var held: HeldLayers?
        /// A function that sends a descriptor, which should follow.
        var sender: Layer?
        /// The map that was the last operation of a task here.
        var lastMapped: (task: Int32, start: UInt64)?
        var lastUnmap: Unmap?

        func context(of task: Int32) -> Context? {
            contexts.last { $0.task == task }
        }

        mutating func setContext(_ context: Context?, of task: Int32) {
            if let last = contexts.last, last.task == task {
                contexts.removeLast()
            } else if let index = contexts.firstIndex(where: { $0.task == task }) {
                contexts.remove(at: index)
            }
            guard let context else { return }
            if contexts.count == FlushChain.contextLimit { contexts.removeFirst() }
            contexts.append(context)
        }

        mutating func learnIDs(from order: OperationOrder) {
            for index in contexts.indices {
                if case .flush(let slot, 0, let domain) = contexts[index].purpose {
                    contexts[index].purpose = .flush(slot: slot, id: order.id(ofSlot: slot) ?? 0, domain: domain)
                }
            }
            if let slot = sender?.flushSlot, let id = order.id(ofSlot: slot) {
                sender?.flush = id
                sender?.flushSlot = nil
            }
        }
    }

    private static let contextLimit = 4

    private var cpus: ContiguousArray<State> = []
    /// Maps, and those of them that an invalidation of their address followed at once.
    private var mapsSeen: Int64 = 0
    private var mapsFlushed: Int64 = 0
    /// Runs of IOTLB invalidations that no attach caused.
    private(set) var runs: Int64 = 0

    /// Gets ready for what happens on so many CPUs.
    mutating func prepare(cpus count: Int) {
        while cpus.count < count { cpus.append(State()) }
    }

    // MARK: - Calls of the API

    /// What this task does on this CPU from now on belongs to `context`.
    mutating func enter(_ context: Context?, cpu: Int, task: Int32, _ order: inout OperationOrder) {
        if cpus[cpu].held != nil, cpus[cpu].held?.task == task { releaseHeld(onCPU: cpu, &order) }
        if cpus[cpu].sender != nil { releaseSender(onCPU: cpu, &order) }
        cpus[cpu].run = nil
        cpus[cpu].lastMapped = nil
        cpus[cpu].setContext(context, of: task)
    }

    /// A flush_all ends what its flush queue's events have begun: they are its layers.
    ///
    /// - Returns: what the flush was caused by, if there are any.
    mutating func join(
        flushAllOf domain: Int32, cpu: Int, task: Int32, _ order: inout OperationOrder
    ) -> Operation.FlushCause? {
        guard let held = cpus[cpu].held, held.task == task else { return nil }
        for var layer in held.layers {
            layer.flushSlot = order.end
            layer.domain = domain
            layer.cause = .flush
            order.append(layer)
        }
        cpus[cpu].held = nil
        return held.isTimer ? .timer : .ringFull
    }

    /// Something has been mapped, or is being.
    mutating func map(at start: UInt64, cpu: Int, task: Int32, isNew: Bool) {
        cpus[cpu].lastMapped = (task, start)
        if isNew { mapsSeen += 1 }
    }

    /// Something is being unmapped.
    mutating func unmap(_ unmap: Unmap, cpu: Int) { cpus[cpu].lastUnmap = unmap }

    func lastUnmap(onCPU cpu: Int) -> Unmap? { cpus[cpu].lastUnmap }

    mutating func forgetLastUnmap(onCPU cpu: Int) { cpus[cpu].lastUnmap = nil }

    /// Something is written to the trace by hand.
    mutating func mark(cpu: Int) { cpus[cpu].run = nil }

    // MARK: - Layers

    /// Before anything else is made of a layer: what waits for what follows it has come to an end.
    mutating func begin(_ layer: Layer, cpu: Int, _ order: inout OperationOrder) {
        guard let sender = cpus[cpu].sender else { return }
        // The function that sends a descriptor, and the descriptor: one row, the latter's.
        let isSent =
            layer.kind == .iotlbInvalidation && sender.task == layer.task
            && sender.hardwareDomain == layer.hardwareDomain
        if isSent { cpus[cpu].sender = nil } else { releaseSender(onCPU: cpu, &order) }
    }

    /// Keeps an event of a flush queue for the flush_all that it causes, which is to follow.
    mutating func hold(_ layer: Layer, cpu: Int, _ order: inout OperationOrder) {
        if cpus[cpu].held?.task != layer.task { releaseHeld(onCPU: cpu, &order) }
        var held = cpus[cpu].held ?? HeldLayers(task: layer.task)
        if layer.kind == .queueTimeout || held.layers.count > 1 {
            releaseHeld(onCPU: cpu, &order)
            held = HeldLayers(task: layer.task)
        }
        held.isTimer = held.isTimer || layer.kind == .queueTimeout
        held.layers.append(layer)
        cpus[cpu].held = held
    }

    /// Keeps a function that sends a descriptor, until that comes.
    mutating func hold(sender layer: Layer, cpu: Int) { cpus[cpu].sender = layer }

    /// Gives a layer the flush, or other cause, that its task is at on its CPU.
    func link(_ layer: inout Layer, cpu: Int) {
        switch cpus[cpu].context(of: layer.task)?.purpose {
        case .flush(let slot, let id, let domain):
            if id == 0 { layer.flushSlot = slot } else { layer.flush = id }
            layer.cause = .flush
            layer.domain = domain
        case .attach: layer.cause = .attach
        case .map: layer.cause = .map
        case nil: break
        }
    }

    /// An IOTLB invalidation: does it begin a run, which is a flush where the log has none of the API (design §4 4)?
    mutating func addInvalidation(_ layer: inout Layer, cpu: Int) {
        // A flush of a whole domain sends one command to each unit, so the second to a unit belongs to another flush.
        let isPageSelective = layer.granularity == .page
        let run = InvalidationRun(
            task: layer.task, hardwareDomain: layer.hardwareDomain, isPageSelective: isPageSelective,
            units: isPageSelective ? [] : [layer.unit])
        let isContinued = cpus[cpu].run?.isContinued(by: run) ?? false
        if isContinued { cpus[cpu].run?.units.formUnion(run.units) } else { cpus[cpu].run = run }
        if layer.cause == nil, isPageSelective, let map = cpus[cpu].lastMapped, map.task == layer.task,
            layer.coverage.contains(map.start)
        {
            // Caching mode and AMD's np-cache flush what was just mapped, list by list. Elsewhere it may happen by
            // chance that the flush of an old mapping follows a new one at its address.
            mapsFlushed += 1
            if mapsFlushed * 8 >= mapsSeen { layer.cause = .map }
        }
        guard layer.cause != .attach, layer.cause != .map else { return }
        layer.startsRun = !isContinued
        if layer.startsRun { runs += 1 }
    }

    // MARK: - Ends

    private mutating func releaseHeld(onCPU cpu: Int, _ order: inout OperationOrder) {
        for layer in cpus[cpu].held?.layers ?? [] { order.append(layer) }
        cpus[cpu].held = nil
    }

    private mutating func releaseSender(onCPU cpu: Int, _ order: inout OperationOrder) {
        guard let sender = cpus[cpu].sender else { return }
        cpus[cpu].sender = nil
        order.append(sender)
    }

    /// Operations have got their ids: what refers to their slots learns them.
    mutating func learnIDs(from order: OperationOrder) {
        for cpu in cpus.indices { cpus[cpu].learnIDs(from: order) }
    }

    /// Events were lost on a CPU: nothing that follows can be joined to what came before.
    mutating func forget(_ cpu: Int, _ order: inout OperationOrder) {
        releaseHeld(onCPU: cpu, &order)
        releaseSender(onCPU: cpu, &order)
        cpus[cpu] = State()
    }

    /// The log is at its end.
    mutating func finish(_ order: inout OperationOrder) {
        for cpu in cpus.indices {
            releaseHeld(onCPU: cpu, &order)
            releaseSender(onCPU: cpu, &order)
        }
    }
}

extension Layer {
    /// First and last byte that an invalidation covers; all for one that names no pages.
    var coverage: ClosedRange<UInt64> {
        guard granularity == .page else { return 0...(.max) }
        let first = (address ?? 0) & ~ignoredBits
        return first...(first | ignoredBits)
    }

    /// The low bits of its address that it ignores.
    private var ignoredBits: UInt64 {
        let bits = UInt64(clamping: mask ?? 0) + 12
        return bits >= 64 ? .max : (1 << bits) - 1
    }
}
