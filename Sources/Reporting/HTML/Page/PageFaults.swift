import GRDB
import Operations

/// The faults of the log, as report faults has them: how many, of which kind, and the first ones. It goes through the
/// operations, so only where the log has any.
struct PageFaults {
    /// How many the page shows one by one.
    static let shown = 10

    /// All in the log.
    let count: Int64
    /// How often each finding is, of those that the report judges, most frequent first.
    let findings: [(finding: String, count: Int64)]
    /// The first ones.
    let first: [Row]

    init(_ database: Database, _ data: PageData) throws {
        var (count, first, found) = (Int64(0), [Row](), [String: Int64]())
        if let report = Report.named("faults"), try Self.hasAny(database, data.trace.id) {
            let rows = try Row.fetchCursor(
                database, sql: report.sql, arguments: report.arguments(trace: data.trace.name, by: nil, nil))
            while let row = try rows.next() {
                count = row.whole("faults") ?? 0
                found[row.string("finding"), default: 0] += 1
                if first.count < Self.shown { first.append(row.copy()) }
            }
        }
        (self.count, self.first) = (count, first)
        findings = found.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }

    private static func hasAny(_ database: Database, _ trace: Int64) throws -> Bool {
        try Bool.fetchOne(
            database,
            sql: "SELECT EXISTS (SELECT 1 FROM kind_count WHERE trace = ? AND stage = 'operation' AND kind = ?)",
            arguments: [trace, Operation.Kind.ioPageFault.rawValue]) == true
    }

    /// The page's headline, where there are any.
    var statement: PageAnswer.Statement? {
        guard let fault = first.first else { return nil }
        let words = Self.short(fault)
        let sentence = count == 1 ? "A fault: \(words)." : "\(Number.whole(count)) faults\(kinds). The first: \(words)."
        return PageAnswer.Statement(
            sentences: [sentence], evidence: Self.weakest([fault.string("evidence"), fault.string("hidden_evidence")]))
    }

    private var kinds: String {
        let judged = findings.reduce(0) { $0 + $1.count }
        let of = judged < count ? "of the first \(Number.whole(judged)) " : ""
        guard findings.count > 1 else { return " (\(of)all \(findings.first?.finding ?? ""))" }
        return " (\(of)\(findings.map { "\(Number.whole($0.count)) \($0.finding)" }.joined(separator: ", ")))"
    }

    /// A fault in a sentence without its last map: the item below has it.
    static func short(_ fault: Row) -> String { FaultWords(fault).sentence(withMap: false).visible(atMost: longest) }

    private static let longest = 220

    /// The one of these grades that says least.
    static func weakest(_ grades: [String]) -> String? {
        let order = ["recorded", "inferred", "modelled", "assumed"]
        return grades.filter { !$0.isEmpty }.max { order.firstIndex(of: $0) ?? -1 < order.firstIndex(of: $1) ?? -1 }
    }

    // MARK: - One by one

    /// Each of the first ones with what led to it.
    func items(_ data: PageData) -> Markup {
        guard !first.isEmpty else { return .empty }
        let title = count == 1 ? "The fault" : count <= Int64(first.count) ? "The faults" : "The first faults"
        let more = count.subtractingSaturated(Int64(first.count))
        return .element("h3", text: title)
            + .element("ol", [.class("faults")]) { for fault in first { item(fault, data) } }
            + (more > 0
                ? .element(
                    "p", [.class("note")],
                    text:
                        "\(Number.count(more, "more fault")): iommu-trace report faults --trace \(data.trace.name.visible(atMost: 60))"
                ) : .empty)
    }

    private func item(_ fault: Row, _ data: PageData) -> Markup {
        .element("li") {
            Markup.element("p", [.class("fault")]) {
                FaultWords(fault).sentence() + " "
                PageTable.grade(fault.string("evidence"))
            }
            Markup.element("ul", [.class("led")]) {
                for line in lines(fault, data) { Markup.element("li", [], line) }
            }
        } + .newLine
    }

    /// What the report has beside the sentence.
    private func lines(_ fault: Row, _ data: PageData) -> [Markup] {
        var lines: [Markup] = []
        let words = FaultWords(fault)
        lines.append(
            .text(
                "Fault: \(data.place(fault.string("fault_place"))), task \(fault.string("fault_task"))"
                    + (words.domain.map { ", \($0)" } ?? "")))
        if !fault.string("unmap_place").isEmpty {
            lines.append(
                .text(
                    "Last unmap: \(data.place(fault.string("unmap_place"))), task \(fault.string("unmap_task"))"
                        + size(fault.whole("unmap_size"), from: fault.string("unmap_iova"))
                        + since(fault.whole("unmapped_ns_ago"), data)
                        + (words.flushed.map { "; flushed: \($0)" } ?? "")))
        }
        if !fault.string("map_place").isEmpty {
            lines.append(
                .text(
                    "Last map: \(data.place(fault.string("map_place"))), task \(fault.string("map_task"))"
                        + size(fault.whole("map_size"), from: "") + since(fault.whole("mapped_ns_ago"), data)))
        }
        if let because = words.hiddenBecause {
            lines.append(
                .text("Hidden by deferred flushes: \(fault.string("hidden")), since \(because) ")
                    + PageTable.grade(fault.string("hidden_evidence")))
        }
        lines.append(.text("That is: \(words.meaning)."))
        if fault.whole("uncertain") == 1 {
            lines.append(.text("Events were lost before it: there may have been a later map or unmap."))
        }
        return lines
    }

    private func size(_ bytes: Int64?, from iova: String) -> String {
        bytes.map { ", \(Number.bytes($0))" + (iova.isEmpty ? "" : " from \(iova)") } ?? ""
    }

    private func since(_ nanoseconds: Int64?, _ data: PageData) -> String {
        guard data.hasTimes, let nanoseconds else { return "" }
        return ", \(Number.exactTime(nanoseconds)) before"
    }
}
