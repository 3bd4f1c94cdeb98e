import FlushSchedules
import IOMMUModel
import Operations
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// Windows and hazards of every policy over random operations, against the definitions (model.md §9).
@Suite struct WindowTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var policy: String
        var seed: UInt64
        var showsAttaches: Bool
        var losesEvents: Bool
        /// Peaks are defined by time alone.
        var clockRunsBack: Bool { seed & 1 == 0 }
        var testDescription: String {
            "\(policy), seed \(seed)\(showsAttaches ? ", attaches" : "")\(losesEvents ? ", losses" : "")"
        }
    }

    static let cases = ScheduleTests.policies.flatMap { policy in
        (1...3).flatMap { seed in
            [(false, false), (true, false), (true, true)].map {
                Case(policy: policy, seed: UInt64(seed) + 20, showsAttaches: $0.0, losesEvents: $0.1)
            }
        }
    }

    private static func replay(_ requests: [String], _ stream: OperationStream, showsAttaches: Bool, losses: [Int64])
        throws -> (lanes: [ReplayedLane], lastTime: Int64)
    {
        let lastTime = stream.lastTime + 3_000_000
        let trace = TraceSummary.make(
            domains: Int(OperationStream.domains), lastTime: lastTime, showsAttaches: showsAttaches, lossLines: losses)
        let replayed = Replayed(
            trace, try requests.map { try .init($0) }, options: ReplayOptions(windows: .all), stream.operations,
            batchSize: 50)
        return (replayed.lanes, lastTime)
    }

    @Test(arguments: cases) func windowsAndHazardsAreThoseOfTheDefinitions(test: Case) throws {
        let stream = OperationStream(
            seed: test.seed, count: 2000, longPatience: 60, clockRunsBack: test.clockRunsBack)
        let losses = test.losesEvents ? stream.lossLines : []
        let (lanes, lastTime) = try Self.replay(
            [test.policy], stream, showsAttaches: test.showsAttaches, losses: losses)
        var twin = WindowTwin(
            try Policy(parsing: test.policy), domains: OperationStream.domains, showsAttaches: test.showsAttaches,
            lossLines: losses)
        twin.replay(stream.operations, lastTime: lastTime)

        let statistics = lanes[0].statistics
        var counts: [WindowTwin.Key: WindowTwin.Count] = [:]
        for row in statistics.summaries {
            let key = WindowTwin.Key(cell: row.cell, end: row.end, isUncertain: row.isUncertain)
            var count = WindowTwin.Count(windows: row.windows, pages: row.pages)
            count.pageNanoseconds = (row.pageSeconds * 1e9).rounded()
            #expect(counts.updateValue(count, forKey: key) == nil, "two rows for one key")
            let expected = twin.counts[key]
            #expect(row.longest == (row.end == WindowEnd.unreachable.rawValue ? nil : expected?.lengths.max()))
            let hasHistogram = !row.isUncertain && row.end < WindowEnd.endOfLog.rawValue
            let buckets = Dictionary(
                (hasHistogram ? expected?.lengths ?? [] : []).map { (LengthScale.bucket(of: $0), Int64(1)) },
                uniquingKeysWith: +)
            #expect(
                Dictionary(uniqueKeysWithValues: row.histogram.map { (LengthScale.bucket(of: $0.upTo), $0.windows) })
                    == buckets)
            #expect(!hasHistogram || row.histogram.reduce(0) { $0 + $1.pages } == row.pages)
        }
        #expect(
            counts
                == twin.counts.mapValues {
                    WindowTwin.Count(windows: $0.windows, pages: $0.pages, pageNanoseconds: $0.pageNanoseconds)
                })
        let hazards = Dictionary(
            statistics.hazards.map { (WindowTwin.HazardKey(cell: $0.cell, kind: $0.kind), $0.pages) },
            uniquingKeysWith: +)
        #expect(hazards == twin.hazards)
        let peaks = Dictionary(uniqueKeysWithValues: statistics.totals.map { ($0.of, $0.total.peak) })
        if !test.clockRunsBack { #expect(peaks.filter { $0.value > 0 } == twin.peaks) }
        for (member, total) in statistics.totals { Self.check(total, of: member, twin) }
        let rows = lanes[0].rows.windows.map {
            WindowTwin.Row(
                operation: $0.operation, iova: $0.iova, pages: Int64($0.size >> 12), opened: $0.opened,
                closed: $0.closed, end: $0.end, line: $0.closedLine)
        }
        #expect(Set(rows).count == rows.count)
        #expect(Set(rows) == twin.rows)
        #expect(statistics.windowsLeftOut == 0)
    }

    /// Sums and percentiles of one member, from the lengths of all its windows.
    private static func check(_ total: WindowStatistics.Total, of member: Member, _ twin: WindowTwin) {
        let own = twin.counts.filter { key, _ in
            [.trace, .domain(key.cell.domain), .device(key.cell.device), .task(key.cell.task)].contains(member)
        }
        func windows(_ isIncluded: (WindowTwin.Key) -> Bool) -> Int64 {
            own.filter { isIncluded($0.key) }.reduce(0) { $0 + $1.value.windows }
        }
        let closed = own.filter { !$0.key.isUncertain && $0.key.end < WindowEnd.endOfLog.rawValue }
        let lengths = closed.flatMap(\.value.lengths).sorted()
        #expect(total.windows == Int64(lengths.count))
        #expect(total.longest == lengths.last)
        #expect(total.uncertain == windows { $0.isUncertain })
        #expect(total.censored == windows { !$0.isUncertain && $0.end == WindowEnd.endOfLog.rawValue })
        #expect(total.percentiles.count == (lengths.isEmpty ? 0 : 3))
        for (percent, value) in zip([50, 90, 99], total.percentiles) {
            let exact = lengths[(lengths.count * percent + 99) / 100 - 1]
            #expect(value == min(LengthScale.upperBound(of: LengthScale.bucket(of: exact)), lengths.last ?? 0))
        }
        let exposure = closed.reduce(0.0) { $0 + $1.value.pageNanoseconds }
        #expect(abs(total.exposure * 1e9 - exposure) <= exposure * 1e-12)
    }

    /// Design §4 17: what other policies do beside it changes nothing for a policy.
    @Test func policiesSideBySideDoNotDisturbEachOther() throws {
        let stream = OperationStream(seed: 31, count: 3000, longPatience: 60)
        func answers(_ requests: [String]) throws -> [[String]] {
            let (lanes, _) = try Self.replay(requests, stream, showsAttaches: true, losses: stream.lossLines)
            return lanes.map { lane in
                let statistics = lane.statistics
                return statistics.summaries.map { "\($0)" } + statistics.hazards.map { "\($0)" }.sorted()
                    + statistics.timeline.map { "\($0)" } + lane.rows.hazards.map { "\($0)" }
            }
        }
        let together = try answers(ScheduleTests.policies)
        for (policy, answer) in zip(ScheduleTests.policies, together) {
            #expect(try answers([policy]) == [answer], "\(policy)")
        }
    }

    /// The streams are worth their time only if everything happens in them.
    @Test func streamsMakeEverythingHappen() throws {
        // Long runs for VFIO's 512 regions, short ones for variety.
        let lanes = try [(21, 9000, 900), (22, 6000, 60)].flatMap { seed, count, patience in
            let stream = OperationStream(seed: UInt64(seed), count: count, longPatience: UInt64(patience))
            return try Self.replay(
                ScheduleTests.policies, stream, showsAttaches: true, losses: stream.lossLines
            ).lanes
        }
        let ends = Set(lanes.flatMap { $0.statistics.summaries.map(\.end) })
        #expect(ends == Set(WindowEnd.allCases.map(\.rawValue)))
        let kinds = Set(lanes.flatMap { $0.statistics.hazards.map(\.kind) })
        // The domains of the streams do not defer, so no model can be late.
        #expect(kinds == Set(HazardKind.allCases).subtracting([.modelTimingError]))
        #expect(lanes.contains { $0.statistics.summaries.contains { $0.isUncertain } })
    }

    // MARK: - Examples

    private static func hazards(
        _ policy: String, before: [StoredOperation] = [], _ operations: [StoredOperation],
        _ trace: TraceSummary = .make()
    ) throws -> [HazardKind: Int64] {
        let lane = Replayed(trace, [try .init(policy)], before: before, operations).lanes[0]
        return Dictionary(
            lane.statistics.hazards.map { ($0.kind, $0.pages) }, uniquingKeysWith: +)
    }

    /// Design §4 17: a part of a log knows what was mapped when it begins, but no window.
    @Test func aPartKnowsWhatWasMappedBefore() throws {
        let map = StoredOperation.make(.map, id: 1, iova: 0x1000, size: 4096, paddr: 0x7000)
        let unmap = StoredOperation.make(.unmapFast, id: 2, time: 2, iova: 0x1000, size: 4096, result: 4096)
        let again = StoredOperation.make(.map, id: 3, time: 3, iova: 0x1000, size: 4096, paddr: 0x7000)
        #expect(try Self.hazards("end", before: [map], [unmap, again]) == [.samePageRemap: 1, .recycled: 1])
        #expect(try Self.hazards("end", [unmap, again]) == [.unknownPage: 1])
        #expect(try Self.hazards("end", before: [map, unmap], [again]) == [:])
    }

    /// Design §4 13: only where the log's kernel deferred can the model be late.
    @Test func aReusedAddressIsNamedByPolicyAndMode() throws {
        let operations: [StoredOperation] = [
            .make(.map, id: 1, iova: 0x1000, size: 8192, paddr: 0x7000),
            .make(.unmapFast, id: 2, time: 2, iova: 0x1000, size: 8192, result: 8192),
            .make(.map, id: 3, time: 3, iova: 0x2000, size: 4096, paddr: 0x9000),
        ]
        for mode in Operations.Domain.Mode.allCases {
            let trace = TraceSummary.make(mode: mode)
            let late = mode.defers ? HazardKind.modelTimingError : .deferredReuse
            #expect(try Self.hazards("queue", operations, trace) == [late: 1])
            #expect(try Self.hazards("single-queue", operations, trace) == [late: 1])
            for policy in ["recorded", "batch=9", "every=1s", "end"] {
                #expect(try Self.hazards(policy, operations, trace) == [.iovaReuse: 1], "\(policy)")
            }
            #expect(try Self.hazards("sync", operations, trace) == [:])
        }
    }

    /// Design §4 10: what follows the last call of a run came after its sync, though only what ends it shows that.
    @Test func nothingHappensInsideTheWindowsOfAnEndedRun() throws {
        let unmap = StoredOperation.make(.unmapFast, id: 2, time: 2, iova: 0x1000, size: 4096, result: 4096)
        let fault = { (id: Int64) -> StoredOperation in
            var fault = StoredOperation.make(.ioPageFault, id: id, time: id, domain: 0, iova: 0x1000, pid: 7)
            fault.hasRange = true
            return fault
        }
        let marker = StoredOperation.make(.marker, id: 9, time: 9, domain: 0)
        #expect(try Self.hazards("vfio", [unmap, fault(3), marker, fault(10)]) == [:])
        let next = StoredOperation.make(.unmapFast, id: 4, time: 4, iova: 0x2000, size: 4096, result: 4096)
        #expect(try Self.hazards("vfio", [unmap, fault(3), next, fault(5), marker]) == [.access: 1])
        #expect(try Self.hazards("vfio", [unmap, fault(3)]) == [.access: 1])
    }

    /// Design §4 12: of a domain that the log does not show being attached nothing is known, if it was there before.
    @Test func aDomainFromBeforeTheRecordingCountsAsAttachedUntilADeviceIsSeen() throws {
        var state = AttachState(showsAttaches: true, assumed: [true, false])
        #expect(state.isAttached(1) && !state.isAttached(2))
        state.attach(device: 1, to: 1)
        state.attach(device: 1, to: 2)
        #expect(!state.isAttached(1) && state.isAttached(2))
    }
}
