import TestSupport
import Testing

@testable import IOMMUModel

/// Model.md §3.3, §5, §9 items 4, 5, 8, 9, 24, 25, 33, 34.
@Suite struct IOTLBTests {
    private static let page: UInt64 = 4096
    private static let large: UInt64 = 1 << 21
    private static let huge: UInt64 = 1 << 30

    static let geometryTexts = [
        "1", "2", "7", "16", "8x1", "8x2", "16x4", "24x3", "64x8", "130x65", "16,round-robin", "16x4,round-robin",
        "24x3,round-robin", "16,random", "16x4,random=7", "24x3,random", "130x65,random=3", "1,reset-when-full",
        "16,reset-when-full",
    ]

    private func range(_ start: UInt64, _ size: UInt64) throws -> AddressRange {
        try #require(AddressRange(start: start, size: size))
    }

    private func cache(_ text: String) throws -> IOTLB { IOTLB(try CacheGeometry(parsing: text)) }

    private func entries(_ cache: IOTLB) -> Set<IOTLB.Entry> {
        var entries: Set<IOTLB.Entry> = []
        cache.forEachEntry { entries.insert($0) }
        return entries
    }

    // MARK: - Examples

    @Test func findsWhatWasFilledAndNothingElse() throws {
        var cache = try cache("64x8")
        #expect(cache.lookup(domain: 1, iova: 0x5000) == nil)
        cache.fill(domain: 1, iova: 0x5678, target: 0x9678, size: Self.page)
        #expect(cache.lookup(domain: 1, iova: 0x5000) == IOTLB.Hit(target: 0x9000, size: Self.page))
        #expect(cache.lookup(domain: 1, iova: 0x5fff) == IOTLB.Hit(target: 0x9fff, size: Self.page))
        #expect(cache.lookup(domain: 1, iova: 0x6000) == nil)
        #expect(cache.lookup(domain: 1, iova: 0x4fff) == nil)
        #expect(cache.lookup(domain: 2, iova: 0x5000) == nil)
        #expect(cache.lookup(domain: -1, iova: 0x5000) == nil)
        #expect(cache.counters.hits == 2)
        #expect(cache.counters.misses == 5)
        #expect(cache.counters.lookups == 7)
        #expect(cache.counters.fills == 1)
        #expect(cache.count == 1)
    }

    /// Of two sizes around one address the smaller is found, and the larger when that is gone.
    @Test func entriesKeepTheirOwnSizes() throws {
        var cache = try cache("64x8")
        cache.fill(domain: 1, iova: Self.large, target: 0x40000000, size: Self.large)
        cache.fill(domain: 1, iova: Self.huge, target: 0x80000000, size: Self.huge)
        cache.fill(domain: 1, iova: Self.large + Self.page, target: 0x7000, size: Self.page)
        #expect(cache.lookup(domain: 1, iova: Self.large + 0x1234) == IOTLB.Hit(target: 0x7234, size: Self.page))
        #expect(cache.lookup(domain: 1, iova: Self.large + 0x2234)?.target == 0x40002234)
        #expect(cache.lookup(domain: 1, iova: 2 * Self.huge - 1) == IOTLB.Hit(target: 0xbfffffff, size: Self.huge))
        let small = try range(Self.large + Self.page, 1)
        #expect(cache.invalidate(domain: 1, small) == 2)
        #expect(cache.lookup(domain: 1, iova: Self.large + 0x1234) == nil)
        #expect(cache.count == 1)
    }

    /// A note goes where its entry goes, and is forgotten with it.
    @Test func notesStayWithTheirEntries() throws {
        for geometry in ["64x8", "2,reset-when-full", "1024"] {
            var cache = try cache(geometry)
            cache.fill(domain: 1, iova: 0x5000, target: 0x9000, size: Self.page, note: 7)
            cache.fill(domain: 2, iova: 0x5000, target: 0x9000, size: Self.page)
            cache.updateNotes(domain: 2, overlapping: try range(0x5fff, 1)) { $0.note + 3 }
            cache.updateNotes(domain: 1, overlapping: try range(0x6000, 1 << 40)) { _ in 99 }
            let counters = cache.counters
            #expect(cache.lookup(domain: 1, iova: 0x5000)?.note == 7)
            #expect(cache.lookup(domain: 2, iova: 0x5000)?.note == 3)
            #expect(counters.lookups == 0)
            var notes: [Int64] = []
            cache.updateNotes(domain: 1, overlapping: try range(0, .max)) {
                notes.append($0.note)
                return -1
            }
            cache.invalidateAll { notes.append($0.note) }
            #expect(notes[0] == 7)
            #expect(Set(notes[1...]) == [-1, 3])
            cache.fill(domain: 1, iova: 0x5000, target: 0x9000, size: Self.page)
            #expect(cache.lookup(domain: 1, iova: 0x5000)?.note == 0)
        }
    }

    /// Model.md §3.3: an invalidation that touches any byte of an entry removes all of it.
    @Test func aByteInCommonTakesTheWholeEntry() throws {
        for (start, size, kills) in [
            (Self.large - 1, 1, 0), (Self.large - 1, 2, 1), (Self.large + 0x5000, 0x1000, 1),
            (2 * Self.large - 1, 1, 1),
            (2 * Self.large, Self.large, 0), (0, UInt64.max, 1), (Self.large, Self.large, 1),
        ] {
            var cache = try cache("16x4")
            cache.fill(domain: 1, iova: Self.large, target: Self.huge, size: Self.large)
            var killed: [IOTLB.Entry] = []
            #expect(cache.invalidate(domain: 1, try range(start, size)) { killed.append($0) } == kills)
            #expect(killed.map(\.range) == (kills == 0 ? [] : [try range(Self.large, Self.large)]))
            #expect(killed.allSatisfy { $0.domain == 1 && $0.target == Self.huge && $0.size == Self.large })
            for iova in [Self.large, Self.large + 0x5000, 2 * Self.large - 1] {
                #expect((cache.lookup(domain: 1, iova: iova) == nil) == (kills == 1))
            }
        }
    }

    @Test func aFillWithTheSameTagReplacesTheEntry() throws {
        var cache = try cache("2,round-robin")
        cache.fill(domain: 1, iova: 0x1000, target: 0xa000, size: Self.page)
        cache.fill(domain: 1, iova: 0x2000, target: 0xb000, size: Self.page)
        cache.fill(domain: 1, iova: 0x1000, target: 0xc000, size: Self.page)
        #expect(cache.count == 2)
        #expect(cache.counters.fills == 3)
        #expect(cache.counters.evictions == 0)
        #expect(cache.lookup(domain: 1, iova: 0x1000)?.target == 0xc000)
        // It keeps its age: the first in is the first out.
        cache.fill(domain: 1, iova: 0x3000, target: 0xd000, size: Self.page)
        #expect(!cache.contains(domain: 1, iova: 0x1000))
    }

    /// Belady's string: with first in, first out a larger cache misses more, with least recently used it cannot.
    @Test(
        arguments: [("3,round-robin", 9), ("4,round-robin", 10), ("3", 10), ("4", 8)] as [(String, Int64)])
    func beladysString(geometry: String, misses: Int64) throws {
        var cache = try cache(geometry)
        for page in [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5] as [UInt64] {
            guard cache.lookup(domain: 1, iova: page * Self.page) == nil else { continue }
            cache.fill(domain: 1, iova: page * Self.page, target: 0, size: Self.page)
        }
        #expect(cache.counters.misses == misses)
    }

    /// QEMU empties its cache on the fill that finds it full.
    @Test func resetsWhenFull() throws {
        var cache = try cache("4,reset-when-full")
        var evicted: [IOTLB.Entry] = []
        for page in 1...4 as ClosedRange<UInt64> {
            cache.fill(domain: 1, iova: page * Self.page, target: 0, size: Self.page) { evicted.append($0) }
        }
        #expect(cache.count == 4)
        #expect(evicted.isEmpty)
        cache.fill(domain: 2, iova: 0x9000, target: 0, size: Self.large) { evicted.append($0) }
        #expect(evicted.map(\.range.start).sorted() == [0x1000, 0x2000, 0x3000, 0x4000])
        #expect(cache.count == 1)
        #expect(cache.counters.evictions == 4)
        #expect(cache.counters.kills == 0)
    }

    /// The low bits of the page number, in pages of the entry's own size, choose the set.
    @Test func setsFollowFromPageNumbers() throws {
        var cache = try cache("8x1")
        for page in 0..<8 as Range<UInt64> {
            cache.fill(domain: 1, iova: page * Self.large, target: 0, size: Self.large)
        }
        #expect(cache.count == 8)
        cache.fill(domain: 2, iova: 8 * Self.page, target: 0, size: Self.page)
        #expect(cache.counters.evictions == 1)
        #expect(!cache.contains(domain: 1, iova: 0))
        #expect(cache.contains(domain: 1, iova: Self.large))
    }

    // MARK: - Against the definition

    private struct Turn {
        var domain: Int32
        var iova: UInt64
        var size: UInt64
    }

    /// Few domains and pages of few sizes, so that everything meets everything; some at the end of the address space.
    private func turn(_ random: inout SeededGenerator) -> Turn {
        let shifts: [UInt64] = random.next() % 32 == 0 ? [30, 47, 63] : [12, 12, 12, 12, 13, 16, 21]
        let base: UInt64 = random.next() % 8 == 0 ? 0 &- (1 << 22) : 0
        let iova = base &+ (random.next() % 2 == 0 ? random.small(below: 1 << 22) : random.next() % (1 << 22))
        let size: UInt64 = 1 << shifts[Int(random.next() % UInt64(shifts.count))]
        return Turn(domain: Int32(random.next() % 3), iova: iova, size: size)
    }

    private func doom(_ random: inout SeededGenerator) -> AddressRange? {
        let turn = turn(&random)
        return random.next() % 8 == 0
            ? AddressRange(start: random.hostile(), size: random.hostile())
            : AddressRange(start: turn.iova, size: random.small(below: 1 << 17))
    }

    @Test(arguments: geometryTexts, seeds) func agreesWithTheObviousCache(geometry: String, seed: UInt64) throws {
        let geometry = try CacheGeometry(parsing: geometry)
        var random = SeededGenerator(seed: seed)
        var cache = IOTLB(geometry)
        var twin = ObviousCache(geometry)
        for _ in 0..<2000 {
            let turn = turn(&random)
            switch random.next() % 96 {
            case 0, 1:
                guard let range = doom(&random) else { continue }
                var killed: Set<IOTLB.Entry> = []
                let count = cache.invalidate(domain: turn.domain, range) { killed.insert($0) }
                #expect(killed == twin.invalidate { $0.domain == turn.domain && $0.range.overlaps(range) })
                #expect(count == killed.count)
            case 2:
                guard random.next() % 4 == 0, let range = doom(&random) else { continue }
                var killed: Set<IOTLB.Entry> = []
                let count = cache.invalidate(range) { killed.insert($0) }
                #expect(killed == twin.invalidate { $0.range.overlaps(range) })
                #expect(count == killed.count)
            case 3:
                guard random.next() % 4 == 0 else { continue }
                var killed: Set<IOTLB.Entry> = []
                let count = cache.invalidateDomain(turn.domain) { killed.insert($0) }
                #expect(killed == twin.invalidate { $0.domain == turn.domain })
                #expect(count == killed.count)
            case 4:
                guard random.next() % 8 == 0 else { continue }
                var killed: Set<IOTLB.Entry> = []
                let count = cache.invalidateAll { killed.insert($0) }
                #expect(killed == twin.invalidate { _ in true })
                #expect(count == killed.count)
            case 5...24:
                fill(&cache, &twin, turn, target: random.next())
            default:
                let hit = cache.lookup(domain: turn.domain, iova: turn.iova)
                let expected = twin.lookup(domain: turn.domain, iova: turn.iova)
                #expect(hit?.target == expected?.target)
                #expect(hit?.size == expected?.size)
                if hit == nil { fill(&cache, &twin, turn, target: random.next()) }
            }
            #expect(cache.count == twin.entries.count)
        }
        #expect(entries(cache) == twin.entries)
        #expect(cache.counters == twin.counters)
        // The test would not test anything.
        #expect(cache.counters.hits > 0)
        #expect(cache.counters.evictions > 0 || geometry.entries > 64)
    }

    private func fill(_ cache: inout IOTLB, _ twin: inout ObviousCache, _ turn: Turn, target: UInt64) {
        var evicted: [IOTLB.Entry] = []
        let isCached = cache.fill(domain: turn.domain, iova: turn.iova, target: target, size: turn.size) {
            evicted.append($0)
        }
        #expect(isCached)
        let expected = twin.fill(domain: turn.domain, iova: turn.iova, target: target, size: turn.size)
        #expect(Set(evicted) == Set(expected))
        #expect(evicted.count == expected.count)
    }

    /// The same cache and the same lookups: the same victims. Another seed: others.
    @Test func randomIsDeterministic() throws {
        func missed(_ geometry: String) throws -> [UInt64] {
            var cache = try cache(geometry)
            var random = SeededGenerator(seed: 4)
            var missed: [UInt64] = []
            for _ in 0..<2000 {
                let iova = random.next() % 64 * Self.page
                guard cache.lookup(domain: 1, iova: iova) == nil else { continue }
                missed.append(iova)
                cache.fill(domain: 1, iova: iova, target: 0, size: Self.page)
            }
            return missed
        }
        #expect(try missed("32x4,random=5") == missed("32x4,random=5"))
        #expect(try missed("32x4,random=5") != missed("32x4,random=6"))
        #expect(try missed("32x4,random") == missed("32x4,random=1"))
    }

    // MARK: - Invariants

    private func filled(_ geometry: String, seed: UInt64) throws -> IOTLB {
        var cache = try cache(geometry)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let turn = turn(&random)
            cache.fill(domain: turn.domain, iova: turn.iova, target: random.next(), size: turn.size)
        }
        return cache
    }

    /// Items 4 and 25: a domain's flush leaves nothing of it and everything of the others; item 24: a second one, or
    /// one of a domain without entries, changes nothing.
    @Test(arguments: geometryTexts) func aDomainIsFlushedByItself(geometry: String) throws {
        for seed in seeds {
            var cache = try filled(geometry, seed: seed)
            let before = entries(cache)
            #expect(cache.invalidateDomain(77) == 0)
            #expect(entries(cache) == before)
            let killed = cache.invalidateDomain(1)
            #expect(killed == before.count { $0.domain == 1 })
            #expect(entries(cache) == before.filter { $0.domain != 1 })
            #expect(cache.invalidateDomain(1) == 0)
            #expect(cache.invalidate(domain: 1, .everything) == 0)
            #expect(entries(cache) == before.filter { $0.domain != 1 })
            #expect(cache.counters.kills == Int64(killed))
            // A global one takes all.
            #expect(cache.invalidateAll() == before.count - killed)
            #expect(cache.count == 0)
            #expect(cache.invalidateAll() == 0)
        }
    }

    /// Items 5 and 25: exactly what the range touches dies, of one domain; item 24.
    @Test(arguments: geometryTexts) func aRangeTakesWhatItTouches(geometry: String) throws {
        for seed in seeds {
            var cache = try filled(geometry, seed: seed)
            var random = SeededGenerator(seed: ~seed)
            for _ in 0..<50 {
                guard let range = doom(&random) else { continue }
                let before = entries(cache)
                let killed = cache.invalidate(domain: 2, range)
                #expect(entries(cache) == before.filter { $0.domain != 2 || !$0.range.overlaps(range) })
                #expect(killed == before.count - cache.count)
                #expect(cache.invalidate(domain: 2, range) == 0)
            }
        }
    }

    /// A page of a page table with a cache before it, and the windows of an infinite cache: everything unmapped or
    /// mapped anew since an invalidation that covers it.
    private struct Machine {
        var cache: IOTLB
        var tables = [PageTable](repeating: PageTable(), count: 3)
        /// Of each domain, pages of 4096 bytes.
        var windows = [Set<UInt64>](repeating: [], count: 3)
        /// What each page once translated to.
        var past = [Set<[UInt64]>](repeating: [], count: 3)
        var staleHits = 0

        mutating func map(_ domain: Int, _ range: AddressRange, to paddr: UInt64) {
            _ = tables[domain].map(range, to: paddr, sizes: .fourKTwoMOneG)
            remember(domain, range)
        }

        /// A large page that was cut leaves small ones around the cut.
        private mutating func remember(_ domain: Int, _ range: AddressRange) {
            tables[domain].forEachRun(overlapping: range.roundedOut(to: IOTLBTests.large)) { run in
                for page in run.range.start >> 12...run.range.last >> 12 {
                    past[domain].insert([page, run.target &+ (page << 12 &- run.range.start), run.pageSize])
                }
            }
        }

        mutating func unmap(_ domain: Int, _ range: AddressRange) {
            _ = tables[domain].unmap(range)
            remember(domain, range)
            windows[domain].formUnion(range.start >> 12...range.last >> 12)
        }

        mutating func sync(_ domain: Int, _ range: AddressRange) {
            cache.invalidate(domain: Int32(domain), range)
            windows[domain].subtract(range.start >> 12...range.last >> 12)
        }

        mutating func flushAll(_ domain: Int) {
            cache.invalidateDomain(Int32(domain))
            windows[domain] = []
        }

        mutating func access(_ domain: Int, _ iova: UInt64) {
            let truth = tables[domain].physicalAddress(of: iova)
            if let hit = cache.lookup(domain: Int32(domain), iova: iova) {
                // Item 8: it was true once, in this domain and with this page size.
                #expect(past[domain].contains([iova >> 12, hit.target & ~0xfff, hit.size]))
                if hit.target != truth {
                    staleHits += 1
                    // Items 9, 33, 34: only what the infinite cache's windows allow.
                    #expect(windows[domain].contains(iova >> 12))
                }
            } else if let truth {
                var size: UInt64 = 0
                if let byte = AddressRange(start: iova, size: 1) {
                    tables[domain].forEachRun(overlapping: byte) { size = $0.pageSize }
                }
                cache.fill(domain: Int32(domain), iova: iova, target: truth, size: size)
            }
        }
    }

    /// Items 8, 9, 33 and 34: deferred unmaps with any cache are stale within the windows only, strict ones never.
    @Test(arguments: geometryTexts, [true, false]) func staleHitsStayInWindows(geometry: String, isStrict: Bool) throws
    {
        var machine = Machine(cache: try cache(geometry))
        var random = SeededGenerator(seed: 33)
        let space = 4 * Self.large
        // Most of what happens is near what happened before.
        var (domain, start) = (0, UInt64(0))
        for _ in 0..<1200 {
            if random.next() % 8 == 0 {
                domain = Int(random.next() % 3)
                start = random.next() % (space / Self.page) * Self.page
            }
            let pages = 1 + random.small(below: 1024)
            let range = try range(start, min(pages * Self.page, space - start))
            switch random.next() % 16 {
            case 0:
                // Nothing is mapped over what is mapped, but stale addresses are used again.
                machine.unmap(domain, range)
                if isStrict { machine.sync(domain, range) }
                machine.map(domain, range, to: random.next() % 64 * Self.large + start % Self.large)
            case 1:
                machine.unmap(domain, range)
                if isStrict { machine.sync(domain, range) }
            case 2: machine.sync(domain, range)
            case 3: if random.next() % 8 == 0 { machine.flushAll(domain) }
            default:
                for _ in 0..<3 { machine.access(domain, (start + random.next() % 0x8000) % space) }
            }
        }
        if isStrict {
            #expect(machine.staleHits == 0)
        } else if machine.cache.geometry.entries >= 16 {
            // The test would not test anything.
            #expect(machine.staleHits > 0)
        }
    }

    /// Item 33: whatever a fully associative cache with LRU finds, a larger one finds too, whatever is invalidated.
    @Test(arguments: seeds) func largerFullyAssociativeCachesHoldWhatSmallerOnesDo(seed: UInt64) throws {
        var caches = try ["1", "2", "5", "16", "64"].map { try cache($0) }
        var random = SeededGenerator(seed: seed)
        for _ in 0..<5000 {
            let turn = turn(&random)
            let doomed = random.next() % 16 == 0 ? doom(&random) : nil
            var hitBefore = false
            for index in caches.indices {
                if let doomed {
                    caches[index].invalidate(domain: turn.domain, doomed)
                } else {
                    let isHit = caches[index].lookup(domain: turn.domain, iova: turn.iova) != nil
                    #expect(isHit || !hitBefore)
                    hitBefore = isHit
                    if !isHit {
                        caches[index].fill(domain: turn.domain, iova: turn.iova, target: 0, size: Self.page)
                    }
                }
            }
        }
        let misses = caches.map(\.counters.misses)
        #expect(misses == misses.sorted(by: >))
    }

    // MARK: - Hostile numbers

    @Test func theLastPageOfTheAddressSpace() throws {
        for size in [Self.page, Self.large, 1 << 63] {
            var cache = try cache("8x2")
            let isCached = cache.fill(domain: .min, iova: .max, target: .max, size: size)
            #expect(isCached)
            #expect(cache.lookup(domain: .min, iova: .max) == IOTLB.Hit(target: .max, size: size))
            #expect(cache.lookup(domain: .min, iova: 0 &- size)?.target == 0 &- size)
            #expect(cache.lookup(domain: .min, iova: 0) == nil)
            #expect(entries(cache).map(\.range.last) == [.max])
            #expect(cache.invalidate(domain: .min, try range(0, 1)) == 0)
            #expect(cache.invalidate(domain: .min, try range(.max, 1)) == 1)
        }
        // A target whose page reaches beyond 2^64 wraps instead of trapping.
        var cache = try cache("8x2")
        cache.fill(domain: 1, iova: 0, target: .max - 4095, size: Self.large)
        #expect(cache.lookup(domain: 1, iova: 4096)?.target == 0)
    }

    @Test(arguments: [0, 1, 2048, 4095, 4097, 0x3000, .max, .max - 4095, 3 << 62] as [UInt64])
    func whatIsNoPageSizeIsNotCached(size: UInt64) throws {
        var cache = try cache("8x2")
        let isCached = cache.fill(domain: 1, iova: 0x1000, target: 0, size: size)
        #expect(!isCached)
        #expect(cache.count == 0)
        #expect(cache.counters == CacheCounters())
    }

    @Test(arguments: geometryTexts) func anyNumbersAtAll(geometry: String) throws {
        var cache = try cache(geometry)
        var random = SeededGenerator(seed: 99)
        for _ in 0..<3000 {
            let domain = Int32(truncatingIfNeeded: random.hostile())
            cache.fill(domain: domain, iova: random.hostile(), target: random.hostile(), size: random.hostile())
            _ = cache.lookup(domain: domain, iova: random.hostile())
            if random.next() % 32 == 0, let range = AddressRange(start: random.hostile(), size: random.hostile()) {
                cache.invalidate(domain: domain, range)
            }
        }
        #expect(cache.count == entries(cache).count)
    }

    // MARK: - Device TLBs

    /// What a command names is the block that VT-d's mask and AMD's address bits say.
    @Test(arguments: seeds) func aDeviceCommandNamesTheDriversBlock(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        #expect(DeviceTLB.block(holding: .everything) == .everything)
        for _ in 0..<5000 {
            guard let range = AddressRange(start: random.hostile(), size: random.hostile()) else { continue }
            let block = DeviceTLB.block(holding: range)
            #expect(block.contains(range.roundedOut(to: 4096)))
            if let bits = AMDvi.coverage(of: range) {
                #expect(block.size == 1 << UInt64(bits))
                #expect(block.start % block.size == 0)
                let whole = range.roundedOut(to: 4096)
                #expect(VTd.mask(page: whole.start >> 12, count: whole.size >> 12) == bits - 12)
            } else {
                #expect(block.last - block.start > (1 << 51))
            }
        }
    }

    @Test func aDeviceKeepsWhatOnlyItsOwnCommandsRemove() throws {
        var device = DeviceTLB(device: 3, try CacheGeometry(parsing: "16"))
        #expect(device.device == 3)
        #expect(device.geometry.entries == 16)
        for page in 0..<8 as Range<UInt64> {
            device.fill(domain: Int32(page % 2), iova: page << 12, target: page << 20, size: Self.page)
        }
        #expect(device.lookup(domain: 1, iova: 0x3004)?.target == 0x300004)
        // Pages 1 and 2 take a block of four, and what they belong to is not asked.
        #expect(device.invalidate(try range(0x1000, 0x2000)) == 4)
        #expect(device.lookup(domain: 1, iova: 0x3004) == nil)
        #expect(device.invalidate(domain: 1, try range(0x5000, 0x2000)) == 2)
        #expect(device.invalidateDomain(0) == 2)
        device.fill(domain: 5, iova: 0, target: 0, size: Self.huge)
        var killed: [IOTLB.Entry] = []
        #expect(device.invalidateAll { killed.append($0) } == 1)
        #expect(killed.map(\.domain) == [5])
        #expect(device.count == 0)
        #expect(device.counters.kills == 9)
        #expect(device.counters.hits == 1)
    }
}

/// What is typed for `--iotlb`.
@Suite struct CacheGeometryTests {
    struct Case: Sendable {
        var text: String
        var entries: Int
        var ways: Int
        var replacement: CacheGeometry.Replacement
    }

    static let cases: [Case] = [
        Case(text: "64x8", entries: 64, ways: 8, replacement: .leastRecentlyUsed),
        Case(text: "64", entries: 64, ways: 64, replacement: .leastRecentlyUsed),
        Case(text: "2048x4,round-robin", entries: 2048, ways: 4, replacement: .roundRobin),
        Case(text: "48x3", entries: 48, ways: 3, replacement: .leastRecentlyUsed),
        Case(text: "8x1,random", entries: 8, ways: 1, replacement: .random(seed: 1)),
        Case(text: "8x2,random=0", entries: 8, ways: 2, replacement: .random(seed: 0)),
        Case(text: "256,random=18446744073709551615", entries: 256, ways: 256, replacement: .random(seed: .max)),
        Case(text: "1024,reset-when-full", entries: 1024, ways: 1024, replacement: .resetWhenFull),
        Case(text: "1", entries: 1, ways: 1, replacement: .leastRecentlyUsed),
        Case(text: "1048576", entries: 1 << 20, ways: 1 << 20, replacement: .leastRecentlyUsed),
    ]

    @Test(arguments: cases) func readsAndWrites(_ expected: Case) throws {
        let geometry = try CacheGeometry(parsing: expected.text)
        #expect(geometry.entries == expected.entries)
        #expect(geometry.ways == expected.ways)
        #expect(geometry.sets * geometry.ways == geometry.entries)
        #expect(geometry.isFullyAssociative == (geometry.ways == geometry.entries))
        #expect(geometry.replacement == expected.replacement)
        #expect(geometry.canonical == expected.text)
    }

    @Test func moreThanOneWayOfWriting() throws {
        #expect(try CacheGeometry(parsing: "64x64,lru").canonical == "64")
        #expect(try CacheGeometry(parsing: "64x8,random=1").canonical == "64x8,random")
        #expect(try CacheGeometry(parsing: "064x8").canonical == "64x8")
    }

    @Test(
        arguments: [
            "", "x", "64x", "x8", "64x8x2", "0", "0x1", "64x0", "8x64", "64x7", "48x4", "-64", "+64", "64 ", " 64",
            "6_4",
            "64X8", "0x40", "٦٤", "64x8,", "64x8,fifo", "64x8,LRU", "64x8,lru,lru", "64x8,random=", "64x8,random=-1",
            "64x8,random=x", "64x8,random=18446744073709551616", "64x8,reset-when-full", "1048577", "2097152x2",
            "9223372036854775808", "99999999999999999999x8", "intel", "hypersio,lru", "lru", ",lru",
        ])
    func refuses(text: String) {
        let error = #expect(throws: CacheGeometryError.self) { try CacheGeometry(parsing: text) }
        #expect(error?.text == text)
        #expect(error?.description.contains("ENTRIESxWAYS") == true)
    }

    /// Model.md §5: no figure and no name is a vendor's.
    @Test func presetsNameTheirSourceAndNoVendor() throws {
        #expect(
            CacheGeometry.presets.map { "\($0.name) \($0.geometry.canonical)" } == [
                "hypersio 64x8", "gem5-micro 32,round-robin", "gem5-main 2048x4,round-robin",
                "qemu-vtd 1024,reset-when-full", "qemu-smmu 256,reset-when-full",
            ])
        for preset in CacheGeometry.presets {
            #expect(try CacheGeometry(parsing: preset.name) == preset.geometry)
            #expect(try CacheGeometry(parsing: preset.geometry.canonical) == preset.geometry)
            #expect(!preset.source.isEmpty)
            let text = (preset.name + " " + preset.source).lowercased()
            #expect(!text.contains("intel") && !text.contains("amd"))
        }
    }

    @Test func noMadeGeometryIsBeyondItsBounds() {
        for entries in [Int.min, -1, 0, 3, 64, 1 << 20, 1 << 21, .max] {
            for ways in [Int.min, -1, 0, 1, 3, 64, .max] {
                guard let geometry = CacheGeometry(entries: entries, ways: ways) else { continue }
                #expect(geometry.sets * geometry.ways == entries)
                #expect(geometry.sets & (geometry.sets - 1) == 0)
            }
            #expect((CacheGeometry(entries: entries) != nil) == (1...1 << 20).contains(entries))
        }
        #expect(CacheGeometry(entries: 64, ways: 8, replacement: .resetWhenFull) == nil)
    }
}
