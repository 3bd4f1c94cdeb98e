import TraceFormats

// Domains, devices and who is attached where.
extension OperationBuilder {
    mutating func attach(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        let device = device(event.pointee.symbol(.device))
        // The tracepoint follows when the attach whose entry a probe saw has succeeded.
        if event.pointee.form == .tracepoint, let last = cpus[cpu].lastAttach, last.device == device, last.isProbe {
            cpus[cpu].lastAttach = nil
            return
        }
        enterContext(Context(task: task, purpose: .attach), cpu: cpu, task: task)
        var operation = operation(event, .attach, task: task)
        operation.device = device
        if let pointer = event.pointee[.domain] { operation.domain = domain(pointer) }
        cpus[cpu].lastAttach = (
            device, domainOfDevice[device] ?? 0, event.pointee.form != .tracepoint, task: task, isFresh: true
        )
        domainOfDevice[device] = operation.domain
        if operation.domain > 0 {
            if device > 0 { totals.showsAttaches = true }
            domains[Int(operation.domain) - 1].wasAttached = true
            domains[Int(operation.domain) - 1].probeCandidate.anythingElse()
        }
        append(operation)
    }

    mutating func detach(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        let device = device(event.pointee.symbol(.device))
        var operation = operation(event, .detach, task: task)
        operation.device = device
        if let last = cpus[cpu].lastAttach, last.isFresh, last.device == device, last.task == task,
            event.pointee[.domain] == nil, event.pointee.form != .tracepoint
        {
            // Since 6.6 an attach first blocks the device's translation: this is its first step, not its end.
            operation.domain = last.former
            operation.flags = .withinAttach
            cpus[cpu].lastAttach?.isFresh = false
        } else {
            if let pointer = event.pointee[.domain] {
                operation.domain = domain(pointer)
            } else {
                operation.domain = domainOfDevice[device] ?? 0
            }
            if domainOfDevice[device] == operation.domain { domainOfDevice[device] = 0 }
        }
        enterContext(Context(task: task, purpose: .attach), cpu: cpu, task: task, keepsAttach: true)
        append(operation)
    }

    mutating func domainAlloc(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let pointer = event.pointee[.domain] else { return false }
        var operation = operation(event, .domainAlloc, task: task)
        operation.detail = event.pointee[.type].map { Int64(bitPattern: $0) }
        enterContext(nil, cpu: cpu, task: task)
        if pointer != 0 {
            let number = allocate(pointer)
            operation.domain = number
            let index = Int(number) - 1
            domains[index].allocated = event.pointee.time
            if let type = event.pointee[.type] {
                domains[index].learn(Self.kind(ofType: type), .recorded)
            } else {
                // Only owners that map by themselves call these; the kernel's own paths use inner functions.
                let caller = text(event.pointee.caller)
                if caller == "iommu_domain_alloc" || caller.hasPrefix("iommu_paging_domain_alloc") {
                    domains[index].learn(.unmanaged, .inferred)
                }
            }
        }
        append(operation)
        return true
    }

    mutating func domainFree(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let pointer = event.pointee[.domain] else { return false }
        enterContext(nil, cpu: cpu, task: task)
        var operation = operation(event, .domainFree, task: task)
        operation.domain = domain(pointer)
        domains[Int(operation.domain) - 1].freed = event.pointee.time
        append(operation)
        return true
    }

    /// Domain types by their feature bits (model.md §1.1).
    static func kind(ofType type: UInt64) -> Domain.Kind {
        if type & 2 != 0 { return .dma }
        if type & 1 != 0 { return .unmanaged }
        if type & 4 != 0 { return .identity }
        return type == 0 ? .blocked : .unknown
    }

    /// The domain that has this address now; the unresolved one for none.
    mutating func domain(_ pointer: UInt64?) -> Int32 {
        guard let pointer else {
            if unresolvedDomain == 0 { unresolvedDomain = newDomain(pointer: nil, generation: 0) }
            domains[Int(unresolvedDomain) - 1].isUsed = true
            return unresolvedDomain
        }
        if lastPointer.domain != 0, lastPointer.pointer == pointer { return lastPointer.domain }
        let number = domainOfPointer[pointer] ?? newDomain(pointer: pointer, generation: 0)
        domainOfPointer[pointer] = number
        domains[Int(number) - 1].isUsed = true
        lastPointer = (pointer, number)
        return number
    }

    /// The domain of an event that may name a device in place of an address: the one that the device is known to be
    /// attached to, otherwise one that is called like it.
    mutating func domain(_ pointer: UInt64?, ofDevice device: Int32) -> Int32 {
        guard pointer == nil, device > 0 else { return domain(pointer) }
        if let attached = domainOfDevice[device], attached > 0 { return attached }
        let number = domainNamedAfter[device] ?? newDomain(pointer: nil, generation: 0)
        if domainNamedAfter[device] == nil {
            domainNamedAfter[device] = number
            domains[Int(number) - 1].deviceName = deviceNames.names[Int(device) - 1]
        }
        domains[Int(number) - 1].isUsed = true
        return number
    }

    /// An address is allocated: a new generation, if the one before it was freed or used (its free was missed).
    mutating func allocate(_ pointer: UInt64) -> Int32 {
        lastPointer = (0, 0)
        if let old = domainOfPointer[pointer] {
            let former = domains[Int(old) - 1]
            guard former.freed != nil || former.isUsed else { return old }
            let number = newDomain(pointer: pointer, generation: former.generation + 1)
            domainOfPointer[pointer] = number
            return number
        }
        let number = newDomain(pointer: pointer, generation: 0)
        domainOfPointer[pointer] = number
        return number
    }

    mutating func newDomain(pointer: UInt64?, generation: Int) -> Int32 {
        guard domains.count < Self.domainLimit else { return Int32(Self.domainLimit) }
        domains.append(Domain(pointer: pointer, generation: generation))
        return Int32(domains.count)
    }

    mutating func device(_ symbol: Symbol?) -> Int32 {
        guard let symbol, symbol != .none else { return 0 }
        return deviceNames.number(of: symbol) ?? deviceNames.add(symbol, text(symbol))
    }

    mutating func unit(_ symbol: Symbol?) -> Int32 {
        guard let symbol, symbol != .none else { return 0 }
        return unitNames.number(of: symbol) ?? unitNames.add(symbol, text(symbol))
    }

    func text(_ symbol: Symbol) -> String {
        let index = Int(symbol.rawValue)
        return index < symbols.count ? symbols[index] : ""
    }
}
