/// The page's first sentence: what deferring would have saved, or did save, and what it exposed.
struct PageAnswer {
    /// In a sentence.
    let sentence: String
    /// The weakest evidence that it rests on; `nil` where there is no number.
    let evidence: String?
    /// The policy that it speaks of.
    let policy: PageData.Policy?

    /// What the data say, by what the recorded domains did.
    init(_ data: PageData) {
        guard let first = data.policies.first else {
            self.init(
                "This log was not replayed yet, so there is nothing to compare: run iommu-trace replay --trace "
                    + "\(data.trace.name.visible(atMost: 60)), then make this page again.")
            return
        }
        guard first.calls > 0 else {
            self.init("The log holds no unmap call, so no policy flushes anything and nothing becomes stale.")
            return
        }
        let mode = first.savings.string("mode")
        let recorded = data.policies.first { $0.name == "recorded" && $0.flushes != nil }
        if mode == "deferred", let recorded {
            self = .deferred(recorded, data)
        } else if let policy = Self.deferring(data.policies) {
            self = .deferring(policy, mode, data)
        } else if let recorded {
            self.init(
                "The recorded kernel made \(Self.flushes(recorded)); no policy that defers flushes was replayed "
                    + "to compare that with (iommu-trace replay --policy fast).", recorded.evidence, recorded)
        } else {
            self.init(
                "Without deferring, \(Self.calls(first.calls)) cost at least as many TLB flushes; no policy that "
                    + "defers them was replayed (iommu-trace replay --policy fast).", first.evidence, first)
        }
    }

    private init(_ sentence: String, _ evidence: String? = nil, _ policy: PageData.Policy? = nil) {
        (self.sentence, self.evidence, self.policy) = (sentence, evidence, policy)
    }

    /// The policy that stands for deferring: what the domain's owner would do, else the nearest to it.
    private static func deferring(_ policies: [PageData.Policy]) -> PageData.Policy? {
        let counted = policies.filter { $0.flushes != nil && !["per-page", "sync", "recorded"].contains($0.name) }
        return counted.first { ["fast", "lazy"].contains($0.requested) } ?? counted.first {
            $0.name.hasPrefix("queue=")
        }
            ?? counted.first { $0.name == "vfio" } ?? counted.first
    }

    /// The kernel deferred already.
    private static func deferred(_ policy: PageData.Policy, _ data: PageData) -> PageAnswer {
        let saved = policy.calls - (policy.flushes ?? 0)
        let isGuest = data.unmappingKinds == ["unmanaged"]
        let who = isGuest ? "The recorded owner of the domains (VFIO or its like)" : "The recorded kernel"
        let cost =
            saved > 0
            ? "saved \(whole(saved)) of \(whole(policy.calls)) TLB flushes (\(percent(policy)))"
            : "saved no TLB flush (\(whole(policy.flushes ?? 0)) for \(calls(policy.calls)))"
        return PageAnswer(
            "\(who) deferred its flushes already: against one for each unmap call that \(cost) and "
                + "\(exposure(policy, "left")).", policy.evidence, policy)
    }

    /// The kernel did not, or does not say.
    private static func deferring(_ policy: PageData.Policy, _ mode: String, _ data: PageData) -> PageAnswer {
        let saved = policy.calls - (policy.flushes ?? 0)
        let subject = "Deferring flushes \(words(policy))"
        let cost =
            saved > 0
            ? "saved \(whole(saved)) of \(whole(policy.calls)) TLB flushes (\(percent(policy)))"
            : "saved none of \(whole(policy.calls)) TLB flushes"
        let lead =
            switch mode {
            case "mixed": "Some recorded domains deferred their flushes and some did not. "
            case "strict": ""
            default: "What the recorded kernel did with its flushes, the log does not show. "
            }
        return PageAnswer(
            "\(lead)\(subject) would have \(cost), and \(exposure(policy, "left")).", policy.evidence, policy)
    }

    private static func words(_ policy: PageData.Policy) -> String {
        switch policy.name {
        case "queue=256,10ms": "as the kernel’s flush queue does"
        case "vfio": "as VFIO does"
        case _ where policy.name.contains("+"): "as the owner of each domain would (\(policy.name))"
        default: "by \(policy.name)"
        }
    }

    private static func exposure(_ policy: PageData.Policy, _ verb: String) -> String {
        guard let longest = policy.windows.whole("max_ns") else {
            return policy.opensWindows
                ? "\(verb) pages reachable beyond the end of the log" : "\(verb) no page reachable after its unmap"
        }
        let most = policy.windows.whole("p99_ns").map {
            ", 99 % of the windows for no longer than \(Number.time(Double($0)))"
        }
        return "\(verb) unmapped pages reachable for up to \(Number.time(Double(longest)))\(most ?? "")"
    }

    private static func percent(_ policy: PageData.Policy) -> String {
        Number.percent(100 * Double(policy.calls - (policy.flushes ?? 0)) / Double(max(policy.calls, 1)))
    }

    private static func whole(_ value: Int64) -> String { Number.whole(value) }
    private static func calls(_ value: Int64) -> String { Number.count(value, "unmap call") }
    private static func flushes(_ policy: PageData.Policy) -> String {
        "\(Number.count(policy.flushes ?? 0, "TLB flush", "TLB flushes")) for \(calls(policy.calls))"
    }
}
