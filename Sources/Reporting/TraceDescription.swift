import GRDB
import Operations
import TraceStore

/// A trace in words: what it holds, how its domains behave, and what it cannot answer.
public enum TraceDescription {
    /// Writes one paragraph for each trace.
    ///
    /// - Parameter trace: a trace's name; `nil` for all.
    public static func write(from store: TraceStore, trace: String?, to output: TextOutput) throws {
        try store.read { database in
            if let trace { _ = try TraceSummary(database, name: trace, path: store.path) }
            let rows = try Row.fetchAll(
                database, sql: "SELECT * FROM trace WHERE name = ?1 OR ?1 IS NULL ORDER BY id", arguments: [trace])
            if rows.isEmpty { throw StoreError.noTraces(path: store.path) }
            for (index, row) in rows.enumerated() {
                if index > 0 { output.say("") }
                try describe(row, database, output)
            }
        }
    }

    private static func describe(_ trace: Row, _ database: Database, _ output: TextOutput) throws {
        let id: Int64 = trace["id"]
        let first: Int64 = trace["first_ns"]
        let last: Int64 = trace["last_ns"]
        func line(_ label: String, _ text: String) {
            output.say("  " + label.padding(to: 12) + text, indent: 14)
        }
        output.say("trace \(trace["name"] as String), from \(trace["source"] as String)")
        line(
            "log",
            "\(trace["lines"] as Int64) lines, \(trace["events"] as Int64) events, \(seconds(last - first)) s (\(seconds(first)) to \(seconds(last)) on the trace clock)"
        )
        line(
            "events",
            try counts(
                "SELECT name, sum(count) FROM event_count WHERE trace = ? AND understood GROUP BY name ORDER BY 2 DESC, 1",
                id, database))
        line("operations", try kinds("operation", id, database))
        line("layers", try kinds("layer", id, database))
        line("losses", try losses(trace, id, database).joined(separator: "; "))
        line(
            "issues",
            try counts(
                "SELECT reason, count FROM parse_issue_count WHERE trace = ? ORDER BY count DESC, reason", id, database)
        )
        line(
            "not known",
            try counts(
                "SELECT name, sum(count) FROM event_count WHERE trace = ? AND NOT understood GROUP BY name ORDER BY 2 DESC, 1 LIMIT 8",
                id, database))
        try describeDomains(id, database, line)
        for gap in try gaps(trace, id, database) { line("cannot tell", gap) }
        let told = try MetadataDescription(trace: id, database)
        for text in told.facts { line("metadata", text) }
        for text in told.contradictions { line("disagrees", text) }
    }

    private static func describeDomains(_ id: Int64, _ database: Database, _ line: (String, String) -> Void) throws {
        let shown = 8
        let domains = try Row.fetchAll(
            database, sql: "SELECT * FROM domain WHERE trace = ? ORDER BY mode_reason = 'no unmaps', id",
            arguments: [id])
        let unused = domains.filter { $0["mode_reason"] == "no unmaps" }.count
        line("domains", "\(domains.count)\(unused > 0 ? ", \(unused) of them without unmaps" : "")")
        for domain in domains.prefix(min(domains.count - unused, shown)) {
            let evidence: String = domain["evidence"]
            let kind: String = domain["kind"]
            let kindEvidence: String = domain["kind_evidence"]
            let mode: String = domain["mode"]
            line(
                "",
                "\(domain["name"] as String) (\(evidence)\(try grades(of: domain["id"], database))): \(mode == "unknown" ? "mode unknown" : "\(mode) (inferred)"), "
                    + "\(domain["mode_reason"] as String); "
                    + (kind == "unknown" ? "kind unknown" : "kind \(kind) (\(kindEvidence))"))
        }
        if domains.count - unused > shown { line("", "… and \(domains.count - unused - shown) more: report domains") }
    }

    /// What the operations of a domain rest on, where their events do not name it.
    private static func grades(of domain: Int64, _ database: Database) throws -> String {
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT name, operations FROM domain_grade JOIN grade ON grade.id = grade
                WHERE domain = ? AND grade.id > \(Grade.pointer.rawValue) ORDER BY grade.id
                """, arguments: [domain])
        return rows.isEmpty ? "" : ": " + rows.map { "\($0[1] as Int64) \($0[0] as String)" }.joined(separator: ", ")
    }

    private static func kinds(_ stage: String, _ id: Int64, _ database: Database) throws -> String {
        try counts(
            """
            SELECT name, sum(count) FROM kind_count JOIN \(stage)_kind ON \(stage)_kind.id = kind_count.kind
            WHERE trace = ? AND stage = '\(stage)' GROUP BY kind ORDER BY kind
            """, id, database)
    }

    private static func counts(_ sql: String, _ id: Int64, _ database: Database) throws -> String {
        let rows = try Row.fetchAll(database, sql: sql, arguments: [id])
        if rows.isEmpty { return "none" }
        return rows.map { "\($0[1] as Int64) \($0[0] as String)" }.joined(separator: ", ")
    }

    /// Where events are missing, announced or not.
    static func losses(_ trace: Row, _ id: Int64, _ database: Database) throws -> [String] {
        var parts: [String] = []
        if let entries = trace["buffer_entries"] as Int64?, let written = trace["buffer_written"] as Int64?,
            written > entries
        {
            parts.append(
                "\(written - entries) events overwritten before the log begins (\(entries) of \(written) kept)")
        }
        let row = try Row.fetchOne(
            database, sql: "SELECT count(*), sum(count), sum(count IS NULL) FROM lost_events WHERE trace = ?",
            arguments: [id])
        if let row, let places = row[0] as Int64?, places > 0 {
            let unknown: Int64 = row[2] ?? 0
            let known: Int64 = row[1] ?? 0
            parts.append(
                "\(places) announced: \(known) events\(unknown > 0 ? " and an unknown number at \(unknown) places" : "")"
            )
        }
        if parts.isEmpty { parts.append("none announced") }
        parts += try SilentLoss.all(of: trace["name"], database).map(\.text)
        return parts
    }

    /// What the log cannot answer, and why.
    static func gaps(_ trace: Row, _ id: Int64, _ database: Database) throws -> [String] {
        var gaps: [String] = []
        let grades = try Row.fetchAll(
            database,
            sql: """
                SELECT domain_grade.grade, sum(operations) FROM domain_grade JOIN domain ON domain.id = domain
                WHERE trace = ? GROUP BY domain_grade.grade
                """, arguments: [id])
        let counts = Dictionary(grades.map { ($0[0] as Int64, $0[1] as Int64) }) { first, _ in first }
        let all = counts.values.reduce(0, +)
        func count(_ grade: Grade) -> Int64 { counts[Int64(grade.rawValue)] ?? 0 }
        if count(.ambiguous) > 0 {
            gaps.append(
                "which domain \(count(.ambiguous)) of \(all) maps and unmaps belong to: they are taken for one domain, 'unresolved' (assumed), in which maps, windows and hazards may be of several"
            )
        }
        if count(.assumed) > 0 {
            gaps.append(
                "whether \(count(.assumed)) of \(all) maps and unmaps are of one domain, as it was told to assume")
        }
        let named = try Bool.fetchOne(
            database,
            sql:
                "SELECT EXISTS (SELECT 1 FROM domain WHERE trace = ? AND evidence = 'inferred' AND name NOT LIKE 'hw:%')",
            arguments: [id])
        if named == true {
            gaps.append(
                "which devices share a domain: a domain is taken for that of the device it is named after (inferred)")
        }
        if let unmaps = try unmapsWithoutMaps(id, database) {
            let isCandidate = try Bool.fetchOne(
                database,
                sql: """
                    SELECT EXISTS (
                        SELECT 1 FROM metadata
                        WHERE trace = ? AND key IN ('kernel_release', 'kernel') AND value GLOB '*7.1.0-rc[1-5]*')
                    """, arguments: [id])
            gaps.append(
                "what was mapped, leaks and most hazards: it shows \(unmaps) unmaps and no map"
                    + (isCandidate == true ? "; Linux 7.1-rc1 to about rc5 tells of no map that succeeds" : ""))
        }
        let untimed = try Int64.fetchOne(
            database, sql: "SELECT sum(count) FROM parse_issue_count WHERE trace = ? AND reason = ?",
            arguments: [id, "event without time, CPU and task"])
        if let untimed {
            gaps.append(
                "when \(untimed) of its events happened: their lines have no time, so each is taken at that of the one before"
            )
        }
        switch trace["flush_layer"] as String {
        case "hardware": gaps.append("flushes at the API: runs of IOTLB descriptors stand in for them (inferred)")
        case "none": gaps.append("when it flushed: it shows neither syncs nor descriptors, so recorded has no answer")
        default: break
        }
        if !(trace["shows_attaches"] as Bool) {
            gaps.append("whether devices were attached: it shows no attach, all domains count as attached (assumed)")
        }
        if (trace["backwards"] as Int64) > 0 {
            gaps.append(
                "the exact order across CPUs: \(trace["backwards"] as Int64) events stand earlier in time than the one before"
            )
        }
        return gaps
    }

    /// How many unmaps a log shows that shows no map; `nil` for other logs.
    private static func unmapsWithoutMaps(_ id: Int64, _ database: Database) throws -> Int64? {
        try Int64.fetchOne(
            database,
            sql: """
                SELECT sum(count) FILTER (WHERE kind IN (2, 3)) FROM kind_count WHERE trace = ? AND stage = 'operation'
                HAVING sum(count) FILTER (WHERE kind IN (2, 3)) > 0 AND coalesce(sum(count) FILTER (WHERE kind = 1), 0) = 0
                """, arguments: [id])
    }

    private static func seconds(_ nanoseconds: Int64) -> String {
        let micros = nanoseconds / 1000
        let fraction = String(micros % 1_000_000)
        return "\(micros / 1_000_000)." + String(repeating: "0", count: max(6 - fraction.count, 0)) + fraction
    }
}
