/// Translations of one address space into another, such as IOVAs into physical addresses, in order of address.
///
/// They are kept as runs, contiguous on both sides, so that a translation of any length costs a handful of entries: a
/// log's claim to have mapped an exabyte must not allocate one. Runs lie in blocks of at most ``blockCapacity``; finding
/// one is a binary search over the blocks' first addresses and one inside a block.
public struct TranslationMap: Sendable {
    /// Addresses that lie beside each other and so do their targets.
    public struct Run: Hashable, Sendable {
        /// The addresses that the run translates.
        public var range: AddressRange
        /// Where the first of them points to.
        public var target: UInt64
        /// Bytes of each page, aligned to it on both sides; 0 where it is not known what the addresses point to.
        public var pageSize: UInt64
        /// Whatever the owner of the map wants to know the run by.
        public var tag: Int64

        /// Creates a run.
        public init(range: AddressRange, target: UInt64, pageSize: UInt64, tag: Int64 = 0) {
            self.range = range
            self.target = target
            self.pageSize = pageSize
            self.tag = tag
        }

        /// The part of the run that lies in `range`; `nil` if there is none.
        public func clipped(to range: AddressRange) -> Run? {
            self.range.intersection(range).map {
                Run(range: $0, target: target &+ ($0.start - self.range.start), pageSize: pageSize, tag: tag)
            }
        }
    }

    /// What was removed.
    public struct Removed: Hashable, Sendable {
        /// Bytes that were translated and are not any more.
        public var bytes: UInt64 = 0
        /// Runs touched.
        public var runs = 0
        /// Runs of which a part stays.
        public var splitRuns = 0

        /// Nothing.
        public init(bytes: UInt64 = 0, runs: Int = 0, splitRuns: Int = 0) {
            self.bytes = bytes
            self.runs = runs
            self.splitRuns = splitRuns
        }
    }

    private static let blockCapacity = 64

    private var blocks: ContiguousArray<ContiguousArray<Run>> = []
    private var firstAddress: ContiguousArray<UInt64> = []

    /// Bytes translated now.
    public private(set) var bytes: UInt64 = 0
    /// Runs held now.
    public private(set) var runCount = 0

    /// Tag of the first run that the latest ``replace(with:)`` found in its place; as it was if it found none.
    public private(set) var replacedTag: Int64 = 0

    /// No translations.
    public init() {}

    /// Adds a run in place of whatever was translated there.
    ///
    /// - Returns: bytes that had been translated there before.
    @discardableResult
    public mutating func replace(with run: Run) -> UInt64 {
        guard let position = position(ofFirstRunEndingAtOrAfter: run.range.start) else {
            append(run)
            return 0
        }
        let next = blocks[position.block][position.index].range
        if next.start > run.range.last {
            insert(run, at: position)
            return 0
        }
        replacedTag = blocks[position.block][position.index].tag
        if next == run.range {
            // What is reused is mostly reused as it was.
            blocks[position.block][position.index] = run
            return next.size
        }
        let removed = remove(run.range).bytes
        insert(run)
        return removed
    }

    /// Removes all translations in `range`. Of a page that reaches beyond it the other part stays, in 4 KiB pages.
    @discardableResult
    public mutating func remove(_ range: AddressRange) -> Removed {
        var pieces: ContiguousArray<Run>?
        return remove(range, into: &pieces)
    }

    /// Removes all translations in `range`, and appends what was removed to `pieces`, in order of address.
    @discardableResult
    public mutating func remove(_ range: AddressRange, into pieces: inout ContiguousArray<Run>?) -> Removed {
        var result = Removed()
        guard var position = position(ofFirstRunEndingAtOrAfter: range.start) else { return result }
        var kept: [Run] = []
        while position.block < blocks.count {
            let block = position.block
            var end = position.index
            while end < blocks[block].count, blocks[block][end].range.start <= range.last {
                let run = blocks[block][end]
                if !range.contains(run.range) {
                    result.splitRuns += 1
                    Self.appendRemainder(of: run, outside: range, to: &kept)
                }
                result.runs += 1
                result.bytes &+= min(run.range.last, range.last) - max(run.range.start, range.start) + 1
                if pieces != nil, let piece = run.clipped(to: range) { pieces?.append(piece) }
                end += 1
            }
            guard end > position.index else { break }
            let reachesOn = end == blocks[block].count
            remove(position.index..<end, inBlock: block)
            guard reachesOn else { break }
            // A block that was emptied is gone, and its successor stands in its place.
            position = (position.index > 0 ? block + 1 : block, 0)
        }
        for run in kept { insert(run) }
        return result
    }

    /// Forgets everything.
    public mutating func removeAll() {
        guard runCount > 0 else { return }
        blocks.removeAll(keepingCapacity: true)
        firstAddress.removeAll(keepingCapacity: true)
        bytes = 0
        runCount = 0
    }

    /// Forgets the runs that `isKept` does not hold for.
    public mutating func filter(_ isKept: (Run) -> Bool) {
        let old = blocks
        removeAll()
        for block in old { for run in block where isKept(run) { insert(run) } }
    }

    /// What `address` points to; `nil` where nothing is translated.
    public func target(of address: UInt64) -> UInt64? {
        run(of: address).map { $0.target &+ (address - $0.range.start) }
    }

    /// The run that translates `address`; `nil` where nothing is translated.
    public func run(of address: UInt64) -> Run? {
        guard let position = position(ofFirstRunEndingAtOrAfter: address) else { return nil }
        let run = blocks[position.block][position.index]
        return run.range.start <= address ? run : nil
    }

    /// Calls `body` with each run that shares a byte with `range`, in order of address, at most `limit` of them.
    public func forEachRun(overlapping range: AddressRange, limit: Int = .max, _ body: (Run) -> Void) {
        guard var position = position(ofFirstRunEndingAtOrAfter: range.start) else { return }
        var left = limit
        while position.block < blocks.count {
            while position.index < blocks[position.block].count {
                let run = blocks[position.block][position.index]
                guard run.range.start <= range.last, left > 0 else { return }
                body(run)
                left -= 1
                position.index += 1
            }
            position = (position.block + 1, 0)
        }
    }

    /// Adds a run that overlaps no other.
    private mutating func insert(_ run: Run) {
        if let position = position(ofFirstRunEndingAtOrAfter: run.range.start) {
            insert(run, at: position)
        } else {
            append(run)
        }
    }

    // MARK: - Blocks

    private typealias Position = (block: Int, index: Int)

    private func position(ofFirstRunEndingAtOrAfter address: UInt64) -> Position? {
        guard !blocks.isEmpty else { return nil }
        // The last block that starts at or before the address, then the first run in it that does not end before it.
        let block = max(firstAddress.partitioningIndex { $0 > address } - 1, 0)
        let index = blocks[block].partitioningIndex { $0.range.last >= address }
        if index < blocks[block].count { return (block, index) }
        return block + 1 < blocks.count ? (block + 1, 0) : nil
    }

    /// Adds a run before the one at a position.
    private mutating func insert(_ run: Run, at position: Position) {
        runCount += 1
        bytes &+= run.range.size
        blocks[position.block].insert(run, at: position.index)
        if position.index == 0 { firstAddress[position.block] = run.range.start }
        if blocks[position.block].count > Self.blockCapacity { split(position.block) }
    }

    /// Adds a run behind all others.
    private mutating func append(_ run: Run) {
        runCount += 1
        bytes &+= run.range.size
        if blocks.isEmpty {
            blocks.append([run])
            firstAddress.append(run.range.start)
        } else {
            blocks[blocks.count - 1].append(run)
            if blocks[blocks.count - 1].count > Self.blockCapacity { split(blocks.count - 1) }
        }
    }

    private mutating func split(_ block: Int) {
        let half = blocks[block].count / 2
        let upper = ContiguousArray(blocks[block][half...])
        blocks[block].removeSubrange(half...)
        blocks.insert(upper, at: block + 1)
        firstAddress.insert(upper[0].range.start, at: block + 1)
    }

    private mutating func remove(_ indices: Range<Int>, inBlock block: Int) {
        for index in indices { bytes &-= blocks[block][index].range.size }
        runCount -= indices.count
        if indices.count == blocks[block].count {
            blocks.remove(at: block)
            firstAddress.remove(at: block)
        } else {
            blocks[block].removeSubrange(indices)
            firstAddress[block] = blocks[block][0].range.start
        }
    }

    /// Appends the parts of `run` before and after `range`. Of its pages only those that are cut fall apart.
    private static func appendRemainder(of run: Run, outside range: AddressRange, to kept: inout [Run]) {
        let isLarge = run.pageSize > smallestPage
        let mask = isLarge ? run.pageSize - 1 : 0
        let cutSize = isLarge ? smallestPage : run.pageSize
        func keep(_ start: UInt64, _ last: UInt64, pageSize: UInt64) {
            guard let part = AddressRange(start: start, last: last) else { return }
            kept.append(
                Run(range: part, target: run.target &+ (start - run.range.start), pageSize: pageSize, tag: run.tag))
        }
        if run.range.start < range.start {
            let cutPage = range.start & ~mask
            if cutPage > run.range.start { keep(run.range.start, cutPage - 1, pageSize: run.pageSize) }
            keep(cutPage, range.start - 1, pageSize: cutSize)
        }
        if run.range.last > range.last {
            let cutPage = range.last | mask
            keep(range.last + 1, cutPage, pageSize: cutSize)
            if cutPage < run.range.last { keep(cutPage + 1, run.range.last, pageSize: run.pageSize) }
        }
    }

    private static let smallestPage: UInt64 = 4096
}

extension ContiguousArray {
    /// The index of the first element for which `isInSecondPart` holds, in an array where it holds from some element on.
    ///
    /// Written so that it compiles to moves instead of jumps, which nothing could foresee.
    @inline(__always)
    func partitioningIndex(where isInSecondPart: (Element) -> Bool) -> Int {
        withUnsafeBufferPointer { elements in
            guard !elements.isEmpty else { return 0 }
            var base = 0
            var left = elements.count
            while left > 1 {
                let half = left / 2
                base = isInSecondPart(elements[base + half - 1]) ? base : base + half
                left -= half
            }
            return isInSecondPart(elements[base]) ? base : base + 1
        }
    }
}
