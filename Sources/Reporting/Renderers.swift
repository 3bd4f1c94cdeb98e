import GRDB

/// Aligned columns. Widths come from the first rows; what follows and is wider stands out of line, but memory stays flat.
///
/// On a terminal a table that is too wide comes in several parts, one below the other, each with the columns that tell its rows
/// apart.
struct TableRenderer: RowRenderer {
    enum Style {
        case plain
        case markdown
    }

    private static let rowsMeasured = 1000

    private let output: TextOutput
    private let style: Style
    private var columns: [String] = []
    private var waiting: [[String]] = []
    private var isMeasured = false
    private var widths: [Int] = []
    private var isRight: [Bool] = []
    /// Columns of each part of the table; one part of all if it fits.
    private var parts: [[Int]] = []

    init(_ output: TextOutput, style: Style) {
        self.output = output
        self.style = style
    }

    mutating func begin(columns: [String]) {
        self.columns = columns.map { Self.cell($0, style) }
        isRight = columns.map { _ in false }
    }

    mutating func row(_ values: [DatabaseValue]) {
        if !isMeasured {
            for (index, value) in values.enumerated() where value.isNumber && index < isRight.count {
                isRight[index] = true
            }
        }
        let cells = values.map { Self.cell($0, style) }
        if isMeasured, parts.count == 1 {
            printLine(cells, parts[0])
        } else {
            waiting.append(cells)
            if waiting.count == Self.rowsMeasured { release() }
        }
    }

    mutating func end() { if !isMeasured || !waiting.isEmpty { release() } }

    private mutating func release() {
        if !isMeasured { measure() }
        for (number, part) in parts.enumerated() {
            if number > 0 { output.print("") }
            printHeading(part)
            for row in waiting { printLine(row, part) }
        }
        waiting = []
    }

    private mutating func measure() {
        isMeasured = true
        widths = columns.indices.map { index in
            waiting.reduce(columns[index].count) { max($0, index < $1.count ? $1[index].count : 0) }
        }
        if style == .markdown { widths = widths.map { max($0, 3) } }
        parts = [Array(columns.indices)]
        if style == .plain, let width = output.width, total(parts[0]) > width { parts = split(to: width) }
    }

    private func total(_ part: [Int]) -> Int { part.reduce(-2) { $0 + widths[$1] + 2 } }

    /// Columns in parts of at most so many characters, as far as that goes.
    private func split(to width: Int) -> [[Int]] {
        // What tells rows apart: the texts at the begin, but for those that are the same in all rows.
        var keys: [Int] = []
        for index in columns.indices.prefix(while: { !isRight[$0] }) {
            guard Set(waiting.map { $0[index] }).count > 1 else { continue }
            guard !keys.contains(where: { key in waiting.allSatisfy { $0[key] == $0[index] } }) else { continue }
            // Without that one, rows are alike that are not.
            let limit = columns[index] == CondensedRenderer.differs ? width * 2 / 3 : width / 2
            guard total(keys + [index]) <= limit else { continue }
            keys.append(index)
        }
        var parts: [[Int]] = []
        var part: [Int] = []
        for index in columns.indices where parts.isEmpty || !keys.contains(index) {
            if part.count > (parts.isEmpty ? 0 : keys.count), total(part + [index]) > width {
                parts.append(part)
                part = keys
                if keys.contains(index) { continue }
            }
            part.append(index)
        }
        return parts + [part]
    }

    private func printHeading(_ part: [Int]) {
        printLine(columns, part, isHeading: true)
        switch style {
        case .plain: output.print(part.map { String(repeating: "-", count: widths[$0]) }.joined(separator: "  "))
        case .markdown:
            let rules = part.map { index in
                String(repeating: "-", count: isRight[index] ? widths[index] - 1 : widths[index])
                    + (isRight[index] ? ":" : "")
            }
            output.print("| " + rules.joined(separator: " | ") + " |")
        }
    }

    private func printLine(_ cells: [String], _ part: [Int], isHeading: Bool = false) {
        let padded = part.filter { $0 < cells.count }.map { index in
            let space = String(repeating: " ", count: max(widths[index] - cells[index].count, 0))
            return isRight[index] ? space + cells[index] : cells[index] + space
        }
        switch style {
        case .plain:
            var line = padded.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            output.print(isHeading && output.isStyled ? "\u{1b}[1m\(line)\u{1b}[0m" : line)
        case .markdown: output.print("| " + padded.joined(separator: " | ") + " |")
        }
    }

    /// A cell's text in one line: what a log holds must not break the table or the terminal.
    private static func cell(_ value: DatabaseValue, _ style: Style) -> String {
        cell(value.text ?? "-", style)
    }

    private static func cell(_ text: String, _ style: Style) -> String {
        let text = text.onOneLine
        guard style == .markdown else { return text }
        return text.map { "\\|<".contains($0) ? "\\\($0)" : String($0) }.joined()
    }
}

extension String {
    /// With spaces for line ends and control characters: a terminal would take those for commands.
    var onOneLine: String { map { $0.isNewline || $0.isControl ? " " : String($0) }.joined() }
}

extension String {
    /// With `\x1b` for a control character, in place of what would reach a terminal as a command.
    var escapingControls: String {
        guard unicodeScalars.contains(where: { $0.isControl }) else { return self }
        return unicodeScalars.map { scalar in
            guard scalar.isControl else { return String(scalar) }
            let digits = String(scalar.value, radix: 16)
            return "\\x" + String(repeating: "0", count: max(2 - digits.count, 0)) + digits
        }.joined()
    }
}

extension Unicode.Scalar {
    fileprivate var isControl: Bool { value < 32 || (127...159).contains(value) }
}

extension Character {
    var isControl: Bool { unicodeScalars.contains { $0.value < 32 || (127...159).contains($0.value) } }
}

/// An array of objects, one in a line.
struct JSONRenderer: RowRenderer {
    private let output: TextOutput
    private var columns: [String] = []
    private var isFirst = true

    init(_ output: TextOutput) { self.output = output }

    mutating func begin(columns: [String]) {
        self.columns = columns
        output.print("[", terminator: "")
    }

    mutating func row(_ values: [DatabaseValue]) {
        let members = zip(columns, values).map { "\(Self.quoted($0)): \(Self.json($1))" }
        output.print("\(isFirst ? "" : ",")\n  {\(members.joined(separator: ", "))}", terminator: "")
        isFirst = false
    }

    func end() { output.print(isFirst ? "]" : "\n]") }

    private static func json(_ value: DatabaseValue) -> String {
        switch value.storage {
        case .null: "null"
        case .int64(let number): String(number)
        // JSON has no word for these.
        case .double(let number): number.isFinite ? number.text : "null"
        case .string(let text): quoted(text)
        case .blob: quoted(value.text ?? "")
        }
    }

    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.value < 32 || (127...159).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

/// RFC 4180, with line feeds.
struct CSVRenderer: RowRenderer {
    private let output: TextOutput

    init(_ output: TextOutput) { self.output = output }

    func begin(columns: [String]) { output.print(columns.map(cell).joined(separator: ",")) }
    func row(_ values: [DatabaseValue]) { output.print(values.map { cell($0.text ?? "") }.joined(separator: ",")) }
    func end() {}

    private func cell(_ text: String) -> String {
        let text = output.isTerminal ? text.escapingControls : text
        guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }
}
