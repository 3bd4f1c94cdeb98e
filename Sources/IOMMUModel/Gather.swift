/// The range that an unmapping caller has collected for its next sync: `struct iommu_iotlb_gather` (5.4 and later).
///
/// Model.md §1.6: ranges are merged into one span as long as they touch and their callbacks have one length; the first
/// that does not fit forces a sync of what was gathered before it. What VT-d passes as `pgsize` is the bytes of the
/// callback, page size times count (model.md §4.4), so a change of callback length alone ends a gather.
public struct Gather: Sendable {
    /// The span gathered so far; `nil` while nothing is.
    public private(set) var range: AddressRange?
    /// Bytes of each callback in ``range``, or of each page, whichever its driver goes by; 0 while nothing is gathered.
    public private(set) var callbackSize: UInt64 = 0

    /// An empty gather, as `iommu_iotlb_gather_init` leaves it.
    public init() {}

    /// Adds the range of one driver callback, `iommu_iotlb_gather_add_page`.
    ///
    /// - Parameter length: what must stay equal, the bytes of the callback unless the driver goes by something else.
    /// - Returns: the span that had to be synced first because the new range did not fit, or `nil`.
    public mutating func add(_ added: AddressRange, length: UInt64? = nil) -> AddressRange? {
        let length = length ?? added.size
        guard let held = range else {
            self = Gather(range: added, callbackSize: length)
            return nil
        }
        // `iommu_iotlb_gather_is_disjoint`: neighbours are not.
        guard callbackSize == length, let joined = held.joined(with: added) else {
            self = Gather(range: added, callbackSize: length)
            return held
        }
        range = joined
        return nil
    }

    /// Adds a range whatever lies between it and the others, `iommu_iotlb_gather_add_range`: it never needs a sync first.
    public mutating func addRange(_ added: AddressRange) {
        let held = range ?? added
        range = AddressRange(uncheckedStart: min(held.start, added.start), last: max(held.last, added.last))
    }

    /// Ends the gather, `iommu_iotlb_sync`.
    ///
    /// - Returns: the span that the sync covers, or `nil` if nothing was gathered.
    public mutating func sync() -> AddressRange? {
        defer { self = Gather() }
        return range
    }

    private init(range: AddressRange?, callbackSize: UInt64) {
        self.range = range
        self.callbackSize = callbackSize
    }
}
