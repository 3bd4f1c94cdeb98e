/// One thing that happened at the IOMMU API, put together from all the events that tell of it.
///
/// A plain value without references: one row of the database's `operation` table.
public struct Operation: Sendable {
    /// What happened. The raw value is what the database stores.
    public enum Kind: UInt8, CaseIterable, Sendable {
        /// `iommu_map`
        case map = 1
        /// `iommu_unmap`, or an unmap of which only the tracepoint is known
        case unmap = 2
        /// `iommu_unmap_fast`
        case unmapFast = 3
        /// `iommu_tlb_sync`, today a driver's `iotlb_sync`
        case sync = 4
        /// `iommu_flush_tlb_all`, today a driver's `flush_iotlb_all`
        case flushAll = 5
        /// a device moves to a domain
        case attach = 6
        /// a device leaves its domain
        case detach = 7
        /// a domain is allocated
        case domainAlloc = 8
        /// a domain is freed
        case domainFree = 9
        /// a device's access faulted
        case ioPageFault = 10
        /// a device joins a group
        case addDeviceToGroup = 11
        /// a device leaves its group
        case removeDeviceFromGroup = 12
        /// somebody wrote to the trace
        case marker = 13
        /// a device's access was translated, as seen by whoever watches the hardware
        case access = 14

        /// The field's word for it.
        public var text: String {
            switch self {
            case .map: "map"
            case .unmap: "unmap"
            case .unmapFast: "unmap_fast"
            case .sync: "sync"
            case .flushAll: "flush_all"
            case .attach: "attach"
            case .detach: "detach"
            case .domainAlloc: "domain_alloc"
            case .domainFree: "domain_free"
            case .ioPageFault: "io_page_fault"
            case .addDeviceToGroup: "add_device_to_group"
            case .removeDeviceFromGroup: "remove_device_from_group"
            case .marker: "marker"
            case .access: "access"
            }
        }

        /// Whether it is an unmap call (design §4 1).
        @inlinable
        public var isUnmap: Bool { self == .unmap || self == .unmapFast }
    }

    /// What else is known of an operation.
    public struct Flags: OptionSet, Sendable {
        /// The bits as the database stores them.
        public let rawValue: UInt8
        /// Flags from the bits that the database stores.
        @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The caller of unmap_fast defers the flush to a queue.
        public static let queued = Flags(rawValue: 1)
        /// Half of VFIO's two-page test for superpages when a device is attached (model.md §2.1).
        public static let attachProbe = Flags(rawValue: 2)
        /// The tracepoint inside the call was seen: the call reached the page table.
        public static let confirmed = Flags(rawValue: 4)
        /// A detach that is the first step of an attach.
        public static let withinAttach = Flags(rawValue: 8)
        /// The call's return is missing, although the log shows returns of others.
        public static let unreturned = Flags(rawValue: 16)
        /// A map that failed: the attempt was seen, its success was not, although the log shows that of others. Or an unmap that
        /// takes back what a failed map had mapped.
        public static let failed = Flags(rawValue: 32)
        /// A probe on the function itself was seen, so its kind is certain: the tracepoint inside is the same for
        /// `iommu_unmap` and `iommu_unmap_fast`.
        public static let byProbe = Flags(rawValue: 64)
        /// `dma_iova_unlink` made the call: since 7.0 it syncs before it returns, in a domain that defers too.
        public static let unlinked = Flags(rawValue: 128)
    }

    /// What caused a recorded flush_all, in ``detail``.
    public enum FlushCause: Int64, Sendable {
        /// The flush queue's timer.
        case timer = 1
        /// A full ring of the flush queue.
        case ringFull = 2
    }

    /// Number in the order of the log, from 1 without gaps.
    public var id: Int64 = 0
    /// Trace clock in ns. For an unmap the moment its page-table entries were clear (design §4 10).
    public var time: Int64 = 0
    /// ns from the call's entry to ``time``, if the entry was recorded.
    public var sinceEntry: Int64?
    /// What happened.
    public var kind: Kind
    /// What else is known.
    public var flags: Flags = []
    /// The CPU of ``time``.
    public var cpu: Int32 = 0
    /// Number of the task, from 1.
    public var task: Int32 = 0
    /// Number of the domain, from 1; 0 if the operation has none.
    public var domain: Int32 = 0
    /// Number of the device, from 1; 0 if the operation has none.
    public var device: Int32 = 0
    /// First byte that it is about.
    public var iova: UInt64?
    /// Bytes asked for; for a sync the bytes of its range.
    public var size: UInt64?
    /// Bytes done: unmapped, or mapped if success was seen.
    public var result: UInt64?
    /// Physical address of a map, or what an access was translated to.
    public var paddr: UInt64?
    /// By kind: access flags of a fault, id of a group, a flush_all's ``FlushCause``, the type argument of a
    /// domain_alloc, the hardware's domain id of an access.
    public var detail: Int64?
    /// How a map's or unmap's domain is known.
    public var grade: Grade?
    /// Line in the log of the event that gave ``time``, from 1.
    public var line: Int64 = 0

    /// An operation of a kind, everything else unknown.
    @inlinable
    public init(_ kind: Kind) { self.kind = kind }
}

/// Something that a driver or the hardware did below the API: a layer of a flush (design §4 4), or what an attach costs.
public struct Layer: Sendable {
    /// What was done. The raw value is what the database stores.
    public enum Kind: UInt8, CaseIterable, Sendable {
        case queueTimeout = 1
        case queueFlush = 2
        case hardwareFlush = 3
        case syncMap = 4
        case cacheTagFlushRange = 5
        case cacheTagFlushRangeNotPresent = 6
        case cacheTagFlushAll = 7
        case contextInvalidation = 10
        case iotlbInvalidation = 11
        case deviceTLBInvalidation = 12
        case interruptEntryInvalidation = 13
        case wait = 14
        case pasidIOTLBInvalidation = 15
        case pasidCacheInvalidation = 16
        case pasidDeviceTLBInvalidation = 17
        case pageGroupResponse = 18
        case otherDescriptor = 19
        case amdCompletionWait = 20
        case amdInvalidateDeviceEntry = 21
        case amdInvalidatePages = 22
        case amdInvalidateDeviceTLB = 23
        case amdInvalidateInterrupt = 24
        case amdInvalidateAll = 25
        case amdOther = 26
        case armUnseen = 29
        case armCommands = 30
        case armInvalidation = 31

        /// Its name: the event's, or for a command the driver's.
        public var text: String {
            switch self {
            case .queueTimeout: "fq_timeout"
            case .queueFlush: "fq_flush"
            case .hardwareFlush: "hw_flush"
            case .syncMap: "sync_map"
            case .cacheTagFlushRange: "cache_tag_flush_range"
            case .cacheTagFlushRangeNotPresent: "cache_tag_flush_range_np"
            case .cacheTagFlushAll: "cache_tag_flush_all"
            case .contextInvalidation: "cc_inv"
            case .iotlbInvalidation: "iotlb_inv"
            case .deviceTLBInvalidation: "dev_tlb_inv"
            case .interruptEntryInvalidation: "iec_inv"
            case .wait: "inv_wait"
            case .pasidIOTLBInvalidation: "p_iotlb_inv"
            case .pasidCacheInvalidation: "pc_inv"
            case .pasidDeviceTLBInvalidation: "p_dev_tlb_inv"
            case .pageGroupResponse: "page_grp_resp"
            case .otherDescriptor: "other_descriptor"
            case .amdCompletionWait: "COMPLETION_WAIT"
            case .amdInvalidateDeviceEntry: "INVALIDATE_DEVTAB_ENTRY"
            case .amdInvalidatePages: "INVALIDATE_IOMMU_PAGES"
            case .amdInvalidateDeviceTLB: "INVALIDATE_IOTLB_PAGES"
            case .amdInvalidateInterrupt: "INVALIDATE_INTERRUPT_TABLE"
            case .amdInvalidateAll: "INVALIDATE_IOMMU_ALL"
            case .amdOther: "other_amd_command"
            case .armUnseen: "cmdq_unseen"
            case .armCommands: "cmdq"
            case .armInvalidation: "TLBI"
            }
        }

        /// Whether it is a command that empties an IOTLB: what a flush is at the hardware layer.
        public var invalidatesIOTLB: Bool {
            switch self {
            case .iotlbInvalidation, .pasidIOTLBInvalidation, .amdInvalidatePages, .amdInvalidateAll, .armInvalidation:
                true
            default: false
            }
        }

        /// Whether it is a command about what the hardware keeps of a device: the device has been given another domain, or none.
        public var invalidatesDeviceEntry: Bool {
            switch self {
            case .contextInvalidation, .pasidCacheInvalidation, .amdInvalidateDeviceEntry: true
            default: false
            }
        }
    }

    /// How much an invalidation names.
    public enum Granularity: UInt8, CaseIterable, Sendable {
        /// Everything.
        case global = 1
        /// One domain id.
        case domain = 2
        /// A range of pages, or for a context-cache invalidation one device.
        case page = 3

        /// The field's word for it.
        public var text: String {
            switch self {
            case .global: "global"
            case .domain: "domain"
            case .page: "page"
            }
        }
    }

    /// Why it was done.
    public enum Cause: UInt8, CaseIterable, Sendable {
        /// Below a sync or flush_all.
        case flush = 1
        /// Beside an attach, a detach or a context-cache invalidation.
        case attach = 2
        /// Below a map: caching mode and AMD's np-cache.
        case map = 3

        /// The word for it.
        public var text: String {
            switch self {
            case .flush: "flush"
            case .attach: "attach"
            case .map: "map"
            }
        }
    }

    /// Number in the order of the log, from 1 without gaps.
    public var id: Int64 = 0
    /// Trace clock in ns.
    public var time: Int64 = 0
    /// What happened.
    public var kind: Kind
    /// Why, if the log shows it.
    public var cause: Cause?
    /// How much it names, if it is an invalidation.
    public var granularity: Granularity?
    /// The CPU that did it.
    public var cpu: Int32 = 0
    /// Number of the task, from 1.
    public var task: Int32 = 0
    /// Number of the domain, 0 if unknown: its flush's, otherwise the one of the last unmap on this CPU.
    public var domain: Int32 = 0
    /// Id of the sync or flush_all that it belongs to; 0 if none.
    public var flush: Int64 = 0
    /// The slot of that operation while its id is not known.
    var flushSlot: Int?
    /// Number of the IOMMU unit, 0 if unknown.
    public var unit: Int32 = 0
    /// Number of the device, 0 if none.
    public var device: Int32 = 0
    /// The domain id that the hardware knows.
    public var hardwareDomain: Int64?
    /// Address operand, as sent: not necessarily aligned to ``mask``.
    public var address: UInt64?
    /// log2 of the 4 KiB pages that the command covers.
    public var mask: Int64?
    /// The invalidation hint: only leaf entries changed.
    public var hint = false
    /// Whether it is the first of a run of IOTLB invalidations: a flush at the hardware layer (design §4 4).
    public var startsRun = false
    /// The raw command where the columns above do not hold all of it.
    public var word0: UInt64?
    /// The next 64 bits of that command.
    public var word1: UInt64?
    /// Line in the log, from 1.
    public var line: Int64 = 0

    /// A layer of a kind, everything else unknown.
    @inlinable
    public init(_ kind: Kind) { self.kind = kind }
}

/// What a trace marker said.
public struct Marker: Hashable, Sendable {
    /// Id of its operation.
    public var operation: Int64
    /// What it says, at most 512 bytes.
    public var text: String
}
