import SeededTable
import TraceFormats

/// What an event tells, whatever its line calls it.
enum EventMeaning {
    /// The tracepoint in `iommu_map`: the map succeeded.
    case mapped
    /// A probe at the entry of `iommu_map`: an attempt.
    case mapEntry
    /// The tracepoint in `__iommu_unmap`, or a probe on it: the entries are clear.
    case unmapped
    case unmapEntry(isFast: Bool)
    case unmapReturn(isFast: Bool)
    case sync
    case flushAll
    case queueTimeout
    case queueFlush
    case hardwareFlush
    case syncMap
    case attachProbe
    case detachProbe
    case attached
    case detached
    case addDeviceToGroup
    case removeDeviceFromGroup
    case domainAlloc
    case domainFree
    case fault
    /// A device's access that was translated.
    case access
    case descriptor
    case cacheTagFlush(Layer.Kind)
    case cacheTagAssignment
    case amdCommand
    case armCommands
    case marker
    /// The DMA API gave a device an address, took it back, or did so with a list of them: names the device of the map or
    /// unmap beside it.
    case dmaMap
    case dmaUnmap
    case dmaMapList
    case dmaUnmapList
    /// A buffer was copied because the device cannot reach its place in memory.
    case bounced
    /// The two-step DMA API is called: it maps or unmaps for a device.
    case twoStep(TwoStepCall.Kind)
    /// The old Intel driver mapped or unmapped for a device by itself, without `iommu_map`.
    case deviceMap
    case deviceUnmap
    /// Tells again what another event told.
    case repeated
    /// A message at the entry of `__iommu_unmap`, and one for each piece that it has removed.
    case unmapMessage
    case unmappedMessage
    case unknown

    /// The meaning of a tracepoint, or of a probe with a known name; `nil` for probes of other names.
    init?(known event: UnsafePointer<TraceEvent>) {
        guard event.pointee.isKnown else {
            self = .unknown
            return
        }
        let name = EventName(event.pointee.name)
        if event.pointee.form == .tracepoint {
            self = Self.tracepoint(name)
        } else if let known = Self.probe(name, isReturn: event.pointee.form == .probeReturn) {
            self = known
        } else {
            return nil
        }
    }

    private static func tracepoint(_ name: EventName?) -> EventMeaning {
        switch name {
        case .map: .mapped
        case .unmap: .unmapped
        case .attachDeviceToDomain: .attached
        case .detachDeviceFromDomain: .detached
        case .addDeviceToGroup: .addDeviceToGroup
        case .removeDeviceFromGroup: .removeDeviceFromGroup
        case .ioPageFault, .faultMessage: .fault
        case .iotlbFill: .access
        case .qiSubmit: .descriptor
        case .cacheTagFlushRange: .cacheTagFlush(.cacheTagFlushRange)
        case .cacheTagFlushRangeNotPresent: .cacheTagFlush(.cacheTagFlushRangeNotPresent)
        case .cacheTagFlushAll: .cacheTagFlush(.cacheTagFlushAll)
        case .cacheTagAssign, .cacheTagUnassign: .cacheTagAssignment
        case .tracingMarkWrite, .print: .marker
        case .dmaMapPage, .dmaMapResource, .dmaMapPhys, .dmaAlloc, .dmaAllocPages: .dmaMap
        case .dmaUnmapPage, .dmaUnmapResource, .dmaUnmapPhys, .dmaFree, .dmaFreePages: .dmaUnmap
        case .dmaMapList, .dmaAllocTable: .dmaMapList
        case .dmaUnmapList, .dmaFreeTable: .dmaUnmapList
        case .bounced: .bounced
        case .mapSingle, .mapList, .bounceMapSingle: .deviceMap
        case .unmapSingle, .unmapList, .bounceUnmapSingle: .deviceUnmap
        case .bounceMapList: .repeated
        default: .unknown
        }
    }

    private static func probe(_ name: EventName?, isReturn: Bool) -> EventMeaning? {
        switch name {
        case .map: isReturn ? nil : .mapEntry
        case .unmap: isReturn ? .unmapReturn(isFast: false) : .unmapEntry(isFast: false)
        case .unmapFast: isReturn ? .unmapReturn(isFast: true) : .unmapEntry(isFast: true)
        case .unmapReturn: .unmapReturn(isFast: false)
        case .unmapFastReturn: .unmapReturn(isFast: true)
        case .unmapped: .unmapped
        case .sync: .sync
        case .flushAll: .flushAll
        case .queueTimeout: .queueTimeout
        case .queueFlush: .queueFlush
        case .hardwareFlush: .hardwareFlush
        case .syncMap: .syncMap
        case .attach: .attachProbe
        case .detach: .detachProbe
        case .domainAlloc: .domainAlloc
        case .domainFree: .domainFree
        case .amdCommand: .amdCommand
        case .armCommands: .armCommands
        case .unmapMessage: .unmapMessage
        case .unmappedMessage: .unmappedMessage
        case .mappingMessage, .iovaSync: .repeated
        case .iovaLink: .twoStep(.link)
        case .iovaUnlink: .twoStep(.unlink)
        case .iovaDestroy: .twoStep(.destroy)
        default: nil
        }
    }

    /// Probes under names of their owner's choice: the function tells (model.md §7.7).
    init(probeAt function: String, isReturn: Bool) {
        self =
            switch function {
            case "__iommu_map", "iommu_map", "iommu_map_nosync": isReturn ? .unknown : .mapEntry
            case "iommu_unmap": isReturn ? .unmapReturn(isFast: false) : .unmapEntry(isFast: false)
            case "iommu_unmap_fast": isReturn ? .unmapReturn(isFast: true) : .unmapEntry(isFast: true)
            case "iommu.unmap": .unmapped
            case "fq_flush_iotlb": isReturn ? .unknown : .queueFlush
            case "fq_flush_timeout": isReturn ? .unknown : .queueTimeout
            case "qi_flush_iotlb": isReturn ? .unknown : .hardwareFlush
            case _ where isReturn:
                function.hasSuffix("_domain_alloc") || function.contains("domain_alloc_paging")
                    || function == "__iommu_paging_domain_alloc_flags" ? .domainAlloc : .unknown
            case "dma_iova_link": .twoStep(.link)
            case "dma_iova_unlink": .twoStep(.unlink)
            case "dma_iova_destroy": .twoStep(.destroy)
            case _ where function.hasSuffix("_tlb_sync") || function.hasSuffix("_iotlb_sync"): .sync
            case _ where function.hasSuffix("_flush_iotlb_all"): .flushAll
            case _ where function.hasSuffix("_attach_device") || function.hasSuffix("_attach_dev"): .attachProbe
            case _ where function.hasSuffix("_domain_free") || function.hasSuffix("_domain_free_paging"): .domainFree
            default: .unknown
            }
    }
}

/// What probes mean whose owners chose their names: worked out once for each place.
struct ProbeMeanings {
    private(set) var meanings = SeededTable<UInt64, EventMeaning>()
    /// A hostile log names a new place on each line.
    private static let limit = 1 << 16

    /// - Parameter names: what the event's symbols stand for.
    mutating func meaning(of event: UnsafePointer<TraceEvent>, _ names: LogNames) -> EventMeaning {
        let key =
            UInt64(event.pointee.location.rawValue) << 32 | UInt64(event.pointee.name.rawValue) << 2
            | UInt64(event.pointee.form.rawValue)
        if let known = meanings[key] { return known }
        let isReturn = event.pointee.form == .probeReturn
        let meaning = EventMeaning(probeAt: names.text(event.pointee.location), isReturn: isReturn)
        if meanings.count > Self.limit { meanings.removeAll() }
        meanings.set(key, meaning)
        return meaning
    }
}
