import GRDB

/// What reports say in sentences. SQL has facts: field words, numbers, names. Sentences are made of them here, and said where people read:
/// in tables (format `table` and `markdown`), in the terminal's answers, on pages. JSON and CSV have the facts alone.
///
/// A report's file says which columns its tables get, `-- tables add: in_words`; one that the query has already is replaced there.
enum ReportWords {
    typealias Sentence = @Sendable (Row) -> String?

    /// By report and column.
    static let sentences: [String: [String: Sentence]] = [
        "faults": ["in_words": { FaultWords($0).sentence() }],
        "leaks": ["pattern": LeakWords.pattern],
        "advice": ["answer": { AdviceWords($0).answer }, "rests_on": { AdviceWords($0).restsOn }],
        "evidence": [
            "rests_on": { EvidenceWords($0).restsOn }, "record_better": { EvidenceWords($0).recordBetter },
        ],
        "issues": [
            "excerpt": { row in
                if let reason = SilentLoss.reason(row, "reason") { return reason }
                return row.string("reason") == "events lost" ? "the log announces it here" : row["excerpt"]
            }
        ],
        "losses": ["reason": { SilentLoss.reason($0, "what") }],
        "calibration": ["bound": Calibration.bound],
        "contradictions": ["message": { Contradiction($0).text }],
    ]
}

/// The columns of a table for people: those of a query, and sentences.
struct WordColumns {
    /// The columns' names.
    let names: [String]
    private let replaced: [(index: Int, sentence: ReportWords.Sentence)]
    private let added: [ReportWords.Sentence]

    /// - Parameter words: sentences by the column that they stand in.
    init(_ columns: [String], adding words: [(column: String, sentence: ReportWords.Sentence)] = []) {
        var (names, replaced, added) = (columns, [(Int, ReportWords.Sentence)](), [ReportWords.Sentence]())
        for (column, sentence) in words {
            if let index = columns.firstIndex(of: column) {
                replaced.append((index, sentence))
            } else {
                names.append(column)
                added.append(sentence)
            }
        }
        (self.names, self.replaced, self.added) = (names, replaced, added)
    }

    /// A row's cells.
    func cells(_ row: Row) -> [DatabaseValue] {
        var cells = Array(row.databaseValues)
        for (index, sentence) in replaced where index < cells.count { cells[index] = Self.value(sentence(row)) }
        for sentence in added { cells.append(Self.value(sentence(row))) }
        return cells
    }

    private static func value(_ text: String?) -> DatabaseValue { text?.databaseValue ?? .null }
}
