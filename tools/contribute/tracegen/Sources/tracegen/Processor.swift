/// One CPU of `DMAWorkload`: what it prints next, and when.
final class Processor {
    enum Step {
        /// Nothing under way: chooses an operation.
        case choose
        // One unmap, in the order of its lines.
        case unmapped, sync, hardwareFlush, submit
        // One flush of the whole domain: a full ring or the timer.
        case queueFlush, flushAll, hardwareFlushAll, submitAll
    }

    let number: Int
    let cast: Actor.Cast
    var pacer: Pacer
    var step = Step.choose
    /// When it prints its next line.
    var next: Time
    /// Between two bursts; the next operation begins one.
    var isPausing = true

    // One burst: who works for which domain.
    var actor: Actor
    var needsReschedule = false
    var domain: DMADomain
    var protection: UInt64 = 6

    /// Runs of maps and runs of unmaps take turns.
    var runMaps = true
    var runLeft: UInt64 = 0
    /// What the unmap under way unmaps.
    var unmapping = DMADomain.Mapping()

    /// Domains whose timer is due here: one softirq after the other, never inside an operation.
    var dueTimers: [DMADomain] = []
    /// While a timer's flush is under way, the domain that it flushes.
    var timerDomain: DMADomain?
    /// When the work goes on that the timers interrupted.
    var resume: Time = 0

    init(_ number: Int, _ domain: DMADomain, _ pacer: Pacer, firstOperation: Time) {
        self.number = number
        self.domain = domain
        self.pacer = pacer
        cast = Actor.Cast(processor: number)
        actor = cast.disk
        next = firstOperation
    }

    /// The domain that the flush under way flushes.
    var flushed: DMADomain { timerDomain ?? domain }

    /// A timer runs as a softirq on top of the task; a full ring flushes in the context of the unmap that met it.
    var flushing: Context { timerDomain == nil ? actor.unmapping : actor.timer }

    func head(_ flags: StaticString) -> Head {
        Head(actor.task, flags, needsReschedule: needsReschedule)
    }
}

/// One DMA domain: its live mappings in a ring, oldest first, its IOVAs and its flush queue.
final class DMADomain {
    struct Mapping {
        var iova: UInt64 = 0
        var page: UInt64 = 0
        var sizeClass = 0
    }

    /// The kernel's address of `struct iommu_domain`.
    let pointer: UInt64
    /// The kernel's address of `struct iommu_dma_cookie`.
    let cookie: UInt64
    let did: UInt64
    var iovas: AddressPool
    var queue: FlushQueue
    var timerDue = Time.max
    /// The CPU that armed the timer.
    var timerProcessor = 0

    private var live: [Mapping]
    private var head = 0
    private(set) var liveCount = 0

    /// `capacity`: the most mappings that can ever be live.
    init(_ index: Int, slab: UInt64, _ options: Options, capacity: Int) {
        pointer = slab + UInt64(index) * 0x300 + 0xf50
        cookie = slab + 0x80_0000 + UInt64(index) * 0x200
        did = 4 + UInt64(index)
        iovas = AddressPool(options.sizes, reuse: options.reuse, .downward)
        queue = FlushQueue(processors: options.processors)
        live = Array(repeating: Mapping(), count: 1 << (Int.bitWidth - capacity.leadingZeroBitCount))
    }

    func insert(_ mapping: Mapping) {
        live[(head + liveCount) & (live.count - 1)] = mapping
        liveCount += 1
    }

    /// Takes out one of the 16 oldest: completions come a little out of order, as from a queue of that depth.
    func remove(_ random: inout RandomSource) -> Mapping {
        let chosen = (head + Int(random.below(UInt64(min(16, liveCount))))) & (live.count - 1)
        live.swapAt(head, chosen)
        let mapping = live[head]
        head = (head + 1) & (live.count - 1)
        liveCount -= 1
        return mapping
    }
}
