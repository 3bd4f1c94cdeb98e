import Foundation
import GRDB
import Replay
import TestSupport
import Testing
import TraceStore

@testable import Reporting

/// The sentence about a sweep, worked out again from its points in another way.
@Suite struct AdviceTests {
    private struct Point {
        var policy: String
        var flushes: Int64
        var exposure: Double
        var isOnFront: Bool
        /// Whether all domains that it is of are unmanaged.
        var isUnmanaged: Bool
    }

    private static func advice(_ store: TraceStore, by grouping: String = "trace") throws -> [Row] {
        let report = try #require(Report.named("advice"))
        return try store.read {
            try Row.fetchAll($0, sql: report.sql, arguments: ["trace": nil, "by": grouping, "sweep": nil])
        }
    }

    private static func points(_ store: TraceStore, domain: String?) throws -> [Point] {
        try store.read {
            try Row.fetchAll(
                $0,
                sql: """
                    SELECT policy, flushes, exposure_page_seconds + censored_page_seconds AS exposure, is_pareto,
                        (SELECT group_concat(DISTINCT of.kind) FROM domain AS of WHERE of.id IN (
                            SELECT part.domain FROM sweep_point AS part
                            WHERE sweep_point.domain IS NULL OR part.domain = sweep_point.domain
                        )) = 'unmanaged' AS is_unmanaged
                    FROM sweep_point LEFT JOIN domain ON domain.id = sweep_point.domain
                    WHERE domain.name IS ? ORDER BY sweep_point.id
                    """, arguments: [domain]
            ).map {
                Point(
                    policy: $0["policy"], flushes: $0["flushes"], exposure: $0["exposure"], isOnFront: $0["is_pareto"],
                    isUnmanaged: $0["is_unmanaged"])
            }
        }
    }

    private static func check(_ row: Row, _ points: [Point]) throws {
        let isUnmanaged = points.contains { $0.isUnmanaged } && points.allSatisfy { $0.isUnmanaged }
        let usual = try #require(points.first { $0.policy == (isUnmanaged ? "vfio" : "queue=256,10ms") })
        let front = points.filter(\.isOnFront)
        #expect(row["default_flushes"] == usual.flushes)
        #expect(row["default_saved"] as Int64 == row["unmap_calls"] as Int64 - usual.flushes)
        let better = front.filter { $0.flushes <= usual.flushes && $0.exposure <= usual.exposure + 1e-6 }
            .min { ($0.flushes, $0.exposure) < ($1.flushes, $1.exposure) }
        #expect(row["better_policy"] as String? == (usual.isOnFront ? nil : better?.policy))
        let beyond = front.filter { $0.flushes < usual.flushes && $0.exposure > usual.exposure + 1e-6 }
        if let next: String = row["next_policy"] {
            let halving = beyond.filter { 2 * $0.flushes <= usual.flushes }
            let chosen = try #require(beyond.first { $0.policy == next })
            if let least = halving.map(\.exposure).min() {
                #expect(2 * chosen.flushes <= usual.flushes)
                #expect(abs(chosen.exposure - least) <= 1e-6)
            } else {
                #expect(chosen.flushes == beyond.map(\.flushes).min())
            }
        } else {
            #expect(beyond.isEmpty)
        }
        #expect(row["last_flushes"] == front.map(\.flushes).min())
        let answer = AdviceWords(row).answer
        #expect(
            answer.hasPrefix(
                "\(row["default_saved"] as Int64) of \(row["unmap_calls"] as Int64) flushes saved \(isUnmanaged ? "as VFIO unmaps" : "at the kernel's default")"
            ))
        let isLast = front.allSatisfy { $0.flushes >= usual.flushes }
        #expect(answer.contains("; nothing in the grid saves more flushes") == isLast)
        #expect(answer.contains("; nothing in the grid saves more than ") == !isLast)
    }

    @Test(arguments: SharedTraces.bundled.suffix(4)) func figuresAreThoseOfThePoints(log: RecordedLog) throws {
        let store = try PreparedLogs.copy(of: log)
        _ = try Sweep(PolicyGrid(parsing: ["queue=64|512,1ms|50ms", "batch=8..64", "every=5ms"])).run(
            in: store, trace: nil)
        let whole = try Self.advice(store)
        #expect(whole.count == 1)
        try Self.check(try #require(whole.first), Self.points(store, domain: nil))
        let domains = try Self.advice(store, by: "domain")
        #expect(domains.count == Set(domains.map { $0["domain"] as String? }).count)
        #expect(!domains.isEmpty)
        for row in domains { try Self.check(row, Self.points(store, domain: row["domain"])) }
    }

    /// Three points are enough to say the sentence by heart.
    @Test func sentence() throws {
        let store = try TraceStore(path: "", access: .create)
        try store.write { database in
            try database.execute(
                sql: """
                    INSERT INTO trace (\(try database.columns(in: "trace").map(\.name).joined(separator: ", ")))
                    VALUES (\(try database.columns(in: "trace").map { column in
                        column.name == "name" ? "'log'" : column.type == "TEXT" ? "''" : "1"
                    }.joined(separator: ", ")));
                    INSERT INTO sweep VALUES (1, 1, 'g', 'hz=250', NULL, 0, 1000000000);
                    """)
            for (policy, flushes, exposure, isOnFront) in [
                ("queue=256,10ms", 100, 2.0, true), ("queue=512,20ms", 50, 3.0, true),
                ("queue=4096,100ms", 10, 30.0, true), ("batch=9", 100, 2.5, false),
            ] {
                try database.execute(
                    sql: """
                        INSERT INTO sweep_point VALUES (
                            NULL, 1, NULL, ?, '', NULL, NULL, 1, 0, '', 1000, 0, ?, 0, 0, 0, 0, NULL, NULL, NULL, ?, 0, 0,
                            0, 0, 0, 0, NULL, NULL, ?, 'modelled')
                        """, arguments: [policy, flushes, exposure, isOnFront])
            }
        }
        let row = try #require(try Self.advice(store).first)
        #expect(
            AdviceWords(row).answer == """
                900 of 1000 flushes saved at the kernel's default (queue=256,10ms), for 2 page-seconds; \
                queue=512,20ms would save 50 % of the flushes left for 1.5 times the exposure; \
                nothing in the grid saves more than queue=4096,100ms (10 flushes, 15 times the exposure)
                """)
        #expect(row["evidence"] as String == "modelled")
        try store.write { try $0.execute(sql: "UPDATE sweep_point SET is_pareto = 0 WHERE policy = 'queue=256,10ms'") }
        try store.write { try $0.execute(sql: "UPDATE sweep_point SET exposure_page_seconds = 1 WHERE flushes = 50") }
        #expect(
            try Self.advice(store).first.map { AdviceWords($0).answer }?.contains(
                "; queue=512,20ms beats it: 50 flushes for 1 page-seconds;") == true)
    }
}
