/// What a domain has mapped: the truth that caches may lag behind.
///
/// Leaves are kept as runs of equal pages, so that a mapping of any length costs a handful of entries: a log's claim to
/// have mapped an exabyte must not allocate one. Which leaves a map gets is the kernel's choice, ``PageSizes``.
///
/// Runs lie in order of address in blocks of at most ``blockCapacity``; finding one is a binary search over the blocks'
/// first addresses and one inside a block.
public struct PageTable: Sendable {
    /// Leaves of one size, contiguous in both address spaces.
    public struct Run: Hashable, Sendable {
        /// The IOVAs that the run translates.
        public var range: AddressRange
        /// Where the first of them points to.
        public var paddr: UInt64
        /// Bytes of each leaf.
        public var pageSize: UInt64
    }

    /// What an unmap found.
    public struct Unmapped: Hashable, Sendable {
        /// Bytes that were mapped and are not any more.
        public var bytes: UInt64 = 0
        /// Runs that it touched.
        public var runs = 0
        /// Runs of which a part stays mapped.
        public var splitRuns = 0
    }

    private static let blockCapacity = 128

    private var blocks: ContiguousArray<ContiguousArray<Run>> = []
    private var firstAddress: ContiguousArray<UInt64> = []

    /// Bytes mapped now.
    public private(set) var mappedBytes: UInt64 = 0
    /// Runs held now.
    public private(set) var runCount = 0

    /// Nothing mapped.
    public init() {}

    /// Maps `range` to `paddr` and on, in the leaves that the kernel would choose.
    ///
    /// Whatever was mapped there is replaced, as AMD drivers of today do; other drivers refuse or keep the old entry
    /// (model.md §3.2).
    ///
    /// - Returns: bytes that had been mapped in `range` before.
    public mutating func map(_ range: AddressRange, to paddr: UInt64, sizes: PageSizes) -> UInt64 {
        let whole = range.roundedOut(to: sizes.granule)
        let physical = paddr & ~(sizes.granule &- 1)
        let replaced = unmap(whole).bytes
        var iova = whole.start
        var left = whole.size & ~(sizes.granule &- 1)
        while left > 0 {
            let target = physical &+ (iova &- whole.start)
            guard let callback = sizes.callback(iova: iova, paddr: target, size: left),
                let leaves = AddressRange(start: iova, size: callback.size)
            else { break }
            insert(Run(range: leaves, paddr: target, pageSize: callback.pageSize))
            iova = iova &+ callback.size
            left &-= callback.size
        }
        return replaced
    }

    /// Removes all translations in `range`.
    ///
    /// A leaf that reaches beyond the range keeps its other part, in 4 KiB leaves, as Arm drivers up to 6.12 split it.
    public mutating func unmap(_ range: AddressRange) -> Unmapped {
        var result = Unmapped()
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

    /// The physical address behind `iova`, `iommu_iova_to_phys`; `nil` where nothing is mapped.
    public func physicalAddress(of iova: UInt64) -> UInt64? {
        guard let position = position(ofFirstRunEndingAtOrAfter: iova) else { return nil }
        let run = blocks[position.block][position.index]
        return run.range.start <= iova ? run.paddr &+ (iova - run.range.start) : nil
    }

    /// Calls `body` with each run that shares a byte with `range`, in order of address.
    public func forEachRun(overlapping range: AddressRange, _ body: (Run) -> Void) {
        guard var position = position(ofFirstRunEndingAtOrAfter: range.start) else { return }
        while position.block < blocks.count {
            while position.index < blocks[position.block].count {
                let run = blocks[position.block][position.index]
                guard run.range.start <= range.last else { return }
                body(run)
                position.index += 1
            }
            position = (position.block + 1, 0)
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

    /// Inserts a run that overlaps no other.
    private mutating func insert(_ run: Run) {
        runCount += 1
        mappedBytes &+= run.range.size
        guard !blocks.isEmpty else {
            blocks.append([run])
            firstAddress.append(run.range.start)
            return
        }
        let block = max(firstAddress.partitioningIndex { $0 > run.range.start } - 1, 0)
        let index = blocks[block].partitioningIndex { $0.range.start > run.range.start }
        blocks[block].insert(run, at: index)
        if index == 0 { firstAddress[block] = run.range.start }
        if blocks[block].count > Self.blockCapacity { split(block) }
    }

    private mutating func split(_ block: Int) {
        let half = blocks[block].count / 2
        let upper = ContiguousArray(blocks[block][half...])
        blocks[block].removeSubrange(half...)
        blocks.insert(upper, at: block + 1)
        firstAddress.insert(upper[0].range.start, at: block + 1)
    }

    private mutating func remove(_ indices: Range<Int>, inBlock block: Int) {
        for index in indices { mappedBytes &-= blocks[block][index].range.size }
        runCount -= indices.count
        if indices.count == blocks[block].count {
            blocks.remove(at: block)
            firstAddress.remove(at: block)
        } else {
            blocks[block].removeSubrange(indices)
            firstAddress[block] = blocks[block][0].range.start
        }
    }

    /// Appends the parts of `run` before and after `range`. Of its leaves only those that are cut fall apart.
    private static func appendRemainder(of run: Run, outside range: AddressRange, to kept: inout [Run]) {
        let mask = run.pageSize > smallestLeaf ? run.pageSize - 1 : 0
        func keep(_ start: UInt64, _ last: UInt64, pageSize: UInt64) {
            guard let part = AddressRange(start: start, last: last) else { return }
            kept.append(Run(range: part, paddr: run.paddr &+ (start - run.range.start), pageSize: pageSize))
        }
        if run.range.start < range.start {
            let cutLeaf = range.start & ~mask
            if cutLeaf > run.range.start { keep(run.range.start, cutLeaf - 1, pageSize: run.pageSize) }
            keep(cutLeaf, range.start - 1, pageSize: smallestLeaf)
        }
        if run.range.last > range.last {
            let cutLeaf = range.last | mask
            keep(range.last + 1, cutLeaf, pageSize: smallestLeaf)
            if cutLeaf < run.range.last { keep(cutLeaf + 1, run.range.last, pageSize: run.pageSize) }
        }
    }

    private static let smallestLeaf: UInt64 = 4096
}

extension ContiguousArray {
    /// The index of the first element for which `isInSecondPart` holds, in an array where it holds from some element on.
    @inlinable
    func partitioningIndex(where isInSecondPart: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if isInSecondPart(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
