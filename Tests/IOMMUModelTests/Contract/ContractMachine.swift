import TestSupport

@testable import IOMMUModel

/// One IOMMU with one device in one domain, and its events.
struct ContractMachine {
    var core: IOMMUCore
    private(set) var unit: Int32 = 0
    private(set) var group: Int32 = 0
    private(set) var device: Int32 = 0
    private(set) var domain: Int32 = 0

    /// - Parameter iotlb: entries of the fully associative IOTLB: as good as infinite for the tests that use fewer pages.
    init(
        _ driver: DriverModel, era: InterfaceEra, type: DomainType = .unmanaged, iotlb: Int = 4096,
        ats: Bool = false, pageLimit: UInt64 = RadixPageTable.pageLimit
    ) throws {
        core = IOMMUCore(era: era, pageLimit: pageLimit)
        unit = core.addUnit(iotlb: CacheGeometry(entries: iotlb))
        domain = core.allocateDomain(type, driver: driver)
        group = try core.makeGroup()
        device = try core.addDevice(group: group, unit: unit, tlb: ats ? CacheGeometry(entries: iotlb) : nil)
        try core.attachDevice(device, to: domain)
        _ = core.takeEvents()
        core.counts = ContractCounts()
    }

    var table: RadixPageTable? { core.domain(domain)?.table }

    mutating func map(_ iova: UInt64, to paddr: UInt64, _ size: UInt64) throws(IOMMUError) {
        try core.map(domain, iova: iova, paddr: paddr, size: size)
    }

    mutating func unmap(_ iova: UInt64, _ size: UInt64) -> UInt64 { core.unmap(domain, iova: iova, size: size) }

    /// `iommu_unmap_fast` with a gather that nobody syncs.
    mutating func unmapFast(_ iova: UInt64, _ size: UInt64) -> UInt64 {
        var gather = Gather()
        return core.unmapFast(domain, iova: iova, size: size, gather: &gather)
    }

    mutating func sync() {
        var gather = Gather()
        core.tlbSync(domain, gather: &gather)
    }

    /// What the device gets at an address; `nil` where it faults.
    mutating func read(_ iova: UInt64) -> (paddr: UInt64, isStale: Bool)? {
        guard case .translated(let paddr, _, let isStale) = core.access(device: device, iova: iova) else { return nil }
        return (paddr, isStale)
    }

    func isMapped(_ iova: UInt64) -> Bool { table?.physicalAddress(of: iova) != nil }

    /// What the IOTLB holds.
    var entries: Set<IOTLB.Entry> {
        var entries: Set<IOTLB.Entry> = []
        core.unit(unit)?.iotlb?.forEachEntry { entries.insert($0) }
        return entries
    }

    var leaves: [RadixPageTable.Leaf] {
        var leaves: [RadixPageTable.Leaf] = []
        table?.forEachLeaf { leaves.append($0) }
        return leaves
    }
}

/// Bytes at an address; what is empty or wraps around is a mistake of the test.
func bytes(_ start: UInt64, _ size: UInt64) -> AddressRange {
    AddressRange(start: start, size: size) ?? .everything
}

/// Every format of page tables in every driver era: the list of the page tables' own tests.
let namedFormats = RadixPageTableTests.namedFormats

let fourK: UInt64 = 0x1000
let twoM: UInt64 = 0x20_0000
let oneG: UInt64 = 0x4000_0000
