import TestSupport
import Testing

@testable import IOMMUModel

/// `iommu_group_create_direct_mappings` (model.md §1.7, §11).
@Suite struct ContractDirectTests {
    private let driver = DriverModel(format: VTdSecondStage())

    private func setUp(
        _ regions: [ReservedRegion], era: InterfaceEra, type: DomainType = .dma, driver: DriverModel? = nil,
        before: (inout IOMMUCore, Int32) throws -> Void = { _, _ in }
    ) throws -> (core: IOMMUCore, domain: Int32) {
        var core = IOMMUCore(era: era)
        let unit = core.addUnit()
        let domain = core.allocateDomain(type, driver: driver ?? self.driver)
        try before(&core, domain)
        _ = core.takeEvents()
        let group = try core.makeGroup(defaultDomain: domain)
        let device = try core.addDevice(group: group, unit: unit, reservedRegions: regions)
        #expect(core.device(device)?.domain == domain)
        return (core, domain)
    }

    private func maps(_ events: [ContractEvent]) -> [[UInt64]] {
        events.compactMap { if case .map(_, let iova, let paddr, let size) = $0 { [iova, paddr, size] } else { nil } }
    }

    @Test(arguments: InterfaceEra.allCases) func pagesAreMappedToThemselves(era: InterfaceEra) throws {
        let regions = [
            ReservedRegion(start: 0x10_0000, length: 3 * fourK),
            ReservedRegion(start: 0xfee0_0000, length: 0x10_0000, kind: .messageInterrupts),
            ReservedRegion(start: 0x20_0000, length: fourK, kind: .reserved),
        ]
        let (core, domain) = try setUp(regions, era: era)
        let (page, size) = (0x10_0000 as UInt64, fourK)
        #expect(
            maps(core.events)
                == (era >= .v612
                    ? [[page, page, 3 * size]]
                    : [
                        [page, page, size], [page + size, page + size, size], [page + 2 * size, page + 2 * size, size],
                    ]))
        #expect(core.iovaToPhys(domain, iova: 0x10_2fff) == 0x10_2fff)
        #expect(core.iovaToPhys(domain, iova: 0x20_0000) == 0)
        // One flush, before the device is there to need it.
        let flush = core.events.firstIndex(of: .flushAll(domain: domain))
        let attach = core.events.firstIndex { if case .attach = $0 { true } else { false } }
        #expect(try #require(flush) < #require(attach))
        #expect(core.counts.flushAlls == 1)
    }

    /// Pages that are mapped already are left out; where they lie in between, a joined run ends.
    @Test(arguments: InterfaceEra.allCases) func whatIsMappedIsLeftOut(era: InterfaceEra) throws {
        let (core, domain) = try setUp([ReservedRegion(start: 0x10_0000, length: 4 * fourK)], era: era) {
            try $0.map($1, iova: 0x10_1000, paddr: oneG, size: fourK)
        }
        let sizes = maps(core.events).map { $0[2] }
        #expect(sizes == (era >= .v612 ? [fourK, 2 * fourK] : [fourK, fourK, fourK]))
        #expect(core.iovaToPhys(domain, iova: 0x10_1000) == oneG)
        #expect(core.iovaToPhys(domain, iova: 0x10_3000) == 0x10_3000)
    }

    /// `iova_to_phys` answers 0 for what is mapped to 0 too, so page 0 is mapped once more: Arm's driver refuses.
    @Test(arguments: InterfaceEra.allCases) func pageZeroLooksUnmapped(era: InterfaceEra) throws {
        let arm = DriverModel(format: ArmLPAE())
        let (core, domain) = try setUp(
            [ReservedRegion(start: 0, length: fourK)], era: era, driver: arm
        ) { try $0.map($1, iova: 0, paddr: 0, size: fourK) }
        // Since 7.1 a map that fails at once is one of no bytes.
        #expect(maps(core.events) == (era.tracesFailedMaps ? [[0, 0, 0]] : []) && core.counts.failedMaps == 1)
        // An error skips the flush, and the device is attached all the same.
        #expect(core.counts.flushAlls == 0)
        #expect(core.domain(domain)?.table?.mappedBytes == fourK)
    }

    @Test(arguments: InterfaceEra.allCases) func onlyDefaultDomainsOfTheDMAKindHaveThem(era: InterfaceEra) throws {
        for type in [DomainType.unmanaged, .identity, .blocked] {
            let (core, _) = try setUp([ReservedRegion(start: 0x1000, length: fourK)], era: era, type: type)
            #expect(maps(core.events).isEmpty && core.counts.flushAlls == 0)
        }
        let (core, _) = try setUp([ReservedRegion(start: 0x1000, length: fourK)], era: era, type: .dmaFQ)
        #expect(maps(core.events).count == 1)
        var none = IOMMUCore(era: era)
        let group = try none.makeGroup()
        let device = try none.addDevice(group: group, unit: none.addUnit())
        try none.createDirectMappings(group: group, device: device)
        #expect(throws: IOMMUError.invalid) { try none.createDirectMappings(group: 7, device: device) }
    }

    /// Up to 5.14 each device's coming flushes the domain, even if it has no regions.
    @Test(arguments: InterfaceEra.allCases) func theFlushOfNothing(era: InterfaceEra) throws {
        #expect(try setUp([], era: era).core.counts.flushAlls == (era >= .v612 ? 0 : 1))
        let odd = [ReservedRegion(start: 0x1000, length: fourK, kind: .reserved)]
        #expect(try setUp(odd, era: era).core.counts.flushAlls == 1)
    }

    /// Both ends are rounded up.
    @Test(arguments: InterfaceEra.allCases) func oddRegions(era: InterfaceEra) throws {
        #expect(
            maps(try setUp([ReservedRegion(start: 0x1800, length: fourK)], era: era).core.events).map { $0[0] } == [
                0x2000
            ])
        let hostile = [
            ReservedRegion(start: .max, length: .max), ReservedRegion(start: 5, length: 0),
            ReservedRegion(start: .max - 100, length: 50), ReservedRegion(start: 0x1001, length: 0x10),
        ]
        #expect(maps(try setUp(hostile, era: era).core.events).isEmpty)
        // More pages than are taken: nothing is mapped, as after any error.
        let (core, domain) = try setUp([ReservedRegion(start: 0x1000, length: 1 << 60)], era: era)
        #expect(core.domain(domain)?.table?.mappedBytes == 0 && core.counts.flushAlls == 0)
        // Up to the last byte there is.
        let amd = DriverModel(format: AMDVersion1())
        let last = try setUp([ReservedRegion(start: 0 &- fourK, length: fourK)], era: era, driver: amd)
        #expect(last.core.counts.failedMaps == 1)
    }

    @Test func withoutPageSizesThereIsNothingToMap() throws {
        let (core, domain) = try setUp([ReservedRegion(start: 0x1000, length: fourK)], era: .v415) {
            $0.narrowPageSizes(of: $1, to: 0)
        }
        #expect(maps(core.events).isEmpty && core.domain(domain)?.pageSizes == nil)
    }

    /// In a domain without 2 MiB pages a run is made of small ones; one with larger granule steps by that.
    @Test func narrowedPageSizes() throws {
        let (core, domain) = try setUp([ReservedRegion(start: 0x20_0000, length: twoM)], era: .v612) {
            $0.narrowPageSizes(of: $1, to: 1 << 12)
        }
        #expect(maps(core.events).count == 1)
        var leaves = 0
        core.domain(domain)?.table?.forEachLeaf { _ in leaves += 1 }
        #expect(leaves == 512)
    }
}
