import TestSupport
import Testing

@testable import IOMMUModel

/// Stale windows at the interface: anything may be mapped over anything and unmapped anywhere (model.md §9 items 1 to 5, 7 to 9,
/// 25, 33, 34).
///
/// What the page table says before and after each call, page by page, and which commands were sent in it, give the windows: the
/// bound. What the device is seen to get must lie in it.
@Suite struct ContractWindowTests {
    /// The machine, and what is known of each page without looking into its caches.
    struct Observed {
        var machine: ContractMachine
        let format: any PageTableFormat
        let zone: AddressRange
        let granule: UInt64
        var gather = Gather()
        /// By page: what it points to, by the table.
        private(set) var now: [UInt64?] = []
        /// By page: what a cache may still say, since it was unmapped and not flushed.
        private(set) var open: [Int: Set<UInt64>] = [:]
        /// By page: all that it ever pointed to.
        private(set) var history: [Int: Set<UInt64>] = [:]
        private(set) var lost: [Int] = []
        var staleHits = 0

        init(_ format: any PageTableFormat, era: InterfaceEra, iotlb: Int) throws {
            machine = try ContractMachine(DriverModel(format: format), era: era, iotlb: iotlb)
            self.format = format
            granule = format.pageSizes.granule
            let large = format.geometry.entrySize(level: 1)
            zone = bytes(format.geometry.entrySize(level: 2) - large, 2 * large)
            now = snapshot()
        }

        private func snapshot() -> [UInt64?] {
            var pages = [UInt64?](repeating: nil, count: Int(zone.size / granule))
            machine.table?.forEachLeaf(overlapping: zone) { leaf in
                for offset in stride(from: 0, to: leaf.bytes, by: Int(granule)) {
                    pages[Int((leaf.iova + offset - zone.start) / granule)] = leaf.target + offset
                }
            }
            return pages
        }

        func page(_ index: Int) -> AddressRange { bytes(zone.start + UInt64(index) * granule, granule) }

        /// Makes a call and works out which windows it opens and closes.
        mutating func call(_ body: (inout ContractMachine, inout Gather) -> Void) -> [ContractEvent] {
            let held = machine.entries
            body(&machine, &gather)
            let after = snapshot()
            lost = now.indices.filter { now[$0] != nil && after[$0] != now[$0] }
            for index in lost { if let old = now[index] { open[index, default: []].insert(old) } }
            now = after
            for index in now.indices { if let new = now[index] { history[index, default: []].insert(new) } }
            let events = machine.core.takeEvents()
            var survivors = held
            for event in events {
                guard case .command(let command, let domain, _) = event else { continue }
                let range = command.range ?? .everything
                open = open.filter { !page($0.key).overlaps(range) }
                survivors = survivors.filter { $0.domain != domain || !$0.range.overlaps(range) }
            }
            // Items 3, 4, 5 and 25: commands take exactly what they name, and nothing else goes.
            #expect(machine.entries == survivors)
            return events
        }

        /// Reads at a few addresses of a range, which may be about to go.
        mutating func accessSome(of range: AddressRange, _ random: inout SeededGenerator) {
            for _ in 0..<10 { access(range.start + random.next() % range.size) }
        }

        /// Items 8, 9, 33 and 34: what the device gets is what the table says, or what it said, in an open window.
        mutating func access(_ iova: UInt64) {
            let index = Int((iova - zone.start) / granule)
            let offset = iova & (granule - 1)
            guard let seen = machine.read(iova) else {
                #expect(now[index] == nil)
                return
            }
            #expect(history[index]?.contains(seen.paddr - offset) == true)
            if seen.isStale {
                staleHits += 1
                #expect(open[index]?.contains(seen.paddr - offset) == true)
                #expect(now[index] != seen.paddr - offset)
            } else {
                #expect(now[index] == seen.paddr - offset)
            }
        }
    }

    private static func turns(_ format: any PageTableFormat) -> Int { format.geometry.bitsPerLevel == 9 ? 60 : 20 }

    /// Any range in the zone; a superpage or several now and then.
    private func anyRange(_ observed: Observed, _ random: inout SeededGenerator) -> AddressRange {
        let pages = observed.zone.size / observed.granule
        let first = random.next() % 4 == 0 ? random.next() % 2 * (pages / 2) : random.next() % pages
        let count = random.next() % 4 == 0 ? pages / 2 : 1 + random.small(below: pages / 2)
        return bytes(observed.zone.start + first * observed.granule, min(count, pages - first) * observed.granule)
    }

    /// - Returns: whether it was taken back, by an unmap that syncs.
    @discardableResult
    private func mapAnywhere(_ observed: inout Observed, _ random: inout SeededGenerator) -> Bool {
        let range = anyRange(observed, &random)
        var paddr = random.next() % (1 << 31) & ~(observed.granule - 1)
        let large = observed.zone.size / 2
        if random.next() & 1 == 0 { paddr = paddr & ~(large - 1) | range.start & (large - 1) }
        let events = observed.call { machine, _ in try? machine.map(range.start, to: paddr, range.size) }
        return events.contains { if case .sync = $0 { true } else { false } }
    }

    /// Items 1, 2 and 34: when unmap returns, nothing of what was asked for is stale; and nothing at all with drivers that unmap
    /// no more than that.
    @Test(arguments: namedFormats) func strict(format: Named<any PageTableFormat>) throws {
        let format = format.value
        let (lost, beyond) = try InterfaceEra.allCases.reduce((0, 0)) { sum, era in
            let (lost, beyond) = try strict(format, era)
            return (sum.0 + lost, sum.1 + beyond)
        }
        #expect(lost > 0)
        #expect((beyond > 0) == (format.rules.partialUnmap == .wholeEntry))
    }

    /// - Returns: pages that were unmapped, and those of them beyond what was asked for.
    private func strict(_ format: any PageTableFormat, _ era: InterfaceEra) throws -> (lost: Int, beyond: Int) {
        var random = SeededGenerator(seed: UInt64(era.rawValue) + 1)
        var observed = try Observed(format, era: era, iotlb: 512)
        var (lost, beyond) = (0, 0)
        for _ in 0..<Self.turns(format) {
            for _ in 0..<20 { observed.access(observed.zone.start + random.next() % observed.zone.size) }
            if random.next() & 1 == 0 {
                mapAnywhere(&observed, &random)
            } else {
                let range = anyRange(observed, &random)
                observed.accessSome(of: range, &random)
                let events = observed.call { machine, _ in _ = machine.unmap(range.start, range.size) }
                observed.accessSome(of: range, &random)
                // A sync of nothing is none, where the interface looks.
                let removes = events.contains { if case .unmap(_, _, _, let bytes) = $0 { bytes > 0 } else { false } }
                #expect(
                    events.count { if case .sync(_, _, false) = $0 { true } else { false } }
                        == (removes || !era.skipsEmptySyncs ? 1 : 0))
                lost += observed.lost.count
                beyond += observed.lost.filter { !observed.page($0).overlaps(range) }.count
                // Up to 5.3 the range of a callback is as long as it was asked to be, and what lies behind it and went with a
                // superpage, or with VT-d's rounding in a hole, is in no range (model.md §1.5).
                // And what went with a superpage before stays open where nothing is removed any more, since 7.1 without even a sync.
                if removes || !era.skipsEmptySyncs, era >= .v54 || format.rules.partialUnmap != .wholeEntry {
                    let left = observed.open.keys.filter { observed.page($0).overlaps(range) }
                    #expect(left.isEmpty, "\(era): \(range) leaves \(left.map(observed.page)); \(events)")
                }
            }
            if format.rules.partialUnmap != .wholeEntry { #expect(observed.open.isEmpty) }
        }
        if format.rules.partialUnmap != .wholeEntry { #expect(observed.staleHits == 0) }
        return (lost, beyond)
    }

    /// Items 3 to 5 and 7 to 9 with any order of unmap_fast, range_add, sync and flush_all.
    @Test(arguments: namedFormats) func fast(format: Named<any PageTableFormat>) throws {
        let format = format.value
        var (opened, staleHits) = (0, 0)
        for era in InterfaceEra.allCases {
            for iotlb in [16, 2048] {
                let seen = try fast(format, era, iotlb: iotlb)
                opened += seen.opened
                staleHits += seen.staleHits
            }
        }
        #expect(opened > 0)
        #expect(staleHits > 0)
    }

    private func fast(
        _ format: any PageTableFormat, _ era: InterfaceEra, iotlb: Int
    ) throws -> (opened: Int, staleHits: Int) {
        var random = SeededGenerator(seed: UInt64(era.rawValue) + UInt64(iotlb))
        var observed = try Observed(format, era: era, iotlb: iotlb)
        var (opened, added) = (0, [] as [AddressRange])
        for _ in 0..<Self.turns(format) {
            for _ in 0..<20 { observed.access(observed.zone.start + random.next() % observed.zone.size) }
            switch random.next() % 8 {
            case 0...2: if mapAnywhere(&observed, &random) { added = [] }
            case 3...5:
                let range = anyRange(observed, &random)
                let isAdded = random.next() & 1 == 0
                observed.accessSome(of: range, &random)
                let before = observed.open
                let events = observed.call { machine, gather in
                    _ = machine.core.unmapFast(
                        machine.domain, iova: range.start, size: range.size, gather: &gather)
                }
                let isQuiet = !events.contains { if case .command = $0 { true } else { false } }
                if isQuiet {
                    // Item 3: windows grow by exactly what was unmapped.
                    #expect(Set(observed.open.keys) == Set(before.keys).union(observed.lost))
                }
                opened += observed.lost.count
                observed.accessSome(of: range, &random)
                #expect(era >= .v54 || isQuiet || format.rules.flushesWalksAtOnce)
                expectGathered(observed, range, events)
                if isAdded, era < .v54 {
                    observed.machine.core.tlbRangeAdd(
                        observed.machine.domain, iova: range.start, size: range.size)
                    added.append(range)
                }
            case 6:
                let before = observed.open
                let ranges = era < .v54 ? added : observed.gather.range.map { [$0] } ?? []
                let events = observed.call { machine, gather in
                    machine.core.tlbSync(machine.domain, gather: &gather)
                }
                added = []
                // Item 5: a sync closes what its ranges touch, and says what they are.
                let left = before.keys.filter { index in !ranges.contains { $0.overlaps(observed.page(index)) } }
                #expect(Set(observed.open.keys) == Set(left))
                if era.skipsEmptySyncs, ranges.isEmpty {
                    #expect(events.isEmpty)
                    continue
                }
                guard case .sync(_, let synced, false) = events.first else {
                    Issue.record("no sync")
                    continue
                }
                let isSame = observed.now.indices.allSatisfy { index in
                    let page = observed.page(index)
                    return ranges.contains { $0.overlaps(page) } == synced.contains { $0.overlaps(page) }
                }
                #expect(isSame)
            default:
                _ = observed.call { machine, _ in machine.core.flushTLBAll(machine.domain) }
                added = []
                // Item 4.
                #expect(observed.open.isEmpty && observed.machine.entries.isEmpty)
            }
        }
        return (opened, observed.staleHits)
    }

    /// Item 7, from 5.4 on: what a driver removed where it was asked to is in the gather, or was synced.
    private func expectGathered(_ observed: Observed, _ range: AddressRange, _ events: [ContractEvent]) {
        guard observed.machine.core.era >= .v54 else { return }
        for index in observed.lost where observed.page(index).overlaps(range) {
            let page = observed.page(index)
            let isGathered = observed.gather.range?.overlaps(page) == true
            let isFlushed = observed.open[index] == nil
            #expect(isGathered || isFlushed)
        }
    }
}
