import TraceFormats

// Maps and unmaps: a call's entry, the tracepoint inside it and its return become one operation.
extension OperationBuilder {
    mutating func mapEntry(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
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
            kind: .map, slot: pending.end, iova: iova, size: size, task: task,
            entered: event.pointee.time)
        append(operation, isOpen: totals.showsMapTracepoints)
        cpus[cpu].lastMap = call
        cpus[cpu].lastMapped = (task, iova)
        mapsSeen += 1
        if totals.showsMapTracepoints { push(call, onCPU: cpu) }
        return true
    }

    mutating func mapped(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return }
        totals.showsMapTracepoints = true
        let matches = { (call: Call) in call.kind == .map && call.iova == iova && call.size == size }
        if let place = findCall(onCPU: cpu, task: task, where: matches) {
            confirm(takeCall(at: place), at: event, result: size)
            cpus[cpu].lastMap = nil
            cpus[cpu].lastMapped = (task, iova)
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
        operation.device = device(event.pointee.symbol(.device))
        operation.domain = domain(event.pointee[.domain], ofDevice: operation.device)
        domains[Int(operation.domain) - 1].probeCandidate.map(iova: iova, size: size)
        cpus[cpu].lastMapped = (task, iova)
        mapsSeen += 1
        append(operation)
    }

    mutating func unmapEntry(_ event: UnsafePointer<TraceEvent>, isFast: Bool, cpu: Int, task: Int32) -> Bool {
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
                kind: operation.kind, slot: pending.end, iova: iova, size: size, task: task,
                entered: event.pointee.time),
            onCPU: cpu)
        append(operation, isOpen: true)
        return true
    }

    mutating func unmapped(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
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
        if let place = findCall(onCPU: cpu, task: task, where: matches) {
            confirm(cpus[place.cpu].calls[place.index], at: event, result: result)
            if totals.showsReturns {
                cpus[place.cpu].calls[place.index].isCleared = true
            } else {
                cpus[cpu].returning = takeCall(at: place)
            }
            return true
        }
        enterContext(nil, cpu: cpu, task: task)
        var operation = operation(event, .unmap, task: task)
        operation.iova = iova
        operation.size = size
        operation.result = result
        operation.flags = .confirmed
        operation.device = device(event.pointee.symbol(.device))
        operation.domain = domain(event.pointee[.domain], ofDevice: operation.device)
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        append(operation)
        return true
    }

    mutating func unmapReturn(_ event: UnsafePointer<TraceEvent>, isFast: Bool, cpu: Int, task: Int32) -> Bool {
        guard let result = event.pointee[.unmapped] else { return false }
        let wasShown = totals.showsReturns
        totals.showsReturns = true
        let kind: Operation.Kind = isFast ? .unmapFast : .unmap
        let iova = event.pointee[.iova]
        let matches = { (call: Call) in call.kind == kind && (iova == nil || call.iova == iova) }
        if let place = findCall(onCPU: cpu, task: task, where: matches) {
            let call = takeCall(at: place)
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
    mutating func noteUnmap(_ operation: inout Operation, iova: UInt64, size: UInt64, cpu: Int) {
        let index = Int(operation.domain) - 1
        let isFast = operation.kind == .unmapFast
        let isQueued = operation.flags.contains(.queued)
        if !isUnresolved(operation.domain) {
            domains[index].census.unmap(cpu: operation.cpu, isQueued: isQueued)
        }
        if domains[index].probeCandidate.unmap(iova: iova, size: size, isFast: isFast) {
            operation.flags.insert(.attachProbe)
        }
        if isQueued { domains[index].learn(.dma, .inferred) }
        cpus[cpu].lastUnmap = (operation.domain, iova, iova &+ (max(size, 1) - 1))
    }

    /// The entries are clear, says the tracepoint inside the call.
    mutating func confirm(_ call: Call, at event: UnsafePointer<TraceEvent>, result: UInt64) {
        settle(call, at: event, result: result, adding: .confirmed)
    }

    /// A call without a tracepoint inside returns: unmap_fast has cleared the entries just now, unmap at some time
    /// before its own sync, of which the entry is the only bound (design §4 10).
    mutating func close(_ call: Call, at event: UnsafePointer<TraceEvent>, result: UInt64, isFast: Bool) {
        if isFast {
            settle(call, at: event, result: result, adding: [])
        } else {
            pending.close(call.slot) { $0.result = result }
        }
    }

    /// This moment, not the call's entry, is the operation's time and place in the order.
    private mutating func settle(
        _ call: Call, at event: UnsafePointer<TraceEvent>, result: UInt64, adding flags: Operation.Flags
    ) {
        guard var operation = pending.withdraw(call.slot) else { return }
        operation.time = event.pointee.time
        operation.sinceEntry = event.pointee.time - call.entered
        operation.cpu = event.pointee.cpu
        operation.line = event.pointee.line
        operation.result = result
        operation.flags.formUnion(flags)
        pending.append(operation, isOpen: false)
    }
}
