/// What flushes cost at the hardware, counted (model.md §4).
public struct InvalidationCounts: Hashable, Sendable {
    /// Invalidation commands: VT-d IOTLB descriptors, AMD INVALIDATE_IOMMU_PAGES, SMMUv3 TLBI; under the contract range_adds.
    public var commands: Int64 = 0
    /// Those of them that name a whole domain.
    public var domainCommands: Int64 = 0
    /// Completion waits: VT-d wait descriptors, COMPLETION_WAIT, CMD_SYNC; under the contract syncs.
    public var waits: Int64 = 0
    /// 4096-byte pages that the other commands cover.
    public var pages: UInt64 = 0
    /// Those of them that nobody had asked for: ranges are rounded to what a command can name.
    public var overPages: UInt64 = 0

    /// Nothing yet.
    public init() {}

    /// Counts one flush of a whole domain: an `iommu_flush_tlb_all`, or a range too large to be named.
    @inlinable
    public mutating func addDomain() {
        add(commands: 1, domainCommands: 1, waits: 1)
    }

    /// Counts commands and waits; what a hostile log adds up to stops at the largest number.
    @inlinable
    public mutating func add(commands: Int64 = 0, domainCommands: Int64 = 0, waits: Int64 = 0) {
        func sum(_ left: Int64, _ right: Int64) -> Int64 {
            let (sum, overflow) = left.addingReportingOverflow(right)
            return overflow ? .max : sum
        }
        self.commands = sum(self.commands, commands)
        self.domainCommands = sum(self.domainCommands, domainCommands)
        self.waits = sum(self.waits, waits)
    }

    /// Counts one command that covers `pages`, of which `asked` were wanted, without its wait.
    @inlinable
    public mutating func add(pages covered: UInt64, asked: UInt64) {
        add(commands: 1)
        pages &+= covered
        overPages &+= covered &- asked
    }
}
