/// A map or unmap in the resolver's window, or a map of an earlier window that may still be live.
struct Entry {
    var iova: UInt64 = 0
    var size: UInt64 = 0
    var time: Int64 = 0
    /// Id of the operation.
    var id: Int64 = 0
    var cpu: Int32 = 0
    var task: Int32 = 0
    var isMap = false
    /// The run of operations that it is one of; -1 if it is of an earlier window.
    var burst = -1
    /// Which of the window's addresses it has.
    var slot = 0
    /// The next map that is live at its address, -1 for none.
    var next = -1
    /// Index of its task, kind and size in the statistics.
    var feature = 0
    /// Labels that it cannot have, as bits: they unmapped the address while this one stayed.
    var excluded: UInt32 = 0
    /// The label that a clue beside it names, -1 for none.
    var fixed = -1
    var fixedGrade = Grade.hardware
    /// The label that the unmap names by which it was removed, -1 for none, and whether no other map can be meant.
    var pair = -1
    var isCertain = false
    /// Decided: its label, -1 for none.
    var label = -1
    var grade = Grade.ambiguous
    var confidence: Float = 0
}

/// The maps that are live at each of a window's addresses, oldest first: lists in the memory of the entries themselves.
struct LiveMaps {
    /// More maps of one address than a log of as many domains has; the oldest goes.
    static let limit = 8

    /// First entry by address, -1 for none.
    var heads: ContiguousArray<Int>

    init(_ carried: LiveMaps) { heads = carried.heads }

    init(slots: Int) { heads = ContiguousArray(repeating: -1, count: slots) }

    mutating func append(_ index: Int, _ entries: inout ContiguousArray<Entry>) {
        entries[index].next = -1
        let slot = entries[index].slot
        var last = heads[slot]
        guard last >= 0 else {
            heads[slot] = index
            return
        }
        var count = 1
        while entries[last].next >= 0 {
            last = entries[last].next
            count += 1
        }
        entries[last].next = index
        if count >= Self.limit { heads[slot] = entries[heads[slot]].next }
    }

    mutating func remove(_ index: Int, _ entries: inout ContiguousArray<Entry>) {
        let slot = entries[index].slot
        if heads[slot] == index {
            heads[slot] = entries[index].next
            return
        }
        var before = heads[slot]
        while before >= 0, entries[before].next != index { before = entries[before].next }
        if before >= 0 { entries[before].next = entries[index].next }
    }
}

/// Which labels have something mapped on each page, as far as it is known.
struct Occupancy {
    private var labelsOfPage: [UInt64: UInt32] = [:]

    /// Larger operations do not count: they would cost too much, and flush queues hand out small ones.
    private static let pageLimit: UInt64 = 64

    private func pages(_ entry: Entry) -> Range<UInt64> {
        let first = entry.iova >> 12
        let count = (entry.size >> 12) &+ (entry.size & 4095 == 0 ? 0 : 1)
        return first..<(first &+ min(count, Self.pageLimit))
    }

    mutating func add(_ label: Int, _ entry: Entry) {
        guard labelsOfPage.count < Resolver.memoryLimit else { return }
        for page in pages(entry) { labelsOfPage[page, default: 0] |= 1 << UInt32(label) }
    }

    mutating func remove(_ label: Int, _ entry: Entry) {
        for page in pages(entry) {
            guard let labels = labelsOfPage[page] else { continue }
            let left = labels & ~(1 << UInt32(label))
            labelsOfPage[page] = left == 0 ? nil : left
        }
    }

    func labels(_ entry: Entry) -> UInt32 {
        pages(entry).reduce(0) { $0 | (labelsOfPage[$1] ?? 0) }
    }
}
