import Glibc
import SeededTable

/// The texts that a log repeats, each stored once.
///
/// The table is bounded: a hostile log may name a new task on each line, and memory must not follow it. Texts beyond the
/// bound all become ``Symbol/overflow``.
struct SymbolTable: ~Copyable {
    /// Texts beyond this many are not told apart any more.
    static let capacity = 1 << 17
    /// Longer texts are cut, in bytes. A task name has 15, an ftrace line less than 4096.
    static let longestText = 512

    /// What a text is looked for by: its hash; of texts with the same hash those that came later have the next numbers.
    struct Key: SeededKey {
        fileprivate var value: UInt64

        var words: (UInt64, UInt64) { (value, 0) }
        /// It has been made with the seed.
        @inline(__always)
        func hash(_ seed: Seed) -> UInt64 { value }
    }

    private let seed: Seed
    /// The texts, as long as the table lives: their indices are the symbols.
    private var texts: SeededTable<Key, UnsafeMutableRawBufferPointer>
    /// Texts added and not yet handed out by ``takeAdded()``.
    private var added: [String] = []

    init(seed: Seed = .ofProcess) {
        self.seed = seed
        texts = SeededTable(seed: seed)
        for text in ["", "(more names than can be told apart)"] {
            var text = text
            text.withUTF8 { bytes in
                let bytes = UnsafeRawBufferPointer(bytes)
                add(bytes, Key(value: seed.hash(of: bytes)))
            }
        }
    }

    deinit {
        for entry in texts.entries { entry.value.deallocate() }
    }

    /// Gives the names of ``EventName`` their fixed numbers; to be done first.
    mutating func addEventNames() {
        for name in EventName.allCases {
            let symbol = intern(name.text)
            assert(symbol == name.symbol)
        }
    }

    /// The symbol for a text, new or old.
    mutating func intern(_ text: String) -> Symbol {
        var text = text
        return text.withUTF8 { intern(UnsafeRawBufferPointer($0)) }
    }

    /// The symbol for a text, new or old.
    mutating func intern(_ text: UnsafeRawBufferPointer) -> Symbol {
        guard text.count > 0 else { return .none }
        let text = text.count <= Self.longestText ? text : UnsafeRawBufferPointer(rebasing: text[..<Self.longestText])
        var key = Key(value: seed.hash(of: text))
        while let index = texts.find(key) {
            if Self.isEqual(texts[at: index], text) { return Symbol(rawValue: UInt32(truncatingIfNeeded: index)) }
            key.value &+= 1
        }
        guard texts.count < Self.capacity else { return .overflow }
        add(text, key)
        return Symbol(rawValue: UInt32(texts.count - 1))
    }

    /// The symbol for a text of our own.
    mutating func intern(_ text: StaticString) -> Symbol {
        intern(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// The texts that became symbols since the last call, in order of their numbers.
    mutating func takeAdded() -> [String] {
        defer { added = [] }
        return added
    }

    /// What finding a text costs, for tests.
    func probes(of text: UnsafeRawBufferPointer) -> Int { texts.probes(of: Key(value: seed.hash(of: text))) }

    private static func isEqual(_ stored: UnsafeMutableRawBufferPointer, _ text: UnsafeRawBufferPointer) -> Bool {
        guard stored.count == text.count, let left = stored.baseAddress, let right = text.baseAddress else {
            return stored.count == text.count
        }
        return memcmp(left, right, text.count) == 0
    }

    private mutating func add(_ text: UnsafeRawBufferPointer, _ key: Key) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: text.count, alignment: 1)
        copy.copyMemory(from: text)
        texts.set(key, copy)
        added.append(String(decoding: text, as: UTF8.self))
    }
}
