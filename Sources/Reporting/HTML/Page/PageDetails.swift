import GRDB

/// The sections about single places in the log, its domains, and what it lacks. Reads a few rows of each.
struct DetailSections {
    let database: Database
    let data: PageData
    let answer: PageAnswer
    let faults: PageFaults
    /// How many rows a table of these has.
    private static let (fewest, most) = (10, 30)

    /// The policy whose windows are shown one by one: the answer's, else the first that has any.
    private var policy: ReplayedPolicy? {
        if let policy = answer.policy, policy.opensWindows { return policy }
        return data.policies.first { $0.opensWindows }
    }

    /// Faults, the longest windows, what was reused inside; `nil` where there is none of them.
    func places() throws -> PageSection? {
        var content = faults.items(data)
        if let policy {
            content += try windows(policy)
            content += try hazards(policy)
        }
        guard !content.source.isEmpty else { return nil }
        return PageSection(
            anchor: Anchor("places"), title: "Where in the log", content: content)
    }

    private func windows(_ policy: ReplayedPolicy) throws -> Markup {
        guard data.hasTimes else { return .empty }
        // One that is open lasts at least until the end of the log.
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT
                    what_was_stale.*, closed_ns IS NULL AS is_open,
                    coalesce(closed_ns, (SELECT last_ns FROM replay WHERE id = ?1)) - opened_ns AS least_ns
                FROM what_was_stale
                WHERE id IN (
                    SELECT stale_window.id FROM stale_window JOIN replay ON replay.id = stale_window.replay
                    WHERE stale_window.replay = ?1 AND NOT stale_window.uncertain
                    ORDER BY coalesce(closed_ns, replay.last_ns) - opened_ns DESC, operation, iova LIMIT ?2
                ) ORDER BY least_ns DESC, id
                """, arguments: [policy.id, Self.fewest])
        let name = data.trace.name.visible(atMost: 60)
        let notKept = try openOnes(policy)
        guard let first = rows.first else {
            return notKept.isEmpty
                ? .empty
                : .element("h3", text: "The longest windows") + .element("p", [.class("note")], .prose(notKept))
        }
        // The log may show who had mapped what was unmapped.
        let hasMaps = first.hasColumn("mapped_by") && first.hasColumn("map_place")
        let hasOpen = rows.contains { $0.whole("is_open") == 1 }
        let table = PageTable(
            caption:
                "The longest stale windows under \(policy.label)\(hasOpen ? ", those open at the end of the log up to there" : ""); lines are those of \(data.log.string("source").visible(atMost: 100))",
            columns: [
                .init(title: "IOVA", isNumber: false), .init(title: "Length", unit: "ms"), .init(title: "Pages"),
                .init(title: "Device or domain", isNumber: false),
            ]
                + (hasMaps
                    ? [.init(title: "Mapped by", isNumber: false), .init(title: "Mapped at", isNumber: false)] : [])
                + [
                    .init(title: "Unmapped by", isNumber: false), .init(title: "Unmapped at", isNumber: false),
                    .init(title: "Ended by", isNumber: false), .init(title: "Evidence", isNumber: false),
                ],
            rows: rows.map { row in
                let device = row.string("device")
                let length = row.whole("least_ns")
                let isOpen = row.whole("is_open") == 1
                return [
                    .text(row.string("iova")),
                    isOpen ? .atLeast(milliseconds: length) : .milliseconds(length),
                    .whole(row.whole("size").map { ($0 >> 12) + ($0 & 4095 == 0 ? 0 : 1) }),
                    .text(device.isEmpty ? row.string("domain") : device),
                ]
                    + (hasMaps
                        ? [.optional(row.string("mapped_by")), .optional(data.place(row.string("map_place")))] : [])
                    + [
                        .text(row.string("task")), .text(data.place(row.string("unmap_place"))),
                        .text(row.string("ended")), .evidence(row.string("evidence")),
                    ]
            })
        let commands =
            "All that happened to an address: iommu-trace history \(first.string("iova")) --trace \(name). Windows of the other policies: iommu-trace report top --trace \(name)"
        return .element("h3", text: "The longest windows") + table.markup()
            + .element("p", [.class("note")], .prose(notKept.isEmpty ? commands : "\(notKept) \(commands)"))
    }

    /// What there is to say of open windows that the replay did not keep one by one; empty if it kept them.
    private func openOnes(_ policy: ReplayedPolicy) throws -> String {
        let isKept = try Bool.fetchOne(
            database, sql: "SELECT EXISTS (SELECT 1 FROM stale_window WHERE replay = ? AND closed_ns IS NULL)",
            arguments: [policy.id])
        guard policy.open > 0, isKept == false else { return "" }
        let longest = policy.counts.longestOpen.map { ", the longest for \(Number.exactTime($0)) by then" } ?? ""
        return
            "\(Number.count(policy.open, "window")) under \(policy.label.visible(atMost: 60)) \(policy.open == 1 ? "is" : "are") open when the log ends\(longest); to have open ones one by one: iommu-trace replay --windows all."
    }

    private func hazards(_ policy: ReplayedPolicy) throws -> Markup {
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
                    data.length(row.whole("age_ns")), .text(row.string("task")), .text(row.string("reused_by")),
                    .text(data.place(row.string("unmap_place"))), .text(data.place(row.string("reuse_place"))),
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
                    replay_domain.evidence AS flushes_evidence, stale_total.p99_ns,
                    \(Self.exposure) AS page_seconds, stale_total.censored + stale_total.uncertain AS more,
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

    /// Page-seconds of closed and, up to the end of the log, of open windows.
    private static let exposure = "stale_total.exposure_page_seconds + stale_total.censored_page_seconds"

    private func exposure(_ row: Row) -> PageTable.Cell {
        guard data.hasTimes else { return .missing }
        return .exposure(row.real("page_seconds"), isMore: (row.whole("more") ?? 0) > 0)
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
            ],
            rows: rows.map { row in
                let grades = row.string("grades")
                let mode = row.string("mode")
                return [
                    .text(row.string("name")),
                    .text(row.string("evidence") + (grades.isEmpty ? "" : ": \(grades)")),
                    .text("\(row.string("kind")) (\(row.string("kind_evidence")))"),
                    .text(mode == "unknown" ? mode : "\(mode) (inferred)"), .optional(row.string("devices")),
                    .whole(row.whole("unmap_calls")), .whole(row.whole("flushes")), data.length(row.whole("p99_ns")),
                    exposure(row),
                ]
            },
            notes: rows.map { $0.string("mode_reason").isEmpty ? "" : "Mode: \($0.string("mode_reason"))" }
        ).markup()
    }

    /// Who leaves the most exposure under a policy.
    private func members(_ word: String, _ plural: String, _ policy: ReplayedPolicy) throws -> Markup {
        let name = word == "device" ? "device.name" : "task.comm || '-' || task.pid"
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT
                    coalesce(\(name), 'not told by the log') AS name, stale_total.*,
                    \(Self.exposure) AS page_seconds, stale_total.censored + stale_total.uncertain AS more
                FROM stale_total LEFT JOIN \(word) ON \(word).id = stale_total.member
                WHERE replay = ? AND told_by = ? AND windows + censored + uncertain > 0
                ORDER BY page_seconds DESC, member LIMIT ?
                """, arguments: [policy.id, word, Self.fewest])
        guard !rows.isEmpty else { return .empty }
        return .element("h3", text: "By \(word)")
            + PageTable(
                caption: "The \(plural) with the most exposure under \(policy.label), at most \(Self.fewest)",
                columns: [
                    .init(title: word.prefix(1).uppercased() + word.dropFirst(), isNumber: false),
                    .init(title: "Windows"), .init(title: "Open", unit: "at the end"), .init(title: "p50", unit: "ms"),
                    .init(title: "p99", unit: "ms"),
                    .init(title: "max", unit: "ms"), .init(title: "Exposure", unit: "page-s"),
                    .init(title: "Most at once", unit: "pages"), .init(title: "Evidence", isNumber: false),
                ],
                rows: rows.map { row in
                    [
                        .text(row.string("name")), .whole(row.whole("windows")), .whole(row.whole("censored")),
                        data.length(row.whole("p50_ns")), data.length(row.whole("p99_ns")),
                        data.length(row.whole("max_ns")), exposure(row), .whole(row.whole("peak_stale_pages")),
                        .evidence(policy.evidence),
                    ]
                }
            ).markup()
    }
}
