import SeededTable

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
    /// Labels that an unmap cannot have, as bits: no command of theirs came after it in time.
    var impossible: UInt32 = 0
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

    /// The label, or -1 if it cannot be.
    func possible(_ label: Int) -> Int { label >= 0 && impossible >> UInt32(label) & 1 != 0 ? -1 : label }
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
    private(set) var labelsOfPage = SeededTable<UInt64, UInt32>()

    /// Larger operations do not count: they would cost too much, and flush queues hand out small ones.
    private static let pageLimit: UInt64 = 64

    private func pages(_ entry: Entry) -> Range<UInt64> {
        let first = entry.iova >> 12
        let count = (entry.size >> 12) &+ (entry.size & 4095 == 0 ? 0 : 1)
        return first..<(first &+ min(count, Self.pageLimit))
    }

    mutating func add(_ label: Int, _ entry: Entry) {
        guard labelsOfPage.count < Resolver.memoryLimit else { return }
        for page in pages(entry) { labelsOfPage.set(page, (labelsOfPage[page] ?? 0) | 1 << UInt32(label)) }
    }

    mutating func remove(_ label: Int, _ entry: Entry) {
        for page in pages(entry) {
            guard let labels = labelsOfPage[page] else { continue }
            let left = labels & ~(1 << UInt32(label))
            if left == 0 { labelsOfPage.remove(page) } else { labelsOfPage.set(page, left) }
        }
    }

    func labels(_ entry: Entry) -> UInt32 {
        pages(entry).reduce(0) { $0 | (labelsOfPage[$1] ?? 0) }
    }
}

/// What a log has mapped so far: a filter that never forgets a page, and takes some for mapped that were not. An unmap of what
/// was not mapped is of something from before the recording, of whichever domain.
///
/// Its hash has no seed: which pages share a bit must not differ from run to run, since a verdict may rest on it. No page costs
/// more than another whatever bits they share.
struct EverMapped {
    private static let bits = 1 << 22
    private static let pageLimit: UInt64 = 64

    private var words = ContiguousArray<UInt64>(repeating: 0, count: EverMapped.bits / 64)
    /// From the first to the last byte of larger maps.
    private var large: ClosedRange<UInt64>?

    private static func pages(_ entry: Entry) -> ClosedRange<UInt64>? {
        let first = entry.iova >> 12
        let last = entry.iova.addingReportingOverflow(max(entry.size, 1) - 1)
        guard !last.overflow, last.partialValue >> 12 - first < pageLimit else { return nil }
        return first...last.partialValue >> 12
    }

    private static func bit(_ page: UInt64) -> Int {
        Int(truncatingIfNeeded: (page &* 0x9e37_79b9_7f4a_7c15) >> 42)
    }

    mutating func add(_ entry: Entry) {
        guard let pages = Self.pages(entry) else {
            let last = entry.iova.addingReportingOverflow(max(entry.size, 1) - 1)
            let end = last.overflow ? .max : last.partialValue
            large = min(large?.lowerBound ?? .max, entry.iova)...max(large?.upperBound ?? 0, end)
            return
        }
        for page in pages {
            let bit = Self.bit(page)
            words[bit >> 6] |= 1 << UInt64(bit & 63)
        }
    }

    /// Whether something there may have been mapped.
    func mayHold(_ entry: Entry) -> Bool {
        guard let pages = Self.pages(entry) else { return true }
        if let large, pages.lowerBound <= large.upperBound >> 12, large.lowerBound >> 12 <= pages.upperBound {
            return true
        }
        return pages.contains { page in
            let bit = Self.bit(page)
            return words[bit >> 6] >> UInt64(bit & 63) & 1 != 0
        }
    }
}
