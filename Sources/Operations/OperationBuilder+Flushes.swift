import TraceFormats

// Flushes, and what drivers and hardware do below them.
extension OperationBuilder {
    mutating func flush(_ event: UnsafePointer<TraceEvent>, _ kind: Operation.Kind, cpu: Int, task: Int32) {
        var operation = operation(event, kind, task: task)
        operation.domain = domainTable.number(of: event.pointee[.domain])
        let domain = operation.domain
        if kind == .sync {
            // `end` is inclusive; an empty gather has start above it (model.md §1.6). No page table spans 2^57 bytes.
            if let start = event.pointee[.start], let last = event.pointee[.end], start <= last, last - start < 1 << 57
            {
                operation.iova = start
                operation.size = last - start + 1
                kernel.sync(at: event.pointee.location, pageSize: event.pointee[.pageSize], names)
                if let unmap = chain.lastUnmap(onCPU: cpu), unmap.domain == domain, start <= unmap.start,
                    unmap.last <= last, last - start > unmap.last - unmap.start
                {
                    domainTable[domain].census.gathered()
                }
            } else if let start = event.pointee[.start], let last = event.pointee[.end], start > last {
                operation.iova = start
                operation.size = 0
            }
        }
        if kind == .flushAll, let cause = chain.join(flushAllOf: domain, cpu: cpu, task: task, &order) {
            operation.detail = cause.rawValue
            domainTable[domain].learn(.dma, .inferred)
        }
        domainTable[domain].census.flush(cpu: operation.cpu, isFlushAll: kind == .flushAll)
        enter(.flush(slot: order.end, id: 0, domain: domain), cpu: cpu, task: task)
        order.append(operation)
    }

    mutating func add(_ layer: Layer, cpu: Int, task: Int32) {
        var layer = layer
        chain.begin(layer, cpu: cpu, &order)
        switch layer.kind {
        case .queueTimeout, .queueFlush: return chain.hold(layer, cpu: cpu, &order)
        case _ where layer.kind.invalidatesDeviceEntry: enter(.attach, cpu: cpu, task: task)
        case .syncMap, .cacheTagFlushRangeNotPresent: enter(.map, cpu: cpu, task: task)
        default: break
        }
        chain.link(&layer, cpu: cpu)
        if layer.cause == .flush { domainTable.flushed(by: layer) }
        if layer.kind == .hardwareFlush { return chain.hold(sender: layer, cpu: cpu) }
        if layer.kind.invalidatesIOTLB {
            chain.addInvalidation(&layer, cpu: cpu)
            if layer.cause == nil { credit(&layer, cpu: cpu) }
        }
        order.append(layer)
    }

    /// An invalidation whose flush is not recorded tells of the domain of the CPU's last unmap, or of those that are still to be
    /// found.
    private mutating func credit(_ layer: inout Layer, cpu: Int) {
        if domainTable.areOpen { queue.add(layer) }
        guard let unmap = chain.lastUnmap(onCPU: cpu), unmap.line > domainTable[unmap.domain].goneLine else {
            // A flush queue's timer may fire where nobody unmaps.
            let domain = domainTable.unresolved
            if layer.granularity != .page, domain > 0, assumesSingleDomain {
                domainTable[domain].census.flush(cpu: layer.cpu, isFlushAll: true)
            }
            return
        }
        layer.domain = unmap.domain
        if domainTable.isUnresolved(unmap.domain) { return }
        let isForPages = layer.granularity == .page
        let isForUnmap =
            isForPages && layer.coverage.contains(unmap.start) && layer.coverage.contains(unmap.last)
        if !isForPages || isForUnmap {
            domainTable[unmap.domain].census.flush(cpu: layer.cpu, isFlushAll: !isForPages)
        }
        domainTable.learn(from: layer, of: unmap.domain, isForUnmap ? .certain : .near)
    }
}

extension Layer {
    /// What an event below the API tells; `nil` if it is none.
    init?(_ event: UnsafePointer<TraceEvent>, _ meaning: EventMeaning, task: Int32, _ names: inout LogNames) {
        switch meaning {
        case .queueTimeout: self.init(.queueTimeout)
        case .queueFlush: self.init(.queueFlush)
        case .syncMap:
            self.init(.syncMap)
            address = event.pointee[.iova]
        case .hardwareFlush:
            self.init(.hardwareFlush)
            hardwareDomain = event.pointee[.hardwareDomain].map { Int64(bitPattern: $0) }
            address = event.pointee[.address]
            mask = event.pointee[.order].map { Int64(bitPattern: $0) }
            // The register encoding of the granularity: 1, 2 or 3 in bits 61:60.
            granularity = event.pointee[.type].flatMap {
                Granularity(rawValue: UInt8(truncatingIfNeeded: $0 >> 60 & 3))
            }
        case .cacheTagFlush(let kind):
            self.init(kind)
            hardwareDomain = event.pointee[.hardwareDomain].map { Int64(bitPattern: $0) }
            address = event.pointee[.address]
            mask = event.pointee[.mask].map { Int64(bitPattern: $0) }
            granularity = kind == .cacheTagFlushAll ? .domain : .page
        case .descriptor:
            self = CommandDecoder.queuedInvalidation(event, type: names.text(event.pointee.symbol(.type) ?? .none))
        case .amdCommand: self = CommandDecoder.amd(event)
        default: return nil
        }
        self = placed(at: event, task: task, &names)
    }

    /// The same with an event's time and place.
    func placed(at event: UnsafePointer<TraceEvent>, task: Int32, _ names: inout LogNames) -> Layer {
        var layer = self
        layer.time = event.pointee.time
        layer.cpu = event.pointee.cpu
        layer.task = task
        layer.line = event.pointee.line
        layer.unit = names.unit(event.pointee.symbol(.unit))
        layer.device = names.device(event.pointee.symbol(.device))
        return layer
    }
}
