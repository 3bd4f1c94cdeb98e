import GRDB

/// Where what was told of a recording contradicts its events, or itself: a row of the view `what_disagrees`, in a sentence.
struct Contradiction {
    private let row: Row

    init(_ row: Row) { self.row = row }

    /// Those of a trace, of all traces for `nil`.
    static func all(of trace: Int64?, _ database: Database) throws -> [Contradiction] {
        try Row.fetchAll(
            database,
            sql: """
                SELECT * FROM what_disagrees WHERE trace = ?1 OR ?1 IS NULL
                ORDER BY trace, subject, conflict, told, found, told_as, told_by
                """, arguments: [trace]
        ).map(Contradiction.init)
    }

    /// How it is known.
    var evidence: String { row.string("evidence") }

    /// A sentence without its full stop.
    var text: String {
        let (found, foundBy, count) = (row.string("found"), row.string("found_by"), row.whole("count") ?? 0)
        let because = row.string("because").isEmpty ? "" : "; \(row.string("because"))"
        switch row.string("conflict") {
        case "mode":
            let isUnknown = evidence == "assumed"
            return "\(told), but \(Number.count(count, "domain")) ran \(found): \(which)"
                + (isUnknown ? " (of unknown kind: what was told holds for the DMA API only)" : "") + because
        case "groups":
            return found == "DMA"
                ? "\(told), but all groups that translate are of type DMA, which is strict (\(foundBy))\(because)"
                : "\(told), but there are groups of type \(found), which defers: \(count) (\(foundBy))"
        case "maps":
            return "\(told), but the log maps in \(Number.count(count, "domain")) of the DMA API: \(which)"
        case "told twice":
            return "\(row.string("subject")) is told differently: \(row.string("told")) (\(by)), \(found) (\(foundBy))"
        case "times":
            return "\(told), but its times are \(found == "ticks" ? "bare counts" : found)"
        case "clock":
            return "\(told), but its counts look like \(found)"
        case "epoch":
            return "\(told), but its times \(found == "1970" ? "count" : "do not count") from 1970"
        case "event":
            return "\(told), but the log has \(found), which Linux has \(Self.versions(row.string("because")))"
        case "remark":
            return "\(row.string("told")) (\(by))"
        case "silent":
            return
                "the log is missing \(Number.count(count, "event")) that it does not announce (\(which); \(row.string("told")), \(by))"
        case "unclear":
            return
                "the ring buffer counted \(Number.count(count, "event")) as \(row.string("told")), not all of which the log announces (\(by))"
        case "probes":
            return "probes missed hits (\(which)): calls that nothing in the log shows (\(by))"
        case let other:
            return "\(row.string("subject")): \(row.string("told")) (\(by)), but \(found) (\(other))"
        }
    }

    private var by: String { row.string("told_by") }

    /// What was told, by whom.
    private var told: String {
        let value = row.string("told")
        return switch (row.string("told_as"), row.string("subject")) {
        case ("boot", "translation"): "booted to translate nothing (\(by))"
        case ("boot", _): "booted \(value) (\(by))"
        case ("group", "translation"): "groups of type identity (\(by))"
        case ("group", _):
            value == "strict"
                ? "in a group of type DMA, which is strict (\(by))" : "in a group of type DMA-FQ, which is lazy (\(by))"
        case (_, "kernel_release"): "told to be recorded on Linux \(value) (\(by))"
        case (_, "trace_clock"): "told to be recorded with the clock \(value) (\(by))"
        default: "\(row.string("subject")) \(value) (\(by))"
        }
    }

    /// Names, and whether they are all.
    private var which: String {
        let (names, count) = (row.string("which"), row.whole("count") ?? 0)
        let isCountOfNames = ["mode", "maps", "probes"].contains(row.string("conflict"))
        return isCountOfNames && count > 8 ? "\(names) and \(count - 8) more" : names
    }

    /// `5.4..5.11` in words.
    private static func versions(_ range: String) -> String {
        guard let dots = range.firstRange(of: "..") else { return range }
        let (first, last) = (range[..<dots.lowerBound], range[dots.upperBound...])
        return last.isEmpty ? "since \(first)" : "from \(first) to \(last)"
    }
}
