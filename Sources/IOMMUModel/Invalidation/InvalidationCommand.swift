/// One command to the hardware: a VT-d IOTLB descriptor, an AMD INVALIDATE_IOMMU_PAGES, an SMMUv3 TLBI (model.md §4).
public struct InvalidationCommand: Hashable, Sendable {
    /// The bytes that it covers; `nil` for all of the domain.
    public var range: AddressRange?
    /// The address that it carries: the first byte of ``range``, but for Intel's driver up to 6.11, which leaves it to the
    /// hardware to cut off the low bits. 0 for all of the domain.
    public var address: UInt64
    /// log2 of the 4096-byte pages that it covers; 0 for all of the domain.
    public var mask: Int
    /// Whether paging-structure caches may keep what they have.
    public var hint: InvalidationHint
    /// How many commands it stands for: Arm's go page by page, and a long run of them is kept as one.
    public var count: Int64

    /// One command for a range.
    public init(_ range: AddressRange, address: UInt64? = nil, mask: Int = 0, hint: InvalidationHint, count: Int64 = 1)
    {
        self.range = range
        self.address = address ?? range.start
        self.mask = mask
        self.hint = hint
        self.count = count
    }

    /// One command for all of a domain.
    public static let wholeDomain = InvalidationCommand()

    private init() {
        range = nil
        address = 0
        mask = 0
        hint = .tablesToo
        count = 1
    }
}
