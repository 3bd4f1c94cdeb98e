import TestSupport
import Testing

@testable import IOMMUModel

/// Two ways to the same number: the ``Invalidator`` counts what unmaps of a log come to without page tables, the interface what its
/// own page tables make of them.
@Suite struct ContractInvalidatorTests {
    /// The driver under the interface, the hardware that counts, and whether its waits are syncs.
    struct Pair: Sendable, CustomTestStringConvertible {
        var driver: DriverModel
        var era: InterfaceEra
        var profile: HardwareProfile
        var testDescription: String { "\(profile) and \(driver.format.name) of \(era)" }
    }

    static let pairs: [Pair] = [
        Pair(driver: DriverModel(format: VTdSecondStage()), era: .v415, profile: .contract),
        Pair(driver: .flushingInUnmap(VTdSecondStage()), era: .v415, profile: .vtd419),
        Pair(driver: DriverModel(format: VTdSecondStage()), era: .v612, profile: .vtd612),
        Pair(driver: .flushingDomains(AMDVersion1()), era: .v419, profile: .amd419),
        Pair(driver: DriverModel(format: AMDVersion1(), gathering: .anything), era: .v612, profile: .amd6),
        Pair(driver: DriverModel(format: ArmLPAE(), gathering: .pages), era: .v612, profile: .smmuv3),
        Pair(driver: DriverModel(format: VTdSecondStage(), gathering: .anything), era: .v612, profile: .vtd619),
        Pair(driver: DriverModel(format: VTdSecondStage(), gathering: .anything), era: .v71, profile: .vtd70),
        Pair(driver: DriverModel(format: AMDVersion1(), gathering: .anything), era: .v71, profile: .amd72),
    ]

    /// Before there were gathers nobody could ask for a queued one.
    static let queuedPairs = pairs.filter { $0.era >= .v54 }

    @Test(arguments: pairs, seeds) func theyAgree(pair: Pair, seed: UInt64) throws {
        for isStrict in [false, true] { try compare(pair, seed: seed, isStrict: isStrict) }
    }

    private func compare(_ pair: Pair, seed: UInt64, isStrict: Bool) throws {
        let sizes = pair.driver.format.pageSizes
        var machine = try ContractMachine(pair.driver, era: pair.era)
        var invalidator = Invalidator(Hardware(pair.profile), pageSizes: sizes)
        var random = SeededGenerator(seed: seed)
        let pieces = Self.pieces(of: bytes(oneG, 6 * twoM), &random)
        for piece in pieces { try machine.map(piece.start, to: piece.start, piece.size) }
        machine.core.counts = ContractCounts()
        var gather = Gather()
        for piece in pieces where random.next() % 4 != 0 {
            #expect(unmap(&machine, piece, &gather, isStrict: isStrict) == piece.size)
            invalidator.unmap(piece)
            if isStrict { invalidator.sync() }
        }
        if !isStrict {
            machine.core.tlbSync(machine.domain, gather: &gather)
            invalidator.sync()
        }
        let (model, counts) = (machine.core.counts, invalidator.counts)
        switch pair.profile.collecting {
        case .eachPage:
            if isStrict { #expect(model.rangeAdds == counts.commands) }
            #expect(model.syncs == counts.waits)
        case .eachCallback: #expect(model.commands == counts.commands && model.commands == counts.waits)
        case .wholeDomain: #expect(model.commands == counts.domainCommands && model.syncs == counts.waits)
        case .spans: #expect(model.syncs == counts.waits)
        }
        #expect(counts.waits > 0)
    }

    /// A queued gather takes nothing, and the whole domain is flushed later: only Arm's driver tells the hardware of the tables that
    /// go, at once (model.md §3.4).
    @Test(arguments: queuedPairs, seeds) func theyAgreeWhereTheGatherIsQueued(pair: Pair, seed: UInt64) throws {
        let sizes = pair.driver.format.pageSizes
        var machine = try ContractMachine(pair.driver, era: pair.era)
        var invalidator = Invalidator(Hardware(pair.profile), pageSizes: sizes, keepsCommands: true)
        var table = PageTable()
        var random = SeededGenerator(seed: seed)
        let pieces = Self.pieces(of: bytes(oneG, 24 * twoM), &random)
        for piece in pieces {
            // What is not aligned alike needs small pages, and a table for them.
            let target = piece.start + (random.next() & 1) * fourK
            try machine.map(piece.start, to: target, piece.size)
            _ = table.map(piece, to: target, sizes: sizes)
        }
        _ = machine.core.takeEvents()
        var sent: (contract: [AddressRange?], invalidator: [AddressRange?]) = ([], [])
        for piece in pieces where random.next() % 4 != 0 {
            var gather = Gather(isQueued: true)
            let unmapped = machine.core.unmapFast(
                machine.domain, iova: piece.start, size: piece.size, gather: &gather)
            #expect(unmapped == piece.size && gather.range == nil)
            var removed: ContiguousArray<PageTable.Run>? = []
            _ = table.unmap(piece, into: &removed)
            invalidator.unmap(piece, leaves: (removed ?? [])[...], isQueued: true)
        }
        machine.core.flushTLBAll(machine.domain)
        invalidator.flushAll()
        for case .command(let command, _, _) in machine.core.takeEvents() { sent.contract.append(command.range) }
        invalidator.takeCommands { sent.invalidator.append($0.range) }
        #expect(sent.contract == sent.invalidator)
        #expect((sent.contract.count > 1) == (pair.profile == .smmuv3), "tables went")
    }

    /// Maps that follow each other: some of superpages, some of a few pages.
    private static func pieces(of range: AddressRange, _ random: inout SeededGenerator) -> [AddressRange] {
        var pieces: [AddressRange] = []
        var iova = range.start
        while iova < range.last {
            let toBorder = twoM - iova & (twoM - 1)
            let size =
                switch random.next() % 3 {
                case 0: toBorder
                case 1: min((1 + random.next() % 20) * fourK, toBorder)
                default: toBorder == twoM ? 2 * twoM : toBorder
                }
            let piece = bytes(iova, min(size, range.last - iova + 1))
            pieces.append(piece)
            iova = piece.last + 1
        }
        return pieces
    }

    private func unmap(
        _ machine: inout ContractMachine, _ range: AddressRange, _ gather: inout Gather, isStrict: Bool
    ) -> UInt64 {
        if isStrict { return machine.unmap(range.start, range.size) }
        machine.core.tlbRangeAdd(machine.domain, iova: range.start, size: range.size)
        return machine.core.unmapFast(machine.domain, iova: range.start, size: range.size, gather: &gather)
    }
}
