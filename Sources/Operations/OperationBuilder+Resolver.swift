import TraceFormats

// Operations whose events name no domain wait until the resolver has found one.
extension OperationBuilder {
    /// What waits with them is let go at this many, however few operations there are.
    private static let waitingLimit = 1 << 17
    /// Who flushes each unmap by itself has done so within this time, in ns.
    private static let soonAfter: Int64 = 1_000_000

    /// Whether the domain of operations that are taken for this one is still to be found.
    func isUnresolved(_ domain: Int32) -> Bool {
        domain == unresolvedDomain && domain > 0 && !assumesSingleDomain
    }

    mutating func note(_ kind: Clue.Kind, _ event: UnsafePointer<TraceEvent>, task: Int32) {
        guard isUnresolved(unresolvedDomain) else { return }
        clues.append(
            Clue(
                kind: kind, line: event.pointee.line, time: event.pointee.time, cpu: event.pointee.cpu, task: task))
    }

    /// A command that invalidates translations tells of the domains of the unmaps before it.
    mutating func note(_ layer: Layer) {
        guard isUnresolved(unresolvedDomain) else { return }
        let kind: Clue.Kind
        switch (layer.granularity, layer.hardwareDomain) {
        case (.global, _): kind = .global
        case (.domain, let hardwareDomain?): kind = .whole(hardwareDomain: hardwareDomain)
        case (.page, let hardwareDomain?):
            guard let address = layer.address else { return }
            let first = address & ~Self.coverageMask(layer.mask)
            kind = .range(
                hardwareDomain: hardwareDomain, first: first, last: first | Self.coverageMask(layer.mask))
        default: return
        }
        clues.append(Clue(kind: kind, line: layer.line, time: layer.time, cpu: layer.cpu, task: layer.task))
    }

    /// The DMA API mapped or unmapped for a device.
    mutating func noteDevice(_ event: UnsafePointer<TraceEvent>, isMap: Bool, isList: Bool, task: Int32) {
        guard isUnresolved(unresolvedDomain) else { return }
        let device = device(event.pointee.symbol(.device))
        guard device > 0 else { return }
        let address = isList ? nil : event.pointee[.iova]
        note(
            isMap ? .mapped(device: device, address: address) : .unmapped(device: device, address: address), event,
            task: task)
    }

    /// Takes operations and layers that have just been settled, hands on those that need not wait, and decides when enough
    /// of them do.
    mutating func resolve(operationsFrom first: Int, layersFrom firstLayer: Int, isEnd: Bool) {
        for index in first..<operations.count { grade(operationAt: index) }
        guard isUnresolved(unresolvedDomain) else { return }
        waitingOperations.append(contentsOf: operations[first...])
        operations.removeSubrange(first...)
        resolvedLayers.append(contentsOf: layers[firstLayer...])
        layers.removeSubrange(firstLayer...)
        if isEnd {
            decide(waitingOperations.count)
        } else if waitingOperations.count >= Resolver.windowLength + Resolver.margin {
            decide(waitingOperations.count - Resolver.margin)
        } else if clues.count + resolvedLayers.count > Self.waitingLimit {
            decide(waitingOperations.count)
        }
    }

    private mutating func grade(operationAt index: Int) {
        let operation = operations[index]
        guard operation.kind == .map || operation.kind.isUnmap, operation.domain > 0 else { return }
        let domain = Int(operation.domain) - 1
        let grade: Grade
        if operation.domain == unresolvedDomain {
            grade = assumesSingleDomain ? .assumed : .ambiguous
        } else {
            grade = domains[domain].pointer == nil ? .name : .pointer
        }
        operations[index].grade = grade
        // Those that are ambiguous now are counted when they have been decided on.
        if grade != .ambiguous { domains[domain].count(grade, 1) }
    }

    /// Decides on the first operations that wait, and hands them on with everything that belongs before the rest.
    private mutating func decide(_ count: Int) {
        let limit = count < waitingOperations.count ? waitingOperations[count].line : Int64.max
        let clueCount = clues.prefix { $0.line < limit }.count
        var open: ContiguousArray<Int> = []
        var operationsOpen: ContiguousArray<Operation> = []
        open.reserveCapacity(count)
        operationsOpen.reserveCapacity(count)
        for index in 0..<count where isOpen(waitingOperations[index]) {
            open.append(index)
            operationsOpen.append(waitingOperations[index])
        }
        let (verdicts, late) = resolver.resolve(operationsOpen, ContiguousArray(clues[..<clueCount]))
        for (index, verdict) in zip(open, verdicts) {
            let domain = verdict.label.map { self.domain(of: $0) } ?? unresolvedDomain
            waitingOperations[index].domain = domain
            waitingOperations[index].grade = verdict.grade
            if let label = verdict.label, case .device(let device) = resolver.labels[label] {
                waitingOperations[index].device = device
            }
        }
        for change in late {
            let former = change.former.label.map { domain(of: $0) } ?? unresolvedDomain
            let now = change.now.label.map { domain(of: $0) } ?? unresolvedDomain
            domains[Int(former) - 1].count(change.former.grade, -1)
            domains[Int(now) - 1].count(change.now.grade, 1)
            corrections.append(Correction(operation: change.id, domain: now, grade: change.now.grade))
        }
        if resolver.namesDevices { nameDomains(count, clueCount) }
        takeCensus(count, clueCount)
        operations.append(contentsOf: waitingOperations[..<count])
        waitingOperations.removeSubrange(..<count)
        clues.removeSubrange(..<clueCount)
        let layerCount = resolvedLayers.prefix { $0.line < limit }.count
        for var layer in resolvedLayers[..<layerCount] {
            let isOpen = layer.domain == unresolvedDomain || layer.domain == 0 && layer.kind.invalidatesIOTLB
            if isOpen, layer.flush == 0, layer.cause == nil, let id = layer.hardwareDomain {
                if let domain = domainOfHardware[id] {
                    layer.domain = domain
                } else if layer.domain > 0 {
                    domains[Int(layer.domain) - 1].hardwareDomain = id
                }
            }
            layers.append(layer)
        }
        resolvedLayers.removeSubrange(..<layerCount)
    }

    private func isOpen(_ operation: Operation) -> Bool {
        operation.domain == unresolvedDomain && (operation.kind == .map || operation.kind.isUnmap)
            && operation.iova != nil && operation.size != nil && !operation.flags.contains(.failed)
    }

    /// The domain that a label stands for.
    private mutating func domain(of label: Int) -> Int32 {
        switch resolver.labels[label] {
        case .device(let device): return domain(nil, ofDevice: device)
        case .hardware(let id):
            if let known = domainOfHardware[id] { return known }
            let number = newDomain(pointer: nil, generation: 0)
            domains[Int(number) - 1].hardwareDomain = id
            domains[Int(number) - 1].isHardwareName = true
            domains[Int(number) - 1].isUsed = true
            domainOfHardware[id] = number
            return number
        }
    }

    /// Learns the hardware's ids of domains that are known by their devices.
    private mutating func nameDomains(_ count: Int, _ clueCount: Int) {
        var clue = 0
        var lastUnmap: [Int32: (domain: Int32, start: UInt64, last: UInt64)] = [:]
        for operation in waitingOperations[..<count] {
            while clue < clueCount, clues[clue].line < operation.line {
                switch clues[clue].kind {
                case .whole(let id): hardwareNames.flush(id, time: clues[clue].time)
                case .range(let id, let first, let last):
                    if let unmap = lastUnmap[clues[clue].cpu], first <= unmap.start, unmap.last <= last {
                        hardwareNames.command(id, afterUnmapOf: unmap.domain)
                    }
                default: break
                }
                clue += 1
            }
            guard operation.grade == .dma, let iova = operation.iova else { continue }
            if operation.kind == .map {
                hardwareNames.map(operation.domain, iova)
            } else {
                hardwareNames.unmap(operation.domain, iova, time: operation.time)
                lastUnmap[operation.cpu] = (operation.domain, iova, iova &+ (max(operation.size ?? 1, 1) - 1))
            }
        }
        for name in hardwareNames.names where domainOfHardware[name.id] == nil {
            domainOfHardware[name.id] = name.domain
            domains[Int(name.domain) - 1].hardwareDomain = name.id
        }
    }

    /// Counts what tells the modes of the domains (design §4 2), now that the operations have theirs.
    private mutating func takeCensus(_ count: Int, _ clueCount: Int) {
        var clue = 0
        for operation in waitingOperations[..<count] {
            while clue < clueCount, clues[clue].line < operation.line {
                takeCensus(clues[clue])
                clue += 1
            }
            guard operation.kind == .map || operation.kind.isUnmap, let grade = operation.grade,
                grade != .pointer, grade != .name
            else { continue }
            let index = Int(operation.domain) - 1
            domains[index].count(grade, 1)
            guard operation.kind.isUnmap else { continue }
            domains[index].census.unmap(cpu: operation.cpu, isQueued: operation.flags.contains(.queued))
            let start = operation.iova ?? 0
            let last = start &+ (max(operation.size ?? 1, 1) - 1)
            lastResolvedUnmap[operation.cpu] = (
                operation.domain, operation.task, operation.time, start, last
            )
        }
        while clue < clueCount {
            takeCensus(clues[clue])
            clue += 1
        }
    }

    private mutating func takeCensus(_ clue: Clue) {
        switch clue.kind {
        case .global:
            for index in domains.indices where domains[index].pointer == nil {
                domains[index].census.flush(cpu: clue.cpu, isFlushAll: true)
            }
        case .whole(let id):
            let unmap = lastResolvedUnmap[clue.cpu]
            let domain = domainOfHardware[id] ?? unmap?.domain ?? unresolvedDomain
            if let unmap, unmap.domain == domain, unmap.task == clue.task,
                clue.time < unmap.time
                    || clue.time.subtractingReportingOverflow(unmap.time).partialValue < Self.soonAfter
            {
                domains[Int(domain) - 1].census.flush(cpu: clue.cpu, isFlushAll: true)
            } else {
                // Whoever flushes all of a domain by the way does not do it for one unmap.
                domains[Int(domain) - 1].census.flushLater()
            }
        case .range(_, let first, let last):
            guard let unmap = lastResolvedUnmap[clue.cpu], first <= unmap.start, unmap.last <= last else { return }
            domains[Int(unmap.domain) - 1].census.flush(cpu: clue.cpu, isFlushAll: false)
        case .mapped, .unmapped: return
        }
    }
}
