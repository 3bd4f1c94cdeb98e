import IOMMUModel
import TestSupport
import Testing

/// Model.md §2.4 rule 4.
@Suite struct TimerWheelTests {
    private static let millisecond: Int64 = 1_000_000

    @Test func acceptsSensibleTickRatesOnly() {
        #expect(TimerWheel(hz: 0) == nil)
        #expect(TimerWheel(hz: -1) == nil)
        #expect(TimerWheel(hz: .max) == nil)
        #expect(TimerWheel(hz: 10_001) == nil)
        #expect(TimerWheel(hz: 1)?.hz == 1)
        #expect(TimerWheel(hz: 10_000)?.hz == 10_000)
        #expect(TimerWheel(hz: 250) == .hz250)
    }

    struct Figure: Sendable {
        var hz: Int64
        /// ns
        var timeout: Int64
        /// ns; where the timer is armed.
        var armed: Int64
        /// ns
        var deadline: Int64
    }

    /// Ticks of the kernel, worked out by hand.
    static let figures: [Figure] = [
        // 3 ticks of 4 ms and the one after: 16 ms after a tick, just above 12 ms after the end of one.
        Figure(hz: 250, timeout: 10 * millisecond, armed: 0, deadline: 16 * millisecond),
        Figure(hz: 250, timeout: 10 * millisecond, armed: 4 * millisecond, deadline: 20 * millisecond),
        Figure(hz: 250, timeout: 10 * millisecond, armed: 4 * millisecond - 1, deadline: 16 * millisecond),
        // A single queue's 1 s: 250 ticks, level 1, a slot each 32 ms: the first beyond 1000 ms is at 1024.
        Figure(hz: 250, timeout: 1000 * millisecond, armed: 0, deadline: 1024 * millisecond),
        Figure(hz: 250, timeout: 1000 * millisecond, armed: 24 * millisecond - 1, deadline: 1024 * millisecond),
        Figure(hz: 250, timeout: 1000 * millisecond, armed: 24 * millisecond, deadline: 1056 * millisecond),
        // 1000 ticks are level 2 at HZ=1000: a slot each 64 ms.
        Figure(hz: 1000, timeout: 10 * millisecond, armed: 0, deadline: 11 * millisecond),
        Figure(hz: 1000, timeout: 1000 * millisecond, armed: 0, deadline: 1024 * millisecond),
        Figure(hz: 1000, timeout: 1000 * millisecond, armed: 24 * millisecond, deadline: 1088 * millisecond),
        Figure(hz: 100, timeout: 10 * millisecond, armed: 0, deadline: 20 * millisecond),
        Figure(hz: 100, timeout: 10 * millisecond, armed: 10 * millisecond - 1, deadline: 20 * millisecond),
        Figure(hz: 100, timeout: 1000 * millisecond, armed: 0, deadline: 1040 * millisecond),
        // A tick of HZ=300 is no whole number of ns: the first ns not before it counts.
        Figure(hz: 300, timeout: 10 * millisecond, armed: 0, deadline: 13_333_334),
        Figure(hz: 300, timeout: 10 * millisecond, armed: 3_333_333, deadline: 13_333_334),
        Figure(hz: 300, timeout: 10 * millisecond, armed: 3_333_334, deadline: 16_666_667),
        // The last delta of level 0 and the first of level 1.
        Figure(hz: 1000, timeout: 62 * millisecond, armed: 0, deadline: 63 * millisecond),
        Figure(hz: 1000, timeout: 63 * millisecond, armed: 0, deadline: 64 * millisecond),
        Figure(hz: 1000, timeout: 63 * millisecond, armed: millisecond, deadline: 72 * millisecond),
        Figure(hz: 1000, timeout: 503 * millisecond, armed: 0, deadline: 504 * millisecond),
        Figure(hz: 1000, timeout: 504 * millisecond, armed: 0, deadline: 512 * millisecond),
        Figure(hz: 1000, timeout: 504 * millisecond, armed: 8 * millisecond, deadline: 576 * millisecond),
    ]

    @Test(arguments: figures) func knownFigures(figure: Figure) throws {
        let wheel = try #require(TimerWheel(hz: figure.hz))
        #expect(wheel.deadline(armedAt: figure.armed, timeout: figure.timeout) == figure.deadline)
    }

    /// Model.md §2.4 rule 4: 12 to 16 ms after arming at HZ=250, on a multiple of 4 ms.
    @Test func tenMillisecondsAreTwelveToSixteen() {
        var random = SeededGenerator(seed: 250)
        for _ in 0..<5000 {
            let armed = Int64(random.next() % (1 << 50))
            let deadline = TimerWheel.hz250.deadline(armedAt: armed, timeout: 10 * Self.millisecond)
            #expect(deadline % (4 * Self.millisecond) == 0)
            #expect((12 * Self.millisecond + 1...16 * Self.millisecond).contains(deadline - armed))
        }
    }

    @Test(arguments: [1, 24, 100, 250, 300, 1000, 1024, 10_000]) func agreesWithTheFormulaInWiderArithmetic(
        hz: Int64
    ) throws {
        let wheel = try #require(TimerWheel(hz: hz))
        var random = SeededGenerator(seed: UInt64(hz))
        for turn in 0..<5000 {
            let isHuge = turn % 4 == 0
            let time = Int64(clamping: isHuge ? random.hostile() : random.next() % (1 << 60))
            let timeout = Int64(clamping: isHuge ? random.hostile() : random.small(below: 1 << 43))
            let deadline = wheel.deadline(armedAt: time, timeout: timeout)
            #expect(deadline == Self.naive(time, timeout, hz: hz), "\(time) \(timeout)")
            // A timer is never early, except that the longest are cut.
            if !isHuge, deadline < .max { #expect(deadline > time + timeout) }
        }
    }

    /// Nonsense from a log or an option must not trap.
    @Test(arguments: [1, 250, 10_000]) func extremesNeitherTrapNorWrap(hz: Int64) throws {
        let wheel = try #require(TimerWheel(hz: hz))
        let extremes: [Int64] = [.min, .min + 1, -1, 0, 1, .max - 1, .max]
        for time in extremes {
            for timeout in extremes {
                let deadline = wheel.deadline(armedAt: time, timeout: timeout)
                #expect(deadline > 0)
                #expect(deadline == Self.naive(max(time, 0), max(timeout, 0), hz: hz))
            }
        }
        #expect(wheel.deadline(armedAt: .max, timeout: .max) == .max)
    }

    /// The same rule in the words of model.md §2.4, with the limit that `calc_wheel_index` sets on the longest.
    private static func naive(_ time: Int64, _ timeout: Int64, hz: Int64) -> Int64 {
        let second: Int128 = 1_000_000_000
        var delta = (Int128(timeout) * Int128(hz) + second - 1) / second
        delta = min(delta, 62 << 24)
        let expiry = Int128(time) * Int128(hz) / second + delta
        let limits: [Int128] = [63, 504, 4032, 32256, 258_048, 2_064_384, 16_515_072, 132_120_576]
        let granularity = limits.reduce(1 as Int128) { delta >= $1 ? $0 * 8 : $0 }
        let tick = (expiry / granularity + 1) * granularity
        return Int64(clamping: (tick * second + Int128(hz) - 1) / Int128(hz))
    }
}
