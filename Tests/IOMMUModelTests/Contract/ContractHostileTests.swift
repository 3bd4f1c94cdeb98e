import TestSupport
import Testing

@testable import IOMMUModel

/// Numbers that no driver would pass: nothing traps, hangs, or takes memory without end.
@Suite struct ContractHostileTests {
    @Test(arguments: namedFormats, InterfaceEra.allCases) func anyNumbersAreTaken(
        format: Named<any PageTableFormat>, era: InterfaceEra
    ) throws {
        let format = format.value
        var random = SeededGenerator(seed: UInt64(format.name.count) + UInt64(era.rawValue))
        var core = IOMMUCore(era: era, pageLimit: 512)
        let unit = core.addUnit(iotlb: CacheGeometry(entries: 64))
        let flushing: [DriverModel.Flushing] = [.rangesAtSync, .domainAtSync, .insideUnmap]
        for kind in [DomainType.unmanaged, .dma, .identity, .blocked] {
            _ = core.allocateDomain(
                kind, driver: DriverModel(format: format, flushing: flushing[Int(random.next() % 3)]),
                memoryLimit: 1 << 22)
        }
        let group = try core.makeGroup(defaultDomain: 2)
        let device = try core.addDevice(group: group, unit: unit, tlb: CacheGeometry(entries: 64))
        var gather = Gather()
        var successes = 0
        for _ in 0..<800 {
            let number = random.next() % 8 == 0 ? Int32(truncatingIfNeeded: random.hostile()) : Int32(random.next() % 6)
            let mask: UInt64 = random.next() % 8 == 0 ? .max : ~(format.pageSizes.granule - 1)
            let (iova, paddr, size) = (random.hostile() & mask, random.hostile() & mask, random.hostile() & mask)
            switch random.next() % 12 {
            case 0...2:
                successes +=
                    (try? core.map(number, iova: iova, paddr: paddr & (1 << 44 - 1), size: size)) == nil ? 0 : 1
            case 3: _ = core.unmap(number, iova: iova, size: size)
            case 4: _ = core.unmapFast(number, iova: iova, size: size, gather: &gather)
            case 5:
                let elements = (0..<3).map { _ in
                    IOMMUCore.ScatterElement(
                        page: random.hostile(), offset: random.hostile() & mask, length: random.hostile() & mask,
                        isBusAddress: random.next() & 1 == 0)
                }
                _ = try? core.mapSG(number, iova: iova, elements: elements)
            case 6:
                core.tlbRangeAdd(number, iova: iova, size: size)
                core.tlbSync(number, gather: &gather)
            case 7: _ = core.dmaUnmap(number, iova: iova, size: size)
            case 8: _ = core.access(device: device, iova: iova)
            case 9: core.flushTLBAll(number)
            case 10:
                try? core.attachDevice(random.next() % 2 == 0 ? device : number, to: number)
                core.detachDevice(device, from: number)
                core.removeDevice(number + (number == device || number == .max ? -1 : 1) == device ? 0 : -number)
            default:
                _ = core.iovaToPhys(number, iova: iova)
                if random.next() % 64 == 0 { core.narrowPageSizes(of: number, to: random.hostile() | 1 << 12) }
            }
        }
        #expect(successes > 0)
        #expect((1...4).allSatisfy { core.domain($0)?.table?.tableBytes ?? 0 <= 1 << 22 })
    }

    /// 2^56 bytes are refused where they would be more pages than one call takes, and mapped where they are few.
    @Test(arguments: namedFormats, InterfaceEra.allCases) func anEnormousMap(
        format: Named<any PageTableFormat>, era: InterfaceEra
    ) throws {
        let format = format.value
        var machine = try ContractMachine(DriverModel(format: format), era: era)
        let error: IOMMUError? = {
            do throws(IOMMUError) {
                try machine.map(0, to: 0, 1 << 56)
                return nil
            } catch { return error }
        }()
        // AMD's driver of 4.19 finds its own empty table in the way of a page of 2^51 bytes.
        #expect(error == .tooBig || error == .outOfRange || format.rules.overTable == .fail(.busy))
        let unmapped = machine.unmap(0, 1 << 56)
        #expect(unmapped == 0 || format.rules.unmapWalk != .entries(splitting: true))
        #expect(machine.table?.mappedBytes == 0)
        #expect(machine.unmap(0 &- format.pageSizes.granule, 1 << 20) == 0)
        #expect(throws: IOMMUError.outOfRange) { try machine.map(0 &- format.pageSizes.granule, to: 0, 1 << 20) }
        // Both failed maps were taken back.
        #expect(machine.core.counts.failedMaps == 2 && machine.core.counts.unmaps == 4)
        let isTold = machine.core.events.contains { if case .map(_, _, _, let size) = $0 { size == 0 } else { false } }
        #expect(isTold == era.tracesFailedMaps)
        #expect(!machine.core.events.contains { if case .map(_, _, _, let size) = $0 { size > 0 } else { false } })
    }

    /// Beyond the limit, calls of one page each are made in runs.
    @Test(arguments: [InterfaceEra.v415, .v54]) func unmapsBeyondTheLimitGoInRuns(era: InterfaceEra) throws {
        for limit in [3, 4] as [UInt64] {
            var machine = try ContractMachine(
                DriverModel(format: VTdSecondStage(superpages: .none)), era: era, pageLimit: limit)
            try machine.map(0, to: oneG, 3 * fourK)
            #expect(throws: IOMMUError.tooBig) { try machine.map(oneG, to: oneG, (limit + 1) * fourK) }
            try machine.map(3 * fourK, to: oneG, fourK)
            machine.core.counts = ContractCounts()
            #expect(machine.unmap(0, 4 * fourK) == 4 * fourK)
            #expect(machine.core.counts.callbacks == (limit == 4 ? 4 : 1))
            #expect(machine.core.counts.rangeAdds == (era == .v415 ? 4 : 0))
            #expect(machine.table?.mappedBytes == 0)
        }
        #expect(IOMMUCore(era: era, pageLimit: .max).pageLimit == RadixPageTable.pageLimit)
    }

    @Test func numbersThatNameNothing() throws {
        var core = IOMMUCore(era: .v415)
        for number in [.min, -1, 0, 1, .max] as [Int32] {
            #expect(throws: IOMMUError.invalid) { try core.map(number, iova: 0, paddr: 0, size: 0) }
            #expect(core.unmap(number, iova: 0, size: 0) == IOMMUError.invalid.asSize)
            core.flushTLBAll(number)
            core.tlbRangeAdd(number, iova: 0, size: 1)
            core.narrowPageSizes(of: number, to: 0)
            core.removeDevice(number)
            core.detachGroup(number, from: number)
            core.detachDevice(number, from: number)
            try core.attachDeferred(number)
            #expect(throws: IOMMUError.invalid) { try core.attachDevice(number, to: number) }
            #expect(throws: IOMMUError.invalid) { try core.attachGroup(number, to: number) }
            #expect(throws: IOMMUError.invalid) { try core.freeDomain(number) }
            #expect(throws: IOMMUError.invalid) { _ = try core.addDevice(group: number, unit: number) }
            #expect(throws: IOMMUError.invalid) { _ = try core.makeGroup(defaultDomain: number) }
            #expect(throws: IOMMUError.missingCallback) { _ = try core.mapSG(number, iova: 0, elements: []) }
            #expect(core.access(device: number, iova: 0) == .fault)
            #expect(core.domain(number) == nil && core.unit(number) == nil && core.group(number) == nil)
        }
        #expect(core.events.isEmpty && core.counts == ContractCounts())
        #expect(IOMMUError.allErrnos == [7, 12, 14, 16, 17, 19, 22, 34])
    }

    @Test func eventsNeedNotBeKept() throws {
        var machine = try ContractMachine(DriverModel(format: ArmLPAE()), era: .v612)
        machine.core.keepsEvents = false
        try machine.map(0, to: 0, fourK)
        #expect(machine.core.events.isEmpty && machine.core.counts.maps == 1)
    }
}

extension IOMMUError {
    fileprivate static var allErrnos: [Int32] {
        [tooBig, noMemory, missingCallback, busy, exists, noDevice, invalid, outOfRange].map(\.errno)
    }
}
