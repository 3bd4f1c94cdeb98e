import TestSupport
import Testing

@testable import IOMMUModel

/// Ranges that overlap in any way, to be found by overlap.
@Suite struct RangeTreeTests {
    private struct Entry: Hashable {
        var range: AddressRange
        var number: Int64
        var place: RangeTree.Place

        func isBefore(_ other: Entry) -> Bool { (range.start, number) < (other.range.start, other.number) }
    }

    private struct Found: Hashable {
        var range: AddressRange
        var place: RangeTree.Place
    }

    private func range(_ start: UInt64, _ size: UInt64) throws -> AddressRange {
        try #require(AddressRange(start: start, size: size))
    }

    private func found(_ tree: RangeTree, in range: AddressRange = .everything) -> [Found] {
        var found: [Found] = []
        tree.forEach(overlapping: range) { found.append(Found(range: $0, place: $1)) }
        return found
    }

    // MARK: - Examples

    @Test func findsWhatSharesAByteAndNothingElse() throws {
        var tree = RangeTree()
        #expect(tree.isEmpty && tree.count == 0)
        #expect(found(tree) == [])
        let place = tree.insert(try range(0x2000, 0x1000), number: 7)
        let expected = [Found(range: try range(0x2000, 0x1000), place: place)]
        #expect(!tree.isEmpty && tree.count == 1)
        #expect(found(tree, in: try range(0x2fff, 1)) == expected)
        #expect(found(tree, in: try range(0x2000, 1)) == expected)
        #expect(found(tree, in: try range(0x1000, 0x1001)) == expected)
        #expect(found(tree, in: try range(0x1000, 0x1000)) == [])
        #expect(found(tree, in: try range(0x3000, 0x1000)) == [])
        #expect(found(tree) == expected)
    }

    /// A long range that begins far before others must be found behind all that are too short.
    @Test func aLongRangeIsFoundBehindShortOnes() throws {
        var tree = RangeTree()
        let long = tree.insert(try range(0, 1 << 40), number: 0)
        for number in 1...500 as ClosedRange<Int64> {
            _ = tree.insert(try range(UInt64(number) << 12, 16), number: number)
        }
        #expect(found(tree, in: try range(1 << 39, 1)) == [Found(range: try range(0, 1 << 40), place: long)])
        #expect(found(tree, in: try range(5 << 12, 16)).count == 2)
        tree.remove(start: 0, number: 0)
        #expect(found(tree, in: try range(1 << 39, 1)) == [])
    }

    @Test func rangesWithOneStartComeInOrderOfTheirNumbers() throws {
        var tree = RangeTree()
        let numbers: [Int64] = [3, .min, 0, .max, -1, 2]
        var places: [Int64: RangeTree.Place] = [:]
        for number in numbers { places[number] = tree.insert(try range(0x1000, 0x1000), number: number) }
        #expect(tree.count == 6)
        #expect(found(tree).map(\.place) == numbers.sorted().map { places[$0] })
        #expect(tree.remove(start: 0x1000, number: 1) == nil)
        #expect(tree.remove(start: 0x1000, number: .min) == places[.min])
        #expect(found(tree).map(\.place) == numbers.sorted().dropFirst().map { places[$0] })
    }

    /// What is not there is not removed, whatever of it is there.
    @Test func removesOnlyTheRangeWithBothStartAndNumber() throws {
        var tree = RangeTree()
        #expect(tree.remove(start: 0, number: 0) == nil)
        let place = tree.insert(try range(0x1000, 0x1000), number: 1)
        for (start, number) in [(0x1000, 2), (0x1001, 1), (0x1fff, 1), (0, 0)] as [(UInt64, Int64)] {
            #expect(tree.remove(start: start, number: number) == nil)
            #expect(tree.count == 1)
        }
        #expect(tree.remove(start: 0x1000, number: 1) == place)
        #expect(tree.remove(start: 0x1000, number: 1) == nil)
        #expect(tree.isEmpty && tree.count == 0)
    }

    @Test func reachesBothEndsOfTheAddressSpace() throws {
        var tree = RangeTree()
        let whole = tree.insert(.everything, number: 1)
        let first = tree.insert(try range(0, 1), number: 2)
        let last = tree.insert(try range(.max, 1), number: 3)
        #expect(found(tree).map(\.place) == [whole, first, last])
        #expect(found(tree, in: try range(0, 1)).map(\.place) == [whole, first])
        #expect(found(tree, in: try range(.max, 1)).map(\.place) == [whole, last])
        #expect(found(tree, in: try range(1, .max - 1)).map(\.place) == [whole])
    }

    /// Arrays run beside the tree: a place is a range's own while it is in the tree, and then somebody else's.
    @Test func placesStayAndAreReused() throws {
        var random = SeededGenerator(seed: 4)
        var tree = RangeTree()
        var placeOf: [Int64: RangeTree.Place] = [:]
        func startOf(_ number: Int64) -> UInt64 { UInt64(number % 50) << 12 }
        for number in 0..<1000 as Range<Int64> {
            placeOf[number] = tree.insert(try range(startOf(number), 0x1800), number: number)
        }
        #expect(Set(placeOf.values) == Set(0..<1000))
        let gone = (0..<1000 as Range<Int64>).shuffled(using: &random).prefix(600)
        for number in gone { #expect(tree.remove(start: startOf(number), number: number) == placeOf[number]) }
        let left = (0..<1000 as Range<Int64>).filter { !gone.contains($0) }
        #expect(Set(found(tree).map(\.place)) == Set(left.compactMap { placeOf[$0] }))
        var new: Set<RangeTree.Place> = []
        for number in 1000..<1600 as Range<Int64> {
            new.insert(tree.insert(try range(startOf(number), 0x1800), number: number))
        }
        #expect(new == Set(gone.compactMap { placeOf[$0] }))
        let inOrder = left.sorted { (startOf($0), $0) < (startOf($1), $1) }.compactMap { placeOf[$0] }
        #expect(found(tree).map(\.place).filter { !new.contains($0) } == inOrder)
    }

    @Test func removeAllForgetsEverything() throws {
        var tree = RangeTree()
        for number in 0..<100 as Range<Int64> { _ = tree.insert(try range(UInt64(number), 50), number: number) }
        tree.remove(start: 5, number: 5)
        tree.removeAll()
        #expect(tree.isEmpty && tree.count == 0)
        #expect(found(tree) == [])
        #expect(tree.remove(start: 6, number: 6) == nil)
        let places = try (0..<100 as Range<Int64>).map { tree.insert(try range(UInt64($0), 50), number: $0) }
        #expect(Set(places) == Set(0..<100))
        #expect(found(tree).map(\.place) == places)
    }

    @Test func aCopyIsATreeOfItsOwn() throws {
        var tree = RangeTree()
        for number in 0..<50 as Range<Int64> { _ = tree.insert(try range(UInt64(number) * 3, 10), number: number) }
        let copy = tree
        for number in 0..<50 as Range<Int64> { tree.remove(start: UInt64(number) * 3, number: number) }
        #expect(found(tree) == [])
        #expect(found(copy).map(\.range.start) == (0..<50).map { $0 * 3 })
    }

    // MARK: - Against a list

    enum Shape: CaseIterable, Sendable { case crowded, pages, nested, hostile }

    struct Case: Sendable, CustomTestStringConvertible {
        var seed: UInt64
        var shape: Shape
        var testDescription: String { "\(shape), seed \(seed)" }
    }

    static let cases = seeds.flatMap { seed in Shape.allCases.map { Case(seed: seed, shape: $0) } }

    private func anyRange(_ shape: Shape, _ random: inout SeededGenerator) throws -> AddressRange {
        switch shape {
        case .crowded: return try range(random.next() % 32, 1 + random.next() % 32)
        case .pages: return try range((random.next() % 512) << 12, (1 + random.small(below: 64)) << 12)
        case .nested:
            // One inside the other, down to a byte, and some that stick out.
            let depth = random.next() % 60
            let start = UInt64(1) << 60 - UInt64(1) << depth
            return try range(start, UInt64(2) << depth + (random.next() % 8 == 0 ? 1 << 59 : 0))
        case .hostile:
            if random.next() % 16 == 0 { return .everything }
            let (one, other) = (random.hostile(), random.hostile())
            return try #require(AddressRange(start: min(one, other), last: max(one, other)))
        }
    }

    @Test(arguments: cases) func agreesWithAList(test: Case) throws {
        var random = SeededGenerator(seed: test.seed)
        var tree = RangeTree()
        var list: [Entry] = []
        var most = 0
        var longestAnswer = 0
        for turn in 0..<2500 {
            // It grows for a while, then shrinks.
            let grows = turn % 700 < 450
            switch random.next() % 8 {
            case 0:
                let range = try anyRange(test.shape, &random)
                let number = Int64(turn)
                #expect(tree.remove(start: range.start, number: number) == nil)
            case 1 where !list.isEmpty:
                // Its start with another number, and its number with another start.
                let entry = list[Int(random.next() % UInt64(list.count))]
                #expect(tree.remove(start: entry.range.start, number: entry.number &+ 1_000_000) == nil)
                #expect(tree.remove(start: entry.range.start ^ 1 << 50, number: entry.number) == nil)
            case let dice where dice < (grows ? 6 : 3):
                let range = try anyRange(test.shape, &random)
                let number = turn % 3 == 0 ? Int64(-turn) : Int64(turn)
                let place = tree.insert(range, number: number)
                #expect(!list.contains { $0.place == place }, "a place given twice")
                let entry = Entry(range: range, number: number, place: place)
                list.insert(entry, at: list.firstIndex { entry.isBefore($0) } ?? list.count)
            default:
                guard !list.isEmpty else { continue }
                let entry = list.remove(at: Int(random.next() % UInt64(list.count)))
                #expect(tree.remove(start: entry.range.start, number: entry.number) == entry.place)
            }
            if turn == 1300 {
                tree.removeAll()
                list.removeAll()
            }
            most = max(most, list.count)
            #expect(tree.count == list.count)
            #expect(tree.isEmpty == list.isEmpty)
            #expect(list.allSatisfy { $0.place >= 0 && $0.place < most }, "places are small numbers")
            let asked = turn % 50 == 0 ? .everything : try anyRange(test.shape, &random)
            let expected = list.filter { $0.range.overlaps(asked) }.map { Found(range: $0.range, place: $0.place) }
            #expect(found(tree, in: asked) == expected)
            if asked != .everything { longestAnswer = max(longestAnswer, expected.count) }
        }
        #expect(most > 100 && longestAnswer > 5)
    }

    // MARK: - Depth

    /// In the order of a log addresses often rise, or stay the same: a tree that becomes a list then is as deep as it has
    /// ranges, and recursion down it would end the process.
    @Test(arguments: [1, 0, -1]) func anyOrderOfComingIsAsGood(step: Int64) throws {
        var tree = RangeTree()
        let numbers = 0..<60_000 as Range<Int64>
        func startOf(_ number: Int64) -> UInt64 { UInt64(1 << 40 + step * number * 4096) }
        for number in numbers { _ = tree.insert(try range(startOf(number), 4096), number: number) }
        #expect(tree.count == 60_000)
        #expect(found(tree, in: try range(startOf(30_000), 1)).count == (step == 0 ? 60_000 : 1))
        for number in numbers where number % 100 != 0 { tree.remove(start: startOf(number), number: number) }
        #expect(tree.count == 600)
        #expect(found(tree).map(\.range.start) == (0..<600).map { startOf($0 * 100) }.sorted())
    }

    /// The same where somebody chose the ranges for it: addresses and pages are a log's to choose, and where start and
    /// number are mixed by a sum, each start has a number that makes it as good as any other.
    @Test func rangesChosenToCollideAreAsGood() async {
        await #expect(processExitsWith: .success) {
            let factor: UInt64 = 0x9e37_79b9_7f4a_7c15
            var inverse = factor
            for _ in 0..<6 { inverse = inverse &* (2 &- factor &* inverse) }
            var tree = RangeTree()
            for page in 1...20_000 as ClosedRange<UInt64> {
                let number = Int64(bitPattern: (0 &- page << 12) &* inverse)
                guard let range = AddressRange(start: page << 12, size: 4096) else { continue }
                _ = tree.insert(range, number: number)
            }
            precondition(tree.count == 20_000)
        }
    }
}
