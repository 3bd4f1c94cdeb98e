/// What a domain is for, `iommu_domain.type`: a set of features in which each usual type is one combination (model.md §1.1).
public struct DomainType: OptionSet, Hashable, Sendable {
    /// The bits as the kernel has them.
    public let rawValue: UInt32

    /// Any bits; those above ``flushQueue`` (SVA, platform, nested) have no meaning here.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `__IOMMU_DOMAIN_PAGING`: there is a page table, and map and unmap are allowed.
    public static let paging = DomainType(rawValue: 1 << 0)
    /// `__IOMMU_DOMAIN_DMA_API`: it serves the kernel's own DMA API.
    public static let dmaAPI = DomainType(rawValue: 1 << 1)
    /// `__IOMMU_DOMAIN_PT`: an IOVA is the physical address.
    public static let passThrough = DomainType(rawValue: 1 << 2)
    /// `__IOMMU_DOMAIN_DMA_FQ` (5.15): unmaps of the DMA API wait for a flush queue.
    public static let flushQueue = DomainType(rawValue: 1 << 3)

    /// `IOMMU_DOMAIN_BLOCKED`: nothing passes.
    public static let blocked: DomainType = []
    /// `IOMMU_DOMAIN_IDENTITY`: everything passes as it is.
    public static let identity: DomainType = .passThrough
    /// `IOMMU_DOMAIN_UNMANAGED`: VFIO, iommufd, GPU drivers.
    public static let unmanaged: DomainType = .paging
    /// `IOMMU_DOMAIN_DMA`: the DMA API, strict.
    public static let dma: DomainType = [.paging, .dmaAPI]
    /// `IOMMU_DOMAIN_DMA_FQ` (5.15): the DMA API, deferred.
    public static let dmaFQ: DomainType = [.paging, .dmaAPI, .flushQueue]
}
