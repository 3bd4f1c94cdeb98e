import Glibc

/// The texts that a log repeats, each stored once.
///
/// The table is bounded: a hostile log may name a new task on each line, and memory must not follow it. Texts beyond the
/// bound all become ``Symbol/overflow``.
struct SymbolTable {
    /// Texts beyond this many are not told apart any more.
    static let capacity = 1 << 17
    /// Longer texts are cut, in bytes. A task name has 15, an ftrace line less than 4096.
    static let longestText = 512

    private struct Entry {
        var hash: UInt64
        var offset: Int
        var length: Int
    }

    private var entries: ContiguousArray<Entry> = []
    private var bytes: ContiguousArray<UInt8> = []
    /// Open addressing: index + 1 of the entry, 0 for an empty slot. At most half full.
    private var slots: ContiguousArray<UInt32> = ContiguousArray(repeating: 0, count: 256)

    /// Texts added and not yet handed out by ``takeAdded()``.
    private var added: [String] = []

    init() {
        insert(UnsafeRawBufferPointer(start: nil, count: 0), hash: 0)
        added.append("")
        "(more names than can be told apart)".utf8CString.withUnsafeBytes {
            let text = UnsafeRawBufferPointer(rebasing: $0.dropLast())
            insert(text, hash: Self.hash(of: text))
        }
        added.append("(more names than can be told apart)")
    }

    /// The symbol for a text, new or old.
    mutating func intern(_ text: UnsafeRawBufferPointer) -> Symbol {
        guard text.count > 0 else { return .none }
        let text = text.count <= Self.longestText ? text : UnsafeRawBufferPointer(rebasing: text[..<Self.longestText])
        let hash = Self.hash(of: text)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0 {
            let index = Int(slots[slot]) - 1
            if entries[index].hash == hash, matches(entries[index], text) { return Symbol(rawValue: UInt32(index)) }
            slot = (slot + 1) & (slots.count - 1)
        }
        guard entries.count < Self.capacity else { return .overflow }
        insert(text, hash: hash)
        added.append(String(decoding: text, as: UTF8.self))
        return Symbol(rawValue: UInt32(entries.count - 1))
    }

    /// The texts that became symbols since the last call, in order of their numbers.
    mutating func takeAdded() -> [String] {
        defer { added = [] }
        return added
    }

    private func matches(_ entry: Entry, _ text: UnsafeRawBufferPointer) -> Bool {
        guard entry.length == text.count else { return false }
        return bytes.withUnsafeBytes { stored in
            guard let base = stored.baseAddress, let text = text.baseAddress else { return entry.length == 0 }
            return memcmp(base + entry.offset, text, entry.length) == 0
        }
    }

    private mutating func insert(_ text: UnsafeRawBufferPointer, hash: UInt64) {
        entries.append(Entry(hash: hash, offset: bytes.count, length: text.count))
        bytes.append(contentsOf: text)
        if entries.count * 2 > slots.count {
            slots = ContiguousArray(repeating: 0, count: slots.count * 2)
            for index in entries.indices where index > 0 { place(index) }
        } else if entries.count > 1 {
            place(entries.count - 1)
        }
    }

    private mutating func place(_ index: Int) {
        var slot = Int(truncatingIfNeeded: entries[index].hash) & (slots.count - 1)
        while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = UInt32(index + 1)
    }

    /// Mixes eight bytes at a time; quality matters less than speed, the table is small and bounded.
    private static func hash(of text: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(text.count) &* 0x9e37_79b9_7f4a_7c15
        var offset = 0
        while offset &+ 8 <= text.count {
            hash = (hash ^ text.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0xff51_afd7_ed55_8ccd
            hash ^= hash >> 32
            offset &+= 8
        }
        var tail: UInt64 = 0
        while offset < text.count {
            tail = tail << 8 | UInt64(text[offset])
            offset &+= 1
        }
        hash = (hash ^ tail) &* 0xc4ce_b9fe_1a85_ec53
        return hash ^ (hash >> 29)
    }
}
