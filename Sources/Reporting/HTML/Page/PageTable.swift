import GRDB

/// A table with a caption, whose first column names the rows.
struct PageTable {
    struct Column {
        var title: String
        /// What its numbers count; written below the title.
        var unit: String = ""
        var isNumber = true
    }

    enum Cell {
        case text(String)
        /// A number as it is shown, and as it is in the database.
        case number(String, DatabaseValue)
        /// One of the words for evidence.
        case evidence(String)
        case missing

        static func whole(_ value: Int64?) -> Cell {
            value.map { .number(Number.whole($0), $0.databaseValue) } ?? .missing
        }

        static func real(_ value: Double?, _ places: Int) -> Cell {
            value.map { .number(Number.fixed($0, places), $0.databaseValue) } ?? .missing
        }

        /// Nanoseconds, shown as milliseconds.
        static func milliseconds(_ value: Int64?) -> Cell {
            value.map { .number(Number.fixed(Double($0) / 1e6, 3), $0.databaseValue) } ?? .missing
        }

        /// Nanoseconds of what goes on, shown as milliseconds.
        static func atLeast(milliseconds value: Int64?) -> Cell {
            value.map { .number("≥ " + Number.fixed(Double($0) / 1e6, 3), $0.databaseValue) } ?? .missing
        }

        /// Page-seconds; of windows that are still open only what is known of them.
        static func exposure(_ value: Double?, isMore: Bool) -> Cell {
            value.map { .number((isMore ? "≥ " : "") + Number.fixed($0, 3), $0.databaseValue) } ?? .missing
        }

        /// A number as it is.
        static func plain(_ value: Double?) -> Cell {
            value.map { .number(Number.plain($0), $0.databaseValue) } ?? .missing
        }

        /// A text that may be missing.
        static func optional(_ text: String) -> Cell { text.isEmpty ? .missing : .text(text) }
    }

    /// What it is, also for those who do not see it.
    var caption: String
    var columns: [Column]
    var rows: [[Cell]]
    /// What is too long for a cell: a line below the row, of its own; empty for none. As many as rows, or none at all.
    var notes: [String] = []

    /// The table below its caption, in a box that scrolls by itself where the page is too narrow for it. The caption that is
    /// seen stays where it is; the table's own is for those who hear it.
    func markup() -> Markup {
        .element("div", [.class("table")]) {
            Markup.element("p", [.class("caption"), Attribute("aria-hidden", "true")], .prose(caption))
            Markup.element(
                "div",
                [
                    .class("scroll"), Attribute("role", "region"), Attribute("tabindex", "0"),
                    Attribute("aria-label", caption),
                ]
            ) {
                Markup.element("table") {
                    Markup.element("caption", [], .prose(caption))
                    Markup.element("thead") { Markup.element("tr") { for column in columns { head(column) } } }
                    Markup.element("tbody") {
                        for (index, row) in rows.enumerated() {
                            let note = index < notes.count ? notes[index] : ""
                            line(row, hasNote: !note.isEmpty)
                            if !note.isEmpty { below(note) }
                        }
                    }
                }
            }
        } + .newLine
    }

    private func below(_ note: String) -> Markup {
        .element("tr", [.class("below")]) {
            Markup.element("td", [Attribute("colspan", "\(max(columns.count, 1))")]) {
                Markup.element("div", text: note)
            }
        } + .newLine
    }

    private func head(_ column: Column) -> Markup {
        .element("th", [Attribute("scope", "col")] + (column.isNumber ? [.class("n")] : [])) {
            column.title
            if !column.unit.isEmpty { Markup.element("span", [.class("unit")], text: " " + column.unit) }
        }
    }

    private func line(_ row: [Cell], hasNote: Bool) -> Markup {
        .element("tr", hasNote ? [.class("noted")] : []) {
            for (index, cell) in row.enumerated() { self.cell(cell, at: index) }
        } + .newLine
    }

    private func cell(_ cell: Cell, at index: Int) -> Markup {
        let (attributes, content): ([Attribute], Markup) =
            switch cell {
            case .text(let text): (text.utf8.count > 40 ? [.class("long")] : [], .text(text))
            case .number(let shown, let value):
                ([.class("n"), Attribute("data-value", value.text ?? "")], .text(shown))
            case .evidence(let word): ([], Self.grade(word))
            case .missing:
                ([.class(index < columns.count && columns[index].isNumber ? "n none" : "none")], .text("–"))
            }
        return index == 0
            ? .element("th", [Attribute("scope", "row")] + attributes, content) : .element("td", attributes, content)
    }

    /// A word for evidence: each has a border of its own.
    static func grade(_ word: String) -> Markup {
        let known = ["recorded", "inferred", "modelled", "assumed"].contains(word)
        return .element("span", [.class(known ? "grade \(word)" : "grade")], text: word)
    }

    /// Rows of any report, of this trace.
    static func any(_ caption: String, _ rows: [Row], leavingOut left: [String] = []) -> PageTable {
        guard let first = rows.first else { return PageTable(caption: caption, columns: [], rows: []) }
        let columns = first.columnNames.filter { $0 != "trace" && !left.contains($0) }
        return PageTable(
            caption: caption,
            columns: columns.map { name in
                Column(
                    title: name.replacing("_", with: " "),
                    isNumber: rows.contains { ($0[name] as DatabaseValue?)?.isNumber ?? false })
            },
            rows: rows.map { row in
                columns.map { name in
                    guard let value = row[name] as DatabaseValue?, let text = value.text else { return .missing }
                    return name == "evidence" ? .evidence(text) : value.isNumber ? .number(text, value) : .text(text)
                }
            })
    }
}
