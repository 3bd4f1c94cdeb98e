import TestSupport
import Testing

@testable import IOMMUModel

/// Model.md §4.1, §4.2, §5.
@Suite struct WalkCacheTests {
    private static let page: UInt64 = 4096
    private static let large: UInt64 = 1 << 21
    private static let huge: UInt64 = 1 << 30

    private func range(_ start: UInt64, _ size: UInt64) throws -> AddressRange {
        try #require(AddressRange(start: start, size: size))
    }

    private func geometries(_ entries: [Int]) throws -> [CacheGeometry] {
        try entries.map { try #require(CacheGeometry(entries: $0)) }
    }

    // MARK: - Examples

    /// A cold walk reads a table of each level, one beside it the last only.
    @Test func aWalkStartsAtTheLowestLevelThatIsCached() {
        var cache = WalkCache(WalkCache.assumedGeometries)
        func walk(_ iova: UInt64, _ size: UInt64 = Self.page) -> [Int?] {
            let walk = cache.walk(domain: 1, iova: iova, size: size)
            return [walk.hitLevel, walk.memoryReads]
        }
        #expect(walk(0) == [nil, 4])
        #expect(walk(0) == [1, 1])
        #expect(walk(Self.large - 1) == [1, 1])
        #expect(walk(Self.large) == [2, 2])
        #expect(walk(Self.huge) == [3, 3])
        #expect(walk(512 * Self.huge) == [nil, 4])
        // A leaf of 2 MiB is one table nearer to the root, one of 1 GiB two.
        #expect(walk(2 * Self.large, Self.large) == [2, 1])
        #expect(walk(5 * Self.huge, Self.huge) == [3, 1])
        #expect(walk(1024 * Self.huge, Self.huge) == [nil, 2])
        #expect(cache.hits(level: 1) == 2)
        #expect(cache.hits(level: 2) == 2)
        #expect(cache.hits(level: 3) == 2)
        #expect(cache.misses == 3)
        #expect(cache.memoryReads == 4 + 1 + 1 + 2 + 3 + 4 + 1 + 1 + 2)
    }

    /// IH=1 and PDE=0 keep it, IH=0 and PDE=1 drop what leads to the range, of one domain.
    @Test func theHintKeepsOrDrops() throws {
        var cache = WalkCache(WalkCache.assumedGeometries)
        for domain in [1, 2] as [Int32] {
            _ = cache.walk(domain: domain, iova: 0, size: Self.page)
            _ = cache.walk(domain: domain, iova: Self.large, size: Self.page)
        }
        let onePage = try range(0x5000, Self.page)
        #expect(cache.invalidate(domain: 1, onePage, hint: .leavesOnly) == 0)
        #expect(cache.walk(domain: 1, iova: 0, size: Self.page).memoryReads == 1)
        #expect(cache.invalidate(domain: 1, onePage, hint: .tablesToo) == 3)
        // The neighbour's own entry is still there.
        #expect(cache.walk(domain: 1, iova: Self.large, size: Self.page).memoryReads == 1)
        #expect(cache.walk(domain: 1, iova: 0, size: Self.page).memoryReads == 4)
        #expect(cache.walk(domain: 2, iova: 0, size: Self.page).memoryReads == 1)
        #expect(cache.invalidateDomain(2) == 4)
        #expect(cache.walk(domain: 2, iova: 0, size: Self.page).memoryReads == 4)
        #expect(cache.invalidateDomain(9) == 0)
        #expect(cache.invalidateAll() == 7)
        #expect(cache.invalidateAll() == 0)
        #expect(cache.walk(domain: 1, iova: 0, size: Self.page).memoryReads == 4)
    }

    /// Without caches every walk starts at the root.
    @Test func noCachesAtAll() {
        var cache = WalkCache([])
        for _ in 0..<3 { #expect(cache.walk(domain: 1, iova: 0, size: Self.page).memoryReads == 4) }
        #expect(cache.highestLevel == 0)
        #expect(cache.misses == 3)
        #expect(cache.hits(level: 1) == 0)
        #expect(cache.counters(level: 1) == CacheCounters())
    }

    @Test func shapesAreThoseOfPageTables() throws {
        for (levels, shift, bits) in [(0, 12, 9), (7, 12, 9), (4, 11, 9), (4, 17, 9), (4, 12, 0), (4, 12, 17)] {
            #expect(WalkCache.Shape(levels: levels, pageShift: shift, bitsPerLevel: bits) == nil)
        }
        let shape = WalkCache.Shape.fourLevels
        #expect(WalkCache.Shape(levels: 4, pageShift: 12, bitsPerLevel: 9) == shape)
        // AMD writes sizes in between as equal entries of the level below.
        let sizes: [UInt64] = [0, 1, 4096, 8192, 1 << 20, 1 << 21, 1 << 22, 1 << 30, 1 << 39, 1 << 51, 1 << 63, .max]
        #expect(sizes.map { shape.level(ofLeaf: $0) } == [0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 3])
    }

    /// Six levels of 16 bits are more than 64: what does not fit is never cached, and nothing traps.
    @Test func levelsBeyondSixtyFourBits() throws {
        let shape = try #require(WalkCache.Shape(levels: 6, pageShift: 16, bitsPerLevel: 16))
        var cache = WalkCache(try geometries([4, 4, 4, 4, 4, 4, 4]), shape: shape)
        #expect(cache.highestLevel == 2)
        #expect(cache.walk(domain: 1, iova: .max, size: 65536).memoryReads == 6)
        #expect(cache.walk(domain: 1, iova: .max, size: 65536).memoryReads == 1)
        #expect(cache.invalidate(domain: 1, try range(.max, 1), hint: .tablesToo) == 2)
        let oneLevel = try #require(WalkCache.Shape(levels: 1, pageShift: 12, bitsPerLevel: 9))
        var none = WalkCache(WalkCache.assumedGeometries, shape: oneLevel)
        #expect(none.walk(domain: 1, iova: 0, size: 4096) == none.walk(domain: 1, iova: 0, size: 4096))
        #expect(none.highestLevel == 0)
    }

    // MARK: - Against the definition

    /// For each level a list of (domain, prefix), the last used last.
    private struct Obvious {
        let entries: [Int]
        var lists: [[[UInt64]]]
        var hits: [Int64]

        init(_ entries: [Int]) {
            self.entries = entries
            lists = entries.map { _ in [] }
            hits = entries.map { _ in 0 }
        }

        private func key(_ domain: Int32, _ iova: UInt64, _ level: Int) -> [UInt64] {
            [UInt64(bitPattern: Int64(domain)), iova >> UInt64(12 + 9 * level)]
        }

        mutating func walk(_ domain: Int32, _ iova: UInt64, leaf: Int) -> Int {
            var start = 4
            for level in (1...3).reversed() where level > leaf && lists[level - 1].contains(key(domain, iova, level)) {
                start = level
            }
            if start < 4 { hits[start - 1] += 1 }
            // The one that it started from was used, those below were read.
            for level in 1...3 where level > leaf && level <= start {
                let key = key(domain, iova, level)
                lists[level - 1].removeAll { $0 == key }
                lists[level - 1].append(key)
                if lists[level - 1].count > entries[level - 1] { lists[level - 1].removeFirst() }
            }
            return start - leaf
        }

        mutating func invalidate(_ domain: Int32, _ range: AddressRange) -> Int {
            var killed = 0
            for level in 1...3 {
                let shift = UInt64(12 + 9 * level)
                let before = lists[level - 1].count
                lists[level - 1].removeAll {
                    $0[0] == UInt64(bitPattern: Int64(domain))
                        && (range.start >> shift...range.last >> shift).contains($0[1])
                }
                killed += before - lists[level - 1].count
            }
            return killed
        }
    }

    @Test(arguments: [[1, 1, 1], [2, 3, 4], [32, 32, 32], [16, 1, 2]], seeds)
    func agreesWithTheObviousLists(entries: [Int], seed: UInt64) throws {
        var cache = WalkCache(try geometries(entries))
        var twin = Obvious(entries)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<4000 {
            let domain = Int32(random.next() % 2)
            let iova = random.next() % 3 * (512 * Self.huge) + random.small(below: 8 * Self.huge)
            switch random.next() % 24 {
            case 0:
                let doomed = try range(iova, 1 + random.small(below: 4 * Self.large))
                #expect(cache.invalidate(domain: domain, doomed, hint: .leavesOnly) == 0)
                #expect(cache.invalidate(domain: domain, doomed, hint: .tablesToo) == twin.invalidate(domain, doomed))
            case 1:
                guard random.next() % 8 == 0 else { continue }
                #expect(cache.invalidateDomain(domain) == twin.invalidate(domain, .everything))
            default:
                let leaf = Int(random.small(below: 3))
                let walk = cache.walk(domain: domain, iova: iova, size: Self.page << UInt64(9 * leaf))
                #expect(walk.memoryReads == twin.walk(domain, iova, leaf: leaf))
            }
        }
        #expect((1...3).map { cache.hits(level: $0) } == twin.hits)
        #expect((1...3).allSatisfy { cache.counters(level: $0).hits == cache.hits(level: $0) })
        #expect((1...3).allSatisfy { cache.hits(level: $0) > 0 })
    }

    @Test(arguments: seeds) func anyNumbersAtAll(seed: UInt64) throws {
        var cache = WalkCache(WalkCache.assumedGeometries)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<3000 {
            let domain = Int32(truncatingIfNeeded: random.hostile())
            let walk = cache.walk(domain: domain, iova: random.hostile(), size: random.hostile())
            #expect((1...4).contains(walk.memoryReads))
            if let range = AddressRange(start: random.hostile(), size: random.hostile()) {
                cache.invalidate(domain: domain, range, hint: random.next() % 2 == 0 ? .tablesToo : .leavesOnly)
            }
        }
    }
}
