/// The event names that later stages know, with fixed symbol numbers so that they can be switched on.
///
/// Tracepoints are the kernel's (model.md §7.1). Probe names are those of the recording recipe (README of the lab's
/// logs); a probe of another name is recognised by the function that it probes.
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
