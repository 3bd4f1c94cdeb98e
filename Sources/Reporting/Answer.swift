import GRDB
import Operations
import TraceStore

/// A trace's savings and stale windows in a few lines, for people: what each policy costs, what it exposes, and what fast
/// chose where.
public enum Answer {
    /// Writes the answer of some replays of a trace.
    ///
    /// - Parameters:
    ///   - replays: their numbers; `nil` for all of the trace.
    ///   - part: which part of the log they replayed, in words; `nil` for all of it.
    public static func write(
        from store: TraceStore, trace: String, replays: [Int64]? = nil, part: String? = nil, to output: TextOutput
    ) throws {
        let (savings, windows) = (try Report.required("savings"), try Report.required("windows"))
        try store.read { database in
            let chosen = try ReplayChoice(replays, database)
            func fetch(_ report: Report, _ database: Database, trace: String, by grouping: String) throws -> [Row] {
                try Self.fetch(report, database, trace: trace, by: grouping).filter(chosen.contains)
            }
            let rows = try fetch(savings, database, trace: trace, by: "trace")
            let what = trace + (part.map { " \($0)" } ?? "")
            output.say("TLB flushes of \(what) under each policy (counts: facts of the policy; see evidence)")
            output.say("")
            var renderer = OutputFormat.table.renderer(output)
            renderer.begin(columns: [
                "policy", "unmap calls", "flushes", "pending", "saved", "saved %", "flushes/s", "evidence",
            ])
            for row in rows {
                renderer.row([
                    label(row).databaseValue, row["unmap_calls"], row["flushes"], row["flushes_pending"],
                    row["saved_flushes"], row["saved_percent"], row["flushes_per_second"], row["evidence"],
                ])
            }
            renderer.end()
            let domains = try fetch(savings, database, trace: trace, by: "domain")
            try writeChoices(rows, domains, output)
            writeNotes(rows, try SilentLoss.all(of: trace, database), output)
            writeCommands(rows.filter { $0["hardware"] as String? != nil }, output)
            let exposed = try fetch(windows, database, trace: trace, by: "trace")
            try writeCaches(rows.filter { $0["iotlb"] as String? != nil }, exposed, database, trace: trace, output)
            writeWindows(exposed, output)
            try writeUnresolved(database, trace: trace, chosen, output)
            try writeDetached(database, trace: trace, output)
            try writeFaults(database, trace: trace, output)
            let id = try Int64.fetchOne(database, sql: "SELECT id FROM trace WHERE name = ?", arguments: [trace])
            for text in try id.map({ try MetadataDescription.contradictions($0, database) }) ?? [] {
                output.say("note: \(text)")
            }
        }
    }

    /// What the flushes become at the hardware, where that was asked.
    private static func writeCommands(_ rows: [Row], _ output: TextOutput) {
        guard !rows.isEmpty else { return }
        output.say("")
        output.say(
            "Invalidation commands that these flushes become (of one IOMMU and no device TLB, unless the hardware says so; modelled)"
        )
        output.say("")
        var renderer = OutputFormat.table.renderer(output)
        renderer.begin(columns: [
            "hardware", "policy", "commands", "of them domain", "waits", "to device TLBs", "pages named",
            "of them not asked for",
        ])
        for row in rows {
            renderer.row([
                row["hardware"], label(row).databaseValue, row["commands"], row["domain_commands"], row["waits"],
                row["device_tlb_commands"], row["pages_invalidated"], row["over_invalidated_pages"],
            ])
        }
        renderer.end()
    }

    /// What those commands do to a simulated IOTLB, where that was asked: a table for each that was.
    ///
    /// - Parameter windows: what the replays expose.
    private static func writeCaches(
        _ rows: [Row], _ windows: [Row], _ database: Database, trace: String, _ output: TextOutput
    ) throws {
        let withheld = Set(windows.filter { number($0, "deferred_reuse") ?? 0 > 0 }.map { $0["options"] as String })
        let lengths = try Row.fetchAll(
            database,
            sql: """
                SELECT replay.requested, replay.options, stale_entry_total.p50_ns, stale_entry_total.max_ns
                FROM stale_entry_total
                JOIN replay ON replay.id = stale_entry_total.replay
                JOIN trace ON trace.id = replay.trace
                WHERE trace.name = ? AND stale_entry_total.told_by = 'trace'
                """, arguments: [trace])
        var left = rows[...]
        while let first = left.first {
            let (iotlb, accesses): (String, String) = (first["iotlb"], first["accesses"])
            func isAlike(_ row: Row) -> Bool { row["iotlb"] == iotlb && row["accesses"] == accesses }
            output.say("")
            output.say(
                "An IOTLB of \(iotlb) under these commands (a simulation; accesses "
                    + (accesses == "recorded" ? "recorded in the log" : "assumed: \(accesses)") + "; modelled)")
            output.say("")
            var renderer = OutputFormat.table.renderer(output)
            renderer.begin(columns: [
                "hardware", "policy", "hits", "misses", "stale hits", "stale entries", "p50 ms", "max ms",
                "live entries killed",
            ])
            for row in left where isAlike(row) {
                let (requested, options): (String, String) = (row["requested"], row["options"])
                let length = lengths.first { $0["requested"] == requested && $0["options"] == options }
                renderer.row([
                    row["hardware"], label(row).databaseValue, row["iotlb_hits"], row["iotlb_misses"],
                    row["stale_hits"], row["stale_entries"], milliseconds(length?["p50_ns"]),
                    milliseconds(length?["max_ns"]), row["live_entries_killed"],
                ])
            }
            renderer.end()
            if left.contains(where: { isAlike($0) && withheld.contains($0["options"]) }) {
                output.say("")
                output.say(
                    "note: hits and stale hits under a queue are in part of addresses that an allocator that defers would have withheld (deferred_reuse): the log's kernel did not defer"
                )
            }
            if accesses == "recorded", !left.contains(where: { isAlike($0) && isUsed($0) }) {
                output.say("")
                output.say("note: the log records no access of a device, so nothing was ever cached")
            }
            left.removeAll(where: isAlike)
        }
    }

    private static func isUsed(_ row: Row) -> Bool {
        (number(row, "iotlb_hits") ?? 0) > 0 || (number(row, "iotlb_misses") ?? 0) > 0
    }

    /// What each policy exposes. Policies that open no windows at all stand in one line.
    private static func writeWindows(_ rows: [Row], _ output: TextOutput) {
        func opened(_ row: Row) -> Int64? {
            guard let windows = number(row, "windows") else { return nil }
            return windows.addingSaturated(number(row, "censored") ?? 0).addingSaturated(number(row, "uncertain") ?? 0)
        }
        let open = rows.filter { opened($0) ?? 0 > 0 }
        let none = rows.filter { opened($0) == 0 }
        let hasTime = open.contains { $0["page_seconds"] as Double? != nil }
        output.say("")
        output.say("Stale windows: what a device could still reach after its unmap, and for how long (an upper bound)")
        if !open.isEmpty {
            output.say("")
            var renderer = OutputFormat.table.renderer(output)
            renderer.begin(columns: [
                "policy", "windows", "p50 ms", "p99 ms", "max ms", "page-seconds", "peak pages", "hazards", "evidence",
            ])
            for line in open { renderer.row(windowCells(line)) }
            renderer.end()
        }
        var notes: [String] = []
        if !none.isEmpty {
            notes.append("none under \(none.map(label).joined(separator: ", "))")
        }
        if let unreachable = rows.compactMap({ number($0, "unreachable_pages") }).max(), unreachable > 0 {
            notes.append("\(unreachable) pages were unmapped while no device was attached: no window")
        }
        for line in open {
            for (column, words) in [
                ("censored", "still open at the end: in no length, in page-seconds up to there"),
                ("uncertain", "open where events were lost, in no length and in no page-seconds"),
            ] {
                if let count = number(line, column), count > 0 {
                    notes.append("\(label(line)): \(count) windows \(words)")
                }
            }
        }
        if !open.isEmpty, !hasTime {
            notes.append(
                "the log has no times, so that no window has a length: windows and hazards are by the order of its lines"
            )
        }
        if rows.contains(where: { $0["attached"] == "assumed" }) {
            notes.append("the log shows no attach: devices are assumed to be attached throughout")
        }
        if !notes.isEmpty { output.say("") }
        for note in notes { output.say("note: \(note)") }
    }

    /// Which of the windows are of operations of which the domain is not known: what closes those is not known either.
    private static func writeUnresolved(
        _ database: Database, trace: String, _ chosen: ReplayChoice, _ output: TextOutput
    ) throws {
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT replay.policy, CAST(total(window_summary.windows) AS INTEGER), CAST(total(window_summary.pages) AS INTEGER),
                    CAST(total(CASE WHEN window_end.name = 'end of log' THEN window_summary.windows END) AS INTEGER),
                    replay.requested, replay.options
                FROM window_summary
                JOIN window_end ON window_end.id = window_summary.window_end
                JOIN domain ON domain.id = window_summary.domain
                JOIN replay ON replay.id = window_summary.replay
                JOIN trace ON trace.id = replay.trace
                WHERE domain.name = 'unresolved' AND domain.evidence = 'assumed' AND NOT trace.single_domain
                    AND window_end.name <> 'unreachable' AND trace.name = ?
                GROUP BY replay.id ORDER BY replay.id
                """, arguments: [trace])
        for row in rows where chosen.contains(row) {
            output.say(
                "note: \(row[0] as String): \(row[1] as Int64) windows of \(row[2] as Int64) pages, \(row[3] as Int64) of them still open at the end, are of operations whose domain is not known (unresolved)"
            )
        }
    }

    /// Calls and flushes without a device behind them count at the API and cost nothing at the hardware.
    private static func writeDetached(_ database: Database, trace: String, _ output: TextOutput) throws {
        let row = try Row.fetchOne(
            database,
            sql: """
                SELECT CAST(total(replay_domain.detached_calls) AS INTEGER), CAST(total(replay_domain.unmap_calls) AS INTEGER)
                FROM replay_domain
                WHERE replay_domain.replay = (
                    SELECT max(replay.id) FROM replay JOIN trace ON trace.id = replay.trace WHERE trace.name = ?
                )
                """, arguments: [trace])
        guard let row, let detached = row[0] as Int64?, let calls = row[1] as Int64?, detached > 0 else { return }
        output.say(
            "note: \(detached) of \(calls) unmap calls were made while no device was attached: a flush for them reaches no hardware, so that saving it saves no time"
        )
    }

    /// The log's faults come first in what its sender wants to know.
    private static func writeFaults(_ database: Database, trace: String, _ output: TextOutput) throws {
        guard let report = Report.named("faults"),
            let count = try Int64.fetchOne(
                database,
                sql: """
                    SELECT CAST(total(kind_count.count) AS INTEGER)
                    FROM kind_count JOIN trace ON trace.id = kind_count.trace
                    WHERE trace.name = ? AND kind_count.stage = 'operation' AND kind_count.kind = ?
                    """, arguments: [trace, Operation.Kind.ioPageFault.rawValue]), count > 0
        else { return }
        let rows = try Row.fetchCursor(
            database, sql: report.sql, arguments: report.arguments(trace: trace, by: nil, nil))
        output.say("")
        output.say("Faults: \(count)")
        output.say("")
        for _ in 0..<faultsShown {
            guard let row = try rows.next() else { break }
            output.say("\(FaultWords(row).sentence()) (\(row.string("evidence")))")
        }
        if count > faultsShown {
            output.say("… and \(count - faultsShown) more: report faults, and history ADDRESS for one of them")
        }
    }

    private static let faultsShown: Int64 = 3

    private static func windowCells(_ row: Row) -> [DatabaseValue] {
        var hazards: Int64 = 0
        for column in ["hazards_access", "hazards_iova_reuse", "hazards_page_reuse"] {
            hazards = hazards.addingSaturated(number(row, column) ?? 0)
        }
        return [
            label(row).databaseValue, row["windows"], milliseconds(row["p50_ns"]), milliseconds(row["p99_ns"]),
            milliseconds(row["max_ns"]), exposure(row), row["peak_stale_pages"],
            hazards.databaseValue, row["evidence"],
        ]
    }

    /// Page-seconds of all windows: a lower bound where any of them is still open, or not counted.
    private static func exposure(_ row: Row) -> DatabaseValue {
        let value = rounded(row["page_seconds"])
        guard let number = value.number, (self.number(row, "censored") ?? 0) + (self.number(row, "uncertain") ?? 0) > 0
        else { return value }
        return "≥\(number)".databaseValue
    }

    private static func number(_ row: Row, _ column: String) -> Int64? { row[column] }

    private static func milliseconds(_ nanoseconds: Int64?) -> DatabaseValue {
        rounded(nanoseconds.map { Double($0) / 1e6 })
    }

    private static func rounded(_ value: Double?) -> DatabaseValue {
        value.map { (($0 * 1000).rounded() / 1000).databaseValue } ?? .null
    }

    private static func fetch(_ report: Report, _ database: Database, trace: String, by grouping: String) throws
        -> [Row]
    {
        try Row.fetchAll(database, sql: report.sql, arguments: ["trace": trace, "by": grouping])
    }

    private static func label(_ row: Row) -> String {
        let requested: String = row["requested"]
        let policy: String = row["policy"]
        let options: String = row["options"]
        // A replay of a part of the log stands beside that of the whole.
        let part = options.contains("from=") ? " (part of the log)" : ""
        return (requested == policy ? policy : "\(requested) = \(policy)") + part
    }

    /// Which policy fast took in each domain, and why.
    private static func writeChoices(_ traces: [Row], _ domains: [Row], _ output: TextOutput) throws {
        let shown = 12
        let chosen = domains.filter { $0["reason"] as String? != nil && ($0["unmap_calls"] as Int64) > 0 }
        guard !chosen.isEmpty else { return }
        output.say("")
        for row in chosen.prefix(shown) {
            let flushes = (row["flushes"] as Int64?).map(String.init) ?? "an unknown number of"
            output.say(
                "\(row["requested"] as String) in domain \(row["domain"] as String): \(row["policy"] as String), "
                    + "\(flushes) flushes for \(row["unmap_calls"] as Int64) unmap calls; \(row["reason"] as String) "
                    + "(\(row["evidence"] as String))")
        }
        if chosen.count > shown {
            output.say("… and in \(chosen.count - shown) more domains: report savings --by domain")
        }
    }

    /// Who says what HZ is, and how good that is.
    private static func hzSource(_ source: String?) -> String {
        switch source {
        case "--hz": "as given with --hz (assumed)"
        case "default", nil: "the default (assumed; --hz)"
        case let source?: "as \(source) of the recording says (recorded; --hz)"
        }
    }

    private static func writeNotes(_ rows: [Row], _ losses: [SilentLoss], _ output: TextOutput) {
        var notes = Set(losses.map { "of what is recorded, \($0.text): what rests on it is a lower bound" })
        for row in rows {
            let options: String = row["options"]
            let policy: String = row["policy"]
            if options.contains("page-sizes="), policy.contains("vfio") || policy.contains("per-page") {
                notes.insert("page sizes are assumed: no log tells them (--page-sizes)")
            }
            if policy.contains("queue="), let hz = options.split(separator: " ").first(where: { $0.hasPrefix("hz=") }) {
                notes.insert(
                    "timers are modelled on the kernel's timer wheel at HZ=\(hz.dropFirst(3)), \(hzSource(row["hz_from"]))"
                )
            }
            if row["layer"] as String == "hardware" {
                notes.insert("recorded flushes are counted at the hardware layer: the log shows none of the API")
            }
            // Worth a word where it is one in a hundred.
            if let pending = number(row, "flushes_pending"), pending > 0, let saved = number(row, "saved_flushes"),
                pending > saved / 100
            {
                notes.insert(
                    "\(label(row)): \(pending) of the saved flushes are due when the log ends, and not really saved")
            }
            if (row["flushes"] as Int64?) == nil {
                notes.insert("the log shows no flushes, so recorded has no number")
            }
        }
        guard !notes.isEmpty else { return }
        output.say("")
        for note in notes.sorted() { output.say("note: \(note)") }
    }
}
