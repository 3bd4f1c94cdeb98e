import Foundation
import GRDB

/// Joins three columns `x_low_u`, `x_typical_u`, `x_high_u` to one `x_u` that reads `low..typical..high`, for people: the other
/// formats keep them apart.
struct IntervalRenderer: RowRenderer {
    private enum Cell {
        case single(Int)
        case interval(first: Int)
    }

    private var renderer: any RowRenderer
    private let columnsLeftOut: Set<String>
    private var cells: [Cell] = []

    init(_ renderer: any RowRenderer, leavingOut columns: Set<String>) {
        self.renderer = renderer
        columnsLeftOut = columns
    }

    mutating func begin(columns: [String]) {
        var names: [String] = []
        var index = 0
        while index < columns.count {
            if let name = Self.intervalName(columns[index...]) {
                if !columnsLeftOut.isSuperset(of: columns[index..<index + 3]) {
                    names.append(name)
                    cells.append(.interval(first: index))
                }
                index += 3
            } else {
                if !columnsLeftOut.contains(columns[index]) {
                    names.append(columns[index])
                    cells.append(.single(index))
                }
                index += 1
            }
        }
        renderer.begin(columns: names)
    }

    mutating func row(_ values: [DatabaseValue]) {
        renderer.row(
            cells.map { cell in
                switch cell {
                case .single(let index): return index < values.count ? values[index] : .null
                case .interval(let first):
                    let ends = values.dropFirst(first).prefix(3).compactMap(\.number)
                    guard ends.count == 3 else { return .null }
                    return (Set(ends).count == 1 ? ends[0] : ends.joined(separator: "..")).databaseValue
                }
            })
    }

    mutating func end() { renderer.end() }

    /// `x_u` if the columns begin with the three of an interval.
    private static func intervalName(_ columns: ArraySlice<String>) -> String? {
        guard let first = columns.first, let range = first.range(of: "_low_") else { return nil }
        let (stem, unit) = (first[..<range.lowerBound], first[range.upperBound...])
        guard columns.prefix(3).elementsEqual(["low", "typical", "high"].map { "\(stem)_\($0)_\(unit)" }) else {
            return nil
        }
        return "\(stem)_\(unit)"
    }
}

extension DatabaseValue {
    /// A number as short as it can be read: four digits are more than a model knows.
    var number: String? {
        switch storage {
        case .int64(let value): String(value)
        case .double(let value) where abs(value) >= 1000: String(format: "%.0f", value)
        case .double(let value): String(format: "%.4g", value)
        default: nil
        }
    }
}
