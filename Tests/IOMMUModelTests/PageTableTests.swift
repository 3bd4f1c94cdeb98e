import TestSupport
import Testing

@testable import IOMMUModel

@Suite struct PageTableTests {
    private func range(_ start: UInt64, _ size: UInt64) throws -> AddressRange {
        try #require(AddressRange(start: start, size: size))
    }

    private func runs(_ table: PageTable, in range: AddressRange) -> [PageTable.Run] {
        var runs: [PageTable.Run] = []
        table.forEachRun(overlapping: range) { runs.append($0) }
        return runs
    }

    private let everything = AddressRange(start: 0, last: .max)

    // MARK: - Examples

    /// Model.md §9 item 10.
    @Test func translatesWhatIsMappedAndNothingElse() throws {
        var table = PageTable()
        #expect(table.physicalAddress(of: 0) == nil)
        #expect(table.map(try range(0x10000, 0x3000), to: 0x7000, sizes: .fourK) == 0)
        #expect(table.physicalAddress(of: 0xffff) == nil)
        #expect(table.physicalAddress(of: 0x10000) == 0x7000)
        #expect(table.physicalAddress(of: 0x12fff) == 0x9fff)
        #expect(table.physicalAddress(of: 0x13000) == nil)
        #expect(table.unmap(try range(0x11000, 0x1000)).bytes == 0x1000)
        #expect(table.physicalAddress(of: 0x10fff) == 0x7fff)
        #expect(table.physicalAddress(of: 0x11000) == nil)
        #expect(table.physicalAddress(of: 0x12000) == 0x9000)
    }

    @Test func leavesAreTheOnesThatTheKernelChooses() throws {
        var table = PageTable()
        _ = table.map(try range(0x1ff000, 0x202000), to: 0x401ff000, sizes: .fourKTwoMOneG)
        let whole = try #require(everything)
        #expect(runs(table, in: whole).map(\.pageSize) == [0x1000, 0x200000, 0x1000])
        // The target does not line up: only small pages fit.
        _ = table.map(try range(0x1ff000, 0x202000), to: 0x40000000, sizes: .fourKTwoMOneG)
        #expect(runs(table, in: whole).map(\.pageSize) == [0x1000])
    }

    @Test func aMapReplacesWhatWasThereAndTellsHowMuch() throws {
        var table = PageTable()
        _ = table.map(try range(0x1000, 0x4000), to: 0x100000, sizes: .fourK)
        #expect(table.map(try range(0x3000, 0x4000), to: 0x200000, sizes: .fourK) == 0x2000)
        #expect(table.mappedBytes == 0x6000)
        #expect(table.physicalAddress(of: 0x2fff) == 0x101fff)
        #expect(table.physicalAddress(of: 0x3000) == 0x200000)
        #expect(table.map(try range(0x3000, 0x1000), to: 0x200000, sizes: .fourK) == 0x1000)
    }

    /// Model.md §9 item 16: the split of Arm drivers up to 6.12. Only the leaf that is cut falls apart.
    @Test func aPartlyUnmappedSuperpageKeepsItsRestInSmallPages() throws {
        var table = PageTable()
        let megabytes2: UInt64 = 0x200000
        _ = table.map(try range(0, 4 * megabytes2), to: 0x40000000, sizes: .fourKTwoMOneG)
        let unmapped = table.unmap(try range(megabytes2 + 0x5000, 0x1000))
        #expect(unmapped == PageTable.Unmapped(bytes: 0x1000, runs: 1, splitRuns: 1))
        #expect(table.mappedBytes == 4 * megabytes2 - 0x1000)
        #expect(table.physicalAddress(of: megabytes2 + 0x4fff) == 0x40204fff)
        #expect(table.physicalAddress(of: megabytes2 + 0x6000) == 0x40206000)
        let rest = runs(table, in: try #require(everything))
        #expect(
            rest.map(\.range) == [
                try range(0, megabytes2), try range(megabytes2, 0x5000),
                try range(megabytes2 + 0x6000, megabytes2 - 0x6000), try range(2 * megabytes2, 2 * megabytes2),
            ])
        #expect(rest.map(\.pageSize) == [megabytes2, 0x1000, 0x1000, megabytes2])
        #expect(table.runCount == 4)
    }

    @Test func aCutBetweenTwoLeavesLeavesThemWhole() throws {
        var table = PageTable()
        _ = table.map(try range(0, 0x800000), to: 0x40000000, sizes: .fourKTwoMOneG)
        #expect(table.unmap(try range(0x200000, 0x200000)).splitRuns == 1)
        #expect(runs(table, in: try #require(everything)).map(\.pageSize) == [0x200000, 0x200000])
    }

    @Test func anUnmapHandsOverWhatItRemoved() throws {
        var table = PageTable()
        let whole = try #require(AddressRange(start: 0x1000, size: 0x3000))
        let middle = try #require(AddressRange(start: 0x2000, size: 0x1000))
        _ = table.map(whole, to: 0x9000, sizes: .fourK, tag: 7)
        var pieces: ContiguousArray<PageTable.Run>? = []
        #expect(table.unmap(middle, into: &pieces).bytes == 0x1000)
        #expect(pieces == [PageTable.Run(range: middle, target: 0xa000, pageSize: 4096, tag: 7)])
    }

    @Test func unmappingAHoleFindsNothing() throws {
        var table = PageTable()
        #expect(table.unmap(try range(0, .max)) == PageTable.Unmapped())
        _ = table.map(try range(0x1000, 0x1000), to: 0, sizes: .fourK)
        #expect(table.unmap(try range(0x2000, 0x1000)) == PageTable.Unmapped())
        #expect(table.unmap(try range(0, 0x1000)) == PageTable.Unmapped())
        #expect(table.runCount == 1)
    }

    /// What a kernel would refuse is rounded to whole pages: a log can say anything.
    @Test func mapsAreRoundedOutToThePageSize() throws {
        var table = PageTable()
        _ = table.map(try range(0x1fff, 2), to: 0x7123, sizes: .fourK)
        #expect(table.mappedBytes == 0x2000)
        #expect(table.physicalAddress(of: 0x1000) == 0x7000)
        #expect(table.physicalAddress(of: 0x2fff) == 0x8fff)
    }

    // MARK: - Hostile values

    @Test func theWholeAddressSpaceFitsInAHandfulOfRuns() throws {
        for sizes in [PageSizes.fourK, .fourKTwoMOneG, .everyPowerOfTwo] {
            var table = PageTable()
            let whole = try #require(everything)
            _ = table.map(whole, to: 0, sizes: sizes)
            _ = table.map(whole, to: 0x1000, sizes: sizes)
            #expect(table.runCount <= 2 * sizes.bitmap.nonzeroBitCount)
            #expect(table.physicalAddress(of: 1 << 63) == 0x8000_0000_0000_1000)
            _ = table.map(try range(.max - 0xfff, 0x1000), to: .max - 0xfff, sizes: sizes)
            #expect(table.physicalAddress(of: .max) == .max)
            #expect(table.unmap(whole).runs > 0)
            #expect(table.mappedBytes == 0)
            #expect(table.runCount == 0)
        }
    }

    @Test(arguments: seeds) func anyNumbersAreTakenWithoutATrap(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var table = PageTable()
        let whole = try #require(everything)
        for _ in 0..<3000 {
            let (one, other) = (random.hostile(), random.hostile())
            let range = try #require(AddressRange(start: min(one, other), last: max(one, other)))
            let paddr = random.hostile()
            let sizes = try #require(PageSizes(bitmap: random.hostile() << 12 | 1 << 12))
            if random.next() % 3 == 0 {
                _ = table.unmap(range)
                #expect(table.physicalAddress(of: range.start) == nil)
                #expect(table.physicalAddress(of: range.last) == nil)
                #expect(runs(table, in: range).isEmpty)
            } else {
                _ = table.map(range, to: paddr, sizes: sizes)
                let whole = range.roundedOut(to: sizes.granule)
                #expect(table.physicalAddress(of: whole.start) == paddr & ~(sizes.granule - 1))
                // The model has no mapping of all 2^64 bytes: it leaves out the last page.
                if whole.start > 0 || whole.last < .max {
                    let offset = whole.last - whole.start
                    #expect(table.physicalAddress(of: whole.last) == (paddr & ~(sizes.granule - 1)) &+ offset)
                }
            }
        }
        #expect(table.unmap(whole).bytes > 0)
        #expect(table.mappedBytes == 0 && table.runCount == 0)
    }

    // MARK: - Against a table of single pages

    /// Where pages are: at both ends of the address space and around a boundary of 1 GiB.
    private static let zones: [UInt64] = [0, (1 << 30) - (1 << 22), .max - (1 << 23) + 1]
    private static let pagesPerZone: UInt64 = 2048

    private struct Zone {
        var pages: [UInt64?] = Array(repeating: nil, count: Int(pagesPerZone))
        var leafSizes: [UInt64] = Array(repeating: 0, count: Int(pagesPerZone))
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var seed: UInt64
        var bitmap: UInt64
        var testDescription: String { "seed \(seed), bitmap \(String(bitmap, radix: 16))" }
    }

    static let bitmaps: [UInt64] = [0x1000, 0x4020_1000, ~0xfff, 0x1_5000]
    static let cases = seeds.flatMap { seed in bitmaps.map { Case(seed: seed, bitmap: $0) } }

    /// Model.md §9 items 10, 12 and 13: random maps and unmaps, partial, overlapping, adjacent.
    @Test(arguments: cases) func agreesWithATableOfSinglePages(test: Case) throws {
        var random = SeededGenerator(seed: test.seed)
        let sizes = try #require(PageSizes(bitmap: test.bitmap))
        var table = PageTable()
        var zones = Self.zones.map { _ in Zone() }
        var balance: UInt64 = 0
        var most = 0
        for turn in 0..<2500 {
            let zone = Int(random.next() % 3)
            let count = 1 + (random.next() % 32 == 0 ? random.next() % Self.pagesPerZone : random.small(below: 48))
            let first = random.next() % (Self.pagesPerZone - min(count, Self.pagesPerZone) + 1)
            let pages = Int(first)..<Int(first + count)
            let range = try range(Self.zones[zone] + first << 12, count << 12)
            let (found, touched, split) = expectedUnmap(of: range, table)
            let wasMapped = UInt64(zones[zone].pages[pages].count { $0 != nil }) << 12
            if random.next() % 5 < 3 {
                // Half of the targets line up with the IOVA, so that large pages fit.
                let aligned = random.next() & 1 == 0 ? range.start & 0xffff_ffff : 0
                let odd = random.next() & 1 == 0 ? (random.next() % 1024) << 12 : 0
                let paddr = aligned + odd + (random.next() % 1024) << 22
                #expect(table.map(range, to: paddr, sizes: sizes) == wasMapped)
                balance = balance + count << 12 - wasMapped
                Self.unmap(pages, from: &zones[zone], at: Self.zones[zone])
                Self.map(pages, in: &zones[zone], at: Self.zones[zone], to: paddr, sizes: sizes)
            } else {
                let unmapped = table.unmap(range)
                #expect(unmapped == PageTable.Unmapped(bytes: wasMapped, runs: touched, splitRuns: split))
                #expect(found == wasMapped)
                #expect(table.unmap(range) == PageTable.Unmapped())
                balance -= wasMapped
                Self.unmap(pages, from: &zones[zone], at: Self.zones[zone])
            }
            #expect(table.mappedBytes == balance)
            for page in [pages.lowerBound - 1, pages.lowerBound, pages.upperBound - 1, pages.upperBound]
            where zones[zone].pages.indices.contains(page) {
                let iova = Self.zones[zone] + UInt64(page) << 12 + random.next() % 4096
                #expect(table.physicalAddress(of: iova) == zones[zone].pages[page].map { $0 + iova & 4095 })
            }
            if turn % 100 == 99 { compare(table, zones) }
            most = max(most, table.runCount)
        }
        compare(table, zones)
        // More runs than one block of the table holds.
        #expect(most > 200)
    }

    /// Neighbours that no run can join: the table's blocks fill up, split, and are emptied across their borders.
    @Test(arguments: seeds) func manyRunsStayInOrder(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var table = PageTable()
        let order = (0..<UInt64(2000)).shuffled(using: &random)
        for page in order { _ = table.map(try range(page << 12, 0x1000), to: (page ^ 1) << 12, sizes: .fourK) }
        #expect(table.runCount == 2000)
        #expect(runs(table, in: try #require(everything)).map(\.range.start) == (0..<2000).map { $0 << 12 })
        var left = Set(order)
        for _ in 0..<60 {
            let first = random.next() % 2000
            let last = min(first + random.small(below: 700), 1999)
            let gone = left.intersection(first...last)
            let unmapped = table.unmap(try #require(AddressRange(start: first << 12, last: last << 12 | 4095)))
            #expect(unmapped == PageTable.Unmapped(bytes: UInt64(gone.count) << 12, runs: gone.count, splitRuns: 0))
            left.subtract(gone)
            #expect(runs(table, in: try #require(everything)).map { $0.range.start >> 12 } == left.sorted())
            let window = try #require(AddressRange(start: first << 12 | 5, last: (first + 300) << 12))
            let inWindow = left.filter { $0 >= first && $0 <= first + 300 }.sorted()
            #expect(runs(table, in: window).map { $0.range.start >> 12 } == inWindow)
        }
    }

    /// Ranges that are no whole pages, as a log may claim them, against a table of 512-byte pieces.
    @Test(arguments: seeds) func unmapsOfPartsOfPagesTakeThesePartsOnly(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var table = PageTable()
        let sizes = try #require(PageSizes(bitmap: 1 << 12 | 1 << 14))
        var pieces: [UInt64?] = Array(repeating: nil, count: 512)
        for _ in 0..<1500 {
            let count = 1 + random.small(below: 100)
            let first = random.next() % (512 - count)
            if random.next() % 3 == 0 {
                let paddr = (random.next() % 1024) << 12
                let (low, high) = (first & ~7, (first + count + 7) & ~7)
                let replaced = pieces[Int(low)..<Int(high)].count { $0 != nil }
                #expect(
                    table.map(try range(first << 9, count << 9), to: paddr, sizes: sizes) == UInt64(replaced) << 9)
                for piece in low..<high { pieces[Int(piece)] = paddr + (piece - low) << 9 }
            } else {
                let found = pieces[Int(first)..<Int(first + count)].count { $0 != nil }
                #expect(table.unmap(try range(first << 9, count << 9)).bytes == UInt64(found) << 9)
                for piece in first..<first + count { pieces[Int(piece)] = nil }
            }
            #expect(table.mappedBytes == UInt64(pieces.count { $0 != nil }) << 9)
            for piece in [first, first + count - 1, random.next() % 512] {
                #expect(table.physicalAddress(of: piece << 9 | 77) == pieces[Int(piece)].map { $0 | 77 })
            }
        }
    }

    // MARK: - Twins

    /// What an unmap must report, from the runs that the table shows before it.
    private func expectedUnmap(of range: AddressRange, _ table: PageTable) -> (bytes: UInt64, runs: Int, split: Int) {
        let runs = runs(table, in: range)
        let bytes = runs.reduce(UInt64(0)) { sum, run in
            sum + (min(run.range.last, range.last) - max(run.range.start, range.start)) + 1
        }
        return (bytes, runs.count, runs.count { !range.contains($0.range) })
    }

    private static func map(
        _ pages: Range<Int>, in zone: inout Zone, at base: UInt64, to paddr: UInt64, sizes: PageSizes
    ) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let target = paddr + UInt64(page - pages.lowerBound) << 12
            let left = UInt64(pages.upperBound - page) << 12
            let leaf = sizes.pageSize(merged: (base + UInt64(page) << 12) | target, size: left) ?? 4096
            for offset in 0..<Int(leaf >> 12) {
                zone.pages[page + offset] = target + UInt64(offset) << 12
                zone.leafSizes[page + offset] = leaf
            }
            page += Int(leaf >> 12)
        }
    }

    private static func unmap(_ pages: Range<Int>, from zone: inout Zone, at base: UInt64) {
        for page in pages where zone.pages[page] != nil {
            let leaf = zone.leafSizes[page]
            zone.pages[page] = nil
            // The other pages of a large leaf fall apart.
            guard leaf > 4096 else { continue }
            let first = Int(((base + UInt64(page) << 12) & ~(leaf - 1)) - base) >> 12
            for other in first..<first + Int(leaf >> 12) { zone.leafSizes[other] = 4096 }
        }
    }

    private func compare(_ table: PageTable, _ zones: [Zone]) {
        var count = 0
        for (base, zone) in zip(Self.zones, zones) {
            var seen: [UInt64?] = Array(repeating: nil, count: zone.pages.count)
            var last: UInt64?
            guard let whole = AddressRange(start: base, size: Self.pagesPerZone << 12) else { continue }
            for run in runs(table, in: whole) {
                #expect(whole.contains(run.range))
                #expect(last.map { $0 < run.range.start } ?? true, "out of order")
                last = run.range.last
                count += 1
                #expect(run.range.size % run.pageSize == 0)
                #expect(run.range.start % run.pageSize == 0 && run.target % run.pageSize == 0)
                for offset in 0..<run.range.size >> 12 {
                    let page = Int((run.range.start - base) >> 12 + offset)
                    seen[page] = run.target + offset << 12
                    #expect(run.pageSize == zone.leafSizes[page], "leaf of page \(page)")
                }
            }
            #expect(seen == zone.pages)
        }
        #expect(table.runCount == count)
    }

    @Test("a walk finds the leaf around an address, whatever part of it is asked for")
    func leaves() throws {
        var table = PageTable()
        let range = try #require(AddressRange(start: 2 << 20, size: (2 << 20) + 4096))
        #expect(table.leaf(of: 2 << 20) == nil)
        _ = table.map(range, to: 6 << 20, sizes: .fourKTwoMOneG)
        #expect(table.leaf(of: (2 << 20) - 1) == nil)
        #expect(table.leaf(of: (2 << 20) + 5) == PageTable.Leaf(target: (6 << 20) + 5, size: 2 << 20))
        #expect(table.leaf(of: (4 << 20) + 5) == PageTable.Leaf(target: (8 << 20) + 5, size: 4096))
        #expect(table.leaf(of: (4 << 20) + 4096) == nil)
    }
}
