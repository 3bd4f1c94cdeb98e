import TraceFormats

// Calls that are known by other events than those of the IOMMU's core: the old Intel driver's own DMA API, which names
// devices, and the messages of the kernel log; and what devices do by themselves.
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
        enter(nil, cpu: cpu, task: task)
        var operation = operation(event, .map, task: task)
        operation.iova = pages.iova
        operation.size = pages.size
        operation.result = pages.size
        operation.paddr = event.pointee[.paddr].map { $0 & ~Self.pageMask }
        operation.device = names.device(device)
        operation.domain = domainTable.number(of: nil, ofDevice: operation.device, names)
        domainTable[operation.domain].learn(.dma, .inferred)
        chain.map(at: pages.iova, cpu: cpu, task: task, isNew: true)
        order.append(operation)
    }

    mutating func deviceUnmap(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        guard let pages = pages(of: event) else { return }
        let device = names.device(event.pointee.symbol(.device))
        let domain = domainTable.number(of: nil, ofDevice: device, names)
        // unmap_sg and bounce_unmap_single follow the unmap_single of the function that they call.
        let isSingle = event.pointee.name == EventName.unmapSingle.symbol
        let last = pages.iova &+ (max(pages.size, 1) - 1)
        if !isSingle, let former = chain.lastUnmap(onCPU: cpu), former.domain == domain, former.start == pages.iova,
            former.last == last
        {
            chain.forgetLastUnmap(onCPU: cpu)
            return
        }
        enter(nil, cpu: cpu, task: task)
        var operation = operation(event, .unmap, task: task)
        operation.iova = pages.iova
        operation.size = pages.size
        operation.result = pages.size
        operation.device = device
        operation.domain = domain
        domainTable[domain].learn(.dma, .inferred)
        noteUnmap(&operation, iova: pages.iova, size: pages.size, cpu: cpu)
        order.append(operation)
    }

    /// `unmap this`, at the entry of `__iommu_unmap`: what it has removed is told piece by piece in the lines below.
    mutating func unmapMessage(_ event: UnsafePointer<TraceEvent>, cpu: Int, task: Int32) {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size] else { return }
        enter(nil, cpu: cpu, task: task)
        var operation = operation(event, .unmap, task: task)
        operation.iova = iova
        operation.size = size
        operation.result = 0
        operation.domain = domainTable.number(of: nil)
        noteUnmap(&operation, iova: iova, size: size, cpu: cpu)
        calls.enterMessage(operation, iova: iova, size: size, onCPU: cpu, &order)
    }

    // MARK: - Beside the API

    mutating func changeGroup(_ event: UnsafePointer<TraceEvent>, _ kind: Operation.Kind, task: Int32) {
        var operation = operation(event, kind, task: task)
        operation.device = names.device(event.pointee.symbol(.device))
        operation.detail = event.pointee[.group].map { Int64(bitPattern: $0) }
        order.append(operation)
    }

    mutating func fault(_ event: UnsafePointer<TraceEvent>, task: Int32) {
        var operation = operation(event, .ioPageFault, task: task)
        operation.device = names.device(event.pointee.symbol(.device))
        operation.domain = domainTable.attachments.domain(of: operation.device)
        operation.iova = event.pointee[.iova]
        operation.detail = event.pointee[.flags].map { Int64(bitPattern: $0) }
        order.append(operation)
    }

    /// Devices work beside the CPU whose line it is: nothing of that CPU's ends here.
    mutating func access(_ event: UnsafePointer<TraceEvent>, task: Int32) {
        var operation = operation(event, .access, task: task)
        operation.device = names.device(event.pointee.symbol(.device))
        if let pointer = event.pointee[.domain] { operation.domain = domainTable.number(of: pointer) }
        operation.iova = event.pointee[.iova]
        operation.paddr = event.pointee[.paddr]
        operation.detail = event.pointee[.hardwareDomain].map { Int64(bitPattern: $0) }
        order.append(operation)
    }

    mutating func marker(_ event: UnsafePointer<TraceEvent>, texts: [String], cpu: Int, task: Int32) {
        chain.mark(cpu: cpu)
        let text = event.pointee[.text].map { Int(truncatingIfNeeded: $0) } ?? -1
        if texts.indices.contains(text) { order.append(markerText: texts[text]) }
        order.append(operation(event, .marker, task: task))
    }

    /// The DMA API mapped or unmapped for a device.
    mutating func noteDevice(_ event: UnsafePointer<TraceEvent>, isMap: Bool, isList: Bool, task: Int32) {
        guard domainTable.areOpen else { return }
        let device = names.device(event.pointee.symbol(.device))
        guard device > 0 else { return }
        let address = isList ? nil : event.pointee[.iova]
        queue.add(
            Clue(
                kind: isMap ? .mapped(device: device, address: address) : .unmapped(device: device, address: address),
                line: event.pointee.line, time: event.pointee.time, cpu: event.pointee.cpu, task: task))
    }
}
