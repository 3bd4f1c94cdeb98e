/// A chart with its title, what it shows in words, and its numbers in a table.
struct PageFigure {
    let anchor: Anchor
    /// What it is.
    let title: String
    /// What it shows, for those who do not see it, and how to read it.
    let description: String
    let chart: any Chart
    /// The numbers.
    let tables: [PageTable]
    /// How the numbers are known.
    let evidence: [String]

    func markup() -> Markup {
        .element("figure", [.id(anchor)]) {
            Markup.element("figcaption") {
                Markup.element("strong", text: title)
                " "
                for word in evidence { PageTable.grade(word) + .text(" ") }
                Markup.element("span", [.class("how")], text: description)
            }
            Markup.newLine
            for width in ChartWidth.allCases { svg(width) + .newLine }
            Markup.element("details") {
                Markup.element("summary", text: "The numbers behind this figure")
                for table in tables { table.markup() }
            }
        } + .newLine
    }

    private func svg(_ width: ChartWidth) -> Markup {
        let drawing = chart.draw(width)
        let (title, description) = (
            anchor.part(width == .wide ? "title" : "title-narrow"), anchor.part(width == .wide ? "desc" : "desc-narrow")
        )
        return .element(
            "svg",
            [
                .class("chart \(width.name)"), Attribute("viewBox", Self.box(width, drawing)), Attribute("role", "img"),
                Attribute("aria-labelledby", title.name), Attribute("aria-describedby", description.name),
            ]
        ) {
            Markup.element("title", [.id(title)], text: self.title)
            Markup.element("desc", [.id(description)], text: self.description)
            drawing.content
        }
    }

    /// The chart as a picture file of its own.
    func document() -> Markup {
        let drawing = chart.draw(.wide)
        let head = 34.0
        return .element(
            "svg",
            [
                Attribute("xmlns", "http://www.w3.org/2000/svg"), .class("chart"),
                Attribute(
                    "viewBox",
                    "-16 -\(head.coordinate) \((ChartWidth.wide.units + 32).coordinate) \((drawing.height + head + 8).coordinate)"
                ),
                Attribute("width", ChartWidth.wide.units + 32), Attribute("height", drawing.height + head + 8),
                Attribute("role", "img"), Attribute("aria-labelledby", anchor.part("title").name),
            ]
        ) {
            Markup.element("title", [.id(anchor.part("title"))], text: title)
            Markup.element("desc", text: description)
            PageStyle.picture
            Ink.rect(-16, -head, ChartWidth.wide.units + 32, drawing.height + head + 8, "ground")
            Ink.text(title, 0, -14, .start, "heading")
            drawing.content
        } + .newLine
    }

    private static func box(_ width: ChartWidth, _ drawing: Drawing) -> String {
        "0 0 \(width.units.coordinate) \(drawing.height.coordinate)"
    }
}
