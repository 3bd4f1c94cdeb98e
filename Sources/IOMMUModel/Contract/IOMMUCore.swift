/// One machine's IOMMUs under the kernel's IOMMU interface: what `drivers/iommu/iommu.c` does, without the drivers below.
///
/// This is the contract layer of the model (model.md §10): functions have the names of the kernel's and return what they
/// return, in the ``InterfaceEra`` asked for. Under it lie page tables in the driver's format, an IOTLB for each IOMMU and a
/// device TLB for each ATS device, where asked for; a translation that a device gets from one of them can be stale. What a
/// kernel would have traced, and what reached the hardware, is in ``events``.
///
/// Domains, groups, devices and IOMMUs are named by small numbers, from 1. A number that names nothing is an invalid argument.
/// No value from outside makes a call trap, and none makes it take longer than ``pageLimit`` pages and the tables that exist.
///
/// - `IOMMUCore+Map.swift`: `iommu_map`, `iommu_map_sg`, `iommu_iova_to_phys`
/// - `IOMMUCore+Unmap.swift`: `iommu_unmap`, `iommu_unmap_fast`, `__iommu_dma_unmap`
/// - `IOMMUCore+Flush.swift`: `iommu_tlb_range_add`, `iommu_tlb_sync`, `iommu_flush_tlb_all`
/// - `IOMMUCore+Attach.swift`: `iommu_attach_device`, `iommu_detach_device` and those for groups
/// - `IOMMUCore+Direct.swift`: `iommu_group_create_direct_mappings`
/// - `IOMMUCore+Access.swift`: what a device sees
public struct IOMMUCore: Sendable {
    /// An IOMMU.
    public struct Unit: Sendable {
        /// What it is called by.
        public let number: Int32
        /// Its cache of translations, if it is simulated.
        public internal(set) var iotlb: IOTLB?
    }

    /// The kernel that is followed.
    public let era: InterfaceEra
    /// Most pages that one call maps, and callbacks of one page that one call makes; none of a kernel's limits.
    public let pageLimit: UInt64
    /// Whether ``events`` are kept. Counts always are.
    public var keepsEvents = true
    /// What happened since the last ``takeEvents()``, in order. They grow until they are taken.
    public private(set) var events: [ContractEvent] = []
    /// How much happened.
    public internal(set) var counts = ContractCounts()

    var units: [Unit] = []
    var devices: [IOMMUDevice] = []
    var groups: [IOMMUGroup] = []
    /// `nil` where a domain was freed: numbers are not used again.
    var domains: [IOMMUDomain?] = []

    /// A machine without IOMMUs.
    public init(era: InterfaceEra, pageLimit: UInt64 = RadixPageTable.pageLimit) {
        self.era = era
        self.pageLimit = min(pageLimit, RadixPageTable.pageLimit)
    }

    /// Hands over ``events`` and forgets them.
    public mutating func takeEvents() -> [ContractEvent] {
        defer { events = [] }
        return events
    }

    mutating func record(_ event: ContractEvent) {
        if keepsEvents { events.append(event) }
    }

    // MARK: - What there is

    /// Adds an IOMMU.
    ///
    /// - Parameter iotlb: its cache; without one every access walks the page table, and nothing is ever stale.
    public mutating func addUnit(iotlb: CacheGeometry? = nil) -> Int32 {
        let number = Int32(truncatingIfNeeded: units.count + 1)
        units.append(Unit(number: number, iotlb: iotlb.map { IOTLB($0) }))
        return number
    }

    /// Makes a domain, `iommu_domain_alloc`: `pgsize_bitmap` is copied from the driver's (model.md §1.2).
    ///
    /// One of type DMA-FQ is a DMA domain in eras without that type, and with drivers that cannot defer (model.md §2.7).
    ///
    /// - Parameter memoryLimit: bytes that its page tables may take.
    public mutating func allocateDomain(
        _ type: DomainType, driver: DriverModel, memoryLimit: Int = RadixPageTable.defaultMemoryLimit
    ) -> Int32 {
        var type = type
        if !era.hasFlushQueueDomains || !driver.canDeferFlushes { type.remove(.flushQueue) }
        let number = Int32(truncatingIfNeeded: domains.count + 1)
        domains.append(IOMMUDomain(number: number, type: type, driver: driver, memoryLimit: memoryLimit))
        return number
    }

    /// Narrows a domain's `pgsize_bitmap`, as drivers do once they know the hardware (model.md §1.2).
    ///
    /// - Parameter bitmap: sizes that stay; 0 leaves none, and maps fail from then on.
    public mutating func narrowPageSizes(of domain: Int32, to bitmap: UInt64) {
        withDomain(domain) { $0.pageSizes = PageSizes(bitmap: bitmap & ($0.pageSizes?.bitmap ?? 0)) }
    }

    /// Ends a domain, `iommu_domain_free`.
    ///
    /// - Throws: ``IOMMUError/busy`` while a group is in it or a device attached, where a kernel would be left with a pointer to
    ///   nothing.
    public mutating func freeDomain(_ number: Int32) throws(IOMMUError) {
        guard let devices = domain(number)?.devices else { throw .invalid }
        guard devices.isEmpty, !groups.contains(where: { $0.domain == number || $0.defaultDomain == number })
        else { throw .busy }
        domains[Int(number) - 1] = nil
    }

    /// Makes a group, `iommu_group_alloc`.
    ///
    /// - Parameter defaultDomain: the domain that its devices are in at first.
    /// - Throws: ``IOMMUError/invalid`` if there is no such domain.
    public mutating func makeGroup(defaultDomain: Int32? = nil) throws(IOMMUError) -> Int32 {
        if let defaultDomain, domain(defaultDomain) == nil { throw .invalid }
        let number = Int32(truncatingIfNeeded: groups.count + 1)
        groups.append(IOMMUGroup(number: number, defaultDomain: defaultDomain, domain: defaultDomain))
        return number
    }

    /// A domain; `nil` if there is none with this number, or no more.
    ///
    /// It is a copy. As long as one is held, a change makes the machine copy all tables of the domain.
    public func domain(_ number: Int32) -> IOMMUDomain? {
        Self.position(number, in: domains).flatMap { domains[$0] }
    }

    /// A group; `nil` if there is none with this number.
    public func group(_ number: Int32) -> IOMMUGroup? { Self.position(number, in: groups).map { groups[$0] } }

    /// A device; `nil` if there is none with this number.
    public func device(_ number: Int32) -> IOMMUDevice? { Self.position(number, in: devices).map { devices[$0] } }

    /// An IOMMU; `nil` if there is none with this number.
    public func unit(_ number: Int32) -> Unit? { Self.position(number, in: units).map { units[$0] } }

    static func position<Element>(_ number: Int32, in elements: [Element]) -> Int? {
        let position = Int(number) - 1
        return elements.indices.contains(position) ? position : nil
    }

    /// Changes a domain where it stands, without a copy of its tables; does nothing if there is none.
    mutating func withDomain(_ number: Int32, _ body: (inout IOMMUDomain) -> Void) {
        guard let position = Self.position(number, in: domains) else { return }
        if var domain = domains[position].take() {
            body(&domain)
            domains[position] = domain
        }
    }
}
