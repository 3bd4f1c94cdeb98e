import IOMMUModel
import TestSupport
import Testing

@testable import Replay

/// The filter may name too many domains, never too few, and mostly none.
@Suite struct StaleFilterTests {
    @Test(arguments: seeds) func namesAllDomainsThatMayHavePagesStale(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var filter = StaleFilter()
        var added: [(pages: AddressRange, domain: Int32, operation: Int64)] = []
        var (asked, named) = (0, 0)
        for operation in 1..<6000 as Range<Int64> {
            let isLarge = random.next() % 512 == 0
            let pages = try #require(
                AddressRange(start: random.next() % 20_000 << 12, size: (isLarge ? 100 : random.next() % 8 + 1) << 12))
            let domain = Int32(truncatingIfNeeded: random.next() % 100 + 1)
            filter.add(pages, domain: domain, operation: operation)
            added.append((pages, domain, operation))
            if operation % 64 == 0 {
                filter.firstOpen = operation - Int64(random.next() % 60)
                added.removeAll { $0.operation < filter.firstOpen }
            }
            let wanted = try #require(
                AddressRange(start: random.next() % 20_000 << 12, size: (random.next() % 70 + 1) << 12))
            for question in [wanted, pages] {
                let stale = added.filter { $0.pages.overlaps(question) }.map(\.domain)
                let domains = filter.domains(of: question)
                #expect(stale.allSatisfy { domains & StaleFilter.bit(of: $0) != 0 })
            }
            let one = try #require(AddressRange(start: wanted.start, size: 4096))
            asked += 1
            named += filter.domains(of: one) == 0 ? 0 : 1
        }
        // Large ranges aside: those are named for each page until they are closed.
        #expect(named * 3 < asked)
    }

    @Test func anyAddressesAreTakenWithoutATrap() throws {
        var random = SeededGenerator(seed: 7)
        var filter = StaleFilter()
        for _ in 0..<5000 {
            let (one, other) = (random.hostile(), random.hostile())
            let pages = try #require(AddressRange(start: min(one, other), last: max(one, other)))
            let domain = Int32(truncatingIfNeeded: random.hostile())
            filter.add(pages, domain: domain, operation: Int64(bitPattern: random.hostile()))
            #expect(filter.domains(of: pages) & StaleFilter.bit(of: domain) != 0)
            #expect(filter.domains(of: .everything) == .max)
        }
    }
}
