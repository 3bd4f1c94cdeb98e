/// Points of two quantities of which less is better, and the line of those that nothing betters.
struct ScatterChart: Chart {
    struct Point {
        var (x, y): (Double, Double)
        /// Written beside it, where there is room; points of one name are all written.
        var label: String?
        /// What shows when a pointer rests on it.
        var title: String
        /// Whether no other point has less of one and no more of the other.
        var isFront: Bool
        /// Whether a kernel does this by itself.
        var isDefault: Bool
    }

    var points: [Point]
    var (horizontalAxis, verticalAxis): (String, String)
    private static let mostRatio = 30.0

    func draw(_ width: ChartWidth) -> Drawing {
        let isWide = width == .wide
        let legend = Legend(
            names: ["nothing better", "bettered", "what a kernel does by itself"], width: width.units
        ).draw { index, x, y in sign(x + 12, y, isFront: index == 0, isDefault: index == 2) }
        let top = legend.height + 26
        let plot = Plot(left: 52, top: top, right: width.units - 14, bottom: top + (isWide ? 330 : 300))
        let horizontal = Scale(kind(points.map(\.x)), for: points.map(\.x), from: plot.left, to: plot.right)
        let vertical = Scale(kind(points.map(\.y)), for: points.map(\.y), from: plot.bottom, to: plot.top)
        var markup = legend.content
        markup += plot.verticalAxis(vertical, ticks: 6, label: Number.tick, title: verticalAxis)
        markup += plot.horizontalAxis(
            horizontal, ticks: isWide ? 8 : 5, label: Number.tick, title: horizontalAxis)
        markup += front(horizontal, vertical)
        for point in points {
            markup += sign(
                horizontal(point.x), vertical(point.y), isFront: point.isFront, isDefault: point.isDefault,
                title: point.title)
        }
        markup += labels(plot, horizontal, vertical)
        return Drawing(height: plot.bottom + 40, content: markup)
    }

    /// Kernel defaults are squares, others circles; what is bettered is hollow.
    private func sign(_ x: Double, _ y: Double, isFront: Bool, isDefault: Bool, title: String? = nil) -> Markup {
        Ink.marker(isDefault ? 1 : 0, x, y, isFront ? "point front" : "point", title: title)
    }

    private func kind(_ values: [Double]) -> Scale.Kind {
        let values = values.filter { $0 > 0 }
        guard let least = values.min(), let most = values.max(), most / least > Self.mostRatio else { return .linear }
        return .log(withZero: false)
    }

    /// A staircase: what lies right of it and above is bettered.
    private func front(_ horizontal: Scale, _ vertical: Scale) -> Markup {
        let front = points.filter(\.isFront).sorted { ($0.x, $1.y) < ($1.x, $0.y) }
        var path: [(x: Double, y: Double)] = []
        for point in front {
            if let last = path.last { path.append((horizontal(point.x), last.y)) }
            path.append((horizontal(point.x), vertical(point.y)))
        }
        return Ink.path(path, "front-line")
    }

    /// Names beside the points: each at the first of some places that is free.
    private func labels(_ plot: Plot, _ horizontal: Scale, _ vertical: Scale) -> Markup {
        var markup = Markup.empty
        var taken = points.map { Box(horizontal($0.x) - 5, vertical($0.y) - 5, 10, 10) }
        // What a kernel does, and the front, are named first.
        let order = points.indices.sorted {
            (points[$0].isDefault ? 0 : 1, points[$0].isFront ? 0 : 1, $0)
                < (points[$1].isDefault ? 0 : 1, points[$1].isFront ? 0 : 1, $1)
        }
        for index in order {
            guard let label = points[index].label else { continue }
            let (x, y) = (horizontal(points[index].x), vertical(points[index].y))
            let width = Ink.width(label, isBold: points[index].isDefault)
            // Left and right of the point, and above and below it, nearer ones first.
            let places = [0.0, -16, 16, -30, 30, -44, 44].flatMap { lift in
                [Box(x + 9, y - 7 + lift, width, 14), Box(x - 9 - width, y - 7 + lift, width, 14)]
            }
            guard
                let place = places.first(where: { place in
                    place.x >= plot.left + 2 && place.x + width <= plot.right + 12 && place.y >= plot.top - 6
                        && place.y + 14 <= plot.bottom && !taken.contains { $0.meets(place) }
                })
            else { continue }
            taken.append(place)
            markup += Ink.text(label, place.x, place.y + 11, .start, points[index].isDefault ? "halo name" : "halo")
        }
        return markup
    }
}

/// A box in a picture.
private struct Box {
    var (x, y, width, height): (Double, Double, Double, Double)

    init(_ x: Double, _ y: Double, _ width: Double, _ height: Double) {
        (self.x, self.y, self.width, self.height) = (x, y, width, height)
    }

    func meets(_ other: Box) -> Bool {
        x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height
    }
}
