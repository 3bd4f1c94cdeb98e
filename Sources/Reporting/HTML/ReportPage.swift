import GRDB
import TraceStore

/// One page about one trace, to be read and passed on: the answer, figures with their numbers, and what they rest on. It is
/// complete in itself, holds no script, and loads nothing. The same database makes the same bytes.
public enum ReportPage {
    /// Writes the page.
    ///
    /// - Parameters:
    ///   - trace: a trace's name; `nil` for the newest.
    ///   - program: the program with its version, which the page names.
    public static func write(from store: TraceStore, trace: String?, program: String, to output: TextOutput) throws {
        try store.read { database in
            let data = try PageData(database, trace: trace, path: store.path)
            output.print(try page(database, data, program).source, terminator: "")
        }
    }

    private static func page(_ database: Database, _ data: PageData, _ program: String) throws -> Markup {
        let faults = try PageFaults(database, data)
        let answer = PageAnswer(data, faults)
        let policies = PolicySections(data: data, answer: answer)
        let details = DetailSections(database: database, data: data, answer: answer, faults: faults)
        let health = HealthSections(database: database, data: data, program: program)
        var sections: [PageSection] = []
        if (data.policies.first?.calls ?? 0) > 0 {
            sections += [policies.flushes(), policies.exposure()]
            if let figure = try PageChoice(database, data).figure() { sections.append(choice(figure)) }
        }
        // A log with faults is read for these.
        if let places = try details.places() { sections.insert(places, at: faults.count > 0 ? 0 : sections.count) }
        sections += [try details.domains(), try health.health(), try health.evidence()]
        return .doctype
            + .element("html", [Attribute("lang", "en")]) {
                head(data)
                Markup.element("body") {
                    Markup.element("a", [.class("skip"), .link(to: Anchor("main"))], text: "Skip to the figures")
                    header(data, answer, faults)
                    contents(sections)
                    Markup.element("main", [.id(Anchor("main")), Attribute("tabindex", "-1")]) {
                        for section in sections { section.markup() }
                    }
                }
            } + .newLine
    }

    private static func choice(_ figure: PageFigure) -> PageSection {
        PageSection(
            anchor: Anchor("choice"), title: "Which setting to pick",
            content: .element(
                "p",
                text:
                    "Each flush that is spared is paid for in exposure. Of two settings on the line neither is better; what lies off the line is worse in both than one on it, or no better."
            ) + figure.markup())
    }

    private static func head(_ data: PageData) -> Markup {
        .element("head") {
            Markup.element("meta", [Attribute("charset", "utf-8")])
            Markup.element(
                "meta", [Attribute("name", "viewport"), Attribute("content", "width=device-width, initial-scale=1")])
            Markup.element("meta", [Attribute("name", "color-scheme"), Attribute("content", "light dark")])
            // Were there ever a hole, nothing could come through it: no script, no load, no form.
            Markup.element(
                "meta",
                [
                    Attribute("http-equiv", "Content-Security-Policy"),
                    Attribute(
                        "content", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"),
                ])
            Markup.element("title", text: "\(data.trace.name.visible(atMost: 80)): TLB flushes and stale windows")
            PageStyle.page
        }
    }

    private static func header(_ data: PageData, _ answer: PageAnswer, _ faults: PageFaults) -> Markup {
        let what = faults.count > 0 ? "Faults, TLB flushes and stale windows" : "TLB flushes and stale windows"
        return .element("header") {
            Markup.element("p", [.class("name")], text: "iommu-trace")
            Markup.element("h1", text: "\(what) of \(data.trace.name.visible(atMost: 120))")
            for (index, statement) in answer.statements.enumerated() {
                Markup.element("p", [.class(index == 0 ? "answer" : "further")]) {
                    for (index, sentence) in statement.sentences.enumerated() {
                        Markup.prose(index == 0 ? sentence : " " + sentence)
                    }
                }
                basis(statement)
            }
            facts(data, faults)
        }
    }

    private static func basis(_ statement: PageAnswer.Statement) -> Markup {
        guard let evidence = statement.evidence else { return .empty }
        return .element("p", [.class("basis")]) {
            PageTable.grade(evidence)
            " is the weakest evidence in this sentence; "
            Markup.element("a", [.link(to: Anchor("evidence"))], text: "what that means")
            "."
        }
    }

    private static func facts(_ data: PageData, _ faults: PageFaults) -> Markup {
        let log = data.log
        let length = (log.whole("last_ns") ?? 0).subtractingSaturated(log.whole("first_ns") ?? 0)
        var facts = [
            ("Length of the log", data.hasTimes ? Number.time(Double(length)) : "no times"),
            ("Events", Number.whole(log.whole("events") ?? 0)),
        ]
        if faults.count > 0 { facts.append(("Faults", Number.whole(faults.count))) }
        if let first = data.policies.first {
            facts.append(("Unmap calls", Number.whole(first.calls)))
            if first.counts.detachedCalls > 0 {
                facts.append(("Of them with no device attached", Number.whole(first.counts.detachedCalls)))
            }
            if let pages = first.savings.whole("pages_unmapped") {
                facts.append(("Pages unmapped, 4 KiB", Number.whole(pages)))
            }
            facts.append(("What the domains did", first.savings.string("mode")))
        }
        facts.append(("Domains", Number.whole(Int64(data.trace.domains.count))))
        if let recorded = data.policies.first(where: { $0.name == "recorded" })?.flushes {
            facts.append(("Flushes recorded", Number.whole(recorded)))
        }
        return .element("dl", [.class("facts")]) {
            for (name, value) in facts {
                Markup.element("div") {
                    Markup.element("dt", text: name)
                    Markup.element("dd", text: value)
                }
            }
        }
    }

    private static func contents(_ sections: [PageSection]) -> Markup {
        .element("nav", [Attribute("aria-label", "Contents")]) {
            Markup.element("ul") {
                for section in sections {
                    Markup.element("li") { Markup.element("a", [.link(to: section.anchor)], text: section.title) }
                }
            }
        }
    }
}

/// One figure of the page as a picture file.
public enum ReportPlot: String, CaseIterable, Sendable {
    case flushes
    case windows
    case timeline
    case pareto

    /// The picture; `nil` if there is nothing to draw.
    ///
    /// - Parameter trace: a trace's name; `nil` for the newest.
    public func svg(from store: TraceStore, trace: String?) throws -> Markup? {
        try store.read { database in
            let data = try PageData(database, trace: trace, path: store.path)
            let figures = PageFigures(data: data)
            let figure =
                switch self {
                case .flushes: figures.flushes()
                case .windows: figures.lengths()
                case .timeline: figures.timeline()
                case .pareto: try PageChoice(database, data).figure()
                }
            return figure?.document()
        }
    }
}
