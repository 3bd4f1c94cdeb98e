import GRDB
import TraceStore

/// A sweep for people: its points with the front marked, a sentence on what they come to, and a plot if that is asked.
public enum SweepAnswer {
    /// Writes the answer of one sweep.
    ///
    /// - Parameters:
    ///   - grouping: `trace` or `domain`.
    ///   - isPlotted: whether to draw the points, for each domain if it is by domain.
    public static func write(
        from store: TraceStore, sweep: Int64, by grouping: String, isPlotted: Bool, to output: TextOutput
    ) throws {
        let (points, advice) = (try Report.required("sweep"), try Report.required("advice"))
        try points.write(from: store, trace: nil, by: grouping, sweep: sweep, format: .table, to: output)
        try store.read { database in
            func rows(_ report: Report) throws -> [Row] {
                try Row.fetchAll(
                    database, sql: report.sql,
                    arguments: report.arguments(trace: nil, by: grouping, nil, sweep: sweep))
            }
            let answers = try rows(advice)
            if isPlotted {
                let plotted = Dictionary(grouping: try rows(points)) { $0["domain"] as String? }
                for answer in answers.prefix(shown) {
                    plot(plotted[answer["domain"]] ?? [], domain: answer["domain"], output)
                }
            }
            writeSentences(answers, output)
        }
    }

    /// More domains than anybody reads about.
    private static let shown = 12

    private static func writeSentences(_ answers: [Row], _ output: TextOutput) {
        output.say("")
        for answer in answers.prefix(shown) {
            let domain = (answer["domain"] as String?).map { "domain \($0): " } ?? ""
            output.say("\(domain)\(AdviceWords(answer).answer) (\(answer.string("evidence")))")
        }
        if answers.count > shown {
            output.say("… and \(answers.count - shown) more domains: report advice --by domain")
        }
        for note in Set(answers.map { AdviceWords($0).restsOn }).sorted() { output.say("note: \(note)") }
    }

    // MARK: - Plot

    private static let legend: [(glyph: Character, meaning: String)] = [
        ("*", "front"), (".", "other"), ("S", "strict"), ("K", "kernel's queue"), ("Q", "its single queue"),
        ("R", "as recorded"), ("V", "as VFIO"), ("P", "per-page"),
    ]

    private static func plot(_ rows: [Row], domain: String?, _ output: TextOutput) {
        output.say("")
        if let domain { output.say("domain \(domain)") }
        // What is marked is drawn over what is not.
        let points = rows.map {
            ScatterPlot.Point(x: $0["page_seconds"], y: $0["flushes"], glyph: glyph(of: $0))
        }.sorted { rank($0.glyph) < rank($1.glyph) }
        for line in ScatterPlot(points: points, xName: "page-seconds", yName: "flushes").lines { output.say(line) }
        let drawn = Set(points.map(\.glyph))
        output.say(
            legend.filter { drawn.contains($0.glyph) }.map { "\($0.glyph) \($0.meaning)" }.joined(separator: "  "))
    }

    private static func glyph(of row: Row) -> Character {
        let letters: [String: Character] = [
            "queue=256,10ms": "K", "sync": "S", "single-queue=32768,1s": "Q", "recorded": "R", "vfio": "V",
            "per-page": "P",
        ]
        let isMarked = !row.string("mark").isEmpty
        return (isMarked ? letters[row.string("policy")] : nil) ?? (row.string("front") == "*" ? "*" : ".")
    }

    private static func rank(_ glyph: Character) -> Int { glyph == "." ? 3 : glyph == "*" ? 2 : glyph == "P" ? 1 : 0 }
}
