import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// Which step a time lies in must not depend on what was asked before.
@Suite struct TimeStepsTests {
    @Test(arguments: seeds) func agreesWithDivision(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for turn in 0..<300 {
            // Spans of a log, and any at all.
            let first = turn % 3 == 0 ? Int64(bitPattern: random.hostile()) : Int64(random.next() % 1_000_000)
            let last = turn % 3 == 0 ? Int64(bitPattern: random.hostile()) : first + Int64(random.small(below: 1 << 40))
            var steps = TimeSteps(first: first, last: last)
            let span = max(last.subtractingSaturated(first), 0)
            let length = span / 128 + 1
            #expect(steps.length == length)
            var time = first
            for _ in 0..<60 {
                let expected = min(max(time.subtractingSaturated(first), 0) / length, span / length)
                #expect(steps.step(at: time) == expected && expected <= 128)
                switch random.next() % 4 {
                case 0: time = Int64(bitPattern: random.hostile())
                case 1: time = steps.start(of: Int64(random.next() % 129)).addingSaturated(Int64(random.next() % 3) - 1)
                default: time = time.addingSaturated(Int64(random.small(below: UInt64(length) + 1)))
                }
            }
        }
    }
}
