/// Horizontal bars from zero, one below the other, each with its number.
struct BarChart: Chart {
    struct Bar {
        /// What it stands for.
        var label: String
        /// How long it is.
        var value: Double
        /// What is written behind it.
        var text: String
        /// What shows when a pointer rests on it.
        var title: String
        /// Whether it is what the others are measured by.
        var isReference = false
    }

    var bars: [Bar]
    /// What the axis counts.
    var axis: String

    func draw(_ width: ChartWidth) -> Drawing {
        let isWide = width == .wide
        let left = isWide ? min((bars.map { Ink.width($0.label) }.max() ?? 0) + 16, 240) : 0
        // Room for the longest number behind the longest bar.
        let room = (bars.map { Ink.width($0.text, isBold: true) }.max() ?? 0) + 12
        let rowHeight = isWide ? 28.0 : 42
        let bottom = Double(bars.count) * rowHeight + 4
        let scale = Scale(
            .linear, for: bars.map(\.value), from: left, to: width.units - (isWide ? room : 8), ticks: isWide ? 5 : 3)
        let plot = Plot(left: left, top: 0, right: width.units - 8, bottom: bottom)
        var markup = plot.horizontalAxis(scale, ticks: isWide ? 5 : 3, label: Number.tick, title: axis)
        for (index, bar) in bars.enumerated() {
            let top = Double(index) * rowHeight
            let style = bar.isReference ? "bar reference" : "bar"
            let length = scale(bar.value) - scale(0)
            if isWide {
                markup += Ink.text(Ink.fitted(bar.label, left - 12), left - 10, top + 19, .end)
                markup += Ink.rect(scale(0), top + 5, max(length, 1), 20, style, title: bar.title)
                markup += Ink.text(bar.text, scale(0) + max(length, 1) + 6, top + 19, .start, "number halo")
            } else {
                markup += Ink.text(Ink.fitted(bar.label, width.units - room), 0, top + 14, .start, "halo")
                markup += Ink.text(bar.text, width.units, top + 14, .end, "number halo")
                markup += Ink.rect(scale(0), top + 20, max(length, 1), 16, style, title: bar.title)
            }
        }
        return Drawing(height: bottom + 40, content: markup)
    }
}
