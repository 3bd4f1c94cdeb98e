import TraceFormats

/// A call of the API that was entered and whose return was not seen yet.
struct Call {
    var kind: Operation.Kind
    /// Its place in the ``OperationOrder``.
    var slot: Int
    var iova: UInt64
    var size: UInt64
    var task: Int32
    /// ns
    var entered: Int64
    /// The tracepoint inside was seen; only the return is missing.
    var isCleared = false
}

/// The calls in flight on each CPU: a call's entry, the tracepoint inside it and its return become one operation.
///
/// Interrupts nest, so each CPU has a stack of them (design §4 1).
struct CallStacks {
    /// What is in flight on one CPU.
    private struct Stack {
        var calls: [Call] = []
        var lastClear: Clear?
        var lastMap: Call?
        /// A map that has failed, and how much of it is going to be taken back: Linux 7.1 and later say so by a map event.
        var failedMap: (call: Call, mapped: UInt64)?
        /// The call that a tracepoint closed last, in a log that has not shown returns so far.
        var returning: Call?
        /// The unmap of the kernel log that is going on.
        var message: MessageCall?
    }

    /// The tracepoint inside an unmap, as seen last on a CPU.
    private struct Clear {
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
    private struct MessageCall {
        var slot: Int
        /// Where the next piece must begin.
        var next: UInt64
        /// Bytes that are still to be removed, and those that were.
        var left: UInt64
        var removed: UInt64 = 0
    }

    private static let depthLimit = 64

    /// Whether the log shows returns of unmap calls, and the tracepoints of maps.
    private(set) var showsReturns = false
    private(set) var showsMapTracepoints = false
    private var cpus: ContiguousArray<Stack> = []
    /// Calls on the stacks of all CPUs.
    private var inFlight = 0

    /// Gets ready for what happens on so many CPUs.
    mutating func prepare(cpus count: Int) {
        while cpus.count < count { cpus.append(Stack()) }
    }

    // MARK: - Maps

    /// A map is tried. In a log that shows the tracepoints of successful maps too, it is only an attempt until its own comes.
    mutating func enterMap(_ operation: Operation, onCPU cpu: Int, _ order: inout OperationOrder) {
        let call = Call(operation, slot: order.end)
        order.append(operation, isOpen: showsMapTracepoints)
        cpus[cpu].lastMap = call
        if showsMapTracepoints { push(call, onCPU: cpu, &order) }
    }

    /// What the tracepoint of a map tells of.
    enum Mapped {
        /// An attempt, which has succeeded now.
        case attempt
        /// One that was let go unconfirmed.
        case former
        /// A map of which nothing else was seen.
        case another
    }

    /// A map has succeeded.
    mutating func confirmMap(
        _ event: UnsafePointer<TraceEvent>, iova: UInt64, size: UInt64, cpu: Int, task: Int32,
        _ order: inout OperationOrder
    ) -> Mapped {
        showsMapTracepoints = true
        let matches = { (call: Call) in call.kind == .map && call.iova == iova && call.size == size }
        if let place = find(onCPU: cpu, task: task, where: matches) {
            confirm(take(at: place, &order), at: event, result: size, &order)
            cpus[cpu].lastMap = nil
            return .attempt
        }
        // Since 7.1 the event comes for a map that fails, too, with what was mapped until then.
        let isPart = { (call: Call) in call.kind == .map && call.iova == iova && call.size > size && call.task == task }
        if let index = cpus[cpu].calls.lastIndex(where: isPart) {
            let call = take(at: (cpu, index), &order)
            giveUp(call, &order)
            cpus[cpu].failedMap = (call, size)
            cpus[cpu].lastMap = nil
            return .attempt
        }
        // The first tracepoint of the log follows an attempt that was let go unconfirmed.
        if let call = cpus[cpu].lastMap, call.iova == iova, call.size == size, call.task == task {
            cpus[cpu].lastMap = nil
            return .former
        }
        return .another
    }

    // MARK: - Unmaps

    /// Whether an unmap takes back what a failed map of the same task had mapped: it comes inside the map, of which no success was
    /// seen, or right behind the event that tells how far it came.
    mutating func isUndoing(onCPU cpu: Int, task: Int32, iova: UInt64, size: UInt64) -> Bool {
        if let failed = cpus[cpu].failedMap {
            cpus[cpu].failedMap = nil
            if failed.call.task == task, failed.call.iova == iova, failed.mapped == size { return true }
        }
        guard let call = cpus[cpu].calls.last, call.kind == .map else { return false }
        return call.task == task && call.iova == iova && call.size > size
    }

    /// An unmap call is entered.
    mutating func enterUnmap(_ operation: Operation, onCPU cpu: Int, _ order: inout OperationOrder) {
        if !showsReturns { dropCleared(onCPU: cpu) }
        push(Call(operation, slot: order.end), onCPU: cpu, &order)
        order.append(operation, isOpen: true)
    }

    /// The entries are clear, says the tracepoint inside the call.
    ///
    /// - Returns: whether something else told of the call already.
    mutating func clear(
        _ event: UnsafePointer<TraceEvent>, iova: UInt64, size: UInt64, result: UInt64, cpu: Int, task: Int32,
        _ order: inout OperationOrder
    ) -> Bool {
        // A probe on the tracepoint tells the same thing as the tracepoint itself, right beside it.
        let clear = Clear(iova: iova, size: size, result: result, form: event.pointee.form)
        if let last = cpus[cpu].lastClear, last.isSameCall(as: clear) {
            cpus[cpu].lastClear = nil
            return true
        }
        cpus[cpu].lastClear = clear
        let matches = { (call: Call) in call.kind.isUnmap && !call.isCleared && call.iova == iova && call.size == size }
        guard let place = find(onCPU: cpu, task: task, where: matches) else { return false }
        confirm(cpus[place.cpu].calls[place.index], at: event, result: result, &order)
        if showsReturns {
            cpus[place.cpu].calls[place.index].isCleared = true
        } else {
            cpus[cpu].returning = take(at: place, &order)
        }
        return true
    }

    /// An unmap call returns.
    ///
    /// - Returns: whether its entry was seen.
    mutating func returnUnmap(
        _ event: UnsafePointer<TraceEvent>, _ kind: Operation.Kind, iova: UInt64?, result: UInt64, cpu: Int,
        task: Int32, adding flags: Operation.Flags, _ order: inout OperationOrder
    ) -> Bool {
        let wasShown = showsReturns
        showsReturns = true
        let matches = { (call: Call) in call.kind == kind && (iova == nil || call.iova == iova) }
        if let place = find(onCPU: cpu, task: task, where: matches) {
            let call = take(at: place, &order)
            if !call.isCleared { close(call, at: event, result: result, adding: flags, &order) }
            return true
        }
        // The first return of the log belongs to a call whose tracepoint already closed it.
        if !wasShown, let call = cpus[cpu].returning, matches(call) {
            cpus[cpu].returning = nil
            return true
        }
        return false
    }

    /// A call without a tracepoint inside returns: unmap_fast has cleared the entries just now, unmap at some time
    /// before its own sync, of which the entry is the only bound (design §4 10).
    private func close(
        _ call: Call, at event: UnsafePointer<TraceEvent>, result: UInt64, adding flags: Operation.Flags,
        _ order: inout OperationOrder
    ) {
        if call.kind == .unmapFast {
            order.move(call, to: event, result: result, adding: flags)
        } else {
            order.close(call.slot) { operation in
                operation.result = result
                operation.flags.formUnion(flags)
            }
        }
    }

    private func confirm(
        _ call: Call, at event: UnsafePointer<TraceEvent>, result: UInt64, _ order: inout OperationOrder
    ) {
        order.move(call, to: event, result: result, adding: .confirmed)
    }

    // MARK: - Stacks

    private mutating func push(_ call: Call, onCPU cpu: Int, _ order: inout OperationOrder) {
        if cpus[cpu].calls.count >= Self.depthLimit { closeCalls(onCPU: cpu, &order) }
        cpus[cpu].calls.append(call)
        inFlight += 1
    }

    /// The topmost matching call of this task on this CPU's stack, otherwise on another CPU, for a task may move;
    /// otherwise any matching call on this CPU.
    private func find(onCPU cpu: Int, task: Int32, where matches: (Call) -> Bool) -> (cpu: Int, index: Int)? {
        guard inFlight > 0 else { return nil }
        if let index = cpus[cpu].calls.lastIndex(where: { $0.task == task && matches($0) }) { return (cpu, index) }
        if inFlight > cpus[cpu].calls.count {
            for other in cpus.indices where other != cpu && !cpus[other].calls.isEmpty {
                if let index = cpus[other].calls.lastIndex(where: { $0.task == task && matches($0) }) {
                    return (other, index)
                }
            }
        }
        return cpus[cpu].calls.lastIndex(where: matches).map { (cpu, $0) }
    }

    /// Takes a call off its stack, and those of its task above it: an interrupt of it, entered later, must have ended
    /// before, so what should have told of that end was missed. Other tasks' calls may end in any order.
    private mutating func take(at place: (cpu: Int, index: Int), _ order: inout OperationOrder) -> Call {
        let call = cpus[place.cpu].calls[place.index]
        var index = cpus[place.cpu].calls.count - 1
        while index > place.index {
            if cpus[place.cpu].calls[index].task == call.task {
                giveUp(cpus[place.cpu].calls.remove(at: index), &order)
                inFlight -= 1
            }
            index -= 1
        }
        cpus[place.cpu].calls.remove(at: place.index)
        inFlight -= 1
        return call
    }

    private mutating func dropCleared(onCPU cpu: Int) {
        while cpus[cpu].calls.last?.isCleared == true { removeCalls(onCPU: cpu, from: cpus[cpu].calls.count - 1) }
    }

    /// Gives up waiting for the returns of all calls on a CPU's stack.
    mutating func closeCalls(onCPU cpu: Int, _ order: inout OperationOrder) {
        for call in cpus[cpu].calls { giveUp(call, &order) }
        removeCalls(onCPU: cpu, from: 0)
    }

    private func giveUp(_ call: Call, _ order: inout OperationOrder) {
        guard !call.isCleared else { return }
        order.close(call.slot) { operation in
            if operation.kind == .map {
                operation.flags.insert(.failed)
                operation.result = 0
            } else {
                operation.flags.insert(.unreturned)
            }
        }
    }

    private mutating func removeCalls(onCPU cpu: Int, from index: Int) {
        inFlight -= cpus[cpu].calls.count - index
        cpus[cpu].calls.removeSubrange(index...)
    }

    /// Events were lost on a CPU: nothing that follows can be joined to what came before.
    mutating func forget(_ cpu: Int, _ order: inout OperationOrder) {
        closeCalls(onCPU: cpu, &order)
        closeMessages(onCPU: cpu, &order)
        cpus[cpu] = Stack()
    }

    // MARK: - Kernel log

    /// `unmap this`, at the entry of `__iommu_unmap`: what it has removed is told piece by piece in the lines below.
    mutating func enterMessage(
        _ operation: Operation, iova: UInt64, size: UInt64, onCPU cpu: Int, _ order: inout OperationOrder
    ) {
        cpus[cpu].message = MessageCall(slot: order.end, next: iova, left: size)
        order.append(operation, isOpen: true)
    }

    /// `unmapped`: one page-table callback of the unmap above it.
    ///
    /// - Returns: whether it is one.
    mutating func addPiece(iova: UInt64, size: UInt64, onCPU cpu: Int, _ order: inout OperationOrder) -> Bool {
        guard var call = cpus[cpu].message, call.next == iova else { return false }
        call.next = iova &+ size
        // Each is below 2^57, but there may be any number of them.
        call.removed = min(call.removed &+ size, 1 << 57)
        call.left = call.left > size ? call.left - size : 0
        cpus[cpu].message = call
        if call.left == 0 { closeMessages(onCPU: cpu, &order) }
        return true
    }

    /// Whatever is no piece of the unmap that is going on ends it.
    @inline(__always)
    mutating func endMessages(onCPU cpu: Int, before meaning: EventMeaning, _ order: inout OperationOrder) {
        guard cpus[cpu].message != nil else { return }
        switch meaning {
        case .unmappedMessage, .repeated: break
        default: closeMessages(onCPU: cpu, &order)
        }
    }

    /// Nothing more is to come of the unmap that is going on.
    mutating func closeMessages(onCPU cpu: Int, _ order: inout OperationOrder) {
        guard let call = cpus[cpu].message else { return }
        cpus[cpu].message = nil
        order.close(call.slot) { $0.result = call.removed }
    }

    /// The log is at its end: calls still in flight stay without a return.
    mutating func finish(_ order: inout OperationOrder) {
        for cpu in cpus.indices { closeCalls(onCPU: cpu, &order) }
        for cpu in cpus.indices { closeMessages(onCPU: cpu, &order) }
    }
}

extension Call {
    /// The call of an operation, which is to stand at a slot.
    init(_ operation: Operation, slot: Int) {
        self.init(
            kind: operation.kind, slot: slot, iova: operation.iova ?? 0, size: operation.size ?? 0,
            task: operation.task, entered: operation.time)
    }
}
