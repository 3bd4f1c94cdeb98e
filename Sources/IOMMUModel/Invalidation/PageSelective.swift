/// VT-d's page-selective invalidation: `iommu_flush_iotlb_psi` (5.18 to 6.11), `calculate_psi_aligned_address` (6.12).
public enum VTd {
    /// The largest address mask that the hardware takes, log2 of pages, `CAP.MAMV`: 18 is what QEMU reports.
    public static let maximumMask = 18
    /// That of first-stage commands: the driver does not look at `CAP.MAMV` there, and no page table spans more.
    public static let maximumFirstStageMask = 51

    /// Log2 of the pages in the smallest aligned block that holds a range: the descriptor's address mask AM.
    ///
    /// - Parameters:
    ///   - page: number of the first 4096-byte page.
    ///   - count: how many pages, at least one.
    /// - Returns: 0 to 52, above ``maximumMask`` for ranges that only a domain-selective flush covers.
    @inlinable
    public static func mask(page: UInt64, count: UInt64) -> Int {
        let size = max(count, 1)
        // Rounded up to a power of two, as long as that fits.
        var mask = size == 1 ? 0 : 64 - (size - 1).leadingZeroBitCount
        guard mask < 52 else { return 52 }
        let bits = (UInt64(1) << UInt64(mask)) - 1
        if page & bits != 0 {
            // The block that begins at the page's own alignment would end too early: up to where all page numbers agree.
            let shared = ~(page ^ (page &+ size &- 1)) & ~bits
            mask = shared == 0 ? 52 : min(shared.trailingZeroBitCount, 52)
        }
        return mask
    }
}

/// AMD's INVALIDATE_IOMMU_PAGES: `build_inv_address` (5.13 and later).
public enum AMDvi {
    /// Log2 of the bytes that the command for a range covers; `nil` where it covers the whole domain.
    @inlinable
    public static func coverage(of range: AddressRange) -> Int? {
        let pages = range.roundedOut(to: 4096)
        let difference = pages.start ^ pages.last
        let highest = 63 - difference.leadingZeroBitCount
        return highest > 51 ? nil : highest + 1
    }
}

/// SMMUv3's range invalidation: `__arm_smmu_tlb_inv_range` with `ARM_SMMU_FEAT_RANGE_INV`.
public enum SMMUv3 {
    /// How many commands cover exactly so many pages: one for each window of five bits with anything in it, from below.
    ///
    /// - Parameter pages: pages of the granule, at least one.
    @inlinable
    public static func rangeCommands(pages: UInt64) -> Int64 {
        var commands: Int64 = 0
        forEachRange(pages: pages) { _ in commands += 1 }
        return commands
    }

    /// The commands for so many pages, in order: each covers a number below 32 of an aligned power of two of them.
    @inlinable
    public static func forEachRange(pages: UInt64, _ body: (_ pages: UInt64) -> Void) {
        var left = pages
        while left != 0 {
            let scale = UInt64(left.trailingZeroBitCount)
            let covered = ((left >> scale) & 31) << scale
            left &-= covered
            body(covered)
        }
    }

    /// How many pages two commands cover at least that are to cover so many: the largest window of five bits, and what is left,
    /// rounded up to another.
    @inlinable
    public static func pagesOfTwoCommands(covering pages: UInt64) -> UInt64 {
        guard rangeCommands(pages: pages) > 2 else { return pages }
        let largest = pages & (.max << windowShift(pages))
        let left = pages - largest
        let unit: UInt64 = 1 << windowShift(left)
        return largest + (left + unit - 1) / unit * unit
    }

    /// Where the five bits from the highest set one down begin.
    @usableFromInline
    static func windowShift(_ pages: UInt64) -> UInt64 { UInt64(max(59 - pages.leadingZeroBitCount, 0)) }
}

/// RISC-V's IOTINVAL.VMA: `riscv_iommu_iotlb_inval`.
public enum RISCV {
    /// A flush of so many bytes or more is one command for all of the domain (6.13).
    public static let domainLimit: UInt64 = 2 << 20
    /// More commands than this become one for all of the domain (7.2).
    public static let commandLimit: Int64 = 512
}
