/// What is seen of the interface at work: its tracepoints, its flushes, and what reaches the hardware, in order.
public enum ContractEvent: Hashable, Sendable {
    /// Tracepoint `iommu:map`: one for each call that succeeds.
    case map(domain: Int32, iova: UInt64, paddr: UInt64, size: UInt64)
    /// Tracepoint `iommu:unmap`: bytes asked for and bytes unmapped. One for each call that reached the page table, also that
    /// by which a failed map is taken back.
    case unmap(domain: Int32, iova: UInt64, size: UInt64, unmapped: UInt64)
    /// Tracepoint `iommu:attach_device_to_domain`, which in a kernel does not name the domain.
    case attach(device: Int32, domain: Int32)
    /// Tracepoint `iommu:detach_device_from_domain`, up to 6.1.
    case detach(device: Int32, domain: Int32)
    /// Tracepoint `iommu:add_device_to_group`.
    case addToGroup(device: Int32, group: Int32)
    /// Tracepoint `iommu:remove_device_from_group`.
    case removeFromGroup(device: Int32, group: Int32)

    /// The driver's `iotlb_sync`, with the ranges added or gathered since the last one; neighbours are joined. `isImplicit`: by a
    /// gather that could not take what comes next.
    case sync(domain: Int32, ranges: [AddressRange], isImplicit: Bool)
    /// The driver's `iotlb_sync_map`.
    case syncMap(domain: Int32, range: AddressRange)
    /// The driver's `flush_iotlb_all`.
    case flushAll(domain: Int32)

    /// A command to one IOMMU, for one domain.
    case command(InvalidationCommand, domain: Int32, unit: Int32)
    /// A command to one device's own TLB.
    case deviceCommand(InvalidationCommand, device: Int32)
}

/// How often things happened at the interface and at the hardware: facts, not times (model.md §10).
public struct ContractCounts: Hashable, Sendable {
    /// Map calls that succeeded.
    public var maps: Int64 = 0
    /// Map calls that failed, after which what they had mapped was unmapped.
    public var failedMaps: Int64 = 0
    /// Unmap calls that reached the page table, those after failed maps included.
    public var unmaps: Int64 = 0
    /// Calls of the driver's map and unmap callbacks that the loops of the core made.
    public var callbacks: Int64 = 0
    /// Range_adds: one for each turn of a strict unmap's loop, and those of callers (up to 5.3).
    public var rangeAdds: Int64 = 0
    /// Calls of the driver's `iotlb_sync`.
    public var syncs: Int64 = 0
    /// Those of them because a gather could not take what came next.
    public var implicitSyncs: Int64 = 0
    /// Calls of the driver's `flush_iotlb_all`.
    public var flushAlls: Int64 = 0
    /// Commands to IOMMUs, those by attaches included.
    public var commands: Int64 = 0
    /// Commands to devices' own TLBs.
    public var deviceCommands: Int64 = 0

    /// Nothing yet.
    public init() {}
}
