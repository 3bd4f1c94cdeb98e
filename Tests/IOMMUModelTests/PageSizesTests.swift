import IOMMUModel
import TestSupport
import Testing

@Suite struct PageSizesTests {
    /// Model.md §9 item 15 names 4K, 4K|2M|1G, AMD's powers of two and 64K|512M; the last two are odd ones.
    static let bitmaps: [UInt64] = [
        1 << 12, 1 << 12 | 1 << 21 | 1 << 30, ~0xfff, (1 << 52) - (1 << 12) - (1 << 39), 1 << 16 | 1 << 29,
        1 << 12 | 1 << 16 | 1 << 20 | 1 << 24, 1 << 14 | 1 << 15 | 1 << 63,
    ]

    @Test func refusesNoSizesAndSizesBelow4K() {
        #expect(PageSizes(bitmap: 0) == nil)
        #expect(PageSizes(bitmap: 1 << 11) == nil)
        #expect(PageSizes(bitmap: 1 << 12 | 1) == nil)
        #expect(PageSizes(bitmap: 1 << 12) == .fourK)
        #expect(PageSizes(bitmap: 1 << 12 | 1 << 21 | 1 << 30) == .fourKTwoMOneG)
        #expect(PageSizes(bitmap: .max << 12) == .everyPowerOfTwo)
    }

    @Test(arguments: bitmaps) func granuleIsTheSmallestSize(bitmap: UInt64) throws {
        let smallest = try #require((0..<64).map { UInt64(1) << UInt64($0) }.first { bitmap & $0 != 0 })
        #expect(PageSizes(bitmap: bitmap)?.granule == smallest)
    }

    /// Model.md §1.4, the 4.15 form, against a search through all sizes.
    @Test(arguments: bitmaps) func pageSizeIsTheLargestThatFitsAndIsAligned(bitmap: UInt64) throws {
        let sizes = try #require(PageSizes(bitmap: bitmap))
        let all = (0..<64).map { UInt64(1) << UInt64($0) }.filter { bitmap & $0 != 0 }
        var random = SeededGenerator(seed: bitmap)
        for _ in 0..<3000 {
            let (merged, size) = (random.hostile(), random.hostile())
            let expected = all.last { $0 <= size && merged.isMultiple(of: $0) }
            #expect(sizes.pageSize(merged: merged, size: size) == expected, "\(merged) \(size)")
        }
    }

    /// Model.md §9 item 15: the 5.15 form walks the leaves of the 4.15 form, in fewer callbacks.
    @Test(arguments: bitmaps) func bothFormsWalkTheSameLeaves(bitmap: UInt64) throws {
        let sizes = try #require(PageSizes(bitmap: bitmap))
        var random = SeededGenerator(seed: bitmap &+ 1)
        var leaves = 0
        for _ in 0..<1500 {
            let (iova, paddr, size) = Self.mapping(sizes, &random)
            let old = Self.leavesOneByOne(sizes, iova: iova, paddr: paddr, size: size)
            let (new, callbacks) = Self.leavesInRuns(sizes, iova: iova, paddr: paddr, size: size)
            #expect(old == new, "\(iova) \(paddr) \(size)")
            #expect(callbacks <= old.count)
            #expect(old.reduce(0) { $0 + $1.size } == size)
            leaves += old.count
        }
        #expect(leaves > 1500)
    }

    @Test(arguments: bitmaps) func unmapsCountTheCallbacksOfThe415Loop(bitmap: UInt64) throws {
        let sizes = try #require(PageSizes(bitmap: bitmap))
        var random = SeededGenerator(seed: bitmap &+ 2)
        for _ in 0..<1500 {
            let (iova, _, size) = Self.mapping(sizes, &random)
            let range = try #require(AddressRange(start: iova, size: size))
            let leaves = Self.leavesOneByOne(sizes, iova: iova, paddr: iova, size: size)
            #expect(sizes.pageCount(of: range) == UInt64(leaves.count))
            var runs: [Leaf] = []
            sizes.forEachCallback(in: range) { iova, callback in
                #expect(callback.count >= 1)
                runs += (0..<callback.count).map { Leaf(iova: iova + $0 * callback.pageSize, size: callback.pageSize) }
            }
            #expect(runs == leaves)
        }
    }

    struct Figure: Sendable {
        var pfn: UInt64
        var pages: UInt64
        /// Callbacks with every power of two, and with 4K, 2M and 1G.
        var every: UInt64
        var x86: UInt64
    }

    /// Page frame numbers and pieces of model.md §4.4 first.
    static let figures: [Figure] = [
        Figure(pfn: 0x1001, pages: 16, every: 5, x86: 16),
        Figure(pfn: 0x1000, pages: 255, every: 8, x86: 255),
        Figure(pfn: 0x1000, pages: 512, every: 1, x86: 1),
        Figure(pfn: 0x1000, pages: 1, every: 1, x86: 1),
        Figure(pfn: 0x1ff, pages: 513, every: 2, x86: 2),
        Figure(pfn: 0x1ff, pages: 514, every: 3, x86: 3),
        Figure(pfn: 0, pages: 1 << 18, every: 1, x86: 1),
        Figure(pfn: 1, pages: 1 << 18, every: 19, x86: 511 + 511 + 1),
    ]

    /// The number of flushes of `per-page` (design §4 5).
    @Test(arguments: figures) func knownFigures(figure: Figure) throws {
        let range = try #require(AddressRange(start: figure.pfn << 12, size: figure.pages << 12))
        #expect(PageSizes.fourK.pageCount(of: range) == figure.pages)
        #expect(PageSizes.everyPowerOfTwo.pageCount(of: range) == figure.every)
        #expect(PageSizes.fourKTwoMOneG.pageCount(of: range) == figure.x86)
    }

    /// No kernel gets here, but a log may claim it: neither a trap nor a loop of 2^52 turns.
    @Test(arguments: bitmaps) func anyRangeIsWalkedInAHandfulOfCallbacks(bitmap: UInt64) throws {
        let sizes = try #require(PageSizes(bitmap: bitmap))
        var random = SeededGenerator(seed: bitmap &+ 3)
        for turn in 0..<3000 {
            let bounds = turn == 0 ? (0, .max) : (random.hostile(), random.hostile())
            let range = try #require(AddressRange(start: min(bounds.0, bounds.1), last: max(bounds.0, bounds.1)))
            var callbacks = 0
            var next = range.start & ~(sizes.granule - 1)
            var pages: UInt64 = 0
            sizes.forEachCallback(in: range) { iova, callback in
                callbacks += 1
                pages &+= callback.count
                #expect(iova == next)
                next = iova &+ callback.size
            }
            #expect(callbacks <= 2 * bitmap.nonzeroBitCount)
            #expect(sizes.pageCount(of: range) == pages)
            let whole = range.roundedOut(to: sizes.granule)
            let isWholeSpace = whole.start == 0 && whole.last == .max
            #expect(next == (isWholeSpace ? 0 &- sizes.granule : whole.last &+ 1))
        }
    }

    @Test func nothingFitsWhereTheGranuleDoesNot() {
        #expect(PageSizes.fourK.pageSize(merged: 0, size: 4095) == nil)
        #expect(PageSizes.fourK.pageSize(merged: 0x800, size: 8192) == nil)
        #expect(PageSizes.fourK.pageSize(merged: 0, size: 0) == nil)
        #expect(PageSizes.fourK.callback(iova: 0, paddr: 0x10, size: 8192) == nil)
        #expect(PageSizes.everyPowerOfTwo.pageSize(merged: 0, size: .max) == 1 << 63)
        #expect(PageSizes.everyPowerOfTwo.callback(iova: 0, paddr: 0, size: .max)?.count == 1)
    }

    // MARK: - Twins

    struct Leaf: Hashable {
        var iova: UInt64
        var size: UInt64
    }

    /// An aligned mapping of up to some thousand leaves.
    static func mapping(_ sizes: PageSizes, _ random: inout SeededGenerator) -> (
        iova: UInt64, paddr: UInt64, size: UInt64
    ) {
        let granule = sizes.granule
        let pages = 1 + random.small(below: 1500)
        let iova = random.small(below: min(1 << 50, .max / granule / 2)) * granule
        // Every other mapping lines up with its target modulo some power of two.
        let shift = random.next() % 40
        var paddr = random.next() % (1 << 50) & ~(granule - 1)
        if random.next() & 1 == 0 { paddr = (paddr >> shift) << shift | iova & ((1 << shift) - 1) }
        return (iova, paddr & ~(granule - 1), pages * granule)
    }

    static func leavesOneByOne(_ sizes: PageSizes, iova: UInt64, paddr: UInt64, size: UInt64) -> [Leaf] {
        var leaves: [Leaf] = []
        var done: UInt64 = 0
        while done < size, let page = sizes.pageSize(merged: (iova + done) | (paddr + done), size: size - done) {
            leaves.append(Leaf(iova: iova + done, size: page))
            done += page
        }
        return leaves
    }

    static func leavesInRuns(
        _ sizes: PageSizes, iova: UInt64, paddr: UInt64, size: UInt64
    ) -> (leaves: [Leaf], callbacks: Int) {
        var leaves: [Leaf] = []
        var callbacks = 0
        var done: UInt64 = 0
        while done < size, let callback = sizes.callback(iova: iova + done, paddr: paddr + done, size: size - done) {
            callbacks += 1
            for _ in 0..<callback.count {
                leaves.append(Leaf(iova: iova + done, size: callback.pageSize))
                done += callback.pageSize
            }
        }
        return (leaves, callbacks)
    }
}
