import FlushSchedules
import IOMMUModel
import Operations
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// A policy's figures are its own: what is replayed beside it, and in which batches, changes none of them (design §4 17).
@Suite struct NeighbourTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var hardware: String?
        var iotlb: String?
        var windows: WindowsKept
        var losesEvents: Bool
        var seed: UInt64
        var testDescription: String {
            "\(hardware ?? "no hardware"), \(iotlb ?? "no cache"), windows \(windows)\(losesEvents ? ", losses" : ""), seed \(seed)"
        }

        func options() throws -> ReplayOptions {
            try ReplayOptions(
                hardware: hardware.flatMap { Hardware(parsing: $0) },
                iotlb: iotlb.map { CacheModel(try CacheGeometry(parsing: $0)) }, windows: windows)
        }
    }

    static let cases: [Case] = [nil, "vtd-6.12", "smmuv3", "amd-6,np-cache", "contract"].flatMap { hardware in
        (hardware == nil ? [nil] : [nil, "16x4"]).flatMap { iotlb in
            [false, true].enumerated().map { number, losesEvents in
                Case(
                    hardware: hardware, iotlb: iotlb, windows: [.all, .longest(50), .none][(number + 1) % 3],
                    losesEvents: losesEvents, seed: UInt64(61 + number))
            }
        }
    }

    /// All that a replay writes of a policy.
    static func figures(_ lane: ReplayedLane) -> [String] {
        let statistics = lane.statistics
        return lane.summary.map { "\($0)" } + lane.cells.map { "\($0)" } + statistics.summaries.map { "\($0)" }
            + statistics.hazards.map { "\($0)" } + statistics.timeline.map { "\($0)" }
            + statistics.totals.map { "\($0)" } + lane.rows.flushes.map { "\($0)" } + lane.rows.windows.map { "\($0)" }
            + lane.rows.hazards.map { "\($0)" } + (lane.cache?.staleEntries.map { "\($0)" } ?? [])
    }

    /// Large pages that are mapped in small ones, partly where the log does not tell to what.
    private static func operations(seed: UInt64) -> [StoredOperation] {
        let stream = OperationStream(seed: seed, count: 1500, longPatience: 60)
        var random = SeededGenerator(seed: seed)
        var operations: [StoredOperation] = []
        func add(_ operation: StoredOperation) {
            var operation = operation
            operation.id = Int64(operations.count) + 1
            operation.line = operation.id * 2
            operations.append(operation)
        }
        for operation in stream.operations {
            add(operation)
            guard random.next() % 8 == 0 else { continue }
            let iova = (random.next() % 4 + 1) << 30
            let isKnown = random.next() % 3 != 0
            for kind in [Operation.Kind.map, .unmapFast] {
                add(
                    .make(
                        kind, time: operation.time, iova: iova, size: 2 << 20, pid: operation.pid,
                        paddr: isKnown ? 0x5000 : nil))
            }
        }
        return operations
    }

    @Test(arguments: cases) func aPolicyAloneIsThePolicyBesideAnyOthers(test: Case) throws {
        let operations = Self.operations(seed: test.seed)
        let losses = stride(from: 3, to: operations.count * 2, by: operations.count / 9).map { Int64($0) | 1 }
        let trace = TraceSummary.make(
            domains: Int(OperationStream.domains), lastTime: operations.map(\.time).max() ?? 0,
            showsAttaches: test.seed % 2 == 0, lossLines: test.losesEvents ? losses : [])
        let requests = try ScheduleTests.policies.map { try Replay.Request($0) }
        let options = try test.options()
        let together = Replayed(trace, requests, options: options, operations, batchSize: 700)
        for (lane, request) in zip(together.lanes, requests) {
            let alone = Replayed(trace, [request], options: options, operations, batchSize: 64)
            #expect(Self.figures(alone.lanes[0]) == Self.figures(lane), "\(request.text)")
        }
        let threads = Replayed(trace, requests, options: options, operations, threads: 3)
        for (one, other) in zip(threads.lanes, together.lanes) { #expect(Self.figures(one) == Self.figures(other)) }
    }

    /// A loss makes hazards uncertain, not the leaves: Arm's driver takes the leaf table away in any case (model.md §3.4).
    @Test(arguments: [["sync"], ["sync", "end"], ["end", "sync"]]) func aLossHidesNoLeaves(policies: [String]) throws {
        let trace = TraceSummary.make(lastTime: 100, lossLines: [3])
        let operations: [StoredOperation] = [
            .make(.map, id: 1, time: 1, iova: 2 << 20, size: 2 << 20, paddr: 0x5000),
            .make(.map, id: 2, time: 2, iova: 4 << 20, size: 2 << 20, paddr: 8 << 20),
            .make(.unmapFast, id: 4, time: 4, iova: 2 << 20, size: 2 << 20),
            .make(.unmapFast, id: 5, time: 5, iova: 4 << 20, size: 2 << 20),
        ]
        let replayed = Replayed(
            trace, try policies.map { try .init($0) }, options: ReplayOptions(hardware: Hardware(.smmuv3)), operations)
        for lane in replayed.lanes where lane.lane.policy == .sync {
            #expect(lane.summary[0].hardware?.commands == 513)
        }
    }

    /// Arm flushes what leads to a table that goes, also where the flush of the leaves is deferred (model.md §3.4).
    @Test(arguments: ["sync", "batch=8", "every=1ms", "queue", "end", "recorded"])
    func walksAreFlushedUnderEveryPolicy(policy: String) throws {
        let trace = TraceSummary.make(lastTime: 100)
        let operations: [StoredOperation] = [
            .make(.map, id: 1, time: 1, iova: 2 << 20, size: 2 << 20, paddr: 0x5000),
            .make(.unmapFast, id: 2, time: 2, iova: 2 << 20, size: 2 << 20),
        ]
        let lane = Replayed(
            trace, [try .init(policy)], options: ReplayOptions(hardware: Hardware(.smmuv3)), operations
        ).lanes[0]
        #expect(lane.cells.reduce(0) { $0 + ($1.hardware?.commands ?? 0) } == 512)
    }

    /// Nothing is flushed for a domain that is gone: its windows end with it (design §4 7).
    @Test(arguments: ["every=10ms", "batch=2", "queue=4,10ms", "recorded"])
    func aFreedDomainIsNotFlushed(policy: String) throws {
        let trace = TraceSummary.make(lastTime: 50_000_000)
        let operations: [StoredOperation] = [
            .make(.unmapFast, id: 1, time: 1_000_000, size: 4096),
            .make(.domainFree, id: 2, time: 2_000_000),
            .make(.unmapFast, id: 3, time: 30_000_000, domain: 1, iova: 0x10000, size: 4096),
        ]
        let lane = Replayed(trace, [try .init(policy)], Array(operations.prefix(2))).lanes[0]
        #expect(lane.rows.flushes.isEmpty)
        #expect(lane.summary[0].callsPending == 0 && lane.summary[0].flushesPending == 0)
        // What comes under the same number afterwards begins anew.
        let again = Replayed(trace, [try .init(policy)], operations).lanes[0]
        #expect(again.rows.flushes.allSatisfy { $0.time > 30_000_000 && $0.calls == 1 })
        #expect(again.summary[0].callsPending + again.rows.flushes.reduce(0) { $0 + $1.calls } == 1)
    }

    /// A sync of a part of a page leaves the page stale, once (design §4 11).
    @Test func aPageCountsOnceHoweverManyPartsOfItAreOpen() throws {
        let trace = TraceSummary.make(lastTime: 100)
        func peak(_ syncs: [(iova: UInt64, size: UInt64)]) throws -> Int64 {
            var operations: [StoredOperation] = [.make(.unmapFast, id: 1, time: 1, iova: 0x1000, size: 0x2000)]
            for (number, sync) in syncs.enumerated() {
                var operation = StoredOperation.make(
                    .sync, id: Int64(number) + 2, time: Int64(number) * 10 + 10, iova: sync.iova, size: sync.size)
                operation.completed = operation.time
                operations.append(operation)
            }
            // The page after it: what the first one counts for shows in the sum.
            operations.append(.make(.unmapFast, id: 10, time: 90, iova: 0x8000, size: 0x1000))
            operations.append(.make(.marker, id: 11, time: 95, domain: 0))
            let lane = Replayed(trace, [try .init("recorded")], operations).lanes[0]
            return try #require(lane.statistics.totals.first { $0.of == .trace }).total.peak
        }
        // Nothing closed: three pages at the end. A hole inside a page, then its two sides.
        #expect(try peak([]) == 3)
        #expect(try peak([(0x1400, 0x400)]) == 3)
        #expect(try peak([(0x1400, 0x400), (0x1000, 0x400), (0x1800, 0x800)]) == 2)
        #expect(try peak([(0x1000, 0x800), (0x1800, 0x1800)]) == 2)
        #expect(try peak([(0x1800, 0x1000), (0x1000, 0x800), (0x2800, 0x800)]) == 2)
    }
}
