import TestSupport
import Testing

@testable import IOMMUModel

/// Missing callbacks (model.md §1.2) and what drivers really did (model.md §1.9, §11).
@Suite struct ContractDriverTests {
    private func machine(without missing: DriverModel.Callbacks, era: InterfaceEra) throws -> ContractMachine {
        try ContractMachine(
            DriverModel(format: VTdSecondStage(), callbacks: .all.subtracting(missing)), era: era)
    }

    @Test(arguments: InterfaceEra.allCases) func missingFlushCallbacksAreSilent(era: InterfaceEra) throws {
        var machine = try machine(without: [.flushTLBAll, .tlbRangeAdd, .tlbSync], era: era)
        try machine.map(0, to: oneG, fourK)
        _ = machine.read(0)
        _ = machine.core.takeEvents()
        #expect(machine.unmap(0, fourK) == fourK)
        machine.core.tlbRangeAdd(machine.domain, iova: 0, size: fourK)
        machine.sync()
        machine.core.flushTLBAll(machine.domain)
        #expect(
            machine.core.events == [.unmap(domain: machine.domain, iova: 0, size: fourK, unmapped: fourK)])
        let counts = machine.core.counts
        #expect(counts.rangeAdds == 0 && counts.syncs == 0 && counts.flushAlls == 0 && counts.commands == 0)
        // Correct only with a driver that flushes inside unmap.
        #expect(machine.read(0)?.isStale == true)
    }

    @Test func aSyncWithoutRangesFlushesNothing() throws {
        var machine = try machine(without: .tlbRangeAdd, era: .v415)
        try machine.map(0, to: oneG, fourK)
        _ = machine.read(0)
        #expect(machine.unmap(0, fourK) == fourK)
        #expect(machine.core.counts.syncs == 1 && machine.core.counts.rangeAdds == 0)
        #expect(machine.read(0)?.isStale == true)
    }

    @Test func rangesWaitForASyncThatNeverComes() throws {
        var machine = try machine(without: .tlbSync, era: .v415)
        try machine.map(0, to: oneG, fourK)
        #expect(machine.unmap(0, fourK) == fourK)
        #expect(machine.core.counts.syncs == 0 && machine.core.counts.rangeAdds == 1)
        #expect(machine.core.domain(machine.domain)?.rangesToSync == [bytes(0, fourK)])
    }

    /// A gather starts anew at a sync even if no driver listens.
    @Test func aGatherWithoutASync() throws {
        var machine = try machine(without: .tlbSync, era: .v612)
        try machine.map(0, to: oneG, 8 * fourK)
        var gather = Gather()
        for page in [0, 4] as [UInt64] {
            _ = machine.core.unmapFast(machine.domain, iova: page * fourK, size: fourK, gather: &gather)
        }
        #expect(gather.range == bytes(4 * fourK, fourK))
        machine.core.tlbSync(machine.domain, gather: &gather)
        #expect(gather.range == nil && machine.core.counts.syncs == 0 && machine.core.counts.commands == 0)
    }

    @Test(arguments: InterfaceEra.allCases) func otherMissingCallbacks(era: InterfaceEra) throws {
        var noMap = try machine(without: .map, era: era)
        #expect(throws: IOMMUError.noDevice) { try noMap.map(0, to: 0, fourK) }
        #expect(noMap.core.events.isEmpty)

        var noPhys = try machine(without: .iovaToPhys, era: era)
        try noPhys.map(0, to: oneG, fourK)
        #expect(noPhys.core.iovaToPhys(noPhys.domain, iova: 0) == 0)

        // Up to 4.19 nobody tested for this one.
        var noSG = try machine(without: .mapSG, era: era)
        if era < .v54 {
            #expect(throws: IOMMUError.missingCallback) {
                try noSG.core.mapSG(noSG.domain, iova: 0, elements: [.init(page: 0, length: fourK)])
            }
        } else {
            #expect(try noSG.core.mapSG(noSG.domain, iova: 0, elements: [.init(page: 0, length: fourK)]) == fourK)
        }

        var noSync = try machine(without: .tlbSyncMap, era: era)
        try noSync.map(0, to: oneG, fourK)
        #expect(noSync.core.events.count == 1)

        #expect(throws: IOMMUError.noDevice) { _ = try machine(without: .attachDevice, era: era) }
        var noDetach = try machine(without: .detachDevice, era: era)
        noDetach.core.detachDevice(noDetach.device, from: noDetach.domain)
        #expect(noDetach.core.events.isEmpty)
        #expect(noDetach.core.device(noDetach.device)?.domain == noDetach.domain)
        #expect(noDetach.core.group(noDetach.group)?.domain == nil)
    }

    @Test func iovaToPhysOfDomainsWithoutTables() {
        var core = IOMMUCore(era: .v612)
        let driver = DriverModel(format: VTdSecondStage())
        let identity = core.allocateDomain(.identity, driver: driver)
        let blocked = core.allocateDomain(.blocked, driver: driver)
        #expect(core.iovaToPhys(identity, iova: 0x1234) == 0x1234)
        #expect(core.iovaToPhys(blocked, iova: 0x1234) == 0)
        #expect(core.iovaToPhys(9, iova: 0x1234) == 0)
    }

    /// Fast was not faster: each callback flushes and waits (model.md §1.9).
    @Test(arguments: [InterfaceEra.v415, .v419]) func intelFlushedInsideUnmap(era: InterfaceEra) throws {
        for isStrict in [true, false] {
            var machine = try ContractMachine(.flushingInUnmap(VTdSecondStage()), era: era)
            try machine.map(twoM, to: twoM, twoM + 3 * fourK)
            for iova in [twoM, 2 * twoM, 2 * twoM + 2 * fourK] { _ = machine.read(iova) }
            let size = twoM + 3 * fourK
            #expect((isStrict ? machine.unmap(twoM, size) : machine.unmapFast(twoM, size)) == size)
            #expect(machine.core.counts.commands == 4)
            #expect(machine.core.counts.syncs == 0 && machine.core.counts.rangeAdds == 0)
            #expect(machine.entries.isEmpty)
        }
    }

    /// What a driver flushes inside unmap it does not gather either.
    @Test func flushingInsideUnmapLeavesNothingToTheGather() throws {
        var machine = try ContractMachine(
            DriverModel(format: VTdSecondStage(), flushing: .insideUnmap), era: .v612)
        try machine.map(0, to: oneG, fourK)
        #expect(machine.unmap(0, fourK) == fourK)
        #expect(machine.core.counts.syncs == 1 && machine.core.counts.commands == 1)
        #expect(machine.core.events.contains(.sync(domain: machine.domain, ranges: [], isImplicit: false)))
    }

    /// AMD's range_add was an empty function, and its sync flushed the domain (model.md §1.9).
    @Test(arguments: InterfaceEra.allCases) func amdFlushedTheDomain(era: InterfaceEra) throws {
        var machine = try ContractMachine(.flushingDomains(AMDVersion1()), era: era)
        try machine.map(0, to: oneG, 4 * fourK)
        try machine.map(oneG, to: 2 * oneG, fourK)
        for iova in [0, fourK, oneG] { _ = machine.read(iova) }
        machine.core.counts = ContractCounts()
        _ = machine.unmapFast(0, fourK)
        #expect(machine.core.counts.commands == 0 && machine.read(0)?.isStale == true)
        #expect(machine.unmap(fourK, fourK) == fourK)
        #expect(machine.core.counts.commands == 1 && machine.core.counts.rangeAdds == (era < .v54 ? 1 : 0))
        #expect(machine.core.domain(machine.domain)?.rangesToSync == [])
        #expect(machine.entries.isEmpty)
    }
}
