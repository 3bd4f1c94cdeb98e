import SeededTable
import TestSupport
import TraceFormats
import Testing

@testable import Operations

/// Logs whose addresses, pointers and tasks are chosen to meet in hash tables: none costs more than others (by slots looked at,
/// not by a clock).
struct CraftedKeyTests {
    private static let count = 3000 as UInt64

    /// What keys were chosen for.
    struct Family: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var key: @Sendable (UInt64) -> UInt64
    }

    /// Numbers of at most 52 bits: pages, and so all addresses of a page.
    static let families = [
        Family(testDescription: "one after the other") { $0 },
        Family(testDescription: "low bits alike") { $0 << 32 },
        // Both halves alike and multiples of a power of two: a product with any odd number keeps its low bits alike.
        Family(testDescription: "alike when folded and multiplied") { ($0 << 8 & 0xfffff) << 32 | $0 << 8 & 0xfffff },
        // Multiples of what 0x9e3779b97f4a7c15 times is 1, below 2^52: products with that number, the golden ratio, are small.
        Family(testDescription: "small when multiplied by the golden ratio") { ($0 &* 0xf1de_83e1_9937_733d) >> 12 },
        Family(testDescription: "far apart") { $0 &* 0x7_fff1_0000 & 0xf_ffff_ffff_ffff },
    ]

    private func expectCheap<Key: SeededKey, Value>(
        _ table: SeededTable<Key, Value>, atLeast count: Int, _ what: Comment,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let costs = table.entries.map { table.probes(of: $0.key) }
        #expect(costs.count >= count, what, sourceLocation: sourceLocation)
        #expect(costs.reduce(0, +) < costs.count * 5 / 4, what, sourceLocation: sourceLocation)
        #expect(costs.max() ?? 0 < 24, what, sourceLocation: sourceLocation)
    }

    @Test("addresses of operations that name no domain", arguments: families)
    func addresses(family: Family) {
        var resolver = Resolver()
        var operations: ContiguousArray<Operation> = []
        for index in 0..<Self.count {
            var operation = Operation(.unmap)
            operation.id = Int64(index) + 1
            operation.line = Int64(index) + 1
            operation.iova = family.key(index) << 12
            operation.size = 4096
            operation.result = 4096
            operations.append(operation)
        }
        // Two domains, or there is nothing to decide on.
        let clues = [4, 5].map { Clue(kind: .whole(hardwareDomain: $0), line: 0, time: 0, cpu: 0, task: 1) }
        let addresses = Set(operations.map { $0.iova ?? 0 }).count
        let window = ResolverWindow(operations, ContiguousArray(clues), &resolver)
        expectCheap(window.addresses, atLeast: addresses, "addresses of a window")
        _ = resolver.resolve(operations, ContiguousArray(clues))
        expectCheap(resolver.freed, atLeast: addresses, "addresses that were freed")
    }

    @Test("pages that are mapped", arguments: families)
    func pages(family: Family) {
        var occupancy = Occupancy()
        var pages: Set<UInt64> = []
        for index in 0..<Self.count {
            var entry = Entry()
            entry.iova = family.key(index) << 12
            entry.size = 4096
            pages.insert(family.key(index))
            occupancy.add(1, entry)
        }
        expectCheap(occupancy.labelsOfPage, atLeast: pages.count, "pages")
    }

    @Test("which bursts have something in common")
    func bursts() {
        for stride in [1, 256, 4096] {
            var graph = BurstGraph()
            graph.reset(nodes: 60 * stride)
            for one in 0..<60 { for other in 0..<one { graph.add(1, one * stride, other * stride) } }
            expectCheap(graph.edgeOfPair, atLeast: 60 * 59 / 2, "pairs of every \(stride)th burst")
        }
    }

    @Test("pointers, tasks and probes of a log", arguments: families)
    func names(family: Family) throws {
        var text = ""
        for index in 0..<Self.count {
            let pointer = String(family.key(index) << 12, radix: 16)
            text += "0 \(index + 1) 1 p\(index): (iommu_unmap+0x5/0xa0) domain=0x\(pointer) iova=0x1000 size=4096\n"
        }
        let builder = try builder(of: text)
        let pointers = Set((0..<Self.count).map { family.key($0) }).count
        expectCheap(builder.domainTable.numberOfPointer, atLeast: pointers, "pointers")
        expectCheap(builder.names.tasks.numbers, atLeast: Int(Self.count), "tasks")
        expectCheap(builder.probeMeanings.meanings, atLeast: Int(Self.count), "probes")
    }

    @Test("names of devices")
    func devices() throws {
        let text = (0..<Self.count).map { "0 1 1 attach_device_to_domain: IOMMU: device=d\($0)\n" }.joined()
        expectCheap(try builder(of: text).names.devices.numberOfSymbol, atLeast: Int(Self.count), "devices")
    }

    private func builder(of shorthand: String) throws -> OperationBuilder {
        let folder = try TemporaryFolder()
        let path = try folder.write(Array(FtraceText.expand(shorthand).utf8), to: "log.txt")
        var reader = try TraceReader(LogFile(path: path), ticksPerSecond: nil)
        let batch = EventBatch()
        var builder = OperationBuilder()
        var goesOn = true
        while goesOn {
            goesOn = try reader.read(into: batch)
            builder.add(batch)
        }
        return builder
    }
}
