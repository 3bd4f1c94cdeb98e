import TestSupport
import Testing

@testable import IOMMUModel

@Suite struct RadixPageTableTests {
    /// Every format, in every era and height that has rules or a shape of its own.
    static let formats: [any PageTableFormat] = [
        VTdSecondStage(levels: 3), VTdSecondStage(), VTdSecondStage(levels: 5, superpages: .twoM),
        VTdFirstStage(), VTdFirstStage(levels: 5), AMDVersion1(), AMDVersion1(era: .refusing), AMDVersion2(),
        ArmLPAE(), ArmLPAE(era: .refusing, stage: .two), ArmLPAE(granule: .sixteenK),
        ArmLPAE(granule: .sixtyFourK, inputBits: 52, outputBits: 52),
        ArmLPAE(granule: .sixtyFourK, era: .refusing),
    ]
    /// The same, by name and what the name leaves open.
    static let namedFormats = formats.map { format in
        Named("\(format.name), \(format.geometry.startLevels) to \(format.geometry.maxLevels) levels", format)
    }
    // MARK: - Examples

    private static let gigabyte: UInt64 = 1 << 30
    private static let megabytes2: UInt64 = 1 << 21

    private func leaves(_ table: RadixPageTable, in range: AddressRange = .everything) -> [RadixPageTable.Leaf] {
        var leaves: [RadixPageTable.Leaf] = []
        table.forEachLeaf(overlapping: range) { leaves.append($0) }
        return leaves
    }

    struct Entries: Sendable, CustomTestStringConvertible {
        var format: any PageTableFormat
        var testDescription: String { format.name }
        /// An address with index n + 1 at the n-th level from the root, if that has room for it.
        var iova: UInt64
        var indices: [Int]
        /// In the root, whose table is at one table's size, the entry of the next.
        var tableEntry: UInt64
        /// A smallest page at 0x12340000.
        var page: UInt64
        /// A page of the second size at 0x40000000.
        var superpage: UInt64
    }

    /// Model.md §3.1, by hand.
    static let entries: [Entries] = [
        Entries(
            format: VTdSecondStage(), iova: 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12, indices: [1, 2, 3, 4],
            tableEntry: 0x2003, page: 0x1234_0003, superpage: 0x4000_0083),
        Entries(
            format: VTdFirstStage(levels: 5), iova: 1 << 48 | 2 << 39 | 3 << 30 | 4 << 21 | 5 << 12,
            indices: [1, 2, 3, 4, 5], tableEntry: 0x2027, page: 0x1234_0067, superpage: 0x4000_00e7),
        Entries(
            format: AMDVersion2(), iova: 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12, indices: [1, 2, 3, 4],
            tableEntry: 0x2067, page: 0x1234_0067, superpage: 0x4000_00e7),
        Entries(
            format: AMDVersion1(), iova: 1 << 30 | 2 << 21 | 3 << 12, indices: [1, 2, 3],
            tableEntry: 0x6000_0000_0000_2401, page: 0x7000_0000_1234_0001, superpage: 0x7000_0000_4000_0001),
        Entries(
            format: ArmLPAE(), iova: 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12, indices: [1, 2, 3, 4],
            tableEntry: 0x2003, page: 0x1234_0f47, superpage: 0x4000_0f45),
        Entries(
            format: ArmLPAE(stage: .two), iova: 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12, indices: [1, 2, 3, 4],
            tableEntry: 0x2003, page: 0x1234_07ff, superpage: 0x4000_07fd),
        Entries(
            format: ArmLPAE(granule: .sixteenK), iova: 1 << 47 | 2 << 36 | 3 << 25 | 4 << 14, indices: [1, 2, 3, 4],
            tableEntry: 0x8003, page: 0x1234_0f47, superpage: 0x4000_0f45),
        Entries(
            format: ArmLPAE(granule: .sixtyFourK), iova: 1 << 42 | 2 << 29 | 3 << 16, indices: [1, 2, 3],
            tableEntry: 0x2_0003, page: 0x1234_0f47, superpage: 0x4000_0f45),
    ]

    @Test(arguments: entries) func entriesAreThoseOfTheFormat(example: Entries) throws {
        let format = example.format
        var table = RadixPageTable(format: format)
        let root = format.geometry.startLevels - 1
        for (depth, index) in example.indices.enumerated() {
            #expect(format.geometry.index(of: example.iova, level: root - depth) == index)
        }
        #expect(table.tableCount == 1)
        let sizes = [format.geometry.entrySize(level: 0), format.geometry.entrySize(level: 1)]
        #expect(table.map(iova: example.iova, paddr: 0x1234_0000, pageSize: sizes[0]).mappedBytes == sizes[0])
        #expect(table.tableCount == root + 1)
        #expect(table.entry(for: example.iova, level: root) == example.tableEntry)
        #expect(table.entry(for: example.iova, level: 0) == example.page)
        #expect(table.entry(for: example.iova + sizes[0], level: 0) == 0)
        #expect(table.entry(for: example.iova + sizes[1], level: 0) == nil)
        #expect(table.entry(for: example.iova, level: root + 1) == nil)
        #expect(table.physicalAddress(of: example.iova + 0xfff) == 0x1234_0fff)
        #expect(table.physicalAddress(of: example.iova - 1) == nil)

        let superpage = (example.iova & ~(sizes[1] - 1)) + sizes[1]
        #expect(table.map(iova: superpage, paddr: 0x4000_0000, pageSize: sizes[1]).error == nil)
        #expect(table.tableCount == root + 1)
        #expect(table.entry(for: superpage, level: 1) == example.superpage)
        #expect(table.physicalAddress(of: superpage + sizes[1] - 1) == 0x4000_0000 + sizes[1] - 1)
        #expect(table.mappedBytes == sizes[0] + sizes[1])
    }

    @Test(arguments: namedFormats) func decodesWhatItEncodes(format: Named<any PageTableFormat>) {
        let format = format.value
        var random = SeededGenerator(seed: 7)
        let outputMask = (1 << UInt64(format.geometry.outputBits)) &- 1 as UInt64
        for bit in 0..<64 where format.pageSizes.bitmap & 1 << UInt64(bit) != 0 {
            let size: UInt64 = 1 << UInt64(bit)
            let level = format.geometry.level(ofPageSize: size)
            #expect(format.geometry.entrySize(level: level) &* UInt64(format.geometry.entryCount(of: size)) == size)
            for _ in 0..<20 {
                let target = random.next() & outputMask & ~(size - 1)
                let entry = format.leafEntry(to: target, size: size, level: level)
                #expect(format.decode(entry, level: level) == .leaf(target: target, size: size))
                let address = random.next() & outputMask & ~(format.pageSizes.granule - 1)
                let upper = format.tableEntry(to: address, level: level + 1)
                #expect(format.decode(upper, level: level + 1) == .table(address))
            }
            #expect(format.decode(0, level: level) == .absent)
        }
    }

    /// No entry that hardware could read makes the model trap.
    @Test(arguments: namedFormats) func decodesAnything(format: Named<any PageTableFormat>) {
        let format = format.value
        var random = SeededGenerator(seed: 11)
        for _ in 0..<2000 {
            for level in 0..<format.geometry.maxLevels {
                guard case .leaf(let target, let size) = format.decode(random.hostile(), level: level) else { continue }
                #expect(target & (size - 1) == 0)
            }
        }
    }

    /// 64 KiB pages of AMD v1: sixteen equal entries, the size in low ones; 4 MiB: two at the second level.
    @Test func aPageOfAMDVersion1IsARunOfEqualEntries() {
        var table = RadixPageTable(format: AMDVersion1())
        #expect(table.map(iova: 0x10_0000, paddr: 0x1234_0000, pageSize: 1 << 16).error == nil)
        for page in 0..<16 as Range<UInt64> {
            #expect(table.entry(for: 0x10_0000 + page << 12, level: 0) == 0x7000_0000_1234_7e01)
            #expect(table.physicalAddress(of: 0x10_0000 + page << 12) == 0x1234_0000 + page << 12)
        }
        #expect(table.entry(for: 0x11_0000, level: 0) == 0)
        #expect(table.map(iova: 0x12_0000, paddr: 0x2000, pageSize: 1 << 13).error == nil)
        #expect(table.entry(for: 0x12_1000, level: 0) == 0x7000_0000_0000_2e01)
        #expect(table.map(iova: 0x40_0000, paddr: 0x4000_0000, pageSize: 1 << 22).error == nil)
        #expect(table.entry(for: 0x40_0000, level: 1) == 0x7000_0000_401f_fe01)
        #expect(table.entry(for: 0x60_0000, level: 1) == 0x7000_0000_401f_fe01)
        #expect(table.physicalAddress(of: 0x60_0000) == 0x4020_0000)
        #expect(leaves(table).map(\.pageSize) == [1 << 16, 1 << 13, 1 << 22])

        // A smaller page over its first part leaves the others with their old size; an unmap takes the whole run.
        #expect(table.map(iova: 0x10_0000, paddr: 0x8000, pageSize: 1 << 13).replacedBytes == 1 << 13)
        #expect(leaves(table)[1] == .init(iova: 0x10_2000, bytes: 0xe000, target: 0x1234_2000, pageSize: 1 << 16))
        let unmapped = table.unmap(iova: 0x10_3000, pageSize: 1 << 12)
        #expect(unmapped.reportedBytes == 1 << 16 && unmapped.clearedBytes == 1 << 16)
        #expect(table.physicalAddress(of: 0x10_0000) == nil)
    }

    @Test func aTableOfAMDVersion1GrowsUpward() {
        var table = RadixPageTable(format: AMDVersion1())
        #expect(AMDVersion1().pageSizes.bitmap == (1 << 52) - (1 << 12) - (1 << 39))
        #expect(table.levels == 3)
        #expect(table.map(iova: 0, paddr: 0x5000, pageSize: 4096).error == nil)
        #expect(table.tableCount == 3)
        #expect(table.physicalAddress(of: 1 << 39) == nil)
        #expect(table.map(iova: 1 << 39, paddr: 0x6000, pageSize: 4096).error == nil)
        #expect(table.levels == 4)
        #expect(table.entry(for: 0, level: 3) == 0x6000_0000_0000_1601)
        #expect(table.tableCount == 7)
        #expect(table.physicalAddress(of: 0) == 0x5000 && table.physicalAddress(of: 1 << 39) == 0x6000)
        #expect(table.map(iova: 1 << 49, paddr: 0, pageSize: 1 << 48).error == nil)
        #expect(table.levels == 5)
        #expect(table.map(iova: .max - 4095, paddr: 0x7000, pageSize: 4096).error == nil)
        #expect(table.levels == 6)
        #expect(table.physicalAddress(of: .max) == 0x7fff)
        #expect(leaves(table).map(\.iova) == [0, 1 << 39, 1 << 49, .max - 4095] as [UInt64])
        #expect(table.unmap(iova: .max - 4095, pageSize: 4096).reportedBytes == 4096)
        #expect(table.mappedBytes == 8192 + 1 << 48)

        var low = RadixPageTable(format: AMDVersion1(maxLevels: 4))
        #expect(low.map(iova: 1 << 48, paddr: 0, pageSize: 4096).error == .outOfRange)
        #expect(low.map(iova: 0, paddr: 0, pageSize: 1 << 48).error == .outOfRange)
        #expect(low.levels == 3 && low.tableCount == 1)
    }

    /// Bits 51 to 48 of an address lie in bits 15 to 12 of an entry; 4 TiB blocks need such addresses.
    @Test func addressesOf52BitsInArmTables() {
        let format = ArmLPAE(granule: .sixtyFourK, inputBits: 52, outputBits: 52)
        #expect(format.pageSizes.bitmap == 1 << 16 | 1 << 29 | 1 << 42)
        #expect(ArmLPAE(granule: .sixtyFourK).pageSizes.bitmap == 1 << 16 | 1 << 29)
        var table = RadixPageTable(format: format)
        #expect(table.map(iova: 0, paddr: 0xa_0000_1234_0000, pageSize: 1 << 16).error == nil)
        #expect(table.entry(for: 0, level: 0) == 0x1234_af47)
        #expect(table.physicalAddress(of: 0xffff) == 0xa_0000_1234_ffff)
        #expect(table.map(iova: 1 << 42, paddr: 1 << 50, pageSize: 1 << 42).error == nil)
        #expect(table.physicalAddress(of: 1 << 42 | 5) == 1 << 50 | 5)
    }

    struct Partial: Sendable, CustomTestStringConvertible {
        var format: any PageTableFormat
        var testDescription: String { format.name }
        var reported: UInt64
        var cleared: UInt64
        var splits = 0
    }

    /// Model.md §3.3: 4 KiB out of the middle of 2 MiB.
    static let partials: [Partial] = [
        Partial(format: VTdSecondStage(), reported: megabytes2, cleared: megabytes2),
        Partial(format: VTdFirstStage(), reported: megabytes2, cleared: megabytes2),
        Partial(format: AMDVersion1(), reported: megabytes2, cleared: megabytes2),
        Partial(format: AMDVersion1(era: .refusing), reported: megabytes2, cleared: megabytes2),
        Partial(format: AMDVersion2(levels: 5), reported: megabytes2, cleared: megabytes2),
        Partial(format: ArmLPAE(), reported: 4096, cleared: 4096, splits: 1),
        Partial(format: ArmLPAE(era: .refusing), reported: 0, cleared: 0),
    ]

    @Test(arguments: partials) func partOfASuperpage(example: Partial) {
        var table = RadixPageTable(format: example.format)
        #expect(table.map(iova: Self.gigabyte, paddr: 0, pageSize: Self.megabytes2).error == nil)
        let before = table.tableCount
        let result = table.unmap(iova: Self.gigabyte + 0x5000, pageSize: 4096)
        #expect(result.reportedBytes == example.reported && result.clearedBytes == example.cleared)
        #expect(result.splits == example.splits && table.tableCount == before + example.splits)
        #expect(table.mappedBytes == Self.megabytes2 - example.cleared)
        #expect(table.physicalAddress(of: Self.gigabyte + 0x5000) == (example.cleared == 0 ? 0x5000 : nil))
        let isWhole = example.format.rules.partialUnmap == .wholeEntry
        #expect(table.physicalAddress(of: Self.gigabyte + 0x4000) == (isWhole ? nil : 0x4000))
        #expect(isWhole == (example.cleared == Self.megabytes2))
    }

    /// Model.md §9 item 16, through two levels.
    @Test func aSplitKeepsTheRestAtTheSameAddresses() {
        var table = RadixPageTable(format: ArmLPAE())
        #expect(table.map(iova: Self.gigabyte, paddr: 5 * Self.gigabyte, pageSize: Self.gigabyte).error == nil)
        #expect(table.tableCount == 2)
        let hole = Self.gigabyte + 7 * Self.megabytes2 + 0x9000
        let result = table.unmap(iova: hole, pageSize: 4096, count: 2)
        #expect(result.reportedBytes == 0x2000 && result.clearedBytes == 0x2000 && result.splits == 2)
        #expect(result.freedTables.isEmpty && !result.flushesWalksAtOnce)
        #expect(table.tableCount == 4)
        #expect(table.mappedBytes == Self.gigabyte - 0x2000)
        for offset in stride(from: 0, to: Self.gigabyte, by: 4096 * 13) {
            let iova = Self.gigabyte + offset
            let expected = iova & ~0xfff == hole || iova & ~0xfff == hole + 4096 ? nil : iova + 4 * Self.gigabyte
            #expect(table.physicalAddress(of: iova) == expected)
        }
        #expect(leaves(table).count == 511 + 510)
    }

    /// A block over a table with live pages: Arm frees the table and flushes walks at once (model.md §3.2).
    @Test func aSuperpageTakesThePlaceOfATable() {
        for format in [VTdSecondStage(), AMDVersion1(), AMDVersion2(), ArmLPAE()] as [any PageTableFormat] {
            var table = RadixPageTable(format: format)
            #expect(table.map(iova: 0x20_3000, paddr: 0x7000, pageSize: 4096, count: 3).mappedBytes == 0x3000)
            let before = table.tableCount
            let result = table.map(iova: 0x20_0000, paddr: 0, pageSize: Self.megabytes2)
            #expect(result.mappedBytes == Self.megabytes2 && result.replacedBytes == 0x3000)
            #expect(result.freedTables == [.init(level: 0, iova: 0x20_0000)] && result.flushesAtOnce)
            #expect(table.tableCount == before - 1 && table.mappedBytes == Self.megabytes2)
        }
        var old = RadixPageTable(format: AMDVersion1(era: .refusing))
        #expect(old.map(iova: 0x20_3000, paddr: 0x7000, pageSize: 4096).error == nil)
        #expect(old.map(iova: 0x20_0000, paddr: 0, pageSize: Self.megabytes2).error == .busy)
        #expect(old.mappedBytes == 4096)
    }

    /// Model.md §3.4: a strict unmap of Arm flushes walks too, VT-d hands the tables to the gather, AMD keeps them.
    @Test func tablesInsideAnUnmap() {
        let cases: [(any PageTableFormat, freed: Int, atOnce: Bool)] = [
            (VTdSecondStage(), 1, false), (AMDVersion1(), 0, false), (AMDVersion2(), 0, false), (ArmLPAE(), 1, true),
        ]
        for (format, freed, atOnce) in cases {
            var table = RadixPageTable(format: format)
            #expect(table.map(iova: Self.gigabyte, paddr: 0x1000, pageSize: 4096, count: 512).error == nil)
            let before = table.tableCount
            let result = table.unmap(iova: Self.gigabyte, pageSize: Self.megabytes2)
            #expect(result.reportedBytes == Self.megabytes2 && result.clearedBytes == Self.megabytes2)
            #expect(result.freedTables == (0..<freed).map { .init(level: $0, iova: Self.gigabyte) })
            #expect(result.flushesWalksAtOnce == atOnce)
            #expect(table.tableCount == before - freed && table.mappedBytes == 0)
        }
    }

    /// VT-d's rounding also happens in a hole, and then reaches live mappings behind it.
    @Test func anUnmapOfAHole() {
        for format in [VTdSecondStage(), AMDVersion1(), AMDVersion1(era: .refusing), ArmLPAE()] as [any PageTableFormat]
        {
            var table = RadixPageTable(format: format)
            for iova in [0, Self.gigabyte, 2 * Self.gigabyte] { _ = table.map(iova: iova, paddr: 0, pageSize: 4096) }
            let inTable = table.unmap(iova: 0x5000, pageSize: 4096)
            let absentTable = table.unmap(iova: Self.gigabyte + 3 * Self.megabytes2 + 0x1000, pageSize: 4096)
            let before = table.mappedBytes
            let farther = table.unmap(iova: 2 * Self.gigabyte - 0x1000, pageSize: 4096)
            let counts = [inTable, absentTable, farther].map(\.reportedBytes)
            switch format.rules.unmapWalk {
            case .range:
                #expect(counts == [4096, Self.megabytes2, Self.megabytes2])
                #expect(farther.clearedBytes == 4096 && table.mappedBytes == before - 4096)
            case .entries: #expect(counts == [0, 0, 0])
            case .leaves(true): #expect(counts == [4096, Self.megabytes2, Self.megabytes2])
            case .leaves(false): #expect(counts == [4096, 0, 0])
            }
            #expect(inTable.clearedBytes == 0 && absentTable.clearedBytes == 0)
        }
    }

    /// Model.md §9 items 10 and 15: the kernel's choice of pages, one page a callback or a run of them.
    @Test(arguments: namedFormats, [false, true]) func aMappingTranslatesEachByte(
        format: Named<any PageTableFormat>, inRuns: Bool
    ) throws {
        let format = format.value
        let sizes = format.pageSizes
        var random = SeededGenerator(seed: UInt64(format.name.count))
        for _ in 0..<12 {
            let granule = sizes.granule
            let size = (1 + random.small(below: 3 << 18)) * granule
            let iova = random.next() % (1 << 37) & ~(granule - 1)
            var paddr = random.next() % (1 << 45) & ~(granule - 1)
            if random.next() & 1 == 0 { paddr = paddr & ~(Self.gigabyte - 1) | iova & (Self.gigabyte - 1) }
            // Where nothing lines up, tables for all would take too long.
            let length =
                (iova ^ paddr) & (format.geometry.entrySize(level: 1) - 1) == 0 ? size : min(size, 3000 * granule)
            var table = RadixPageTable(format: format)
            var done: UInt64 = 0
            while done < length {
                let (from, to) = (iova + done, paddr + done)
                let callback = try #require(sizes.callback(iova: from, paddr: to, size: length - done))
                let pageSize = try #require(sizes.pageSize(merged: from | to, size: length - done))
                let result = table.map(
                    iova: from, paddr: to, pageSize: pageSize, count: inRuns ? callback.count : 1)
                #expect(result.error == nil && result.keptBytes == 0 && result.replacedBytes == 0)
                done += result.mappedBytes
            }
            #expect(done == length && table.mappedBytes == length)
            #expect(table.physicalAddress(of: iova &- 1) == nil)
            #expect(table.physicalAddress(of: iova + length) == nil)
            for offset in [0, length - 1] + (0..<300).map({ _ in random.next() % length }) {
                #expect(table.physicalAddress(of: iova + offset) == paddr + offset)
            }
            #expect(leaves(table).reduce(0) { $0 + $1.bytes } == length)
            let window = try #require(AddressRange(start: iova + length / 2 & ~(granule - 1), size: granule))
            #expect(
                leaves(table, in: window).map { $0.iova <= window.last && $0.iova + $0.bytes > window.start } == [true])
        }
    }

    // MARK: - Refusals

    @Test func refusesWhatNoDriverTakes() {
        var table = RadixPageTable(format: VTdSecondStage(levels: 3))
        #expect(table.map(iova: 0, paddr: 0, pageSize: 0).error == .invalid)
        #expect(table.map(iova: 0, paddr: 0, pageSize: 8192).error == .invalid)
        #expect(table.map(iova: 0x1000, paddr: 0, pageSize: Self.megabytes2).error == .invalid)
        #expect(table.map(iova: 0, paddr: 0x800, pageSize: 4096).error == .invalid)
        #expect(table.map(iova: 1 << 39, paddr: 0, pageSize: 4096).error == .outOfRange)
        #expect(table.map(iova: 0, paddr: 1 << 52, pageSize: 4096).error == .outOfRange)
        #expect(table.map(iova: (1 << 39) - 4096, paddr: 0, pageSize: 4096, count: 2).error == .outOfRange)
        #expect(table.map(iova: 0, paddr: 0, pageSize: 4096, count: 1 << 45).error == .tooManyPages)
        #expect(table.map(iova: .max - 4095, paddr: 0, pageSize: 4096, count: 2).error == .outOfRange)
        #expect(table.map(iova: 0, paddr: 0, pageSize: 4096, count: 0) == .init())
        #expect(table.unmap(iova: 0x800, pageSize: 4096) == .init())
        #expect(table.unmap(iova: 0, pageSize: 4096, count: .max) == .init())
        #expect(table.unmap(iova: 1 << 39, pageSize: 4096) == .init())
        #expect(table.tableCount == 1 && table.mappedBytes == 0)
        #expect(PageTableError.exists.errno == 17 && PageTableError.busy.errno == 16)
    }

    @Test(arguments: namedFormats) func anyNumbersAreTaken(format: Named<any PageTableFormat>) {
        let format = format.value
        var random = SeededGenerator(seed: 3)
        var table = RadixPageTable(format: format, memoryLimit: 1 << 22)
        var successes = 0
        for _ in 0..<3000 {
            let size = UInt64(1) << (random.next() % 64)
            let (iova, paddr) = (random.hostile() & ~(size - 1), random.hostile() & ~(size - 1) & 0xf_ffff_ffff_ffff)
            let count = random.next() & 1 == 0 ? 1 : random.hostile() % 4096
            if random.next() & 1 == 0 {
                successes += table.map(iova: iova, paddr: paddr, pageSize: size, count: count).error == nil ? 1 : 0
            } else {
                _ = table.unmap(iova: iova, pageSize: size, count: random.next() & 1 == 0 ? count : random.hostile())
            }
            _ = table.physicalAddress(of: random.hostile())
            _ = table.entry(for: random.hostile(), level: Int(random.next() % 7))
        }
        #expect(successes > 3)
        #expect(table.tableBytes <= 1 << 22)
        #expect(leaves(table).reduce(0) { $0 &+ $1.bytes } == table.mappedBytes)
    }

    @Test(arguments: namedFormats) func memoryHasALimit(format: Named<any PageTableFormat>) {
        let format = format.value
        let granule = format.pageSizes.granule
        let levels = format.geometry.startLevels
        var table = RadixPageTable(format: format, memoryLimit: Int(granule) * levels)
        #expect(table.map(iova: 0, paddr: 0, pageSize: granule).error == nil)
        let far = format.geometry.entrySize(level: 1)
        let before = leaves(table)
        #expect(table.map(iova: far, paddr: 0, pageSize: granule).error == .outOfMemory)
        #expect(leaves(table) == before && table.tableCount == levels)
        if format.geometry.maxLevels > levels {
            #expect(table.map(iova: 1 << 50, paddr: 0, pageSize: granule).error == .outOfMemory)
        }
        // A superpage needs no room, but its splitting does: the unmap then does nothing, as in the kernel.
        #expect(table.map(iova: far, paddr: 0, pageSize: far).error == nil)
        let result = table.unmap(iova: far, pageSize: granule)
        #expect((result.reportedBytes == 0) == (format.rules.partialUnmap != .wholeEntry))
        // A smaller page inside does not even take the large one away.
        guard format.rules.insideSuperpage == .replace else { return }
        #expect(table.map(iova: far, paddr: 0, pageSize: far).error == nil)
        #expect(table.map(iova: far, paddr: granule, pageSize: granule).error == .outOfMemory)
        #expect(table.physicalAddress(of: far) == 0)
    }

    @Test func shapesOutsideOfWhatThereIsAreTakenForTheNearest() {
        #expect(VTdSecondStage(levels: 9).geometry.startLevels == 5)
        #expect(VTdSecondStage(superpages: .none).pageSizes == .fourK)
        #expect(VTdFirstStage(levels: 1, has1G: false).pageSizes.bitmap == 1 << 12 | 1 << 21)
        #expect(AMDVersion2(levels: 7).geometry.inputBits == 57)
        #expect(ArmLPAE(inputBits: 64, outputBits: 64).geometry == ArmLPAE().geometry)
        #expect(ArmLPAE(inputBits: 39).geometry.startLevels == 3)
        #expect(ArmLPAE(granule: .sixteenK).geometry.startLevels == 4)
        #expect(ArmLPAE(granule: .sixtyFourK).geometry.startLevels == 3)
        #expect(Set(Self.formats.map(\.name)).count >= 10)
        #expect(Self.formats.allSatisfy { $0.geometry.tableSize == $0.geometry.entriesPerTable * 8 })
    }

    // MARK: - The twin

    /// All formats against a dictionary by page: superpages, parts of them, holes, maps over live maps, tables freed.
    @Test(arguments: namedFormats, seeds.prefix(2)) func agreesWithADictionaryOfPages(
        format: Named<any PageTableFormat>, seed: UInt64
    ) throws {
        let format = format.value
        var random = SeededGenerator(seed: seed)
        var both = Both(format: format)
        // Eight superpages across a border of the second level, and eight in a far corner.
        let large = format.geometry.entrySize(level: 1)
        let geometry = format.geometry
        let zones = [
            format.geometry.entrySize(level: 2) - 4 * large,
            geometry.inputBits == 64 ? 1 << 45 : (1 << UInt64(geometry.inputBits)) - 8 * large,
        ]
        let granule = format.pageSizes.granule
        let pages = 8 * large / granule
        var seen = Seen()
        var failures = 0
        // The twin takes its time by the page.
        let turns = geometry.bitsPerLevel == 9 ? 200 : 100
        for turn in 0..<turns {
            let zone = zones[random.next() % 4 == 0 ? 1 : 0]
            let first = random.next() % 3 == 0 ? random.next() % 8 * (large / granule) : random.next() % pages
            let most = random.next() & 1 == 0 ? large / granule : pages
            let iova = zone + first * granule
            let isLarge = random.next() % 4 == 0
            let size = min(isLarge ? large / granule : 1 + random.small(below: most), pages - first) * granule
            if random.next() % 3 < 2 {
                var paddr = random.next() % (1 << 30) & ~(granule - 1)
                if random.next() & 1 == 0 { paddr = paddr & ~(8 * large - 1) | iova & (8 * large - 1) }
                // A snapshot costs a copy of the twin.
                let before = turn % 4 == 0 ? both.twin.leaves : nil
                let outcome = both.map(iova: iova, paddr: paddr, size: size)
                seen.add(outcome)
                // Item 11: what fails is taken back, and only a table that gave way to a block may have lost something.
                if let before, outcome.error != nil, outcome.replacedBytes == 0 {
                    #expect(both.twin.leaves == before)
                    failures += 1
                }
            } else {
                seen.add(both.unmap(iova: iova, size: size))
            }
            if turn % 30 == 29 { both.compare() }
            // Item 12.
            #expect(both.table.mappedBytes == seen.mapped &- seen.replaced &- seen.kept &- seen.cleared)
        }
        both.compare()
        // The only driver that neither unmaps tables nor puts a superpage in their place.
        #expect((seen.freedTables > 0) == !both.twin.isRefusing)
        #expect(seen.cleared > 0 && seen.mapped > seen.cleared)
        #expect((seen.errors > 0) == (format.rules.insideSuperpage == .fail(.exists) || both.twin.isRefusing))
        #expect((failures > 0) == (seen.errors > 0))
        #expect((seen.kept > 0) == (format.rules.overPage == .keepOld))
        #expect((seen.splits > 0) == (format.rules.partialUnmap == .split))
    }

    /// What happened in a run of the twin test, so that it cannot pass by doing nothing.
    struct Seen {
        var mapped: UInt64 = 0, replaced: UInt64 = 0, kept: UInt64 = 0, cleared: UInt64 = 0
        var errors = 0, splits = 0, freedTables = 0

        mutating func add(_ outcome: Both.Outcome) {
            mapped &+= outcome.mappedBytes
            replaced &+= outcome.replacedBytes
            kept &+= outcome.keptBytes
            cleared &+= outcome.clearedBytes
            errors += outcome.error == nil ? 0 : 1
            splits += outcome.splits
            freedTables += outcome.freedTables
        }
    }

    /// The table and its twin, which must do the same.
    struct Both {
        /// What a call of the IOMMU API did in all its callbacks.
        struct Outcome {
            var mappedBytes: UInt64 = 0, replacedBytes: UInt64 = 0, keptBytes: UInt64 = 0, clearedBytes: UInt64 = 0
            var error: PageTableError?
            var splits = 0, freedTables = 0
        }

        var table: RadixPageTable
        var twin: PageTableTwin

        init(format: any PageTableFormat) {
            table = RadixPageTable(format: format)
            twin = PageTableTwin(format: format)
        }

        /// `iommu_map`: callbacks, and an unmap of what was mapped when one fails.
        mutating func map(iova: UInt64, paddr: UInt64, size: UInt64) -> Outcome {
            var outcome = Outcome()
            var done: UInt64 = 0
            while done < size,
                let callback = table.format.pageSizes.callback(
                    iova: iova + done, paddr: paddr + done, size: size - done)
            {
                let arguments = (iova + done, paddr + done, callback.pageSize, callback.count)
                var result = table.map(
                    iova: arguments.0, paddr: arguments.1, pageSize: arguments.2, count: arguments.3)
                let expected = twin.map(
                    iova: arguments.0, paddr: arguments.1, pageSize: arguments.2, count: arguments.3)
                result.freedTables.sort { ($0.iova, $0.level) < ($1.iova, $1.level) }
                #expect(result == expected)
                #expect(table.mappedBytes == twin.mappedBytes && table.tableCount == twin.tables.count)
                done += result.mappedBytes
                outcome.mappedBytes &+= result.mappedBytes
                outcome.replacedBytes &+= result.replacedBytes
                outcome.keptBytes &+= result.keptBytes
                outcome.freedTables += result.freedTables.count
                if let error = result.error {
                    outcome.error = error
                    if done > 0 { outcome.clearedBytes = unmap(iova: iova, size: done).clearedBytes }
                    break
                }
            }
            return outcome
        }

        /// `__iommu_unmap`: callbacks until one makes no progress.
        mutating func unmap(iova: UInt64, size: UInt64) -> Outcome {
            var outcome = Outcome()
            var done: UInt64 = 0
            while done < size,
                let callback = table.format.pageSizes.callback(iova: iova + done, paddr: iova + done, size: size - done)
            {
                var result = table.unmap(iova: iova + done, pageSize: callback.pageSize, count: callback.count)
                let expected = twin.unmap(iova: iova + done, pageSize: callback.pageSize, count: callback.count)
                result.freedTables.sort { ($0.iova, $0.level) < ($1.iova, $1.level) }
                #expect(result == expected)
                #expect(table.mappedBytes == twin.mappedBytes && table.tableCount == twin.tables.count)
                outcome.clearedBytes &+= result.clearedBytes
                outcome.splits += result.splits
                outcome.freedTables += result.freedTables.count
                guard result.reportedBytes > 0 else { break }
                done &+= result.reportedBytes
            }
            return outcome
        }

        /// Leaf by leaf.
        func compare() {
            var pages: [UInt64: PageTableTwin.Page] = [:]
            var last: UInt64?
            let granule = table.format.pageSizes.granule
            table.forEachLeaf { leaf in
                #expect(last.map { $0 < leaf.iova } ?? true, "out of order")
                last = leaf.iova + (leaf.bytes - 1)
                for offset in stride(from: 0, to: leaf.bytes, by: Int(granule)) {
                    let page = PageTableTwin.Page(target: leaf.target + offset, size: leaf.pageSize)
                    #expect(pages.updateValue(page, forKey: leaf.iova + offset) == nil)
                }
            }
            #expect(pages == twin.leaves)
            for (iova, page) in twin.leaves.prefix(50) {
                #expect(table.physicalAddress(of: iova + granule - 1) == page.target + granule - 1)
            }
            #expect(table.levels == twin.levels)
            #expect(table.tableBytes == UInt64(twin.tables.count) * granule)
        }
    }
}

/// A page table without entries: what every page points to, and which tables there would be. Slow and plain.
struct PageTableTwin {
    struct Page: Hashable {
        var target: UInt64
        var size: UInt64
    }
    struct Table: Hashable {
        var level: Int
        var iova: UInt64
    }

    let rules: PageTableRules
    let granule: UInt64
    let bits: UInt64
    var levels: Int
    var leaves: [UInt64: Page] = [:]
    var tables: Set<Table> = []

    init(format: any PageTableFormat) {
        rules = format.rules
        granule = format.pageSizes.granule
        bits = UInt64(format.geometry.bitsPerLevel)
        levels = format.geometry.startLevels
        tables = [Table(level: levels - 1, iova: 0)]
    }

    var isRefusing: Bool { rules.overPage == .fail(.busy) }
    var mappedBytes: UInt64 { UInt64(leaves.count) * granule }

    func entrySize(_ level: Int) -> UInt64 { granule << (bits * UInt64(level)) }
    func level(of size: UInt64) -> Int { (0..<levels + 3).last { entrySize($0) != 0 && entrySize($0) <= size } ?? 0 }
    func table(_ level: Int, _ iova: UInt64) -> Table { Table(level: level, iova: iova & ~(entrySize(level + 1) &- 1)) }
    func deepestLevel(_ iova: UInt64) -> Int { (0..<levels).first { tables.contains(table($0, iova)) } ?? levels }

    /// Removes what lies in a range, and tables below a level.
    mutating func remove(_ start: UInt64, _ size: UInt64, below level: Int, _ freed: inout [RadixPageTable.FreedTable])
        -> UInt64
    {
        let last = start + (size - 1)
        var bytes: UInt64 = 0
        if size / granule > UInt64(leaves.count) {
            for page in leaves.keys where page >= start && page <= last { remove(page, &bytes) }
        } else {
            for page in stride(from: start, through: last, by: Int(granule)) { remove(page, &bytes) }
        }
        let gone = tables.filter {
            $0.level < level && $0.iova >= start && $0.iova + (entrySize($0.level + 1) - 1) <= last
        }
        tables.subtract(gone)
        freed += gone.map { RadixPageTable.FreedTable(level: $0.level, iova: $0.iova) }
        freed.sort { ($0.iova, $0.level) < ($1.iova, $1.level) }
        return bytes
    }

    private mutating func remove(_ page: UInt64, _ bytes: inout UInt64) {
        if leaves.removeValue(forKey: page) != nil { bytes += granule }
    }

    mutating func map(iova: UInt64, paddr: UInt64, pageSize: UInt64, count: UInt64) -> RadixPageTable.MapResult {
        var result = RadixPageTable.MapResult()
        for index in 0..<count {
            let offset = index * pageSize
            result.error = mapPage(iova + offset, paddr + offset, pageSize, &result)
            guard result.error == nil else { break }
            result.mappedBytes += pageSize
        }
        return result
    }

    private mutating func mapPage(
        _ iova: UInt64, _ paddr: UInt64, _ size: UInt64, _ result: inout RadixPageTable.MapResult
    ) -> PageTableError? {
        while iova + (size - 1) >= entrySize(levels) {
            tables.insert(Table(level: levels, iova: 0))
            levels += 1
        }
        let level = level(of: size)
        for upper in (level..<levels).reversed() where !tables.contains(table(upper, iova)) {
            if let page = leaves[iova] {
                switch rules.insideSuperpage {
                case .fail(let error): return error
                case .keepOld:
                    result.keptBytes += size
                    return nil
                case .replace:
                    let start = iova & ~(page.size - 1)
                    let old = page.target & ~(page.size - 1)
                    for other in stride(from: start, to: start + page.size, by: Int(granule))
                    where leaves[other]?.size == page.size && leaves[other].map({ $0.target & ~(page.size - 1) }) == old
                    {
                        leaves[other] = nil
                        result.replacedBytes += granule
                    }
                    result.flushesAtOnce = true
                }
            }
            tables.insert(table(upper, iova))
        }
        let slots = stride(from: iova, to: iova + size, by: Int(entrySize(level)))
        func rule(_ slot: UInt64) -> PageTableRules.OverLive? {
            if level > 0, tables.contains(Table(level: level - 1, iova: slot)) { return rules.overTable }
            if leaves[slot] == nil { return nil }
            return level > 0 ? rules.overSuperpage : rules.overPage
        }
        for slot in slots { if case .fail(let error) = rule(slot) { return error } }
        for slot in slots {
            if let rule = rule(slot) {
                if rule == .keepOld {
                    result.keptBytes += entrySize(level)
                    continue
                }
                result.replacedBytes += remove(slot, entrySize(level), below: level, &result.freedTables)
                result.flushesAtOnce = true
            }
            for page in stride(from: slot, to: slot + entrySize(level), by: Int(granule)) {
                leaves[page] = Page(target: paddr + (page - iova), size: size)
            }
        }
        return nil
    }

    mutating func unmap(iova: UInt64, pageSize: UInt64, count: UInt64) -> RadixPageTable.UnmapResult {
        var result = RadixPageTable.UnmapResult()
        let size = pageSize * count
        switch rules.unmapWalk {
        case .range: unmapRange(iova, size, &result)
        case .entries(let splitting):
            while result.reportedBytes < size,
                unmapEntry(iova + result.reportedBytes, pageSize, splitting: splitting, &result)
            {}
        case .leaves(let countingAbsentTables):
            var next = iova
            while result.reportedBytes < size {
                let level = deepestLevel(next)
                guard level < levels else { break }
                var bytes = entrySize(level)
                if let page = leaves[next] {
                    bytes = page.size
                    result.clearedBytes += remove(
                        next & ~(bytes - 1), bytes, below: level, &result.freedTables)
                } else if level > 0, !countingAbsentTables {
                    break
                }
                result.reportedBytes += bytes
                next = (next & ~(bytes - 1)) + bytes
                guard next < entrySize(levels) else { break }
            }
        }
        result.flushesWalksAtOnce = rules.flushesWalksAtOnce && !result.freedTables.isEmpty
        return result
    }

    private mutating func unmapRange(_ iova: UInt64, _ asked: UInt64, _ result: inout RadixPageTable.UnmapResult) {
        let size = max(asked, entrySize(deepestLevel(iova)))
        result.reportedBytes = size
        guard iova + (size - 1) < entrySize(levels) else { return }
        // Superpages that reach over an end go whole.
        var cut: [UInt64] = []
        for end in [iova, iova + size - granule] { if let page = leaves[end], page.size > granule { cut.append(end) } }
        for end in cut {
            guard let page = leaves[end] else { continue }
            result.clearedBytes += remove(end & ~(page.size - 1), page.size, below: 0, &result.freedTables)
        }
        result.clearedBytes += remove(iova, size, below: levels - 1, &result.freedTables)
    }

    private mutating func unmapEntry(
        _ iova: UInt64, _ size: UInt64, splitting: Bool, _ result: inout RadixPageTable.UnmapResult
    ) -> Bool {
        let level = level(of: size)
        while !tables.contains(table(level, iova)) {
            guard let page = leaves[iova], splitting else { return false }
            let smaller = entrySize(self.level(of: page.size) - 1)
            let start = iova & ~(page.size - 1)
            tables.insert(Table(level: self.level(of: page.size) - 1, iova: start))
            for other in stride(from: start, to: start + page.size, by: Int(granule)) { leaves[other]?.size = smaller }
            result.splits += 1
        }
        let isTable = level > 0 && tables.contains(Table(level: level - 1, iova: iova))
        guard isTable || leaves[iova] != nil else { return false }
        result.clearedBytes += remove(iova, size, below: level, &result.freedTables)
        result.reportedBytes += size
        return true
    }
}
