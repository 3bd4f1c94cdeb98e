/// The range that an unmapping caller has collected for its next sync: `struct iommu_iotlb_gather` (5.4 and later).
///
/// Model.md §1.6: ranges are merged into one span as long as the driver's ``Rule`` allows; the first that does not fit
/// forces a sync of what was gathered before it. Before 5.4 the domain keeps that, and a gather stays empty.
public struct Gather: Sendable {
    /// What ends a span.
    public enum Rule: Hashable, Sendable {
        /// A gap, or a callback of another length: what VT-d passes as `pgsize` is the bytes of the callback, page size times
        /// count (model.md §4.4).
        case callbacks
        /// A gap, or pages of another size: SMMUv3.
        case pages
        /// A gap: AMD under a hypervisor, which is spared what was not changed.
        case gaps
        /// Nothing: `iommu_iotlb_gather_add_range`, AMD, and VT-d since its page tables are generic.
        case anything
    }

    /// What a sync covers.
    public struct Span: Hashable, Sendable {
        /// From the first byte gathered to the last.
        public var range: AddressRange
        /// Bytes of each callback in it, or of each page, whichever the rule goes by; where it goes by neither, the fewest.
        public var length: UInt64
        /// 4096-byte pages that were added: a span may hold others that lie between.
        public var pages: UInt64
        /// Page-table pages wait for the sync to be freed: the gather's `freelist`.
        public var holdsTables: Bool
    }

    /// The caller has a flush queue, and drivers gather nothing: the whole domain is flushed later.
    public let isQueued: Bool
    /// The span gathered so far; `nil` while nothing is.
    public var range: AddressRange? { isEmpty ? nil : AddressRange(uncheckedStart: start, last: last) }
    /// Bytes of each callback in ``range``, or of each page; 0 while nothing is gathered.
    public private(set) var length: UInt64 = 0
    /// Page-table pages wait for the next sync to be freed.
    public private(set) var holdsTables = false

    private var isEmpty = true
    private var start: UInt64 = 0
    private var last: UInt64 = 0
    private var pages: UInt64 = 0

    /// An empty gather, as `iommu_iotlb_gather_init` leaves it.
    public init(isQueued: Bool = false) { self.isQueued = isQueued }

    /// Keeps page-table pages for the next sync to free.
    public mutating func addTables() { holdsTables = true }

    /// Whether a range could be added without a sync before it: `iommu_iotlb_gather_is_disjoint` and the comparison of `pgsize`.
    public func fits(_ added: AddressRange, length: UInt64, by rule: Rule) -> Bool {
        if isEmpty || rule == .anything { return true }
        guard AddressRange(uncheckedStart: start, last: last).joined(with: added) != nil else { return false }
        return rule == .gaps || self.length == length
    }

    /// Adds the range of one driver callback, `iommu_iotlb_gather_add_page` or `iommu_iotlb_gather_add_range`.
    ///
    /// - Parameter length: what must stay equal: the bytes of the callback, or of each page.
    /// - Returns: the span that had to be synced first because the new range did not fit, or `nil`.
    public mutating func add(_ added: AddressRange, length: UInt64, by rule: Rule) -> Span? {
        guard fits(added, length: length, by: rule) else {
            let before = take()
            _ = add(added, length: length, by: rule)
            return before
        }
        self.length = isEmpty ? length : min(self.length, length)
        (start, last) = isEmpty ? (added.start, added.last) : (min(start, added.start), max(last, added.last))
        pages &+= (added.last >> 12) - (added.start >> 12) + 1
        isEmpty = false
        return nil
    }

    /// Ends the gather, `iommu_iotlb_sync`.
    ///
    /// - Returns: what the sync covers, or `nil` if nothing was gathered.
    public mutating func take() -> Span? {
        defer { clear() }
        guard let range else { return nil }
        return Span(range: range, length: length, pages: pages, holdsTables: holdsTables)
    }

    /// Forgets what was gathered, and the tables: the whole domain was flushed.
    public mutating func clear() { self = Gather(isQueued: isQueued) }
}
