/// The range that an unmapping caller has collected for its next sync: `struct iommu_iotlb_gather` (5.4 and later).
///
/// Model.md §1.6: ranges are merged into one span as long as they touch and their callbacks have one length; the first
/// that does not fit forces a sync of what was gathered before it. What VT-d passes as `pgsize` is the bytes of the
/// callback, page size times count (model.md §4.4), so a change of callback length alone ends a gather.
public struct Gather: Sendable {
    /// The span gathered so far; `nil` while nothing is.
    public private(set) var range: AddressRange?
    /// Bytes of each callback in ``range``; 0 while nothing is gathered.
    public private(set) var callbackSize: UInt64 = 0

    /// An empty gather, as `iommu_iotlb_gather_init` leaves it.
    public init() {}

    /// Adds the range of one driver callback, `iommu_iotlb_gather_add_page`.
    ///
    /// - Returns: the span that had to be synced first because the new range did not fit, or `nil`.
    public mutating func add(_ added: AddressRange) -> AddressRange? {
        guard let held = range else {
            self = Gather(range: added, callbackSize: added.size)
            return nil
        }
        // `iommu_iotlb_gather_is_disjoint`: neighbours are not.
        guard callbackSize == added.size, let joined = held.joined(with: added) else {
            self = Gather(range: added, callbackSize: added.size)
            return held
        }
        range = joined
        return nil
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
