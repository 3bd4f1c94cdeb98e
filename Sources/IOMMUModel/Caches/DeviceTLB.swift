/// The translations that one device keeps for itself under ATS (model.md §4, §5).
///
/// A device asks the IOMMU for a translation and uses it from then on without asking again, so nothing that empties the
/// IOTLB empties this: only device-TLB commands do, VT-d's device-TLB descriptor, AMD's INVALIDATE_IOTLB_PAGES and
/// SMMUv3's ATC_INV.
public struct DeviceTLB: Sendable {
    /// Whose it is; devices are small dense numbers.
    public let device: Int32
    private var cache: IOTLB

    /// An empty one.
    public init(device: Int32, _ geometry: CacheGeometry) {
        self.device = device
        cache = IOTLB(geometry)
    }

    /// Size and replacement.
    public var geometry: CacheGeometry { cache.geometry }
    /// What happened so far.
    public var counters: CacheCounters { cache.counters }
    /// Entries held now.
    public var count: Int { cache.count }

    /// What `iova` translates to in `domain`; see ``IOTLB/lookup(domain:iova:)``.
    public mutating func lookup(domain: Int32, iova: UInt64) -> IOTLB.Hit? {
        cache.lookup(domain: domain, iova: iova)
    }

    /// Caches the translation of the page around `iova`; see ``IOTLB/fill(domain:iova:target:size:evicted:)``.
    @discardableResult
    public mutating func fill(
        domain: Int32, iova: UInt64, target: UInt64, size: UInt64, evicted: (IOTLB.Entry) -> Void = { _ in }
    ) -> Bool {
        cache.fill(domain: domain, iova: iova, target: target, size: size, evicted: evicted)
    }

    /// The smallest aligned block that holds the 4096-byte pages of `range`: what one command can name.
    ///
    /// All three vendors' drivers round so: VT-d by its mask, AMD by the address's low ones, SMMUv3 by
    /// `fls(start XOR end)`.
    public static func block(holding range: AddressRange) -> AddressRange {
        let pages = range.roundedOut(to: 4096)
        let mask = UInt64.max >> UInt64((pages.start ^ pages.last).leadingZeroBitCount)
        return AddressRange(uncheckedStart: pages.start & ~mask, last: pages.last | mask)
    }

    /// One command for `range`: removes each entry that shares a byte with the ``block(holding:)``, whatever its
    /// domain, for the command names the device and an address only.
    ///
    /// - Parameter killed: called with each of them, in no order to rely on.
    /// - Returns: how many they were.
    @discardableResult
    public mutating func invalidate(_ range: AddressRange, killed: (IOTLB.Entry) -> Void = { _ in }) -> Int {
        cache.invalidate(Self.block(holding: range), killed: killed)
    }

    /// One command with a PASID, and thus for one `domain`.
    ///
    /// - Parameter killed: called with each removed entry, in no order to rely on.
    /// - Returns: how many they were.
    @discardableResult
    public mutating func invalidate(
        domain: Int32, _ range: AddressRange, killed: (IOTLB.Entry) -> Void = { _ in }
    ) -> Int {
        cache.invalidate(domain: domain, Self.block(holding: range), killed: killed)
    }

    /// One command with a PASID for the whole address space.
    ///
    /// - Parameter killed: called with each removed entry, in no order to rely on.
    /// - Returns: how many they were.
    @discardableResult
    public mutating func invalidateDomain(_ domain: Int32, killed: (IOTLB.Entry) -> Void = { _ in }) -> Int {
        cache.invalidateDomain(domain, killed: killed)
    }

    /// One command for the whole address space: address 0 and mask 52 with VT-d.
    ///
    /// - Parameter killed: called with each removed entry, in no order to rely on.
    /// - Returns: how many they were.
    @discardableResult
    public mutating func invalidateAll(killed: (IOTLB.Entry) -> Void = { _ in }) -> Int {
        cache.invalidateAll(killed: killed)
    }

    /// Calls `body` with each entry, in no order to rely on.
    public func forEachEntry(_ body: (IOTLB.Entry) -> Void) { cache.forEachEntry(body) }
}
