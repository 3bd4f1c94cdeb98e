import Foundation

/// Points on a grid of characters, both axes logarithmic; what is 0 has the first column or the last line to itself.
struct ScatterPlot {
    /// A point; neither coordinate is below 0.
    struct Point {
        var x: Double
        var y: Double
        /// What is drawn. Where points meet, the one that comes first.
        var glyph: Character
    }

    /// One axis: which of `cells` places a value has.
    private struct Axis {
        let low: Double
        let high: Double
        let hasZero: Bool
        let cells: Int

        init(_ values: [Double], cells: Int) {
            let positive = values.filter { $0 > 0 && $0.isFinite }
            low = positive.min() ?? 1
            high = positive.max() ?? 1
            hasZero = values.contains { $0 <= 0 }
            self.cells = cells
        }

        func place(_ value: Double) -> Int {
            guard value > 0, value.isFinite else { return 0 }
            // Two places between 0 and the least: they are not neighbours on a logarithmic scale.
            let first = hasZero ? 3 : 0
            guard high > low else { return first }
            let share = log(value / low) / log(high / low)
            return first + Int((share * Double(cells - 1 - first)).rounded())
        }
    }

    let points: [Point]
    let xName: String
    let yName: String

    private static let columns = 64
    private static let rows = 18

    /// The picture, line by line.
    var lines: [String] {
        let (x, y) = (Axis(points.map(\.x), cells: Self.columns), Axis(points.map(\.y), cells: Self.rows))
        var picture = [[Character]](repeating: Array(repeating: " ", count: Self.columns), count: Self.rows)
        for point in points.reversed() { picture[y.place(point.y)][x.place(point.x)] = point.glyph }
        let (top, bottom) = (Self.text(y.high), Self.text(y.hasZero ? 0 : y.low))
        let margin = max(top.count, bottom.count)
        var lines = [yName]
        for (row, cells) in picture.enumerated().reversed() {
            let label = row == Self.rows - 1 ? top : row == 0 ? bottom : ""
            var line = String(repeating: " ", count: margin - label.count) + label + " |" + String(cells)
            while line.last == " " { line.removeLast() }
            lines.append(line)
        }
        let (left, right) = (Self.text(x.hasZero ? 0 : x.low), Self.text(x.high))
        let space = String(repeating: " ", count: max(Self.columns - left.count - right.count, 1))
        lines.append(String(repeating: " ", count: margin) + " +" + String(repeating: "-", count: Self.columns))
        lines.append(String(repeating: " ", count: margin + 2) + left + space + right + "  " + xName)
        return lines
    }

    private static func text(_ value: Double) -> String { String(format: value < 1e6 ? "%.4g" : "%.2e", value) }
}
