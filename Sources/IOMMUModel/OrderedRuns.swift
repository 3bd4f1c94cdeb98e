/// Runs that do not overlap, in order of address: what ``TranslationMap`` keeps them in.
///
/// They lie in blocks of at most ``blockCapacity``; finding one is a binary search over the blocks' first addresses and one
/// inside a block. Most searches are for the address of a run that was found before: hints say where such a run may stand,
/// and whether it does shows at a glance.
///
/// A class, so that looking into a map that lies in an array or an object copies one reference; ``TranslationMap`` copies it
/// before it changes what others refer to as well, which is why it may be sent.
final class OrderedRuns: @unchecked Sendable {
    typealias Run = TranslationMap.Run

    /// Where a run stands: the how-manieth block, and the place in that.
    struct Position {
        fileprivate var block: Int
        fileprivate var index: Int
    }

    /// Where a run stands in memory, until anything is added, removed or moved.
    typealias Place = Int

    private static let blockCapacity = 64
    /// What a hint can tell; of maps that have more runs only some are hinted at.
    private static let hintLimit = 1 << 16

    /// Block after block in the order in which they were made. What is free holds ``nothing``, which no address lies in.
    @exclusivity(unchecked) private var places: ContiguousArray<Run> = []
    /// By block as they lie in ``places``.
    @exclusivity(unchecked) private var counts: ContiguousArray<Int> = []
    @exclusivity(unchecked) private var unused: ContiguousArray<Int> = []
    /// The blocks in order of address, and the first address of each.
    @exclusivity(unchecked) private var order: ContiguousArray<Int> = []
    @exclusivity(unchecked) private var firstAddress: ContiguousArray<UInt64> = []
    /// By a hash of the address: where the run may stand that begins there.
    @exclusivity(unchecked) private var hints: ContiguousArray<UInt16> = []
    @exclusivity(unchecked) private var hintShift: UInt64 = 0

    private static let nothing = Run(range: AddressRange(uncheckedStart: .max, last: 0), target: 0, pageSize: 0)

    init() {}

    func copy() -> OrderedRuns {
        let copy = OrderedRuns()
        (copy.places, copy.counts, copy.unused) = (places, counts, unused)
        (copy.order, copy.firstAddress) = (order, firstAddress)
        (copy.hints, copy.hintShift) = (hints, hintShift)
        return copy
    }

    // MARK: - Finding

    /// Whether there is none.
    var isEmpty: Bool { order.isEmpty }

    subscript(place: Place) -> Run {
        @inline(__always) get { places[place] }
        @inline(__always) set { places[place] = newValue }
    }

    /// Where the run at a position stands.
    @inline(__always)
    func place(of position: Position) -> Place { order[position.block] * Self.blockCapacity + position.index }

    /// Where the run that an address lies in stands, if a hint tells.
    @inline(__always)
    func hintedPlace(of address: UInt64) -> Place? {
        guard !hints.isEmpty else { return nil }
        let place = Int(hints[hintIndex(of: address)])
        guard place < places.count, places[place].range.start <= address, address <= places[place].range.last else {
            return nil
        }
        return place
    }

    /// From now on a hint tells where the run is that begins at an address.
    @inline(__always)
    func hint(_ place: Place) {
        hints[hintIndex(of: places[place].range.start)] = UInt16(truncatingIfNeeded: place)
    }

    @inline(__always)
    private func hintIndex(of address: UInt64) -> Int {
        Int(truncatingIfNeeded: ((address >> 12) &* 0x9e37_79b9_7f4a_7c15) >> hintShift)
    }

    /// The first run that ends at an address or after; `nil` if all end before.
    func position(ofFirstEndingAtOrAfter address: UInt64) -> Position? {
        guard !order.isEmpty else { return nil }
        // The last block that starts at or before the address, then the first run in it that does not end before it.
        let block = max(firstAddress.partitioningIndex { $0 > address } - 1, 0)
        let start = order[block] * Self.blockCapacity
        let count = counts[order[block]]
        let index = places.withUnsafeBufferPointer {
            UnsafeBufferPointer(rebasing: $0[start..<start + count]).partitioningIndex { $0.range.last >= address }
        }
        if index < count { return Position(block: block, index: index) }
        return block + 1 < order.count ? Position(block: block + 1, index: 0) : nil
    }

    /// The position of the next run; `nil` after the last.
    @inline(__always)
    func position(after position: Position) -> Position? {
        if position.index + 1 < counts[order[position.block]] {
            return Position(block: position.block, index: position.index + 1)
        }
        return position.block + 1 < order.count ? Position(block: position.block + 1, index: 0) : nil
    }

    /// Calls `body` with each run's place, in order of address.
    func forEachPlace(_ body: (Place) -> Void) {
        for block in order {
            let start = block * Self.blockCapacity
            for place in start..<start + counts[block] { body(place) }
        }
    }

    // MARK: - Changing

    /// Puts a run in the place of another, between the same neighbours.
    func replace(at position: Position, with run: Run) {
        let place = place(of: position)
        places[place] = run
        if position.index == 0 { firstAddress[position.block] = run.range.start }
        hint(place)
    }

    /// Adds a run before the one at a position, or behind all others.
    func insert(_ run: Run, before position: Position?) {
        var position = position ?? end()
        if counts[order[position.block]] == Self.blockCapacity { split(&position) }
        let block = order[position.block]
        let start = block * Self.blockCapacity
        move(from: start + position.index, to: start + position.index + 1, count: counts[block] - position.index)
        counts[block] += 1
        replace(at: position, with: run)
    }

    func remove(at position: Position) {
        let block = order[position.block]
        let start = block * Self.blockCapacity
        counts[block] -= 1
        move(from: start + position.index + 1, to: start + position.index, count: counts[block] - position.index)
        places[start + counts[block]] = Self.nothing
        if counts[block] == 0 {
            order.remove(at: position.block)
            firstAddress.remove(at: position.block)
            unused.append(block)
        } else if position.index == 0 {
            firstAddress[position.block] = places[start].range.start
        }
    }

    func removeAll() {
        places.removeAll(keepingCapacity: true)
        counts.removeAll(keepingCapacity: true)
        unused.removeAll(keepingCapacity: true)
        order.removeAll(keepingCapacity: true)
        firstAddress.removeAll(keepingCapacity: true)
    }

    /// Behind all runs.
    private func end() -> Position {
        if let last = order.last { return Position(block: order.count - 1, index: counts[last]) }
        order.append(newBlock())
        firstAddress.append(0)
        return Position(block: 0, index: 0)
    }

    /// Makes two blocks of a full one. The position stays where it was among the runs.
    private func split(_ position: inout Position) {
        let lower = order[position.block]
        let upper = newBlock()
        // What grows at its end only fills its blocks.
        let isLast = position.block == order.count - 1 && position.index == Self.blockCapacity
        let kept = isLast ? Self.blockCapacity - 1 : Self.blockCapacity / 2
        let start = lower * Self.blockCapacity
        move(from: start + kept, to: upper * Self.blockCapacity, count: Self.blockCapacity - kept)
        for place in start + kept..<start + Self.blockCapacity { places[place] = Self.nothing }
        counts[lower] = kept
        counts[upper] = Self.blockCapacity - kept
        order.insert(upper, at: position.block + 1)
        firstAddress.insert(places[upper * Self.blockCapacity].range.start, at: position.block + 1)
        if position.index > kept { position = Position(block: position.block + 1, index: position.index - kept) }
    }

    private func newBlock() -> Int {
        if let block = unused.popLast() { return block }
        places.append(contentsOf: repeatElement(Self.nothing, count: Self.blockCapacity))
        counts.append(0)
        if places.count > hints.count, hints.count < Self.hintLimit { growHints() }
        return counts.count - 1
    }

    private func growHints() {
        let count = max(hints.count * 2, Self.blockCapacity * 2)
        hints = ContiguousArray(repeating: 0, count: count)
        hintShift = UInt64(64 - count.trailingZeroBitCount)
        for block in order {
            let start = block * Self.blockCapacity
            for place in start..<start + counts[block] { hint(place) }
        }
    }

    private func move(from source: Int, to target: Int, count: Int) {
        guard count > 0 else { return }
        places.withUnsafeMutableBufferPointer { places in
            guard let base = places.baseAddress, max(source, target) + count <= places.count else { return }
            (base + target).update(from: base + source, count: count)
        }
    }
}

extension UnsafeBufferPointer {
    /// The index of the first element for which `isInSecondPart` holds, in an array where it holds from some element on.
    ///
    /// Written so that it compiles to moves instead of jumps, which nothing could foresee.
    @inline(__always)
    fileprivate func partitioningIndex(where isInSecondPart: (Element) -> Bool) -> Int {
        guard !isEmpty else { return 0 }
        var base = 0
        var left = count
        while left > 1 {
            let half = left / 2
            base = isInSecondPart(self[base + half - 1]) ? base : base + half
            left -= half
        }
        return isInSecondPart(self[base]) ? base : base + 1
    }
}

extension ContiguousArray {
    @inline(__always)
    fileprivate func partitioningIndex(where isInSecondPart: (Element) -> Bool) -> Int {
        withUnsafeBufferPointer { $0.partitioningIndex(where: isInSecondPart) }
    }
}
