import TestSupport
import Testing

@testable import Replay

/// Sums by key against a dictionary, and the order in which the keys came.
@Suite struct SummingTableTests {
    private struct Sum: Hashable {
        var count = 0
        var total = 10
    }

    enum Shape: CaseIterable, Sendable { case few, dense, spaced, hostile }

    struct Case: Sendable, CustomTestStringConvertible {
        var seed: UInt64
        var shape: Shape
        var testDescription: String { "\(shape), seed \(seed)" }
    }

    static let cases = seeds.flatMap { seed in Shape.allCases.map { Case(seed: seed, shape: $0) } }

    /// The keys that a replay uses are numbers of cells and buckets, shifted past each other.
    private func key(_ shape: Shape, _ random: inout SeededGenerator) -> UInt64 {
        switch shape {
        case .few: random.next() % 5
        case .dense: random.next() % 8000
        case .spaced: (random.next() % 64) << 56 | (random.next() % 64) << 29 | random.next() % 3
        case .hostile: random.hostile()
        }
    }

    @Test(arguments: cases) func agreesWithADictionary(test: Case) {
        var random = SeededGenerator(seed: test.seed)
        var table = SummingTable(zero: Sum())
        var sums: [UInt64: Sum] = [:]
        var order: [UInt64] = []
        var last: UInt64 = 0
        for turn in 0..<20_000 {
            // Now and then the same key several times in a row.
            if turn % 3 != 0 || turn == 0 { last = key(test.shape, &random) }
            let index = table.index(of: last)
            let amount = Int(random.next() % 1000)
            table[index].count += 1
            table[index].total += amount
            if sums[last] == nil { order.append(last) }
            sums[last, default: Sum()].count += 1
            sums[last, default: Sum()].total += amount
            #expect(table.entries[index].key == last)
        }
        #expect(table.entries.map(\.key) == order)
        #expect(table.entries.map(\.value) == order.map { sums[$0, default: Sum(count: -1)] })
        #expect(order.count > (test.shape == .few ? 4 : 1000))
    }

    @Test func anEmptyTableHasNoKeys() {
        let table = SummingTable(zero: 5)
        #expect(table.entries.isEmpty)
    }

    /// 0 is a key like any other, and a sum that was never added to is zero.
    @Test func theFirstKeyMayBeZero() {
        var table = SummingTable(zero: 5)
        #expect(table.index(of: 0) == 0)
        #expect(table.index(of: .max) == 1)
        #expect(table.index(of: 0) == 0)
        #expect(table.entries.map(\.key) == [0, .max])
        #expect(table.entries.map(\.value) == [5, 5])
    }

    @Test func aCopyIsATableOfItsOwn() {
        var table = SummingTable(zero: 0)
        for key in 0..<100 as Range<UInt64> { table[table.index(of: key)] += 1 }
        var copy = table
        for key in 0..<200 as Range<UInt64> { copy[copy.index(of: key)] += 1 }
        #expect(table.entries.count == 100 && table.entries.reduce(0) { $0 + $1.value } == 100)
        #expect(copy.entries.count == 200 && copy.entries.reduce(0) { $0 + $1.value } == 300)
    }
}
