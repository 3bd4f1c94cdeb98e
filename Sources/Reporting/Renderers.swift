import GRDB

/// Aligned columns. Widths come from the first rows; what follows and is wider stands out of line, but memory stays flat.
struct TableRenderer: RowRenderer {
    enum Style {
        case plain
        case markdown
    }

    private static let rowsMeasured = 1000

    private let output: TextOutput
    private let style: Style
    private var columns: [String] = []
    private var waiting: [[DatabaseValue]] = []
    private var widths: [Int] = []
    private var isRight: [Bool] = []

    init(_ output: TextOutput, style: Style) {
        self.output = output
        self.style = style
    }

    mutating func begin(columns: [String]) { self.columns = columns.map { Self.cell($0, style) } }

    mutating func row(_ values: [DatabaseValue]) {
        if widths.isEmpty {
            waiting.append(values)
            if waiting.count == Self.rowsMeasured { release() }
        } else {
            print(values)
        }
    }

    mutating func end() { if widths.isEmpty { release() } }

    private mutating func release() {
        widths = columns.map { $0.count }
        isRight = columns.map { _ in false }
        for row in waiting {
            for (index, value) in row.enumerated() where index < widths.count {
                widths[index] = max(widths[index], Self.cell(value, style).count)
                if value.isNumber { isRight[index] = true }
            }
        }
        if style == .markdown { widths = widths.map { max($0, 3) } }
        printLine(columns)
        switch style {
        case .plain: output.print(widths.map { String(repeating: "-", count: $0) }.joined(separator: "  "))
        case .markdown:
            let rules = zip(widths, isRight).map { width, isRight in
                String(repeating: "-", count: isRight ? width - 1 : width) + (isRight ? ":" : "")
            }
            output.print("| " + rules.joined(separator: " | ") + " |")
        }
        for row in waiting { print(row) }
        waiting = []
    }

    private func print(_ row: [DatabaseValue]) { printLine(row.map { Self.cell($0, style) }) }

    private func printLine(_ cells: [String]) {
        let padded = cells.enumerated().map { index, cell in
            let space = String(repeating: " ", count: max(widths[index] - cell.count, 0))
            return isRight[index] ? space + cell : cell + space
        }
        switch style {
        case .plain:
            var line = padded.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            output.print(line)
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
        case .double(let number): number.isFinite ? "\(number)" : "null"
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

    func begin(columns: [String]) { output.print(columns.map(Self.cell).joined(separator: ",")) }
    func row(_ values: [DatabaseValue]) { output.print(values.map { Self.cell($0.text ?? "") }.joined(separator: ",")) }
    func end() {}

    private static func cell(_ text: String) -> String {
        guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }
}
