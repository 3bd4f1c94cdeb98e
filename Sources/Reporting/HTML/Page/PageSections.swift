import GRDB

/// A section of the page: a heading and what stands below it.
struct PageSection {
    let anchor: Anchor
    let title: String
    let content: Markup

    func markup() -> Markup {
        .element("section", [.id(anchor), Attribute("aria-labelledby", anchor.part("heading").name)]) {
            Markup.element("h2", [.id(anchor.part("heading"))], text: title)
            content
        } + .newLine
    }
}

/// The sections about policies.
struct PolicySections {
    let data: PageData
    let answer: PageAnswer

    /// What each policy costs.
    func flushes() -> PageSection {
        PageSection(anchor: Anchor("cost"), title: "What each policy costs", content: costContent())
    }

    @MarkupBuilder private func costContent() -> Markup {
        PageFigures(data: data).flushes()?.markup()
        savings().markup()
        if data.policiesLeftOut > 0 {
            Markup.element(
                "p", [.class("note")],
                text:
                    "\(Number.count(Int64(data.policiesLeftOut), "more replay")) of this log, of parts of it or beyond the first \(PageData.mostPolicies), in: iommu-trace report savings"
            )
        }
        list(data.notes.cost + data.notes.choices)
        commands()?.markup()
        caches()?.markup()
        list(data.notes.caches(data.policies.filter { $0.savings.whole("iotlb_hits") != nil }))
    }

    private func savings() -> PageTable {
        let first = data.policies.first
        let hasDetached = data.policies.contains { $0.counts.detachedCalls > 0 }
        let calls = Number.count(first?.attachedCalls ?? 0, "unmap call")
        return PageTable(
            caption:
                "Flushes, and how many are saved against one for each of \(calls)\(hasDetached ? " with a device attached" : "")",
            columns: [.init(title: "Policy", isNumber: false), .init(title: "Flushes")]
                + (hasDetached ? [.init(title: "of them", unit: "no device")] : [])
                + [
                    .init(title: "Pending"), .init(title: "Saved"), .init(title: "Saved", unit: "%"),
                    .init(title: "Flushes", unit: "per s"), .init(title: "Evidence", isNumber: false),
                ],
            rows: data.policies.map { policy in
                let row = policy.savings
                let detached = policy.flushes.map { _ in policy.counts.detachedFlushes }
                return [.text(policy.label), .whole(policy.flushes)] + (hasDetached ? [.whole(detached)] : []) + [
                    .whole(row.whole("flushes_pending")), .whole(policy.saved), .real(policy.savedPercent, 2),
                    .real(row.real("flushes_per_second"), 1), .evidence(policy.evidence),
                ]
            })
    }

    /// Where a hardware profile was chosen.
    private func commands() -> PageTable? {
        let rows = data.policies.filter { $0.savings.whole("commands") != nil }
        guard !rows.isEmpty else { return nil }
        return PageTable(
            caption: "Invalidation commands that these flushes become under a hardware profile",
            columns: [
                .init(title: "Policy", isNumber: false), .init(title: "Hardware", isNumber: false),
                .init(title: "Commands"), .init(title: "of them domain"), .init(title: "Waits"),
                .init(title: "to device TLBs"), .init(title: "Pages named"), .init(title: "not asked for"),
                .init(title: "Evidence", isNumber: false),
            ],
            rows: rows.map { policy in
                let row = policy.savings
                return [.text(policy.label), .text(row.string("hardware"))]
                    + [
                        "commands", "domain_commands", "waits", "device_tlb_commands", "pages_invalidated",
                        "over_invalidated_pages",
                    ].map { .whole(row.whole($0)) } + [.evidence(row.string("hardware_evidence"))]
            })
    }

    /// Where an IOTLB was simulated.
    private func caches() -> PageTable? {
        let rows = data.policies.filter { $0.savings.whole("iotlb_hits") != nil }
        guard !rows.isEmpty else { return nil }
        return PageTable(
            caption: "A simulated IOTLB under these commands: no bound, and it rests on what fills it",
            columns: [
                .init(title: "Policy", isNumber: false), .init(title: "IOTLB", isNumber: false),
                .init(title: "filled by", isNumber: false), .init(title: "Hits"), .init(title: "Misses"),
                .init(title: "Stale hits"), .init(title: "Stale entries"), .init(title: "Live entries killed"),
                .init(title: "Evidence", isNumber: false),
            ],
            rows: rows.map { policy in
                let row = policy.savings
                return [.text(policy.label), .text(row.string("iotlb")), .text(row.string("accesses"))]
                    + ["iotlb_hits", "iotlb_misses", "stale_hits", "stale_entries", "live_entries_killed"].map {
                        .whole(row.whole($0))
                    } + [.evidence(row.string("iotlb_evidence"))]
            })
    }

    /// What each policy exposes.
    func exposure() -> PageSection {
        PageSection(anchor: Anchor("exposure"), title: "What each policy exposes", content: exposureContent())
    }

    @MarkupBuilder private func exposureContent() -> Markup {
        Markup.element(
            "p",
            text:
                "A stale window lasts from an unmap to the flush that covers it: for that long a device may still reach the page. Each is an upper bound, as if an IOTLB lost nothing by itself. Exposure is stale pages times time."
        )
        let figures = PageFigures(data: data)
        if data.policies.contains(where: \.opensWindows) { windows().markup() }
        list(data.notes.exposure)
        figures.lengths()?.markup()
        figures.timeline()?.markup()
    }

    private func windows() -> PageTable {
        PageTable(
            caption: "Stale windows under each policy that leaves any",
            columns: [
                .init(title: "Policy", isNumber: false), .init(title: "Windows"), .init(title: "p50", unit: "ms"),
                .init(title: "p99", unit: "ms"), .init(title: "max", unit: "ms"),
                .init(title: "Exposure", unit: "page-s"),
                .init(title: "Most at once", unit: "pages"), .init(title: "Hazards", unit: "pages"),
                .init(title: "Evidence", isNumber: false),
            ],
            rows: data.policies.filter(\.opensWindows).map { policy in
                let row = policy.windows
                let lengths = ["p50_ns", "p99_ns", "max_ns"].map { data.length(row.whole($0)) }
                let exposure = data.hasTimes ? policy.exposure : nil
                return [.text(policy.label), .whole(row.whole("windows"))] + lengths + [
                    .exposure(exposure, isMore: policy.isExposureMore), .whole(row.whole("peak_stale_pages")),
                    .whole(policy.hazards),
                    .evidence(policy.evidence),
                ]
            })
    }

    private func list(_ notes: [ReplayNote]) -> Markup? { Self.list(notes.map(\.sentence)) }

    /// Sentences one below the other.
    static func list(_ texts: [String]) -> Markup? {
        guard !texts.isEmpty else { return nil }
        return .element("ul", [.class("notes")]) { for text in texts { Markup.element("li", [], .prose(text)) } }
    }
}
