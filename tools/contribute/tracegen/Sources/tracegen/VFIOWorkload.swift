/// Containers that open, map much, unmap all and close, as `vfio_iommu_type1` does: the `vfio` shape.
final class VFIOWorkload {
    private struct Mapping {
        let iova: UInt64
        let size: UInt64
        let page: UInt64
        let sizeClass: Int
    }

    /// The ranges that one sync will cover: `struct iommu_iotlb_gather`.
    private struct Gather {
        var start: UInt64
        /// The last byte.
        var end: UInt64
        /// Bytes of each driver callback, what the event shows as `pgsize`: only equal ones gather.
        var callback: UInt64
    }

    /// A line that is decided but not yet printed.
    private enum Pending {
        case phase(StaticString)
        case alloc
        case attach(UInt64)
        case context
        case flushDomain
        case submitDomain
        case free
        case map(Mapping, protection: UInt64)
        case unmap(iova: UInt64, size: UInt64)
        case unmapFast(Mapping)
        case unmapped(iova: UInt64, size: UInt64)
        case sync(Gather)
        case hardwareFlush(Gather)
        /// `unpin`: VFIO gives the pages of the first so many mappings back after this flush, and not before.
        case submit(Gather, unpin: Int)
    }

    private enum Phase {
        case opening
        case mapping
        case unmapping
        case closing
    }

    /// One process with one container at a time, on one CPU.
    private final class Owner {
        let processor: Int
        let task: TaskPrefix
        var pacer: Pacer
        var next: Time
        var phase = Phase.opening
        /// The device of the container: `--domains` devices take turns over the owners.
        var device: Int
        var domain: UInt64 = 0
        var mappings: [Mapping] = []
        var nextIOVA: UInt64 = 0
        /// Mappings unmapped, and unmapped and flushed.
        var unmapped = 0
        var unpinned = 0
        var gather: Gather?
        var pending: [Pending] = []
        var printed = 0
        var isPausing = true

        init(processor: Int, pid: Int, pacer: Pacer, next: Time) {
            self.processor = processor
            task = TaskPrefix(command: VFIOWorkload.command, pid: pid, processor: processor)
            self.pacer = pacer
            self.next = next
            device = processor
        }

        /// Lines that are decided but not yet printed.
        var left: Int { pending.count - printed }
    }

    /// `VFIO_IOMMU_TLB_SYNC_MAX`
    private static let syncEach = 512
    private static let firstIOVA: UInt64 = 0x1000_0000
    private static let command = "vfio_teardown"

    private let options: Options
    private let trace: TraceWriter
    private var random: RandomSource
    private let sizes: SizePicker
    private var pages: AddressPool
    private var owners: [Owner] = []
    /// Freed domain pointers; the next container gets one of the last two, as from a slab.
    private var slab: [UInt64]
    private let blockingDomain: UInt64
    private let defaultDomains: [UInt64]
    private var lastPID = 727

    init(_ options: Options, _ trace: TraceWriter, _ random: RandomSource) {
        self.options = options
        self.trace = trace
        self.random = random
        sizes = SizePicker(options.sizes)
        // Every other slot: VFIO would make one mapping of two that lie side by side in memory.
        pages = AddressPool(options.sizes, reuse: options.reuse, .upward(spacing: 2))
        let base = 0xff11_0000_0000_0000 | self.random.below(1 << 24) << 24
        blockingDomain = base + 0xdd0
        defaultDomains = (0..<UInt64(options.domains)).map { base + 0x40_0000 + $0 * 0x300 + 0xa10 }
        slab = (0..<UInt64(options.processors) + 2).map { base + 0x80_0000 + $0 * 0x300 + 0x890 }
    }

    /// Writes lines until only the closing marker is left.
    func run(from start: Time) {
        let count = min(options.processors, options.domains)
        let pacer = Pacer(options, workers: count, halfLinesPerOperation: 3, start: start)
        for index in 0..<count {
            let next = start + random.below(100 * .microsecond)
            owners.append(Owner(processor: index, pid: newPID(), pacer: pacer, next: next))
        }
        while true {
            let owner = earliestOwner()
            if owner.left == 0 {
                plan(owner)
                guard hasRoom else {
                    owner.pending.removeAll()
                    break
                }
            }
            printNext(owner)
        }
        // What the others have under way, then markers for the lines that are left over.
        for owner in owners {
            while owner.left > 0 {
                owner.next = max(owner.next, trace.lastTime)
                printNext(owner)
            }
        }
        while trace.remaining > 0 {
            trace.marker(Head(owners[0].task, "....."), max(trace.lastTime, start), "LAB_PHASE cut")
        }
    }

    private func earliestOwner() -> Owner {
        var best = owners[0]
        for owner in owners where owner.next < best.next { best = owner }
        return best
    }

    /// Whether all that is decided still fits into the log. Counting is for the very end: no operation has 32 lines.
    private var hasRoom: Bool {
        trace.remaining >= UInt64(owners.count) * 32
            || trace.remaining >= UInt64(owners.reduce(0) { $0 + $1.left })
    }

    /// Process ids count up and start again, as with the kernel's default `pid_max`.
    private func newPID() -> Int {
        lastPID = lastPID == 32_767 ? 300 : lastPID + 1
        return lastPID
    }

    // MARK: Decide

    /// Decides the lines of the next operation.
    private func plan(_ owner: Owner) {
        owner.pending.removeAll(keepingCapacity: true)
        owner.printed = 0
        if owner.isPausing {
            owner.isPausing = false
            owner.pacer.beginBurst(options, &random)
        }
        switch owner.phase {
        case .opening: planOpening(owner)
        case .mapping: planMap(owner)
        case .unmapping: planUnmap(owner)
        case .closing: planClosing(owner)
        }
    }

    private func attach(_ owner: Owner, _ domain: UInt64) {
        owner.pending += [.attach(domain), .context, .flushDomain, .submitDomain]
    }

    private func flush(_ owner: Owner, _ gather: Gather, unpin: Int) {
        owner.pending += [.sync(gather), .hardwareFlush(gather), .submit(gather, unpin: unpin)]
    }

    /// The device leaves its default domain, a new one is allocated and attached, and VFIO tries whether the IOMMU can
    /// unmap half of two pages (`vfio_test_domain_fgsp`).
    private func planOpening(_ owner: Owner) {
        let choice = slab.count - 1 - Int(random.below(UInt64(min(2, slab.count))))
        owner.domain = slab.remove(at: choice)
        owner.mappings.removeAll(keepingCapacity: true)
        owner.nextIOVA = Self.firstIOVA
        owner.unmapped = 0
        owner.unpinned = 0
        owner.pending.append(.phase("setup"))
        attach(owner, blockingDomain)
        owner.pending.append(.alloc)
        attach(owner, owner.domain)
        // These two pages are VFIO's own; no pool hands out addresses below 4 GiB.
        let test = Mapping(iova: 0, size: 8192, page: 0x105e_0000, sizeClass: 0)
        owner.pending.append(.map(test, protection: 7))
        for page: UInt64 in [0, 4096] {
            owner.pending += [.unmap(iova: page, size: 4096), .unmapped(iova: page, size: 4096)]
            flush(owner, Gather(start: page, end: page + 4095, callback: 4096), unpin: 0)
        }
        owner.pending.append(.phase("map"))
        owner.phase = .mapping
    }

    private func planMap(_ owner: Owner) {
        let sizeClass = sizes.pick(&random)
        let size = options.sizes[sizeClass].bytes
        // Huge pages start on their own boundary; the hole before one ends a gather, as in a real address space.
        let granule: UInt64 = size < 2 << 20 ? 4096 : 2 << 20
        let iova = (owner.nextIOVA + granule - 1) & ~(granule - 1)
        let mapping = Mapping(iova: iova, size: size, page: pages.take(sizeClass), sizeClass: sizeClass)
        owner.nextIOVA = iova + size
        owner.mappings.append(mapping)
        owner.pending.append(.map(mapping, protection: 7))
        if owner.mappings.count == options.workingSet {
            owner.pending.append(.phase("unmap"))
            owner.phase = .unmapping
        }
    }

    /// The driver clears the table, then gathers: a range that does not fit behind the gathered ones flushes those
    /// between `unmap_fast` and `unmapped` (`iommu_iotlb_gather_add_page`).
    private func planUnmap(_ owner: Owner) {
        let mapping = owner.mappings[owner.unmapped]
        owner.pending.append(.unmapFast(mapping))
        if let gather = owner.gather {
            if gather.callback == mapping.size, gather.end + 1 == mapping.iova {
                owner.gather?.end = mapping.iova + mapping.size - 1
            } else {
                flush(owner, gather, unpin: 0)
                owner.gather = nil
            }
        }
        if owner.gather == nil {
            owner.gather = Gather(
                start: mapping.iova, end: mapping.iova + mapping.size - 1, callback: mapping.size)
        }
        owner.pending.append(.unmapped(iova: mapping.iova, size: mapping.size))
        owner.unmapped += 1

        let isLast = owner.unmapped == owner.mappings.count
        if isLast || owner.unmapped.isMultiple(of: Self.syncEach), let gather = owner.gather {
            flush(owner, gather, unpin: owner.unmapped)
            owner.gather = nil
        }
        if isLast { owner.phase = .closing }
    }

    private func planClosing(_ owner: Owner) {
        owner.pending.append(.phase("close"))
        attach(owner, blockingDomain)
        owner.pending.append(.free)
        attach(owner, defaultDomains[owner.device])
        owner.pending.append(.phase("closed"))
        owner.phase = .opening
    }

    // MARK: Print

    private func printNext(_ owner: Owner) {
        let time = owner.next
        let line = owner.pending[owner.printed]
        owner.printed += 1
        print(line, owner, time)
        owner.next = time + owner.pacer.step(&random)
        if owner.printed == owner.pending.count { operationEnded(owner) }
    }

    private func operationEnded(_ owner: Owner) {
        if owner.pacer.operationEnded() {
            owner.isPausing = true
            owner.next = max(owner.next, owner.pacer.target)
        }
        if owner.phase == .opening {
            // A new process opens the next device of this CPU.
            owner.task.rewrite(command: Self.command, pid: newPID(), processor: owner.processor)
            let following = owner.device + owners.count
            owner.device = following < options.domains ? following : owner.processor
        }
    }

    private func print(_ line: Pending, _ owner: Owner, _ time: Time) {
        let domain = owner.domain
        let device = owner.device
        let did = 8 + UInt64(device)
        let process = Context.process
        let probe = Head(owner.task, process.probe)
        let submit = Head(owner.task, process.submit)
        switch line {
        case .phase(let name):
            trace.marker(Head(owner.task, "....."), time, "LAB_PHASE \(name)")
        case .alloc:
            trace.domainAlloc(Head(owner.task, "....."), time, domain: domain)
        case .attach(let target):
            trace.attach(probe, time, domain: target, device: Self.name(ofDevice: device))
        case .context:
            trace.submitContext(submit, time, did: did, source: Self.address(ofDevice: device))
        case .flushDomain:
            trace.hardwareFlush(probe, time, did: did, .domain)
        case .submitDomain:
            trace.submit(submit, time, did: did, .domain)
        case .free:
            trace.domainFree(probe, time, domain: domain)
            slab.append(domain)
        case .map(let mapping, let protection):
            trace.map(
                probe, time, domain: domain, iova: mapping.iova, page: mapping.page, size: mapping.size,
                protection: protection)
        case .unmap(let iova, let size):
            trace.unmap(probe, time, domain: domain, iova: iova, size: size)
        case .unmapFast(let mapping):
            trace.unmapFast(probe, time, domain: domain, iova: mapping.iova, size: mapping.size, queued: false)
        case .unmapped(let iova, let size):
            trace.unmapped(Head(owner.task, process.unmapped), time, iova: iova, size: size)
        case .sync(let gather):
            trace.sync(probe, time, domain: domain, start: gather.start, end: gather.end, pageSize: gather.callback)
        case .hardwareFlush(let gather):
            trace.hardwareFlush(probe, time, did: did, Invalidation(start: gather.start, end: gather.end))
        case .submit(let gather, let unpin):
            trace.submit(submit, time, did: did, Invalidation(start: gather.start, end: gather.end))
            while owner.unpinned < unpin {
                let mapping = owner.mappings[owner.unpinned]
                pages.give(mapping.sizeClass, mapping.page)
                owner.unpinned += 1
            }
        }
    }

    /// Bus, device and function number of a device, as a source id holds them: 00:07.0, 00:08.0, then further buses.
    private static func address(ofDevice index: Int) -> UInt64 {
        let bus = UInt64(index / 24)
        let slot = UInt64(index % 24 + 7)
        return bus << 8 | slot << 3
    }

    private static func name(ofDevice index: Int) -> String {
        func hex(_ value: UInt64) -> String { (value < 16 ? "0" : "") + String(value, radix: 16) }
        return "0000:\(hex(address(ofDevice: index) >> 8)):\(hex(address(ofDevice: index) >> 3 & 31)).0"
    }
}
