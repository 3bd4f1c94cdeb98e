import Glibc

/// The texts that a log repeats, each stored once.
///
/// The table is bounded: a hostile log may name a new task on each line, and memory must not follow it. Texts beyond the
/// bound all become ``Symbol/overflow``. Looked up several times for each line, it works on memory of its own.
struct SymbolTable: ~Copyable {
    /// Texts beyond this many are not told apart any more.
    static let capacity = 1 << 17
    /// Longer texts are cut, in bytes. A task name has 15, an ftrace line less than 4096.
    static let longestText = 512

    private struct Entry {
        var hash: UInt64
        /// The text, as long as the table lives.
        var text: UnsafeMutableRawBufferPointer
    }

    private let entries = UnsafeMutablePointer<Entry>.allocate(capacity: Self.capacity)
    private var count = 0
    /// Open addressing: index + 1 of the entry, 0 for an empty slot. At most half full, a power of two in length.
    private var slots = Self.emptySlots(256)
    private var mask = 255

    /// Texts added and not yet handed out by ``takeAdded()``.
    private var added: [String] = []

    init() {
        for text in ["", "(more names than can be told apart)"] {
            var text = text
            text.withUTF8 { bytes in
                let bytes = UnsafeRawBufferPointer(bytes)
                insert(bytes, hash: Self.hash(of: bytes))
            }
        }
    }

    deinit {
        for index in 0..<count { entries[index].text.deallocate() }
        entries.deallocate()
        slots.deallocate()
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
        let hash = Self.hash(of: text)
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 {
            let index = Int(slots[slot]) - 1
            if entries[index].hash == hash, Self.isEqual(entries[index].text, text) {
                return Symbol(rawValue: UInt32(index))
            }
            slot = (slot + 1) & mask
        }
        guard count < Self.capacity else { return .overflow }
        insert(text, hash: hash)
        return Symbol(rawValue: UInt32(count - 1))
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

    private static func isEqual(_ stored: UnsafeMutableRawBufferPointer, _ text: UnsafeRawBufferPointer) -> Bool {
        guard stored.count == text.count, let left = stored.baseAddress, let right = text.baseAddress else {
            return stored.count == text.count
        }
        return memcmp(left, right, text.count) == 0
    }

    private mutating func insert(_ text: UnsafeRawBufferPointer, hash: UInt64) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: text.count, alignment: 1)
        copy.copyMemory(from: text)
        (entries + count).initialize(to: Entry(hash: hash, text: copy))
        count += 1
        added.append(String(decoding: text, as: UTF8.self))
        if count * 2 > mask + 1 {
            slots.deallocate()
            mask = mask * 2 + 1
            slots = Self.emptySlots(mask + 1)
            for index in 0..<count { place(index) }
        } else {
            place(count - 1)
        }
    }

    private func place(_ index: Int) {
        var slot = Int(truncatingIfNeeded: entries[index].hash) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = UInt32(index + 1)
    }

    private static func emptySlots(_ count: Int) -> UnsafeMutablePointer<UInt32> {
        let slots = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
        slots.initialize(repeating: 0, count: count)
        return slots
    }

    /// Mixes eight bytes at a time; quality matters less than speed, the table is small and bounded.
    @inline(__always)
    private static func hash(of text: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(truncatingIfNeeded: text.count) &* 0x9e37_79b9_7f4a_7c15
        var offset = 0
        while offset &+ 8 <= text.count {
            hash = (hash ^ text.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0xff51_afd7_ed55_8ccd
            hash ^= hash >> 32
            offset &+= 8
        }
        if offset < text.count {
            // The last eight bytes once more, or all of a shorter text.
            var tail: UInt64 = 0
            if text.count >= 8 {
                tail = text.loadUnaligned(fromByteOffset: text.count &- 8, as: UInt64.self)
            } else if text.count >= 4 {
                tail = UInt64(text.loadUnaligned(fromByteOffset: 0, as: UInt32.self)) << 32
                tail |= UInt64(text.loadUnaligned(fromByteOffset: text.count &- 4, as: UInt32.self))
            } else {
                for byte in text { tail = tail << 8 | UInt64(byte) }
            }
            hash = (hash ^ tail) &* 0xc4ce_b9fe_1a85_ec53
        }
        return hash ^ (hash >> 29)
    }
}
