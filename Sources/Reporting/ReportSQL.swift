extension Report {
    /// The query with what its parameters stand for in their place, for any SQLite client.
    ///
    /// - Parameters:
    ///   - trace: a trace's name; `nil` for all.
    ///   - grouping: one of ``groupings``; `nil` for the first.
    ///   - costs: a cost file as JSON; `nil` for none.
    public func sql(trace: String?, by grouping: String?, costs: String?) -> String {
        let values: [(name: String, value: String?)] = [
            (":trace", trace), (":by", grouping ?? groupings.first), (":cost", costs),
        ].filter { sql.contains($0.name) }
        var text = "-- report \(name) of iommu-trace; run it with: sqlite3 FILE < THIS\n"
        for (name, value) in values {
            text += "-- \(name) = \(Self.literal(value))\n"
        }
        var rest = sql[...]
        while let next = rest.first {
            let part = Self.token(rest)
            if next == ":", let value = values.first(where: { $0.name == part }) {
                text += Self.literal(value.value)
            } else {
                text += part
            }
            rest = rest[part.endIndex...]
        }
        while text.last == "\n" { text.removeLast() }
        return text + (text.last == ";" ? "\n" : ";\n")
    }

    /// The first token of a text, as far as it matters: a comment, a string, a parameter, or one character.
    private static func token(_ text: Substring) -> Substring {
        let quote = text.first
        if text.hasPrefix("--") { return text.prefix { $0 != "\n" } }
        if quote == "'" || quote == "\"" {
            // A doubled quote ends one string and begins the next.
            let inside = text.dropFirst().prefix { $0 != quote }
            return text[..<text[inside.endIndex...].prefix(1).endIndex]
        }
        if quote == ":" {
            let name = text.dropFirst().prefix { $0.isLetter || $0.isNumber || $0 == "_" }
            return text[..<name.endIndex]
        }
        return text.prefix(1)
    }

    /// A text in SQL, on one line: control characters in names are written as numbers.
    static func literal(_ value: String?) -> String {
        guard let value else { return "NULL" }
        var parts: [String] = []
        var run = ""
        func endRun() {
            if !run.isEmpty { parts.append("'\(run)'") }
            run = ""
        }
        for scalar in value.unicodeScalars {
            if scalar.value < 32 || (127...159).contains(scalar.value) || [0x2028, 0x2029].contains(scalar.value) {
                endRun()
                parts.append("char(\(scalar.value))")
            } else {
                run += scalar == "'" ? "''" : String(scalar)
            }
        }
        endRun()
        if parts.isEmpty { return "''" }
        return parts.count == 1 ? parts[0] : "(\(parts.joined(separator: " || ")))"
    }
}
