/// Device drivers on DMA domains: the four `events-*` and `probes-*` shapes.
///
/// Every CPU is a small state machine that prints one line at a time; the one whose next line is earliest goes next, so
/// calls of several CPUs interleave in the file as they do in a recording, and times never decrease.
final class DMAWorkload {
    private let options: Options
    private let trace: TraceWriter
    private var random: RandomSource
    private let sizes: SizePicker
    private let probes: Bool
    private let lazy: Bool
    private var processors: [Processor] = []
    private var domains: [DMADomain] = []
    /// Page frames of the whole machine: what one domain freed another may map while its IOTLB entry is still there.
    private var pages: AddressPool
    private var nextTimer = Time.max
    /// Lines that could still be needed if every CPU began its longest operation and every timer fired.
    private let reserve: UInt64
    /// No more than the reserve is left: what is under way ends, nothing new begins.
    private var isEnding = false

    init(_ options: Options, _ trace: TraceWriter, _ random: RandomSource) {
        self.options = options
        self.trace = trace
        self.random = random
        sizes = SizePicker(options.sizes)
        probes = options.shape.hasProbes
        lazy = options.shape.isLazy
        pages = AddressPool(options.sizes, reuse: 8, .upward(spacing: 1))
        let longest: UInt64 = probes ? (lazy ? 6 : 5) : 2
        let timer: UInt64 = lazy ? (probes ? 5 : 1) : 0
        reserve = UInt64(options.processors) * longest + UInt64(options.domains) * timer

        // Slab addresses: canonical, and apart from each other.
        let slab = 0xff11_0000_0000_0000 | self.random.below(1 << 24) << 24
        for index in 0..<options.domains {
            domains.append(DMADomain(index, slab: slab, options, capacity: options.workingSet + Int(reserve)))
        }
    }

    /// Writes lines until only the closing marker is left.
    func run(from start: Time) {
        // A map and an unmap together print twice as many lines as one of them on average.
        let halfLines: UInt64 = probes ? (lazy ? 3 : 6) : (lazy ? 2 : 3)
        let pacer = Pacer(options, workers: options.processors, halfLinesPerOperation: halfLines, start: start)
        for number in 0..<options.processors {
            let stagger = random.below(min(.second, options.burst * .second / options.rate) + 1)
            processors.append(Processor(number, domains[0], pacer, firstOperation: start + stagger))
        }
        while !(isEnding && nothingIsUnderWay) {
            let processor = earliestProcessor()
            if nextTimer <= processor.next {
                fireTimers(at: nextTimer)
            } else {
                advance(processor, at: processor.next)
            }
        }
        // The lines that are left over, all at the time of the last one: a timer that is due later has then rightly
        // not fired when the log ends.
        while trace.remaining > 0 {
            if processors[0].isPausing { beginBurst(processors[0]) }
            map(processors[0], at: max(trace.lastTime, start))
        }
    }

    // MARK: Schedule

    private var nothingIsUnderWay: Bool {
        processors.allSatisfy { $0.step == .choose && $0.dueTimers.isEmpty }
    }

    private func earliestProcessor() -> Processor {
        var best = processors[0]
        for processor in processors where processor.next < best.next { best = processor }
        return best
    }

    /// The tick: each due timer becomes a softirq of the CPU that armed it.
    private func fireTimers(at tick: Time) {
        nextTimer = .max
        for domain in domains {
            if domain.timerDue <= tick {
                domain.timerDue = .max
                let processor = processors[domain.timerProcessor]
                processor.dueTimers.append(domain)
                if processor.step == .choose, processor.dueTimers.count == 1 { interrupt(processor, at: tick) }
            }
            nextTimer = min(nextTimer, domain.timerDue)
        }
    }

    /// Puts the next due timer in front of what this CPU has planned. Softirqs start a few microseconds after the tick.
    private func interrupt(_ processor: Processor, at time: Time) {
        processor.resume = max(processor.resume, processor.next)
        processor.next = time + 4 * .microsecond + random.below(16 * .microsecond)
    }

    private func proceed(_ processor: Processor, to step: Processor.Step, after time: Time) {
        processor.step = step
        processor.next = time + processor.pacer.step(&random)
    }

    /// Prints the next line of one CPU.
    private func advance(_ processor: Processor, at time: Time) {
        let domain = processor.domain
        switch processor.step {
        case .choose:
            if !processor.dueTimers.isEmpty {
                beginTimer(processor, at: time)
            } else if trace.remaining > reserve {
                beginOperation(processor, at: time)
            } else {
                isEnding = true
                processor.next = .max
            }
        case .unmapped:
            let head = processor.head(processor.actor.unmapping.unmapped)
            trace.unmapped(head, time, iova: processor.unmapping.iova, size: size(processor.unmapping))
            tableCleared(processor, at: time)
        case .sync:
            let (iova, size) = (processor.unmapping.iova, size(processor.unmapping))
            let head = processor.head(processor.actor.unmapping.probe)
            trace.sync(head, time, domain: domain.pointer, start: iova, end: iova + size - 1, pageSize: size)
            proceed(processor, to: .hardwareFlush, after: time)
        case .hardwareFlush:
            let head = processor.head(processor.actor.unmapping.probe)
            trace.hardwareFlush(head, time, did: domain.did, invalidation(processor.unmapping))
            proceed(processor, to: .submit, after: time)
        case .submit:
            let head = processor.head(processor.actor.unmapping.submit)
            trace.submit(head, time, did: domain.did, invalidation(processor.unmapping))
            domain.iovas.give(processor.unmapping.sizeClass, processor.unmapping.iova)
            endOperation(processor, at: time)
        case .queueFlush:
            trace.queueFlush(processor.head(processor.flushing.probe), time, cookie: processor.flushed.cookie)
            processor.flushed.queue.flushBegan()
            proceed(processor, to: .flushAll, after: time)
        case .flushAll:
            trace.flushAll(processor.head(processor.flushing.probe), time, domain: processor.flushed.pointer)
            proceed(processor, to: .hardwareFlushAll, after: time)
        case .hardwareFlushAll:
            trace.hardwareFlush(processor.head(processor.flushing.probe), time, did: processor.flushed.did, .domain)
            proceed(processor, to: .submitAll, after: time)
        case .submitAll:
            submitAll(processor, at: time)
        }
    }

    // MARK: Operations

    private func beginBurst(_ processor: Processor) {
        processor.isPausing = false
        processor.pacer.beginBurst(options, &random)
        processor.actor = processor.cast.pick(&random)
        processor.needsReschedule = random.below(8) == 0
        processor.protection = random.below(4) == 0 ? 5 : 6
        processor.domain = domains[Int(random.below(UInt64(domains.count)))]
    }

    private func beginOperation(_ processor: Processor, at time: Time) {
        if processor.isPausing { beginBurst(processor) }
        if processor.runLeft == 0 {
            processor.runMaps.toggle()
            processor.runLeft = random.around(8)
        }
        // The number of live mappings wanders a little below the working set.
        let count = processor.domain.liveCount
        if count >= options.workingSet {
            processor.runMaps = false
        } else if count <= options.workingSet - min(options.workingSet, 64) {
            processor.runMaps = true
        }
        processor.runLeft -= 1

        if processor.runMaps {
            map(processor, at: time)
            endOperation(processor, at: time)
        } else {
            beginUnmap(processor, at: time)
        }
    }

    private func map(_ processor: Processor, at time: Time) {
        let domain = processor.domain
        let sizeClass = sizes.pick(&random)
        let mapping = DMADomain.Mapping(
            iova: domain.iovas.take(sizeClass), page: pages.take(sizeClass), sizeClass: sizeClass)
        domain.insert(mapping)
        if probes {
            trace.map(
                processor.head(processor.actor.mapping.probe), time, domain: domain.pointer, iova: mapping.iova,
                page: mapping.page, size: size(mapping), protection: processor.protection)
        } else {
            trace.mapEvent(
                processor.head(processor.actor.mapping.mapEvent), time, iova: mapping.iova, page: mapping.page,
                size: size(mapping))
        }
    }

    private func beginUnmap(_ processor: Processor, at time: Time) {
        let domain = processor.domain
        let mapping = domain.remove(&random)
        processor.unmapping = mapping
        if probes {
            let head = processor.head(processor.actor.unmapping.probe)
            trace.unmapFast(
                head, time, domain: domain.pointer, iova: mapping.iova, size: size(mapping), queued: lazy)
            proceed(processor, to: .unmapped, after: time)
        } else {
            let head = processor.head(processor.actor.unmapping.unmapEvent)
            trace.unmapEvent(head, time, iova: mapping.iova, size: size(mapping))
            tableCleared(processor, at: time)
        }
    }

    /// The entries are gone from the page table: flush now, or queue the IOVA. The driver has its page back either way;
    /// that a lazy domain does not protect it is the exposure that iommu-trace measures.
    private func tableCleared(_ processor: Processor, at time: Time) {
        pages.give(processor.unmapping.sizeClass, processor.unmapping.page)
        guard lazy else {
            proceed(processor, to: probes ? .sync : .submit, after: time)
            return
        }
        processor.domain.queue.release(processor.number, to: &processor.domain.iovas)
        if processor.domain.queue.isFull(processor.number) {
            proceed(processor, to: probes ? .queueFlush : .submitAll, after: time)
        } else {
            enqueue(processor, at: time)
        }
    }

    /// `queue_iova` from where the ring has room.
    private func enqueue(_ processor: Processor, at time: Time) {
        let domain = processor.domain
        let (iova, sizeClass) = (processor.unmapping.iova, processor.unmapping.sizeClass)
        if let due = domain.queue.append(processor.number, iova: iova, sizeClass: sizeClass, at: time) {
            domain.timerDue = due
            domain.timerProcessor = processor.number
            nextTimer = min(nextTimer, due)
        }
        endOperation(processor, at: time)
    }

    private func endOperation(_ processor: Processor, at time: Time) {
        proceed(processor, to: .choose, after: time)
        if processor.pacer.operationEnded() {
            processor.isPausing = true
            processor.next = max(processor.next, processor.pacer.target)
        }
        if !processor.dueTimers.isEmpty { interrupt(processor, at: time) }
    }

    // MARK: Flushes of a whole domain

    private func beginTimer(_ processor: Processor, at time: Time) {
        let domain = processor.dueTimers.removeFirst()
        processor.timerDomain = domain
        if processor.isPausing {
            processor.actor = processor.cast.idle
            processor.needsReschedule = false
        }
        domain.queue.timerFired()
        if probes {
            // The timer sits in the cookie, behind the queue's counters.
            trace.queueTimeout(processor.head(processor.flushing.probe), time, timer: domain.cookie + 0xa0)
            proceed(processor, to: .queueFlush, after: time)
        } else {
            submitAll(processor, at: time)
        }
    }

    private func submitAll(_ processor: Processor, at time: Time) {
        let domain = processor.flushed
        trace.submit(processor.head(processor.flushing.submit), time, did: domain.did, .domain)
        // The tracepoints show nothing of a flush but this line: it begins and ends here.
        if !probes { domain.queue.flushBegan() }
        domain.queue.flushEnded()
        guard processor.timerDomain != nil else {
            domain.queue.release(processor.number, to: &domain.iovas)
            enqueue(processor, at: time)
            return
        }
        domain.queue.releaseAll(to: &domain.iovas)
        processor.timerDomain = nil
        proceed(processor, to: .choose, after: time)
        if processor.dueTimers.isEmpty {
            processor.next = max(processor.next, processor.resume)
            processor.resume = 0
        }
    }

    // MARK: Sizes

    private func size(_ mapping: DMADomain.Mapping) -> UInt64 {
        options.sizes[mapping.sizeClass].bytes
    }

    private func invalidation(_ mapping: DMADomain.Mapping) -> Invalidation {
        Invalidation(start: mapping.iova, end: mapping.iova + size(mapping) - 1)
    }
}
