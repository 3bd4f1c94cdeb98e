import TraceFormats

// Calls that are known by other events than those of the IOMMU's core: the old Intel driver's own DMA API, which names
// devices, and the messages of the kernel log.
extension OperationBuilder {
    private static let pageMask: UInt64 = 4095

    /// Addresses and sizes are those of the buffer; the driver maps the pages that it touches (`aligned_nrpages` in
    /// intel-iommu.c).
    private func pages(of event: UnsafePointer<TraceEvent>) -> (iova: UInt64, size: UInt64)? {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return nil }
        let start = iova & ~Self.pageMask
        // Checked where the event was read: below 2^57, and not beyond 2^64.
        return (start, (size &+ (iova & Self.pageMask) &+ Self.pageMask) & ~Self.pageMask)
    }

    mutating func deviceMap(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        // A vendor's map_sg is a map like any other.
        guard event.pointee[.domain] == nil, let device = event.pointee.symbol(.device), let pages = pages(of: event)
        else { return mapped(event, cpu: cpu, task: task) }
        enterContext(nil, cpu: cpu, task: task)
        var operation = operation(event, .map, task: task)
        operation.iova = pages.iova
        operation.size = pages.size
        operation.result = pages.size
        operation.paddr = event.pointee[.paddr].map { $0 & ~Self.pageMask }
        operation.device = self.device(device)
        operation.domain = domain(nil, ofDevice: operation.device)
        domains[Int(operation.domain) - 1].learn(.dma, .inferred)
        cpus[cpu].lastMapped = (task, pages.iova)
        mapsSeen += 1
        append(operation)
    }

    mutating func deviceUnmap(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        guard let pages = pages(of: event) else { return }
        let device = device(event.pointee.symbol(.device))
        let domain = domain(nil, ofDevice: device)
        // unmap_sg and bounce_unmap_single follow the unmap_single of the function that they call.
        let isSingle = event.pointee.name == EventName.unmapSingle.symbol
        let last = pages.iova &+ (max(pages.size, 1) - 1)
        if !isSingle, let former = cpus[cpu].lastUnmap, former == (domain, pages.iova, last) {
            cpus[cpu].lastUnmap = nil
            return
        }
        enterContext(nil, cpu: cpu, task: task)
        var operation = operation(event, .unmap, task: task)
        operation.iova = pages.iova
        operation.size = pages.size
        operation.result = pages.size
        operation.device = device
        operation.domain = domain
        domains[Int(domain) - 1].learn(.dma, .inferred)
        noteUnmap(&operation, iova: pages.iova, size: pages.size, cpu: cpu)
        append(operation)
    }

    // MARK: - Kernel log

    /// `unmap this`, at the entry of `__iommu_unmap`: what it has removed is told piece by piece in the lines below.
    mutating func unmapMessage(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return }
        closeMessages(onCPU: cpu)
        enterContext(nil, cpu: cpu, task: task)
        var operation = operation(event, .unmap, task: task)
        operation.iova = iova
        operation.size = size
        operation.result = 0
        operation.domain = domain(nil)
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        cpus[cpu].message = MessageCall(slot: pending.end, next: iova, left: size)
        append(operation, isOpen: true)
    }

    /// `unmapped`: one page-table callback of the unmap above it.
    mutating func unmappedMessage(_ event: UnsafePointer<TraceEvent>, cpu: Int) -> Bool {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size], var call = cpus[cpu].message,
            call.next == iova
        else { return false }
        call.next = iova &+ size
        // Each is below 2^57, but there may be any number of them.
        call.removed = min(call.removed &+ size, 1 << 57)
        call.left = call.left > size ? call.left - size : 0
        cpus[cpu].message = call
        if call.left == 0 { closeMessages(onCPU: cpu) }
        return true
    }

    /// Whatever is no piece of the unmap that is going on ends it.
    mutating func endMessages(onCPU cpu: Int, before meaning: EventMeaning) {
        switch meaning {
        case .unmappedMessage, .repeated: break
        default: closeMessages(onCPU: cpu)
        }
    }

    /// Nothing more is to come of the unmap that is going on.
    mutating func closeMessages(onCPU cpu: Int) {
        guard let call = cpus[cpu].message else { return }
        cpus[cpu].message = nil
        pending.close(call.slot) { $0.result = call.removed }
    }
}
