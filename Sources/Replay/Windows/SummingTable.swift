import SeededTable

/// Sums by key, in the order in which the keys came: a ``SeededTable`` that remembers the key before, because one mostly repeats.
///
/// What a replay adds to for each window, so it must cost a few ns.
struct SummingTable<Sum> {
    private var table = SeededTable<UInt64, Sum>()
    private let zero: Sum
    private var last: (key: UInt64, index: Int) = (0, -1)

    init(zero: Sum) { self.zero = zero }

    /// The index of a key's sum, which begins with zero.
    @inline(__always)
    mutating func index(of key: UInt64) -> Int {
        if last.index >= 0, last.key == key { return last.index }
        let zero = zero
        last = (key, table.index(of: key, adding: zero))
        return last.index
    }

    /// The sum at an index.
    @inline(__always)
    subscript(index: Int) -> Sum {
        get { table[at: index] }
        _modify { yield &table[at: index] }
    }

    /// Keys and their sums, in the order in which the keys came.
    var entries: ContiguousArray<SeededTable<UInt64, Sum>.Entry> { table.entries }

    /// How many slots are looked at to find a key.
    func probes(of key: UInt64) -> Int { table.probes(of: key) }
}
