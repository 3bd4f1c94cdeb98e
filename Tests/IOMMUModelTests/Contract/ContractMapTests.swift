import TestSupport
import Testing

@testable import IOMMUModel

/// `iommu_map`, `iommu_map_sg`, `iommu_iova_to_phys` (model.md §1.3, §1.4, §1.8).
@Suite struct ContractMapTests {
    private let driver = DriverModel(format: VTdSecondStage())

    @Test func domainTypesAreTheKernelsBits() {
        #expect(DomainType.blocked.rawValue == 0 && DomainType.identity.rawValue == 4)
        #expect(DomainType.unmanaged.rawValue == 1 && DomainType.dma.rawValue == 3 && DomainType.dmaFQ.rawValue == 11)
    }

    @Test(arguments: InterfaceEra.allCases) func aMapIsOneEventWhateverItsPages(era: InterfaceEra) throws {
        var machine = try ContractMachine(driver, era: era)
        // 4 KiB head, two pages of 2 MiB, two tail pages.
        try machine.map(twoM - fourK, to: oneG + twoM - fourK, 2 * twoM + 3 * fourK)
        let event = ContractEvent.map(
            domain: machine.domain, iova: twoM - fourK, paddr: oneG + twoM - fourK, size: 2 * twoM + 3 * fourK)
        let range = bytes(twoM - fourK, 2 * twoM + 3 * fourK)
        let synced: [ContractEvent] = era >= .v54 ? [.syncMap(domain: machine.domain, range: range)] : []
        #expect(machine.core.takeEvents() == [event] + synced)
        #expect(machine.leaves.map(\.pageSize) == [fourK, twoM, twoM, fourK, fourK])
        #expect(machine.core.counts.callbacks == (era >= .v612 ? 3 : 5))
        #expect(machine.core.counts.maps == 1)
        #expect(machine.core.iovaToPhys(machine.domain, iova: twoM + 5) == oneG + twoM + 5)
        #expect(machine.core.iovaToPhys(machine.domain, iova: 0) == 0)
    }

    @Test(arguments: InterfaceEra.allCases) func aMapOfNothingSucceedsAndIsTraced(era: InterfaceEra) throws {
        var machine = try ContractMachine(driver, era: era)
        try machine.map(0, to: 0, 0)
        #expect(machine.core.events == [.map(domain: machine.domain, iova: 0, paddr: 0, size: 0)])
        #expect(machine.core.counts.callbacks == 0 && machine.table?.mappedBytes == 0)
    }

    /// Model.md §9 item 14.
    @Test(
        arguments: InterfaceEra.allCases,
        [[0x800, 0, 0x1000], [0, 0x800, 0x1000], [0, 0, 0x800], [1, 1, 1], [.max, .max, .max]] as [[UInt64]])
    func whatIsNotAlignedIsRefused(era: InterfaceEra, arguments: [UInt64]) throws {
        var machine = try ContractMachine(driver, era: era)
        try machine.map(0, to: oneG, fourK)
        _ = machine.read(0)
        _ = machine.core.takeEvents()
        let before = (machine.core.counts, machine.entries)
        #expect(throws: IOMMUError.invalid) { try machine.map(arguments[0], to: arguments[1], arguments[2]) }
        #expect(machine.core.events.isEmpty && machine.core.counts == before.0 && machine.entries == before.1)
        #expect(machine.table?.mappedBytes == fourK)
    }

    /// The smallest page of the format is what counts: 16 and 64 KiB with Arm.
    @Test func alignmentIsThatOfTheSmallestPage() throws {
        for granule in [ArmLPAE.Granule.fourK, .sixteenK, .sixtyFourK] {
            var machine = try ContractMachine(DriverModel(format: ArmLPAE(granule: granule)), era: .v415)
            let size = UInt64(1) << UInt64(granule.rawValue)
            #expect(throws: IOMMUError.invalid) { try machine.map(size, to: size, size / 2) }
            #expect(throws: IOMMUError.invalid) { try machine.map(size / 2, to: 0, size) }
            try machine.map(size, to: 3 * size, size)
            #expect(machine.unmap(size, size) == size)
        }
    }

    @Test func theOrderOfChecksChanged() throws {
        for era in InterfaceEra.allCases {
            var core = IOMMUCore(era: era)
            let blocked = core.allocateDomain(
                .blocked, driver: DriverModel(format: VTdSecondStage(), callbacks: .all.subtracting(.map)))
            let expected: IOMMUError = era >= .v612 ? .invalid : .noDevice
            #expect(throws: expected) { try core.map(blocked, iova: 0, paddr: 0, size: fourK) }
            let identity = core.allocateDomain(.identity, driver: driver)
            #expect(throws: IOMMUError.invalid) { try core.map(identity, iova: 0, paddr: 0, size: fourK) }
            #expect(core.events.isEmpty)
        }
    }

    /// A page in the way in the middle: Arm's driver fails, what was mapped before it goes again (model.md §1.3).
    @Test(arguments: InterfaceEra.allCases) func aFailedMapIsTakenBackByAnUnmapWithoutMap(era: InterfaceEra) throws {
        var machine = try ContractMachine(DriverModel(format: ArmLPAE()), era: era)
        try machine.map(3 * fourK, to: oneG, fourK)
        let before = machine.leaves
        _ = machine.core.takeEvents()
        #expect(throws: IOMMUError.exists) { try machine.map(fourK, to: 5 * oneG + fourK, 5 * fourK) }
        #expect(machine.leaves == before)
        let unmap = ContractEvent.unmap(domain: machine.domain, iova: fourK, size: 2 * fourK, unmapped: 2 * fourK)
        let events = machine.core.takeEvents()
        #expect(events.contains(unmap))
        // Since 7.1 an event says how far it came.
        let maps = events.filter { if case .map = $0 { true } else { false } }
        let told = ContractEvent.map(
            domain: machine.domain, iova: fourK, paddr: 5 * oneG + fourK, size: 2 * fourK)
        #expect(maps == (era.tracesFailedMaps ? [told] : []))
        #expect(events.contains { if case .sync = $0 { true } else { false } })
        #expect(machine.core.counts.failedMaps == 1 && machine.core.counts.unmaps == 1)

        // Nothing was mapped before the page in the way.
        #expect(throws: IOMMUError.exists) { try machine.map(3 * fourK, to: 0, fourK) }
        #expect(
            machine.core.takeEvents().contains(
                .unmap(domain: machine.domain, iova: 3 * fourK, size: 0, unmapped: 0)))
        #expect(machine.leaves == before)
    }

    /// Model.md §3.2: what a map does over a live one is the driver's.
    @Test func aMapOverALiveOne() throws {
        func outcome(_ format: any PageTableFormat) throws -> (error: IOMMUError?, paddr: UInt64, commands: Int64) {
            var machine = try ContractMachine(DriverModel(format: format), era: .v612)
            try machine.map(twoM, to: oneG, fourK)
            _ = machine.read(twoM)
            var failure: IOMMUError?
            do throws(IOMMUError) {
                try machine.map(twoM, to: 2 * oneG, fourK)
            } catch { failure = error }
            let stale = machine.read(twoM)?.isStale
            #expect(stale == false)
            let paddr = machine.core.iovaToPhys(machine.domain, iova: twoM)
            return (failure, paddr, failure == nil ? machine.core.counts.commands : 0)
        }
        #expect(try outcome(VTdSecondStage()) == (nil, oneG, 0))
        #expect(try outcome(AMDVersion1()) == (nil, 2 * oneG, 1))
        #expect(try outcome(AMDVersion1(era: .refusing)) == (.busy, oneG, 0))
        #expect(try outcome(ArmLPAE()) == (.exists, oneG, 0))
    }

    /// AMD's large pages are runs of entries. One of which a part was overwritten is cached by the smallest page, so that what was
    /// overwritten is never found in it.
    @Test func aLeafThatWasOverwrittenInPart() throws {
        var machine = try ContractMachine(DriverModel(format: AMDVersion1()), era: .v612)
        try machine.map(0x10_0000, to: oneG, 0x1_0000)
        #expect(machine.read(0x10_0000)?.paddr == oneG)
        #expect(machine.entries.map(\.size) == [0x1_0000])
        try machine.map(0x10_4000, to: 2 * oneG, fourK)
        #expect(machine.entries.isEmpty)
        #expect(machine.read(0x10_0000)?.paddr == oneG)
        #expect(machine.entries.map(\.size) == [fourK])
        #expect(machine.read(0x10_4000)?.paddr == 2 * oneG)
        #expect(machine.read(0x10_4000)?.isStale == false)
    }

    // MARK: - Scatterlists

    /// 0x1000 and 0x2000 follow each other in memory, 0x9000 stands alone.
    private let elements: [IOMMUCore.ScatterElement] = [
        .init(page: 0x1000, length: fourK), .init(page: 0x1000, offset: fourK, length: fourK),
        .init(page: 0x9000, length: 2 * fourK),
    ]

    @Test(arguments: InterfaceEra.allCases) func scatterlists(era: InterfaceEra) throws {
        var machine = try ContractMachine(driver, era: era)
        #expect(try machine.core.mapSG(machine.domain, iova: twoM, elements: elements) == 4 * fourK)
        let maps = machine.core.events.compactMap {
            if case .map(_, _, let paddr, let size) = $0 { [paddr, size] } else { nil }
        }
        let joined = era >= .v54
        #expect(
            maps
                == (joined
                    ? [[0x1000, 0x2000], [0x9000, 0x2000]] : [[0x1000, 0x1000], [0x2000, 0x1000], [0x9000, 0x2000]]))
        let syncs = machine.core.events.filter { if case .syncMap = $0 { true } else { false } }
        #expect(syncs == (joined ? [.syncMap(domain: machine.domain, range: bytes(twoM, 4 * fourK))] : []))
        #expect(machine.core.iovaToPhys(machine.domain, iova: twoM + 3 * fourK) == 0xa000)
        #expect(try machine.core.mapSG(machine.domain, iova: 0, elements: []) == 0)
    }

    @Test(arguments: InterfaceEra.allCases) func aFailedScatterlistIsTakenBack(era: InterfaceEra) throws {
        var machine = try ContractMachine(DriverModel(format: ArmLPAE()), era: era)
        // In the way of the last page.
        try machine.map(twoM + 3 * fourK, to: oneG, fourK)
        let before = machine.leaves
        _ = machine.core.takeEvents()
        if era >= .v612 {
            #expect(throws: IOMMUError.exists) {
                try machine.core.mapSG(machine.domain, iova: twoM, elements: elements)
            }
        } else {
            #expect(try machine.core.mapSG(machine.domain, iova: twoM, elements: elements) == 0)
        }
        #expect(machine.leaves == before)
        // The failed map's own, and the scatterlist's.
        let unmaps = machine.core.events.compactMap {
            if case .unmap(_, let iova, let size, _) = $0 { [iova, size] } else { nil }
        }
        #expect(unmaps == [[twoM + 2 * fourK, fourK], [twoM, 2 * fourK]])
    }

    @Test func scatterlistOffsetsMustBeAligned() throws {
        let odd: [IOMMUCore.ScatterElement] = [
            .init(page: 0, length: fourK), .init(page: 0x5000, offset: 8, length: fourK),
        ]
        for era in InterfaceEra.allCases {
            var machine = try ContractMachine(driver, era: era)
            if era >= .v612 {
                #expect(throws: IOMMUError.invalid) { try machine.core.mapSG(machine.domain, iova: 0, elements: odd) }
            } else {
                #expect(try machine.core.mapSG(machine.domain, iova: 0, elements: odd) == 0)
            }
            #expect(machine.table?.mappedBytes == 0)
        }
    }

    /// Another device's memory is not mapped; before 6.x nobody knew of it.
    @Test func busAddressesAreLeftOut() throws {
        let mixed: [IOMMUCore.ScatterElement] = [
            .init(page: 0x1000, length: fourK), .init(page: 0x2000, length: fourK, isBusAddress: true),
            .init(page: 0x2000, length: fourK),
        ]
        for (era, size) in [(InterfaceEra.v54, 3 * fourK), (.v612, 2 * fourK)] {
            var machine = try ContractMachine(driver, era: era)
            #expect(try machine.core.mapSG(machine.domain, iova: 0, elements: mixed) == size)
        }
    }
}
