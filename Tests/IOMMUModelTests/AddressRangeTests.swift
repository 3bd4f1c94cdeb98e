import IOMMUModel
import TestSupport
import Testing

@Suite struct AddressRangeTests {
    @Test func holdsBothItsEnds() throws {
        let range = try #require(AddressRange(start: 0x1000, size: 0x2000))
        #expect(range.start == 0x1000)
        #expect(range.last == 0x2fff)
        #expect(range.size == 0x2000)
        #expect(AddressRange(start: 0x1000, last: 0x2fff) == range)
    }

    @Test func isNeverEmptyAndNeverBackwards() {
        #expect(AddressRange(start: 0x1000, size: 0) == nil)
        #expect(AddressRange(start: 1, last: 0) == nil)
        #expect(AddressRange(start: 1, last: 1)?.size == 1)
    }

    /// Model.md §9, edges: a range that ends at 2^64.
    @Test func reachesTheLastByteButNotBeyond() {
        #expect(AddressRange(start: .max, size: 1)?.last == .max)
        #expect(AddressRange(start: .max - 4095, size: 4096)?.last == .max)
        #expect(AddressRange(start: .max - 4095, size: 4097) == nil)
        #expect(AddressRange(start: 1, size: .max)?.last == .max)
        #expect(AddressRange(start: 2, size: .max) == nil)
    }

    @Test func sizeOfTheWholeSpaceIsSaturated() {
        #expect(AddressRange(start: 0, last: .max)?.size == .max)
        #expect(AddressRange(start: 1, last: .max)?.size == .max)
        #expect(AddressRange(start: 2, last: .max)?.size == UInt64.max - 1)
    }

    @Test(arguments: seeds) func agreesWithWiderArithmeticOnAnyNumbers(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<5000 {
            let (start, size) = (random.hostile(), random.hostile())
            let end = UInt128(start) + UInt128(size)
            let range = AddressRange(start: start, size: size)
            #expect((range != nil) == (size > 0 && end <= 1 << 64))
            guard let range else { continue }
            #expect(UInt128(range.last) + 1 == end)
            #expect(range.size == size)

            let granule = UInt64(1) << (random.next() % 64)
            let whole = range.roundedOut(to: granule)
            #expect(UInt128(whole.start) == UInt128(start) / UInt128(granule) * UInt128(granule))
            let up = (end + UInt128(granule) - 1) / UInt128(granule) * UInt128(granule)
            #expect(UInt128(whole.last) + 1 == up)
            #expect(whole.contains(range))
            #expect(whole.roundedOut(to: granule) == whole)
        }
    }

    /// All pairs of ranges in a space of six bytes, against sets of their addresses.
    @Test(arguments: [0, UInt64.max - 5]) func overlapAndContainmentAreThoseOfSets(base: UInt64) {
        let ranges = (0..<6).flatMap { start in
            (start..<6).compactMap { last in AddressRange(start: base + UInt64(start), last: base + UInt64(last)) }
        }
        #expect(ranges.count == 21)
        for left in ranges {
            for right in ranges {
                let (ours, theirs) = (Set(left.start...left.last), Set(right.start...right.last))
                #expect(left.overlaps(right) == !ours.isDisjoint(with: theirs))
                #expect(left.contains(right) == ours.isSuperset(of: theirs))
            }
        }
    }

    /// The same pairs: what both share is one range or none, what is left of one beside the other at most two.
    @Test(arguments: [0, UInt64.max - 5]) func intersectionAndDifferenceAreThoseOfSets(base: UInt64) {
        let ranges = (0..<6).flatMap { start in
            (start..<6).compactMap { last in AddressRange(start: base + UInt64(start), last: base + UInt64(last)) }
        }
        for left in ranges {
            for right in ranges {
                let (ours, theirs) = (Set(left.start...left.last), Set(right.start...right.last))
                let shared = left.intersection(right).map { Set($0.start...$0.last) }
                #expect(shared ?? [] == ours.intersection(theirs))
                #expect((shared == nil) == ours.isDisjoint(with: theirs))
                let rest = left.subtracting(right)
                #expect(rest.flatMap { Array($0.start...$0.last) } == ours.subtracting(theirs).sorted())
                // As few as there can be.
                #expect(rest.count <= 2)
                if rest.count == 2 { #expect(rest[0].last < right.start && right.last < rest[1].start) }
            }
        }
    }

    @Test(arguments: seeds) func anyTwoRangesComeApartWithoutATrap(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var overlapping = 0
        for _ in 0..<5000 {
            let numbers = (0..<4).map { _ in random.hostile() }
            let left = try #require(AddressRange(start: min(numbers[0], numbers[1]), last: max(numbers[0], numbers[1])))
            let right = try #require(
                AddressRange(start: min(numbers[2], numbers[3]), last: max(numbers[2], numbers[3])))
            let (shared, rest) = (left.intersection(right), left.subtracting(right))
            #expect((shared != nil) == left.overlaps(right))
            #expect(right.intersection(left) == shared)
            // Put together in order they are the range again, without a gap.
            let parts = (rest + (shared.map { [$0] } ?? [])).sorted { $0.start < $1.start }
            #expect(parts.first?.start == left.start && parts.last?.last == left.last)
            for (part, next) in zip(parts, parts.dropFirst()) { #expect(part.last + 1 == next.start) }
            for part in rest { #expect(!part.overlaps(right) && left.contains(part)) }
            if let shared {
                overlapping += 1
                #expect(left.contains(shared) && right.contains(shared))
            }
        }
        #expect((500...4500).contains(overlapping))
    }

    @Test func everythingIsAllThereIs() throws {
        #expect(AddressRange.everything == AddressRange(start: 0, last: .max))
        let range = try #require(AddressRange(start: 0x1000, size: 0x1000))
        #expect(AddressRange.everything.contains(range) && !range.contains(.everything))
        #expect(AddressRange.everything.intersection(range) == range)
        #expect(range.subtracting(.everything) == [])
        #expect(
            AddressRange.everything.subtracting(range)
                == [AddressRange(start: 0, last: 0xfff), AddressRange(start: 0x2000, last: .max)].compactMap { $0 })
        #expect(AddressRange.everything.subtracting(.everything) == [])
    }
}
