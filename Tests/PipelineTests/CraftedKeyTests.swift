import IOMMUModel
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// A log chooses its addresses, domains and tasks. None that it can choose makes a table of a replay slow: keys are looked for at places
/// that depend on a seed. Counted in slots that are looked at, not in time.
@Suite struct CraftedKeyTests {
    /// Keys whose products with a constant agree in the bits that a table without a seed would go by.
    private static func colliding(count: Int, shift: UInt64, _ multiplier: UInt64) -> [UInt64] {
        var keys: [UInt64] = []
        var key: UInt64 = 0
        while keys.count < count {
            if (key &* multiplier) >> shift & 0x3f == 0 { keys.append(key) }
            key += 1
        }
        return keys
    }

    static let crafted: [[UInt64]] = [
        colliding(count: 4000, shift: 20, 0xbf58_476d_1ce4_e5b9),
        colliding(count: 4000, shift: 32, 0x9e37_79b9_7f4a_7c15),
        colliding(count: 4000, shift: 24, 0x9e37_79b9_7f4a_7c15),
        (0..<4000).map { $0 << 32 }, (0..<4000).map { $0 << 20 },
    ]

    private func expectFew(_ probes: [Int]) {
        #expect(probes.reduce(0, +) < probes.count * 5 / 4)
        #expect(probes.max() ?? 0 < 24)
    }

    @Test(arguments: crafted.indices) func sums(keys: Int) {
        var table = SummingTable(zero: 0)
        for key in Self.crafted[keys] { table[table.index(of: key)] += 1 }
        expectFew(Self.crafted[keys].map(table.probes))
    }

    @Test(arguments: crafted.indices) func pagesThatWereUnmapped(keys: Int) throws {
        var pages = LastRemoved(spaces: 4)
        for (number, key) in Self.crafted[keys].enumerated() {
            let range = try #require(AddressRange(start: key << 12, size: 4096))
            pages.add(range, space: 3, LastRemoved.Moment(ordinal: Int64(number) + 1, time: 0))
        }
        expectFew(Self.crafted[keys].map { pages.probes(of: $0 << 12, space: 3) })
    }

    @Test(arguments: crafted.indices) func cells(keys: Int) {
        let cells = Self.crafted[keys].map {
            Cell(
                domain: Int32(truncatingIfNeeded: $0), device: Int32(truncatingIfNeeded: $0 >> 8),
                task: Int32(truncatingIfNeeded: $0 >> 32))
        }
        var table = CellTable()
        for cell in cells { _ = table.number(domain: cell.domain, device: cell.device, task: cell.task) }
        expectFew(cells.map(table.probes))
    }
}
