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
        if twoStep.areShown { joinTwoStep(&operation, iova: iova, cpu: cpu) }
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
            if twoStep.areShown { joinTwoStep(&operation, iova: iova, cpu: cpu) }
            domainTable[operation.domain].probeCandidate.map(iova: iova, size: size)
            chain.map(at: iova, cpu: cpu, task: task, isNew: true)
            order.append(operation)
        }
    }

    /// A map or unmap that a call of the two-step DMA API makes is for that call's device.
    private mutating func joinTwoStep(_ operation: inout Operation, iova: UInt64, cpu: Int) {
        let isMap = operation.kind == .map
        guard let call = twoStep.call(of: operation.task, iova: iova, isMap: isMap, onCPU: cpu) else { return }
        if operation.device == 0 { operation.device = call.device }
        if call.kind == .unlink { operation.flags.insert(.unlinked) }
        if !domainTable.isUnresolved(operation.domain) { domainTable[operation.domain].learn(owner: .dma, .recorded) }
    }

    mutating func unmapEntry(_ event: UnsafePointer<TraceEvent>, isFast: Bool, cpu: Int, task: Int32) -> Bool {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return false }
        enter(nil, cpu: cpu, task: task)
        var operation = operation(event, isFast ? .unmapFast : .unmap, task: task)
        operation.iova = iova
        operation.size = size
        operation.domain = domainTable.number(of: event.pointee[.domain])
        operation.flags = .byProbe
        let isQueued = isFast ? event.pointee[.queued].map { $0 == 1 } : nil
        if isQueued == true { operation.flags.insert(.queued) }
        if twoStep.areShown { joinTwoStep(&operation, iova: iova, cpu: cpu) }
        if calls.isUndoing(onCPU: cpu, task: task, iova: iova, size: size) { operation.flags.insert(.failed) }
        noteUnmap(&operation, iova: iova, size: size, isQueued: isQueued, cpu: cpu)
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
        if twoStep.areShown { joinTwoStep(&operation, iova: iova, cpu: cpu) }
        if calls.isUndoing(onCPU: cpu, task: task, iova: iova, size: size) { operation.flags.insert(.failed) }
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        order.append(operation)
        return true
    }

    mutating func unmapReturn(_ event: UnsafePointer<TraceEvent>, isFast: Bool, cpu: Int, task: Int32) -> Bool {
        guard let result = event.pointee[.unmapped] else { return false }
        let kind: Operation.Kind = isFast ? .unmapFast : .unmap
        let iova = event.pointee[.iova]
        let caller = callers.caller(event.pointee.caller, names)
        if event.pointee.caller != .none, let pointer = event.pointee[.domain] {
            learn(domainTable.number(of: pointer), from: caller)
        }
        let flags: Operation.Flags =
            switch caller {
            case .unlink?: .unlinked
            case .map?: .failed
            default: []
            }
        if calls.returnUnmap(
            event, kind, iova: iova, result: result, cpu: cpu, task: task, adding: flags, &order)
        {
            return true
        }
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
        operation.flags = flags.union(.byProbe)
        operation.domain = domainTable.number(of: event.pointee[.domain])
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        order.append(operation)
        return true
    }

    /// Who calls tells who owns the domain.
    private mutating func learn(_ domain: Int32, from caller: UnmapCaller?) {
        guard domainTable[domain].ownerEvidence != .recorded else { return }
        switch caller {
        case .type1?: domainTable[domain].learn(owner: .type1, .recorded)
        case .iommufd?: domainTable[domain].learn(owner: .iommufd, .recorded)
        case .map?: break
        case .dma?, .unlink?: domainTable[domain].learn(owner: .dma, .recorded)
        case nil: domainTable[domain].hasOtherCaller = true
        }
    }

    /// What an unmap changes beside itself: the domain's census and attach-probe test, the CPU's last unmap.
    ///
    /// - Parameter isQueued: what the caller of unmap_fast says; `nil` if it says nothing.
    mutating func noteUnmap(
        _ operation: inout Operation, iova: UInt64, size: UInt64, isQueued: Bool? = nil, cpu: Int
    ) {
        let domain = operation.domain
        let isFast = operation.kind == .unmapFast
        if !domainTable.isUnresolved(domain) {
            domainTable[domain].census.unmap(cpu: operation.cpu, isQueued: isQueued)
        }
        if domainTable[domain].probeCandidate.unmap(iova: iova, size: size, isFast: isFast) {
            operation.flags.insert(.attachProbe)
            // Nobody else tries whether the driver unmaps superpages whole.
            if domainTable[domain].pointer != nil { domainTable[domain].learn(owner: .type1, .inferred) }
        }
        if isQueued == true { domainTable[domain].learn(.dma, .inferred) }
        chain.unmap(
            FlushChain.Unmap(domain: domain, start: iova, last: iova &+ (max(size, 1) - 1), line: operation.line),
            cpu: cpu)
    }
}
