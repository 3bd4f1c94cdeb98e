import GRDB

extension TraceStore {
    /// Deletes a trace with everything that belongs to it.
    public func forget(trace name: String) throws {
        try write { database in
            let trace = try TraceSummary(database, name: name, path: path)
            for replay in try Int64.fetchAll(
                database, sql: "SELECT id FROM replay WHERE trace = ?", arguments: [trace.id])
            {
                try ReplayWriter.delete(database, replay: replay)
            }
            try ValidationWriter.delete(database, trace: trace.id)
            try SweepWriter.delete(database, trace: trace.id)
            try MistakeRows.delete(database, trace)
            for (table, key, ids) in [
                ("marker", "operation", trace.operationIDs), ("fault", "operation", trace.operationIDs),
                ("operation", "id", trace.operationIDs),
                ("raw_command", "layer", trace.layerIDs), ("layer", "id", trace.layerIDs),
            ] {
                try database.execute(
                    sql: "DELETE FROM \(table) WHERE \(key) >= ? AND \(key) < ?",
                    arguments: [ids.lowerBound, ids.upperBound])
            }
            try database.execute(
                sql: "DELETE FROM domain_grade WHERE domain IN (SELECT id FROM domain WHERE trace = ?)",
                arguments: [trace.id])
            try database.execute(
                sql: "DELETE FROM attachment WHERE domain IN (SELECT id FROM domain WHERE trace = ?)",
                arguments: [trace.id])
            try database.execute(
                sql: "DELETE FROM group_device WHERE iommu_group IN (SELECT id FROM iommu_group WHERE trace = ?)",
                arguments: [trace.id])
            for table in [
                "log_piece", "log_part", "metadata", "buffer_counter", "probe_counter", "iommu_group",
                "mapping_summary",
                "page_size_summary", "churn_total", "churn_step", "hardware_id", "domain", "task", "device", "unit",
                "event_count",
                "kind_count", "parse_issue",
                "parse_issue_count", "lost_events",
            ] {
                try database.execute(sql: "DELETE FROM \(table) WHERE trace = ?", arguments: [trace.id])
            }
            try database.execute(sql: "DELETE FROM trace WHERE id = ?", arguments: [trace.id])
        }
    }

    /// Deletes replays of a trace. What all replays share, of mappings and mistakes, stays.
    ///
    /// - Parameter wanted: policies as they were asked for, or else in their canonical form, each with words of its options behind it that
    ///   the replay has, if there are any.
    /// - Returns: the replays that are gone, policy and options.
    /// - Throws: ``NoSuchReplay`` if one is of none; then all stay.
    public func forget(replays wanted: [String], of name: String) throws -> [String] {
        try write { database in
            let trace = try TraceSummary(database, name: name, path: path)
            let rows = try Row.fetchAll(
                database, sql: "SELECT id, requested, policy, options FROM replay WHERE trace = ? ORDER BY id",
                arguments: [trace.id])
            let known = rows.map { row in
                let options = (row["options"] as String).split(separator: " ").map(String.init)
                return (
                    id: row["id"] as Int64, requested: row["requested"] as String, policy: row["policy"] as String,
                    options: options,
                    text: ([row["requested"]] + options).joined(separator: " ")
                )
            }
            var chosen: Set<Int64> = []
            for text in wanted {
                let words = text.split(separator: " ").map(String.init)
                let fitting = known.filter { words.dropFirst().allSatisfy($0.options.contains) }
                // What fast chose goes by that name only where nothing was asked for by it.
                var found = fitting.filter { $0.requested == words.first }
                if found.isEmpty { found = fitting.filter { $0.policy == words.first } }
                guard !found.isEmpty else { throw NoSuchReplay(trace: name, wanted: text, known: known.map(\.text)) }
                chosen.formUnion(found.map(\.id))
            }
            for id in chosen.sorted() { try ReplayWriter.delete(database, replay: id) }
            return known.filter { chosen.contains($0.id) }.map(\.text)
        }
    }
}

/// A replay that is to be deleted and is not there.
public struct NoSuchReplay: Error, Hashable, Sendable {
    /// The trace.
    public let trace: String
    /// What was asked for.
    public let wanted: String
    /// The replays that there are, policy and options.
    public let known: [String]

    /// What is wrong, and what there is.
    public var message: String {
        known.isEmpty
            ? "trace \(trace) holds no replay at all"
            : "trace \(trace) holds no replay '\(wanted)'; there \(known.count == 1 ? "is" : "are"): "
                + known.map { "'\($0)'" }.joined(separator: ", ")
    }
}
