import IOMMUModel
import TestSupport
import Testing

/// Model.md §2.4, design §4 8.
@Suite struct FlushQueueTests {
    private func settings(_ entries: Int64, perCPU: Bool = true) throws -> FlushQueue.Settings {
        try #require(FlushQueue.Settings(entries: entries, timeout: 10_000_000, ringPerCPU: perCPU))
    }

    @Test func aQueueMustHoldAndWaitForSomething() {
        #expect(FlushQueue.Settings(entries: 1, timeout: 1, ringPerCPU: true) == nil)
        #expect(FlushQueue.Settings(entries: .min, timeout: 1, ringPerCPU: true) == nil)
        #expect(FlushQueue.Settings(entries: 2, timeout: 0, ringPerCPU: true) == nil)
        #expect(FlushQueue.Settings(entries: 2, timeout: .min, ringPerCPU: true) == nil)
        #expect(FlushQueue.Settings(entries: 2, timeout: 1, ringPerCPU: true) != nil)
    }

    /// Of 256 entries 255 can be used (model.md §2.4).
    @Test func aRingOf256Holds255() throws {
        var queue = FlushQueue()
        let settings = try settings(256)
        for _ in 0..<255 { #expect(queue.queue(cpu: 0, settings: settings).ringFullFlush == nil) }
        #expect(queue.waiting == 255)
        #expect(queue.queue(cpu: 0, settings: settings).ringFullFlush == 255)
        #expect(queue.waiting == 1)
    }

    @Test func aFullRingFlushesWhatWaitsOnOtherCPUsToo() throws {
        var queue = FlushQueue()
        let settings = try settings(4)
        for cpu in [1, 1, 0, 0, 0] as [Int32] { _ = queue.queue(cpu: cpu, settings: settings) }
        #expect(queue.queue(cpu: 0, settings: settings).ringFullFlush == 5)
        // CPU 1 has three free slots again, though it was not the one that flushed.
        for _ in 0..<3 { #expect(queue.queue(cpu: 1, settings: settings).ringFullFlush == nil) }
        #expect(queue.queue(cpu: 1, settings: settings).ringFullFlush == 4)
    }

    @Test func aSingleQueueHasOneRing() throws {
        var queue = FlushQueue()
        let settings = try settings(4, perCPU: false)
        for cpu in 0..<3 { #expect(queue.queue(cpu: Int32(cpu), settings: settings).ringFullFlush == nil) }
        #expect(queue.queue(cpu: 3, settings: settings).ringFullFlush == 3)
    }

    /// Rule 3: not cancelled by a full ring, flushes even if nothing is left, armed again by the next entry only.
    @Test func theTimerIsArmedOnceAndFiresForNothing() throws {
        var queue = FlushQueue()
        let settings = try settings(2)
        #expect(!queue.isTimerArmed)
        #expect(queue.queue(cpu: 0, settings: settings).armsTimer)
        #expect(!queue.queue(cpu: 0, settings: settings).armsTimer)
        #expect(queue.isTimerArmed)
        #expect(queue.timerFired() == 1)
        #expect(!queue.isTimerArmed)
        #expect(queue.timerFired() == 0)
        #expect(queue.queue(cpu: 0, settings: settings).armsTimer)
    }

    /// Rule 8.
    @Test func freeingTheDomainDiscardsQueueAndTimer() throws {
        var queue = FlushQueue()
        let settings = try settings(8)
        for cpu in 0..<3 { _ = queue.queue(cpu: Int32(cpu), settings: settings) }
        #expect(queue.discard() == 3)
        #expect(queue.waiting == 0)
        #expect(!queue.isTimerArmed)
        #expect(queue.discard() == 0)
        #expect(queue.queue(cpu: 0, settings: settings).armsTimer)
    }

    /// A log may name any CPU: the queue must not keep a ring for each one below it.
    @Test func anyCPUNumberIsTaken() throws {
        var queue = FlushQueue()
        let settings = try settings(3)
        for cpu in [Int32.max, .min, -1, 0] {
            #expect(queue.queue(cpu: cpu, settings: settings).ringFullFlush == (cpu == 0 ? 3 : nil))
        }
        let vast = try #require(FlushQueue.Settings(entries: .max, timeout: .max, ringPerCPU: true))
        #expect(queue.queue(cpu: .max, settings: vast).ringFullFlush == nil)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var seed: UInt64
        var entries: Int64
        var perCPU: Bool
        var testDescription: String { "seed \(seed), \(entries) entries\(perCPU ? " per CPU" : "")" }
    }

    static let cases = seeds.flatMap { seed in
        [2, 3, 8, 256].flatMap { entries in
            [true, false].map { Case(seed: seed, entries: entries, perCPU: $0) }
        }
    }

    /// Model.md §9 items 21 and 23, against rings of entries with counters.
    @Test(arguments: cases) func agreesWithTheKernelsRings(test: Case) throws {
        var random = SeededGenerator(seed: test.seed)
        let settings = try settings(test.entries, perCPU: test.perCPU)
        var queue = FlushQueue()
        var twin = Twin(usable: Int(test.entries - 1), perCPU: test.perCPU)
        var (arms, fires, full) = (0, 0, 0)
        // Many entries for each firing, or a ring of 256 would never fill.
        let firing = UInt64(test.entries) * 6
        for turn in 0..<4000 {
            switch random.next() % firing {
            case 0 where twin.isTimerOn:
                #expect(queue.timerFired() == twin.timerFired())
                fires += 1
            case 1 where random.next() % 4 == 0:
                #expect(queue.discard() == twin.discard())
            default:
                let cpu = Int32(random.small(below: 5))
                let wasOn = twin.isTimerOn
                let queued = queue.queue(cpu: cpu, settings: settings)
                let flushed = twin.queue(cpu: cpu)
                #expect(queued.ringFullFlush == flushed)
                #expect(queued.armsTimer == !wasOn)
                if flushed != nil { full += 1 }
                if queued.armsTimer { arms += 1 }
            }
            #expect(queue.isTimerArmed == twin.isTimerOn)
            if turn % 16 == 0 { #expect(queue.waiting == twin.waiting) }
            #expect(twin.longestRing < Int(test.entries))
        }
        #expect(fires > 0 && full > 0)
        #expect(fires <= arms)
    }

    /// `struct iova_fq` with `fq_flush_start_cnt` and `fq_flush_finish_cnt`, each entry with its counter.
    private struct Twin {
        let usable: Int
        let perCPU: Bool
        var rings: [Int32: [UInt64]] = [:]
        var startCount: UInt64 = 0
        var finishCount: UInt64 = 0
        var isTimerOn = false

        init(usable: Int, perCPU: Bool) {
            self.usable = usable
            self.perCPU = perCPU
        }

        var waiting: Int64 { rings.values.reduce(0) { $0 + Int64($1.count { $0 >= finishCount }) } }
        var longestRing: Int { rings.values.map(\.count).max() ?? 0 }

        mutating func queue(cpu: Int32) -> Int64? {
            let ring = perCPU ? cpu : 0
            var covered: Int64?
            free(ring)
            if rings[ring, default: []].count == usable {
                covered = flush()
                free(ring)
            }
            rings[ring, default: []].append(startCount)
            isTimerOn = true
            return covered
        }

        mutating func timerFired() -> Int64 {
            isTimerOn = false
            defer { for ring in rings.keys { free(ring) } }
            return flush()
        }

        mutating func discard() -> Int64 {
            defer {
                rings = [:]
                isTimerOn = false
            }
            return waiting
        }

        private mutating func flush() -> Int64 {
            let covered = waiting
            startCount += 1
            finishCount += 1
            return covered
        }

        /// Pops what a finished flush has covered, from the head.
        private mutating func free(_ ring: Int32) {
            while let first = rings[ring]?.first, first < finishCount { rings[ring]?.removeFirst() }
        }
    }
}
