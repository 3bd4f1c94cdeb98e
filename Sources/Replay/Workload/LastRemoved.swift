import IOMMUModel

/// When each page was unmapped last, so that it is known how long ago that is when it is mapped again.
///
/// Small removals stand page by page in a hash table, large ones as ranges. Both forget what is long ago when they are full:
/// an address that is never used again must not cost memory for ever.
struct LastRemoved {
    /// When something was removed.
    struct Moment: Hashable {
        /// Number of the call, from 1.
        var ordinal: Int64
        /// ns
        var time: Int64
    }

    /// Of pages one by one so many are remembered before half of them is forgotten, of ranges a quarter.
    static let limit = 1 << 19
    /// Up to so many pages stand one by one.
    private static let pagewise: Int64 = 16

    private struct Entry {
        var page: UInt64 = 0
        var space: Int32 = 0
        /// 0 where the slot is free; negative once the page was mapped again.
        var ordinal: Int64 = 0
        var time: Int64 = 0
    }

    private var slots = ContiguousArray(repeating: Entry(), count: 256)
    private var count = 0
    /// By address space. The tag of a run is the time, and what its target exceeds its start by is the ordinal: that stays so
    /// when a run is cut.
    private var ranges: ContiguousArray<TranslationMap>
    private var oldest: Int64 = 0
    private var latest: Int64 = 0

    /// - Parameter spaces: how many address spaces there are, numbered from 0.
    init(spaces: Int) { ranges = ContiguousArray(repeating: TranslationMap(), count: spaces) }

    /// A range was removed, now. Whole pages of 4096 bytes count.
    mutating func add(_ range: AddressRange, space: Int32, _ moment: Moment) {
        latest = moment.ordinal
        let pages = range.pages
        guard pages > 0, pages <= Self.pagewise else { return addRange(range, space: space, moment) }
        for page in 0..<UInt64(pages) { addPage(range.start & ~4095 &+ page << 12, space: space, moment) }
    }

    private mutating func addRange(_ range: AddressRange, space: Int32, _ moment: Moment) {
        guard ranges.indices.contains(Int(space)) else { return }
        let whole = range.roundedOut(to: 4096)
        ranges[Int(space)].replace(
            with: TranslationMap.Run(
                range: whole, target: whole.start &+ UInt64(bitPattern: moment.ordinal), pageSize: 4096,
                tag: moment.time))
        guard ranges[Int(space)].runCount > Self.limit / 4 else { return }
        let recent = latest - (latest - oldest) / 2
        ranges[Int(space)].filter { Self.ordinal(of: $0) >= recent }
        // What is left may all be recent; then it is forgotten sooner than it need be.
        if ranges[Int(space)].runCount > Self.limit / 8 { ranges[Int(space)].removeAll() }
        oldest = max(oldest, recent)
    }

    private mutating func addPage(_ page: UInt64, space: Int32, _ moment: Moment) {
        let slot = slot(of: page, space)
        if slots[slot].ordinal == 0 { count += 1 }
        slots[slot] = Entry(page: page, space: space, ordinal: moment.ordinal, time: moment.time)
        guard count * 2 > slots.count else { return }
        if count < Self.limit {
            rebuild(slots: slots.count * 2, since: 0)
        } else {
            var since = oldest
            repeat {
                since += max((latest - since) / 2, 0) + 1
                rebuild(slots: slots.count, since: since)
            } while count > Self.limit / 2
            oldest = max(oldest, since)
        }
    }

    /// When a page was removed last, if it was not asked for since; it is mapped again now.
    mutating func take(_ page: UInt64, space: Int32) -> Moment? {
        let slot = slot(of: page, space)
        let entry = slots[slot]
        if ranges.indices.contains(Int(space)), ranges[Int(space)].runCount > 0,
            let run = ranges[Int(space)].run(of: page), Self.ordinal(of: run) > abs(entry.ordinal)
        {
            // From now on the page stands by itself.
            let moment = Moment(ordinal: Self.ordinal(of: run), time: run.tag)
            addPage(page, space: space, Moment(ordinal: -moment.ordinal, time: moment.time))
            return moment
        }
        guard entry.ordinal > 0 else { return nil }
        slots[slot].ordinal = -entry.ordinal
        return Moment(ordinal: entry.ordinal, time: entry.time)
    }

    private static func ordinal(of run: TranslationMap.Run) -> Int64 {
        Int64(bitPattern: run.target &- run.range.start)
    }

    /// Where a page stands, or would.
    @inline(__always)
    private func slot(of page: UInt64, _ space: Int32) -> Int {
        let mask = slots.count - 1
        let mixed = (page >> 12 ^ UInt64(UInt32(bitPattern: space)) << 44) &* 0x9e37_79b9_7f4a_7c15
        var slot = Int(truncatingIfNeeded: mixed >> 24) & mask
        while slots[slot].ordinal != 0, slots[slot].page != page || slots[slot].space != space {
            slot = (slot + 1) & mask
        }
        return slot
    }

    /// - Parameter since: what was removed before is forgotten.
    private mutating func rebuild(slots size: Int, since: Int64) {
        let old = slots
        slots = ContiguousArray(repeating: Entry(), count: size)
        count = 0
        for entry in old where entry.ordinal != 0 && abs(entry.ordinal) >= since {
            slots[slot(of: entry.page, entry.space)] = entry
            count += 1
        }
    }
}
