/// What a caller of unmap_fast has unmapped since its last sync, `struct iommu_iotlb_gather` (5.4 and later, model.md §1.6).
///
/// Before 5.4 the domain keeps that, and a gather stays empty.
public struct IOTLBGather: Sendable {
    /// The caller has a flush queue, and drivers gather nothing: the whole domain is flushed later.
    public let isQueued: Bool
    private var span = Gather()
    /// Page-table pages wait in it to be freed, the kernel's `freelist`.
    public private(set) var holdsTables = false

    /// An empty gather, `iommu_iotlb_gather_init`.
    public init(isQueued: Bool = false) { self.isQueued = isQueued }

    /// What the next sync covers; `nil` while nothing is gathered.
    public var range: AddressRange? { span.range }

    /// Keeps page-table pages until the flush.
    mutating func addTables() { holdsTables = true }

    /// Whether ``add(_:pageSize:by:)`` would have to sync first, for what it cannot take.
    func needsSync(before added: AddressRange, pageSize: UInt64, by gathering: DriverModel.Gathering) -> Bool {
        var copy = span
        return Self.add(added, pageSize: pageSize, by: gathering, to: &copy) != nil
    }

    /// Adds what one callback unmapped.
    mutating func add(_ added: AddressRange, pageSize: UInt64, by gathering: DriverModel.Gathering) {
        _ = Self.add(added, pageSize: pageSize, by: gathering, to: &span)
    }

    private static func add(
        _ added: AddressRange, pageSize: UInt64, by gathering: DriverModel.Gathering, to span: inout Gather
    ) -> AddressRange? {
        switch gathering {
        case .callbacks: return span.add(added)
        case .pages: return span.add(added, length: pageSize)
        case .anything:
            span.addRange(added)
            return nil
        }
    }

    /// Hands over what was gathered and starts anew.
    mutating func take() -> (range: AddressRange?, holdsTables: Bool) {
        defer { holdsTables = false }
        return (span.sync(), holdsTables)
    }
}
