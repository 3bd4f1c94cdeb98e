import TraceFormats

// Domains come and go, devices move among them.
extension OperationBuilder {
    mutating func attach(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        let device = names.device(event.pointee.symbol(.device))
        let isProbe = event.pointee.form != .tracepoint
        if !isProbe, domainTable.attachments.isKnown(device, cpu: cpu) { return }
        enter(.attach, cpu: cpu, task: task)
        var operation = operation(event, .attach, task: task)
        operation.device = device
        if let pointer = event.pointee[.domain] {
            operation.domain = domainTable.number(of: pointer)
            if isProbe { learn(operation.domain, type: event.pointee[.type], cookie: event.pointee[.object]) }
        }
        domainTable.attach(
            device, to: operation.domain, isProbe: isProbe, cpu: cpu, task: task, line: operation.line)
        order.append(operation)
    }

    mutating func detach(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        let device = names.device(event.pointee.symbol(.device))
        var operation = operation(event, .detach, task: task)
        operation.device = device
        if event.pointee[.domain] == nil, event.pointee.form != .tracepoint,
            let former = domainTable.attachments.firstStep(of: device, cpu: cpu, task: task)
        {
            operation.domain = former
            operation.flags = .withinAttach
        } else {
            operation.domain =
                event.pointee[.domain].map { domainTable.number(of: $0) } ?? domainTable.attachments.domain(of: device)
            domainTable.detach(device, from: operation.domain, line: operation.line)
        }
        enter(.attach, cpu: cpu, task: task, keepsAttach: true)
        order.append(operation)
    }

    mutating func domainAlloc(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let pointer = event.pointee[.domain] else { return false }
        var operation = operation(event, .domainAlloc, task: task)
        operation.detail = event.pointee[.type].map { Int64(bitPattern: $0) }
        enter(nil, cpu: cpu, task: task)
        if pointer != 0 {
            operation.domain = domainTable.allocate(pointer, line: operation.line)
            domainTable[operation.domain].allocated = event.pointee.time
            learn(operation.domain, type: event.pointee[.type], cookie: nil)
            // Since 6.13 allocations go through functions of other names; the test went in 6.16.
            domainTable[operation.domain].wouldHaveBeenTested =
                !names.text(event.pointee.location).contains("_domain_alloc_paging")
                && !names.text(event.pointee.location).contains("paging_domain_alloc")
            let caller = names.text(event.pointee.caller)
            switch UnmapCaller(caller) {
            case .type1?: domainTable[operation.domain].learn(owner: .type1, .recorded)
            case .iommufd?: domainTable[operation.domain].learn(owner: .iommufd, .recorded)
            default:
                // Only owners that map by themselves call these; the kernel's own paths use inner functions.
                if caller == "iommu_domain_alloc" || caller.hasPrefix("iommu_paging_domain_alloc") {
                    domainTable[operation.domain].learn(.unmanaged, .inferred)
                }
            }
        }
        order.append(operation)
        return true
    }

    mutating func domainFree(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) -> Bool {
        guard let pointer = event.pointee[.domain] else { return false }
        enter(nil, cpu: cpu, task: task)
        var operation = operation(event, .domainFree, task: task)
        operation.domain = domainTable.number(of: pointer)
        domainTable.free(operation.domain, at: operation.time, line: operation.line)
        order.append(operation)
        return true
    }

    /// What an attach or an allocation says of a domain.
    ///
    /// - Parameters:
    ///   - type: `iommu_domain.type`.
    ///   - cookie: `iommu_domain.cookie_type` (6.16 and later): 5 is iommufd's.
    private mutating func learn(_ domain: Int32, type: UInt64?, cookie: UInt64?) {
        if let type { domainTable[domain].learn(Domain.Kind(type: type), .recorded) }
        if cookie == 5 { domainTable[domain].learn(owner: .iommufd, .recorded) }
    }
}
