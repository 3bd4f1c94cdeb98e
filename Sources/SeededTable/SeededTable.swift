/// What a ``SeededTable`` finds things by: at most 128 bits.
public protocol SeededKey: Equatable {
    /// All of the key, as two words.
    var words: (UInt64, UInt64) { get }
    /// Where it is looked for: such that nobody who does not know the seed can find keys that share a place.
    func hash(_ seed: Seed) -> UInt64
}

extension SeededKey {
    /// The hash of its words.
    @inlinable @inline(__always)
    public func hash(_ seed: Seed) -> UInt64 {
        let (one, other) = words
        return seed.hash(one, other)
    }
}

extension UInt64: SeededKey {
    /// The number, and nothing.
    @inlinable @inline(__always)
    public var words: (UInt64, UInt64) { (self, 0) }
}

/// Two numbers that are one key, such as a page and the address space that it is in.
@frozen
public struct KeyPair: SeededKey, Hashable, Sendable {
    /// The first of the two.
    public var first: UInt64
    /// The second one.
    public var second: UInt64

    /// A key of two numbers.
    @inlinable @inline(__always)
    public init(_ first: UInt64, _ second: UInt64) {
        self.first = first
        self.second = second
    }

    /// The two.
    @inlinable @inline(__always)
    public var words: (UInt64, UInt64) { (first, second) }
}

/// Values by key, in the order in which the keys came: the hash table for whatever a log's values are keys of.
///
/// Open addressing with linear probing. Which keys share a home depends on a ``Seed`` that no log can know, and nothing else
/// does: what the table holds lies in ``entries``, one after the other, and its index there is its number.
///
/// Public and inlinable, so that each module that uses it has code of its own for its keys and values.
@frozen
public struct SeededTable<Key: SeededKey, Value> {
    /// A key and what it stands for.
    @frozen
    public struct Entry {
        /// What it is found by.
        public let key: Key
        /// What it stands for.
        public var value: Value

        @inlinable @inline(__always)
        init(key: Key, value: Value) {
            self.key = key
            self.value = value
        }
    }

    /// What ``entries`` tells.
    @usableFromInline var held: ContiguousArray<Entry> = []

    /// The upper half is that of the key's hash, and begins with the number of its home slot. The lower half is the index of its
    /// entry plus one, 0 where nothing is. A power of two of them.
    @usableFromInline var slots: ContiguousArray<UInt64>
    /// What a slot is shifted by so that its home is left.
    @usableFromInline var homeShift: UInt64
    @usableFromInline let seed: Seed

    @usableFromInline static var fewestBits: UInt64 { 4 }
    @usableFromInline static var indexMask: UInt64 { 0xffff_ffff }

    /// An empty table.
    @inlinable
    public init(seed: Seed = .ofProcess) {
        self.seed = seed
        homeShift = 64 - Self.fewestBits
        slots = ContiguousArray(repeating: 0, count: 1 << Int(Self.fewestBits))
    }

    /// How many keys there are.
    @inlinable @inline(__always)
    public var count: Int { held.count }

    /// What the table holds, in the order in which the keys came, but for what ``remove(_:)`` has moved.
    @inlinable @inline(__always)
    public var entries: ContiguousArray<Entry> { held }

    // MARK: - Finding

    /// The index of a key's entry; `nil` if there is none.
    @inlinable @inline(__always)
    public func find(_ key: Key) -> Int? {
        let (_, found) = look(for: key, hash(of: key))
        return found >= 0 ? found : nil
    }

    /// The index of a key's entry, which is added if there is none.
    /// - Parameter initial: the value that a new entry has.
    @inlinable @inline(__always)
    public mutating func index(of key: Key, adding initial: @autoclosure () -> Value) -> Int {
        let hash = hash(of: key)
        let (slot, found) = look(for: key, hash)
        if found >= 0 { return found }
        add(Entry(key: key, value: initial()), hash, at: slot)
        return held.count - 1
    }

    /// The value at an index.
    @inlinable @inline(__always)
    public subscript(at index: Int) -> Value {
        get { held[index].value }
        _modify { yield &held[index].value }
    }

    /// The value of a key; `nil` where there is none.
    @inlinable @inline(__always)
    public subscript(key: Key) -> Value? { find(key).map { held[$0].value } }

    /// Gives a key a value.
    @inlinable @inline(__always)
    public mutating func set(_ key: Key, _ value: Value) {
        let hash = hash(of: key)
        let (slot, found) = look(for: key, hash)
        if found >= 0 {
            held[found].value = value
        } else {
            add(Entry(key: key, value: value), hash, at: slot)
        }
    }

    /// How many slots are looked at to find a key, or that it is not there. For tests: what a key costs, without a clock.
    public func probes(of key: Key) -> Int {
        let hash = hash(of: key)
        let (slot, _) = look(for: key, hash)
        return (slot - home(of: hash)) & (slots.count - 1) + 1
    }

    @inlinable @inline(__always)
    func hash(of key: Key) -> UInt64 { key.hash(seed) }

    @inlinable @inline(__always)
    func home(of hash: UInt64) -> Int { Int(truncatingIfNeeded: hash &>> homeShift) }

    /// The slot in which a key stands, or would, and the index of its entry, -1 if there is none.
    @inlinable @inline(__always)
    func look(for key: Key, _ hash: UInt64) -> (slot: Int, index: Int) {
        var slot = home(of: hash)
        while true {
            let content = slots[slot]
            let index = Int(truncatingIfNeeded: content & Self.indexMask) &- 1
            if index < 0 { return (slot, -1) }
            if (content ^ hash) & ~Self.indexMask == 0, held[index].key == key { return (slot, index) }
            slot = (slot &+ 1) & (slots.count &- 1)
        }
    }

    // MARK: - Changing

    @inlinable
    mutating func add(_ entry: Entry, _ hash: UInt64, at slot: Int) {
        held.append(entry)
        slots[slot] = hash & ~Self.indexMask | UInt64(truncatingIfNeeded: held.count)
        // A slot has 8 bytes. At most one in four is taken: most keys are then found at home, and the processor can foresee that.
        // Indices have 32 bits; so many entries need more memory than an import or a replay is ever given.
        if held.count * 4 > slots.count { resize(to: slots.count * 2) }
    }

    /// Takes a key out; the entry that came last takes its index.
    /// - Returns: the value that it had.
    @discardableResult
    @inlinable
    public mutating func remove(_ key: Key) -> Value? {
        let (slot, index) = look(for: key, hash(of: key))
        guard index >= 0 else { return nil }
        let value = held[index].value
        let last = held.count - 1
        if index != last {
            let moved = held[last]
            let (place, _) = look(for: moved.key, hash(of: moved.key))
            slots[place] = slots[place] & ~Self.indexMask | UInt64(truncatingIfNeeded: index + 1)
            held[index] = moved
        }
        held.removeLast()
        close(slot)
        return value
    }

    /// Empties a slot. What stands behind it moves up, unless that would put it before its home.
    @inlinable
    mutating func close(_ slot: Int) {
        let mask = slots.count - 1
        var hole = slot
        var next = (hole + 1) & mask
        while slots[next] != 0 {
            if (next &- home(of: slots[next])) & mask >= (next &- hole) & mask {
                slots[hole] = slots[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        slots[hole] = 0
    }

    /// Takes everything out and keeps the memory.
    @inlinable
    public mutating func removeAll() {
        guard !held.isEmpty else { return }
        held.removeAll(keepingCapacity: true)
        for slot in slots.indices { slots[slot] = 0 }
    }

    /// Takes out what does not fit a condition. The rest keeps its order.
    @inlinable
    public mutating func filter(_ isKept: (Entry) -> Bool) {
        held.removeAll { !isKept($0) }
        let bits = max(Self.fewestBits, UInt64(Int.bitWidth - max(held.count * 4 - 1, 0).leadingZeroBitCount))
        slots = ContiguousArray(repeating: 0, count: 1 << Int(bits))
        homeShift = 64 - bits
        for (index, entry) in held.enumerated() {
            place(hash(of: entry.key) & ~Self.indexMask | UInt64(truncatingIfNeeded: index + 1))
        }
    }

    @inlinable @inline(never)
    mutating func resize(to size: Int) {
        let old = slots
        slots = ContiguousArray(repeating: 0, count: size)
        homeShift -= 1
        // A slot has as much of the hash as it takes to place it. In order of the old homes the new ones are in order, too.
        for content in old where content != 0 { place(content) }
    }

    /// Puts a slot's content where it belongs; its key stands nowhere yet.
    @inlinable
    mutating func place(_ content: UInt64) {
        var slot = home(of: content)
        while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = content
    }
}

extension SeededTable: Sendable where Key: Sendable, Value: Sendable {}
extension SeededTable.Entry: Sendable where Key: Sendable, Value: Sendable {}
