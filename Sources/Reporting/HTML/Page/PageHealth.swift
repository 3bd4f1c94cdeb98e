import GRDB

/// The sections about the log itself: what it lacks, and what all numbers rest on.
struct HealthSections {
    let database: Database
    let data: PageData
    /// The program with its version.
    let program: String

    func health() throws -> PageSection {
        PageSection(anchor: Anchor("health"), title: "What the log lacks", content: try healthContent())
    }

    private func healthContent() throws -> Markup {
        var content = Markup.empty
        content += .element("h3", text: "Lost events")
        content += PolicySections.list(try TraceDescription.losses(data.log, data.trace.id, database)) ?? .empty
        let gaps = try TraceDescription.gaps(data.log, data.trace.id, database)
        content += .element("h3", text: "What it cannot tell")
        content +=
            PolicySections.list(gaps)
            ?? .element("p", text: "Nothing that these figures need is missing from it.")
        content += .element("h3", text: "Lines that could not be taken as they stand")
        content += try issues()
        content += try contradictions()
        return content
    }

    private func issues() throws -> Markup {
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT parse_issue_count.reason, parse_issue_count.count, first.line, first.excerpt
                FROM parse_issue_count
                LEFT JOIN (
                    SELECT reason, min(id) AS id FROM parse_issue WHERE trace = ?1 GROUP BY reason
                ) AS earliest ON earliest.reason = parse_issue_count.reason
                LEFT JOIN parse_issue AS first ON first.id = earliest.id
                WHERE parse_issue_count.trace = ?1 ORDER BY parse_issue_count.count DESC, parse_issue_count.reason LIMIT 30
                """, arguments: [data.trace.id])
        guard !rows.isEmpty else { return .element("p", text: "None.") }
        return PageTable(
            caption: "Issues by reason, with the first line of each",
            columns: [
                .init(title: "Reason", isNumber: false), .init(title: "How many"), .init(title: "First at line"),
                .init(title: "What it says", isNumber: false),
            ],
            rows: rows.map {
                [
                    .text($0.string("reason")), .whole($0.whole("count")), .whole($0.whole("line")),
                    .text($0.string("excerpt")),
                ]
            }
        ).markup()
    }

    /// Where what was told of the recording and its events differ.
    private func contradictions() throws -> Markup {
        let texts = try MetadataDescription.contradictions(data.trace.id, database)
        guard let list = PolicySections.list(texts.map { $0 + "." }) else { return .empty }
        return .element("h3", text: "Contradictions") + list
    }

    func evidence() throws -> PageSection {
        PageSection(anchor: Anchor("evidence"), title: "What these numbers rest on", content: try evidenceContent())
    }

    private static let grades = [
        ("recorded", "the log says so"), ("inferred", "it follows from what the log says"),
        ("modelled", "it follows from a model of the kernel’s IOMMU layer"),
        ("assumed", "it rests on something that no log tells, such as page sizes or the timer’s HZ"),
    ]

    private func evidenceContent() throws -> Markup {
        var content = PageTable(
            caption: "Each number’s evidence is the weakest of what it follows from",
            columns: [.init(title: "Evidence", isNumber: false), .init(title: "Meaning", isNumber: false)],
            rows: Self.grades.map { [.evidence($0.0), .text($0.1)] }
        ).markup()
        if !data.policies.isEmpty { content += options() }
        content += source()
        content += constants(try constantRows())
        return content
    }

    private func options() -> Markup {
        .element("h3", text: "The replays")
            + PageTable(
                caption: "What each replay was asked for and rests on",
                columns: [
                    .init(title: "Asked for", isNumber: false), .init(title: "Policy", isNumber: false),
                    .init(title: "Options", isNumber: false), .init(title: "Flushes counted at", isNumber: false),
                    .init(title: "Attachment", isNumber: false), .init(title: "Evidence", isNumber: false),
                ],
                rows: data.policies.map { policy in
                    [
                        .text(policy.requested), .text(policy.name), .optional(policy.options),
                        .text(policy.savings.string("layer")), .text(policy.windows.string("attached")),
                        .evidence(policy.evidence),
                    ]
                }
            ).markup()
            + .element(
                "p", [.class("note")],
                text:
                    "The queues’ timers run on the kernel’s timer wheel at hz ticks a second. page-sizes decide which callbacks per-page and vfio see. Percentiles are of closed windows, by nearest rank, within 0.8 %."
            )
    }

    private func source() -> Markup {
        let log = data.log
        return .element("h3", text: "The log and the program")
            + PageTable(
                caption: "Where this page comes from",
                columns: [.init(title: "What", isNumber: false), .init(title: "Value", isNumber: false)],
                rows: [
                    [.text("Log"), .text(log.string("source"))],
                    [.text("XXH64 of its decompressed bytes"), .text(log.string("content_hash"))],
                    [.text("Length, decompressed"), .text(Number.bytes(log.whole("content_bytes") ?? 0))],
                    [.text("Lines"), .whole(log.whole("lines"))], [.text("Events"), .whole(log.whole("events"))],
                    [
                        .text("Times, on its trace clock"),
                        .text(
                            data.hasTimes
                                ? "\(seconds(log.whole("first_ns"))) s to \(seconds(log.whole("last_ns"))) s" : "none"),
                    ],
                    [.text("Made by"), .text(program)],
                ]
            ).markup()
    }

    private func seconds(_ time: Int64?) -> String { Number.fixed(Double(time ?? 0) / 1e9, 6) }

    private func constantRows() throws -> [Row] {
        guard let report = Report.named("constants") else { return [] }
        return try Row.fetchAll(database, sql: report.sql, arguments: report.arguments(trace: nil, by: nil, nil))
    }

    private func constants(_ rows: [Row]) -> Markup {
        guard !rows.isEmpty else { return .empty }
        let table = PageTable(
            caption: "How long steps are taken to last in report costs: no number of this page uses them",
            columns: [
                .init(title: "Constant", isNumber: false), .init(title: "Low", unit: "ns"),
                .init(title: "Typical", unit: "ns"), .init(title: "High", unit: "ns"),
                .init(title: "Evidence", isNumber: false), .init(title: "Source", isNumber: false),
            ],
            rows: rows.map { row in
                [.text(row.string("constant"))] + ["low_ns", "typical_ns", "high_ns"].map { .plain(row.real($0)) }
                    + [.evidence(row.string("evidence")), .text(row.string("source"))]
            })
        return .element("h3", text: "Times")
            + .element(
                "p",
                text:
                    "Flush counts are the facts here. What they may be in time is a model, in iommu-trace report costs, from these constants:"
            )
            + .element("details") {
                Markup.element("summary", text: "The constants of report costs")
                table.markup()
            }
    }
}
