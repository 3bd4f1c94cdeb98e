import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// Stale pages in equal steps of time, against an integral step by step.
@Suite struct TimelineTests {
    private static let stepCount: Int64 = 128

    private struct Key: Hashable {
        var cell: Int
        var step: Int64
    }

    private struct Sum: Hashable {
        var pageNanoseconds: Int64 = 0
        var windows: Int64 = 0
        var pages: Int64 = 0
        var flushes: Int64 = 0
    }

    /// What the steps should hold, worked out one by one. The first step and the one that holds the end reach as far as a
    /// clock may run astray.
    private struct Twin {
        var first: Int64
        var last: Int64
        var stepLength: Int64
        var sums: [Key: Sum] = [:]

        private func begin(_ step: Int64) -> Int64 { step == 0 ? .min / 4 : first + step * stepLength }
        private func end(_ step: Int64) -> Int64 {
            let next = first + (step + 1) * stepLength
            return next > last ? .max / 4 : next
        }
        /// Steps that begin before the end of the log, or at it.
        private var steps: [Int64] { (0..<stepCount as Range<Int64>).filter { first + $0 * stepLength <= last } }

        func step(of time: Int64) -> Int64 {
            steps.first { time >= begin($0) && time < end($0) } ?? -1
        }

        mutating func opened(_ cell: Int, at time: Int64, pages: Int64) {
            sums[Key(cell: cell, step: step(of: time)), default: Sum()].windows += 1
            sums[Key(cell: cell, step: step(of: time)), default: Sum()].pages += pages
        }

        mutating func flushed(_ cell: Int, at time: Int64, flushes: Int64) {
            sums[Key(cell: cell, step: step(of: time)), default: Sum()].flushes += flushes
        }

        mutating func stale(_ cell: Int, from opened: Int64, to closed: Int64, pages: Int64) {
            for step in steps {
                let overlap = min(closed, end(step)) - max(opened, begin(step))
                if overlap > 0 { sums[Key(cell: cell, step: step), default: Sum()].pageNanoseconds += pages * overlap }
            }
        }
    }

    private static let cells = ContiguousArray(
        (1...3 as ClosedRange<Int32>).map { Cell(domain: $0, device: $0 % 2, task: 5 - $0) })

    private func sums(_ timeline: Timeline) -> [(key: Key, sum: Sum)] {
        timeline.steps(Self.cells).map { row in
            (
                Key(
                    cell: Self.cells.firstIndex(of: row.cell) ?? -1,
                    step: (row.start - firstStart) / timeline.stepLength),
                Sum(
                    pageNanoseconds: row.pageNanoseconds, windows: row.windows, pages: row.pages, flushes: row.flushes)
            )
        }
    }

    private let firstStart: Int64 = 1000

    struct Case: Sendable, CustomTestStringConvertible {
        var seed: UInt64
        var span: Int64
        var testDescription: String { "\(span) ns, seed \(seed)" }
    }

    static let cases = seeds.flatMap { seed in
        [0, 1, 127, 128, 129, 5000, 1 << 20, 1_000_000_007].map { Case(seed: seed, span: $0) }
    }

    @Test(arguments: cases) func agreesWithAnIntegral(test: Case) {
        var random = SeededGenerator(seed: test.seed)
        let last = firstStart + test.span
        var timeline = Timeline(first: firstStart, last: last)
        #expect(timeline.stepLength == test.span / 128 + 1)
        var twin = Twin(first: firstStart, last: last, stepLength: timeline.stepLength)
        var total: Int64 = 0
        /// Now and then a clock is before the first event or after the last.
        func time() -> Int64 {
            let inside = firstStart + Int64(random.next() % UInt64(test.span + 1))
            return switch random.next() % 20 {
            case 0: firstStart - Int64(random.next() % 10_000)
            case 1: last + Int64(random.next() % 10_000)
            // Exactly where a step begins, or just before.
            case 2: firstStart + (inside - firstStart) / timeline.stepLength * timeline.stepLength
            case 3: firstStart + (inside - firstStart) / timeline.stepLength * timeline.stepLength - 1
            default: inside
            }
        }
        for _ in 0..<400 {
            let cell = Int(random.next() % 3)
            let pages = 1 + Int64(random.small(below: 600))
            if random.next() % 4 == 0 {
                let (time, flushes) = (time(), Int64(random.next() % 3) + 1)
                timeline.flushed(Int32(cell), at: time, flushes: flushes)
                twin.flushed(cell, at: time, flushes: flushes)
            } else {
                let (one, other) = (time(), random.next() % 8 == 0 ? time() : firstStart)
                let (opened, closed) = (
                    min(one, other),
                    random.next() % 2 == 0 ? max(one, other) : min(one, other) + Int64(random.next() % 64)
                )
                timeline.opened(Int32(cell), at: opened, pages: pages)
                twin.opened(cell, at: opened, pages: pages)
                timeline.stale(Int32(cell), from: opened, to: closed, pages: pages)
                twin.stale(cell, from: opened, to: closed, pages: pages)
                total += pages * (closed - opened)
            }
        }
        let rows = sums(timeline)
        #expect(rows.filter { $0.sum != Sum() }.count == twin.sums.filter { $0.value != Sum() }.count)
        for (key, sum) in rows { #expect(sum == twin.sums[key] ?? Sum(), "cell \(key.cell), step \(key.step)") }
        // By cell, then time; no step of a cell twice.
        let order = rows.map { [Int64($0.key.cell), $0.key.step] }
        #expect(zip(order, order.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) })
        #expect(rows.reduce(0) { $0 + $1.sum.pageNanoseconds } == total)
    }

    /// The table says so: steps in which nothing is or happens are missing.
    @Test func stepsOfNothingAreMissing() {
        var timeline = Timeline(first: firstStart, last: firstStart + 1279)
        #expect(timeline.stepLength == 10)
        #expect(sums(timeline).isEmpty)
        // Two windows with a gap between them; the first ends where a step ends.
        timeline.stale(1, from: firstStart + 5, to: firstStart + 30, pages: 2)
        timeline.stale(1, from: firstStart + 95, to: firstStart + 101, pages: 1)
        #expect(sums(timeline).map(\.key.step) == [0, 1, 2, 9, 10])
        #expect(sums(timeline).map(\.sum.pageNanoseconds) == [10, 20, 20, 5, 1])
    }

    /// A window that spans all of the log is in every step of it.
    @Test func aWindowIsInEveryStepThatItSpans() {
        var timeline = Timeline(first: firstStart, last: firstStart + 12_799)
        timeline.opened(0, at: firstStart, pages: 3)
        timeline.stale(0, from: firstStart, to: firstStart + 12_800, pages: 3)
        let rows = sums(timeline)
        #expect(rows.map(\.key.step) == Array(0..<128))
        #expect(rows.allSatisfy { $0.sum.pageNanoseconds == 300 })
        #expect(rows.map(\.sum.windows) == [1] + Array(repeating: 0, count: 127))
    }

    @Test func timesAtTheEndsOfTheClockDoNotTrap() {
        for (first, last) in [(Int64.min, Int64.max), (0, .max), (.min, 0), (5, 5), (9, 3)] as [(Int64, Int64)] {
            var timeline = Timeline(first: first, last: last)
            #expect(timeline.stepLength >= 1)
            for pages in [1, Int64.max] {
                timeline.opened(0, at: .min, pages: pages)
                timeline.opened(0, at: .max, pages: pages)
                timeline.stale(0, from: .min, to: .max, pages: pages)
                timeline.stale(0, from: 0, to: 0, pages: pages)
                timeline.flushed(0, at: .max, flushes: .max)
            }
            let steps = timeline.steps(Self.cells)
            #expect(!steps.isEmpty)
            #expect(steps.allSatisfy { $0.pageNanoseconds >= 0 && $0.pages >= 0 && $0.flushes >= 0 })
        }
    }
}
