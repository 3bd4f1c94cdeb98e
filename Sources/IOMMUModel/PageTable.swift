/// What a domain has mapped: the truth that caches may lag behind.
///
/// Which leaves a map gets is the kernel's choice, ``PageSizes``.
public struct PageTable: Sendable {
    /// Leaves of one size, contiguous in both address spaces; its target is a physical address.
    public typealias Run = TranslationMap.Run
    /// What an unmap found.
    public typealias Unmapped = TranslationMap.Removed

    private var leaves = TranslationMap()

    /// Nothing mapped.
    public init() {}

    /// Bytes mapped now.
    public var mappedBytes: UInt64 { leaves.bytes }
    /// Runs held now.
    public var runCount: Int { leaves.runCount }

    /// Tag of the first mapping that the latest map found in its place; as it was if it found none.
    public private(set) var replacedTag: Int64 = 0

    /// Maps `range` to `paddr` and on, in the leaves that the kernel would choose.
    ///
    /// Whatever was mapped there is replaced, as AMD drivers of today do; other drivers refuse or keep the old entry
    /// (model.md §3.2).
    ///
    /// - Parameter tag: what the owner of the table wants to know the mapping by.
    /// - Returns: bytes that had been mapped in `range` before.
    public mutating func map(_ range: AddressRange, to paddr: UInt64, sizes: PageSizes, tag: Int64 = 0) -> UInt64 {
        let whole = range.roundedOut(to: sizes.granule)
        let physical = paddr & ~(sizes.granule &- 1)
        var replaced: UInt64 = 0
        var iova = whole.start
        var left = whole.size & ~(sizes.granule &- 1)
        while left > 0 {
            let target = physical &+ (iova &- whole.start)
            guard let callback = sizes.callback(iova: iova, paddr: target, size: left),
                let run = AddressRange(start: iova, size: callback.size)
            else { break }
            let bytes = leaves.replace(
                with: Run(range: run, target: target, pageSize: callback.pageSize, tag: tag))
            if bytes > 0, replaced == 0 { replacedTag = leaves.replacedTag }
            replaced &+= bytes
            iova = iova &+ callback.size
            left &-= callback.size
        }
        return replaced
    }

    /// Removes all translations in `range`.
    ///
    /// A leaf that reaches beyond the range keeps its other part, in 4 KiB leaves, as Arm drivers up to 6.12 split it.
    public mutating func unmap(_ range: AddressRange) -> Unmapped { leaves.remove(range) }

    /// Removes all translations in `range` and appends them to `pieces`, in order of address.
    public mutating func unmap(_ range: AddressRange, into pieces: inout ContiguousArray<Run>?) -> Unmapped {
        leaves.remove(range, into: &pieces)
    }

    /// The physical address behind `iova`, `iommu_iova_to_phys`; `nil` where nothing is mapped.
    public func physicalAddress(of iova: UInt64) -> UInt64? { leaves.target(of: iova) }

    /// One page of the table.
    public struct Leaf: Hashable, Sendable {
        /// What the address that was asked for points to.
        public let target: UInt64
        /// Bytes of the page, a power of two.
        public let size: UInt64

        /// A page of `size` bytes.
        public init(target: UInt64, size: UInt64) {
            self.target = target
            self.size = size
        }
    }

    /// The page that maps `iova`, as a walk of the table finds it; `nil` where nothing is mapped.
    public func leaf(of iova: UInt64) -> Leaf? {
        leaves.run(of: iova).map { Leaf(target: $0.target &+ (iova - $0.range.start), size: $0.pageSize) }
    }

    /// The leaves in one run that `iova` lies in; `nil` where nothing is mapped.
    public func run(of iova: UInt64) -> Run? { leaves.run(of: iova) }

    /// Calls `body` with each run that shares a byte with `range`, in order of address.
    public func forEachRun(overlapping range: AddressRange, _ body: (Run) -> Void) {
        leaves.forEachRun(overlapping: range, body)
    }
}
