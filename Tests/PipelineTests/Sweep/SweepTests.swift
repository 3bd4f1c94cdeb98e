import Foundation
import GRDB
import IOMMUModel
import Replay
import Reporting
import TestSupport
import Testing
import TraceStore

@Suite struct SweepTests {
    @discardableResult
    private static func sweep(
        _ texts: String..., in store: TraceStore, options: ReplayOptions = ReplayOptions(), threads: Int? = nil
    ) throws -> Int64 {
        try Sweep(PolicyGrid(parsing: texts), options: options, threads: threads).run(in: store, trace: nil).sweep
    }

    // MARK: - Against replays

    private static let figures = """
        policy, domain, unmap_calls, flushes, flushes_pending, windows, censored, uncertain, p50_ns, p99_ns, max_ns,
        peak_stale_pages, hazards_access, hazards_iova_reuse, hazards_page_reuse, deferred_reuse, evidence,
        commands, waits, round(exposure_page_seconds, 6), round(censored_page_seconds, 6)
        """

    /// What replays of the same policies have stored, in the shape of a sweep's points.
    private static let replayed = """
        WITH part AS (
            SELECT id AS replay, policy, NULL AS domain, unmap_calls, flushes, flushes_pending, evidence, commands, waits
            FROM replay
            UNION ALL
            SELECT replay, policy, domain, unmap_calls, flushes, flushes_pending, evidence, commands, waits
            FROM replay_domain WHERE unmap_calls > 0
        ), reuse AS (
            SELECT hazard_summary.replay, hazard_summary.domain, hazard_kind.name, hazard_summary.pages
            FROM hazard_summary JOIN hazard_kind ON hazard_kind.id = hazard_summary.kind
        )
        SELECT
            part.policy, part.domain, part.unmap_calls, part.flushes, part.flushes_pending, coalesce(windows, 0),
            coalesce(censored, 0), coalesce(uncertain, 0), p50_ns, p99_ns, max_ns, coalesce(peak_stale_pages, 0),
            (SELECT coalesce(sum(pages), 0) FROM reuse
                WHERE reuse.replay = part.replay AND name = 'access' AND coalesce(part.domain, domain) = domain) AS access,
            (SELECT coalesce(sum(pages), 0) FROM reuse
                WHERE reuse.replay = part.replay AND name = 'iova_reuse' AND coalesce(part.domain, domain) = domain) AS iova_reuse,
            (SELECT coalesce(sum(pages), 0) FROM reuse
                WHERE reuse.replay = part.replay AND name = 'page_reuse' AND coalesce(part.domain, domain) = domain) AS page_reuse,
            (SELECT coalesce(sum(pages), 0) FROM reuse
                WHERE reuse.replay = part.replay AND name = 'deferred_reuse' AND coalesce(part.domain, domain) = domain) AS deferred_reuse,
            part.evidence, part.commands, part.waits,
            round(coalesce(exposure_page_seconds, 0), 6), round(coalesce(censored_page_seconds, 0), 6)
        FROM part
        LEFT JOIN stale_total AS stale
            ON stale.replay = part.replay AND stale.member = coalesce(part.domain, 0)
                AND stale.told_by = CASE WHEN part.domain IS NULL THEN 'trace' ELSE 'domain' END
        ORDER BY 1, 2
        """

    private static func rows(_ sql: String, in store: TraceStore) throws -> [String] {
        try Pipeline.csv(sql, in: store).split(separator: "\n").dropFirst().map(String.init)
    }

    /// Every point is what `replay --policy` says of the same log.
    @Test(arguments: SharedTraces.bundled) func pointsAreThoseOfReplays(log: RecordedLog) throws {
        let store = try PreparedLogs.copy(of: log)
        let options = ReplayOptions(hardware: Hardware(.vtd612))
        try Self.sweep(
            "queue=4|1024,200us|1s", "single-queue=16,5ms", "batch=1|64", "every=10us|5ms", "vfio", "end",
            in: store, options: options)
        let policies = try store.read {
            try String.fetchAll($0, sql: "SELECT policy FROM sweep_point WHERE domain IS NULL")
        }
        #expect(policies.count >= 15)
        #expect(Set(policies).isSuperset(of: ["per-page", "sync", "queue=256,10ms", "single-queue=32768,1s"]))
        var alone = options
        alone.windows = .none
        _ = try Replay(policies.map { try Replay.Request($0) }, options: alone).run(in: store, trace: nil)
        let expected = try Self.rows(Self.replayed, in: store)
        #expect(try Self.rows("SELECT \(Self.figures) FROM sweep_point ORDER BY 1, 2", in: store) == expected)
        #expect(expected.contains { !$0.contains("sync") && !$0.contains("per-page") && !$0.hasSuffix(",0.0,0.0") })
        try Self.expectFronts(in: store)
    }

    /// Pair by pair in SQL: only what may be chosen stands in each other's way (design §4 31).
    private static func expectFronts(in store: TraceStore) throws {
        let wrong = try Pipeline.number(
            """
            WITH point AS (
                SELECT *, round((exposure_page_seconds + censored_page_seconds) * 1e6) AS exposure,
                    is_in_grid OR is_kernel_default AS competes
                FROM sweep_point
            )
            SELECT count(*) FROM point AS own
            WHERE is_pareto <> (competes AND NOT EXISTS (
                SELECT 1 FROM point AS other
                WHERE other.sweep = own.sweep AND other.domain IS own.domain AND other.competes
                    AND other.flushes <= own.flushes AND other.exposure <= own.exposure
                    AND (other.flushes < own.flushes OR other.exposure < own.exposure)))
            """, in: store)
        #expect(wrong == 0)
        #expect(try Pipeline.number("SELECT count(*) FROM sweep_point WHERE is_pareto", in: store) ?? 0 > 1)
    }

    /// Design §4 17, and of a part of a log.
    @Test func threadsChangeNothing() throws {
        let log = try #require(SharedTraces.log("6.1-strict/rebind.probes"))
        let part = LogPart.times(since: LogPart.Moment(parsing: "+0.01"), until: nil)
        for options in [ReplayOptions(), ReplayOptions(part: part)] {
            let contents = try [1, 2, 3].map { threads in
                let store = try PreparedLogs.copy(of: log)
                try Self.sweep(
                    "queue=2..16,100us..1ms", "recorded", "vfio", in: store, options: options,
                    threads: threads)
                return try Pipeline.contents(of: store)["sweep_point"]
            }
            #expect(contents[0]?.count ?? 0 > 20)
            #expect(contents.allSatisfy { $0 == contents[0] })
        }
    }

    // MARK: - What must hold

    /// Of `every`, and of rings of one queue, more patience never costs a flush more; of batches, one that is a multiple of
    /// another flushes at a part of its times, so that nothing closes earlier.
    @Test(arguments: SharedTraces.bundled.prefix(3)) func patienceSavesFlushes(log: RecordedLog) throws {
        let store = try PreparedLogs.copy(of: log)
        try Self.sweep("every=1us..1s/5", "batch=1|2|16|256", "single-queue=2|3|40|1024,10ms", in: store)
        for (family, order) in [("every", "wait_ns"), ("batch", "calls"), ("single-queue", "calls")] {
            let steps = try Pipeline.number(
                """
                SELECT count(*) FROM sweep_point AS less
                JOIN sweep_point AS more ON more.family = less.family AND more.domain IS less.domain
                    AND more.\(order) > less.\(order)
                WHERE less.family = '\(family)' AND less.is_in_grid AND more.is_in_grid
                    AND more.flushes > less.flushes
                """, in: store)
            #expect(steps == 0, "\(family)")
        }
        let losses = try Pipeline.number("SELECT sum(uncertain) FROM sweep_point", in: store)
        let earlier = try Pipeline.number(
            """
            SELECT count(*) FROM sweep_point AS less
            JOIN sweep_point AS more ON more.family = 'batch' AND more.domain IS less.domain AND more.calls > less.calls
            WHERE less.family = 'batch'
                AND more.exposure_page_seconds + more.censored_page_seconds
                    < less.exposure_page_seconds + less.censored_page_seconds - 1e-6
            """, in: store)
        #expect(losses != 0 || earlier == 0)
        // A sync in each call opens nothing, and a batch of one closes at once.
        #expect(
            try Self.rows(
                """
                SELECT DISTINCT unmap_calls = flushes, exposure_page_seconds + censored_page_seconds
                FROM sweep_point WHERE policy IN ('sync', 'batch=1')
                """, in: store) == ["1,0.0"])
    }

    @Test func marksSayWhatPointsStandFor() throws {
        let store = try PreparedLogs.copy(of: #require(SharedTraces.log("6.1-strict/vfiounmap.probes")))
        try Self.sweep("queue=256,1ms|10ms", in: store)
        #expect(
            try Self.rows(
                """
                SELECT policy, mark, is_in_grid, is_kernel_default, family, calls, wait_ns
                FROM sweep_point WHERE domain IS NULL ORDER BY policy
                """, in: store) == [
                    "iommufd=5461,as iommufd unmaps a guest,0,0,iommufd,5461,",
                    "per-page,before the interface,0,0,per-page,,",
                    "\"queue=256,10ms\",\"kernel default, lazy\",1,1,queue,256,10000000",
                    "\"queue=256,1ms\",,1,0,queue,256,1000000",
                    "recorded,as recorded,0,0,recorded,,",
                    "\"single-queue=32768,1s\",\"kernel default, lazy with one queue (s390)\",0,1,single-queue,32768,1000000000",
                    "sync,\"kernel default, strict\",0,1,sync,,", "vfio,\"kernel default, VFIO\",0,1,vfio,,",
                ])
    }

    // MARK: - Storing

    @Test func theSameSweepReplacesTheFormerAndReplaysStayAsTheyAre() throws {
        let store = try PreparedLogs.copy(of: #require(SharedTraces.log("6.1-extra/api.probes")))
        try Pipeline.replay(in: store)
        let before = try Pipeline.contents(of: store)
        try Self.sweep("batch=1..8", in: store)
        let first = try Pipeline.contents(of: store)
        #expect(
            first.filter { !["sweep", "sweep_point"].contains($0.key) }
                == before.filter {
                    !["sweep", "sweep_point"].contains($0.key)
                })
        let again = try Self.sweep("batch=1..8", in: store)
        #expect(try Pipeline.number("SELECT count(*) FROM sweep", in: store) == 1)
        try Self.sweep("batch=1..4", in: store)
        try Self.sweep("batch=1..8", in: store, options: ReplayOptions(wheel: TimerWheel(hz: 1000)))
        #expect(try Pipeline.number("SELECT count(*) FROM sweep", in: store) == 3)
        #expect(try Pipeline.number("SELECT count(*) FROM sweep WHERE id = \(again)", in: store) == 1)
        try store.forget(trace: "api-strict.probes")
        for table in ["sweep", "sweep_point"] {
            #expect(try Pipeline.number("SELECT count(*) FROM \(table)", in: store) == 0)
        }
        #expect(try Pipeline.damage(of: store) == [])
    }

    @Test func anInterruptedSweepLeavesNothing() throws {
        let store = try PreparedLogs.copy(of: #require(SharedTraces.log("6.1-extra/api.probes")))
        try Self.sweep("batch=1..8", in: store)
        let before = try Pipeline.contents(of: store)
        let sweep = Sweep(try PolicyGrid(parsing: ["batch=1..8"]))
        for calls in [1, 3] {
            var left = calls
            #expect(throws: StoreError.interrupted) {
                try sweep.run(
                    in: store, trace: nil,
                    isCancelled: {
                        left -= 1
                        return left == 0
                    })
            }
        }
        #expect(try Pipeline.contents(of: store) == before)
    }

    /// A hostile log may name as many domains as it has lines.
    @Test func tooManyDomainsForTheGridAreRefused() throws {
        let store = try PreparedLogs.copy(of: #require(SharedTraces.log("6.1-lazy/net.probes")))
        try store.write { database in
            let columns = try database.columns(in: "domain").map(\.name).filter { $0 != "id" }.joined(separator: ", ")
            try database.execute(
                sql: """
                    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 40000)
                    INSERT INTO domain (\(columns)) SELECT \(columns) FROM (SELECT * FROM domain LIMIT 1), number
                    """)
        }
        let domains = Int(try Pipeline.number("SELECT count(*) FROM domain", in: store) ?? 0)
        #expect(throws: SweepError.tooManyDomains("net-lazy.probes", domains: domains, points: 61)) {
            try Self.sweep("queue=2..256,1us..100us", in: store)
        }
        #expect(try Pipeline.number("SELECT count(*) FROM sweep", in: store) == 0)
    }

    @Test func aLogWithoutFlushesHasNoRecordedPoint() throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        let text = (1...40).map {
            "     fio-7  [000] d..1. 5.\(100_000 + $0): unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=4096\n"
        }
        try Pipeline.importLog(try folder.write(text.joined(), to: "log.txt"), into: store)
        try #require(try Pipeline.number("SELECT count(*) FROM trace WHERE flush_layer = 'none'", in: store) == 1)
        #expect(throws: SweepError.nothingRecorded("log")) { try Self.sweep("recorded", in: store) }
        try Self.sweep("batch=2", in: store)
        #expect(try Pipeline.number("SELECT count(*) FROM sweep_point WHERE policy = 'recorded'", in: store) == 0)
        #expect(try Pipeline.number("SELECT flushes FROM sweep_point WHERE policy = 'batch=2'", in: store) == 20)
    }
}
