import TestSupport
import Testing

@testable import IOMMUModel

/// `iommu_unmap` and `iommu_unmap_fast` (model.md §1.5, §1.6, §11).
@Suite struct ContractUnmapTests {
    private let driver = DriverModel(format: VTdSecondStage())

    /// The huge numbers are those that a 4.15 caller saw (model.md §1.5).
    @Test func errorsWereSizes() throws {
        #expect(IOMMUError.noDevice.asSize == 0xffff_ffff_ffff_ffed)
        #expect(IOMMUError.invalid.asSize == 0xffff_ffff_ffff_ffea)
        for era in InterfaceEra.allCases {
            let isSize = era == .v415
            var machine = try ContractMachine(driver, era: era)
            #expect(machine.unmap(0x800, fourK) == (isSize ? UInt64.max - 21 : 0))
            #expect(machine.unmapFast(0, 1) == (isSize ? UInt64.max - 21 : 0))
            let identity = machine.core.allocateDomain(.identity, driver: driver)
            #expect(machine.core.unmap(identity, iova: 0, size: fourK) == (isSize ? UInt64.max - 21 : 0))
            let none = machine.core.allocateDomain(
                .unmanaged, driver: DriverModel(format: VTdSecondStage(), callbacks: .all.subtracting(.unmap)))
            #expect(machine.core.unmap(none, iova: 0, size: fourK) == (isSize ? UInt64.max - 18 : 0))
            machine.core.narrowPageSizes(of: machine.domain, to: 0)
            #expect(machine.unmap(0, fourK) == (isSize ? UInt64.max - 18 : 0))
            #expect(throws: IOMMUError.noDevice) { try machine.map(0, to: 0, fourK) }
            // No event and no count, but later kernels sync whatever __iommu_unmap says.
            #expect(machine.core.counts.unmaps == 0)
            #expect(machine.core.counts.syncs == (era < .v54 || era.skipsEmptySyncs ? 0 : 4))
            #expect(!machine.core.events.contains { if case .unmap = $0 { true } else { false } })
        }
    }

    /// The order of sync and event was turned round when the sync moved out of `__iommu_unmap`.
    @Test(arguments: InterfaceEra.allCases) func strictSyncsOnce(era: InterfaceEra) throws {
        var machine = try ContractMachine(driver, era: era)
        try machine.map(twoM, to: oneG, twoM)
        try machine.map(2 * twoM, to: fourK, 3 * fourK)
        _ = machine.read(twoM)
        _ = machine.core.takeEvents()
        machine.core.counts = ContractCounts()
        let size = twoM + 3 * fourK
        #expect(machine.unmap(twoM, size) == size)
        let domain = machine.domain
        let unmapped = ContractEvent.unmap(domain: domain, iova: twoM, size: size, unmapped: size)
        let events = machine.core.takeEvents()
        switch era {
        case .v415, .v419:
            let range = bytes(twoM, size)
            #expect(events.count == 3)
            #expect(events.first == .sync(domain: domain, ranges: [range], isImplicit: false))
            #expect(events.last == unmapped)
            #expect(machine.core.counts.rangeAdds == 4 && machine.core.counts.syncs == 1)
        case .v54, .v612, .v71:
            // 2 MiB and 4 KiB do not go together; one callback of three pages does where there are such callbacks.
            let tail = bytes(2 * twoM, 3 * fourK)
            #expect(events.first == .sync(domain: domain, ranges: [bytes(twoM, twoM)], isImplicit: true))
            #expect(events.dropFirst(2).first == unmapped)
            #expect(events.dropFirst(3).first == .sync(domain: domain, ranges: [tail], isImplicit: false))
            #expect(events.count == 5)
            #expect(machine.core.counts.syncs == 2 && machine.core.counts.implicitSyncs == 1)
            #expect(machine.core.counts.rangeAdds == 0)
        }
        #expect(machine.read(twoM) == nil)
    }

    @Test(arguments: InterfaceEra.allCases) func fastFlushesNothing(era: InterfaceEra) throws {
        var machine = try ContractMachine(driver, era: era)
        try machine.map(0x5000, to: oneG, fourK)
        _ = machine.read(0x5000)
        _ = machine.core.takeEvents()
        var gather = Gather()
        #expect(machine.core.unmapFast(machine.domain, iova: 0x5000, size: fourK, gather: &gather) == fourK)
        // The trace cannot tell the two apart.
        #expect(
            machine.core.takeEvents() == [
                .unmap(domain: machine.domain, iova: 0x5000, size: fourK, unmapped: fourK)
            ])
        #expect(machine.core.iovaToPhys(machine.domain, iova: 0x5000) == 0)
        let stale = machine.read(0x5005)
        #expect(stale?.paddr == oneG + 5 && stale?.isStale == true)
        #expect(gather.range == (era < .v54 ? nil : bytes(0x5000, fourK)))
        machine.core.tlbRangeAdd(machine.domain, iova: 0x5000, size: fourK)
        machine.core.tlbSync(machine.domain, gather: &gather)
        #expect(machine.core.counts.rangeAdds == (era < .v54 ? 1 : 0))
        #expect(machine.core.counts.commands == 1 && gather.range == nil)
        #expect(machine.read(0x5005) == nil)
    }

    /// One caller's sync flushes what another one added: the only place is the domain (model.md §1.9).
    @Test func rangesOfTheDomainAreEveryones() throws {
        var machine = try ContractMachine(driver, era: .v415)
        try machine.map(0, to: oneG, 4 * fourK)
        machine.core.tlbRangeAdd(machine.domain, iova: 0x2000, size: fourK)
        #expect(machine.core.domain(machine.domain)?.rangesToSync == [bytes(0x2000, fourK)])
        _ = machine.core.takeEvents()
        #expect(machine.unmap(0, fourK) == fourK)
        #expect(
            machine.core.events.first
                == .sync(domain: machine.domain, ranges: [bytes(0x2000, fourK), bytes(0, fourK)], isImplicit: false))
        machine.core.tlbRangeAdd(machine.domain, iova: 0x2000, size: fourK)
        machine.core.tlbRangeAdd(machine.domain, iova: 0x3000, size: fourK)
        machine.core.tlbRangeAdd(machine.domain, iova: 0x9000, size: 0)
        #expect(machine.core.domain(machine.domain)?.rangesToSync == [bytes(0x2000, 2 * fourK)])
        machine.core.flushTLBAll(machine.domain)
        #expect(machine.core.domain(machine.domain)?.rangesToSync == [])
    }

    /// Zero progress: the strict call syncs and traces, what lies behind the hole stays (model.md §1.5, §9 item 13).
    @Test(arguments: InterfaceEra.allCases) func aHoleEndsTheUnmap(era: InterfaceEra) throws {
        var machine = try ContractMachine(DriverModel(format: ArmLPAE()), era: era)
        try machine.map(0x1000, to: oneG, 2 * fourK)
        try machine.map(0x4000, to: oneG, fourK)
        #expect(machine.unmap(0x1000, 4 * fourK) == 2 * fourK)
        #expect(machine.isMapped(0x4000))
        let before = machine.core.counts
        #expect(machine.unmap(0x3000, 2 * fourK) == 0)
        let emptySyncs = era.skipsEmptySyncs ? 0 : 1
        #expect(machine.core.counts.syncs == before.syncs + Int64(emptySyncs))
        #expect(machine.core.counts.unmaps == before.unmaps + 1)
        #expect(machine.core.counts.rangeAdds == before.rangeAdds)
        #expect(machine.core.counts.commands == before.commands)
        #expect(machine.unmap(0x4000, fourK) == fourK)
        // Nothing at all is no hole: an event all the same, and up to 7.0 a sync.
        _ = machine.core.takeEvents()
        #expect(machine.unmap(0, 0) == 0)
        #expect(machine.core.events.count == 1 + emptySyncs)
        #expect(machine.core.events.contains(.unmap(domain: machine.domain, iova: 0, size: 0, unmapped: 0)))
        let sync = ContractEvent.sync(domain: machine.domain, ranges: [], isImplicit: false)
        #expect(machine.core.events.contains(sync) == (emptySyncs == 1))
    }

    /// AMD counted holes in 4.19 and went on behind them; VT-d does.
    @Test func someDriversCountHoles() throws {
        for format in [VTdSecondStage(), AMDVersion1(era: .refusing)] as [any PageTableFormat] {
            for era in InterfaceEra.allCases {
                var machine = try ContractMachine(DriverModel(format: format), era: era)
                try machine.map(0x1000, to: oneG, fourK)
                try machine.map(0x4000, to: oneG, fourK)
                #expect(machine.unmap(0x1000, 4 * fourK) == 4 * fourK)
                #expect(machine.table?.mappedBytes == 0)
            }
        }
    }

    /// A superpage of which 4 KiB are asked for (model.md §1.5, §3.3; §9 items 7, 12, 16).
    @Test(arguments: InterfaceEra.allCases) func partOfASuperpage(era: InterfaceEra) throws {
        let cases: [(any PageTableFormat, UInt64)] = [
            (VTdSecondStage(), twoM), (VTdFirstStage(), twoM), (AMDVersion1(), twoM), (AMDVersion2(), twoM),
            (ArmLPAE(), fourK), (ArmLPAE(era: .refusing), 0),
        ]
        for (format, unmapped) in cases {
            var machine = try ContractMachine(DriverModel(format: format), era: era)
            try machine.map(twoM, to: oneG, twoM)
            _ = machine.read(twoM)
            #expect(machine.unmap(twoM + 0x5000, fourK) == unmapped)
            let synced = machine.core.events.compactMap { if case .sync(_, let ranges, _) = $0 { ranges } else { nil } }
            if era < .v54 {
                // The range that was asked for, though all of the page is gone.
                #expect(synced == [unmapped > 0 ? [bytes(twoM + 0x5000, fourK)] : []])
            } else {
                let isSynced = unmapped > 0 || !era.skipsEmptySyncs
                #expect(synced == (isSynced ? [unmapped > 0 ? [bytes(twoM + 0x5000, unmapped)] : []] : []))
            }
            // The IOTLB has it as one entry, which dies whole. Split by Arm, the rest is still mapped.
            #expect(machine.read(twoM + 0x5000)?.isStale == (unmapped == 0 ? false : nil))
            #expect(machine.read(twoM)?.isStale == (unmapped == twoM ? nil : false))
            #expect(machine.table?.mappedBytes == twoM - unmapped)
        }
    }

    /// The exception of §1.5: had the IOTLB kept the superpage in small parts, the rest would be stale after a strict unmap.
    @Test func aRangeThatIsTooSmallLeavesPartsOfASuperpage() throws {
        var machine = try ContractMachine(driver, era: .v415)
        try machine.map(twoM, to: oneG, twoM)
        let unit = Int(machine.unit) - 1
        for page in 0..<4 as Range<UInt64> {
            machine.core.units[unit].iotlb?.fill(
                domain: machine.domain, iova: twoM + page * fourK, target: oneG + page * fourK, size: fourK)
        }
        #expect(machine.unmap(twoM + fourK, fourK) == twoM)
        #expect(machine.read(twoM)?.isStale == true && machine.read(twoM + 2 * fourK)?.isStale == true)
        #expect(machine.read(twoM + fourK) == nil)
    }

    // MARK: - The gather

    /// A gap and another callback length sync what was gathered before them (model.md §1.6, §4.4).
    @Test func whatDoesNotFitSyncsFirst() throws {
        var machine = try ContractMachine(driver, era: .v612)
        try machine.map(0, to: 0, 16 * fourK)
        for page in 0..<16 as Range<UInt64> { _ = machine.read(page * fourK) }
        machine.core.counts = ContractCounts()
        var gather = Gather()
        func unmap(_ page: UInt64, _ count: UInt64) -> UInt64 {
            machine.core.unmapFast(machine.domain, iova: page * fourK, size: count * fourK, gather: &gather)
        }
        #expect(unmap(2, 1) == fourK)
        #expect(unmap(1, 1) == fourK)
        #expect(gather.range == bytes(fourK, 2 * fourK) && machine.core.counts.implicitSyncs == 0)
        // Two pages in one callback.
        #expect(unmap(3, 2) == 2 * fourK)
        #expect(gather.range == bytes(3 * fourK, 2 * fourK) && machine.core.counts.implicitSyncs == 1)
        // The sync comes between the clearing of the new range and its gathering: it does not flush that.
        #expect(machine.read(fourK) == nil && machine.read(3 * fourK)?.isStale == true)
        // A gap.
        #expect(unmap(9, 2) == 2 * fourK)
        #expect(gather.range == bytes(9 * fourK, 2 * fourK) && machine.core.counts.implicitSyncs == 2)
        machine.core.tlbSync(machine.domain, gather: &gather)
        #expect(machine.core.counts.syncs == 3 && machine.core.counts.commands == 3)
        #expect(machine.entries.count == 16 - 6)
    }

    /// SMMUv3 goes by the size of a page, AMD by nothing.
    @Test func driversGatherInTheirOwnWays() throws {
        for (gathering, splits) in [(Gather.Rule.callbacks, 2), (.pages, 1), (.anything, 0)] {
            var machine = try ContractMachine(DriverModel(format: ArmLPAE(), gathering: gathering), era: .v612)
            try machine.map(0, to: 0, 16 * fourK)
            var gather = Gather()
            for (page, count) in [(0, 1), (1, 2), (9, 2)] as [(UInt64, UInt64)] {
                _ = machine.core.unmapFast(
                    machine.domain, iova: page * fourK, size: count * fourK, gather: &gather)
            }
            #expect(machine.core.counts.implicitSyncs == splits)
            machine.core.tlbSync(machine.domain, gather: &gather)
            #expect(machine.core.counts.commands == Int64(splits) + 1)
        }
    }

    /// Where a flush queue will flush the domain, drivers keep no record of pages (model.md §2.3).
    @Test func aQueuedGatherGathersNothing() throws {
        var machine = try ContractMachine(driver, era: .v612)
        try machine.map(0, to: 0, 16 * fourK)
        var gather = Gather(isQueued: true)
        for (page, count) in [(0, 1), (4, 2), (9, 1)] as [(UInt64, UInt64)] {
            let size = count * fourK
            #expect(machine.core.unmapFast(machine.domain, iova: page * fourK, size: size, gather: &gather) == size)
            #expect(gather.range == nil)
        }
        #expect(machine.core.counts.syncs == 0)
    }

    /// An unmap of nothing flushes the whole domain with the VT-d and AMD drivers of today (model.md §1.6).
    @Test(arguments: [false, true]) func aSyncOfNothing(flushesDomain: Bool) throws {
        var machine = try ContractMachine(
            DriverModel(format: ArmLPAE(), emptySyncFlushesDomain: flushesDomain), era: .v612)
        try machine.map(0, to: oneG, fourK)
        _ = machine.read(0)
        #expect(machine.unmap(oneG, fourK) == 0)
        #expect(machine.core.counts.syncs == 1)
        #expect(machine.entries.isEmpty == flushesDomain)
        #expect(
            machine.core.events.contains(.command(.wholeDomain, domain: machine.domain, unit: machine.unit))
                == flushesDomain)
    }

    /// Where an unmap takes tables away, caches of tables have to hear of it, at the sync or at once (model.md §3.4).
    @Test(arguments: InterfaceEra.allCases) func tablesWaitForTheFlush(era: InterfaceEra) throws {
        func hints(_ format: any PageTableFormat) throws -> [InvalidationHint] {
            var machine = try ContractMachine(DriverModel(format: format), era: era)
            try machine.map(twoM, to: fourK, twoM)
            _ = machine.unmap(twoM, twoM)
            try machine.map(twoM, to: fourK, fourK)
            _ = machine.unmap(twoM, fourK)
            return machine.core.events.compactMap {
                if case .command(let command, _, _) = $0 { command.hint } else { nil }
            }
        }
        #expect(try hints(VTdSecondStage()) == [.tablesToo, .leavesOnly])
        #expect(try hints(AMDVersion2()) == [.leavesOnly, .leavesOnly])
        // At once, and then what was gathered.
        #expect(try hints(ArmLPAE()) == [.tablesToo, .leavesOnly, .leavesOnly])
    }

    /// Only the first of two syncs of one gather has tables to tell of.
    @Test func aGatherForgetsItsTables() throws {
        var machine = try ContractMachine(driver, era: .v612)
        try machine.map(twoM, to: fourK, twoM + 2 * fourK)
        _ = machine.core.takeEvents()
        var gather = Gather()
        for (iova, size) in [(twoM, twoM), (2 * twoM, fourK)] {
            _ = machine.core.unmapFast(machine.domain, iova: iova, size: size, gather: &gather)
            machine.core.tlbSync(machine.domain, gather: &gather)
        }
        let hints = machine.core.events.compactMap {
            if case .command(let command, _, _) = $0 { command.hint } else { nil }
        }
        #expect(hints == [.tablesToo, .leavesOnly])
    }

    // MARK: - The DMA API

    @Test(arguments: InterfaceEra.allCases) func unmapsOfTheDMAAPI(era: InterfaceEra) throws {
        for type in [DomainType.dma, .dmaFQ] {
            var machine = try ContractMachine(driver, era: era, type: type)
            try machine.map(0x5000, to: oneG, 2 * fourK)
            _ = machine.read(0x5000)
            // The event is of whole pages, the buffer is not.
            let result = machine.core.dmaUnmap(machine.domain, iova: 0x5010, size: 0x1000)
            let isQueued = era >= .v612 && type == .dmaFQ
            #expect(result == .init(unmapped: 2 * fourK, mustQueue: isQueued))
            #expect(machine.core.counts.syncs == (isQueued ? 0 : 1))
            #expect(machine.read(0x5000)?.isStale == (isQueued ? true : nil))
            if isQueued { machine.core.flushTLBAll(machine.domain) }
            #expect(machine.read(0x5000) == nil)
            #expect(machine.core.dmaUnmap(machine.domain, iova: 0, size: 0) == .init(unmapped: 0, mustQueue: false))
        }
    }

    @Test func flushQueuesNeedATypeAndADriver() {
        for era in InterfaceEra.allCases {
            var core = IOMMUCore(era: era)
            let able = core.allocateDomain(.dmaFQ, driver: driver)
            let unable = core.allocateDomain(
                .dmaFQ, driver: DriverModel(format: VTdSecondStage(), canDeferFlushes: false))
            #expect(core.domain(able)?.type == (era >= .v612 ? .dmaFQ : .dma))
            #expect(core.domain(unable)?.type == .dma)
        }
    }
}
