/// A non-empty run of bytes in an address space, both ends inclusive.
///
/// The last byte is stored instead of the end so that a range that reaches 2^64 needs no 65th bit; `iommu_iotlb_gather`
/// keeps its `end` inclusive for the same reason.
public struct AddressRange: Hashable, Sendable {
    /// Address of the first byte.
    public let start: UInt64
    /// Address of the last byte, never below ``start``.
    public let last: UInt64

    /// The range between two addresses, both included; `nil` if they are the wrong way round.
    @inlinable
    public init?(start: UInt64, last: UInt64) {
        guard start <= last else { return nil }
        self.start = start
        self.last = last
    }

    /// The range of `size` bytes at `start`; `nil` if it is empty or reaches beyond 2^64.
    @inlinable
    public init?(start: UInt64, size: UInt64) {
        guard size > 0 else { return nil }
        let (last, overflow) = start.addingReportingOverflow(size - 1)
        guard !overflow else { return nil }
        self.start = start
        self.last = last
    }

    /// The whole 64-bit space.
    public static let everything = AddressRange(uncheckedStart: 0, last: .max)

    @inlinable
    init(uncheckedStart start: UInt64, last: UInt64) {
        self.start = start
        self.last = last
    }

    /// Bytes in the range. The whole 64-bit space has 2^64 bytes and reads as `UInt64.max`.
    @inlinable
    public var size: UInt64 {
        let (size, overflow) = (last - start).addingReportingOverflow(1)
        return overflow ? .max : size
    }

    /// The smallest range of whole pages around this one, as dma-iommu rounds a buffer out to the IOVA granule.
    ///
    /// - Parameter granule: a power of two, in bytes.
    @inlinable
    public func roundedOut(to granule: UInt64) -> AddressRange {
        let mask = granule &- 1
        return AddressRange(uncheckedStart: start & ~mask, last: last | mask)
    }

    /// Whether the two ranges share at least one byte.
    @inlinable
    public func overlaps(_ other: AddressRange) -> Bool {
        start <= other.last && other.start <= last
    }

    /// Whether every byte of `other` lies in this range.
    @inlinable
    public func contains(_ other: AddressRange) -> Bool {
        start <= other.start && other.last <= last
    }

    /// The part that both ranges share; `nil` if there is none.
    @inlinable
    public func intersection(_ other: AddressRange) -> AddressRange? {
        AddressRange(start: max(start, other.start), last: min(last, other.last))
    }

    /// Both ranges as one, if they overlap or touch: neighbours leave nothing between them.
    @inlinable
    public func joined(with other: AddressRange) -> AddressRange? {
        let touches =
            (start <= other.last || start - other.last == 1) && (other.start <= last || other.start - last == 1)
        return touches
            ? AddressRange(uncheckedStart: min(start, other.start), last: max(last, other.last)) : nil
    }

    /// From the first byte of both ranges to the last, with what lies between.
    @inlinable
    public func hull(with other: AddressRange) -> AddressRange {
        AddressRange(uncheckedStart: min(start, other.start), last: max(last, other.last))
    }

    /// What of this range lies before and after `other`: nothing, one or two ranges.
    public func subtracting(_ other: AddressRange) -> [AddressRange] {
        guard overlaps(other) else { return [self] }
        var rest: [AddressRange] = []
        if start < other.start { rest.append(AddressRange(uncheckedStart: start, last: other.start - 1)) }
        if last > other.last { rest.append(AddressRange(uncheckedStart: other.last + 1, last: last)) }
        return rest
    }
}
