/// The page sizes that a domain can map, as the kernel's `pgsize_bitmap`, and the kernel's rule for choosing among them.
///
/// The rule exists in two forms: one page a callback (4.15, `iommu_pgsize` in its first form) and a run of equal pages a
/// callback (5.15 and later). Both walk the same leaves (model.md §1.4); a property test holds them to it.
public struct PageSizes: Hashable, Sendable {
    /// Bit n is set if pages of 2^n bytes can be mapped.
    public let bitmap: UInt64

    /// 4 KiB, 2 MiB and 1 GiB: VT-d since 5.12, AMD v2, Arm LPAE with 4 KiB granule.
    public static let fourKTwoMOneG = PageSizes(uncheckedBitmap: 1 << 12 | 1 << 21 | 1 << 30)
    /// Every power of two from 4 KiB up, as Intel up to 4.19 and AMD v1 advertise.
    public static let everyPowerOfTwo = PageSizes(uncheckedBitmap: ~0xfff)
    /// 4 KiB only.
    public static let fourK = PageSizes(uncheckedBitmap: 1 << 12)

    /// A set of page sizes; `nil` if it is empty or holds a size below 4 KiB.
    public init?(bitmap: UInt64) {
        guard bitmap != 0, bitmap & 0xfff == 0 else { return nil }
        self.bitmap = bitmap
    }

    /// A set that is known to be neither empty nor to hold sizes below 4 KiB.
    init(uncheckedBitmap: UInt64) { bitmap = uncheckedBitmap }

    /// The smallest page size, in bytes: what addresses and sizes must be multiples of.
    @inlinable
    public var granule: UInt64 { bitmap & (0 &- bitmap) }

    /// The page size for the next callback of the 4.15 loop, in bytes; `nil` where not even the granule fits.
    ///
    /// - Parameters:
    ///   - merged: `iova | paddr` for a map, `iova` for an unmap.
    ///   - size: bytes still to do.
    @inlinable
    public func pageSize(merged: UInt64, size: UInt64) -> UInt64? {
        guard size > 0 else { return nil }
        var highest = 63 - size.leadingZeroBitCount
        if merged != 0 { highest = min(highest, merged.trailingZeroBitCount) }
        let candidates = bitmap & (UInt64.max >> UInt64(63 - highest))
        guard candidates != 0 else { return nil }
        return 1 << UInt64(63 - candidates.leadingZeroBitCount)
    }

    /// One callback of the 5.15 loop.
    public struct Callback: Hashable, Sendable {
        /// Bytes of one page.
        public let pageSize: UInt64
        /// How many pages of that size, at least one.
        public let count: UInt64
        /// Bytes of the callback.
        @inlinable public var size: UInt64 { pageSize &* count }

        @inlinable
        init(pageSize: UInt64, count: UInt64) {
            self.pageSize = pageSize
            self.count = count
        }
    }

    /// The next callback of the 5.15 loop; `nil` where not even the granule fits.
    ///
    /// - Parameters:
    ///   - iova: where the rest starts.
    ///   - paddr: where it points to; an unmap passes `iova`.
    ///   - size: bytes still to do.
    @inlinable
    public func callback(iova: UInt64, paddr: UInt64, size: UInt64) -> Callback? {
        guard let pageSize = pageSize(merged: iova | paddr, size: size) else { return nil }
        let shift = UInt64(pageSize.trailingZeroBitCount)
        let larger = bitmap & ~(pageSize | (pageSize &- 1))
        guard larger != 0 else { return Callback(pageSize: pageSize, count: size >> shift) }
        let next = larger & (0 &- larger)
        guard (iova ^ paddr) & (next &- 1) == 0 else { return Callback(pageSize: pageSize, count: size >> shift) }
        // Up to the next boundary of the larger size only, if one whole larger page follows it.
        let offset = next &- ((iova | paddr) & (next &- 1))
        let (end, overflow) = offset.addingReportingOverflow(next)
        return Callback(pageSize: pageSize, count: (!overflow && end <= size ? offset : size) >> shift)
    }

    /// How many callbacks of the 4.15 loop, one page each, cover `range` in an unmap (design §4 5).
    ///
    /// A range that is no multiple of the granule is rounded out to it first: the kernel would have refused it.
    @inlinable
    public func pageCount(of range: AddressRange) -> UInt64 {
        var count: UInt64 = 0
        forEachCallback(in: range) { count &+= $1.count }
        return count
    }

    /// Calls `body` with the address of each callback of the 5.15 loop over an unmap of `range`, and the callback.
    ///
    /// At most two callbacks for each supported size, however long the range is.
    @inlinable
    public func forEachCallback(in range: AddressRange, _ body: (_ iova: UInt64, _ callback: Callback) -> Void) {
        let whole = range.roundedOut(to: granule)
        var iova = whole.start
        // The whole 64-bit space is one granule short here; no page table is that large.
        var left = whole.size & ~(granule &- 1)
        while left > 0, let callback = callback(iova: iova, paddr: iova, size: left) {
            body(iova, callback)
            iova = iova &+ callback.size
            left &-= callback.size
        }
    }
}
