/// What a reader of savings and stale windows must know beside the numbers: the same sentences on the page and in a terminal.
enum ReplayNote {
    /// Recorded flushes cannot be counted.
    case noFlushes
    /// The log shows what reaches the hardware only.
    case hardwareLayer
    /// Some flushes are still to come when the log ends.
    case pending
    /// Unmap calls of domains without a device.
    case detached(calls: Int64)
    /// Why fast chose a policy, and how that is known.
    case reason(policy: String, String, evidence: String)
    /// Policies that leave nothing stale.
    case noWindows([String])
    /// Pages unmapped in domains without a device.
    case unreachable(pages: Int64)
    /// Windows that have no end.
    case open(policy: String, windows: Int64)
    /// Windows that span a loss.
    case uncertain(policy: String, windows: Int64)
    /// The recorded kernel's own queue, modelled, flushes later than the kernel did.
    case modelIsLate(policy: String, pages: Int64)
    /// An address that was used again, which would not have happened under that policy.
    case withheld(policy: String, pages: Int64)
    /// Nothing says that a device was attached.
    case assumedAttached
    /// All events stand at one time.
    case noTimes

    /// A sentence without its full stop.
    var text: String {
        switch self {
        case .noFlushes: "the log shows no flushes, so recorded has no number"
        case .hardwareLayer:
            "recorded flushes are counted at the hardware layer: the log shows none of the API (inferred)"
        case .pending:
            "pending: domains that still wait for a flush when the log ends; it is not counted, and nothing is saved by it"
        case .detached(let calls):
            "\(Number.count(calls, "unmap call")) \(calls == 1 ? "was" : "were") made with no device attached: flushes there reach no hardware, and none is counted as saved"
        case .reason(let policy, let reason, let evidence): "\(policy): \(reason) (\(evidence))"
        case .noWindows(let policies): "none under \(policies.joined(separator: ", "))"
        case .unreachable(let pages):
            "\(Number.count(pages, "page")) \(pages == 1 ? "was" : "were") unmapped while no device was attached: no window"
        case .open(let policy, let windows):
            "\(policy): \(Number.count(windows, "window")) open when the log ends: not in windows, p50, p99 and max"
        case .uncertain(let policy, let windows):
            "\(policy): \(Number.count(windows, "window")) open where events were lost: in no figure here"
        case .modelIsLate(let policy, let pages):
            "\(policy): \(Number.count(pages, "page")) reused where the recorded kernel, which has this queue, had flushed already: the model is late there"
        case .withheld(let policy, let pages):
            "\(policy): \(Number.count(pages, "page")) of addresses that were used again before its flush: an allocator that defers as it does would have withheld them"
        case .assumedAttached:
            "devices are assumed to be attached throughout where the log shows no attach (assumed)"
        case .noTimes: "the log has no times, so nothing here has a length"
        }
    }

    /// As a sentence of its own. Names of policies stay as they are.
    var sentence: String {
        switch self {
        case .reason, .open, .uncertain, .modelIsLate, .withheld: return text + "."
        default: return text.prefix(1).uppercased() + text.dropFirst() + "."
        }
    }
}
