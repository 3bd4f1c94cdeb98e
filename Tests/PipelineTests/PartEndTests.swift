import Foundation
import GRDB
import Replay
import TestSupport
import Testing
import TraceStore

/// A part of a log ends as a log does (design §4 9, 17), also between a flush and its last layer: what has not happened by then is
/// not known. So up to each line the recorded flushes and their windows are those of the log cut off there.
struct PartEndTests {
    /// What a replay of `recorded` tells of flushes and windows.
    private static func figures(_ store: TraceStore, until time: Int64?) throws -> [String] {
        let part = time.map { LogPart.times(since: nil, until: .clock($0)) } ?? .whole
        _ = try Replay([Replay.Request(.recorded)], options: ReplayOptions(windows: .all, part: part))
            .run(in: store, trace: nil)
        let replay = "(SELECT max(id) FROM replay)"
        // Not the domains: whose an operation is may show later, and the whole log shows it.
        return try [
            """
            SELECT iova, size, opened_ns, closed_ns, window_end, closed_line, uncertain
            FROM stale_window WHERE replay = \(replay) ORDER BY operation, iova
            """,
            "SELECT time_ns, flushes, calls FROM flush WHERE replay = \(replay) ORDER BY flush.id",
            "SELECT unmap_calls, flushes, flushes_pending FROM replay WHERE id = \(replay)",
            """
            SELECT windows, censored, max_ns, round(exposure_page_seconds * 1e9), round(censored_page_seconds * 1e9)
            FROM stale_total WHERE member = 0 AND replay = \(replay) ORDER BY 1, 2, 3, 4, 5
            """,
        ].flatMap { sql in
            try store.read {
                try Row.fetchAll($0, sql: sql).map { $0.databaseValues.map { "\($0)" }.joined(separator: " ") }
            }
        }
    }

    private static func store(_ lines: some Sequence<Substring>) throws -> TraceStore {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(
            folder.write(Array((lines.joined(separator: "\n") + "\n").utf8), to: "log.txt"), into: store)
        return store
    }

    /// Lines, kinds and times of the operations up to a line: whether a cut leaves a call in flight, which a log that goes on does
    /// not.
    private static func operations(_ store: TraceStore, upTo line: Int64) throws -> [String] {
        try store.read {
            try Row.fetchAll(
                $0, sql: "SELECT line, kind, time_ns, result, flags & 16 FROM operation WHERE line <= ? ORDER BY id",
                arguments: [line]
            ).map { "\($0.databaseValues)" }
        }
    }

    @Test(
        "up to each line a part is the log cut off there",
        arguments: [
            ("deferred-windows", 3), ("partial-sync", 3), ("strict-domain", 5), ("run-of-pages", 5),
            ("two-hardware-domains", 5), ("hardware-domains", 4), ("global-invalidation", 2),
            ("recycled-hardware-id", 2), ("sync-inside-call", 2),
        ])
    func cuts(name: String, atLeast expected: Int) throws {
        let folder = try #require(Bundle.module.resourceURL?.appending(path: "Diff"))
        let text = try String(contentsOf: folder.appending(path: "\(name).txt"), encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        let whole = try Self.store(lines)
        let layer = try Pipeline.number("SELECT flush_layer = 'api' FROM trace", in: whole)
        var compared = 0
        // The function that sends a descriptor is one layer with it, which stands where the descriptor does.
        for count in 1..<lines.count
        where !lines[count - 1].hasPrefix("#") && !lines[count - 1].contains(": hw_flush: ") {
            guard let cut = try? Self.store(lines[..<count]) else { continue }
            let last = try Pipeline.number("SELECT last_ns FROM trace", in: cut) ?? 0
            guard
                try Pipeline.number("SELECT flush_layer = 'api' FROM trace WHERE flush_layer <> 'none'", in: cut)
                    == layer,
                try Self.operations(cut, upTo: .max) == Self.operations(whole, upTo: Int64(count)),
                // Whose a hardware's id is shows later, and the whole log shows it.
                name != "recycled-hardware-id" || count >= 19
            else { continue }
            let (part, log) = (try Self.figures(whole, until: last), try Self.figures(cut, until: nil))
            #expect(
                part == log,
                """
                up to line \(count), only the part: \(part.filter { !log.contains($0) })
                only the log cut off: \(log.filter { !part.contains($0) })
                """)
            compared += 1
        }
        #expect(compared >= expected)
    }
}
