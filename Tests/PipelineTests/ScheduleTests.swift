import FlushSchedules
import IOMMUModel
import Operations
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

@Suite struct ScheduleTests {
    // MARK: - Against the definitions

    struct Case: Sendable, CustomTestStringConvertible {
        var policy: String
        var seed: UInt64
        var showsAttaches: Bool
        var testDescription: String { "\(policy), seed \(seed)\(showsAttaches ? ", attaches" : "")" }
    }

    static let policies = [
        "per-page", "sync", "recorded", "vfio", "batch=1", "batch=7", "batch=100", "queue", "queue=2,10ms",
        "queue=8,100us", "queue=100,1s", "single-queue", "single-queue=16,1ms", "every=50us", "every=10ms", "end",
    ]
    static let cases = policies.flatMap { policy in
        (1...8).flatMap { seed in
            [false, true].map { Case(policy: policy, seed: UInt64(seed), showsAttaches: $0) }
        }
    }

    /// Every flush, when, why, what it covers, and whether hardware had to follow.
    @Test(arguments: cases) func flushesAreThoseOfTheDefinitions(test: Case) throws {
        let policy = try Policy(parsing: test.policy)
        let stream = OperationStream(seed: test.seed, count: 6000)
        let lastTime = stream.lastTime + 3_000_000
        let trace = TraceSummary.make(domains: 3, lastTime: lastTime, showsAttaches: test.showsAttaches)
        let lane = Replayed(trace, [.init(policy)], stream.operations).lanes[0]
        let rows = lane.rows.flushes
        let summary = lane.summary
        for domain in 1...OperationStream.domains {
            var twin = ScheduleTwin(policy, domain: domain, showsAttaches: test.showsAttaches)
            twin.replay(stream.operations, lastTime: lastTime)
            let own = rows.filter { $0.domain == domain }
            #expect(own.filter { $0.cause != .call }.map(Self.flush) == twin.flushes.filter { $0.cause != .call })
            #expect(own.filter { $0.cause == .call }.map(Self.flush) == Self.summedUp(twin.flushes))
            let row = try #require(summary.first { $0.domain == domain })
            #expect(row.unmapCalls == twin.unmapCalls)
            #expect(row.attachProbeCalls == twin.attachProbeCalls)
            #expect(row.detachedCalls == twin.detachedCalls)
            #expect(row.pagesUnmapped == Int64(twin.bytes / 4096))
            #expect(row.unreachablePages == Int64(twin.unreachableBytes / 4096))
            #expect(row.flushes == twin.flushCount)
            #expect(row.detachedFlushes == twin.detachedFlushCount)
            #expect(row.callsPending == twin.callsPending)
            #expect(row.flushesPending == (twin.isFlushPending ? 1 : 0))
        }
    }

    private static func flush(_ row: FlushRow) -> ScheduleTwin.Flush {
        ScheduleTwin.Flush(
            time: row.time, operation: row.operation, cause: row.cause, flushes: row.flushes, calls: row.calls,
            isAttached: row.isAttached)
    }

    /// Flushes of the calls themselves are summed up over a millisecond: see the table `flush`.
    private static func summedUp(_ flushes: [ScheduleTwin.Flush]) -> [ScheduleTwin.Flush] {
        var sums: [ScheduleTwin.Flush] = []
        for flush in flushes where flush.cause == .call {
            if let last = sums.last, last.isAttached == flush.isAttached,
                flush.time >= last.time, flush.time < last.time + 1_000_000
            {
                sums[sums.count - 1].flushes += flush.flushes
                sums[sums.count - 1].calls += flush.calls
            } else {
                sums.append(flush)
            }
        }
        return sums
    }

    /// Design §4 17: what other policies do beside it changes nothing for a policy.
    @Test func policiesSideBySideDoNotDisturbEachOther() throws {
        let stream = OperationStream(seed: 5, count: 4000)
        let trace = TraceSummary.make(domains: 3, lastTime: stream.lastTime, showsAttaches: true)
        let requests = try Self.policies.map { try Replay.Request($0) }
        func rows(_ requests: [Replay.Request]) -> [[ScheduleTwin.Flush]] {
            Replayed(trace, requests, stream.operations).lanes.map { $0.rows.flushes.map(Self.flush) }
        }
        #expect(rows(requests) == requests.flatMap { rows([$0]) })
    }

    /// The streams are worth their time only if everything happens in them.
    @Test func streamsMakeEveryCauseOfAFlushHappen() throws {
        // Long runs for VFIO's 512 regions, short ones for variety.
        let lanes = try [(1, 9000, 900), (2, 9000, 60)].flatMap { seed, count, patience in
            let stream = OperationStream(seed: UInt64(seed), count: count, longPatience: UInt64(patience))
            let trace = TraceSummary.make(domains: 3, lastTime: stream.lastTime, showsAttaches: true)
            return Replayed(trace, try Self.policies.map { try .init($0) }, stream.operations).lanes
        }
        for cause in FlushRow.Cause.allCases {
            let rows = lanes.flatMap { $0.rows.flushes.filter { $0.cause == cause } }
            #expect(Set(rows.map(\.isAttached)) == [true, false], "\(cause.text)")
        }
        #expect(lanes.contains { $0.lane.policy == .vfio && $0.rows.flushes.contains { $0.cause == .batchFull } })
    }

    // MARK: - Examples

    private func replay(
        _ policy: String, _ operations: [StoredOperation], _ trace: TraceSummary = .make()
    ) throws -> (rows: [FlushRow], domains: [ReplayDomainRow]) {
        let lane = Replayed(trace, [try .init(policy)], operations).lanes[0]
        return (Array(lane.rows.flushes), lane.summary)
    }

    private func unmaps(_ count: Int, every step: Int64 = 0, pid: Int32 = 100) -> [StoredOperation] {
        (0..<count).map {
            .make(
                .unmapFast, id: Int64($0) + 1, time: Int64($0) * step, iova: UInt64($0) << 12, size: 4096, result: 4096,
                pid: pid)
        }
    }

    /// Design §4 6: "also if nothing was there".
    @Test func syncFlushesForAnUnmapOfNothing() throws {
        let operations = [StoredOperation.make(.unmap, iova: 0x1000, size: 0, result: 0)]
        #expect(try replay("sync", operations).domains[0].flushes == 1)
        #expect(try replay("per-page", operations).domains[0].flushes == 0)
    }

    /// Design §4 5: "over the returned bytes, and one that found nothing".
    @Test func perPageCountsTheCallbackThatEndsAShortUnmap() throws {
        let short = StoredOperation.make(.unmap, iova: 0x1000, size: 0x10000, result: 0x3000)
        #expect(try replay("per-page", [short]).domains[0].flushes == 4)
        let nothing = StoredOperation.make(.unmap, iova: 0x1000, size: 0x10000, result: 0)
        #expect(try replay("per-page", [nothing]).domains[0].flushes == 1)
        let more = StoredOperation.make(.unmap, iova: 0x1000, size: 0x1000, result: 0x200000)
        #expect(try replay("per-page", [more]).domains[0].flushes == 1)
    }

    /// Model.md §2.4: 255 usable entries, HZ=250.
    @Test func theQueueFlushesAtThe256thEntryAndAtTheTimer() throws {
        let trace = TraceSummary.make(lastTime: 16_000_000)
        let (rows, domains) = try replay("queue", unmaps(300, every: 1000), trace)
        #expect(rows.map(\.cause) == [.ringFull, .timer])
        #expect(rows.map(\.operation) == [256, 0])
        #expect(rows.map(\.time) == [255_000, 16_000_000])
        #expect(rows.map(\.calls) == [255, 45])
        #expect(domains[0].flushesPending == 0)
    }

    /// Design §4 9: a timer due after the last event has not fired, one due with it has.
    @Test(arguments: ["queue", "every=16ms"]) func theEndOfTheLogFlushesNothing(policy: String) throws {
        for (lastTime, flushes) in [(15_999_999, 0), (16_000_000, 1)] as [(Int64, Int64)] {
            let domain = try replay(policy, unmaps(3), .make(lastTime: lastTime)).domains[0]
            #expect(domain.flushes == flushes)
            #expect(domain.callsPending == (flushes == 0 ? 3 : 0))
            #expect(domain.flushesPending == 1 - flushes)
        }
        for policy in ["batch=4", "end", "vfio", "recorded"] {
            let domain = try replay(policy, unmaps(3), .make(lastTime: .max)).domains[0]
            #expect(domain.flushes == 0 && domain.callsPending == 3 && domain.flushesPending == 1, "\(policy)")
        }
    }

    /// Model.md §2.4 rule 3: a full ring does not cancel the timer, which is owed even if nothing waits.
    @Test func aFullRingLeavesTheTimerArmed() throws {
        let (rows, domains) = try replay("queue=2,10ms", unmaps(2), .make(lastTime: 16_000_000))
        #expect(rows.map(\.cause) == [.ringFull, .timer])
        #expect(domains[0].flushesPending == 0)
    }

    /// Design §4 8: "A domain's free deletes timer and queue."
    @Test func freeingADomainDisarmsItsQueue() throws {
        let free = StoredOperation.make(.domainFree, id: 9, time: 1_000_000)
        let trace = TraceSummary.make(lastTime: 1_000_000_000)
        let (rows, domains) = try replay("queue", unmaps(3) + [free], trace)
        #expect(rows.isEmpty)
        #expect(domains[0].callsPending == 0 && domains[0].flushesPending == 0)
        let again = StoredOperation.make(.unmap, id: 10, time: 2_000_000, size: 4096, result: 4096)
        #expect(try replay("queue", unmaps(3) + [free, again], trace).rows.map(\.time) == [16_000_000])
        let late = StoredOperation.make(.domainFree, id: 9, time: 16_000_000)
        #expect(try replay("queue", unmaps(3) + [late], trace).rows.map(\.calls) == [3])
    }

    /// Design §4 7.
    @Test func endFlushesOnceForADomainThatIsFreed() throws {
        let free = StoredOperation.make(.domainFree, id: 9, time: 1_000_000)
        let (rows, domains) = try replay("end", unmaps(3) + [free])
        #expect(rows.map(\.calls) == [3])
        #expect(rows.map(\.operation) == [9])
        #expect(domains[0].flushesPending == 0)
        #expect(try replay("end", [free]).domains.map(\.flushes) == [1])
    }

    /// Model.md §2.1: 512 regions, not pages; the rest at the end of the run.
    @Test func vfioSyncsAfter512RegionsAndAtTheEndOfTheRun() throws {
        let marker = StoredOperation.make(.marker, id: 2000, time: 5_000_000, domain: 0)
        let (rows, _) = try replay("vfio", unmaps(1100, every: 1000) + [marker])
        #expect(rows.map(\.cause) == [.batchFull, .batchFull, .endOfRun])
        #expect(rows.map(\.operation) == [512, 1024, 1100])
        #expect(rows.map(\.calls) == [512, 512, 76])
        #expect(rows.last?.time == 1_099_000)
    }

    @Test func vfioRunsGoOnWhileOthersAreBusyElsewhere() throws {
        let others: [StoredOperation] = [
            .make(.marker, id: 90, domain: 0, pid: 7), .make(.map, id: 91, domain: 2, size: 4096, pid: 7),
            .make(.unmap, id: 92, domain: 2, size: 4096, pid: 7), .make(.sync, id: 93), .make(.ioPageFault, id: 94),
            .make(.unmap, id: 95, domain: 0, size: 4096),
        ]
        let trace = TraceSummary.make(domains: 2)
        #expect(try replay("vfio", unmaps(3) + others, trace).rows.isEmpty)
        let enders: [StoredOperation] = [
            .make(.map, id: 90, size: 4096, pid: 7), .make(.unmap, id: 90, iova: 0x3000, size: 4096, pid: 7),
            .make(.unmap, id: 90, domain: 2, size: 4096), .make(.attach, id: 90, pid: 7), .make(.domainFree, pid: 7),
            .make(.marker, id: 90, domain: 0), .make(.domainAlloc, id: 90, domain: 2), .make(.detach, domain: 2),
        ]
        for ender in enders {
            #expect(try replay("vfio", unmaps(3) + [ender], trace).rows.map(\.cause) == [.endOfRun], "\(ender.kind)")
        }
    }

    /// What a caller of `iommu_unmap` would have saved is the question; VFIO's test at attach stays as it is.
    @Test func underVFIOOnlyItsAttachTestStaysStrict() throws {
        var strict = StoredOperation.make(.unmap, id: 4, iova: 0x3000, size: 4096, result: 4096)
        for flags in [[], Operation.Flags.byProbe] {
            strict.flags = flags
            #expect(try replay("vfio", unmaps(3) + [strict]).rows.isEmpty)
        }
        strict.flags = .attachProbe
        let (rows, domains) = try replay("vfio", unmaps(3) + [strict])
        #expect(rows.map(\.cause) == [.endOfRun, .call])
        #expect(rows.map(\.calls) == [3, 1])
        #expect(domains[0].callsPending == 0)
    }

    /// The gather takes neighbours on either side; what touches neither end of the run is another memory's.
    @Test func aVFIORunGrowsAtBothEnds() throws {
        func unmap(_ id: Int64, _ page: UInt64) -> StoredOperation {
            .make(.unmapFast, id: id, iova: page << 12, size: 4096, result: 4096)
        }
        let run = [unmap(1, 10), unmap(2, 9), unmap(3, 11), unmap(4, 8)]
        #expect(try replay("vfio", run + [.make(.map, id: 5, iova: 0, size: 4096)]).rows.map(\.calls) == [4])
        #expect(try replay("vfio", run + [unmap(5, 13)]).rows.map(\.cause) == [.gatherSplit])
    }

    /// Design §4 10: a recorded sync covers what lies in its own range, a flush_all the whole domain.
    @Test func aRecordedSyncCoversItsOwnRangeOnly() throws {
        let sync = StoredOperation.make(.sync, id: 10, iova: 0x1000, size: 0x2000)
        var empty = StoredOperation.make(.sync, id: 11)
        empty.hasRange = true
        let all = StoredOperation.make(.flushAll, id: 12)
        let (rows, _) = try replay("recorded", unmaps(5) + [sync, empty, all, all])
        #expect(rows.map(\.cause) == [.recordedSync, .recordedSync, .recordedFlushAll, .recordedFlushAll])
        #expect(rows.map(\.calls) == [2, 0, 3, 0])
    }

    @Test func recordedFlushesOfALogWithoutAnyAreUnknown() throws {
        let trace = TraceSummary.make(flushLayer: .none)
        #expect(try replay("recorded", unmaps(3), trace).domains[0].flushes == nil)
        #expect(try replay("sync", unmaps(3), trace).domains[0].flushes == 3)
    }

    // MARK: - Detached domains

    /// Design §4 12: flushes of a detached domain count, but cost no hardware command.
    @Test func flushesOfADetachedDomainCountApart() throws {
        let operations: [StoredOperation] = [
            .make(.unmap, id: 1, time: 1, iova: 0, size: 0x3000),
            .make(.attach, id: 2, time: 2, device: 1),
            .make(.unmap, id: 3, time: 3, iova: 0x3000, size: 0x2000),
            .make(.attach, id: 4, time: 4, domain: 2, device: 1),
            .make(.unmap, id: 5, time: 5, iova: 0x5000, size: 0x1000),
        ]
        let (rows, domains) = try replay("sync", operations, .make(domains: 2, showsAttaches: true))
        #expect(rows.map(\.isAttached) == [false, true, false])
        #expect(domains[0].flushes == 3 && domains[0].detachedFlushes == 2)
        #expect(domains[0].unmapCalls == 3 && domains[0].detachedCalls == 2)
        #expect(domains[0].pagesUnmapped == 6 && domains[0].unreachablePages == 4)
        let assumed = try replay("sync", operations, .make(domains: 2, showsAttaches: false)).domains[0]
        #expect(assumed.detachedFlushes == 0 && assumed.unreachablePages == 0)
    }

    /// A timer that was due before the detach flushed an attached domain.
    @Test func timersDueBeforeADetachFireBeforeIt() throws {
        for (time, isAttached) in [(15_999_999, false), (16_000_000, true)] as [(Int64, Bool)] {
            let operations =
                [StoredOperation.make(.attach, device: 1)] + unmaps(1)
                + [.make(.detach, id: 3, time: time, pid: 7, device: 1)]
            let trace = TraceSummary.make(lastTime: 20_000_000, showsAttaches: true)
            for policy in ["queue", "every=16ms"] {
                #expect(try replay(policy, operations, trace).rows.map(\.isAttached) == [isAttached])
            }
        }
    }

    /// Only what follows a run shows that it has ended, but its sync was before that.
    @Test func theSyncOfARunBelongsToTheTimeOfItsLastUnmap() throws {
        let trace = TraceSummary.make(domains: 2, showsAttaches: true)
        let attach = StoredOperation.make(.attach, device: 1)
        let marker = StoredOperation.make(.marker, id: 9, time: 9, domain: 0)
        let detach = StoredOperation.make(.detach, id: 8, time: 8, pid: 7, device: 1)
        let move = StoredOperation.make(.attach, id: 8, time: 8, domain: 2, pid: 7, device: 1)
        for leave in [detach, move] {
            let (rows, domains) = try replay("vfio", [attach] + unmaps(3) + [leave, marker], trace)
            #expect(rows.map(\.isAttached) == [true])
            #expect(domains[0].flushes == 1 && domains[0].detachedFlushes == 0)
        }
        // And the other way round: nothing was attached when the run was synced.
        let late = StoredOperation.make(.attach, id: 8, time: 8, pid: 7, device: 1)
        #expect(try replay("vfio", unmaps(3) + [late, marker], trace).rows.map(\.isAttached) == [false])
    }

    // MARK: - What fast chooses

    /// Design §4 3.
    @Test func fastIsWhatADeferringCallerOfTheDomainWouldUse() throws {
        typealias Domain = Operations.Domain
        let expected: [(Domain.Kind, Domain.Mode, String, String)] = [
            (.dma, .deferred, "recorded", "recorded"), (.unmanaged, .deferred, "recorded", "recorded"),
            (.dma, .strict, "queue=256,10ms", "modelled"), (.dma, .unknown, "queue=256,10ms", "modelled"),
            (.unmanaged, .strict, "vfio", "modelled"), (.unmanaged, .unknown, "vfio", "modelled"),
            (.unknown, .strict, "queue=256,10ms", "assumed"), (.identity, .unknown, "queue=256,10ms", "assumed"),
        ]
        let operations = unmaps(600, every: 40_000) + [.make(.flushAll, id: 700, time: 30_000_000)]
        for (kind, mode, policy, evidence) in expected {
            let trace = TraceSummary.make(kind: kind, mode: mode, lastTime: 30_000_000)
            let fast = try replay("fast", operations, trace)
            let chosen = try replay(policy, operations, trace)
            #expect(fast.domains[0].policy == policy)
            #expect(fast.domains[0].evidence == evidence)
            #expect(!fast.domains[0].reason.isEmpty)
            #expect(fast.rows.map(Self.flush) == chosen.rows.map(Self.flush))
        }
    }

    // MARK: - The model's page tables

    @Test func mappingsAreSummedUpByDomain() {
        let trace = TraceSummary.make(domains: 2)
        let operations: [StoredOperation] = [
            .make(.map, iova: 0x1000, size: 0x4000, paddr: 0x100000),
            .make(.map, iova: 0x3000, size: 0x4000, paddr: 0x200000),
            .make(.map, iova: 0x9000, size: 0x1000, flags: .failed),
            .make(.map, domain: 2, iova: 0x1000, size: 0x1000),
            .make(.unmap, iova: 0x1000, size: 0x2000, result: 0x1000),
            .make(.unmap, iova: 0x20000, size: 0x2000),
            .make(.unmap, iova: 0x20000, size: 0x2000, result: 0),
        ]
        let mappings = Replayed(trace, [], operations).world.mappings
        let row = mappings[0]
        #expect(row.maps == 2 && row.mappedBytes == 0x8000 && row.mapsOverLive == 1)
        #expect(row.unmaps == 3 && row.unmappedBytes == 0x3000)
        #expect(row.unmapsOfNothing == 1 && row.unmapsWithoutMap == 1)
        #expect(row.peakLiveBytes == 0x6000 && row.liveBytes == 0x5000)
        #expect(mappings[1].maps == 1 && mappings[1].liveBytes == 0x1000)
    }

    // MARK: - Hostile values

    /// A database can hold anything: no value may trap, no policy may hang.
    @Test(arguments: 1...4) func anyOperationsAreTakenWithoutATrap(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let trace = TraceSummary.make(domains: 2, lastTime: .max, showsAttaches: seed & 1 == 0)
        let requests = try Self.policies.map { try Replay.Request($0) }
        let numbers: [Int32] = [.min, -1, 0, 1, 1, 1, 2, 3, 1000, .max]
        let operations = try (0..<4000).map { _ in
            let kind = try #require(Operation.Kind(rawValue: UInt8(1 + random.next() % 13)))
            return StoredOperation(
                id: Int64(bitPattern: random.hostile()), time: Int64(bitPattern: random.hostile()), kind: kind,
                flags: Operation.Flags(rawValue: UInt8(truncatingIfNeeded: random.next())),
                cpu: numbers[Int(random.next() % 10)], pid: numbers[Int(random.next() % 10)],
                domain: numbers[Int(random.next() % 9)], device: numbers[Int(random.next() % 9)],
                iova: random.hostile(), size: random.hostile(), paddr: random.hostile(),
                result: random.next() & 1 == 0 ? random.hostile() : nil, hasRange: random.next() & 1 == 0,
                line: 0)
        }
        let hardware = seed & 2 == 0 ? Hardware(.amd6, cachesAbsent: true) : nil
        let options = ReplayOptions(pageSizes: .everyPowerOfTwo, hardware: hardware)
        for lane in Replayed(trace, requests, options: options, operations).lanes {
            for row in lane.summary {
                #expect(row.flushes ?? 0 >= 0 && row.callsPending >= 0 && row.pagesUnmapped >= 0)
                #expect(row.unmapCalls > 0)
            }
        }
    }
}
