import Foundation
import GRDB

/// What is said of a fault: a row of report faults by fault, in sentences.
struct FaultWords {
    private let row: Row

    init(_ row: Row) { self.row = row }

    /// What happened and whether a queue could have hidden it.
    ///
    /// - Parameter withMap: whether its last map is said where there was an unmap: it seldom is the cause.
    func sentence(withMap: Bool = true) -> String {
        let finding = row.string("finding")
        var parts = ["\(device) \(verb) \(row.string("iova"))"]
        parts.append(finding == "not known" ? "with no map or unmap in the log" : finding)
        let unmapper = row.string("unmap_task")
        if !unmapper.isEmpty { parts.append(since("unmapped_ns_ago", unmapper, "unmapped")) }
        let mapper = row.string("map_task")
        if !mapper.isEmpty, withMap || unmapper.isEmpty { parts.append(since("mapped_ns_ago", mapper, "mapped")) }
        return parts.joined(separator: ", ") + hidden
    }

    private var device: String {
        let name = row.string("device")
        if name.isEmpty { return "a device" }
        // The driver of an IOMMU that cannot tell its devices apart names itself.
        let isIOMMU =
            [".iommu", ".smmu", ".m4u"].contains { name.hasSuffix($0) } || name.count == 5 && name.hasPrefix("dmar")
        return isIOMMU ? "a device behind \(name)" : name
    }

    private var verb: String {
        switch row.string("access") {
        case "read": "reads"
        case "write": "writes"
        default: "accesses"
        }
    }

    private func since(_ column: String, _ task: String, _ did: String) -> String {
        guard let nanoseconds = row.whole(column) else { return "after \(task) \(did) it" }
        let time = Double(nanoseconds)
        let length =
            nanoseconds < 1_000_000_000 ? String(format: "%.3f ms", time / 1e6) : String(format: "%.3f s", time / 1e9)
        return "\(length) after \(task) \(did) it"
    }

    private var hidden: String {
        let isVFIO = row.string("schedule") == "vfio"
        switch row.string("hidden") {
        case "could have been":
            return isVFIO
                ? "; VFIO's own batches could have hidden it" : "; a flush queue of 10 ms could have hidden it"
        case "no":
            return isVFIO
                ? "; no flush queue could have hidden it, its domain has none"
                : "; a flush queue of 10 ms would not have hidden it"
        default: return ""
        }
    }

    /// What its finding means.
    var meaning: String {
        switch row.string("finding") {
        case "not known": "the log has no maps and unmaps that could tell"
        case "never mapped": "the log shows no map and no unmap of this address before the fault"
        case "use after unmap": "the device still used what the driver had unmapped"
        case "still mapped":
            "nothing unmapped it: the permissions forbid the access, or the IOMMU looks at another table"
        default:
            "it was unmapped and is mapped again: the permissions forbid the access, or the IOMMU looks at another table"
        }
    }

    /// Why deferred flushes could have hidden it or not; `nil` where that is no question.
    var hiddenBecause: String? {
        let schedule = row.string("schedule")
        switch row.string("hidden_because") {
        case "replay":
            return
                "the replay of \(schedule) flushes it \(row.string("hidden") == "no" ? "before" : "after") the fault"
        case "unmanaged":
            return "the domain is unmanaged, and VFIO flushes in its own calls: replay --policy vfio --windows all"
        case "age":
            let longest = String(format: "%.4g", (row.real("queue_longest_ns") ?? 0) / 1e6)
            return
                "a queue of 10 ms holds an unmap for up to \(longest) ms (HZ \(row.string("hz")), \(row.string("hz_evidence")))"
        case "no times": return "the log has no times"
        default: return nil
        }
    }

    /// Whose the last unmap and the last map are.
    var domain: String? {
        let name = row.string("domain")
        guard !name.isEmpty else { return nil }
        return switch row.string("domain_is") {
        case "recorded": "domain \(name), the device's"
        case "only known": "domain \(name), the only one known of the device"
        case "any": "domain \(name), one that had the address"
        default: "domain \(name)"
        }
    }

    /// When the unmap was flushed; `nil` where nothing was unmapped.
    var flushed: String? {
        switch row.string("flushed") {
        case "": nil
        case "no times": "the log has no times"
        case "none logged": "the log shows no flush"
        case "not known": "not known: replay --policy recorded"
        case "not seen": "not seen in the \(HistoryWords.flushesLookedAt) operations after it"
        case let when: when
        }
    }
}
