import FlushSchedules
import IOMMUModel
import Operations
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// Policy `iommufd` against batches that are put together page by page (design §4 7).
@Suite struct IOMMUFDTests {
    /// A guest's areas: mapped in pieces to frames that continue each other or not, unmapped in pieces of other sizes.
    private struct Guest {
        var operations: [StoredOperation] = []
        /// By page, the frame; absent where the log does not tell.
        var frames: [UInt64: UInt64] = [:]
        private var random: SeededGenerator

        init(seed: UInt64, areas: Int) {
            random = SeededGenerator(seed: seed)
            for area in 0..<areas {
                // A page lies between areas.
                let first = UInt64(area) * 4096 + 1
                let pages = 1 + random.next() % 600
                map(first, pages)
                unmap(first, pages)
            }
        }

        private mutating func add(_ operation: StoredOperation) {
            var operation = operation
            operation.id = Int64(operations.count) + 1
            (operation.line, operation.time) = (operation.id, operation.id * 1000)
            operations.append(operation)
        }

        private mutating func map(_ first: UInt64, _ pages: UInt64) {
            var page = first
            var frame = 1 << 20 as UInt64
            while page < first + pages {
                let count = min([1, 1, 2, 7, 64][Int(random.next() % 5)], first + pages - page)
                if random.next() % 3 != 0 { frame += 1 + random.next() % 9 }
                let isKnown = random.next() % 8 != 0
                if random.next() % 9 != 0 {
                    add(
                        .make(
                            .map, iova: page << 12, size: count << 12, paddr: isKnown ? frame << 12 : nil))
                    for number in 0..<count where isKnown { frames[page + number] = frame + number }
                }
                page += count
                frame += count
            }
        }

        private mutating func unmap(_ first: UInt64, _ pages: UInt64) {
            var page = first
            while page < first + pages {
                let count = min([1, 1, 3, 40, 300][Int(random.next() % 5)], first + pages - page)
                add(.make(.unmapFast, iova: page << 12, size: count << 12))
                page += count
            }
        }
    }

    private struct Batch: Equatable {
        var operation: Int64
        var calls: Int64
        var first: UInt64
        var last: UInt64
    }

    /// The batches by walking over pages.
    private func batches(_ guest: Guest, runs limit: Int) -> [Batch] {
        var batches: [Batch] = []
        var (runs, next, calls) = (0, nil as UInt64?, [] as [Int64])
        var pages: [UInt64] = []
        func end() {
            if let first = pages.first, let last = pages.last, let operation = calls.last {
                batches.append(Batch(operation: operation, calls: Int64(calls.count), first: first, last: last))
            }
            (runs, next, calls, pages) = (0, nil, [], [])
        }
        for operation in guest.operations {
            guard operation.kind == .unmapFast else {
                end()
                continue
            }
            for page in operation.iova >> 12..<(operation.iova + operation.size) >> 12 {
                let frame = guest.frames[page]
                if frame == nil || frame != next {
                    if runs == limit { end() }
                    runs += 1
                }
                next = frame.map { $0 + 1 }
                if calls.last != operation.id { calls.append(operation.id) }
                pages.append(page)
            }
        }
        end()
        return batches
    }

    @Test(arguments: (1...12).flatMap { seed in [1, 2, 5, 64, 5461].map { (UInt64(seed), $0) } })
    func batchesAreThoseOfThePages(seed: UInt64, limit: Int) throws {
        let guest = Guest(seed: seed, areas: 9)
        let expected = batches(guest, runs: limit)
        let policy = try Policy(parsing: "iommufd=\(limit)")
        let trace = TraceSummary.make(kind: .unmanaged, lastTime: Int64(guest.operations.count + 1) * 1000)
        let options = ReplayOptions(hardware: Hardware(.vtd70))
        let lane = Replayed(trace, [.init(policy)], options: options, guest.operations).lanes[0]
        // What is still gathered when the log ends was not flushed in it.
        let ended = lane.rows.flushes.map { Batch(operation: $0.operation, calls: $0.calls, first: 0, last: 0) }
        #expect(
            ended
                == expected.prefix(ended.count).map {
                    Batch(operation: $0.operation, calls: $0.calls, first: 0, last: 0)
                })
        #expect(expected.count - ended.count <= 1)
        let row = try #require(lane.summary.first { $0.domain == 1 })
        #expect(row.flushes == Int64(ended.count))
        // One descriptor each, of just the pages from the first to the last.
        var twin = Invalidator(Hardware(.vtd70), pageSizes: .fourKTwoMOneG)
        for batch in expected.prefix(ended.count) {
            twin.sync(try #require(AddressRange(start: batch.first << 12, last: batch.last << 12 | 4095)))
        }
        #expect(
            row.hardware?.commands == twin.counts.commands && row.hardware?.pages == Int64(clamping: twin.counts.pages))
        #expect(lane.rows.windows.isEmpty && lane.rows.flushes.allSatisfy { $0.cause != .call })
    }
}
