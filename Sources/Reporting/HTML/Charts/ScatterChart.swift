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
        for point in drawn() {
            markup += sign(
                horizontal(point.x), vertical(point.y), isFront: point.isFront, isDefault: point.isDefault,
                title: point.title)
        }
        markup += labels(plot, horizontal, vertical)
        return Drawing(height: plot.bottom + 40, content: markup)
    }

    /// The points in the order in which they are drawn: the front over what is not on it, of each a kernel's own settings over
    /// others.
    func drawn() -> [Point] {
        func rank(_ point: Point) -> Int { (point.isFront ? 2 : 0) + (point.isDefault ? 1 : 0) }
        return (0...3).flatMap { wanted in points.filter { rank($0) == wanted } }
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

    /// Names beside the points: each at the first of some places that is free. One that is not beside its point has a line to it.
    private func labels(_ plot: Plot, _ horizontal: Scale, _ vertical: Scale) -> Markup {
        var (lines, names) = (Markup.empty, Markup.empty)
        var taken = points.map { Box(horizontal($0.x) - 5, vertical($0.y) - 5, 10, 10) }
        for label in merged() {
            let (x, y) = (horizontal(label.x), vertical(label.y))
            let width = Ink.width(label.text, isBold: label.isDefault)
            // Left and right of the point, and above and below it, nearer ones first. What a kernel does is named wherever it is.
            let lifts: ArraySlice<Double> = Self.lifts.prefix(label.isDefault ? Self.lifts.count : 7)
            let places: [Box] = lifts.flatMap { lift in
                [Box(x + 9, y - 7 + lift, width, 14), Box(x - 9 - width, y - 7 + lift, width, 14)]
            }
            guard
                let place = places.first(where: { place in
                    place.x >= plot.left + 2 && place.x + width <= plot.right + 12 && place.y >= plot.top - 6
                        && place.y + 14 <= plot.bottom && !taken.contains { $0.meets(place) }
                })
            else { continue }
            taken.append(place)
            let middle = place.y + 7
            if abs(middle - y) > Self.mostLift {
                lines += Ink.line(x, y, place.x > x ? place.x - 2 : place.x + width + 2, middle, "leader")
            }
            names += Ink.text(label.text, place.x, place.y + 11, .start, label.isDefault ? "halo name" : "halo")
        }
        return lines + names
    }

    /// How far below its point a name may stand, in the order in which places are tried.
    private static let lifts: [Double] =
        [0]
        + (1...16).flatMap { (step: Int) -> [Double] in
            let lift = Double(14 * step + 2)
            return [-lift, lift]
        }

    /// How far above or below its point a name may be without a line to it.
    private static let mostLift = 16.0

    /// A name of one point or of several at the same place.
    struct Label: Equatable {
        var (x, y): (Double, Double)
        var text: String
        var isDefault: Bool

        static func == (left: Label, right: Label) -> Bool {
            left.x == right.x && left.y == right.y && left.text == right.text && left.isDefault == right.isDefault
        }
    }

    /// The names in the order in which they get their places: what a kernel does, then the front. Points at one place share
    /// one name; what a kernel does is in it.
    func merged() -> [Label] {
        func rank(_ index: Int) -> (Int, Int, Int) {
            (points[index].isDefault ? 0 : 1, points[index].isFront ? 0 : 1, index)
        }
        var labels: [Label] = []
        var places: [[Double]: (label: Int, others: Int)] = [:]
        for index in points.indices.sorted(by: { rank($0) < rank($1) }) {
            let point = points[index]
            let place = [point.x, point.y]
            if let known = places[place] {
                if point.isDefault, let text = point.label {
                    labels[known.label].text += ", " + text
                } else {
                    places[place]?.others += 1
                }
            } else if let text = point.label {
                places[place] = (labels.count, 0)
                labels.append(Label(x: point.x, y: point.y, text: text, isDefault: point.isDefault))
            }
        }
        return labels.map { label in
            let others = places[[label.x, label.y]]?.others ?? 0
            return others == 0
                ? label
                : Label(x: label.x, y: label.y, text: label.text + " and \(others) more", isDefault: label.isDefault)
        }
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
