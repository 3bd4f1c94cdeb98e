/// The page's first sentences: the log's faults, if it has any, and what deferring would have saved, or did save, and exposed.
struct PageAnswer {
    /// What is said, and how it is known.
    struct Statement {
        /// One after the other.
        let sentences: [String]
        /// The weakest evidence that they rest on; `nil` where there is no number.
        let evidence: String?
    }

    /// In order of their weight: the first one is the headline.
    let statements: [Statement]
    /// The policy that they speak of.
    let policy: ReplayedPolicy?

    /// What the data say: the faults, whatever was replayed, then the flushes, by what the recorded domains did.
    init(_ data: PageData, _ faults: PageFaults) {
        let (cost, policy) = Self.cost(data, besides: faults.count > 0)
        statements = [faults.statement, cost].compactMap { $0 }
        self.policy = policy
    }

    private static func cost(_ data: PageData, besides hasFaults: Bool) -> (Statement, ReplayedPolicy?) {
        guard let first = data.policies.first else {
            let what = hasFaults ? "what each policy costs and exposes is not known" : "there is nothing to compare"
            let command = "iommu-trace replay --trace \(data.trace.name.visible(atMost: 60))"
            return (
                Statement(
                    sentences: [
                        "This log was not replayed yet, so \(what): run \(command), then make this page again."
                    ], evidence: nil), nil
            )
        }
        guard first.calls > 0 else {
            return (
                Statement(
                    sentences: [
                        "The log holds no unmap call, so no policy flushes anything and nothing becomes stale."
                    ],
                    evidence: nil), nil
            )
        }
        let recorded = data.policies.first { $0.name == "recorded" && $0.flushes != nil }
        let mode = first.savings.string("mode")
        let policy = mode == "deferred" ? recorded ?? deferring(data.policies) : deferring(data.policies) ?? recorded
        var sentences = first.attachedCalls > 0 ? compare(policy, mode, data, first.attachedCalls) : []
        if let sentence = detached(first) { sentences.append(sentence) }
        return (Statement(sentences: sentences, evidence: (policy ?? first).evidence), policy ?? first)
    }

    /// The policy that stands for deferring: what the domain's owner would do, else the nearest to it.
    private static func deferring(_ policies: [ReplayedPolicy]) -> ReplayedPolicy? {
        let counted = policies.filter { $0.flushes != nil && !["per-page", "sync", "recorded"].contains($0.name) }
        return counted.first { ["fast", "lazy"].contains($0.requested) } ?? counted.first {
            $0.name.hasPrefix("queue=")
        }
            ?? counted.first { $0.name == "vfio" } ?? counted.first
    }

    private static func compare(_ policy: ReplayedPolicy?, _ mode: String, _ data: PageData, _ count: Int64)
        -> [String]
    {
        guard let policy else {
            return [
                "Without deferring, \(calls(count)) cost at least as many TLB flushes; no policy "
                    + "that defers them was replayed (iommu-trace replay --policy fast)."
            ]
        }
        let isRecorded = policy.name == "recorded"
        if isRecorded, mode == "deferred" {
            let isGuest = data.unmappingKinds == ["unmanaged"]
            let who = isGuest ? "The owner (VFIO or its like)" : "The kernel"
            let happened = Outcome(policy, data, hasHappened: true)
            return ["\(who) already deferred: \(happened.savings); \(happened.exposure)."]
        }
        if isRecorded {
            return [
                "The kernel made \(Outcome.numbers(policy)); no policy that defers flushes was replayed to compare that "
                    + "with (iommu-trace replay --policy fast)."
            ]
        }
        let outcome = Outcome(policy, data, hasHappened: false)
        let sentence = "Deferring \(words(policy)) would have \(outcome.savings); \(outcome.exposure)."
        switch mode {
        case "strict": return [sentence]
        case "mixed": return ["Some domains already deferred their flushes, some did not.", sentence]
        // The kernel's own flushes are not in the log.
        case "deferred": return ["The kernel already deferred; how often it flushed, the log does not show.", sentence]
        default: return ["What the kernel did with its flushes, the log does not show.", sentence]
        }
    }

    private static func words(_ policy: ReplayedPolicy) -> String {
        switch policy.name {
        case "queue=256,10ms": "as the kernel’s flush queue does"
        case "vfio": "as VFIO does"
        case _ where policy.name.contains("+"): "as the owner of each domain would (\(policy.name.visible(atMost: 80)))"
        default: "by \(policy.name.visible(atMost: 80))"
        }
    }

    /// Calls that cost the hardware nothing under any policy.
    private static func detached(_ policy: ReplayedPolicy) -> String? {
        let count = policy.counts.detachedCalls
        guard count > 0 else { return nil }
        return policy.attachedCalls > 0
            ? "\(calls(count)) \(count == 1 ? "was" : "were") made with no device attached and cost none."
            : "\(count == 1 ? "The unmap call was" : "All \(calls(count)) were") made with no device attached: under no policy does the hardware see a flush, and nothing stays reachable."
    }

    private static func calls(_ value: Int64) -> String { Number.count(value, "unmap call") }
}

/// What a policy that defers saves and exposes, in words.
private struct Outcome {
    let policy: ReplayedPolicy
    let data: PageData
    /// Whether it did so, or would have done.
    let hasHappened: Bool
    /// Fewer calls than these make no percentage.
    private static let fewCalls = 20

    init(_ policy: ReplayedPolicy, _ data: PageData, hasHappened: Bool) {
        (self.policy, self.data, self.hasHappened) = (policy, data, hasHappened)
    }

    /// As it is said of flushes that happened, or behind 'would have'.
    var savings: String {
        let (saved, flushes) = (policy.saved ?? 0, policy.attachedFlushes ?? 0)
        // Where most of its flushes are still to come, what it saved is not known.
        guard saved > 0, flushes >= policy.counts.pending else {
            return hasHappened ? Self.numbers(policy) : "made \(Self.numbers(policy))"
        }
        let share = policy.attachedCalls < Self.fewCalls ? "" : " (\(Number.percent(policy.savedPercent ?? 0)))"
        let number = "\(Number.whole(saved)) of \(Number.whole(policy.attachedCalls)) TLB flushes"
        return hasHappened ? "\(number) saved\(share)" : "saved \(number)\(share)"
    }

    /// What was counted, without a comparison.
    static func numbers(_ policy: ReplayedPolicy) -> String {
        let flushes = policy.attachedFlushes ?? 0
        let pending = policy.counts.pending
        return
            "\(flushes == 0 ? "no TLB flush" : Number.count(flushes, "TLB flush", "TLB flushes")) for \(Number.count(policy.attachedCalls, "unmap call"))"
            + (pending > 0 ? ", with \(Number.whole(pending)) still due when the log ends" : "")
    }

    var exposure: String {
        let (stayed, were) = hasHappened ? ("stayed", "were still") : ("would have stayed", "would still have been")
        guard policy.opensWindows else {
            return hasHappened
                ? "no unmapped page stayed reachable" : "no unmapped page would have stayed reachable"
        }
        guard data.hasTimes else {
            return "for how long unmapped pages \(stayed) reachable, a log without times cannot tell"
        }
        let (closed, open) = (policy.windows.whole("max_ns"), policy.counts.longestOpen)
        guard let closed else {
            let longest = open.map { ", up to \(Number.time(Double($0))) after their unmap" } ?? ""
            return "unmapped pages \(were) reachable when the log ends\(longest)"
        }
        let most = policy.windows.whole("p99_ns").map { Number.time(Double($0)) }
        if let open, open > closed {
            return
                "unmapped pages \(stayed) reachable for up to \(Number.time(Double(open))) and beyond the end of the log"
                + (most.map { ", 99 % of the windows that closed for no longer than \($0)" } ?? "")
        }
        return "unmapped pages \(stayed) reachable for up to \(Number.time(Double(closed)))"
            + (most.map { ", 99 % of the windows for no longer than \($0)" } ?? "")
    }
}
