import GRDB
import TraceStore

/// Chooses the columns of a table once it has seen the rows: leaves out what is empty in all of them, and tells rows apart that
/// would look alike.
///
/// So many rows are kept at most; a longer table has all its columns, and memory stays flat.
struct CondensedRenderer: RowRenderer {
    static let rowsSeen = 4096
    /// The column that tells apart what would look alike.
    static let differs = "differs"

    private let output: TextOutput
    private let columnsLeftOut: Set<String>
    private let columnsKept: Set<String>
    private var columns: [String] = []
    private var waiting: [[DatabaseValue]] = []
    private var renderer: IntervalRenderer?
    private var inserted: (place: Int, cells: [DatabaseValue])?

    /// - Parameters:
    ///   - columns: those that a table goes without; `trace` only where all rows are of one.
    ///   - kept: those that stay, empty or not.
    init(_ output: TextOutput, leavingOut columns: [String], keeping kept: [String]) {
        self.output = output
        columnsLeftOut = Set(columns)
        columnsKept = Set(kept)
    }

    mutating func begin(columns: [String]) { self.columns = columns }

    mutating func row(_ values: [DatabaseValue]) {
        if renderer != nil {
            let values = inserting(.null, into: values)
            renderer?.row(values)
        } else {
            waiting.append(values)
            if waiting.count == Self.rowsSeen { release(isAll: false) }
        }
    }

    mutating func end() {
        if renderer == nil { release(isAll: true) }
        renderer?.end()
    }

    private mutating func release(isAll: Bool) {
        if isAll { inserted = differences() }
        var inner = IntervalRenderer(OutputFormat.table.renderer(output), leavingOut: leftOut(isAll: isAll))
        inner.begin(columns: inserting(Self.differs, into: columns))
        for (index, row) in waiting.enumerated() {
            inner.row(inserting(inserted.map { $0.cells[index] } ?? .null, into: row))
        }
        waiting = []
        renderer = inner
    }

    private func leftOut(isAll: Bool) -> Set<String> {
        var leftOut = columnsLeftOut
        if let trace = columns.firstIndex(of: "trace"), !isAll || Set(waiting.map { $0[trace] }).count > 1 {
            leftOut.remove("trace")
        }
        guard isAll, !waiting.isEmpty else { return leftOut }
        for (index, column) in columns.enumerated() where !columnsKept.contains(column) {
            if waiting.allSatisfy({ $0[index].isNull }) { leftOut.insert(column) }
        }
        return leftOut
    }

    private func inserting<Value>(_ value: Value, into values: [Value]) -> [Value] {
        guard let place = inserted?.place, place <= values.count else { return values }
        return Array(values[..<place]) + [value] + values[place...]
    }

    /// Of rows that are alike up to the policy, as those of a replay of a part or with other hardware are beside that of the whole:
    /// what their options do not share.
    private func differences() -> (place: Int, cells: [DatabaseValue])? {
        guard let options = columns.firstIndex(of: "options"),
            let last = columns.firstIndex(of: "requested") ?? columns.firstIndex(of: "policy")
        else { return nil }
        let words = waiting.map { String.fromDatabaseValue($0[options])?.split(separator: " ").map(String.init) ?? [] }
        let alike = Dictionary(grouping: waiting.indices) { waiting[$0][...last] }
        var cells = [DatabaseValue](repeating: .null, count: waiting.count)
        for group in alike.values where group.count > 1 {
            for (index, text) in zip(group, ReplayOptionWords.differences(of: group.map { words[$0] }))
            where !text.isEmpty { cells[index] = text.databaseValue }
        }
        return cells.allSatisfy(\.isNull) ? nil : (last + 1, cells)
    }
}

/// The options of a replay in words for people.
enum ReplayOptionWords {
    /// What tells options from each other: no word that all have, and none that the others can do without.
    static func differences(of options: [[String]]) -> [String] {
        let shared = options.dropFirst().reduce(Set(options.first ?? [])) { $0.intersection($1) }
        var left = options.map { $0.filter { !shared.contains($0) } }
        // What comes along with others: page sizes with hardware, say.
        for label in ["page-sizes=", "hz=", "accesses="] {
            let shorter = left.map { $0.filter { !$0.hasPrefix(label) } }
            if Set(shorter).count == Set(left).count { left = shorter }
        }
        return left.map(shortened)
    }

    /// `from=25241791000ns to=25250000000ns` is `25.241791..25.25 s`.
    static func shortened(_ words: [String]) -> String {
        func seconds(_ label: String) -> String? {
            words.first { $0.hasPrefix(label) && $0.hasSuffix("ns") }
                .flatMap { Int64($0.dropFirst(label.count).dropLast(2)) }.map(\.asSeconds)
        }
        guard let from = seconds("from="), let to = seconds("to=") else { return words.joined(separator: " ") }
        let others = words.filter { !$0.hasPrefix("from=") && !$0.hasPrefix("to=") }
        return (["\(from)..\(to) s"] + others).joined(separator: " ")
    }
}

extension Int64 {
    /// A time in ns as seconds, exactly and without zeros at the end.
    var asSeconds: String {
        let digits = String(magnitude % 1_000_000_000)
        var fraction = String(repeating: "0", count: 9 - digits.count) + digits
        while fraction.last == "0" { fraction.removeLast() }
        let whole = (self < 0 ? "-" : "") + String(magnitude / 1_000_000_000)
        return fraction.isEmpty ? whole : "\(whole).\(fraction)"
    }
}
