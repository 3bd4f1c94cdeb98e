/// Whether an invalidation reaches the paging-structure caches (model.md §4.1, §4.2).
public enum InvalidationHint: Hashable, Sendable {
    /// Only leaves changed, paging-structure caches keep what they have: VT-d's IH=1, AMD's PDE=0.
    case leavesOnly
    /// Tables changed or were freed, what leads to the range goes too: VT-d's IH=0, AMD's PDE=1, which Linux always sets.
    case tablesToo
}

/// Paging-structure caches: which page table a walk may start at instead of the root (model.md §5).
///
/// Levels are counted from the leaves: a table of level 0 holds 4 KiB leaves. An entry of level n is what a table of level
/// n says about one of level n-1, and stands for all addresses below it: 2 MiB at level 1 of a table with 9 bits a level.
/// A walk reads one table of each level from the lowest that is cached down to its leaf.
public struct WalkCache: Sendable {
    /// The page table that is walked.
    public struct Shape: Hashable, Sendable {
        /// Tables from the root to a smallest leaf.
        public let levels: Int
        /// Log2 of the smallest page.
        public let pageShift: Int
        /// Log2 of the entries of one table.
        public let bitsPerLevel: Int

        /// Four levels of 9 bits over 4 KiB pages: 48 bits of address, what VT-d, AMD and Arm have in common.
        public static let fourLevels = Shape(uncheckedLevels: 4, pageShift: 12, bitsPerLevel: 9)

        /// A page table; `nil` unless it has 1 to 6 levels of 1 to 16 bits and pages of 4096 to 65536 bytes.
        public init?(levels: Int, pageShift: Int, bitsPerLevel: Int) {
            guard (1...6).contains(levels), (12...16).contains(pageShift), (1...16).contains(bitsPerLevel) else {
                return nil
            }
            self.init(uncheckedLevels: levels, pageShift: pageShift, bitsPerLevel: bitsPerLevel)
        }

        private init(uncheckedLevels levels: Int, pageShift: Int, bitsPerLevel: Int) {
            self.levels = levels
            self.pageShift = pageShift
            self.bitsPerLevel = bitsPerLevel
        }

        /// The level whose table holds leaves of `size` bytes; sizes between two levels are written at the lower one.
        public func level(ofLeaf size: UInt64) -> Int {
            let shift = 63 - max(size, 1).leadingZeroBitCount
            return min(max((shift - pageShift) / bitsPerLevel, 0), levels - 1)
        }

        /// Bytes that one entry of a table of `level` stands for; `nil` where 64 bits do not hold them.
        func span(ofLevel level: Int) -> UInt64? {
            let shift = pageShift + bitsPerLevel * level
            return shift < 64 ? 1 << UInt64(shift) : nil
        }
    }

    /// What one walk cost.
    public struct Walk: Hashable, Sendable {
        /// The level of the entry that it started from; `nil` if it started at the root.
        public let hitLevel: Int?
        /// Tables that it read in memory, its leaf's included.
        public let memoryReads: Int
    }

    /// The page table that is walked.
    public let shape: Shape
    /// One cache for each level from 1 up.
    private var caches: [IOTLB]
    /// Walks that started at the root.
    public private(set) var misses: Int64 = 0
    /// Tables read by all walks.
    public private(set) var memoryReads: Int64 = 0
    private var hits: ContiguousArray<Int64>

    /// Empty caches.
    ///
    /// - Parameter geometries: of the caches for levels 1 and up; more than there are levels above the leaves' are ignored,
    ///   and levels without one are never cached.
    public init(_ geometries: [CacheGeometry], shape: Shape = .fourLevels) {
        self.shape = shape
        let cachable = (1..<max(shape.levels, 1)).prefix { shape.span(ofLevel: $0) != nil }
        caches = zip(geometries, cachable).map { IOTLB($0.0) }
        hits = ContiguousArray(repeating: 0, count: caches.count)
    }

    /// 32 entries for each level, fully associative: an assumption for where nothing is known (model.md §5).
    public static let assumedGeometries = [CacheGeometry](
        repeating: CacheGeometry(uncheckedEntries: 32, ways: 32, replacement: .leastRecentlyUsed), count: 3)

    /// The highest level that has a cache; 0 if none has.
    public var highestLevel: Int { caches.count }

    /// Walks that started from an entry of `level`; 0 for levels without a cache.
    public func hits(level: Int) -> Int64 { hits.indices.contains(level - 1) ? hits[level - 1] : 0 }

    /// What happened in the cache of one level; lookups count from the lowest level up until one hits.
    public func counters(level: Int) -> CacheCounters {
        caches.indices.contains(level - 1) ? caches[level - 1].counters : CacheCounters()
    }

    /// Walks the page table of `domain` down to the leaf of `size` bytes around `iova`, and remembers the way.
    public mutating func walk(domain: Int32, iova: UInt64, size: UInt64) -> Walk {
        let leaf = shape.level(ofLeaf: size)
        var hit: Int?
        var level = leaf + 1
        while hit == nil, level <= caches.count {
            if caches[level - 1].lookup(domain: domain, iova: iova) != nil { hit = level } else { level += 1 }
        }
        let reads = (hit ?? shape.levels) - leaf
        if let hit { hits[hit - 1] &+= 1 } else { misses &+= 1 }
        memoryReads &+= Int64(reads)
        // From the top down, as the walk reads them.
        var read = min((hit ?? shape.levels) - 1, caches.count)
        while read > leaf {
            if let span = shape.span(ofLevel: read) {
                caches[read - 1].fill(domain: domain, iova: iova, target: iova, size: span)
            }
            read -= 1
        }
        return Walk(hitLevel: hit, memoryReads: reads)
    }

    /// A page-selective invalidation of `range`.
    ///
    /// - Returns: entries removed, of all levels; none if the hint says that tables did not change.
    @discardableResult
    public mutating func invalidate(domain: Int32, _ range: AddressRange, hint: InvalidationHint) -> Int {
        guard hint == .tablesToo else { return 0 }
        return caches.indices.reduce(0) { $0 + caches[$1].invalidate(domain: domain, range) }
    }

    /// A domain-selective invalidation, which has no hint.
    ///
    /// - Returns: entries removed, of all levels.
    @discardableResult
    public mutating func invalidateDomain(_ domain: Int32) -> Int {
        caches.indices.reduce(0) { $0 + caches[$1].invalidateDomain(domain) }
    }

    /// A global invalidation.
    ///
    /// - Returns: entries removed, of all levels.
    @discardableResult
    public mutating func invalidateAll() -> Int {
        caches.indices.reduce(0) { $0 + caches[$1].invalidateAll() }
    }
}
