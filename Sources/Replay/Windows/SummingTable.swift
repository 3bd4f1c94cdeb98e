/// Sums by key, in the order in which the keys came: a hash table with open addressing.
///
/// What a replay adds to for each window, so it must cost a few ns.
struct SummingTable<Sum> {
    private(set) var keys: ContiguousArray<UInt64> = []
    var sums: ContiguousArray<Sum> = []
    /// Index into ``keys`` plus one, by hash; 0 where nothing is. Its count is a power of two.
    private var slots: ContiguousArray<Int32>
    private let zero: Sum
    private var last: (key: UInt64, index: Int) = (0, -1)

    init(zero: Sum) {
        self.zero = zero
        slots = ContiguousArray(repeating: 0, count: 64)
    }

    /// The index of a key's sum, which begins with zero.
    @inline(__always)
    mutating func index(of key: UInt64) -> Int {
        if last.index >= 0, last.key == key { return last.index }
        let mask = slots.count - 1
        var slot = Self.hash(key) & mask
        while slots[slot] != 0 {
            let index = Int(slots[slot]) - 1
            if keys[index] == key {
                last = (key, index)
                return index
            }
            slot = (slot + 1) & mask
        }
        return add(key, at: slot)
    }

    private mutating func add(_ key: UInt64, at slot: Int) -> Int {
        keys.append(key)
        sums.append(zero)
        slots[slot] = Int32(truncatingIfNeeded: keys.count)
        last = (key, keys.count - 1)
        if keys.count * 2 > slots.count { grow() }
        return last.index
    }

    private mutating func grow() {
        slots = ContiguousArray(repeating: 0, count: slots.count * 2)
        let mask = slots.count - 1
        for (index, key) in keys.enumerated() {
            var slot = Self.hash(key) & mask
            while slots[slot] != 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(truncatingIfNeeded: index + 1)
        }
    }

    private static func hash(_ key: UInt64) -> Int {
        let mixed = (key ^ (key >> 29)) &* 0xbf58_476d_1ce4_e5b9
        return Int(truncatingIfNeeded: mixed >> 20)
    }
}
