/// A cache of translations as an IOMMU keeps them: set-associative, tagged by domain, page number and page size
/// (model.md §3.3, §5).
///
/// Each entry keeps its own page size, so one cache holds 4 KiB and 1 GiB pages side by side and a lookup tries each
/// size that is in use, the smallest first. It is a simulation: what it does not hold any more, real hardware may, so
/// stale windows are bounded without it (design §4 18).
///
/// Entries are found by hashing and each set has its entries in a list by age, so that a lookup and a fill take the same
/// time however many ways there are, and an invalidation no longer than the smaller of its range and the cache.
public struct IOTLB: Sendable {
    /// A translation that is, or was, in the cache.
    public struct Entry: Hashable, Sendable {
        /// Whose translation it is.
        public let domain: Int32
        /// The bytes of the page.
        public let range: AddressRange
        /// What the first byte of the page translates to.
        public let target: UInt64
        /// Whatever the owner of the cache wants to know of the entry; 0 unless it says so.
        public var note: Int64 = 0

        /// Bytes of the page, a power of two.
        public var size: UInt64 { range.size }
    }

    /// What a lookup found.
    public struct Hit: Hashable, Sendable {
        /// What the address translates to.
        public let target: UInt64
        /// Bytes of the page that the entry covers.
        public let size: UInt64
        /// The entry's ``Entry/note``.
        public var note: Int64 = 0
    }

    /// An entry's storage, or the head of one set's list.
    ///
    /// The list runs through `newer` and `older` in a ring, by use if the replacement goes by use, else by fill. The head is
    /// newer than the newest and older than the oldest, so that no link is ever missing.
    private struct Slot {
        /// First address of the page and, in bits that are zero there, log2 of its size; 0 if there is no entry.
        var tag: UInt64 = 0
        var target: UInt64 = 0
        var note: Int64 = 0
        var domain: Int32 = 0
        var newer: Int32 = 0
        var older: Int32 = 0
    }

    /// What is taken of one set.
    private struct Occupancy {
        var count: Int32 = 0
        /// No word of ``free`` below this one of the set has a free way.
        var firstFreeWord: Int32 = 0
    }

    private static let none: Int32 = -1
    /// Log2 of the smallest page: lower bits of a tag's address are always zero.
    private static let smallestShift = 12

    /// Size and replacement.
    public let geometry: CacheGeometry
    /// What happened so far.
    public private(set) var counters = CacheCounters()
    /// Entries held now.
    public private(set) var count = 0

    /// Entries by set, then way, and behind them the heads by set.
    private var slots: ContiguousArray<Slot>
    private var occupancies: ContiguousArray<Occupancy>
    /// Open addressing with linear probing: slot numbers, at most half of the places taken.
    private var index: ContiguousArray<Int32>
    private let indexShift: UInt64
    /// By set, then word: which ways are free, a bit each.
    private var free: ContiguousArray<UInt64>
    private let wordsPerSet: Int
    private let setMask: UInt64
    private let movesOnHit: Bool
    /// Bit n is set if an entry has a page of 2^n bytes.
    private var sizesInUse: UInt64 = 0
    /// By log2 of the page size.
    private var entriesOfSize = ContiguousArray<Int32>(repeating: 0, count: 64)
    private var random: UInt64

    /// An empty cache.
    public init(_ geometry: CacheGeometry) {
        self.geometry = geometry
        setMask = UInt64(geometry.sets - 1)
        slots = ContiguousArray(repeating: Slot(), count: geometry.entries + geometry.sets)
        occupancies = ContiguousArray(repeating: Occupancy(), count: geometry.sets)
        let indexBits = Int.bitWidth - (2 * geometry.entries - 1).leadingZeroBitCount
        index = ContiguousArray(repeating: Self.none, count: 1 << indexBits)
        indexShift = UInt64(64 - indexBits)
        wordsPerSet = (geometry.ways + 63) / 64
        free = ContiguousArray(repeating: 0, count: geometry.sets * wordsPerSet)
        movesOnHit = geometry.replacement == .leastRecentlyUsed
        if case .random(let seed) = geometry.replacement { random = seed } else { random = 0 }
        reset()
    }

    // MARK: - Lookups and fills

    /// What `iova` translates to in `domain`, if an entry covers it; of several the one with the smallest page.
    public mutating func lookup(domain: Int32, iova: UInt64) -> Hit? {
        var sizes = sizesInUse
        while sizes != 0 {
            let shift = UInt64(truncatingIfNeeded: sizes.trailingZeroBitCount)
            sizes &= sizes &- 1
            let mask = (1 &<< shift) &- 1
            let slot = find(domain, iova & ~mask | shift)
            if slot != Self.none {
                counters.hits &+= 1
                if movesOnHit { moveToNewest(slot, head: head(ofSet: set(shift, iova))) }
                return Hit(
                    target: slots[Int(slot)].target &+ (iova & mask), size: mask &+ 1, note: slots[Int(slot)].note)
            }
        }
        counters.misses &+= 1
        return nil
    }

    /// Whether an entry covers `iova` in `domain`: a lookup that leaves no trace.
    public func contains(domain: Int32, iova: UInt64) -> Bool {
        var sizes = sizesInUse
        while sizes != 0 {
            let shift = UInt64(truncatingIfNeeded: sizes.trailingZeroBitCount)
            sizes &= sizes &- 1
            if find(domain, iova & ~((1 &<< shift) &- 1) | shift) != Self.none { return true }
        }
        return false
    }

    /// Caches the translation of the page around `iova`.
    ///
    /// An entry with the same tag is overwritten and counts as just used; if the replacement goes by fills it keeps its
    /// age. Other entries make room as the geometry says.
    ///
    /// - Parameters:
    ///   - target: what `iova` itself translates to.
    ///   - size: bytes of the page.
    ///   - note: what ``Entry/note`` begins with.
    ///   - evicted: called with each entry that makes room, in no order to rely on.
    /// - Returns: whether it was cached; `false`, and nothing has changed, unless `size` is a power of two from 4096 up.
    @discardableResult
    public mutating func fill(
        domain: Int32, iova: UInt64, target: UInt64, size: UInt64, note: Int64 = 0,
        evicted: (Entry) -> Void = { _ in }
    ) -> Bool {
        let shift = size.trailingZeroBitCount
        guard size & (size &- 1) == 0, (Self.smallestShift..<64).contains(shift) else { return false }
        let mask = size &- 1
        let tag = iova & ~mask | UInt64(shift)
        let base = target &- (iova & mask)
        counters.fills &+= 1
        // QEMU looks at the number of entries only, not whether one with this tag is about to be replaced.
        if geometry.replacement == .resetWhenFull, count == geometry.entries {
            counters.evictions &+= Int64(count)
            removeAll(evicted)
        }
        let found = find(domain, tag)
        if found != Self.none {
            slots[Int(found)].target = base
            slots[Int(found)].note = note
            if movesOnHit { moveToNewest(found, head: head(ofSet: set(UInt64(shift), iova))) }
            return true
        }
        let set = set(UInt64(shift), iova)
        if Int(occupancies[set].count) == geometry.ways {
            let victim = victim(in: set)
            counters.evictions &+= 1
            evicted(entry(victim))
            remove(victim)
        }
        insert(Slot(tag: tag, target: base, note: note, domain: domain), set: set)
        return true
    }

    /// The entry of a full set that makes room.
    private mutating func victim(in set: Int) -> Int32 {
        guard case .random = geometry.replacement else { return slots[head(ofSet: set)].newer }
        // SplitMix64; the high half of the product is even enough over any number of ways.
        random &+= 0x9e37_79b9_7f4a_7c15
        var value = random
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        value ^= value >> 31
        let way = value.multipliedFullWidth(by: UInt64(geometry.ways)).high
        return Int32(truncatingIfNeeded: set &* geometry.ways &+ Int(way))
    }

    // MARK: - Invalidations

    /// Removes each entry of `domain` that shares a byte with `range`, whole: a page-selective invalidation.
    ///
    /// - Parameter killed: called with each of them, in no order to rely on.
    /// - Returns: how many they were.
    @discardableResult
    public mutating func invalidate(
        domain: Int32, _ range: AddressRange, killed: (Entry) -> Void = { _ in }
    ) -> Int {
        guard count > 0 else { return 0 }
        guard pages(in: range, upTo: count) < count else {
            return kill(killed) { $0.domain == domain && Self.range(of: $0.tag).overlaps(range) }
        }
        let before = count
        var sizes = sizesInUse
        while sizes != 0 {
            let shift = UInt64(truncatingIfNeeded: sizes.trailingZeroBitCount)
            sizes &= sizes &- 1
            var page = range.start >> shift
            let last = range.last >> shift
            while page <= last {
                let slot = find(domain, page << shift | shift)
                if slot != Self.none { kill(slot, killed) }
                page &+= 1
            }
        }
        return before - count
    }

    /// Removes each entry that shares a byte with `range`, whole, whatever its domain.
    ///
    /// - Parameter killed: called with each of them, in no order to rely on.
    /// - Returns: how many they were.
    @discardableResult
    public mutating func invalidate(_ range: AddressRange, killed: (Entry) -> Void = { _ in }) -> Int {
        kill(killed) { Self.range(of: $0.tag).overlaps(range) }
    }

    /// Removes each entry of `domain`: a domain-selective invalidation.
    ///
    /// - Parameter killed: called with each of them, in no order to rely on.
    /// - Returns: how many they were.
    @discardableResult
    public mutating func invalidateDomain(_ domain: Int32, killed: (Entry) -> Void = { _ in }) -> Int {
        kill(killed) { $0.domain == domain }
    }

    /// Removes each entry: a global invalidation.
    ///
    /// - Parameter killed: called with each of them, in no order to rely on.
    /// - Returns: how many they were.
    @discardableResult
    public mutating func invalidateAll(killed: (Entry) -> Void = { _ in }) -> Int {
        let before = count
        counters.kills &+= Int64(before)
        removeAll(killed)
        return before
    }

    /// Gives each entry of `domain` that shares a byte with `range` a new note: no lookup, and nothing else changes.
    ///
    /// - Parameter note: called with each of them, in no order to rely on; returns its ``Entry/note`` from now on.
    public mutating func updateNotes(domain: Int32, overlapping range: AddressRange, _ note: (Entry) -> Int64) {
        guard count > 0 else { return }
        guard pages(in: range, upTo: count) < count else {
            for slot in slots.indices
            where slots[slot].tag != 0 && slots[slot].domain == domain
                && Self.range(of: slots[slot].tag).overlaps(range)
            {
                slots[slot].note = note(entry(Int32(truncatingIfNeeded: slot)))
            }
            return
        }
        var sizes = sizesInUse
        while sizes != 0 {
            let shift = UInt64(truncatingIfNeeded: sizes.trailingZeroBitCount)
            sizes &= sizes &- 1
            var page = range.start >> shift
            let last = range.last >> shift
            while page <= last {
                let slot = find(domain, page << shift | shift)
                if slot != Self.none { slots[Int(slot)].note = note(entry(slot)) }
                page &+= 1
            }
        }
    }

    /// Calls `body` with each entry, in no order to rely on.
    public func forEachEntry(_ body: (Entry) -> Void) {
        guard count > 0 else { return }
        for slot in slots.indices where slots[slot].tag != 0 { body(entry(Int32(truncatingIfNeeded: slot))) }
    }

    /// How many pages of the sizes in use `range` touches; `limit` if they are more.
    private func pages(in range: AddressRange, upTo limit: Int) -> Int {
        var pages: UInt64 = 0
        var sizes = sizesInUse
        while sizes != 0, pages < UInt64(limit) {
            let shift = UInt64(truncatingIfNeeded: sizes.trailingZeroBitCount)
            sizes &= sizes &- 1
            // At most 2^52 for each size.
            pages &+= (range.last >> shift) &- (range.start >> shift) &+ 1
        }
        return Int(min(pages, UInt64(limit)))
    }

    private mutating func kill(_ killed: (Entry) -> Void, where isDoomed: (Slot) -> Bool) -> Int {
        guard count > 0 else { return 0 }
        let before = count
        for slot in slots.indices where slots[slot].tag != 0 && isDoomed(slots[slot]) {
            kill(Int32(truncatingIfNeeded: slot), killed)
        }
        return before - count
    }

    private mutating func kill(_ slot: Int32, _ killed: (Entry) -> Void) {
        counters.kills &+= 1
        killed(entry(slot))
        remove(slot)
    }

    // MARK: - Slots

    private static func range(of tag: UInt64) -> AddressRange {
        let shift = tag & 63
        return AddressRange(uncheckedStart: tag ^ shift, last: tag ^ shift | ((1 &<< shift) &- 1))
    }

    private func entry(_ slot: Int32) -> Entry {
        let slot = slots[Int(slot)]
        return Entry(domain: slot.domain, range: Self.range(of: slot.tag), target: slot.target, note: slot.note)
    }

    /// The set of a page of 2^shift bytes.
    @inline(__always)
    private func set(_ shift: UInt64, _ iova: UInt64) -> Int {
        Int(truncatingIfNeeded: (iova &>> shift) & setMask)
    }

    @inline(__always)
    private func head(ofSet set: Int) -> Int { geometry.entries &+ set }

    /// Writes an entry into the lowest free way of a set that has one.
    private mutating func insert(_ new: Slot, set: Int) {
        var word = Int(occupancies[set].firstFreeWord)
        while free[set &* wordsPerSet &+ word] == 0 { word &+= 1 }
        occupancies[set].firstFreeWord = Int32(truncatingIfNeeded: word)
        let bit = free[set &* wordsPerSet &+ word].trailingZeroBitCount
        free[set &* wordsPerSet &+ word] &= ~(1 &<< UInt64(truncatingIfNeeded: bit))
        let slot = Int32(truncatingIfNeeded: set &* geometry.ways &+ word &* 64 &+ bit)

        slots[Int(slot)] = new
        linkAsNewest(slot, head: head(ofSet: set))
        occupancies[set].count &+= 1
        count &+= 1
        let shift = Int(new.tag & 63)
        entriesOfSize[shift] &+= 1
        sizesInUse |= 1 &<< UInt64(shift)

        var place = home(new.domain, new.tag)
        while index[place] != Self.none { place = (place &+ 1) & (index.count &- 1) }
        index[place] = slot
    }

    private mutating func remove(_ slot: Int32) {
        removeFromIndex(slot)
        unlink(slot)
        let (set, way) = Int(slot).quotientAndRemainder(dividingBy: geometry.ways)
        free[set &* wordsPerSet &+ way / 64] |= 1 &<< UInt64(way % 64)
        occupancies[set].firstFreeWord = min(occupancies[set].firstFreeWord, Int32(truncatingIfNeeded: way / 64))
        occupancies[set].count &-= 1
        count &-= 1
        let shift = Int(slots[Int(slot)].tag & 63)
        entriesOfSize[shift] &-= 1
        if entriesOfSize[shift] == 0 { sizesInUse &= ~(1 &<< UInt64(shift)) }
        slots[Int(slot)] = Slot()
    }

    private mutating func removeAll(_ body: (Entry) -> Void) {
        guard count > 0 else { return }
        forEachEntry(body)
        reset()
    }

    /// Makes everything as it is in an empty cache, the counters aside.
    private mutating func reset() {
        for slot in slots.indices { slots[slot] = Slot() }
        for set in occupancies.indices {
            let head = head(ofSet: set)
            slots[head].newer = Int32(truncatingIfNeeded: head)
            slots[head].older = Int32(truncatingIfNeeded: head)
            occupancies[set] = Occupancy()
        }
        for place in index.indices { index[place] = Self.none }
        for shift in entriesOfSize.indices { entriesOfSize[shift] = 0 }
        for word in free.indices {
            let waysLeft = geometry.ways - word % wordsPerSet * 64
            free[word] = waysLeft >= 64 ? .max : (1 << UInt64(waysLeft)) - 1
        }
        sizesInUse = 0
        count = 0
    }

    // MARK: - Index

    /// Where the search for a tag starts. Well mixed: no log can make all tags collide without meaning to.
    @inline(__always)
    private func home(_ domain: Int32, _ tag: UInt64) -> Int {
        let key = UInt64(UInt32(bitPattern: domain)) &* 0x9e37_79b9_7f4a_7c15 ^ 0x2d35_8dcc_aa6c_78a5
        let product = (tag ^ key).multipliedFullWidth(by: key ^ 0x8bb8_4b93_962e_acc9)
        return Int(truncatingIfNeeded: (product.high ^ product.low) &>> indexShift)
    }

    /// The slot of a tag; ``none`` if it is not there.
    @inline(__always)
    private func find(_ domain: Int32, _ tag: UInt64) -> Int32 {
        var place = home(domain, tag)
        while true {
            let slot = index[place]
            if slot == Self.none { return slot }
            if slots[Int(slot)].tag == tag, slots[Int(slot)].domain == domain { return slot }
            place = (place &+ 1) & (index.count &- 1)
        }
    }

    private mutating func removeFromIndex(_ slot: Int32) {
        let mask = index.count &- 1
        var hole = home(slots[Int(slot)].domain, slots[Int(slot)].tag)
        while index[hole] != slot { hole = (hole &+ 1) & mask }
        // Whatever was pushed beyond the hole by what stood in it moves up: a search must not end there.
        var place = (hole &+ 1) & mask
        while index[place] != Self.none {
            let moved = slots[Int(index[place])]
            if (place &- home(moved.domain, moved.tag)) & mask >= (place &- hole) & mask {
                index[hole] = index[place]
                hole = place
            }
            place = (place &+ 1) & mask
        }
        index[hole] = Self.none
    }

    // MARK: - Ages

    private mutating func linkAsNewest(_ slot: Int32, head: Int) {
        let newest = slots[head].older
        slots[Int(slot)].newer = Int32(truncatingIfNeeded: head)
        slots[Int(slot)].older = newest
        slots[Int(newest)].newer = slot
        slots[head].older = slot
    }

    private mutating func unlink(_ slot: Int32) {
        let (newer, older) = (slots[Int(slot)].newer, slots[Int(slot)].older)
        slots[Int(newer)].older = older
        slots[Int(older)].newer = newer
    }

    /// ``unlink(_:)`` and ``linkAsNewest(_:head:)``: what each hit under LRU costs.
    @inline(__always)
    private mutating func moveToNewest(_ slot: Int32, head: Int) {
        guard slots[head].older != slot else { return }
        // One check that the storage is this cache's alone instead of one for each link.
        slots.withUnsafeMutableBufferPointer { slots in
            let (newer, older) = (slots[Int(slot)].newer, slots[Int(slot)].older)
            slots[Int(newer)].older = older
            slots[Int(older)].newer = newer
            let newest = slots[head].older
            slots[Int(slot)].newer = Int32(truncatingIfNeeded: head)
            slots[Int(slot)].older = newest
            slots[Int(newest)].newer = slot
            slots[head].older = slot
        }
    }
}
