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

    /// Model.md §9: "iova + size == 2^64 (end prints 0)".
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
}
