/// Devices that no IOMMU can tell apart, `struct iommu_group`: all of them are in one domain.
public struct IOMMUGroup: Sendable {
    /// What it is called by.
    public let number: Int32
    /// The domain that it is in while nobody asks for another one; `nil` with drivers that know none.
    public let defaultDomain: Int32?
    /// The domain that it is in.
    public internal(set) var domain: Int32?
    /// Its devices, in the order in which they came.
    public internal(set) var devices: [Int32] = []
}

/// A device behind an IOMMU.
public struct IOMMUDevice: Sendable {
    /// What it is called by.
    public let number: Int32
    /// Its group; `nil` once it has been removed.
    public internal(set) var group: Int32?
    /// The IOMMU that translates for it.
    public let unit: Int32
    /// The domain that the hardware knows for it: that of the group, but where the attach is deferred or failed.
    public internal(set) var domain: Int32?
    /// What firmware says about its addresses, `iommu_get_resv_regions`.
    public let reservedRegions: [ReservedRegion]
    /// The driver puts attaches off until the device is used, as in a kernel that dumps another one: `is_attach_deferred`.
    public internal(set) var isAttachDeferred: Bool
    /// What `attach_dev` fails with for this device, if it does.
    public let attachError: IOMMUError?
    /// Its own translations, with ATS.
    public internal(set) var tlb: DeviceTLB?
}

/// Addresses that are not free for use, `struct iommu_resv_region`.
public struct ReservedRegion: Hashable, Sendable {
    /// What they are reserved for.
    public enum Kind: Hashable, Sendable {
        /// Mapped to themselves for the device's firmware: RMRR of VT-d, unity maps of AMD's IVMD.
        case direct
        /// Never mapped.
        case reserved
        /// Interrupts of devices are written there.
        case messageInterrupts
    }

    /// Address of the first byte.
    public var start: UInt64
    /// Bytes.
    public var length: UInt64
    /// What for.
    public var kind: Kind

    /// A region.
    public init(start: UInt64, length: UInt64, kind: Kind = .direct) {
        self.start = start
        self.length = length
        self.kind = kind
    }
}
