import TraceFormats

// Maps and unmaps.
extension OperationBuilder {
    mutating func mapEntry(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return false }
        enter(nil, cpu: cpu, task: task)
        var operation = operation(event, .map, task: task)
        operation.iova = iova
        operation.size = size
        operation.paddr = event.pointee[.paddr]
        operation.domain = domainTable.number(of: event.pointee[.domain])
        domainTable[operation.domain].probeCandidate.map(iova: iova, size: size)
        calls.enterMap(operation, onCPU: cpu, &order)
        chain.map(at: iova, cpu: cpu, task: task, isNew: true)
        return true
    }

    mutating func mapped(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return }
        switch calls.confirmMap(event, iova: iova, size: size, cpu: cpu, task: task, &order) {
        case .former: return
        case .attempt: chain.map(at: iova, cpu: cpu, task: task, isNew: false)
        case .another:
            enter(nil, cpu: cpu, task: task)
            var operation = operation(event, .map, task: task)
            operation.iova = iova
            operation.size = size
            operation.result = size
            operation.paddr = event.pointee[.paddr]
            operation.flags = .confirmed
            operation.device = names.device(event.pointee.symbol(.device))
            operation.domain = domainTable.number(of: event.pointee[.domain], ofDevice: operation.device, names)
            domainTable[operation.domain].probeCandidate.map(iova: iova, size: size)
            chain.map(at: iova, cpu: cpu, task: task, isNew: true)
            order.append(operation)
        }
    }

    mutating func unmapEntry(_ event: UnsafePointer<TraceEvent>, isFast: Bool, cpu: Int, task: Int32) -> Bool {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return false }
        enter(nil, cpu: cpu, task: task)
        var operation = operation(event, isFast ? .unmapFast : .unmap, task: task)
        operation.iova = iova
        operation.size = size
        operation.domain = domainTable.number(of: event.pointee[.domain])
        operation.flags = .byProbe
        if event.pointee[.queued] == 1 { operation.flags.insert(.queued) }
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        calls.enterUnmap(operation, onCPU: cpu, &order)
        return true
    }

    mutating func unmapped(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return false }
        let result = event.pointee[.unmapped] ?? size
        if calls.clear(event, iova: iova, size: size, result: result, cpu: cpu, task: task, &order) { return true }
        enter(nil, cpu: cpu, task: task)
        var operation = operation(event, .unmap, task: task)
        operation.iova = iova
        operation.size = size
        operation.result = result
        operation.flags = .confirmed
        operation.device = names.device(event.pointee.symbol(.device))
        operation.domain = domainTable.number(of: event.pointee[.domain], ofDevice: operation.device, names)
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        order.append(operation)
        return true
    }

    mutating func unmapReturn(_ event: UnsafePointer<TraceEvent>, isFast: Bool, cpu: Int, task: Int32) -> Bool {
        guard let result = event.pointee[.unmapped] else { return false }
        let kind: Operation.Kind = isFast ? .unmapFast : .unmap
        let iova = event.pointee[.iova]
        if calls.returnUnmap(event, kind, iova: iova, result: result, cpu: cpu, task: task, &order) { return true }
        guard let iova, let size = event.pointee[.size] else {
            issues.append(
                ParseIssue(
                    reason: .returnWithoutCall, line: event.pointee.line, offset: 0,
                    excerpt: names.text(event.pointee.name)))
            return true
        }
        // The entry was missed, but the return says it all.
        var operation = operation(event, kind, task: task)
        operation.iova = iova
        operation.size = size
        operation.result = result
        operation.flags = .byProbe
        operation.domain = domainTable.number(of: event.pointee[.domain])
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        order.append(operation)
        return true
    }

    /// What an unmap changes beside itself: the domain's census and attach-probe test, the CPU's last unmap.
    mutating func noteUnmap(_ operation: inout Operation, iova: UInt64, size: UInt64, cpu: Int) {
        let domain = operation.domain
        let isFast = operation.kind == .unmapFast
        let isQueued = operation.flags.contains(.queued)
        if !domainTable.isUnresolved(domain) {
            domainTable[domain].census.unmap(cpu: operation.cpu, isQueued: isQueued)
        }
        if domainTable[domain].probeCandidate.unmap(iova: iova, size: size, isFast: isFast) {
            operation.flags.insert(.attachProbe)
        }
        if isQueued { domainTable[domain].learn(.dma, .inferred) }
        chain.unmap(
            FlushChain.Unmap(domain: domain, start: iova, last: iova &+ (max(size, 1) - 1), line: operation.line),
            cpu: cpu)
    }
}
