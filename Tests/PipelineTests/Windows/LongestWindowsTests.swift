import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// Which windows `--windows longest=N` keeps.
@Suite struct LongestWindowsTests {
    private func row(_ operation: Int64, _ iova: UInt64 = 0, opened: Int64 = 0, length: Int64) -> StaleWindowRow {
        StaleWindowRow(
            operation: operation, domain: 1, device: 0, iova: iova, size: 4096, opened: opened,
            closed: opened &+ length, end: WindowEnd.flush(.timer).rawValue, closedLine: 0, isUncertain: false)
    }

    private func keys(_ rows: [StaleWindowRow]) -> [[Int64]] {
        rows.map { [$0.length, $0.operation, Int64(bitPattern: $0.iova)] }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var seed: UInt64
        var limit: Int
        var lengths: UInt64
        var testDescription: String { "longest=\(limit), \(lengths) lengths, seed \(seed)" }
    }

    static let cases = seeds.flatMap { seed in
        [(1, 4), (3, 1000), (64, 8), (100, 1 << 40), (999, 2), (5000, 50)].map {
            Case(seed: seed, limit: $0.0, lengths: $0.1)
        }
    }

    /// The longest first; of equally long ones the earliest unmap calls, and of one call its lowest addresses.
    @Test(arguments: cases) func agreesWithASort(test: Case) {
        var random = SeededGenerator(seed: test.seed)
        var longest = LongestWindows(limit: test.limit)
        var asked = LongestWindows(limit: test.limit)
        var all: [StaleWindowRow] = []
        // Windows close in any order of the unmap calls that left them.
        for operation in (1...2000 as ClosedRange<Int64>).shuffled(using: &random) {
            let length = Int64(random.next() % test.lengths)
            for part in 0..<(operation % 4 == 0 ? 3 : 1) as Range<UInt64> {
                let row = row(operation, (7 - part) << 12, opened: Int64(random.next() % 1000), length: length)
                all.append(row)
                longest.insert(row)
                // One that is not worthwhile must not have been among them.
                if asked.isWorthwhile(row.length) { asked.insert(row) }
            }
        }
        let sorted = all.sorted {
            ($1.length, $0.operation, $0.iova) < ($0.length, $1.operation, $1.iova)
        }
        let expected = keys(Array(sorted.prefix(test.limit)))
        #expect(keys(longest.takeAll()) == expected)
        #expect(keys(asked.takeAll()) == expected)
        #expect(expected.count == min(test.limit, 3000))
    }

    @Test func handsOverOnce() {
        var longest = LongestWindows(limit: 2)
        #expect(longest.takeAll().isEmpty)
        for operation in 1...3 as ClosedRange<Int64> { longest.insert(row(operation, length: operation)) }
        #expect(longest.takeAll().map(\.operation) == [3, 2])
        #expect(longest.takeAll().isEmpty)
        longest.insert(row(9, length: 1))
        #expect(longest.takeAll().map(\.operation) == [9])
    }

    @Test func worthwhileIsWhatMightBeKept() {
        var longest = LongestWindows(limit: 2)
        #expect(longest.isWorthwhile(0))
        longest.insert(row(5, length: 10))
        #expect(longest.isWorthwhile(0))
        longest.insert(row(6, length: 20))
        // It is told no later than when half as many more have come as are kept, and 16.
        for operation in 7..<24 as Range<Int64> { longest.insert(row(operation, length: 1)) }
        #expect(!longest.isWorthwhile(9))
        // An equally long one of an earlier call takes its place.
        #expect(longest.isWorthwhile(10))
        longest.insert(row(4, length: 10))
        #expect(longest.takeAll().map(\.operation) == [6, 4])
    }

    @Test func noneAreKeptWhereNoneAreAskedFor() {
        var longest = LongestWindows(limit: 0)
        longest.insert(row(1, length: 5))
        #expect(longest.takeAll().isEmpty)
    }

    @Test(arguments: [Int64.min, -1, 0, 1, .max]) func aWindowThatIsOpenHasNoLength(opened: Int64) {
        var row = row(1, opened: opened, length: 5)
        row.closed = nil
        #expect(row.length == 0)
    }

    // MARK: - --windows

    @Test(arguments: [
        ("all", WindowsKept.all), ("none", .none), ("longest=1", .longest(1)), ("longest=3", .longest(3)),
        ("longest=100000000", .longest(100_000_000)), ("longest=0042", .longest(42)),
    ]) func isReadAsItIsTyped(text: String, kept: WindowsKept) {
        #expect(WindowsKept(parsing: text) == kept)
    }

    @Test(arguments: [
        "", "All", "ALL", "all ", " all", "none=1", "nothing", "longest", "longest=", "longest=0", "longest=-1",
        "longest=+1", "longest=100000001", "longest=99999999999999999999", "longest=1.5", "longest=1e3", "longest= 1",
        "longest=1,2", "longest==1", "Longest=1", "xlongest=1", "longest=\u{663}", "longest=1\u{20dd}", "longest=0x10",
    ]) func refusesTheRest(text: String) {
        #expect(WindowsKept(parsing: text) == nil)
    }

    @Test func aReplayKeepsTheLongest100000() {
        #expect(WindowsKept.default == .longest(100_000))
        #expect(ReplayOptions().windows == .default)
    }
}
