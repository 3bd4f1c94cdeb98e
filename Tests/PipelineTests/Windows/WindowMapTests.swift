import Foundation
import Replay
import TestSupport
import Testing
import TraceStore

/// Which map call a stale window is of, against plain SQL over the operations.
struct WindowMapTests {
    /// A window's first page was mapped last by the call that the window names, and nothing unmapped it since; a window that
    /// names none is of a page that the log does not show being mapped.
    @Test("stale windows name the map call of what they are of", arguments: SharedTraces.bundled)
    func maps(log: RecordedLog) throws {
        let store = try PreparedLogs.copy(of: log)
        _ = try Replay([Replay.Request(.init("queue=64,10ms")), Replay.Request(.init("batch=16"))]).run(
            in: store, trace: nil)
        let sample = """
            SELECT * FROM stale_window WHERE id % (SELECT count(*) / 400 + 1 FROM stale_window) = 0
            """
        #expect(try Pipeline.number("SELECT count(*) FROM (\(sample))", in: store) ?? 0 > 0)
        let different = try Pipeline.csv(
            """
            SELECT id, operation, map, expected
            FROM (
                SELECT
                    sample.id, sample.operation, sample.map,
                    (
                        SELECT CASE WHEN earlier.kind = 1 THEN earlier.id END
                        FROM operation AS earlier
                        WHERE earlier.domain = sample.domain AND earlier.kind IN (1, 2, 3) AND earlier.id < sample.operation
                            AND earlier.flags & 32 = 0
                            AND sample.iova - earlier.iova BETWEEN 0
                            AND CASE earlier.kind WHEN 1 THEN earlier.size ELSE coalesce(earlier.result, earlier.size) END - 1
                        ORDER BY earlier.id DESC
                        LIMIT 1
                    ) AS expected
                FROM (\(sample)) AS sample
            )
            WHERE map IS NOT expected
            """, in: store)
        #expect(different == "id,operation,map,expected\n")
    }
}
