import TraceFormats

/// Operations whose events name no domain, until the resolver has found one; and whatever belongs behind them.
struct ResolverQueue {
    /// What waits with the operations is let go at this many, however few operations there are.
    private static let limit = 1 << 17
    /// Who flushes each unmap by itself has done so within this time, in ns.
    private static let soonAfter: Int64 = 1_000_000

    private typealias Unmap = (domain: Int32, task: Int32, time: Int64, start: UInt64, last: UInt64)

    private(set) var resolver = Resolver()
    private var hardwareNames = HardwareNames()
    /// Domains that stand for a label.
    private var domainOfLabel: [Int: Int32] = [:]
    /// Which domains have which ids, by what has been found out here.
    private(set) var hardwareIDs = HardwareIDs()
    /// What tells of the domains of operations that wait.
    private var clues: ContiguousArray<Clue> = []
    private var operations: ContiguousArray<Operation> = []
    private var layers: ContiguousArray<Layer> = []
    /// By CPU, the last command about the entry of a device: whose, and the id that it names, if it names one.
    private var entryCommands: [Int32: (task: Int32, id: Int64?)] = [:]
    /// By CPU, the last unmap that was decided on.
    private var lastUnmap: [Int32: Unmap] = [:]
    /// What has become clear of operations that were handed on before, to be taken.
    private(set) var corrections: [Correction] = []

    /// Forgets the corrections, which have been taken.
    mutating func forgetCorrections() { corrections.removeAll(keepingCapacity: true) }

    // MARK: - Clues

    /// Something tells of the operations beside it.
    mutating func add(_ clue: Clue) { clues.append(clue) }

    /// A command that invalidates translations tells of the domains of the unmaps before it.
    mutating func add(_ layer: Layer) {
        let kind: Clue.Kind
        switch (layer.granularity, layer.hardwareDomain) {
        case (.global, _): kind = .global
        case (.domain, let hardwareDomain?): kind = .whole(hardwareDomain: hardwareDomain)
        case (.page, let hardwareDomain?):
            guard layer.address != nil else { return }
            let bytes = layer.coverage
            kind = .range(hardwareDomain: hardwareDomain, first: bytes.lowerBound, last: bytes.upperBound)
        default: return
        }
        clues.append(Clue(kind: kind, line: layer.line, time: layer.time, cpu: layer.cpu, task: layer.task))
    }

    // MARK: - Operations

    /// Takes what has just been settled, hands on what need not wait, and decides when enough does.
    ///
    /// - Parameters:
    ///   - settled: what was settled before stands in front, and stays.
    ///   - operation: how many operations that is.
    ///   - layer: how many layers.
    mutating func take(
        _ settled: inout OperationOrder.Settled, fromOperation operation: Int, layer: Int,
        _ domains: inout DomainTable, _ names: LogNames, isEnd: Bool
    ) {
        guard domains.areOpen else { return }
        operations.append(contentsOf: settled.operations[operation...])
        settled.operations.removeSubrange(operation...)
        layers.append(contentsOf: settled.layers[layer...])
        settled.layers.removeSubrange(layer...)
        if isEnd {
            decide(operations.count, into: &settled, &domains, names)
        } else if operations.count >= Resolver.windowLength + Resolver.margin {
            decide(operations.count - Resolver.margin, into: &settled, &domains, names)
        } else if clues.count + layers.count > Self.limit {
            decide(operations.count, into: &settled, &domains, names)
        }
    }

    /// Decides on the first operations that wait, and hands them on with everything that belongs before the rest.
    private mutating func decide(
        _ count: Int, into settled: inout OperationOrder.Settled, _ domains: inout DomainTable, _ names: LogNames
    ) {
        let limit = count < operations.count ? operations[count].line : Int64.max
        let clueCount = clues.prefix { $0.line < limit }.count
        let layerCount = layers.prefix { $0.line < limit }.count
        giveDomains(toFirst: count, clueCount, layerCount, &domains, names)
        if resolver.namesDevices { nameDomains(count, clueCount, &domains) }
        takeCensus(count, clueCount, &domains)
        settled.operations.append(contentsOf: operations[..<count])
        operations.removeSubrange(..<count)
        clues.removeSubrange(..<clueCount)
        for var layer in layers[..<layerCount] {
            giveDomain(to: &layer, &domains)
            settled.layers.append(layer)
        }
        layers.removeSubrange(..<layerCount)
    }

    private mutating func giveDomains(
        toFirst count: Int, _ clueCount: Int, _ layerCount: Int, _ domains: inout DomainTable, _ names: LogNames
    ) {
        var open: ContiguousArray<Int> = []
        var openOperations: ContiguousArray<Operation> = []
        open.reserveCapacity(count)
        openOperations.reserveCapacity(count)
        for index in 0..<count where isOpen(operations[index], domains) {
            open.append(index)
            openOperations.append(operations[index])
        }
        var beside = ContiguousArray(clues[..<clueCount])
        let moves = moves(amongFirst: count, layerCount)
        if !moves.isEmpty {
            beside.append(contentsOf: moves)
            beside.sort { $0.line < $1.line }
        }
        let (verdicts, late) = resolver.resolve(openOperations, beside, later: ArraySlice(clues[clueCount...]))
        for (index, verdict) in zip(open, verdicts) {
            operations[index].domain = domain(of: verdict, &domains, names)
            operations[index].grade = verdict.grade
            if let label = verdict.label, case .device(let device) = resolver.labels[label] {
                operations[index].device = device
            }
        }
        for change in late {
            let former = domain(of: change.former, &domains, names)
            let now = domain(of: change.now, &domains, names)
            domains[former].count(change.former.grade, -1)
            domains[now].count(change.now.grade, 1)
            corrections.append(Correction(operation: change.id, domain: now, grade: change.now.grade))
        }
    }

    /// Where devices leave their domains and move to others.
    private mutating func moves(amongFirst count: Int, _ layerCount: Int) -> ContiguousArray<Clue> {
        var moves: ContiguousArray<Clue> = []
        for operation in operations[..<count] where operation.kind == .attach && operation.device > 0 {
            moves.append(
                Clue(
                    kind: .moved(device: operation.device), line: operation.line, time: operation.time,
                    cpu: operation.cpu, task: operation.task))
        }
        for layer in layers[..<layerCount] where layer.cause == .attach {
            if layer.kind.invalidatesDeviceEntry {
                entryCommands[layer.cpu] = (layer.task, layer.namedDomain)
            } else if layer.kind.invalidatesIOTLB, layer.granularity == .domain, let id = layer.hardwareDomain,
                let entry = entryCommands[layer.cpu], entry.task == layer.task, entry.id ?? id == id
            {
                // One that names another id, or 0, is of an attach in caching mode: the id is where the device comes to.
                moves.append(
                    Clue(
                        kind: .left(hardwareDomain: id), line: layer.line, time: layer.time, cpu: layer.cpu,
                        task: layer.task))
            }
        }
        return moves
    }

    private func isOpen(_ operation: Operation, _ domains: DomainTable) -> Bool {
        operation.domain == domains.unresolved && (operation.kind == .map || operation.kind.isUnmap)
            && operation.iova != nil && operation.size != nil && !operation.flags.contains(.failed)
    }

    private mutating func domain(of verdict: Verdict, _ domains: inout DomainTable, _ names: LogNames) -> Int32 {
        guard let label = verdict.label else { return domains.unresolved }
        switch resolver.labels[label] {
        case .device(let device): return domains.number(of: nil, ofDevice: device, names)
        case .hardware(let id):
            if let known = domainOfLabel[label] { return known }
            let number = hardwareIDs.domain(of: id, unit: 0) ?? domains.add(hardwareDomain: id)
            domainOfLabel[label] = number
            hardwareIDs.note(id, unit: 0, of: number, .certain, line: 0)
            return number
        }
    }

    private func giveDomain(to layer: inout Layer, _ domains: inout DomainTable) {
        let isOpen = layer.domain == domains.unresolved || layer.domain == 0 && layer.kind.invalidatesIOTLB
        guard isOpen, layer.flush == 0, layer.cause == nil, let id = layer.hardwareDomain else { return }
        if let domain = hardwareIDs.domain(of: id, unit: 0, line: layer.line) {
            layer.domain = domain
        } else if layer.domain > 0 {
            domains[layer.domain].hardwareDomain = id
        }
    }

    /// Learns the hardware's ids of domains that are known by their devices.
    private mutating func nameDomains(_ count: Int, _ clueCount: Int, _ domains: inout DomainTable) {
        var clue = 0
        var lastUnmap: [Int32: (domain: Int32, start: UInt64, last: UInt64)] = [:]
        for operation in operations[..<count] {
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
            forgetNames(at: operation, &domains)
            guard operation.grade == .dma, let iova = operation.iova else { continue }
            if operation.kind == .map {
                hardwareNames.map(operation.domain, iova)
            } else {
                hardwareNames.unmap(operation.domain, iova, time: operation.time)
                lastUnmap[operation.cpu] = (operation.domain, iova, iova &+ (max(operation.size ?? 1, 1) - 1))
            }
        }
        takeNames(&domains)
    }

    private mutating func takeNames(_ domains: inout DomainTable) {
        for name in hardwareNames.names where hardwareIDs.domain(of: name.id, unit: 0) == nil {
            hardwareIDs.note(name.id, unit: 0, of: name.domain, .certain, line: 0)
            domains[name.domain].hardwareDomain = name.id
        }
    }

    /// Where a device moves, or a domain is freed, the hardware's id is another one from there on.
    private mutating func forgetNames(at operation: Operation, _ domains: inout DomainTable) {
        let domain: Int32?
        switch operation.kind {
        case .attach, .detach: domain = domains.number(calledLike: operation.device)
        case .domainFree: domain = operation.domain
        default: return
        }
        guard let domain, domain > 0, !operation.flags.contains(.withinAttach) else { return }
        takeNames(&domains)
        hardwareNames.forget(domain)
        hardwareIDs.release(domain, line: operation.line)
    }

    // MARK: - Modes

    /// Counts what tells the modes of the domains (design §4 2), now that the operations have theirs.
    private mutating func takeCensus(_ count: Int, _ clueCount: Int, _ domains: inout DomainTable) {
        var clue = 0
        for operation in operations[..<count] {
            while clue < clueCount, clues[clue].line < operation.line {
                takeCensus(clues[clue], &domains)
                clue += 1
            }
            guard operation.kind == .map || operation.kind.isUnmap, let grade = operation.grade,
                grade != .pointer, grade != .name
            else { continue }
            domains[operation.domain].count(grade, 1)
            guard operation.kind.isUnmap else { continue }
            domains[operation.domain].census.unmap(
                cpu: operation.cpu, isQueued: operation.flags.contains(.queued))
            let start = operation.iova ?? 0
            let last = start &+ (max(operation.size ?? 1, 1) - 1)
            lastUnmap[operation.cpu] = (operation.domain, operation.task, operation.time, start, last)
        }
        while clue < clueCount {
            takeCensus(clues[clue], &domains)
            clue += 1
        }
    }

    private func takeCensus(_ clue: Clue, _ domains: inout DomainTable) {
        let unmap = lastUnmap[clue.cpu]
        switch clue.kind {
        case .global:
            for index in domains.indices where domains.all[index].pointer == nil {
                domains[Int32(index + 1)].census.flush(cpu: clue.cpu, isFlushAll: true)
            }
        case .whole(let id):
            let domain =
                hardwareIDs.domain(of: id, unit: 0, line: clue.line) ?? unmap?.domain ?? domains.unresolved
            if let unmap, unmap.domain == domain, unmap.task == clue.task,
                clue.time < unmap.time
                    || clue.time.subtractingReportingOverflow(unmap.time).partialValue < Self.soonAfter
            {
                domains[domain].census.flush(cpu: clue.cpu, isFlushAll: true)
            } else {
                // Whoever flushes all of a domain by the way does not do it for one unmap.
                domains[domain].census.flushLater()
            }
        case .range(_, let first, let last):
            guard let unmap, first <= unmap.start, unmap.last <= last else { return }
            domains[unmap.domain].census.flush(cpu: clue.cpu, isFlushAll: false)
        case .mapped, .unmapped, .left, .moved: return
        }
    }
}

extension Layer {
    /// The hardware's domain id that a command about a device's entry names.
    fileprivate var namedDomain: Int64? {
        kind == .pasidCacheInvalidation ? word0.map { Int64($0 >> 16 & 0xffff) } : hardwareDomain
    }
}
