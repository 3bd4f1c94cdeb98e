/// A picture of numbers, which lays itself out for a width.
protocol Chart {
    func draw(_ width: ChartWidth) -> Drawing
}

/// What was drawn, in units that are pixels at the least width at which it is shown.
struct Drawing {
    var height: Double
    var content: Markup
}

/// The two widths for which each chart is laid out. Text is 12 units high, so that it is never below 12 pixels.
enum ChartWidth: CaseIterable {
    /// Of a desktop, a tablet, a printed page.
    case wide
    /// Of a phone.
    case narrow

    var units: Double { self == .wide ? 720 : 328 }

    /// Shows it where it fits, by the page's style sheet.
    var name: StaticString { self == .wide ? "wide" : "narrow" }
}

/// Elements of all charts.
enum Ink {
    /// How high text is, and how wide one of its characters at most on average.
    static let (textHeight, characterWidth, boldWidth) = (12.0, 7.2, 8.1)

    enum Anchor: String {
        case start, middle, end
    }

    static func text(_ text: String, _ x: Double, _ y: Double, _ anchor: Anchor = .start, _ style: String = "")
        -> Markup
    {
        var attributes = [Attribute("x", x), Attribute("y", y)]
        if anchor != .start { attributes.append(Attribute("text-anchor", anchor.rawValue)) }
        if !style.isEmpty { attributes.append(.class(style)) }
        return .element("text", attributes, text: text)
    }

    static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) -> Markup {
        .element(
            "line",
            [Attribute("x1", x1), Attribute("y1", y1), Attribute("x2", x2), Attribute("y2", y2), .class(style)])
    }

    /// - Parameter title: what shows when a pointer rests on it.
    static func rect(
        _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String, title: String? = nil
    ) -> Markup {
        .element(
            "rect",
            [
                Attribute("x", x), Attribute("y", y), Attribute("width", max(width, 0)),
                Attribute("height", max(height, 0)), .class(style),
            ], title.map { Markup.element("title", text: $0) } ?? .empty)
    }

    /// Lines from point to point.
    static func path(_ points: [(x: Double, y: Double)], _ style: String) -> Markup {
        var data = ""
        for (index, point) in points.enumerated() {
            data += "\(index == 0 ? "M" : "L")\(point.x.coordinate) \(point.y.coordinate)"
        }
        // A path is not a name: it is as long as it has to be.
        return points.isEmpty ? .empty : .element("path", [Attribute(drawing: data), .class(style)])
    }

    /// A sign that tells a series from others without its colour.
    static func marker(_ index: Int, _ x: Double, _ y: Double, _ style: String, title: String? = nil) -> Markup {
        let title = title.map { Markup.element("title", text: $0) } ?? .empty
        let size = 4.5
        func shape(_ corners: [(Double, Double)]) -> Markup {
            let points = corners.map { "\((x + $0.0 * size).coordinate),\((y + $0.1 * size).coordinate)" }
            return .element("polygon", [Attribute("points", points.joined(separator: " ")), .class(style)], title)
        }
        switch index % 6 {
        case 0:
            return .element(
                "circle", [Attribute("cx", x), Attribute("cy", y), Attribute("r", size), .class(style)], title)
        case 1: return shape([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
        case 2: return shape([(0, -1.1), (1.1, 0.9), (-1.1, 0.9)])
        case 3: return shape([(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)])
        case 4: return shape([(-1.1, -0.9), (1.1, -0.9), (0, 1.1)])
        default:
            return shape([
                (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4), (0.4, 1.2), (-0.4, 1.2),
                (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4),
            ])
        }
    }

    /// A text that fits into a width, with an ellipsis where it does not.
    static func fitted(_ text: String, _ width: Double, isBold: Bool = false) -> String {
        let text = text.visible()
        let most = max(Int(width / (isBold ? boldWidth : characterWidth)), 3)
        return text.unicodeScalars.count <= most ? text : String(text.unicodeScalars.prefix(most - 1)) + "…"
    }

    /// How wide a text is at most.
    static func width(_ text: String, isBold: Bool = false) -> Double {
        Double(text.unicodeScalars.count) * (isBold ? boldWidth : characterWidth)
    }
}

extension Attribute {
    /// The data of a path: letters and numbers of this program.
    fileprivate init(drawing data: String) {
        name = "d"
        value = data
    }
}

/// The box of a chart with its axes.
struct Plot {
    /// Borders.
    let (left, top, right, bottom): (Double, Double, Double, Double)

    /// Lines across at an axis' ticks, their labels below, and what the axis counts.
    func horizontalAxis(_ scale: Scale, ticks count: Int, label: (Double) -> String, title: String) -> Markup {
        var markup = Markup.empty
        var taken = -Double.infinity
        for tick in scale.ticks(about: count) {
            let x = scale(tick)
            markup += Ink.line(x, top, x, bottom, tick == 0 ? "zero" : "grid")
            let text = label(tick)
            let half = Ink.width(text) / 2
            // The first and the last one stay within the picture.
            let middle = min(max(x, half), max(right + 8 - half, half))
            guard middle - half > taken + 4 else { continue }
            taken = middle + half
            markup += Ink.text(text, middle, bottom + 16, .middle, "tick")
        }
        return markup + Ink.text(title, right, bottom + 33, .end, "axis")
    }

    /// Lines across at an axis' ticks, their labels to the left, and what the axis counts above.
    func verticalAxis(_ scale: Scale, ticks count: Int, label: (Double) -> String, title: String) -> Markup {
        var markup = Markup.empty
        for tick in scale.ticks(about: count) {
            let y = scale(tick)
            markup += Ink.line(left, y, right, y, tick == 0 ? "zero" : "grid")
            markup += Ink.text(label(tick), left - 6, y + 4, .end, "tick")
        }
        return markup + Ink.text(title, 0, top - 10, .start, "axis")
    }
}

/// What says which sign stands for what: in rows above a chart.
struct Legend {
    let names: [String]
    let width: Double
    private static let rowHeight = 18.0

    /// The rows, and how high they are.
    func draw(_ sign: (Int, Double, Double) -> Markup) -> Drawing {
        var markup = Markup.empty
        var (x, y) = (0.0, 12.0)
        for (index, name) in names.enumerated() {
            let text = Ink.fitted(name, width - 40)
            let room = 30 + Ink.width(text) + 12
            if x > 0, x + room > width { (x, y) = (0, y + Self.rowHeight) }
            markup += sign(index, x, y - 4) + Ink.text(text, x + 30, y)
            x += room
        }
        return Drawing(height: names.isEmpty ? 0 : y + 10, content: markup)
    }
}
