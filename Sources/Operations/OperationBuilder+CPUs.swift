import TraceFormats

// What is in progress on each CPU.
extension OperationBuilder {
    mutating func cpuIndex(of event: UnsafePointer<TraceEvent>) -> Int {
        let index = Int(event.pointee.cpu)
        while cpus.count <= index { cpus.append(CPUState()) }
        return index
    }

    mutating func task(of event: UnsafePointer<TraceEvent>, onCPU cpu: Int) -> Int32 {
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

    mutating func push(_ call: Call, onCPU cpu: Int) {
        if cpus[cpu].calls.count >= Self.stackLimit { closeCalls(onCPU: cpu) }
        cpus[cpu].calls.append(call)
        callsInFlight += 1
    }

    /// The topmost matching call of this task on this CPU's stack, otherwise on another CPU, for a task may move;
    /// otherwise any matching call on this CPU.
    func findCall(onCPU cpu: Int, task: Int32, where matches: (Call) -> Bool) -> (cpu: Int, index: Int)? {
        if let index = cpus[cpu].calls.lastIndex(where: { $0.task == task && matches($0) }) { return (cpu, index) }
        guard callsInFlight > 0 else { return nil }
        if callsInFlight > cpus[cpu].calls.count {
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
    mutating func takeCall(at place: (cpu: Int, index: Int)) -> Call {
        let call = cpus[place.cpu].calls[place.index]
        var index = cpus[place.cpu].calls.count - 1
        while index > place.index {
            if cpus[place.cpu].calls[index].task == call.task {
                giveUp(cpus[place.cpu].calls.remove(at: index))
                callsInFlight -= 1
            }
            index -= 1
        }
        cpus[place.cpu].calls.remove(at: place.index)
        callsInFlight -= 1
        return call
    }

    mutating func dropClearedCalls(onCPU cpu: Int) {
        while cpus[cpu].calls.last?.isCleared == true { removeCalls(onCPU: cpu, from: cpus[cpu].calls.count - 1) }
    }

    /// Gives up waiting for the returns of all calls on a CPU's stack.
    mutating func closeCalls(onCPU cpu: Int) {
        for call in cpus[cpu].calls { giveUp(call) }
        removeCalls(onCPU: cpu, from: 0)
    }

    private mutating func giveUp(_ call: Call) {
        guard !call.isCleared else { return }
        pending.close(call.slot) { operation in
            if operation.kind == .map {
                operation.flags.insert(.failed)
                operation.result = 0
            } else {
                operation.flags.insert(.unreturned)
            }
        }
    }

    private mutating func removeCalls(onCPU cpu: Int, from index: Int) {
        callsInFlight -= cpus[cpu].calls.count - index
        cpus[cpu].calls.removeSubrange(index...)
    }

    mutating func releaseHeldLayers(onCPU cpu: Int) {
        for layer in cpus[cpu].held?.layers ?? [] { emit(layer) }
        cpus[cpu].held = nil
    }

    mutating func releaseSender(onCPU cpu: Int) {
        guard let sender = cpus[cpu].sender else { return }
        cpus[cpu].sender = nil
        emit(sender)
    }

    /// What this task does on this CPU from now on belongs to `context`.
    mutating func enterContext(_ context: Context?, cpu: Int, task: Int32, keepsAttach: Bool = false) {
        if cpus[cpu].held != nil, cpus[cpu].held?.task == task { releaseHeldLayers(onCPU: cpu) }
        if cpus[cpu].sender != nil { releaseSender(onCPU: cpu) }
        cpus[cpu].run = nil
        cpus[cpu].lastMapped = nil
        if !keepsAttach { cpus[cpu].lastAttach?.isFresh = false }
        cpus[cpu].setContext(context, of: task)
    }
}
