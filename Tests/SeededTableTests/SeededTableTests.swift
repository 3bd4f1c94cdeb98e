import SeededTable
import TestSupport
import Testing

/// The table that a log's values are keys of: as a dictionary with an order, whatever the seed, and quick for all keys.
struct SeededTableTests {
    private func seed(_ number: UInt64) -> Seed {
        var generator = SeededGenerator(seed: number)
        return Seed(using: &generator)
    }

    /// What a table should hold, kept in the plainest way.
    private struct Twin {
        var keys: [UInt64] = []
        var values: [UInt64: Int] = [:]

        mutating func set(_ key: UInt64, _ value: Int) {
            if values.updateValue(value, forKey: key) == nil { keys.append(key) }
        }

        mutating func remove(_ key: UInt64) -> Int? {
            guard let index = keys.firstIndex(of: key) else { return nil }
            keys.swapAt(index, keys.count - 1)
            keys.removeLast()
            return values.removeValue(forKey: key)
        }

        mutating func filter(_ isKept: (UInt64) -> Bool) {
            keys = keys.filter(isKept)
            values = values.filter { isKept($0.key) }
        }
    }

    @Test("a table is what a dictionary with an order is, whatever its seed", arguments: seeds)
    func twin(number: UInt64) {
        var random = SeededGenerator(seed: number)
        var table = SeededTable<UInt64, Int>(seed: seed(number))
        var twin = Twin()
        for step in 0..<20_000 {
            // Few enough keys that each is met again, and some that differ in their highest bits only.
            let key = random.small(below: 600) << (random.next() % 2 * 54)
            switch random.next() % 16 {
            case 0..<6:
                table.set(key, step)
                twin.set(key, step)
            case 6..<9:
                table[at: table.index(of: key, adding: 7)] += 1
                twin.set(key, (twin.values[key] ?? 7) + 1)
            case 9..<15:
                #expect(table.remove(key) == twin.remove(key))
            default:
                guard random.next() % 64 == 0 else { break }
                let bit = UInt64(1) << (random.next() % 8)
                table.filter { $0.key & bit == 0 }
                twin.filter { $0 & bit == 0 }
            }
            if step % 5000 == 4999 {
                table.removeAll()
                twin = Twin()
            }
            #expect(table[key] == twin.values[key])
            #expect(table.find(key) == twin.keys.firstIndex(of: key))
            guard step % 64 == 0 else { continue }
            #expect(table.count == twin.keys.count)
            #expect(table.entries.map(\.key) == twin.keys)
            for entry in table.entries { #expect(table[entry.key] == entry.value) }
        }
    }

    @Test("pairs are found by both of their halves")
    func pairs() {
        var table = SeededTable<KeyPair, UInt64>()
        for first in 0..<64 as Range<UInt64> {
            for second in 0..<64 as Range<UInt64> { table.set(KeyPair(first << 12, second), first << 8 | second) }
        }
        #expect(table.count == 64 * 64)
        for first in 0..<64 as Range<UInt64> {
            for second in 0..<64 as Range<UInt64> {
                #expect(table[KeyPair(first << 12, second)] == first << 8 | second)
            }
        }
        #expect(table[KeyPair(0, 64)] == nil)
    }

    /// Keys at equal distances, as addresses are, and such that share most of their bits.
    static let families: [(name: String, key: @Sendable (UInt64) -> UInt64)] = [
        ("numbers", { $0 }),
        ("pages", { $0 << 12 }),
        ("pages downwards", { 0xffff_ffff_ffff_f000 &- $0 << 12 }),
        ("large pages", { $0 << 21 }),
        ("only the upper half", { $0 << 32 }),
        ("only the highest bits", { $0 << 50 }),
        ("both halves alike", { $0 | $0 << 32 }),
        ("two fields", { ($0 & 0xff) << 56 | $0 >> 8 }),
        ("multiples of the golden ratio", { $0 &* 0x9e37_79b9_7f4a_7c15 }),
        ("what that times one is", { $0 &* 0xf1de_83e1_9937_733d }),
    ]

    @Test("no keys cost more than others, with any seed", arguments: families.map(\.name))
    func probes(family: String) throws {
        let key = try #require(Self.families.first { $0.name == family }).key
        for number in 1...40 as ClosedRange<UInt64> {
            var table = SeededTable<UInt64, Void>(seed: seed(number))
            var pairs = SeededTable<KeyPair, Void>(seed: seed(number))
            for index in 0..<4096 as Range<UInt64> {
                table.set(key(index), ())
                pairs.set(KeyPair(key(index % 512), index / 512), ())
            }
            // Of random places a quarter at most is taken: 1.17 on average to find a key, and rarely more than a dozen.
            let costs = table.entries.map { table.probes(of: $0.key) }
            #expect(costs.reduce(0, +) < 4096 * 5 / 4 && costs.max() ?? 0 < 24, "seed \(number)")
            let pairCosts = pairs.entries.map { pairs.probes(of: $0.key) }
            #expect(pairCosts.reduce(0, +) < 4096 * 5 / 4 && pairCosts.max() ?? 0 < 24, "seed \(number)")
        }
    }

    @Test("probes tells when keys share a home")
    func probesOfNeighbours() throws {
        var table = SeededTable<UInt64, Void>()
        for key in 0..<1000 as Range<UInt64> { table.set(key, ()) }
        #expect((0..<1000).contains { table.probes(of: $0) > 1 })
        #expect(table.entries.allSatisfy { table.probes(of: $0.key) >= 1 })
        #expect(SeededTable<UInt64, Void>().probes(of: 1) == 1)
    }

    @Test("texts of all lengths have hashes of their own, and others with another seed")
    func texts() {
        var hashes: Set<UInt64> = []
        for number in 1...2 as ClosedRange<UInt64> {
            let seed = seed(number)
            for length in 0..<40 {
                for change in 0...length {
                    var text = [UInt8](repeating: 0, count: length)
                    if change < length { text[change] = 1 }
                    text.withUnsafeBytes { _ = hashes.insert(seed.hash(of: $0)) }
                }
            }
        }
        #expect(hashes.count == 2 * (1...40).reduce(0, +))
    }

    @Test("two runs of the tool have different seeds, tables of one run the same")
    func seedOfProcess() {
        var generator = SystemRandomNumberGenerator()
        #expect(Seed(using: &generator).hash(1, 2) != Seed(using: &generator).hash(1, 2))
        #expect(Seed.ofProcess.hash(1, 2) == Seed.ofProcess.hash(1, 2))
    }
}
