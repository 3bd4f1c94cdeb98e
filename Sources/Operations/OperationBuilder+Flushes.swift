import TraceFormats

// Flushes, and what drivers and hardware do below them.
extension OperationBuilder {
    mutating func flush(_ event: UnsafePointer<TraceEvent>, _ kind: Operation.Kind, cpu: Int, task: Int32) {
        var operation = operation(event, kind, task: task)
        operation.domain = domain(event.pointee[.domain])
        let index = Int(operation.domain) - 1
        if kind == .sync {
            // `end` is inclusive; an empty gather has start above it (model.md §1.6). No page table spans 2^57 bytes.
            if let start = event.pointee[.start], let last = event.pointee[.end], start <= last, last - start < 1 << 57
            {
                operation.iova = start
                operation.size = last - start + 1
            } else if let start = event.pointee[.start], let last = event.pointee[.end], start > last {
                operation.iova = start
                operation.size = 0
            }
        }
        if kind == .flushAll, let held = cpus[cpu].held, held.task == task {
            operation.detail = (held.isTimer ? Operation.FlushCause.timer : .ringFull).rawValue
            domains[index].learn(.dma, .inferred)
            for var layer in held.layers {
                layer.flushSlot = pending.end
                layer.domain = operation.domain
                layer.cause = .flush
                emit(layer)
            }
            cpus[cpu].held = nil
        }
        domains[index].census.flush(cpu: operation.cpu, isFlushAll: kind == .flushAll)
        enterContext(
            Context(task: task, purpose: .flush(slot: pending.end, id: 0, domain: operation.domain)), cpu: cpu,
            task: task)
        append(operation)
    }

    mutating func add(_ layer: Layer, cpu: Int, task: Int32) {
        var layer = layer
        layer.task = task
        if let sender = cpus[cpu].sender {
            // The function that sends a descriptor, and the descriptor: one row, the latter's.
            let isSent =
                layer.kind == .iotlbInvalidation && sender.task == task
                && sender.hardwareDomain == layer.hardwareDomain
            if isSent { cpus[cpu].sender = nil } else { releaseSender(onCPU: cpu) }
        }
        if layer.kind == .queueTimeout || layer.kind == .queueFlush {
            // These precede the flush_all that they cause.
            if cpus[cpu].held?.task != task { releaseHeldLayers(onCPU: cpu) }
            var held = cpus[cpu].held ?? HeldLayers(task: task)
            if layer.kind == .queueTimeout || held.layers.count > 1 {
                releaseHeldLayers(onCPU: cpu)
                held = HeldLayers(task: task)
            }
            held.isTimer = held.isTimer || layer.kind == .queueTimeout
            held.layers.append(layer)
            cpus[cpu].held = held
            return
        }
        if layer.kind == .contextInvalidation {
            enterContext(Context(task: task, purpose: .attach), cpu: cpu, task: task)
        }
        if layer.kind == .syncMap || layer.kind == .cacheTagFlushRangeNotPresent {
            enterContext(Context(task: task, purpose: .map), cpu: cpu, task: task)
        }
        switch cpus[cpu].context(of: task)?.purpose {
        case .flush(let slot, let id, let domain):
            if id == 0 { layer.flushSlot = slot } else { layer.flush = id }
            layer.cause = .flush
            layer.domain = domain
            if let hardwareDomain = layer.hardwareDomain {
                domains[Int(domain) - 1].hardwareDomain = hardwareDomain
            }
            if layer.kind.invalidatesIOTLB, !domains[Int(domain) - 1].wasAttached {
                domains[Int(domain) - 1].wasAttachedBefore = true
            }
        case .attach: layer.cause = .attach
        case .map: layer.cause = .map
        case nil: break
        }
        if layer.kind == .hardwareFlush {
            cpus[cpu].sender = layer
            return
        }
        if layer.kind.invalidatesIOTLB { addInvalidation(&layer, cpu: cpu, task: task) }
        emit(layer)
    }

    /// An IOTLB invalidation: does it begin a run, which is a flush where the log has none of the API (design §4 4)?
    mutating func addInvalidation(_ layer: inout Layer, cpu: Int, task: Int32) {
        // A flush of a whole domain sends one command to each unit, so the second to a unit belongs to another flush.
        let isPageSelective = layer.granularity == .page
        let run = InvalidationRun(
            task: task, hardwareDomain: layer.hardwareDomain, isPageSelective: isPageSelective,
            units: isPageSelective ? [] : [layer.unit])
        let isContinued = cpus[cpu].run?.isContinued(by: run) ?? false
        if isContinued { cpus[cpu].run?.units.formUnion(run.units) } else { cpus[cpu].run = run }
        let first = layer.address.map { $0 & ~Self.coverageMask(layer.mask) } ?? 0
        let last = layer.granularity == .page ? first | Self.coverageMask(layer.mask) : .max
        if layer.cause == nil, layer.granularity == .page, let map = cpus[cpu].lastMapped, map.task == task,
            first <= map.start, map.start <= last
        {
            // Caching mode and AMD's np-cache flush what was just mapped, list by list. Elsewhere it may happen by
            // chance that the flush of an old mapping follows a new one at its address.
            mapsFlushed += 1
            if mapsFlushed * 8 >= mapsSeen { layer.cause = .map }
        }
        guard layer.cause != .attach, layer.cause != .map else { return }
        layer.startsRun = !isContinued
        if layer.startsRun { totals.hardwareRuns += 1 }
        guard layer.cause == nil else { return }
        note(layer)
        guard let unmap = cpus[cpu].lastUnmap else {
            // A flush queue's timer may fire where nobody unmaps.
            if !isPageSelective, unresolvedDomain > 0, assumesSingleDomain {
                domains[Int(unresolvedDomain) - 1].census.flush(cpu: layer.cpu, isFlushAll: true)
            }
            return
        }
        layer.domain = unmap.domain
        if isUnresolved(unmap.domain) { return }
        if !isPageSelective {
            domains[Int(unmap.domain) - 1].census.flush(cpu: layer.cpu, isFlushAll: true)
        } else if first <= unmap.start, unmap.last <= last {
            domains[Int(unmap.domain) - 1].census.flush(cpu: layer.cpu, isFlushAll: false)
        }
        if let hardwareDomain = layer.hardwareDomain {
            domains[Int(unmap.domain) - 1].hardwareDomain = hardwareDomain
        }
    }

    /// The low bits of an address that a command with this mask ignores.
    static func coverageMask(_ mask: Int64?) -> UInt64 {
        let bits = UInt64(clamping: mask ?? 0) + 12
        return bits >= 64 ? .max : (1 << bits) - 1
    }

    mutating func decode(_ event: UnsafePointer<TraceEvent>, _ meaning: EventMeaning) -> Layer? {
        var layer: Layer
        switch meaning {
        case .queueTimeout: layer = Layer(.queueTimeout)
        case .queueFlush: layer = Layer(.queueFlush)
        case .syncMap:
            layer = Layer(.syncMap)
            layer.address = event.pointee[.iova]
        case .hardwareFlush:
            layer = Layer(.hardwareFlush)
            layer.hardwareDomain = event.pointee[.hardwareDomain].map { Int64(bitPattern: $0) }
            layer.address = event.pointee[.address]
            layer.mask = event.pointee[.order].map { Int64(bitPattern: $0) }
            // The register encoding of the granularity: 1, 2 or 3 in bits 61:60.
            layer.granularity = event.pointee[.type].flatMap {
                Layer.Granularity(rawValue: UInt8(truncatingIfNeeded: $0 >> 60 & 3))
            }
        case .cacheTagFlush(let kind):
            layer = Layer(kind)
            layer.hardwareDomain = event.pointee[.hardwareDomain].map { Int64(bitPattern: $0) }
            layer.address = event.pointee[.address]
            layer.mask = event.pointee[.mask].map { Int64(bitPattern: $0) }
            layer.granularity = kind == .cacheTagFlushAll ? .domain : .page
        case .descriptor:
            layer = CommandDecoder.queuedInvalidation(event, type: text(event.pointee.symbol(.type) ?? .none))
        case .amdCommand: layer = CommandDecoder.amd(event)
        case .armCommands: layer = CommandDecoder.arm(event)
        default: return nil
        }
        layer.time = event.pointee.time
        layer.cpu = event.pointee.cpu
        layer.line = event.pointee.line
        layer.unit = unit(event.pointee.symbol(.unit))
        layer.device = device(event.pointee.symbol(.device))
        return layer
    }
}
