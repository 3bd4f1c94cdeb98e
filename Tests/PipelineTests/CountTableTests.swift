import TestSupport
import Testing

@testable import Replay

/// Counts that are put aside and counted later, against a dictionary.
@Suite struct CountTableTests {
    @Test(arguments: seeds) func agreesWithADictionary(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = CountTable()
        var twin: [UInt64: Int64] = [:]
        // Neighbours, any numbers, and more of them than the table begins with.
        for turn in 0..<20_000 + Int(seed) {
            let key = [random.next() % 300, random.hostile(), random.small(below: 1 << 40)][Int(random.next() % 3)]
            table.add(key)
            twin[key, default: 0] += 1
            if turn % 5000 == 1234 { #expect(counts(&table) == twin) }
        }
        #expect(twin.count > 4096)
        #expect(counts(&table) == twin)
        #expect(counts(&table) == twin)
    }

    private func counts(_ table: inout CountTable) -> [UInt64: Int64] {
        var counts: [UInt64: Int64] = [:]
        table.forEach { #expect(counts.updateValue($1, forKey: $0) == nil) }
        return counts
    }

    @Test func anEmptyTableHasNone() {
        var table = CountTable()
        #expect(counts(&table).isEmpty)
    }
}
