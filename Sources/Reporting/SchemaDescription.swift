import GRDB
import Schema

/// The database's tables and views in words: what the comments in `schema/` say, which SQLite keeps as well.
public enum SchemaDescription {
    struct Column {
        var name: String
        /// Its type, with what it refers to.
        var type: String
        var comment: String
    }

    struct Table {
        var name: String
        var comment: String
        var columns: [Column]
        /// What goes for the whole table: keys.
        var constraints: [String]

        mutating func add(comment text: String) { comment += (comment.isEmpty ? "" : " ") + text }
    }

    /// Writes all of it as Markdown.
    public static func write(to output: TextOutput) {
        output.print("# The database\n")
        output.print(
            "Written by `iommu-trace schema` out of the comments in `schema/`, which each database holds as well "
                + "(`.schema` in the `sqlite3` shell). Layout \(Schema.version): `PRAGMA user_version`. Times are ns of the trace "
                + "clock, sizes are bytes, addresses are integers by bit pattern, which the views print in hexadecimal. "
                + "`design §4 12` is number 12 of `docs/definitions.md`."
        )
        output.print("\n## Tables")
        for table in Schema.tables.flatMap({ tables(in: $0.sql) }) { write(table, to: output) }
        output.print("\n## Views")
        for view in Schema.views.flatMap({ views(in: $0.sql) }) {
            output.print("\n### \(view.name)\n\n\(view.comment)")
        }
    }

    private static func write(_ table: Table, to output: TextOutput) {
        output.print("\n### \(table.name)\n\n\(table.comment)\n")
        var renderer = OutputFormat.markdown.renderer(output)
        renderer.begin(columns: ["column", "type", "what it says"])
        for column in table.columns {
            renderer.row([
                column.name.databaseValue, column.type.databaseValue, column.comment.databaseValue,
            ])
        }
        renderer.end()
        for constraint in table.constraints { output.print("\n`\(constraint)`") }
    }

    /// The tables of a file in the form in which all of `schema/tables` are written: a comment under CREATE TABLE, a column
    /// in each line with its comment behind it.
    static func tables(in sql: String) -> [Table] {
        var tables: [Table] = []
        var table: Table?
        for line in sql.split(separator: "\n").map(trimmed) {
            if line.hasPrefix("CREATE TABLE ") {
                table = Table(
                    name: String(line.dropFirst(13).prefix { $0 != " " && $0 != "(" }), comment: "", columns: [],
                    constraints: [])
            } else if line.hasPrefix(")") {
                if let table { tables.append(table) }
                table = nil
            } else if line.hasPrefix("--") {
                table?.add(comment: trimmed(line.dropFirst(2)))
            } else if ["PRIMARY KEY", "UNIQUE", "FOREIGN KEY", "CHECK"].contains(where: { line.hasPrefix($0) }) {
                table?.constraints.append(trimmed(line.last == "," ? line.dropLast() : line[...]))
            } else if let column = column(in: line) {
                table?.columns.append(column)
            }
        }
        return tables
    }

    private static func column(in line: String) -> Column? {
        guard let mark = line.firstRange(of: "--") else { return nil }
        let declaration = trimmed(line[..<mark.lowerBound]).split(separator: " ", maxSplits: 1)
        guard declaration.count == 2 else { return nil }
        let type = declaration[1].last == "," ? declaration[1].dropLast() : declaration[1]
        return Column(
            name: String(declaration[0]), type: trimmed(type), comment: trimmed(line[mark.upperBound...]))
    }

    /// The views of a file: each with the comment above it.
    static func views(in sql: String) -> [Table] {
        var views: [Table] = []
        var comment = ""
        for line in sql.split(separator: "\n") {
            if line.hasPrefix("--") {
                comment += (comment.isEmpty ? "" : " ") + trimmed(line.dropFirst(2))
            } else {
                if line.hasPrefix("CREATE VIEW ") {
                    views.append(
                        Table(
                            name: String(line.dropFirst(12).prefix { $0 != " " }), comment: comment, columns: [],
                            constraints: []))
                }
                comment = ""
            }
        }
        return views
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
