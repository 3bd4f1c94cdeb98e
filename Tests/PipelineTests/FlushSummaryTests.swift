import FlushSchedules
import Foundation
import GRDB
import IOMMUModel
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// Whose flushes are: `flush_summary`, by domain, device and task (design §4 32).
struct FlushSummaryTests {
    private struct Case: Sendable, CustomTestStringConvertible {
        var policy: String
        var seed: UInt64
        var hardware: String?
        var testDescription: String { "\(policy), seed \(seed)\(hardware.map { ", \($0)" } ?? "")" }
    }

    private static let hardware = [
        nil, "contract", "vtd-4.19", "vtd-6.1,caching-mode", "vtd-6.12,ats=20", "amd-6,np-cache,iommus=2",
        "smmuv3,ats=1",
    ]
    private static let cases = ScheduleTests.policies.enumerated().flatMap { index, policy in
        (1...3).map { seed in
            Case(policy: policy, seed: UInt64(seed) + 40, hardware: hardware[(index + seed) % hardware.count])
        }
    }

    private static func options(_ hardware: String?) throws -> ReplayOptions {
        ReplayOptions(hardware: try hardware.map { try #require(Hardware(parsing: $0), "\($0)") })
    }

    private static func replay(
        _ policy: String, _ stream: OperationStream, lastTime: Int64, _ options: ReplayOptions
    ) throws -> (domains: [ReplayDomainRow], cells: [FlushSummaryRow]) {
        let trace = TraceSummary.make(
            domains: Int(OperationStream.domains), lastTime: lastTime, showsAttaches: true)
        let lane = Replayed(trace, [try .init(policy)], options: options, stream.operations).lanes[0]
        return (lane.summary, lane.cells)
    }

    // MARK: - Against the definitions

    private struct Owner: Hashable {
        var domain: Int32
        var task: Int32
    }

    /// The task of each flush and each unmap, worked out from the operations at which the definitions have them happen.
    @Test(arguments: cases) private func countsAreOfTheTaskInWhoseCallTheyHappen(test: Case) throws {
        let stream = OperationStream(seed: test.seed, count: 4000, longPatience: 60)
        let lastTime = stream.lastTime + 3_000_000
        let (_, cells) = try Self.replay(test.policy, stream, lastTime: lastTime, Self.options(test.hardware))

        var flushes: [Owner: [Int64]] = [:]
        for domain in 1...OperationStream.domains {
            var twin = ScheduleTwin(try Policy(parsing: test.policy), domain: domain, showsAttaches: true)
            if let hardware = try Self.options(test.hardware).hardware { twin.rule = hardware.gatherRule }
            twin.replay(stream.operations, lastTime: lastTime)
            for flush in twin.flushes {
                // Ids are from 1; no operation shows a timer.
                let task = flush.operation > 0 ? stream.operations[Int(flush.operation) - 1].task : 0
                let whole =
                    flush.isAttached && [.ringFull, .domainFree, .recordedFlushAll].contains(flush.cause)
                    || flush.isAttached && flush.cause == .timer && !test.policy.hasPrefix("every")
                let old = flushes[Owner(domain: domain, task: task), default: [0, 0, 0]]
                flushes[Owner(domain: domain, task: task)] = zip(
                    old, [flush.flushes, flush.isAttached ? 0 : flush.flushes, whole ? flush.flushes : 0]
                ).map { $0 + $1 }
            }
        }
        var counted: [Owner: [Int64]] = [:]
        for cell in cells {
            let own = [cell.flushes, cell.detachedFlushes, cell.domainFlushes].map { $0 ?? -1 }
            guard own != [0, 0, 0] else { continue }
            let owner = Owner(domain: cell.cell.domain, task: cell.cell.task)
            counted[owner] = zip(counted[owner] ?? [0, 0, 0], own).map { $0 + $1 }
        }
        #expect(counted == flushes)

        var (attachments, unmaps) = (AttachState(showsAttaches: true), [Cell: [Int64]]())
        for operation in stream.operations {
            switch operation.kind {
            case .attach: attachments.attach(device: operation.device, to: operation.domain)
            case .detach: attachments.detach(device: operation.device, from: operation.domain)
            case .unmap, .unmapFast:
                guard operation.domain > 0 else { continue }
                let cell = Cell(
                    domain: operation.domain, device: attachments.onlyDevice(of: operation.domain), task: operation.task
                )
                let pages = Int64((operation.result ?? operation.size) / 4096)
                let own = [1, attachments.isAttached(operation.domain) ? 0 : 1, pages, max(pages - 1, 0)]
                unmaps[cell] = zip(unmaps[cell] ?? [0, 0, 0, 0], own).map { $0 + $1 }
            default: break
            }
        }
        let countedUnmaps = cells.filter { $0.unmapCalls > 0 }.map {
            ($0.cell, [$0.unmapCalls, $0.detachedCalls, $0.pagesUnmapped, $0.furtherPages])
        }
        #expect(Dictionary(uniqueKeysWithValues: countedUnmaps) == unmaps)
    }

    // MARK: - Sums

    /// A sweep's lanes know domains only: no flush changes hands there.
    @Test(arguments: cases) private func cellsComeToTheirDomain(test: Case) throws {
        let stream = OperationStream(seed: test.seed, count: 3000, longPatience: 60)
        var options = try Self.options(test.hardware)
        let lastTime = stream.lastTime + 3_000_000
        let (domains, cells) = try Self.replay(test.policy, stream, lastTime: lastTime, options)
        options.detail = .sums
        let (alone, undivided) = try Self.replay(test.policy, stream, lastTime: lastTime, options)
        #expect(domains.map(\.domain) == alone.map(\.domain))
        #expect(undivided.map(\.cell) == alone.map { Cell(domain: $0.domain, device: 0, task: 0) })
        #expect(cells.map(\.cell) == Set(cells.map(\.cell)).sorted())
        #expect(cells.count > 12)
        for (row, whole) in zip(alone, undivided) {
            let own = cells.filter { $0.cell.domain == row.domain }
            let sums = (0..<Self.counts(whole).count).map { column in
                own.reduce(Int64(0)) { $0 + Self.counts($1)[column] }
            }
            #expect(sums == Self.counts(whole))
            #expect(own.allSatisfy { Self.counts($0).allSatisfy { $0 >= 0 } })
            let hardware = row.hardware
            #expect((hardware == nil) == (test.hardware == nil))
            #expect(
                sums
                    == [
                        row.unmapCalls, row.detachedCalls, row.pagesUnmapped, whole.furtherPages, row.flushes ?? -1,
                        row.detachedFlushes ?? -1, whole.domainFlushes ?? -1, hardware?.commands ?? 0,
                        hardware?.domainCommands ?? 0, hardware?.furtherCommands ?? 0, hardware?.waits ?? 0,
                        hardware?.deviceTLBCommands ?? 0, hardware?.pages ?? 0, hardware?.overPages ?? 0,
                    ])
        }
    }

    private static func counts(_ row: FlushSummaryRow) -> [Int64] {
        let hardware = row.hardware
        return [
            row.unmapCalls, row.detachedCalls, row.pagesUnmapped, row.furtherPages, row.flushes ?? -1,
            row.detachedFlushes ?? -1, row.domainFlushes ?? -1, hardware?.commands ?? 0, hardware?.domainCommands ?? 0,
            hardware?.furtherCommands ?? 0, hardware?.waits ?? 0, hardware?.deviceTLBCommands ?? 0,
            hardware?.pages ?? 0, hardware?.overPages ?? 0,
        ]
    }

    /// Half pages of two tasks are a page of their domain, and sizes as large as a log may have do not run over.
    @Test func partsOfPagesAndHugeSizes() throws {
        let trace = TraceSummary.make()
        func cells(_ sizes: [UInt64]) throws -> [FlushSummaryRow] {
            let operations = sizes.enumerated().map { index, size in
                var operation = StoredOperation.make(.unmap, id: Int64(index) + 1, iova: 0, size: size, result: size)
                operation.task = Int32(index) + 1
                return operation
            }
            let lane = Replayed(trace, [try .init("sync")], operations).lanes[0]
            #expect(lane.cells.reduce(0) { $0 + $1.pagesUnmapped } == lane.summary[0].pagesUnmapped)
            return lane.cells
        }
        #expect(try cells([2048, 2048, 4096, 6144]).map(\.pagesUnmapped) == [0, 1, 1, 1])
        #expect(try cells([2048, 2048, 4096, 6144]).map(\.furtherPages) == [0, 0, 0, 0])
        let huge = try cells(Array(repeating: 1 << 63, count: 4))
        #expect(huge.map(\.pagesUnmapped) == [1 << 51, 1 << 51 - 1, 0, 0])
    }

    // MARK: - Recorded logs

    /// Every policy over recorded logs, counted once more in SQL: in the operations, the timeline and the flushes one by one.
    @Test("cells of recorded logs come to what other tables say", arguments: SharedTraces.bundled)
    func recordedLogs(log: RecordedLog) throws {
        let store = try PreparedLogs.copy(of: log)
        let policies = [
            "per-page", "sync", "recorded", "vfio", "batch=7", "queue=8,100us", "queue", "single-queue=16,1ms",
            "every=50us", "end",
        ]
        for hardware in [nil, HardwareProfile.contract] {
            let options = ReplayOptions(hardware: hardware.map { Hardware($0) })
            _ = try Replay(try policies.map { try Replay.Request($0) }, options: options).run(in: store, trace: nil)
        }
        func same(_ left: String, _ right: String, _ what: String) throws {
            let (left, right) = (try Pipeline.csv(left, in: store), try Pipeline.csv(right, in: store))
            #expect(left.split(separator: "\n").count > policies.count, "\(what): nothing to compare")
            #expect(left == right, "\(what)")
        }
        let columns = [
            "unmap_calls", "detached_calls", "pages_unmapped", "flushes", "detached_flushes", "commands",
            "domain_commands", "waits", "device_tlb_commands", "pages_invalidated", "over_invalidated_pages",
        ]
        try same(
            """
            SELECT replay, domain, \(columns.map { "sum(\($0)) AS \($0)" }.joined(separator: ", "))
            FROM flush_summary GROUP BY replay, domain
            """,
            """
            SELECT replay, domain, \(columns.joined(separator: ", ")) FROM replay_domain ORDER BY replay, domain
            """, "replay_domain")
        try same(
            """
            SELECT replay, domain, device, task, sum(flushes) AS flushes FROM flush_summary GROUP BY 1, 2, 3, 4
            HAVING sum(flushes) > 0
            """,
            """
            SELECT replay, domain, device, task, sum(flushes) AS flushes FROM timeline GROUP BY 1, 2, 3, 4
            HAVING sum(flushes) > 0
            """, "timeline")
        try same(
            """
            SELECT replay.id, domain, task, sum(flush_summary.unmap_calls) AS calls, sum(flush_summary.pages_unmapped) AS pages,
                sum(further_pages) AS further
            FROM flush_summary JOIN replay ON replay.id = replay WHERE flush_summary.unmap_calls > 0 GROUP BY 1, 2, 3
            """,
            """
            SELECT replay.id, domain, task, count(*) AS calls, sum(coalesce(result, size)) / 4096 AS pages,
                sum(max(coalesce(result, size) - 4096, 0)) / 4096 AS further
            FROM operation JOIN operation_kind ON operation_kind.id = kind AND operation_kind.name IN ('unmap', 'unmap_fast')
            JOIN replay WHERE domain IS NOT NULL GROUP BY 1, 2, 3
            """, "operation")
        // Flushes of calls are summed up in table flush.
        try same(
            """
            SELECT own.replay, own.domain, task, sum(own.flushes) AS flushes, sum(own.detached_flushes) AS detached,
                sum(CASE WHEN policy LIKE 'every%' THEN 0 ELSE domain_flushes END) AS whole
            FROM flush_summary AS own JOIN replay_domain ON replay_domain.replay = own.replay AND replay_domain.domain = own.domain
            WHERE policy NOT IN ('sync', 'per-page', 'vfio') AND own.flushes > 0 GROUP BY 1, 2, 3
            """,
            """
            SELECT flush.replay, flush.domain, task, sum(flush.flushes) AS flushes, sum((NOT attached) * flush.flushes) AS detached,
                sum(flush.flushes * (attached AND (name IN ('flush_all', 'ring full', 'domain free')
                    OR name = 'timer' AND replay.policy NOT LIKE 'every%'))) AS whole
            FROM flush JOIN replay ON replay.id = flush.replay JOIN flush_cause ON flush_cause.id = cause
            LEFT JOIN operation ON operation.id = operation
            WHERE policy NOT IN ('sync', 'per-page', 'vfio') GROUP BY 1, 2, 3
            """, "flush")
    }
}
