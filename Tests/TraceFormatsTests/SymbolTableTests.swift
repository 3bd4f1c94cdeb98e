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
}
