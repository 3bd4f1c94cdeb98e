/// An address space that devices can be attached to, `struct iommu_domain` (model.md §1.1).
public struct IOMMUDomain: Sendable {
    /// What it is called by, and its tag in caches.
    public let number: Int32
    /// What it is for.
    public let type: DomainType
    /// Whose callbacks it has.
    public let driver: DriverModel
    /// `pgsize_bitmap`: the driver's at first, and perhaps narrowed since; `nil` is a bitmap of 0.
    public internal(set) var pageSizes: PageSizes?
    /// The page table of a paging domain.
    public internal(set) var table: RadixPageTable?
    /// Devices that translate through it now, in the order in which they came.
    public internal(set) var devices: [Int32] = []
    /// Ranges added since the last sync, up to 5.3: the driver has no other place for them than the domain, so that one
    /// caller's sync flushes what another one has added. Neighbours are joined.
    public private(set) var rangesToSync: [AddressRange] = []
    /// Page-table pages wait for the next flush to be freed.
    private(set) var holdsTables = false

    init(number: Int32, type: DomainType, driver: DriverModel, memoryLimit: Int) {
        self.number = number
        self.type = type
        self.driver = driver
        pageSizes = driver.format.pageSizes
        if type.contains(.paging) { table = RadixPageTable(format: driver.format, memoryLimit: memoryLimit) }
    }

    func has(_ callback: DriverModel.Callbacks) -> Bool { driver.callbacks.contains(callback) }

    /// The page sizes, if the domain can be mapped or unmapped at all; `nil` is `-ENODEV`.
    func pageSizes(with callback: DriverModel.Callbacks) -> PageSizes? { has(callback) ? pageSizes : nil }

    mutating func addTables() { holdsTables = true }

    mutating func addRangeToSync(_ added: AddressRange) {
        guard let held = rangesToSync.last, held.last < .max, held.last + 1 == added.start else {
            rangesToSync.append(added)
            return
        }
        rangesToSync[rangesToSync.count - 1] = AddressRange(uncheckedStart: held.start, last: added.last)
    }

    mutating func takeRangesToSync() -> (ranges: [AddressRange], holdsTables: Bool) {
        defer {
            rangesToSync = []
            holdsTables = false
        }
        return (rangesToSync, holdsTables)
    }
}
