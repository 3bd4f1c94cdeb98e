import TestSupport
import Testing

@testable import IOMMUModel

/// What flushes become at the hardware (model.md §4, §9 items 17-20).
@Suite struct InvalidationTests {
    private func range(_ page: UInt64, _ count: UInt64) throws -> AddressRange {
        try #require(AddressRange(start: page << 12, size: count << 12))
    }

    // MARK: - VT-d

    /// Model.md §4.1: first page, pages, mask.
    @Test(
        arguments: [
            (0x1000, 1, 0), (0x1000, 16, 4), (0x1001, 2, 2), (0x1003, 2, 3), (0x1001, 16, 5), (0x1000, 100, 7),
            (0x1000, 513, 10), (0x1fff, 2, 14), (0xfffff, 2, 21), (0x1000, 262_144, 19),
        ] as [(UInt64, UInt64, Int)])
    func masks(page: UInt64, count: UInt64, mask: Int) {
        #expect(VTd.mask(page: page, count: count) == mask)
    }

    /// Item 17: the block is aligned, holds the range, and no smaller one does.
    @Test(arguments: seeds) func aMaskNamesTheSmallestBlock(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            let count = 1 + random.small(below: 1 << 30)
            let page = random.next() >> (13 + random.next() % 40)
            let mask = VTd.mask(page: page, count: count)
            let last = page + count - 1
            guard mask < 52 else {
                #expect(page >> 51 != last >> 51)
                continue
            }
            #expect(page >> UInt64(mask) == last >> UInt64(mask))
            #expect(1 << UInt64(mask) >= count)
            if mask > 0 {
                let smaller = UInt64(mask - 1)
                #expect(page >> smaller != last >> smaller || count > 1 << smaller)
            }
        }
    }

    @Test(arguments: seeds) func anyNumbersAreTakenWithoutATrap(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for profile in HardwareProfile.allCases {
            var invalidator = Invalidator(Hardware(profile), pageSizes: .everyPowerOfTwo)
            for _ in 0..<500 {
                let (one, other) = (random.hostile(), random.hostile())
                let range = try #require(AddressRange(start: min(one, other), last: max(one, other)))
                switch random.next() % 5 {
                case 0: invalidator.sync()
                case 1: invalidator.flushAll()
                case 2: invalidator.sync(range)
                case 3: invalidator.flushEachPage(range)
                default: invalidator.unmap(range)
                }
                _ = VTd.mask(page: one, count: other)
            }
            let counts = invalidator.counts
            #expect(counts.commands > 0 && counts.waits >= 0 && counts.domainCommands >= 0, "\(profile)")
        }
    }

    // MARK: - AMD

    /// Item 18: the same block as VT-d's.
    @Test(arguments: seeds) func amdNamesTheSameBlock(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            let count = 1 + random.small(below: 1 << 30)
            let page = random.next() >> (14 + random.next() % 40)
            let bits = AMDvi.coverage(of: try range(page, count))
            let last = page + count - 1
            if count == 1 {
                #expect(bits == 12)
            } else if let bits {
                #expect(page >> UInt64(bits - 12) == last >> UInt64(bits - 12))
                #expect(page >> UInt64(bits - 13) != last >> UInt64(bits - 13))
                #expect(bits - 12 <= VTd.mask(page: page, count: count))
            } else {
                #expect((page << 12) >> 52 != (last << 12) >> 52)
            }
        }
    }

    // MARK: - SMMUv3

    /// Item 19, and the examples of model.md §4.3.
    @Test(
        arguments: [
            (1, 1), (16, 1), (100, 1), (255, 2), (512, 1), (513, 2), (1_000_003, 4),
        ] as [(UInt64, Int64)])
    func rangeCommands(pages: UInt64, commands: Int64) {
        #expect(SMMUv3.rangeCommands(pages: pages) == commands)
    }

    @Test(arguments: seeds) func fewCommandsCoverAnyRange(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            let pages = 1 + random.small(below: 1 << 18)
            let commands = SMMUv3.rangeCommands(pages: pages)
            #expect((1...4).contains(commands))
            // Each command covers a window of five bits.
            #expect(commands >= Int64(pages.nonzeroBitCount + 4) / 5)
        }
    }

    // MARK: - Profiles

    private func counts(
        _ profile: HardwareProfile, _ sizes: PageSizes = .fourKTwoMOneG, _ body: (inout Invalidator) -> Void
    ) -> [Int64] {
        var invalidator = Invalidator(Hardware(profile), pageSizes: sizes)
        body(&invalidator)
        let counts = invalidator.counts
        return [
            counts.commands, counts.domainCommands, counts.waits, Int64(counts.pages), Int64(counts.overPages),
        ]
    }

    /// Model.md §4.4: a strict unmap of 16 pages that begin on an odd one.
    @Test(
        arguments: [
            (.contract, [16, 0, 1, 16, 0]), (.vtd419, [16, 0, 16, 16, 0]), (.vtd61, [1, 0, 1, 32, 16]),
            (.vtd612, [1, 0, 1, 32, 16]), (.amd419, [1, 1, 1, 0, 0]), (.amd6, [1, 0, 1, 32, 16]),
            (.smmuv3, [16, 0, 1, 16, 0]), (.smmuv3RIL, [1, 0, 1, 16, 0]), (.vtd619, [1, 0, 1, 32, 16]),
            (.vtd70, [1, 0, 1, 32, 16]), (.amd619, [1, 0, 1, 32, 16]), (.amd72, [1, 0, 1, 32, 16]),
            (.smmuv371, [16, 0, 1, 16, 0]), (.smmuv3RIL73, [1, 0, 1, 16, 0]), (.riscv613, [16, 0, 1, 16, 0]),
            (.riscv72, [16, 0, 1, 16, 0]),
        ] as [(HardwareProfile, [Int64])])
    func aStrictUnmapOfSmallPages(profile: HardwareProfile, expected: [Int64]) throws {
        let pages = try range(0x1001, 16)
        #expect(
            counts(profile) {
                $0.unmap(pages)
                $0.sync()
            } == expected)
    }

    /// A head of 4 KiB, a body of 2 MiB, a tail of 4 KiB: three segments with Intel up to 6.18 and Arm, one with AMD and generic page
    /// tables. RISC-V of 6.13 flushes the domain for 2 MiB, later for more than 512 pages.
    @Test(
        arguments: [
            (.contract, [3, 0, 1, 514, 0]), (.vtd61, [3, 0, 3, 514, 0]), (.amd6, [1, 0, 1, 2048, 1534]),
            (.smmuv3, [3, 0, 3, 514, 0]), (.smmuv3RIL, [3, 0, 3, 514, 0]), (.vtd619, [1, 0, 1, 2048, 1534]),
            (.vtd70, [1, 0, 1, 2048, 1534]), (.amd72, [1, 0, 1, 2048, 1534]), (.smmuv371, [3, 0, 3, 514, 0]),
            (.riscv613, [3, 1, 3, 2, 0]), (.riscv72, [1, 1, 1, 0, 0]),
        ] as [(HardwareProfile, [Int64])])
    func mixedPageSizesEndSpans(profile: HardwareProfile, expected: [Int64]) throws {
        let pages = try range(0x1ff, 514)
        #expect(
            counts(profile) {
                $0.unmap(pages)
                $0.sync()
            } == expected)
    }

    /// Model.md §1.6: neighbours are gathered, a gap or another length syncs first.
    @Test func neighboursShareACommand() throws {
        let (first, next, far) = (try range(0x100, 1), try range(0x101, 1), try range(0x200, 1))
        #expect(
            counts(.vtd61) {
                for range in [first, next, far] { $0.unmap(range) }
                $0.sync()
            } == [2, 0, 2, 3, 0])
        // What an unmap from the top down leaves is one span too.
        #expect(
            counts(.vtd61) {
                for range in [next, first] { $0.unmap(range) }
                $0.sync()
            } == [1, 0, 1, 2, 0])
        #expect(
            counts(.amd6) {
                for range in [first, far] { $0.unmap(range) }
                $0.sync()
            } == [1, 0, 1, 1024, 1022])
        // Two pages in one callback do not join one page in another (model.md §4.4).
        let two = try range(0x101, 2)
        #expect(
            counts(.vtd61) {
                for range in [first, two] { $0.unmap(range) }
                $0.sync()
            } == [2, 0, 2, 5, 2])
    }

    /// Model.md §1.6: what an empty gather costs. Of 6.1 the recorded logs show it.
    @Test(
        arguments: [
            (.contract, [0, 0, 1, 0, 0]), (.vtd61, [1, 0, 1, 1, 1]), (.vtd612, [1, 1, 1, 0, 0]),
            (.amd6, [1, 1, 1, 0, 0]),
            (.smmuv3, [0, 0, 0, 0, 0]), (.vtd419, [0, 0, 0, 0, 0]), (.amd419, [1, 1, 1, 0, 0]),
            (.vtd619, [1, 1, 1, 0, 0]), (.vtd70, [0, 0, 0, 0, 0]), (.amd619, [1, 1, 1, 0, 0]),
            (.amd72, [0, 0, 0, 0, 0]), (.smmuv371, [0, 0, 0, 0, 0]), (.riscv613, [0, 0, 0, 0, 0]),
        ] as [(HardwareProfile, [Int64])])
    func anEmptyGather(profile: HardwareProfile, expected: [Int64]) {
        #expect(counts(profile) { $0.sync() } == expected)
    }

    @Test(arguments: HardwareProfile.allCases) func aFlushOfADomainIsOneCommand(profile: HardwareProfile) {
        #expect(counts(profile) { $0.flushAll() } == [1, 1, 1, 0, 0])
    }

    /// Beyond `CAP.MAMV` only the whole domain can be named.
    @Test func tooLargeARangeTakesTheDomain() throws {
        let large = try range(0x1000, 262_144)
        #expect(counts(.vtd612) { $0.sync(large) } == [1, 1, 1, 0, 0])
        #expect(counts(.amd6) { $0.sync(large) } == [1, 0, 1, 524_288, 262_144])
    }

    /// First-stage commands do not look at it.
    @Test func aFirstStageRangeIsNamedHoweverLarge() throws {
        let hardware = try #require(Hardware(parsing: "vtd-7.0,first-stage"))
        var invalidator = Invalidator(hardware, pageSizes: .fourKTwoMOneG, keepsCommands: true)
        invalidator.sync(try range(0x1000, 262_144))
        var sent: [InvalidationCommand] = []
        invalidator.takeCommands { sent.append($0) }
        #expect(sent.map(\.mask) == [19] && sent[0].range?.start == 0)
        #expect(Hardware(parsing: "amd-7.2,first-stage") == nil && Hardware(parsing: "vtd-4.19,first-stage") == nil)
    }

    /// An unmap that finds nothing adds its address to the gather of 6.19, and one page there is flushed, if nothing else was.
    @Test func whatIsFlushedWhereNothingWas() throws {
        let iova = 0x2000_0000 as UInt64
        func sent(_ profile: HardwareProfile, _ body: (inout Invalidator) -> Void) -> [InvalidationCommand] {
            var invalidator = Invalidator(Hardware(profile), pageSizes: .fourKTwoMOneG, keepsCommands: true)
            body(&invalidator)
            var sent: [InvalidationCommand] = []
            invalidator.takeCommands { sent.append($0) }
            return sent
        }
        let page = try #require(AddressRange(start: iova, size: 4096))
        func nothing(_ invalidator: inout Invalidator) {
            invalidator.unmapNothing(at: iova)
            invalidator.sync()
        }
        #expect(sent(.vtd619, nothing) == [InvalidationCommand(page, hint: .leavesOnly)])
        #expect(sent(.vtd70, nothing) == [] && sent(.vtd612, nothing) == [.wholeDomain])
        let other = try range(0x50, 1)
        let both = sent(.vtd619) {
            $0.unmap(other)
            $0.unmapNothing(at: iova)
            $0.sync()
            $0.sync()
        }
        #expect(both == [InvalidationCommand(other, hint: .leavesOnly), .wholeDomain])
    }

    /// From an eighth of a granule of commands on, 7.1 flushes the domain: 512 at 4 KiB, 262,144 at 2 MiB (model.md §4.3).
    @Test func manyPagesTakeTheDomain() throws {
        for (pages, expected) in [(511, [511, 0, 1, 511, 0]), (512, [1, 1, 1, 0, 0])] as [(UInt64, [Int64])] {
            let run = try range(0x1001, pages)
            #expect(counts(.smmuv371) { $0.sync(run) } == expected)
        }
        for (blocks, isDomain) in [(262_143, false), (262_144, true)] as [(UInt64, Bool)] {
            let run = try range(0x200, blocks * 512)
            let sent = counts(.smmuv371, try #require(PageSizes(bitmap: 1 << 12 | 1 << 21))) {
                $0.unmap(run)
                $0.sync()
            }
            #expect(sent.prefix(2) == (isDomain ? [1, 1] : [Int64(blocks), 0]))
        }
    }

    /// Two commands cover what four would cover exactly, and a little more.
    @Test(arguments: seeds) func twoRangeCommandsCoverWhatMoreWould(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let pages = 1 + random.small(below: 1 << 30)
            let covered = SMMUv3.pagesOfTwoCommands(covering: pages)
            #expect(covered >= pages && SMMUv3.rangeCommands(pages: covered) <= 2)
            #expect(covered == pages || SMMUv3.rangeCommands(pages: pages) > 2)
            // Less than a unit of what is left over is added: a 32nd of it twice.
            #expect(covered - pages <= pages >> 8 + 1)
        }
        #expect(SMMUv3.rangeCommands(pages: 1_000_003) == 4)
    }

    /// By hand: 2 MiB less a page is 511 commands up to 7.1; later, leaves of 2 MiB are one each, and up to 512 are sent.
    @Test func riscvByHand() throws {
        let (small, large) = (try range(0x201, 511), try range(0x200, 512))
        #expect(counts(.riscv613) { $0.sync(small) } == [511, 0, 1, 511, 0])
        #expect(counts(.riscv613) { $0.sync(large) } == [1, 1, 1, 0, 0])
        #expect(counts(.riscv72) { $0.sync(large) } == [512, 0, 1, 512, 0])
        let gigabyte = try range(1 << 18, 1 << 18)
        let leaves: Invalidator.LeavesSlice = [TranslationMap.Run(range: gigabyte, target: 0, pageSize: 2 << 20)]
        #expect(
            counts(.riscv72) {
                $0.unmap(gigabyte, leaves: leaves)
                $0.sync()
            } == [512, 0, 1, 1 << 18, 0])
        var ranges = Invalidator(try #require(Hardware(parsing: "riscv-7.2,ranges")), pageSizes: .fourKTwoMOneG)
        ranges.sync(gigabyte)
        #expect(ranges.counts.commands == 1 && ranges.counts.domainCommands == 0)
        #expect(HardwareProfile.riscv613.isBySourceAlone && HardwareProfile.riscv72.isBySourceAlone)
        #expect(Hardware(parsing: "riscv-6.13,ranges") == nil)
    }

    /// Item 20: without the interface it costs at least as much as with it.
    @Test(arguments: HardwareProfile.allCases) func aSyncForManyCostsNoMoreThanOneForEach(profile: HardwareProfile)
        throws
    {
        var random = SeededGenerator(seed: 7)
        var apart = Invalidator(Hardware(profile), pageSizes: profile.pageSizes)
        var together = Invalidator(Hardware(profile), pageSizes: profile.pageSizes)
        for turn in 0..<4000 {
            let pages = try range(random.small(below: 1 << 20), 1 + random.small(below: 700))
            apart.unmap(pages)
            apart.sync()
            together.unmap(pages)
            if turn % 64 == 63 { together.sync() }
        }
        #expect(together.counts.commands <= apart.counts.commands)
        #expect(together.counts.waits <= apart.counts.waits)
    }

    // MARK: - More IOMMUs, device TLBs

    /// Commands, waits and commands to device TLBs of two flushes under two IOMMUs and three devices with a TLB (model.md §4).
    @Test(
        arguments: [
            (.vtd419, [4, 10, 6]), (.vtd61, [4, 10, 6]), (.vtd612, [4, 4, 6]), (.amd419, [4, 4, 6]),
            (.amd6, [4, 4, 6]),
            (.smmuv3, [4, 8, 6]), (.smmuv3RIL, [4, 8, 6]), (.vtd619, [4, 4, 6]), (.vtd70, [4, 4, 6]),
            (.amd72, [4, 4, 6]), (.smmuv371, [4, 8, 6]), (.riscv613, [4, 4, 6]),
        ] as [(HardwareProfile, [Int64])])
    func everyIOMMUAndDeviceIsTold(profile: HardwareProfile, expected: [Int64]) throws {
        let hardware = try #require(Hardware(profile, cachesAbsent: false, units: 2, deviceTLBs: 3))
        var invalidator = Invalidator(hardware, pageSizes: profile.pageSizes)
        invalidator.unmap(try range(0x1000, 1))
        invalidator.sync()
        invalidator.flushAll()
        let counts = invalidator.counts
        #expect([counts.commands, counts.waits, counts.deviceTLBCommands] == expected)
        #expect(counts.pages == (profile == .amd419 ? 0 : 1))
    }

    /// Batches of 16 descriptors: the 16th device needs a wait of its own.
    @Test(arguments: [(0, 1), (15, 1), (16, 2), (31, 2), (32, 3)]) func descriptorsGoInBatches(
        devices: Int, waits: Int64
    ) throws {
        let hardware = try #require(Hardware(.vtd612, cachesAbsent: false, deviceTLBs: devices))
        var invalidator = Invalidator(hardware, pageSizes: .fourK)
        invalidator.flushAll()
        #expect(invalidator.counts.waits == waits)
        #expect(invalidator.counts.deviceTLBCommands == Int64(devices))
    }

    // MARK: - Whose they are

    /// What a submission takes along is no further command, whoever sends it.
    @Test func furtherCommandsAreThoseBeyondTheFirstOfAWait() throws {
        var invalidator = Invalidator(Hardware(.contract), pageSizes: .fourK)
        invalidator.unmap(try range(0x1000, 3))
        var taken = invalidator.takeCounts()
        #expect([taken.commands, taken.furtherCommands, taken.waits] == [3, 2, 0])
        // Somebody else's call, which syncs for both.
        invalidator.unmap(try range(0x2000, 2))
        invalidator.sync()
        taken = invalidator.takeCounts()
        #expect([taken.commands, taken.furtherCommands, taken.waits] == [2, 2, 1])
        // A sync of nothing takes no command along that another one could miss.
        invalidator.sync()
        invalidator.unmap(try range(0x3000, 4))
        invalidator.sync()
        taken = invalidator.takeCounts()
        #expect([taken.commands, taken.furtherCommands, taken.waits] == [4, 3, 2])
    }

    /// Whenever counts are taken, they come to the same; and further commands to what the flushes one by one have.
    @Test(arguments: HardwareProfile.allCases, [0, 3]) func takenCountsComeToTheWhole(
        profile: HardwareProfile, devices: Int
    ) throws {
        var random = SeededGenerator(seed: UInt64(devices) + 11)
        // The contract knows no IOMMUs.
        let hardware =
            Hardware(profile, cachesAbsent: false, units: devices > 0 ? 2 : 1, deviceTLBs: devices) ?? Hardware(profile)
        var whole = Invalidator(hardware, pageSizes: profile.pageSizes)
        var divided = Invalidator(hardware, pageSizes: profile.pageSizes)
        var parts = InvalidationCounts()
        for _ in 0..<3000 {
            let pages = try range(random.small(below: 1 << 16), 1 + random.small(below: 700))
            switch random.next() % 8 {
            case 0, 1:
                whole.sync()
                divided.sync()
            case 2:
                whole.sync(pages)
                divided.sync(pages)
            case 3:
                whole.flushAll()
                divided.flushAll()
            case 4:
                whole.flushEachPage(pages)
                divided.flushEachPage(pages)
            default:
                whole.unmap(pages)
                divided.unmap(pages)
            }
            if random.next() % 3 == 0 { parts.add(divided.takeCounts()) }
        }
        parts.add(divided.takeCounts())
        let counts = whole.counts
        #expect(parts.commands == counts.commands && parts.domainCommands == counts.domainCommands)
        #expect(parts.furtherCommands == counts.furtherCommands && parts.waits == counts.waits)
        #expect(parts.deviceTLBCommands == counts.deviceTLBCommands)
        #expect(parts.pages == counts.pages && parts.overPages == counts.overPages)
        #expect(counts.furtherCommands >= 0 && counts.furtherCommands <= counts.commands)
    }

    @Test func aMapLeavesDeviceTLBsAlone() throws {
        let hardware = try #require(Hardware(.vtd61, cachesAbsent: true, units: 2, deviceTLBs: 1))
        var invalidator = Invalidator(hardware, pageSizes: .fourK)
        invalidator.map(try range(0x1000, 1))
        #expect(invalidator.counts.deviceTLBCommands == 0)
        #expect(invalidator.counts.waits == 2)
        #expect(invalidator.counts.commands == 2)
    }

    @Test func hardwareIsReadAsItIsWritten() throws {
        for text in ["vtd-6.1", "vtd-6.12,caching-mode", "amd-6,np-cache,iommus=2,ats=1", "smmuv3,iommus=1024"] {
            #expect(Hardware(parsing: text)?.canonical == text)
        }
        #expect(Hardware(parsing: "vtd-6.1,ats=2,iommus=1")?.canonical == "vtd-6.1,ats=2")
        for text in [
            "", "vtd", "vtd-6.1,", "vtd-6.1,np-cache", "smmuv3,caching-mode", "vtd-6.1,ats", "vtd-6.1,ats=",
            "vtd-6.1,ats=-1",
            "vtd-6.1,iommus=0", "vtd-6.1,iommus=1025", "vtd-6.1,ats=1,ats=2", "contract,ats=1", "vtd-6.1,ats=1=1",
            "contract,",
        ] { #expect(Hardware(parsing: text) == nil, "\(text)") }
    }
}
