import TraceFormats

/// A call of the API that was entered and whose return was not seen yet.
struct Call {
    var kind: Operation.Kind
    /// Its place among the pending operations.
    var slot: Int
    var iova: UInt64
    var size: UInt64
    var task: Int32
    /// ns
    var entered: Int64
    /// The tracepoint inside was seen; only the return is missing.
    var isCleared = false
}

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

/// The tracepoint inside an unmap, as seen last on a CPU.
struct Clear {
    var iova: UInt64
    var size: UInt64
    var result: UInt64
    var form: TraceEvent.Form

    /// Whether two events of different form tell of one call.
    func isSameCall(as other: Clear) -> Bool {
        form != other.form && iova == other.iova && size == other.size && result == other.result
    }
}

/// An unmap of the kernel log, of which pieces are still to come.
struct MessageCall {
    /// Its place among the pending operations.
    var slot: Int
    /// Where the next piece must begin.
    var next: UInt64
    /// Bytes that are still to be removed, and those that were.
    var left: UInt64
    var removed: UInt64 = 0
}

/// Events of a flush queue that precede the flush_all that they cause.
struct HeldLayers {
    var task: Int32
    var isTimer = false
    var layers: [Layer] = []
}

/// The last of a run of IOTLB invalidations with nothing of the API between them.
struct InvalidationRun {
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

/// What is in progress on one CPU.
struct CPUState {
    var calls: [Call] = []
    var lastTask: (pid: Int32, comm: Symbol, number: Int32) = (0, .none, 0)
    var lastClear: Clear?
    var lastMap: Call?
    /// The call that a tracepoint closed last, in a log that has not shown returns so far.
    var returning: Call?
    /// The unmap of the kernel log that is going on.
    var message: MessageCall?
    var lastUnmap: (domain: Int32, start: UInt64, last: UInt64)?
    var lastAttach: (device: Int32, former: Int32, isProbe: Bool, task: Int32, isFresh: Bool)?
    /// The run of IOTLB invalidations going on.
    var run: InvalidationRun?
    var held: HeldLayers?
    /// A function that sends a descriptor, which should follow.
    var sender: Layer?
    /// The map that was the last operation of a task here.
    var lastMapped: (task: Int32, start: UInt64)?

    /// Of the tasks that took turns on this CPU lately, newest last.
    private var contexts: [Context] = []
    private static let contextLimit = 4

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
        if contexts.count == Self.contextLimit { contexts.removeFirst() }
        contexts.append(context)
    }

    /// Operations have got their ids: what refers to their slots learns them.
    mutating func resolve(_ pending: PendingOperations) {
        for index in contexts.indices {
            if case .flush(let slot, 0, let domain) = contexts[index].purpose {
                contexts[index].purpose = .flush(slot: slot, id: pending.id(ofSlot: slot) ?? 0, domain: domain)
            }
        }
        if let slot = sender?.flushSlot, let id = pending.id(ofSlot: slot) {
            sender?.flush = id
            sender?.flushSlot = nil
        }
    }

    /// Events were lost here: nothing that follows can be joined to what came before.
    mutating func forget() {
        lastClear = nil
        lastMap = nil
        returning = nil
        lastUnmap = nil
        lastMapped = nil
        lastAttach = nil
        run = nil
        contexts.removeAll()
    }
}
