import TestSupport
import Testing

@testable import IOMMUModel

/// Runs of translations that are cut, replaced and filtered. ``PageTableTests`` cover what a page table makes of them.
@Suite struct TranslationMapTests {
    private typealias Run = TranslationMap.Run

    private static let large: UInt64 = 1 << 21

    private func range(_ start: UInt64, _ size: UInt64) throws -> AddressRange {
        try #require(AddressRange(start: start, size: size))
    }

    private func run(_ start: UInt64, _ size: UInt64, to target: UInt64, page: UInt64 = 4096, tag: Int64 = 0) throws
        -> Run
    {
        Run(range: try range(start, size), target: target, pageSize: page, tag: tag)
    }

    private func runs(_ map: TranslationMap, in range: AddressRange = .everything) -> [Run] {
        var runs: [Run] = []
        map.forEachRun(overlapping: range) { runs.append($0) }
        return runs
    }

    // MARK: - Examples

    @Test func replacesWhatWasThere() throws {
        var map = TranslationMap()
        map.replace(with: try run(0x1000, 0x4000, to: 0x91000, tag: 1))
        map.replace(with: try run(0x2000, 0x1000, to: 0x50000, tag: 2))
        #expect(
            runs(map) == [
                try run(0x1000, 0x1000, to: 0x91000, tag: 1), try run(0x2000, 0x1000, to: 0x50000, tag: 2),
                try run(0x3000, 0x2000, to: 0x93000, tag: 1),
            ])
        #expect(map.bytes == 0x4000 && map.runCount == 3)
        map.replace(with: try run(0, 0x10000, to: 0, tag: 3))
        #expect(runs(map) == [try run(0, 0x10000, to: 0, tag: 3)])
        #expect(map.bytes == 0x10000 && map.runCount == 1)
    }

    /// Each piece is what stood there: its target from its own first byte on, and its tag.
    @Test func handsOverWhatItRemoves() throws {
        var map = TranslationMap()
        map.replace(with: try run(0x1000, 0x3000, to: 0x91000, tag: -1))
        map.replace(with: try run(0x4000, 0x1000, to: 0x20000, tag: .max))
        map.replace(with: try run(0x8000, 0x2000, to: 0x38000, tag: 7))
        let before = try run(0, 1, to: 0, tag: 99)
        var pieces: ContiguousArray<Run>? = [before]
        let removed = map.remove(try range(0x2000, 0x7000), into: &pieces)
        #expect(removed == TranslationMap.Removed(bytes: 0x4000, runs: 3, splitRuns: 2))
        #expect(
            pieces == [
                before, try run(0x2000, 0x2000, to: 0x92000, tag: -1), try run(0x4000, 0x1000, to: 0x20000, tag: .max),
                try run(0x8000, 0x1000, to: 0x38000, tag: 7),
            ])
        #expect(
            runs(map) == [try run(0x1000, 0x1000, to: 0x91000, tag: -1), try run(0x9000, 0x1000, to: 0x39000, tag: 7)])
        // A hole has no pieces.
        #expect(map.remove(try range(0x2000, 0x7000), into: &pieces) == TranslationMap.Removed())
        #expect(pieces?.count == 4)
    }

    @Test func collectsNothingWhereNobodyAsks() throws {
        var map = TranslationMap()
        map.replace(with: try run(0x1000, 0x3000, to: 0x91000))
        var pieces: ContiguousArray<Run>?
        #expect(map.remove(try range(0x2000, 0x1000), into: &pieces).bytes == 0x1000)
        #expect(pieces == nil)
        #expect(map.remove(try range(0x1000, 0x1000)).bytes == 0x1000)
        #expect(map.bytes == 0x1000)
    }

    /// What the addresses of a stale range pointed to need not be known: such runs have no pages that could fall apart.
    @Test func aRunOfUnknownTargetStaysUnknownWhenItIsCut() throws {
        var map = TranslationMap()
        map.replace(with: try run(0x200000, 0x600000, to: 0, page: 0, tag: 5))
        map.replace(with: try run(0x3ff000, 0x2000, to: 0x7000, tag: 6))
        #expect(
            runs(map) == [
                try run(0x200000, 0x1ff000, to: 0, page: 0, tag: 5), try run(0x3ff000, 0x2000, to: 0x7000, tag: 6),
                try run(0x401000, 0x3ff000, to: 0x201000, page: 0, tag: 5),
            ])
        var pieces: ContiguousArray<Run>? = []
        map.remove(try range(0x300000, 0x101000), into: &pieces)
        #expect(pieces?.map(\.pageSize) == [0, 4096])
        #expect(pieces?.map(\.tag) == [5, 6])
        // Not even a single byte of it makes it known.
        map.remove(try range(0x500001, 1))
        #expect(runs(map, in: try range(0x500000, 0x1000)).map(\.pageSize) == [0, 0])
        #expect(runs(map, in: try range(0x500000, 0x1000)).map(\.tag) == [5, 5])
    }

    /// Of three large pages the one in the middle falls apart; all parts keep the tag.
    @Test func tagsSurviveCuts() throws {
        var map = TranslationMap()
        let large = Self.large
        map.replace(with: try run(large, 3 * large, to: 8 * large, page: large, tag: -42))
        map.remove(try range(2 * large + 0x3000, 0x1000))
        #expect(
            runs(map) == [
                try run(large, large, to: 8 * large, page: large, tag: -42),
                try run(2 * large, 0x3000, to: 9 * large, tag: -42),
                try run(2 * large + 0x4000, large - 0x4000, to: 9 * large + 0x4000, tag: -42),
                try run(3 * large, large, to: 10 * large, page: large, tag: -42),
            ])
    }

    @Test func clipsARunToARange() throws {
        let whole = try run(0x1000, 0x4000, to: 0x91000, page: 0, tag: 3)
        #expect(whole.clipped(to: .everything) == whole)
        #expect(whole.clipped(to: whole.range) == whole)
        #expect(try whole.clipped(to: range(0x2000, 0x1000)) == run(0x2000, 0x1000, to: 0x92000, page: 0, tag: 3))
        #expect(try whole.clipped(to: range(0x4fff, 0x1000)) == run(0x4fff, 1, to: 0x94fff, page: 0, tag: 3))
        #expect(try whole.clipped(to: range(0, 0x1001)) == run(0x1000, 1, to: 0x91000, page: 0, tag: 3))
        #expect(try whole.clipped(to: range(0x5000, 0x1000)) == nil)
        #expect(try whole.clipped(to: range(0, 0x1000)) == nil)
        // Targets are 64-bit numbers of a log and may wrap.
        let wrapping = try run(0x1000, 0x4000, to: .max - 0xfff)
        #expect(try wrapping.clipped(to: range(0x2000, 0x1000)) == run(0x2000, 0x1000, to: 0))
    }

    @Test func filterKeepsWhatItIsTold() throws {
        var map = TranslationMap()
        for page in 0..<1000 as Range<UInt64> {
            map.replace(with: try run(page << 12, 0x1000, to: page << 20, tag: Int64(page % 10)))
        }
        let copy = map
        var asked = 0
        map.filter { run in
            asked += 1
            return run.tag >= 7
        }
        #expect(asked == 1000)
        #expect(map.runCount == 300 && map.bytes == 300 << 12)
        #expect(runs(map).map(\.range.start) == (0..<1000).filter { $0 % 10 >= 7 }.map { $0 << 12 })
        #expect(map.target(of: 7 << 12 | 5) == 7 << 20 | 5)
        #expect(map.target(of: 6 << 12) == nil)
        #expect(copy.runCount == 1000)
        map.filter { _ in true }
        #expect(map.runCount == 300 && map.bytes == 300 << 12)
        map.filter { _ in false }
        #expect(map.runCount == 0 && map.bytes == 0)
        #expect(runs(map) == [])
        map.filter { _ in true }
        #expect(runs(map) == [])
    }

    @Test func removeAllForgetsEverything() throws {
        var map = TranslationMap()
        map.removeAll()
        for page in 0..<500 as Range<UInt64> { map.replace(with: try run(page << 12, 0x1000, to: 0)) }
        map.removeAll()
        #expect(map.bytes == 0 && map.runCount == 0)
        #expect(runs(map) == [])
        #expect(map.target(of: 0x5000) == nil)
        #expect(map.remove(.everything) == TranslationMap.Removed())
        map.replace(with: try run(0x3000, 0x1000, to: 0x8000, tag: 2))
        #expect(runs(map) == [try run(0x3000, 0x1000, to: 0x8000, tag: 2)])
    }

    // MARK: - What comes back

    /// Mostly the same ranges are mapped again, in waves of more and fewer, and now and then others across them: places are
    /// left behind, found again, taken over and tidied away. Copies stay what they were.
    @Test(arguments: seeds) func whatComesBackIsFoundWhereItWas(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var map = TranslationMap()
        var twin: [UInt64: Run] = [:]
        var copies: [(TranslationMap, [UInt64: Run])] = []
        for turn in 0..<6000 {
            let slot = random.next() % 600
            let wanted = try run(slot << 16, 0x3000, to: random.next() & ~0xfff, tag: Int64(turn))
            let isWave = turn / 1500 % 2 == 0
            switch random.next() % (turn % 1000 < 900 ? 500 : 8) {
            case 0:
                // Over the end of one slot, or several, into the next.
                let other = try run(slot << 16 | 0x2000, (random.next() % 4) << 16 | 0xf000, to: 0, tag: -1)
                map.remove(other.range)
                for old in twin.values where old.range.overlaps(other.range) {
                    twin[old.range.start] = nil
                    for rest in old.range.subtracting(other.range) {
                        let target = old.target &+ (rest.start - old.range.start)
                        twin[rest.start] = Run(range: rest, target: target, pageSize: 4096, tag: old.tag)
                    }
                }
                if random.next() % 2 == 0 {
                    map.replace(with: other)
                    twin[other.range.start] = other
                    map.remove(other.range)
                    twin[other.range.start] = nil
                }
            case 1 where turn % 500 == 0:
                copies.append((map, twin))
            default:
                let known = twin[wanted.range.start]
                guard known == nil || known?.range == wanted.range,
                    !twin.values.contains(where: { $0 != known && $0.range.overlaps(wanted.range) })
                else { continue }
                if random.next() % 8 < (isWave ? 5 : 0) {
                    #expect(map.replace(with: wanted) == known?.range.size ?? 0)
                    if let known { #expect(map.replacedTag == known.tag) }
                    twin[wanted.range.start] = wanted
                } else {
                    var pieces: ContiguousArray<Run>? = []
                    map.remove(wanted.range, into: &pieces)
                    #expect(pieces == (known.map { [$0] } ?? []))
                    twin[wanted.range.start] = nil
                }
            }
            #expect(map.runCount == twin.count)
            #expect(map.run(of: wanted.range.start)?.range.start == twin[wanted.range.start]?.range.start)
        }
        copies.append((map, twin))
        for (map, twin) in copies {
            #expect(runs(map) == twin.values.sorted { $0.range.start < $1.range.start })
            #expect(map.bytes == twin.values.reduce(0) { $0 + $1.range.size })
        }
    }

    // MARK: - Against a table of single pages

    private struct Page: Hashable {
        var target: UInt64
        var pageSize: UInt64
        var tag: Int64
    }

    /// Where pages are: at both ends of the address space and beside a boundary of 1 GiB.
    private static let zones: [UInt64] = [0, (1 << 30) - (1 << 22), .max - (1 << 23) + 1]
    private static let pagesPerZone = 2048

    @Test(arguments: seeds) func agreesWithATableOfSinglePages(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var map = TranslationMap()
        var twin: [UInt64: Page] = [:]
        var most = 0
        var cutUnknown = 0
        var cutLarge = 0
        for turn in 0..<2000 {
            let zone = Self.zones[Int(random.next() % 3)]
            let count = Int(random.next() % 32 == 0 ? random.next() % 2048 : random.small(below: 40)) + 1
            let first = Int(random.next() % UInt64(Self.pagesPerZone - min(count, Self.pagesPerZone) + 1))
            let range = try range(zone + UInt64(first) << 12, UInt64(count) << 12)
            let touched = runs(map, in: range)
            switch random.next() % 16 {
            case 0..<9: try replace(&map, &twin, range, tag: Int64(turn), &random)
            case 15 where turn % 5 == 0:
                let kept = random.next() % 4
                map.filter { UInt64(bitPattern: $0.tag) % 4 != kept }
                twin = twin.filter { UInt64(bitPattern: $0.value.tag) % 4 != kept }
            case 14 where turn % 97 == 0:
                map.removeAll()
                twin = [:]
            default:
                cutUnknown += touched.count { $0.pageSize == 0 && !range.contains($0.range) }
                cutLarge += touched.count { $0.pageSize > 4096 && !range.contains($0.range) }
                let expected = Self.pages(range).compactMap { page in twin[page].map { (page, $0) } }
                var pieces: ContiguousArray<Run>? = turn % 4 == 0 ? nil : []
                let removed = map.remove(range, into: &pieces)
                #expect(
                    removed
                        == TranslationMap.Removed(
                            bytes: UInt64(expected.count) << 12, runs: touched.count,
                            splitRuns: touched.count { !range.contains($0.range) }))
                if turn % 4 == 0 {
                    #expect(pieces == nil)
                } else {
                    // Piece by piece the same pages, targets and tags, in the same order.
                    let seen = (pieces ?? []).flatMap { piece in
                        Self.pages(piece.range).map { ($0, piece.target &+ ($0 - piece.range.start), piece.tag) }
                    }
                    #expect(seen.map(\.0) == expected.map(\.0))
                    #expect(seen.map(\.1) == expected.map(\.1.target))
                    #expect(seen.map(\.2) == expected.map(\.1.tag))
                    #expect(pieces?.map(\.pageSize) == touched.map(\.pageSize))
                }
                Self.remove(range, from: &twin)
            }
            #expect(map.bytes == UInt64(twin.count) << 12)
            for address in [range.start, range.last, zone + random.next() % (8 << 20)] {
                #expect(map.target(of: address) == twin[address & ~4095].map { $0.target &+ address & 4095 })
            }
            if turn % 50 == 49 { compare(map, twin) }
            most = max(most, map.runCount)
        }
        compare(map, twin)
        // More runs than one block holds, and both kinds of cuts.
        #expect(most > 150 && cutUnknown > 30 && cutLarge > 30)
    }

    private func replace(
        _ map: inout TranslationMap, _ twin: inout [UInt64: Page], _ range: AddressRange, tag: Int64,
        _ random: inout SeededGenerator
    ) throws {
        var range = range
        var pageSize: UInt64 = 4096
        var target = random.next() & ~0xfff
        switch random.next() % 3 {
        case 0:
            pageSize = 0
            target = 0
        case 1:
            // Whole large pages, aligned on both sides.
            pageSize = random.next() % 16 == 0 ? Self.large : 1 << 14
            range = range.roundedOut(to: pageSize)
            target &= ~(pageSize - 1)
        default: break
        }
        // A target is an address: its pages do not reach beyond 2^64.
        target = min(target, (UInt64.max - (range.last - range.start)) & ~(max(pageSize, 4096) - 1))
        map.replace(with: TranslationMap.Run(range: range, target: target, pageSize: pageSize, tag: tag))
        Self.remove(range, from: &twin)
        for page in Self.pages(range) {
            twin[page] = Page(target: target + (page - range.start), pageSize: pageSize, tag: tag)
        }
    }

    private static func pages(_ range: AddressRange) -> [UInt64] {
        (0..<range.size >> 12).map { range.start + $0 << 12 }
    }

    private static func remove(_ range: AddressRange, from twin: inout [UInt64: Page]) {
        for page in pages(range) {
            guard let gone = twin.removeValue(forKey: page), gone.pageSize > 4096 else { continue }
            // The other pages of a large one fall apart.
            let first = page & ~(gone.pageSize - 1)
            for offset in 0..<gone.pageSize >> 12 {
                let other = first + offset << 12
                if !range.contains(AddressRange(uncheckedStart: other, last: other | 4095)) {
                    twin[other]?.pageSize = 4096
                }
            }
        }
    }

    private func compare(_ map: TranslationMap, _ twin: [UInt64: Page]) {
        var seen: [UInt64: Page] = [:]
        var last: UInt64?
        let runs = runs(map)
        for run in runs {
            #expect(last.map { $0 < run.range.start } ?? true, "out of order")
            last = run.range.last
            for page in Self.pages(run.range) {
                seen[page] = Page(
                    target: run.target &+ (page - run.range.start), pageSize: run.pageSize, tag: run.tag)
            }
        }
        #expect(seen == twin)
        #expect(map.runCount == runs.count)
    }

    // MARK: - Hostile values

    /// Ranges of any bytes, targets that wrap, runs that end at the last byte.
    @Test(arguments: seeds) func anyNumbersAreTakenWithoutATrap(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var map = TranslationMap()
        for turn in 0..<3000 {
            let (one, other) = (random.hostile(), random.hostile())
            let range = try #require(AddressRange(start: min(one, other), last: max(one, other)))
            if random.next() % 3 == 0 {
                var pieces: ContiguousArray<TranslationMap.Run>? = []
                let touched = runs(map, in: range)
                let removed = map.remove(range, into: &pieces)
                #expect(pieces.map(Array.init) == touched.compactMap { $0.clipped(to: range) })
                #expect(removed.runs == touched.count)
                #expect(runs(map, in: range).isEmpty)
                #expect(map.target(of: range.start) == nil && map.target(of: range.last) == nil)
            } else {
                let target = random.hostile()
                let page: UInt64 = random.next() & 1 == 0 ? 0 : 4096
                map.replace(with: TranslationMap.Run(range: range, target: target, pageSize: page, tag: Int64(turn)))
                #expect(map.target(of: range.start) == target)
                #expect(map.target(of: range.last) == target &+ (range.last - range.start))
                #expect(runs(map, in: range).map(\.tag) == [Int64(turn)])
            }
        }
        #expect(map.runCount > 0)
        map.remove(.everything)
        #expect(map.bytes == 0 && map.runCount == 0)
    }
}
