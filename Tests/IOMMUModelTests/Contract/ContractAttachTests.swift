import TestSupport
import Testing

@testable import IOMMUModel

/// Groups, devices, IOMMUs (model.md §1.2, §4.4, §9 items 24 to 26).
@Suite struct ContractAttachTests {
    private let driver = DriverModel(format: VTdSecondStage())
    private let cache = CacheGeometry(entries: 64)

    @Test(arguments: InterfaceEra.allCases) func attachAndDetachWithoutADefaultDomain(era: InterfaceEra) throws {
        var core = IOMMUCore(era: era)
        let unit = core.addUnit(iotlb: cache)
        let domain = core.allocateDomain(.unmanaged, driver: driver)
        let group = try core.makeGroup()
        let device = try core.addDevice(group: group, unit: unit)
        #expect(core.takeEvents() == [.addToGroup(device: device, group: group)])
        #expect(core.access(device: device, iova: 0) == .fault)
        try core.attachDevice(device, to: domain)
        #expect(
            core.takeEvents() == [
                .command(.wholeDomain, domain: domain, unit: unit), .attach(device: device, domain: domain),
            ])
        #expect(core.group(group)?.domain == domain && core.domain(domain)?.devices == [device])
        #expect(throws: IOMMUError.busy) { try core.freeDomain(domain) }
        core.detachDevice(device, from: domain)
        let detached: [ContractEvent] = era >= .v612 ? [] : [.detach(device: device, domain: domain)]
        #expect(core.takeEvents() == [.command(.wholeDomain, domain: domain, unit: unit)] + detached)
        #expect(core.group(group)?.domain == nil && core.domain(domain)?.devices == [])
        try core.freeDomain(domain)
        #expect(core.domain(domain) == nil)
        #expect(throws: IOMMUError.invalid) { try core.attachDevice(device, to: domain) }
    }

    /// Leaving for the default domain shows as an attach only.
    @Test(arguments: InterfaceEra.allCases) func aGroupGoesHomeToItsDefaultDomain(era: InterfaceEra) throws {
        var core = IOMMUCore(era: era)
        let unit = core.addUnit()
        let home = core.allocateDomain(.dma, driver: driver)
        let (first, second) = (
            core.allocateDomain(.unmanaged, driver: driver), core.allocateDomain(.unmanaged, driver: driver)
        )
        let group = try core.makeGroup(defaultDomain: home)
        let device = try core.addDevice(group: group, unit: unit)
        #expect(core.device(device)?.domain == home)
        #expect(core.events.contains(.attach(device: device, domain: home)))
        try core.attachGroup(group, to: first)
        #expect(throws: IOMMUError.busy) { try core.attachGroup(group, to: second) }
        core.detachGroup(group, from: second)
        core.detachGroup(group, from: home)
        #expect(core.group(group)?.domain == first)
        _ = core.takeEvents()
        core.detachGroup(group, from: first)
        #expect(core.group(group)?.domain == home && core.device(device)?.domain == home)
        #expect(
            core.events == [
                .command(.wholeDomain, domain: first, unit: unit), .command(.wholeDomain, domain: home, unit: unit),
                .attach(device: device, domain: home),
            ])
        core.detachGroup(group, from: home)
        #expect(core.device(device)?.domain == home)
        #expect(throws: IOMMUError.busy) { try core.freeDomain(home) }
    }

    /// Without a default domain an old kernel let one caller take a group away from another.
    @Test(arguments: InterfaceEra.allCases) func takingOver(era: InterfaceEra) throws {
        var machine = try ContractMachine(driver, era: era)
        let other = machine.core.allocateDomain(.unmanaged, driver: driver)
        if era >= .v612 {
            #expect(throws: IOMMUError.busy) { try machine.core.attachDevice(machine.device, to: other) }
        } else {
            try machine.core.attachDevice(machine.device, to: other)
            #expect(machine.core.domain(machine.domain)?.devices == [])
        }
    }

    @Test func aDeviceThatSharesItsGroupIsNotMovedAlone() throws {
        var machine = try ContractMachine(driver, era: .v415)
        let second = try machine.core.addDevice(group: machine.group, unit: machine.unit)
        #expect(machine.core.device(second)?.domain == machine.domain)
        let before = machine.core.takeEvents()
        #expect(before.last == .addToGroup(device: second, group: machine.group))
        #expect(throws: IOMMUError.invalid) { try machine.core.attachDevice(second, to: machine.domain) }
        machine.core.detachDevice(second, from: machine.domain)
        #expect(machine.core.events.isEmpty)
        machine.core.detachGroup(machine.group, from: machine.domain)
        #expect(machine.core.events.filter { if case .detach = $0 { true } else { false } }.count == 2)
    }

    /// One device of a group fails.
    @Test(arguments: InterfaceEra.allCases, [false, true])
    func aGroupThatCannotBeAttachedAsAWhole(era: InterfaceEra, hasDefault: Bool) throws {
        var core = IOMMUCore(era: era)
        let unit = core.addUnit()
        let home = core.allocateDomain(.identity, driver: driver)
        let domain = core.allocateDomain(.unmanaged, driver: driver)
        let group = try core.makeGroup(defaultDomain: hasDefault ? home : nil)
        let good = try core.addDevice(group: group, unit: unit)
        if hasDefault {
            #expect(throws: IOMMUError.outOfRange) {
                try core.addDevice(group: group, unit: unit, attachError: .outOfRange)
            }
            #expect(core.group(group)?.devices == [good])
            let driverWithout = DriverModel(format: VTdSecondStage(), callbacks: .all.subtracting(.attachDevice))
            let impossible = core.allocateDomain(.unmanaged, driver: driverWithout)
            #expect(throws: IOMMUError.noDevice) { try core.attachGroup(group, to: impossible) }
            #expect(core.device(good)?.domain == home && core.group(group)?.domain == home)
            return
        }
        _ = try core.addDevice(group: group, unit: unit, attachError: .outOfRange)
        #expect(throws: IOMMUError.outOfRange) { try core.attachGroup(group, to: domain) }
        #expect(core.group(group)?.domain == nil)
        #expect(core.device(good)?.domain == (era >= .v612 ? nil : domain))
    }

    @Test func aFailedGroupGoesBackToItsOldDomain() throws {
        var core = IOMMUCore(era: .v612)
        let unit = core.addUnit()
        let home = core.allocateDomain(.identity, driver: driver)
        let domain = core.allocateDomain(.unmanaged, driver: driver)
        let group = try core.makeGroup(defaultDomain: home)
        let good = try core.addDevice(group: group, unit: unit)
        let late = try core.addDevice(group: group, unit: unit, isAttachDeferred: true, attachError: .outOfRange)
        #expect(throws: IOMMUError.outOfRange) { try core.attachDeferred(late) }
        #expect(throws: IOMMUError.outOfRange) { try core.attachGroup(group, to: domain) }
        #expect(core.device(good)?.domain == home)
        #expect(core.events.last == .attach(device: good, domain: home))
    }

    /// A kernel that dumps another one lets devices run until they are used: no event (model.md §1.2).
    @Test(arguments: InterfaceEra.allCases) func aDeferredAttach(era: InterfaceEra) throws {
        var core = IOMMUCore(era: era)
        let unit = core.addUnit()
        let home = core.allocateDomain(.dma, driver: driver)
        let group = try core.makeGroup(defaultDomain: home)
        let device = try core.addDevice(group: group, unit: unit, isAttachDeferred: true)
        let other = core.allocateDomain(.unmanaged, driver: driver)
        #expect(core.device(device)?.domain == nil && core.group(group)?.domain == home)
        try core.attachGroup(group, to: other)
        core.detachGroup(group, from: other)
        #expect(core.takeEvents().contains { if case .attach = $0 { true } else { false } } == false)
        try core.attachDeferred(device)
        #expect(core.takeEvents().last == .attach(device: device, domain: home))
        try core.attachDeferred(device)
        #expect(core.events.isEmpty)
    }

    @Test func identityPassesAndBlockedDoesNot() throws {
        for (type, expected) in [
            (DomainType.identity, IOMMUCore.Access.translated(paddr: .max, source: .identity, isStale: false)),
            (.blocked, .fault),
        ] {
            var machine = try ContractMachine(driver, era: .v612, type: type)
            #expect(machine.core.access(device: machine.device, iova: .max) == expected)
        }
    }

    // MARK: - Several of everything

    /// One command for each IOMMU of the domain, and one for each device with a TLB of its own; one IOTLB of another domain.
    @Test(arguments: InterfaceEra.allCases) func flushesReachEveryCacheOfTheDomain(era: InterfaceEra) throws {
        var core = IOMMUCore(era: era)
        let units = [core.addUnit(iotlb: cache), core.addUnit(iotlb: cache), core.addUnit(iotlb: cache)]
        let domain = core.allocateDomain(.unmanaged, driver: driver)
        let other = core.allocateDomain(.unmanaged, driver: driver)
        var devices: [Int32] = []
        // Two devices behind the first IOMMU, one behind the second; the last one is in the other domain.
        for (unit, ats, domain) in [
            (units[0], true, domain), (units[0], false, domain), (units[1], true, domain), (units[2], true, other),
        ] {
            let group = try core.makeGroup()
            let device = try core.addDevice(group: group, unit: unit, tlb: ats ? cache : nil)
            try core.attachDevice(device, to: domain)
            devices.append(device)
        }
        for domain in [domain, other] { try core.map(domain, iova: 0x1000, paddr: oneG, size: 2 * fourK) }
        for device in devices {
            #expect(
                core.access(device: device, iova: 0x1004)
                    == .translated(paddr: oneG + 4, source: device == devices[1] ? .iotlb : .walk, isStale: false))
        }
        #expect(
            core.access(device: devices[0], iova: 0x1004)
                == .translated(paddr: oneG + 4, source: .deviceTLB, isStale: false))
        _ = core.takeEvents()
        #expect(core.unmap(domain, iova: 0x1000, size: fourK) == fourK)
        let command = InvalidationCommand(bytes(0x1000, fourK), hint: .leavesOnly)
        #expect(
            core.takeEvents().filter {
                switch $0 {
                case .command, .deviceCommand: true
                default: false
                }
            } == [
                .command(command, domain: domain, unit: units[0]), .command(command, domain: domain, unit: units[1]),
                .deviceCommand(command, device: devices[0]), .deviceCommand(command, device: devices[2]),
            ])
        for device in devices.prefix(3) { #expect(core.access(device: device, iova: 0x1000) == .fault) }
        #expect(
            core.access(device: devices[3], iova: 0x1000)
                == .translated(paddr: oneG, source: .deviceTLB, isStale: false))
        #expect(core.counts.deviceCommands == 5)
    }

    /// A domain that no device is in can be unmapped and flushed at the interface, and no hardware hears of it.
    @Test(arguments: InterfaceEra.allCases) func aDetachedDomainSendsNothing(era: InterfaceEra) throws {
        var machine = try ContractMachine(driver, era: era)
        try machine.map(0, to: oneG, 2 * fourK)
        machine.core.detachDevice(machine.device, from: machine.domain)
        machine.core.counts = ContractCounts()
        #expect(machine.unmap(0, fourK) == fourK)
        machine.core.flushTLBAll(machine.domain)
        #expect(machine.core.counts.syncs == 1 && machine.core.counts.flushAlls == 1)
        #expect(machine.core.counts.commands == 0)
    }

    /// Item 26: what the device may still have of a domain goes when it leaves, whatever was flushed before.
    @Test(arguments: InterfaceEra.allCases, [false, true])
    func aDeviceThatLeavesKeepsNothing(era: InterfaceEra, isRemoved: Bool) throws {
        var machine = try ContractMachine(driver, era: era, ats: true)
        try machine.map(0, to: oneG, 2 * fourK)
        _ = (machine.read(0), machine.read(fourK))
        _ = machine.unmapFast(0, fourK)
        #expect(machine.read(0)?.isStale == true)
        _ = machine.core.takeEvents()
        var pages: Set<UInt64> = []
        machine.core.device(machine.device)?.tlb?.forEachEntry { pages.insert($0.range.start) }
        #expect(pages == [0, fourK])
        if isRemoved {
            machine.core.removeDevice(machine.device)
            #expect(machine.core.events.last == .removeFromGroup(device: machine.device, group: machine.group))
            #expect(!machine.core.events.contains { if case .detach = $0 { true } else { false } })
            machine.core.removeDevice(machine.device)
            #expect(machine.core.counts.deviceCommands == 1)
        } else {
            machine.core.detachDevice(machine.device, from: machine.domain)
        }
        #expect(machine.entries.isEmpty && machine.core.device(machine.device)?.tlb?.count == 0)
        #expect(machine.read(0) == nil && machine.read(fourK) == nil)
    }

    /// Item 25, and 24: a flush of nothing, and a second one, are commands that change nothing.
    @Test func flushesStayInTheirDomain() throws {
        var machine = try ContractMachine(driver, era: .v612)
        let other = machine.core.allocateDomain(.unmanaged, driver: driver)
        let group = try machine.core.makeGroup()
        let device = try machine.core.addDevice(group: group, unit: machine.unit)
        try machine.core.attachDevice(device, to: other)
        try machine.map(0, to: oneG, fourK)
        try machine.core.map(other, iova: 0, paddr: 2 * oneG, size: fourK)
        _ = (machine.read(0), machine.core.access(device: device, iova: 0))
        #expect(machine.entries.count == 2)
        #expect(machine.unmap(0, fourK) == fourK)
        #expect(machine.entries.map(\.domain) == [other])
        try machine.map(0, to: oneG, fourK)
        _ = machine.read(0)
        #expect(machine.entries.count == 2)
        machine.core.flushTLBAll(machine.domain)
        let after = machine.entries
        #expect(after.map(\.domain) == [other])
        let commands = machine.core.counts.commands
        machine.core.flushTLBAll(machine.domain)
        #expect(machine.entries == after && machine.core.counts.commands == commands + 1)
    }
}
