import IOMMUModel
import TestSupport
import Testing

@testable import Replay

/// Which pages are mapped, against a count for each page.
@Suite struct MappedPagesTests {
    private struct Mapping: Hashable {
        var pages: AddressRange
        var iova: UInt64
    }

    private static let pageCount: UInt64 = 256

    /// - Parameter seed: every second one maps the same pages in several places, the others hardly ever.
    @Test(arguments: seeds) func agreesWithCounts(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var mapped = MappedPages()
        var mappings: [Mapping] = []
        var counts = [Int](repeating: 0, count: Int(Self.pageCount))
        var shared = 0
        for turn in 0..<3000 {
            let length = random.small(below: 24) + 1
            let first = random.next() % (Self.pageCount - length + 1)
            let pages = try #require(AddressRange(start: first << 12, size: length << 12))
            if random.next() % 2 == 0, mappings.count < 60 {
                let isShared = (first..<first + length).contains { counts[Int($0)] > 0 }
                if isShared, seed % 2 == 0, random.next() % 16 > 0 { continue }
                shared += isShared ? 1 : 0
                mapped.insert(pages, iova: UInt64(turn) << 12)
                mappings.append(Mapping(pages: pages, iova: UInt64(turn) << 12))
                for page in first..<first + length { counts[Int(page)] += 1 }
            } else if !mappings.isEmpty {
                let gone = mappings.remove(at: Int(random.next() % UInt64(mappings.count)))
                mapped.remove(start: gone.pages.start, iova: gone.iova)
                for page in gone.pages.start >> 12...gone.pages.last >> 12 { counts[Int(page)] -= 1 }
            }
            // What is not there changes nothing.
            mapped.remove(start: pages.start, iova: .max)
            try expectGaps(mapped, counts, of: pages)
        }
        try expectGaps(mapped, counts, of: try #require(AddressRange(start: 0, size: Self.pageCount << 12)))
        #expect(shared > (seed % 2 == 0 ? 3 : 20))
    }

    private func expectGaps(_ mapped: MappedPages, _ counts: [Int], of pages: AddressRange) throws {
        var seen: [UInt64] = []
        var last: UInt64?
        mapped.forEachUnmapped(of: pages) { part in
            #expect(pages.contains(part) && last.map { $0 < part.start } ?? true)
            last = part.last
            seen += (part.start >> 12...part.last >> 12)
        }
        #expect(seen == (pages.start >> 12...pages.last >> 12).filter { counts[Int($0)] == 0 })
    }

    @Test func theEndsOfTheAddressSpaceAreNoTrap() throws {
        var mapped = MappedPages()
        var gaps: [AddressRange] = []
        mapped.forEachUnmapped(of: .everything) { gaps.append($0) }
        #expect(gaps == [.everything])
        mapped.insert(.everything, iova: 0)
        mapped.insert(.everything, iova: 4096)
        mapped.insert(try #require(AddressRange(start: .max - 4095, last: .max)), iova: 0)
        gaps = []
        mapped.forEachUnmapped(of: .everything) { gaps.append($0) }
        #expect(gaps.isEmpty)
        mapped.remove(start: 0, iova: 0)
        mapped.remove(start: 0, iova: 4096)
        mapped.forEachUnmapped(of: .everything) { gaps.append($0) }
        #expect(gaps == [try #require(AddressRange(start: 0, last: .max - 4096))])
    }
}
