import GRDB

/// What is known of a recording beside its events, and where that contradicts them, in words.
struct MetadataDescription {
    /// A line each.
    let facts: [String]
    /// A line each.
    let contradictions: [String]

    private static let mostContradictions = 12
    private static let longest = 200

    /// Reads a trace's.
    init(trace: Int64, _ database: Database) throws {
        facts = try Self.facts(trace, database)
        contradictions = try Self.contradictions(trace, database)
    }

    /// The contradictions of a trace, of all traces for `nil`; the rest beyond some is counted.
    static func contradictions(_ trace: Int64?, _ database: Database) throws -> [String] {
        let all = try Contradiction.all(of: trace, database)
        var lines = all.prefix(mostContradictions).map { "\($0.text) (\($0.evidence))" }
        if all.count > mostContradictions {
            lines.append("… and \(all.count - mostContradictions) more: report contradictions")
        }
        return lines
    }

    private static func facts(_ trace: Int64, _ database: Database) throws -> [String] {
        // What the other lines of a description say already, or nobody reads, is left to the report.
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT key, value, replace(group_concat(DISTINCT source), ',', ', ') AS source, evidence FROM metadata
                WHERE trace = ? AND key NOT IN ('tracer', 'buffer_cpus', 'times', 'evident_clock', 'evident_kernel', 'kernel', 'cmdline_remark')
                    AND key NOT LIKE '%.cap' AND key NOT LIKE '%.ecap'
                GROUP BY key, value, evidence ORDER BY min(id)
                """, arguments: [trace])
        var lines = rows.prefix(24).map { row in
            let value: String = row["value"]
            let shown = value.count > longest ? value.prefix(longest) + "…" : value[...]
            return "\(row["key"] as String) \(shown) (\(row["evidence"] as String), \(row["source"] as String))"
        }
        if rows.count > lines.count { lines.append("… and \(rows.count - lines.count) more: report metadata") }
        let groups = try Row.fetchAll(
            database,
            sql: """
                SELECT coalesce(type, 'of unknown type'), count(*), min(source) FROM iommu_group
                WHERE trace = ? GROUP BY type ORDER BY type
                """, arguments: [trace])
        for group in groups {
            lines.append("\(group[1] as Int64) groups \(group[0] as String) (recorded, \(group[2] as String))")
        }
        return lines + (try counters(trace, database))
    }

    /// That something was counted is worth a line also where nothing was lost.
    private static func counters(_ trace: Int64, _ database: Database) throws -> [String] {
        let buffers = try Row.fetchAll(
            database,
            sql: """
                SELECT source, count(*), coalesce(sum(overrun), 0), coalesce(sum(dropped), 0), coalesce(sum(commit_overrun), 0)
                FROM buffer_counter WHERE trace = ? GROUP BY source ORDER BY min(id) LIMIT 8
                """, arguments: [trace])
        let probes = try Row.fetchAll(
            database,
            sql: """
                SELECT source, count(*), sum(missed) FROM probe_counter WHERE trace = ?
                GROUP BY source ORDER BY min(id) LIMIT 8
                """, arguments: [trace])
        return buffers.map { row in
            "ring buffers of \(row[1] as Int64) CPUs: \(row[2] as Int64) events overwritten, \(row[3] as Int64) dropped, "
                + "\(row[4] as Int64) lost in nested interrupts (recorded, \(row[0] as String))"
        }
            + probes.map { row in
                "\(row[1] as Int64) probes missed \(row[2] as Int64) hits (recorded, \(row[0] as String))"
            }
    }
}
