extension PageSizes {
    /// What kept a page from being of the next larger size that is offered: the terms of `iommu_pgsize` (model.md §1.4).
    public struct Limits: OptionSet, Hashable, Sendable {
        /// The terms as bits.
        public let rawValue: UInt8
        /// Terms from their bits.
        @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The IOVA is no multiple of it.
        public static let iova = Limits(rawValue: 1)
        /// The physical address is no multiple of it.
        public static let paddr = Limits(rawValue: 2)
        /// Fewer bytes are left.
        public static let length = Limits(rawValue: 4)
        /// No larger size is offered.
        public static let offered = Limits(rawValue: 8)
    }

    /// What kept the pages of a callback from being larger, as it was decided at the callback's begin.
    ///
    /// - Parameters:
    ///   - pageSize: what ``callback(iova:paddr:size:)`` chose there.
    ///   - size: bytes that were still to do.
    @inlinable
    public func limits(of pageSize: UInt64, iova: UInt64, paddr: UInt64, size: UInt64) -> Limits {
        let larger = bitmap & ~(pageSize | (pageSize &- 1))
        guard larger != 0 else { return .offered }
        let next = larger & (0 &- larger)
        var limits: Limits = []
        if iova & (next &- 1) != 0 { limits.insert(.iova) }
        if paddr & (next &- 1) != 0 { limits.insert(.paddr) }
        if size < next { limits.insert(.length) }
        return limits
    }

    /// The smallest size offered that is not below `size`; `nil` if there is none.
    @inlinable
    public func smallest(notBelow size: UInt64) -> UInt64? {
        let candidates = bitmap & ~(size &- 1)
        return candidates == 0 ? nil : candidates & (0 &- candidates)
    }

    /// Where in a map there would be pages of at least `size` bytes if one of the limits did not hold, as offsets from its
    /// begin. The other limits hold as before; without that of length the map goes on behind its end.
    @inlinable
    public func largePages(
        notBelow size: UInt64, without limit: Limits, iova: UInt64, paddr: UInt64, length: UInt64
    ) -> Range<UInt64> {
        guard let block = limit == .offered ? size : smallest(notBelow: size) else { return 0..<0 }
        // Pages are aligned on both sides, so both must be as far from a boundary.
        if limit == .length || limit == .offered, (iova ^ paddr) & (block &- 1) != 0 { return 0..<0 }
        let first = (0 &- (limit == .iova ? paddr : iova)) & (block &- 1)
        guard first < length else { return 0..<0 }
        if limit == .length { return first..<length }
        let whole = (length &- first) & ~(block &- 1)
        return first..<(first &+ whole)
    }
}
