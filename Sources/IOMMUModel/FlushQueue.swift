/// The flush queue of one DMA domain: `queue_iova` and `fq_flush_timeout` of `drivers/iommu/dma-iommu.c`.
///
/// Freed IOVAs wait in a ring until a flush of the whole domain that started after they were queued has ended. A flush
/// comes when a ring is full or when the timer fires (model.md §2.4, design §4 8):
///
/// * a ring of N entries holds N - 1;
/// * a full ring flushes the domain, which also covers what waits in the rings of other CPUs;
/// * the first entry queued with no timer armed arms one, a ring-full flush does not cancel it, and it flushes when it
///   fires even if nothing is left to flush.
public struct FlushQueue: Sendable {
    /// The size of a flush queue.
    public struct Settings: Hashable, Sendable {
        /// Slots of one ring; one of them stays empty. At least 2.
        public let entries: Int64
        /// How long an entry may wait, in ns.
        public let timeout: Int64
        /// One ring per CPU (the kernel's default queue), or one for the domain (its single queue, 6.7 and later).
        public let ringPerCPU: Bool

        /// The settings of a flush queue; `nil` if a ring could hold nothing or the timeout is not positive.
        public init?(entries: Int64, timeout: Int64, ringPerCPU: Bool) {
            guard entries >= 2, timeout > 0 else { return nil }
            self.entries = entries
            self.timeout = timeout
            self.ringPerCPU = ringPerCPU
        }
    }

    /// Entries of one CPU's ring, as of flush number `asOf`: a later flush has emptied it, though nobody looked yet.
    /// The kernel pops covered entries just as lazily, when that CPU queues its next one.
    private struct Ring {
        var waiting: Int64 = 0
        var asOf: Int64 = 0
    }

    /// One for each CPU that queued something, in the order of their coming.
    private var rings: ContiguousArray<Ring> = []
    private var ringOfCPU: [Int32: Int] = [:]
    private var last: (cpu: Int32, ring: Int) = (-1, 0)
    private var flushCount: Int64 = 0
    private var queuedSinceFlush: Int64 = 0

    /// Whether the timer is armed.
    public private(set) var isTimerArmed = false

    /// An empty queue.
    public init() {}

    /// Entries that no flush has covered yet.
    public var waiting: Int64 { queuedSinceFlush }

    /// What queueing one entry brought about.
    public struct Queued: Hashable, Sendable {
        /// The ring was full: the domain was flushed first, covering this many entries of all rings.
        public let ringFullFlush: Int64?
        /// No timer was armed: one is now.
        public let armsTimer: Bool
    }

    /// Queues one freed IOVA, `queue_iova`.
    ///
    /// - Parameter cpu: the CPU that the unmap returns on, not negative.
    public mutating func queue(cpu: Int32, settings: Settings) -> Queued {
        let index = ring(of: settings.ringPerCPU ? max(cpu, 0) : 0)
        if rings[index].asOf != flushCount { rings[index] = Ring(waiting: 0, asOf: flushCount) }
        var covered: Int64?
        if rings[index].waiting >= settings.entries - 1 {
            covered = flush()
            rings[index] = Ring(waiting: 0, asOf: flushCount)
        }
        rings[index].waiting += 1
        queuedSinceFlush += 1
        let arms = !isTimerArmed
        isTimerArmed = true
        return Queued(ringFullFlush: covered, armsTimer: arms)
    }

    /// The timer fires, `fq_flush_timeout`.
    ///
    /// - Returns: how many entries the flush covered, possibly none.
    public mutating func timerFired() -> Int64 {
        isTimerArmed = false
        return flush()
    }

    /// The domain is freed: the timer is deleted and the queue discarded without a last flush (model.md §2.4 rule 8).
    ///
    /// - Returns: how many entries were discarded.
    public mutating func discard() -> Int64 {
        isTimerArmed = false
        return flush()
    }

    private mutating func ring(of cpu: Int32) -> Int {
        if last.cpu == cpu { return last.ring }
        let index = ringOfCPU[cpu] ?? rings.count
        if index == rings.count {
            rings.append(Ring())
            ringOfCPU[cpu] = index
        }
        last = (cpu, index)
        return index
    }

    private mutating func flush() -> Int64 {
        flushCount += 1
        defer { queuedSinceFlush = 0 }
        return queuedSinceFlush
    }
}
