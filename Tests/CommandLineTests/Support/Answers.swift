import Foundation
import Testing

extension Tool.Result {
    /// Standard output as JSON: an array of objects.
    func objects(sourceLocation: SourceLocation = #_sourceLocation) throws -> [[String: Any]] {
        let parsed = try JSONSerialization.jsonObject(with: Data(output.utf8))
        return try #require(parsed as? [[String: Any]], sourceLocation: sourceLocation)
    }

    /// Standard output as CSV, by RFC 4180.
    var records: [[String]] { CSV.parse(output) }
}

/// A reader of RFC 4180, independent of the writer under test.
enum CSV {
    static func parse(_ text: String) -> [[String]] {
        var records: [[String]] = []
        var record: [String] = []
        var field = ""
        var isQuoted = false
        var scalars = text.unicodeScalars.makeIterator()
        var next = scalars.next()
        while let scalar = next {
            next = scalars.next()
            switch (scalar, isQuoted) {
            case ("\"", true) where next == "\"":
                field += "\""
                next = scalars.next()
            case ("\"", _): isQuoted.toggle()
            case (",", false):
                record.append(field)
                field = ""
            case ("\n", false):
                records.append(record + [field])
                (record, field) = ([], "")
            default: field.unicodeScalars.append(scalar)
            }
        }
        return field.isEmpty && record.isEmpty ? records : records + [record + [field]]
    }
}

/// A reader of Markdown tables as GitHub renders them: a backslash takes the next character as it is.
enum Markdown {
    static func parse(_ text: String) -> [[String]] {
        text.split(separator: "\n").map { line in
            var cells: [String] = []
            var cell = ""
            var isEscaped = false
            for character in line {
                if isEscaped {
                    cell.append(character)
                    isEscaped = false
                } else if character == "\\" {
                    isEscaped = true
                } else if character == "|" {
                    cells.append(cell.trimmingCharacters(in: .whitespaces))
                    cell = ""
                } else {
                    cell.append(character)
                }
            }
            return Array(cells.dropFirst())
        }
    }
}

extension String {
    /// Characters that a terminal takes for commands, line feeds apart.
    var controlCharacters: [Unicode.Scalar] {
        unicodeScalars.filter { $0 != "\n" && ($0.value < 32 || (127...159).contains($0.value)) }
    }
}
