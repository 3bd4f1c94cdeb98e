import FlushSchedules
import Operations
import TraceStore

/// How a number is known, from strongest to weakest (definitions.md, Words).
public enum Evidence: Int, Comparable, Sendable {
    /// The log says so.
    case recorded
    /// It follows from what the log says.
    case inferred
    /// A model computes it from what the log says.
    case modelled
    /// Nothing says so: it is taken for granted, and named.
    case assumed

    /// The field's word.
    public var text: String {
        switch self {
        case .recorded: "recorded"
        case .inferred: "inferred"
        case .modelled: "modelled"
        case .assumed: "assumed"
        }
    }

    /// Whether the left one is the stronger evidence.
    public static func < (left: Evidence, right: Evidence) -> Bool { left.rawValue < right.rawValue }
}

/// The policy of one domain, why it is that, and how sure its counts are there.
struct PolicyChoice {
    /// Never ``Policy/fast``.
    var policy: Policy
    var reason: String
    var evidence: Evidence

    init(policy: Policy, reason: String = "", evidence: Evidence) {
        (self.policy, self.reason, self.evidence) = (policy, reason, evidence)
    }

    /// What a policy is in a domain: what `fast` stands for there (design §4 3), and how well founded its counts are.
    ///
    /// - Parameter isStrict: whether the hardware makes all DMA domains strict.
    init(_ policy: Policy, for domain: TraceSummary.Domain, in trace: TraceSummary, isStrict: Bool) {
        let ofDomain: Evidence = domain.evidence == .recorded ? .recorded : .assumed
        let recorded: Evidence = trace.flushLayer == .api ? .recorded : .inferred
        switch policy {
        case .perPage: self.init(policy: policy, evidence: .assumed)
        case .sync: self.init(policy: policy, evidence: .inferred)
        case .recorded: self.init(policy: policy, evidence: recorded)
        case .vfio, .iommufd, .batch, .queue, .singleQueue, .every, .end:
            self.init(policy: policy, evidence: max(.modelled, ofDomain))
        case .fast where domain.mode.defers:
            self.init(policy: .recorded, reason: "the domain deferred its flushes", evidence: recorded)
        case .fast where isStrict && domain.kind != .unmanaged:
            self.init(
                policy: .sync, reason: "hardware that caches absent translations: strict", evidence: .modelled)
        case .fast:
            switch domain.kind {
            case .unmanaged where domain.owner == .iommufd:
                self.init(
                    policy: .kernelIOMMUFD, reason: "iommufd's domain (\(domain.ownerEvidence.rawValue))",
                    evidence: max(.modelled, ofDomain))
            case .unmanaged:
                self.init(
                    policy: .vfio, reason: "an unmanaged domain (\(domain.kindEvidence.rawValue))",
                    evidence: max(.modelled, ofDomain))
            case .dma:
                self.init(
                    policy: .kernelQueue, reason: "a DMA domain (\(domain.kindEvidence.rawValue))",
                    evidence: max(.modelled, ofDomain))
            case .identity, .blocked, .unknown:
                self.init(
                    policy: .kernelQueue, reason: "a domain of unknown kind: taken for a DMA domain",
                    evidence: .assumed)
            }
        }
    }
}

extension Policy {
    /// How the policy closes windows.
    func manner(in trace: TraceSummary) -> WindowLedger.Manner {
        switch self {
        // iommufd's batches are calls that sync before they return.
        case .perPage, .sync, .fast, .iommufd: .none
        case .recorded:
            switch trace.flushLayer {
            case .none: .none
            case .api where !trace.showsSyncs: .whole
            case .api, .hardware: .ranged
            }
        case .vfio: .inRuns
        case .batch, .queue, .singleQueue, .every, .end: .whole
        }
    }

    /// What it means that a stale address is mapped to another page, in a domain of this mode (design §4 13).
    func reuseKind(in mode: Domain.Mode) -> HazardKind {
        switch self {
        case .queue, .singleQueue: mode.defers ? .modelTimingError : .deferredReuse
        default: .iovaReuse
        }
    }

    /// Whether anything happens by itself over time: timers, or flushes of the log that take a while.
    var waits: Bool {
        switch self {
        case .recorded, .queue, .singleQueue, .every: true
        case .perPage, .sync, .vfio, .iommufd, .batch, .end, .fast: false
        }
    }

    /// Whether it depends on where runs of unmaps begin and end (design §4 7).
    var isInRuns: Bool {
        switch self {
        case .vfio, .iommufd: true
        default: false
        }
    }

    /// Whether it is a flush queue, past which some callers go.
    var isQueue: Bool {
        switch self {
        case .queue, .singleQueue: true
        default: false
        }
    }
}
