import SeededTable
import TestSupport
import Testing

@testable import TraceFormats

/// Texts that repeat are stored once, and no log can fill memory with them.
struct SymbolTableTests {
    private func intern(_ text: String, _ table: inout SymbolTable) -> Symbol {
        Array(text.utf8).withUnsafeBytes { table.intern($0) }
    }

    @Test("equal texts have one symbol, others another")
    func identity() {
        var table = SymbolTable()
        var symbols: [String: Symbol] = [:]
        // Lengths around the words that the hash reads, and many enough to grow the table.
        for index in 0..<3000 {
            let text = String(repeating: "\(index)-", count: 1 + index % 9)
            symbols[text] = intern(text, &table)
        }
        #expect(Set(symbols.values).count == symbols.count)
        for (text, symbol) in symbols { #expect(intern(text, &table) == symbol) }
        #expect(intern("ab", &table) != intern("ba", &table))
        #expect(intern("a\0", &table) != intern("a", &table))
    }

    @Test("new texts are handed out once, in the order of their symbols")
    func added() {
        var table = SymbolTable()
        #expect(table.takeAdded().count == 2)
        let first = intern("first", &table)
        let second = intern("second", &table)
        _ = intern("first", &table)
        #expect(second.rawValue == first.rawValue + 1)
        #expect(table.takeAdded() == ["first", "second"])
        #expect(table.takeAdded() == [])
        #expect(intern("first", &table) == first)
        #expect(table.takeAdded() == [])
    }

    @Test("the empty text is no symbol")
    func empty() {
        var table = SymbolTable()
        #expect(intern("", &table) == Symbol.none)
    }

    @Test("a long text is cut")
    func long() {
        var table = SymbolTable()
        _ = table.takeAdded()
        let long = String(repeating: "x", count: 600)
        let symbol = intern(long, &table)
        #expect(intern(String(repeating: "x", count: 512), &table) == symbol)
        #expect(intern(long + "y", &table) == symbol)
        #expect(intern(String(repeating: "x", count: 511), &table) != symbol)
        #expect(table.takeAdded().map(\.utf8.count) == [512, 511])
    }

    @Test("beyond its bound the table tells texts apart no more, but keeps those that it has")
    func bounded() {
        var table = SymbolTable()
        let first = intern("text 0", &table)
        var last = first
        for index in 1..<SymbolTable.capacity - 2 { last = intern("text \(index)", &table) }
        #expect(last.rawValue == UInt32(SymbolTable.capacity - 1))
        #expect(intern("one too many", &table) == .overflow)
        #expect(intern("two too many", &table) == .overflow)
        #expect(intern("text 0", &table) == first)
        #expect(intern("text \(SymbolTable.capacity - 3)", &table) == last)
        #expect(table.takeAdded().count == SymbolTable.capacity)
    }

    // MARK: - Hashing

    private func seed(_ number: UInt64) -> Seed {
        var generator = SeededGenerator(seed: number)
        return Seed(using: &generator)
    }

    /// Eight bytes for which a hash without a seed is the number that is wanted: multiplications, and shifts over itself, can be
    /// taken back.
    private static func text(hash wanted: UInt64) -> [UInt8] {
        var value = wanted ^ wanted >> 29 ^ wanted >> 58
        value ^= value >> 32
        // What 0xff51afd7ed558ccd times is 1.
        value = value &* 0x4f74_430c_22a5_4005
        value ^= 8 &* 0x9e37_79b9_7f4a_7c15
        return withUnsafeBytes(of: value.littleEndian, Array.init)
    }

    @Test("texts that are chosen to have one hash cost no more than others")
    func crafted() {
        var table = SymbolTable()
        let texts = (0..<4096 as Range<UInt64>).map { Self.text(hash: $0 << 20) }
        #expect(0xff51_afd7_ed55_8ccd &* 0x4f74_430c_22a5_4005 as UInt64 == 1)
        #expect(Set(texts).count == texts.count)
        for text in texts { text.withUnsafeBytes { _ = table.intern($0) } }
        let costs = texts.map { text in text.withUnsafeBytes { table.probes(of: $0) } }
        #expect(costs.reduce(0, +) < costs.count * 5 / 4)
        #expect(costs.max() ?? 0 < 24)
    }

    @Test("symbols are numbered as their texts come, whatever the seed")
    func order() {
        var texts = (0..<2000).map { "text \($0 % 700) \($0 % 3)" }
        texts.append("")
        var numbers: [[UInt32]] = []
        for number in 1...3 as ClosedRange<UInt64> {
            var table = SymbolTable(seed: seed(number))
            numbers.append(texts.map { intern($0, &table).rawValue })
        }
        #expect(numbers[0] == numbers[1] && numbers[1] == numbers[2])
    }
}
