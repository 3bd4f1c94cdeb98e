import GRDB

/// A condition on the rows of a report, `p99_ns > 20ms`: what `--fail-if` gates on.
public struct Condition: Sendable {
    /// How a cell is compared with the limit.
    enum Comparison: String, CaseIterable, Sendable {
        // The longer ones first: they begin like the others.
        case atMost = "<="
        case atLeast = ">="
        case equal = "=="
        case unequal = "!="
        case below = "<"
        case above = ">"

        func holds(_ left: Double, _ right: Double) -> Bool {
            switch self {
            case .atMost: left <= right
            case .atLeast: left >= right
            case .equal: left == right
            case .unequal: left != right
            case .below: left < right
            case .above: left > right
            }
        }
    }

    /// What a column counts, as its name's last word says.
    enum Quantity: Equatable {
        /// ns of its unit
        case time(Double)
        case bytes
        case percent
        case plain

        init(column: String) {
            // A report says how long a step takes in the middle of a name, too: total_low_ms, unmapped_ns_ago.
            let column = column.hasSuffix("_ago") ? String(column.dropLast(4)) : column
            func ends(_ suffix: String) -> Bool { column == suffix || column.hasSuffix("_\(suffix)") }
            let units: [(name: String, quantity: Quantity)] = [
                ("ns", .time(1)), ("us", .time(1e3)), ("ms", .time(1e6)), ("bytes", .bytes), ("percent", .percent),
            ]
            self =
                switch column {
                case "seconds": .time(1e9)
                case "size", "page_size": .bytes
                default: units.first { ends($0.name) }?.quantity ?? .plain
                }
        }
    }

    private enum Limit {
        case number(Double, Unit?)
        case text(String)
    }

    private struct Unit {
        var name: String
        var factor: Double
        var isTime = false

        static let all = [
            Unit(name: "ns", factor: 1, isTime: true), Unit(name: "us", factor: 1e3, isTime: true),
            Unit(name: "µs", factor: 1e3, isTime: true), Unit(name: "ms", factor: 1e6, isTime: true),
            Unit(name: "s", factor: 1e9, isTime: true), Unit(name: "K", factor: 1024),
            Unit(name: "M", factor: 1_048_576),
            Unit(name: "G", factor: 1_073_741_824), Unit(name: "%", factor: 1),
        ]
    }

    /// As typed.
    public let text: String
    /// The column's name.
    let column: String
    private let comparison: Comparison
    private let limit: Limit

    /// Reads a condition.
    public init(parsing text: String) throws(ConditionError) {
        self.text = text.trimmed
        guard let start = text.firstIndex(where: { "<>=!".contains($0) }),
            let comparison = Comparison.allCases.first(where: { text[start...].hasPrefix($0.rawValue) })
        else { throw ConditionError.notUnderstood(text) }
        column = String(text[..<start]).trimmed
        self.comparison = comparison
        let right = String(text[start...].dropFirst(comparison.rawValue.count)).trimmed
        guard !column.isEmpty, !column.contains(" "), !right.isEmpty, !"<>=!".contains(right.prefix(1)) else {
            throw ConditionError.notUnderstood(text)
        }
        limit = try Self.limit(right, comparison, text)
    }

    private static func limit(_ right: String, _ comparison: Comparison, _ text: String) throws(ConditionError) -> Limit
    {
        let isQuoted = right.count >= 2 && (right.first == "'" || right.first == "\"") && right.first == right.last
        if !isQuoted {
            let digits = right.prefix { $0.isNumber || "+-.eE".contains($0) }
            let suffix = String(right[digits.endIndex...]).trimmed
            if let number = Double(digits), number.isFinite {
                if suffix.isEmpty { return .number(number, nil) }
                guard let unit = Unit.all.first(where: { $0.name == suffix }) else {
                    throw ConditionError.unknownUnit(suffix, in: text)
                }
                return .number(number, unit)
            }
        }
        guard comparison == .equal || comparison == .unequal else { throw ConditionError.noNumber(right, in: text) }
        return .text(isQuoted ? String(right.dropFirst().dropLast()) : right)
    }

    /// The condition for the rows with these columns.
    func bound(to columns: [String]) throws(ConditionError) -> Bound {
        guard let index = columns.firstIndex(of: column) else {
            throw ConditionError.noColumn(column, in: text, known: columns)
        }
        guard case .number(let number, let unit) = limit else {
            guard case .text(let word) = limit else { throw ConditionError.notUnderstood(text) }
            return Bound(condition: self, index: index, limit: .text(word))
        }
        let quantity = Quantity(column: column)
        guard let unit else { return Bound(condition: self, index: index, limit: .number(number)) }
        switch quantity {
        case .time(let ns) where unit.isTime:
            return Bound(condition: self, index: index, limit: .number(number * unit.factor / ns))
        case .bytes where !unit.isTime && unit.name != "%":
            return Bound(condition: self, index: index, limit: .number(number * unit.factor))
        case .percent where unit.name == "%":
            return Bound(condition: self, index: index, limit: .number(number))
        default: throw ConditionError.unitDoesNotFit(unit.name, column: column, in: text)
        }
    }

    /// A condition whose column is known by its place.
    struct Bound {
        enum Limit {
            case number(Double)
            case text(String)
        }

        let condition: Condition
        let index: Int
        let limit: Limit

        /// Whether a row meets it. What is not known meets nothing.
        func holds(for row: [DatabaseValue]) -> Bool {
            guard index < row.count, !row[index].isNull else { return false }
            switch limit {
            case .number(let limit):
                guard row[index].isNumber, let value = Double.fromDatabaseValue(row[index]) else {
                    return condition.comparison == .unequal
                }
                return condition.comparison.holds(value, limit)
            case .text(let word): return (row[index].text == word) == (condition.comparison == .equal)
            }
        }
    }
}

/// Why a condition cannot be asked.
public enum ConditionError: Error, CustomStringConvertible {
    /// The text is no condition.
    case notUnderstood(String)
    /// The value's unit is none that there is.
    case unknownUnit(String, in: String)
    /// A word is to be compared as only numbers are.
    case noNumber(String, in: String)
    /// The value has a unit that the column's numbers do not have.
    case unitDoesNotFit(String, column: String, in: String)
    /// The rows have no column of this name.
    case noColumn(String, in: String, known: [String])

    /// What is wrong and what to do.
    public var description: String {
        switch self {
        case .notUnderstood(let text):
            "--fail-if '\(text)': give a column, one of < <= > >= == !=, and a value, such as 'p99_ns > 20ms'"
        case .unknownUnit(let unit, let text):
            "--fail-if '\(text)': '\(unit)' is no unit; there are ns, us, ms, s, K, M, G (bytes) and %"
        case .noNumber(let word, let text):
            "--fail-if '\(text)': '\(word)' is no number; words are compared with == and != only"
        case .unitDoesNotFit(let unit, let column, let text):
            "--fail-if '\(text)': \(column) is not measured in \(unit); give the number as the report prints it"
        case .noColumn(let column, let text, let known):
            "--fail-if '\(text)': there is no column '\(column)'; there are: \(known.joined(separator: ", "))"
        }
    }
}

/// Holds conditions against rows as they are written.
public final class Gate {
    /// Rows that meet a condition and are told of; all are counted.
    static let shown = 20

    private let conditions: [Condition]
    private var bound: [Condition.Bound] = []
    private var columns: [String] = []
    /// For each condition how many rows do not know its column.
    private var unknown: [Int] = []
    private var rows = 0
    /// How many rows of a trace there are at most, and in which column each says how many it would be; `nil` for all.
    private var limit: (rows: Int, column: String)?
    private var limitIndex: Int?
    private var mostOfTrace: Int64 = 0
    /// How many conditions were met, over all rows.
    public private(set) var count = 0
    /// Which row met which condition, in words.
    public private(set) var findings: [String] = []

    /// A gate; without conditions nothing is found.
    public init(_ conditions: [Condition] = []) { self.conditions = conditions }

    /// Whether there is anything to look for.
    public var isEmpty: Bool { conditions.isEmpty }

    /// Of which conditions some rows say nothing, in words: such a row meets none.
    public var doubts: [String] {
        zip(bound, unknown).filter { $1 > 0 }.map { bound, count in
            "--fail-if '\(bound.condition.text)': \(bound.condition.column) is not known in \(count) of \(rows) rows, which "
                + (count == rows ? "therefore say nothing about it" : "meet no condition")
        }
    }

    /// What the rows leave out, in words; `nil` if they are all.
    public var leftOut: String? {
        guard let limit, mostOfTrace > limit.rows else { return nil }
        return
            "only \(limit.rows) of \(mostOfTrace) \(limit.column.replacing("_", with: " ")) of a trace are told one by one; --by trace counts all of them"
    }

    func begin(_ columns: [String], limit: (rows: Int, column: String)? = nil) throws(ConditionError) {
        self.columns = columns
        self.limit = limit
        limitIndex = limit.flatMap { columns.firstIndex(of: $0.column) }
        bound = []
        for condition in conditions { bound.append(try condition.bound(to: columns)) }
        unknown = bound.map { _ in 0 }
    }

    func look(at row: Row) {
        rows += 1
        if let limitIndex { mostOfTrace = max(mostOfTrace, row[limitIndex] as Int64? ?? 0) }
        if !bound.isEmpty { check(Array(row.databaseValues)) }
    }

    func look(at row: [DatabaseValue]) {
        rows += 1
        check(row)
    }

    private func check(_ row: [DatabaseValue]) {
        for (number, bound) in bound.enumerated() {
            if bound.index >= row.count || row[bound.index].isNull { unknown[number] += 1 }
            guard bound.holds(for: row) else { continue }
            count += 1
            if count <= Self.shown {
                findings.append(
                    "\(bound.condition.text): row \(rows)\(name(of: row)) has \(row[bound.index].text ?? "nothing")")
            }
        }
    }

    /// What the words before a row's first number say: whose row it is.
    private func name(of row: [DatabaseValue]) -> String {
        let words = zip(columns, row).prefix { !$1.isNumber }.compactMap { column, value in
            value.text.map { "\(column) \($0)" }
        }
        return words.isEmpty ? "" : " (\(words.joined(separator: ", ")))"
    }
}

extension String {
    fileprivate var trimmed: String {
        String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
    }
}
