import IOMMUModel
import TestSupport
import Testing

@testable import Replay

/// The parts of a validation that pair things.
@Suite struct MatcherTests {
    private func matcher(limit: Int = 4) -> Matcher<Int, Int> { Matcher(limit: limit) { $0 == $1 } }

    private func text(_ unmatched: [Matcher<Int, Int>.Unmatched]) -> [String] {
        unmatched.map {
            switch $0 {
            case .missing(let item): "missing \(item)"
            case .extra(let item): "extra \(item)"
            }
        }
    }

    @Test func eitherSideMayComeFirst() {
        var matcher = matcher()
        #expect(matcher.add(predicted: 1) == nil)
        #expect(matcher.add(recorded: 1) == 1)
        #expect(matcher.add(recorded: 2) == nil)
        #expect(matcher.add(predicted: 2) == 2)
        #expect(matcher.takeUnmatched(all: true).isEmpty)
    }

    @Test func onePartnerIsNotTakenTwice() {
        var matcher = matcher()
        _ = matcher.add(predicted: 1)
        #expect(matcher.add(recorded: 1) == 1)
        #expect(matcher.add(recorded: 1) == nil)
        #expect(text(matcher.takeUnmatched(all: true)) == ["missing 1"])
    }

    @Test func whoeverWaitsTooLongHasNone() {
        var matcher = matcher(limit: 3)
        _ = matcher.add(predicted: 100)
        _ = matcher.add(recorded: 200)
        for item in 0..<2 {
            _ = matcher.add(predicted: item)
            _ = matcher.add(recorded: item)
        }
        #expect(matcher.takeUnmatched().isEmpty)
        _ = matcher.add(predicted: 2)
        #expect(text(matcher.takeUnmatched()) == ["extra 100"])
        _ = matcher.add(recorded: 2)
        #expect(text(matcher.takeUnmatched()) == ["missing 200"])
        #expect(matcher.takeUnmatched(all: true).isEmpty)
    }

    /// Each item is matched, missing or extra, once.
    @Test(arguments: seeds) func nothingIsLostOrCountedTwice(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var matcher = matcher(limit: 8)
        var (predicted, recorded, matched, missing, extra) = (0, 0, 0, 0, 0)
        func count(_ unmatched: [Matcher<Int, Int>.Unmatched]) {
            for item in unmatched {
                switch item {
                case .missing: missing += 1
                case .extra: extra += 1
                }
            }
        }
        for _ in 0..<2000 {
            let item = Int(random.next() % 5)
            if random.next() & 1 == 0 {
                predicted += 1
                if matcher.add(predicted: item) != nil { matched += 1 }
            } else {
                recorded += 1
                if matcher.add(recorded: item) != nil { matched += 1 }
            }
            count(matcher.takeUnmatched())
        }
        count(matcher.takeUnmatched(all: true))
        #expect(matched > 500)
        #expect(matched + missing == recorded)
        #expect(matched + extra == predicted)
    }

    // MARK: - Times

    @Test(
        arguments: [
            ([], [], []), ([1], [], []), ([10], [10], [0]), ([5, 20], [6, 40], [-1]),
            // The first one within reach is not the nearest.
            ([5, 12], [12], [0]), ([12], [5, 12], [0]),
            // As many as there can be, even if each could have been nearer.
            ([5, 12], [10, 18], [-5, -6]),
            ([Int64.min, .max], [Int64.max], [0]),
        ] as [([Int64], [Int64], [Int64])])
    func pairs(firsts: [Int64], seconds: [Int64], distances: [Int64]) {
        #expect(TimePairs(firsts, seconds, tolerance: 8).distances == distances)
    }

    /// Against all ways there are: no more pairs exist than are found.
    @Test(arguments: seeds) func noMorePairsExist(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        func most(_ firsts: ArraySlice<Int64>, _ seconds: ArraySlice<Int64>) -> Int {
            guard let first = firsts.first, let second = seconds.first else { return 0 }
            let skipped = max(most(firsts.dropFirst(), seconds), most(firsts, seconds.dropFirst()))
            let paired = abs(first - second) <= 3 ? 1 + most(firsts.dropFirst(), seconds.dropFirst()) : 0
            return max(skipped, paired)
        }
        for _ in 0..<40 {
            let firsts = (0..<6).map { _ in Int64(random.next() % 30) }.sorted()
            let seconds = (0..<6).map { _ in Int64(random.next() % 30) }.sorted()
            let found = TimePairs(firsts, seconds, tolerance: 3).distances
            #expect(found.count == most(firsts[...], seconds[...]), "\(firsts) \(seconds)")
            #expect(found.allSatisfy { abs($0) <= 3 })
        }
    }

    // MARK: - Losses

    @Test(arguments: seeds) func aLossIsNearOnBothSides(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for count in 0..<12 {
            let losses = (0..<count).map { _ in Int64(random.next() % 3000) }.sorted()
            let places = LogPlaces(losses: losses)
            for line in Int64(0)..<3200 {
                #expect(places.isNearLoss(line) == losses.contains { abs($0 - line) <= 100 }, "\(line) of \(losses)")
            }
            #expect(!places.isNearLoss(.max))
            #expect(!places.isNearLoss(.min))
        }
    }

    // MARK: - Unflushed calls

    private func pages(_ first: UInt64, _ count: UInt64) throws -> AddressRange {
        try #require(AddressRange(start: first << 12, size: count << 12))
    }

    @Test func aCommandFlushesWhatTouchesInsideItsBlock() throws {
        var calls = UnflushedCalls()
        for page in 16..<24 as Range<UInt64> { calls.add(try pages(page, 1), size: 4096, freesTables: false) }
        // Another task's mapping elsewhere came between.
        calls.add(try pages(900, 1), size: 4096, freesTables: true)
        let taken = try #require(calls.take(inside: try pages(16, 8), by: .callbacks))
        #expect(taken.span == (try pages(16, 8)))
        #expect(!taken.freesTables)
        #expect(calls.take(inside: try pages(16, 8), by: .callbacks) == nil)
        #expect(calls.count == 1)
    }

    @Test func aGapOrAnotherLengthEndsWhatOneCommandFlushes() throws {
        var calls = UnflushedCalls()
        calls.add(try pages(16, 1), size: 4096, freesTables: false)
        calls.add(try pages(18, 1), size: 4096, freesTables: false)
        calls.add(try pages(19, 1), size: 4096, freesTables: true)
        let taken = try #require(calls.take(inside: try pages(16, 4), by: .callbacks))
        #expect(taken.span == (try pages(18, 2)))
        #expect(taken.freesTables)
        calls.add(try pages(17, 2), size: 8192, freesTables: false)
        #expect(calls.take(inside: try pages(16, 4), by: .callbacks)?.span == (try pages(17, 2)))
        #expect(calls.take(inside: try pages(16, 4), by: .callbacks)?.span == (try pages(16, 1)))
    }

    /// Drivers with generic page tables gather over gaps, whatever the lengths; under NpCache a gap ends a span, a length does not.
    @Test func theDriversRuleEndsWhatOneCommandFlushes() throws {
        for (rule, span) in [(.anything, (16, 4)), (.gaps, (18, 2)), (.callbacks, (19, 1))]
            as [(Gather.Rule, (UInt64, UInt64))]
        {
            var calls = UnflushedCalls()
            calls.add(try pages(16, 1), size: 4096, freesTables: false)
            calls.add(try pages(18, 1), size: 8192, freesTables: false)
            calls.add(try pages(19, 1), size: 4096, freesTables: false)
            #expect(calls.take(inside: try pages(16, 4), by: rule)?.span == (try pages(span.0, span.1)))
        }
    }

    @Test func whatNobodyFlushesDoesNotPileUp() throws {
        var calls = UnflushedCalls()
        for page in 0..<10_000 as Range<UInt64> { calls.add(try pages(page * 2, 1), size: 4096, freesTables: false) }
        #expect(calls.count == 10_000)
        #expect(calls.take(inside: try pages(0, 2), by: .callbacks) == nil)
        #expect(calls.take(inside: try pages(19_998, 2), by: .callbacks) != nil)
    }
}
