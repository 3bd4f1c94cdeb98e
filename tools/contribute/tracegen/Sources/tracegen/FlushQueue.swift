/// The flush queue of one lazy domain, with the counters and rules of `drivers/iommu/dma-iommu.c` (6.1): one ring per
/// CPU, an entry leaves its ring once a flush that began after it was queued has ended.
struct FlushQueue {
    private struct Entry {
        var iova: UInt64 = 0
        var sizeClass = 0
        var counter: UInt64 = 0
    }

    private struct Ring {
        var entries: [Entry] = []
        var head = 0
        var count = 0
    }

    /// `IOVA_FQ_SIZE`; one entry stays empty.
    private static let size = 256
    private static let usable = size - 1
    /// One tick at HZ=250.
    private static let tick: Time = 4_000_000
    private static let timeout: Time = 10_000_000

    private var rings: [Ring]
    private var started: UInt64 = 0
    private var finished: UInt64 = 0
    private(set) var timerIsOn = false

    init(processors: Int) {
        rings = Array(repeating: Ring(), count: processors)
    }

    mutating func flushBegan() { started += 1 }
    mutating func flushEnded() { finished += 1 }
    mutating func timerFired() { timerIsOn = false }

    func isFull(_ processor: Int) -> Bool { rings[processor].count == Self.usable }

    /// `fq_ring_free`: gives back what is covered, oldest first.
    mutating func release(_ processor: Int, to pool: inout AddressPool) {
        while rings[processor].count > 0 {
            let entry = rings[processor].entries[rings[processor].head]
            guard entry.counter < finished else { return }
            pool.give(entry.sizeClass, entry.iova)
            rings[processor].head = (rings[processor].head + 1) & (Self.size - 1)
            rings[processor].count -= 1
        }
    }

    /// `fq_ring_free` on every ring, as the timer does.
    mutating func releaseAll(to pool: inout AddressPool) {
        for processor in rings.indices { release(processor, to: &pool) }
    }

    /// `queue_iova` with room in the ring. Returns when the timer will fire if this entry arms it.
    mutating func append(_ processor: Int, iova: UInt64, sizeClass: Int, at time: Time) -> Time? {
        if rings[processor].entries.isEmpty {
            rings[processor].entries = Array(repeating: Entry(), count: Self.size)
        }
        let place = (rings[processor].head + rings[processor].count) & (Self.size - 1)
        rings[processor].entries[place] = Entry(iova: iova, sizeClass: sizeClass, counter: started)
        rings[processor].count += 1
        guard !timerIsOn else { return nil }
        timerIsOn = true
        // The first level of the timer wheel: 3 ticks of 4 ms hold 10 ms, and it rounds up by one more.
        return (time / Self.tick + (Self.timeout + Self.tick - 1) / Self.tick + 1) * Self.tick
    }
}
