/// What flushes cost at the hardware, counted (model.md §4).
public struct InvalidationCounts: Hashable, Sendable {
    /// Invalidation commands: VT-d IOTLB descriptors, AMD INVALIDATE_IOMMU_PAGES, SMMUv3 TLBI; under the contract range_adds.
    public var commands: Int64 = 0
    /// Those of them that name a whole domain.
    public var domainCommands: Int64 = 0
    /// Those of ``commands`` that are not the first before their wait: a submission takes its first one along.
    public var furtherCommands: Int64 = 0
    /// Completion waits: VT-d wait descriptors, COMPLETION_WAIT, CMD_SYNC; under the contract syncs.
    public var waits: Int64 = 0
    /// Commands to devices with a TLB of their own: VT-d device-TLB descriptors, AMD INVALIDATE_IOTLB_PAGES, SMMUv3 ATC_INV.
    public var deviceTLBCommands: Int64 = 0
    /// 4096-byte pages that the other commands cover.
    public var pages: UInt64 = 0
    /// Those of them that nobody had asked for: ranges are rounded to what a command can name.
    public var overPages: UInt64 = 0
    /// Whether commands were sent that no wait has followed yet.
    @usableFromInline var isOpen = false

    /// Nothing yet.
    public init() {}

    /// Counts one flush of a whole domain: an `iommu_flush_tlb_all`, or a range too large to be named.
    @inlinable
    public mutating func addDomain() {
        add(commands: 1, domainCommands: 1, waits: 1)
    }

    /// Counts commands and the waits that follow them; what a hostile log adds up to stops at the largest number.
    @inlinable
    public mutating func add(commands: Int64 = 0, domainCommands: Int64 = 0, waits: Int64 = 0) {
        let first = max(max(waits, commands > 0 ? 1 : 0) - (isOpen ? 1 : 0), 0)
        furtherCommands = Self.sum(furtherCommands, max(commands - first, 0))
        isOpen = waits == 0 && (isOpen || commands > 0)
        self.commands = Self.sum(self.commands, commands)
        self.domainCommands = Self.sum(self.domainCommands, domainCommands)
        self.waits = Self.sum(self.waits, waits)
    }

    @inlinable
    static func sum(_ left: Int64, _ right: Int64) -> Int64 {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? .max : sum
    }

    /// Adds what somebody else's flushes cost.
    public mutating func add(_ other: InvalidationCounts) {
        commands = Self.sum(commands, other.commands)
        domainCommands = Self.sum(domainCommands, other.domainCommands)
        furtherCommands = Self.sum(furtherCommands, other.furtherCommands)
        waits = Self.sum(waits, other.waits)
        deviceTLBCommands = Self.sum(deviceTLBCommands, other.deviceTLBCommands)
        pages &+= other.pages
        overPages &+= other.overPages
    }

    /// Counts one command that covers `pages`, of which `asked` were wanted, without its wait.
    @inlinable
    public mutating func add(pages covered: UInt64, asked: UInt64) {
        add(commands: 1)
        pages &+= covered
        overPages &+= covered &- asked
    }

    /// The same flushes for a domain with more IOMMUs, and with devices that have TLBs.
    ///
    /// Each wait here is one submission. VT-d up to 6.11 waits for each descriptor by itself; from 6.12 on descriptors of one
    /// IOMMU go in batches of 16, with one wait each (all devices are taken to be behind one IOMMU); AMD waits once for each
    /// IOMMU, and so does RISC-V; SMMUv3 syncs once more behind the device commands (model.md §4.1 to §4.5). Maps do not touch device TLBs.
    ///
    /// - Parameter mapWaits: those of ``waits`` that maps asked for.
    func multiplied(for hardware: Hardware, ofMaps mapWaits: Int64) -> InvalidationCounts {
        let (units, devices) = (Int64(hardware.units), Int64(hardware.deviceTLBs))
        guard hardware.profile != .contract, units > 1 || devices > 0 else { return self }
        func product(_ left: Int64, _ right: Int64) -> Int64 {
            let (product, overflow) = left.multipliedReportingOverflow(by: right)
            return overflow ? .max : product
        }
        let flushes = waits &- mapWaits
        let waitsOfFlush: Int64 =
            switch hardware.profile.driver {
            case .none: 1
            case .intel where hardware.profile == .vtd419 || hardware.profile == .vtd61: units + devices
            case .intel: units - 1 + (1 + devices + 15) / 16
            case .amd, .riscv: units
            case .arm: devices > 0 ? units * 2 : units
            }
        var all = self
        all.commands = product(commands, units)
        all.domainCommands = product(domainCommands, units)
        all.furtherCommands = product(furtherCommands, units)
        all.deviceTLBCommands = product(flushes, devices)
        all.waits = Self.sum(product(flushes, waitsOfFlush), product(mapWaits, units))
        return all
    }
}
