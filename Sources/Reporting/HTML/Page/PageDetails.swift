import GRDB
import Operations

/// The sections about single places in the log, its domains, and what it lacks. Reads a few rows of each.
struct DetailSections {
    let database: Database
    let data: PageData
    let answer: PageAnswer
    /// How many rows a table of these has.
    private static let (fewest, most) = (10, 30)

    /// The policy whose windows are shown one by one: the answer's, else the first that has any.
    private var policy: PageData.Policy? {
        if let policy = answer.policy, policy.closed > 0 { return policy }
        return data.policies.first { $0.closed > 0 }
    }

    /// The longest windows, what was reused inside, faults; `nil` where there is none of them.
    func places() throws -> PageSection? {
        var content = Markup.empty
        if let policy {
            content += try windows(policy)
            content += try hazards(policy)
        }
        content += try faults()
        guard !content.source.isEmpty else { return nil }
        return PageSection(
            anchor: Anchor("places"), title: "Where in the log", content: content)
    }

    private func windows(_ policy: PageData.Policy) throws -> Markup {
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT * FROM what_was_stale WHERE id IN (
                    SELECT id FROM stale_window WHERE replay = ? AND closed_ns IS NOT NULL AND NOT uncertain
                    ORDER BY closed_ns - opened_ns DESC, operation, iova LIMIT ?
                ) ORDER BY length_ns DESC, id
                """, arguments: [policy.id, Self.fewest])
        guard !rows.isEmpty else { return .empty }
        let table = PageTable(
            caption:
                "The longest stale windows under \(policy.label); lines are those of \(data.log.string("source").visible(atMost: 100))",
            columns: [
                .init(title: "IOVA", isNumber: false), .init(title: "Length", unit: "ms"), .init(title: "Pages"),
                .init(title: "Unmapped by", isNumber: false), .init(title: "Device or domain", isNumber: false),
                .init(title: "Ended by", isNumber: false), .init(title: "Unmapped at", isNumber: false),
                .init(title: "Evidence", isNumber: false),
            ],
            rows: rows.map { row in
                let device = row.string("device")
                return [
                    .text(row.string("iova")), .milliseconds(row.whole("length_ns")),
                    .whole(row.whole("size").map { ($0 >> 12) + ($0 & 4095 == 0 ? 0 : 1) }), .text(row.string("task")),
                    .text(device.isEmpty ? row.string("domain") : device), .text(row.string("ended")),
                    .text(place(row.string("unmap_place"))), .evidence(row.string("evidence")),
                ]
            })
        return .element("h3", text: "The longest windows") + table.markup()
            + .element(
                "p", [.class("note")],
                text: "Of the other policies: iommu-trace report top --trace \(data.trace.name.visible(atMost: 60))")
    }

    private func hazards(_ policy: PageData.Policy) throws -> Markup {
        guard let count = policy.hazards, count > 0 else { return .empty }
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT * FROM what_was_reused_while_stale WHERE id IN (
                    SELECT hazard.id FROM hazard JOIN hazard_kind ON hazard_kind.id = hazard.kind
                    WHERE hazard.replay = ? AND hazard_kind.is_hazard ORDER BY hazard.id LIMIT ?
                ) ORDER BY id
                """, arguments: [policy.id, Self.fewest])
        let table = PageTable(
            caption: "The first of \(Number.whole(count)) hazards under \(policy.label)",
            columns: [
                .init(title: "IOVA", isNumber: false), .init(title: "What", isNumber: false),
                .init(title: "After", unit: "ms"), .init(title: "Unmapped by", isNumber: false),
                .init(title: "Used again by", isNumber: false), .init(title: "Unmapped at", isNumber: false),
                .init(title: "Used again at", isNumber: false), .init(title: "Evidence", isNumber: false),
            ],
            rows: rows.map { row in
                [
                    .text(row.string("iova")), .text(row.string("kind").replacing("_", with: " ")),
                    .milliseconds(row.whole("age_ns")), .text(row.string("task")), .text(row.string("reused_by")),
                    .text(place(row.string("unmap_place"))), .text(place(row.string("reuse_place"))),
                    .evidence(row.string("evidence")),
                ]
            })
        return .element("h3", text: "What was used again while it was stale")
            + .element(
                "p",
                text:
                    "Pages and addresses that somebody else got while a device could still reach them, and accesses inside a window."
            )
            + table.markup()
    }

    /// A place in the log: its line is enough where the file is the one that the table names.
    private func place(_ place: String) -> String {
        let file = data.log.string("source") + ":"
        return place.hasPrefix(file) ? "line " + place.dropFirst(file.count) : place
    }

    /// The report of faults, where this program has one. It goes through the operations, so only where the log has any.
    private func faults() throws -> Markup {
        guard let report = Report.named("faults"),
            try Bool.fetchOne(
                database,
                sql: "SELECT EXISTS (SELECT 1 FROM kind_count WHERE trace = ? AND stage = 'operation' AND kind = ?)",
                arguments: [data.trace.id, Operation.Kind.ioPageFault.rawValue]) == true
        else { return .empty }
        let rows = try Row.fetchCursor(
            database, sql: report.sql, arguments: report.arguments(trace: data.trace.name, by: nil, nil))
        var found: [Row] = []
        while found.count < Self.fewest, let row = try rows.next() { found.append(row.copy()) }
        guard !found.isEmpty else { return .empty }
        return .element("h3", text: "Faults")
            + PageTable.any(
                "The first faults of the log, and what led to them", found, leavingOut: report.columnsLeftOut
            ).markup()
    }

    /// The domains with the most unmap calls, and the devices.
    func domains() throws -> PageSection {
        var content = Markup.empty
        let count = data.trace.domains.count
        let rows = try domainRows()
        content += domainTable(rows, count)
        if rows.count < count {
            content += .element(
                "p", [.class("note")],
                text:
                    "\(Number.count(Int64(count - rows.count), "more domain")): iommu-trace report domains --trace \(data.trace.name.visible(atMost: 60))"
            )
        }
        if let policy {
            content += try members("device", "devices", policy)
            content += try members("task", "tasks", policy)
        }
        return PageSection(anchor: Anchor("domains"), title: "Domains and devices", content: content)
    }

    private func domainRows() throws -> [Row] {
        let replay = answer.policy?.id ?? data.policies.first?.id
        let order =
            replay == nil
            ? "(SELECT total(operations) FROM domain_grade WHERE domain = domain.id)"
            : "coalesce(replay_domain.unmap_calls, 0)"
        return try Row.fetchAll(
            database,
            sql: """
                SELECT domain.*, replay_domain.policy, replay_domain.unmap_calls, replay_domain.flushes,
                    replay_domain.evidence AS flushes_evidence, stale_total.p99_ns, stale_total.exposure_page_seconds,
                    (SELECT group_concat(name, ' ') FROM (
                        SELECT DISTINCT device.name FROM attachment JOIN device ON device.id = attachment.device
                        WHERE attachment.domain = domain.id ORDER BY device.name LIMIT 8)) AS devices,
                    (SELECT group_concat(operations || ' ' || name, ', ') FROM (
                        SELECT domain_grade.operations, grade.name
                        FROM domain_grade JOIN grade ON grade.id = domain_grade.grade
                        WHERE domain_grade.domain = domain.id ORDER BY grade.id)) AS grades
                FROM domain
                LEFT JOIN replay_domain ON replay_domain.domain = domain.id AND replay_domain.replay = ?1
                LEFT JOIN stale_total ON stale_total.replay = ?1 AND stale_total.told_by = 'domain'
                    AND stale_total.member = domain.id
                WHERE domain.trace = ?2 ORDER BY \(order) DESC, domain.id LIMIT ?3
                """, arguments: [replay, data.trace.id, Self.most])
    }

    private func domainTable(_ rows: [Row], _ count: Int) -> Markup {
        let of = answer.policy.map { "; flushes, p99 and exposure are those under \($0.label)" } ?? ""
        return PageTable(
            caption: "\(rows.count < count ? "The busiest of " : "")\(Number.count(Int64(count), "domain"))\(of)",
            columns: [
                .init(title: "Domain", isNumber: false), .init(title: "Known by", isNumber: false),
                .init(title: "Kind", isNumber: false), .init(title: "Mode", isNumber: false),
                .init(title: "Devices", isNumber: false), .init(title: "Unmap calls"), .init(title: "Flushes"),
                .init(title: "p99", unit: "ms"), .init(title: "Exposure", unit: "page-s"),
                .init(title: "Mode because", isNumber: false),
            ],
            rows: rows.map { row in
                let grades = row.string("grades")
                let mode = row.string("mode")
                return [
                    .text(row.string("name")),
                    .text(row.string("evidence") + (grades.isEmpty ? "" : ": \(grades)")),
                    .text("\(row.string("kind")) (\(row.string("kind_evidence")))"),
                    .text(mode == "unknown" ? mode : "\(mode) (inferred)"), .optional(row.string("devices")),
                    .whole(row.whole("unmap_calls")), .whole(row.whole("flushes")), .milliseconds(row.whole("p99_ns")),
                    .real(row.real("exposure_page_seconds"), 3), .text(row.string("mode_reason")),
                ]
            }
        ).markup()
    }

    /// Who leaves the most exposure under a policy.
    private func members(_ word: String, _ plural: String, _ policy: PageData.Policy) throws -> Markup {
        let name = word == "device" ? "device.name" : "task.comm || '-' || task.pid"
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT coalesce(\(name), 'not told by the log') AS name, stale_total.*
                FROM stale_total LEFT JOIN \(word) ON \(word).id = stale_total.member
                WHERE replay = ? AND told_by = ? AND windows > 0
                ORDER BY exposure_page_seconds DESC, member LIMIT ?
                """, arguments: [policy.id, word, Self.fewest])
        guard !rows.isEmpty else { return .empty }
        return .element("h3", text: "By \(word)")
            + PageTable(
                caption: "The \(plural) with the most exposure under \(policy.label), at most \(Self.fewest)",
                columns: [
                    .init(title: word.prefix(1).uppercased() + word.dropFirst(), isNumber: false),
                    .init(title: "Windows"), .init(title: "p50", unit: "ms"), .init(title: "p99", unit: "ms"),
                    .init(title: "max", unit: "ms"), .init(title: "Exposure", unit: "page-s"),
                    .init(title: "Most at once", unit: "pages"), .init(title: "Evidence", isNumber: false),
                ],
                rows: rows.map { row in
                    [
                        .text(row.string("name")), .whole(row.whole("windows")), .milliseconds(row.whole("p50_ns")),
                        .milliseconds(row.whole("p99_ns")), .milliseconds(row.whole("max_ns")),
                        .real(row.real("exposure_page_seconds"), 3), .whole(row.whole("peak_stale_pages")),
                        .evidence(policy.evidence),
                    ]
                }
            ).markup()
    }
}
