import IOMMUModel
import TestSupport
import Testing

/// Model.md §1.6 and §4.4.
@Suite struct GatherTests {
    private func range(_ start: UInt64, _ size: UInt64) throws -> AddressRange {
        try #require(AddressRange(start: start, size: size))
    }

    /// As VT-d's driver adds a callback.
    private func add(_ added: AddressRange, to gather: inout Gather) -> AddressRange? {
        gather.add(added, length: added.size, by: .callbacks)?.range
    }

    @Test func neighboursOfOneLengthMerge() throws {
        var gather = Gather()
        #expect(add(try range(0x2000, 0x1000), to: &gather) == nil)
        #expect(add(try range(0x3000, 0x1000), to: &gather) == nil)
        #expect(add(try range(0x1000, 0x1000), to: &gather) == nil)
        #expect(gather.range == (try range(0x1000, 0x3000)))
        #expect(gather.length == 0x1000)
        #expect(gather.take()?.range == (try range(0x1000, 0x3000)))
        #expect(gather.range == nil)
        #expect(gather.length == 0)
    }

    @Test func aGapSyncsWhatWasGatheredBefore() throws {
        for start in [UInt64(0x8000), 0x2000] {
            var gather = Gather()
            _ = add(try range(0x4000, 0x1000), to: &gather)
            #expect(add(try range(start, 0x1000), to: &gather) == (try range(0x4000, 0x1000)))
            #expect(gather.range == (try range(start, 0x1000)))
        }
    }

    /// A callback of another length begins a segment, even without a gap (model.md §4.4).
    @Test func anotherCallbackLengthSyncsToo() throws {
        var gather = Gather()
        _ = add(try range(0x4000, 0x1000), to: &gather)
        #expect(add(try range(0x5000, 0x2000), to: &gather) == (try range(0x4000, 0x1000)))
        #expect(gather.length == 0x2000)
    }

    /// A 4K head, a 2M body and a 4K tail are three segments (model.md §4.4).
    @Test func headBodyAndTailAreThreeSegments() throws {
        var gather = Gather()
        var syncs = 0
        PageSizes.fourKTwoMOneG.forEachCallback(in: try range(0x1ff000, 0x202000)) { iova, callback in
            guard let added = AddressRange(start: iova, size: callback.size) else { return }
            if add(added, to: &gather) != nil { syncs += 1 }
        }
        if gather.take()?.range != nil { syncs += 1 }
        #expect(syncs == 3)
    }

    @Test func anEmptyGatherHasNothingToSync() {
        var gather = Gather()
        #expect(gather.take()?.range == nil)
        #expect(gather.take()?.range == nil)
    }

    /// The ends of the address space: nothing lies before byte 0 or after the last, and their sums do not wrap.
    @Test func theEndsOfTheAddressSpaceAreNoNeighbours() throws {
        let (first, last) = (try range(0, 0x1000), try range(.max - 0xfff, 0x1000))
        var gather = Gather()
        _ = add(first, to: &gather)
        #expect(add(last, to: &gather) == first)
        #expect(add(first, to: &gather) == last)
        _ = gather.take()
        _ = add(last, to: &gather)
        #expect(add(try range(.max - 0x1fff, 0x1000), to: &gather) == nil)
    }

    /// Against the kernel's formulas in wider arithmetic.
    @Test(arguments: seeds) func agreesWithTheKernelsFormulas(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var gather = Gather()
        var twin = Twin()
        var (splits, merges) = (0, 0)
        for _ in 0..<8000 {
            if random.next() % 16 == 0 {
                #expect(gather.take()?.range == twin.sync())
                continue
            }
            let size = [1, 2, 2, 4096, .max][Int(random.next() % 5)] as UInt64
            let near: UInt64 =
                switch random.next() % 4 {
                case 0: gather.range?.last ?? 0
                case 1: gather.range?.start ?? 0
                case 2: .max - 10
                default: random.hostile()
                }
            let start = near &+ (random.next() % 7) &- 3 &- (random.next() & 1 == 0 ? size : 0)
            guard let added = AddressRange(start: start, size: size) else { continue }
            let synced = add(added, to: &gather)
            #expect(synced == twin.add(added), "\(added)")
            if synced != nil { splits += 1 } else { merges += 1 }
            #expect(gather.range == twin.range)
        }
        #expect(splits > 500 && merges > 500)
    }

    /// `iommu_iotlb_gather`, its inclusive `end` and all, where nothing can overflow.
    private struct Twin {
        var start: Int128 = .max
        var end: Int128 = 0
        var pgsize: UInt64 = 0
        var isEmpty: Bool { pgsize == 0 }

        var range: AddressRange? {
            isEmpty ? nil : AddressRange(start: UInt64(start), last: UInt64(end))
        }

        mutating func sync() -> AddressRange? {
            defer { self = Twin() }
            return range
        }

        mutating func add(_ added: AddressRange) -> AddressRange? {
            let (iova, size) = (Int128(added.start), Int128(added.size))
            var synced: AddressRange?
            if !isEmpty, pgsize != added.size || iova + size < start || iova > end + 1 { synced = sync() }
            pgsize = added.size
            start = min(start, iova)
            end = max(end, iova + size - 1)
            return synced
        }
    }
}
