/// The event names that later stages know, with fixed symbol numbers so that they can be switched on.
///
/// Tracepoints are the kernel's (model.md §7.1). Probe names are those of docs/recording.md; a probe of another name is
/// recognised by the function that it probes.
@frozen public enum EventName: UInt32, CaseIterable, Sendable {
    // Tracepoints, some of them also names of probes.
    case map = 2
    case unmap
    case addDeviceToGroup
    case removeDeviceFromGroup
    case attachDeviceToDomain
    case detachDeviceFromDomain
    case ioPageFault
    case qiSubmit
    case cacheTagAssign
    case cacheTagUnassign
    case cacheTagFlushRange
    case cacheTagFlushRangeNotPresent
    case cacheTagFlushAll
    case tracingMarkWrite
    case print
    // Probes.
    case unmapFast
    case unmapped
    case unmapReturn
    case unmapFastReturn
    case sync
    case syncMap
    case flushAll
    case queueFlush
    case queueTimeout
    case attach
    case detach
    case domainAlloc
    case domainFree
    case hardwareFlush
    case amdCommand
    case armCommands
    // Of whoever watches the hardware from outside, such as a hypervisor; `tools/qemu-accesses` writes it.
    case iotlbFill
    // Tracepoints of the DMA API (model.md §7.6), the `_phys` ones since 6.18.
    case dmaMapPage
    case dmaMapResource
    case dmaMapPhys
    case dmaUnmapPage
    case dmaUnmapResource
    case dmaUnmapPhys
    case dmaAlloc
    case dmaAllocPages
    case dmaAllocTable
    case dmaFree
    case dmaFreePages
    case dmaFreeTable
    case dmaMapList
    case dmaUnmapList
    case bounced
    // Tracepoints of the Intel driver's own DMA API, 5.4 to 5.11 (model.md §7.5); vendors have a map_sg too.
    case mapSingle
    case mapList
    case unmapSingle
    case unmapList
    case bounceMapSingle
    case bounceMapList
    case bounceUnmapSingle
    // Dynamic-debug messages of the IOMMU core, under names that are made up here.
    case unmapMessage
    case unmappedMessage
    case mappingMessage
    // Probes on the two-step DMA API.
    case iovaLink
    case iovaSync
    case iovaUnlink
    case iovaDestroy
    // What IOMMU drivers write into the kernel log of a fault, under a name that is made up here.
    case faultMessage

    /// The name as logs have it.
    public var text: String {
        switch self {
        case .map: "map"
        case .unmap: "unmap"
        case .addDeviceToGroup: "add_device_to_group"
        case .removeDeviceFromGroup: "remove_device_from_group"
        case .attachDeviceToDomain: "attach_device_to_domain"
        case .detachDeviceFromDomain: "detach_device_from_domain"
        case .ioPageFault: "io_page_fault"
        case .qiSubmit: "qi_submit"
        case .cacheTagAssign: "cache_tag_assign"
        case .cacheTagUnassign: "cache_tag_unassign"
        case .cacheTagFlushRange: "cache_tag_flush_range"
        case .cacheTagFlushRangeNotPresent: "cache_tag_flush_range_np"
        case .cacheTagFlushAll: "cache_tag_flush_all"
        case .tracingMarkWrite: "tracing_mark_write"
        case .print: "print"
        case .unmapFast: "unmap_fast"
        case .unmapped: "unmapped"
        case .unmapReturn: "unmap_ret"
        case .unmapFastReturn: "unmap_fast_ret"
        case .sync: "sync"
        case .syncMap: "sync_map"
        case .flushAll: "flush_all"
        case .queueFlush: "fq_flush"
        case .queueTimeout: "fq_timeout"
        case .attach: "attach"
        case .detach: "detach"
        case .domainAlloc: "domain_alloc"
        case .domainFree: "domain_free"
        case .hardwareFlush: "hw_flush"
        case .amdCommand: "amd_cmd"
        case .armCommands: "cmdq"
        case .iotlbFill: "iotlb_fill"
        case .dmaMapPage: "dma_map_page"
        case .dmaMapResource: "dma_map_resource"
        case .dmaMapPhys: "dma_map_phys"
        case .dmaUnmapPage: "dma_unmap_page"
        case .dmaUnmapResource: "dma_unmap_resource"
        case .dmaUnmapPhys: "dma_unmap_phys"
        case .dmaAlloc: "dma_alloc"
        case .dmaAllocPages: "dma_alloc_pages"
        case .dmaAllocTable: "dma_alloc_sgt"
        case .dmaFree: "dma_free"
        case .dmaFreePages: "dma_free_pages"
        case .dmaFreeTable: "dma_free_sgt"
        case .dmaMapList: "dma_map_sg"
        case .dmaUnmapList: "dma_unmap_sg"
        case .bounced: "swiotlb_bounced"
        case .mapSingle: "map_single"
        case .mapList: "map_sg"
        case .unmapSingle: "unmap_single"
        case .unmapList: "unmap_sg"
        case .bounceMapSingle: "bounce_map_single"
        case .bounceMapList: "bounce_map_sg"
        case .bounceUnmapSingle: "bounce_unmap_single"
        case .unmapMessage: "unmap_this"
        case .unmappedMessage: "unmapped_part"
        case .mappingMessage: "mapping"
        case .iovaLink: "dma_iova_link"
        case .iovaSync: "dma_iova_sync"
        case .iovaUnlink: "dma_iova_unlink"
        case .iovaDestroy: "dma_iova_destroy"
        case .faultMessage: "fault_message"
        }
    }

    /// The known name with this symbol.
    @inlinable
    public init?(_ symbol: Symbol) {
        self.init(rawValue: symbol.rawValue)
    }

    /// The name's symbol.
    @inlinable
    public var symbol: Symbol { Symbol(rawValue: rawValue) }
}
