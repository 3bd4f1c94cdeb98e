/// Arm LPAE tables with 64-bit entries, `drivers/iommu/io-pgtable-arm.c` (model.md §3.1).
public struct ArmLPAE: PageTableFormat {
    /// Bytes of the smallest page, and of a table.
    public enum Granule: Int, Hashable, Sendable {
        case fourK = 12, sixteenK = 14, sixtyFourK = 16
    }
    /// What an unmap of a part of a block does.
    public enum Era: Hashable, Sendable {
        /// Up to 6.12 the block is split up.
        case splitting
        /// From 6.13 on nothing is unmapped, with a warning (33729a5fc0ca).
        case refusing
    }
    /// Whose translation the tables are: it changes attributes only.
    public enum Stage: Hashable, Sendable {
        case one, two
    }

    /// The granule.
    public let granule: Granule
    /// The era that the rules follow.
    public let era: Era
    /// The stage.
    public let stage: Stage
    /// Shapes and limits.
    public let geometry: PageTableGeometry

    /// Tables for IOVAs of `inputBits` and physical addresses of `outputBits`, at most 48 each, or 52 with 64 KiB.
    ///
    /// Several root tables side by side, which a second stage may have in place of one more level, are not modelled.
    public init(
        granule: Granule = .fourK, era: Era = .splitting, stage: Stage = .one, inputBits: Int = 48, outputBits: Int = 48
    ) {
        self.granule = granule
        self.era = era
        self.stage = stage
        let shift = granule.rawValue
        let bitsPerLevel = shift - 3
        let most = granule == .sixtyFourK ? 52 : 48
        let input = min(max(inputBits, shift + bitsPerLevel), most)
        geometry = PageTableGeometry(
            granuleShift: shift, bitsPerLevel: bitsPerLevel,
            startLevels: (input - shift + bitsPerLevel - 1) / bitsPerLevel, inputBits: input,
            outputBits: min(max(outputBits, 32), most))
    }

    /// A short name for reports.
    public var name: String {
        let era = era == .refusing ? "-6.13" : ""
        return "arm-lpae-\(1 << (granule.rawValue - 10))k\(era)"
    }

    /// The pages that a map may ask for.
    public var pageSizes: PageSizes {
        switch granule {
        case .fourK: .fourKTwoMOneG
        case .sixteenK: PageSizes(uncheckedBitmap: 1 << 14 | 1 << 25)
        case .sixtyFourK: PageSizes(uncheckedBitmap: 1 << 16 | 1 << 29 | (geometry.outputBits > 48 ? 1 << 42 : 0))
        }
    }

    /// `arm_lpae_init_pte` and `__arm_lpae_unmap`: a leaf must be unmapped first; a table goes, with all that is in it.
    public var rules: PageTableRules {
        PageTableRules(
            unmapWalk: .entries(splitting: era == .splitting), overPage: .fail(.exists), overSuperpage: .fail(.exists),
            insideSuperpage: .fail(.exists), overTable: .replace, flushesWalksAtOnce: true)
    }

    private static let block: UInt64 = 1
    private static let tableOrPage: UInt64 = 3
    private static let addressMask: UInt64 = 0x0000_ffff_ffff_f000

    /// The entry that points to a table.
    public func tableEntry(to address: UInt64, level: Int) -> UInt64 { packed(address) | Self.tableOrPage }

    /// Read and write, write-back cacheable, inner shareable.
    public func leafEntry(to target: UInt64, size: UInt64, level: Int) -> UInt64 {
        let accessedInnerShareable: UInt64 = 1 << 10 | 3 << 8
        let attributes: UInt64 =
            switch stage {
            case .one: 1 << 11 | 1 << 6 | 1 << 2  // nG, AP_UNPRIV, MAIR index of cached memory
            case .two: 3 << 6 | 0xf << 2  // HAP_READ and HAP_WRITE, MEMATTR_OIWB
            }
        return packed(target) | attributes | accessedInnerShareable | (level > 0 ? Self.block : Self.tableOrPage)
    }

    /// What hardware reads in an entry.
    public func decode(_ entry: UInt64, level: Int) -> PageTableEntry {
        switch (entry & 3, level > 0) {
        case (Self.tableOrPage, true): return .table(unpacked(entry))
        case (Self.tableOrPage, false), (Self.block, true):
            let size = geometry.entrySize(level: level)
            return .leaf(target: unpacked(entry) & ~(size - 1), size: size)
        default: return .absent
        }
    }

    /// `paddr_to_iopte`: with 64 KiB pages, bits 51 to 48 lie in 15 to 12, which are 0 in the address.
    private func packed(_ address: UInt64) -> UInt64 {
        (granule == .sixtyFourK ? address | address >> 36 : address) & Self.addressMask
    }

    /// `iopte_to_paddr`.
    private func unpacked(_ entry: UInt64) -> UInt64 {
        let address = entry & Self.addressMask
        return granule == .sixtyFourK ? (address | address << 36) & (Self.addressMask << 4) : address
    }
}
