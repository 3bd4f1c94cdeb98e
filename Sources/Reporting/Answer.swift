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
        try store.read { database in
            let summary = try TraceSummary(database, name: trace, path: store.path)
            let wanted = replays.map(Set.init)
            let policies = try ReplayedPolicy.all(of: summary, database).filter { wanted?.contains($0.id) ?? true }
            let notes = try ReplayNotes(policies, of: trace, database)
            let what = trace + (part.map { " \($0)" } ?? "")
            output.say("TLB flushes of \(what) under each policy (counts: facts of the policy; see evidence)")
            output.say("")
            var renderer = OutputFormat.table.renderer(output)
            renderer.begin(columns: [
                "policy", "unmap calls", "flushes", "pending", "saved", "saved %", "flushes/s", "evidence",
            ])
            for policy in policies {
                let row = policy.savings
                renderer.row([
                    policy.label.databaseValue, row["unmap_calls"], row["flushes"], row["flushes_pending"],
                    row["saved_flushes"], row["saved_percent"], row["flushes_per_second"], row["evidence"],
                ])
            }
            renderer.end()
            if !notes.choices.isEmpty { output.say("") }
            for choice in notes.choices { output.say(choice.text) }
            say(notes.cost, output)
            writeCommands(policies.filter { $0.savings.whole("commands") != nil }, output)
            try writeCaches(policies.filter { $0.savings.whole("iotlb_hits") != nil }, notes, database, output)
            writeWindows(policies, output)
            say(notes.exposure, output)
            try writeFaults(database, trace: trace, output)
            for text in try MetadataDescription.contradictions(summary.id, database) { output.say("note: \(text)") }
        }
    }

    private static func say(_ notes: [ReplayNote], _ output: TextOutput) {
        if !notes.isEmpty { output.say("") }
        for note in notes { output.say("note: \(note.text)") }
    }

    /// What the flushes become at the hardware, where that was asked.
    private static func writeCommands(_ policies: [ReplayedPolicy], _ output: TextOutput) {
        guard !policies.isEmpty else { return }
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
        for policy in policies {
            let row = policy.savings
            renderer.row([
                row["hardware"], policy.label.databaseValue, row["commands"], row["domain_commands"], row["waits"],
                row["device_tlb_commands"], row["pages_invalidated"], row["over_invalidated_pages"],
            ])
        }
        renderer.end()
    }

    /// What those commands do to a simulated IOTLB, where that was asked: a table for each that was.
    private static func writeCaches(
        _ policies: [ReplayedPolicy], _ notes: ReplayNotes, _ database: Database, _ output: TextOutput
    ) throws {
        var left = policies[...]
        while let first = left.first {
            let (iotlb, accesses) = (first.savings.string("iotlb"), first.savings.string("accesses"))
            func isAlike(_ policy: ReplayedPolicy) -> Bool {
                policy.savings.string("iotlb") == iotlb && policy.savings.string("accesses") == accesses
            }
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
            for policy in left where isAlike(policy) {
                let row = policy.savings
                let length = try Row.fetchOne(
                    database,
                    sql: "SELECT p50_ns, max_ns FROM stale_entry_total WHERE replay = ? AND told_by = 'trace'",
                    arguments: [policy.id])
                renderer.row([
                    row["hardware"], policy.label.databaseValue, row["iotlb_hits"], row["iotlb_misses"],
                    row["stale_hits"], row["stale_entries"], milliseconds(length?.whole("p50_ns")),
                    milliseconds(length?.whole("max_ns")), row["live_entries_killed"],
                ])
            }
            renderer.end()
            say(notes.caches(left.filter(isAlike)), output)
            left.removeAll(where: isAlike)
        }
    }

    /// What each policy exposes. Policies that open no windows at all are in a note.
    private static func writeWindows(_ policies: [ReplayedPolicy], _ output: TextOutput) {
        output.say("")
        output.say("Stale windows: what a device could still reach after its unmap, and for how long (an upper bound)")
        let open = policies.filter(\.opensWindows)
        guard !open.isEmpty else { return }
        output.say("")
        var renderer = OutputFormat.table.renderer(output)
        renderer.begin(columns: [
            "policy", "windows", "p50 ms", "p99 ms", "max ms", "page-seconds", "peak pages", "hazards", "evidence",
        ])
        for policy in open {
            let row = policy.windows
            renderer.row([
                policy.label.databaseValue, row["windows"], milliseconds(row.whole("p50_ns")),
                milliseconds(row.whole("p99_ns")), milliseconds(row.whole("max_ns")), exposure(policy),
                row["peak_stale_pages"], policy.hazards?.databaseValue ?? .null, row["evidence"],
            ])
        }
        renderer.end()
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

    /// Page-seconds of all windows: a lower bound where any of them is still open, or not counted.
    private static func exposure(_ policy: ReplayedPolicy) -> DatabaseValue {
        let value = rounded(policy.windows.real("page_seconds"))
        guard policy.isExposureMore, let number = value.number else { return value }
        return "≥\(number)".databaseValue
    }

    private static func milliseconds(_ nanoseconds: Int64?) -> DatabaseValue {
        rounded(nanoseconds.map { Double($0) / 1e6 })
    }

    private static func rounded(_ value: Double?) -> DatabaseValue {
        value.map { (($0 * 1000).rounded() / 1000).databaseValue } ?? .null
    }
}
