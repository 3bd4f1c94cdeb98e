/// Values in the course of time, as steps: each holds until the next one.
struct LineChart: Chart {
    struct Series {
        var name: String
        /// Values in order of time. Where steps are missing, so is the line.
        var steps: [Step]
    }

    struct Step {
        /// Begin and length in seconds.
        var (start, length): (Double, Double)
        var value: Double
    }

    var series: [Series]
    var timeAxis: String
    var valueAxis: String
    /// Values that differ too much for one scale are read by ratio.
    private static let mostRatio = 12.0
    /// Less than this on average is shown as none where the scale is logarithmic.
    private static let floor = 0.01

    var isLogarithmic: Bool {
        let peaks = series.compactMap { $0.steps.map(\.value).max() }.filter { $0 > 0 }
        guard let least = peaks.min(), let most = peaks.max() else { return false }
        return most / least > Self.mostRatio
    }

    func draw(_ width: ChartWidth) -> Drawing {
        let isWide = width == .wide
        let legend = Legend(names: series.map(\.name), width: width.units).draw { index, x, y in
            Ink.line(x, y, x + 24, y, "line s\(index % 6)") + Ink.marker(index, x + 12, y, "mark s\(index % 6)")
        }
        let top = legend.height + 24
        let plot = Plot(left: 48, top: top, right: width.units - 10, bottom: top + (isWide ? 230 : 200))
        let values = series.flatMap { $0.steps.map(\.value) }
        let vertical = Scale(
            isLogarithmic ? .log(withZero: true, floor: Self.floor) : .linear, for: values, from: plot.bottom,
            to: plot.top)
        let begin = series.compactMap(\.steps.first?.start).min() ?? 0
        let end = series.compactMap { $0.steps.last.map { $0.start + $0.length } }.max() ?? 1
        let horizontal = Scale(between: begin, and: end, from: plot.left, to: plot.right)
        var markup = legend.content
        markup += plot.verticalAxis(vertical, ticks: 5, label: Number.tick, title: valueAxis)
        markup += plot.horizontalAxis(
            horizontal, ticks: isWide ? 8 : 4, label: { Number.tick(($0 * 1e6).rounded() / 1e6) }, title: timeAxis)
        for (index, series) in series.enumerated() {
            markup += line(series, index, horizontal, vertical)
        }
        if isWide { markup += readings(plot, horizontal) }
        return Drawing(height: plot.bottom + 40, content: markup)
    }

    private func line(_ series: Series, _ index: Int, _ horizontal: Scale, _ vertical: Scale) -> Markup {
        var points: [(x: Double, y: Double)] = []
        for step in series.steps {
            let y = vertical(step.value)
            points.append((horizontal(step.start), y))
            points.append((horizontal(step.start + step.length), y))
        }
        var markup = Ink.path(points, "line s\(index % 6)")
        // Signs on the line, each series at steps of its own so that they do not cover each other.
        let every = max(series.steps.count / 8, 1)
        for (number, step) in series.steps.enumerated()
        where number % every == (index * 2 + 1) % every && step.value > 0 {
            markup += Ink.marker(
                index, horizontal(step.start + step.length / 2), vertical(step.value), "mark s\(index % 6)")
        }
        return markup
    }

    /// Invisible columns that show the values of their time to a pointer.
    private func readings(_ plot: Plot, _ horizontal: Scale) -> Markup {
        var markup = Markup.empty
        guard let longest = series.max(by: { $0.steps.count < $1.steps.count }) else { return markup }
        for (index, step) in longest.steps.enumerated() {
            let lines = series.map { series in
                let value = index < series.steps.count ? Number.short(series.steps[index].value) : "–"
                return "\(series.name): \(value)"
            }
            let x = horizontal(step.start)
            markup += Ink.rect(
                x, plot.top, horizontal(step.start + step.length) - x, plot.bottom - plot.top, "reading",
                title: "\(Number.short(step.start)) s: " + lines.joined(separator: ", "))
        }
        return markup
    }
}
