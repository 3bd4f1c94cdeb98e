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
    ]

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
        case .spansOfOneCallbackSize, .spansOfOnePageSize, .oneSpan: #expect(model.syncs == counts.waits)
        }
        #expect(counts.waits > 0)
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
