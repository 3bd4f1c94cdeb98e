import GRDB
import Operations

/// What the rows of report evidence rest on, and how more of it could be recorded.
struct EvidenceWords {
    /// What the numbers rest on.
    let restsOn: String
    /// What to record, or to ask for, next time; `nil` where nothing is better.
    let recordBetter: String?

    private static let functionProbes =
        "function probes with domain=$arg1 on __iommu_map, iommu_unmap and iommu_unmap_fast"
    private static let flushProbes = "probes on the driver's iotlb_sync and flush_iotlb_all"
    private static let allocationProbe = "a return probe on the driver's domain_alloc, from before the domain is made"
    private static let largerBuffer = "a larger buffer_size_kb"

    init(_ row: Row) {
        let (what, basis) = (row.string("what"), row.string("basis"))
        if what == "domain of maps and unmaps" {
            let grade = Grade.allCases.first { $0.text == basis }
            self.init(grade?.meaning ?? basis, grade == .pointer ? nil : Self.functionProbes)
        } else if what == "lost events", let reason = SilentLoss.reason(row, "part") {
            self.init(reason, "probes behind the functions' entries, or fprobes; \(Self.largerBuffer)")
        } else {
            self = Self.known["\(what): \(basis)"] ?? Self(basis, nil)
        }
    }

    private init(_ restsOn: String, _ recordBetter: String?) {
        (self.restsOn, self.recordBetter) = (restsOn, recordBetter)
    }

    /// By `what` and `basis`.
    private static let known: [String: EvidenceWords] = [
        "mode of domains that unmap: flushes": .init("what follows its unmaps", nil),
        "mode of domains that unmap: nothing":
            .init("nothing in the log tells when it flushed", "\(flushProbes), or event qi_submit"),
        "kind of domains: allocation": .init("the event of its allocation", nil),
        "kind of domains: calls": .init("what it does", allocationProbe),
        "kind of domains: nothing":
            .init("nothing in the log tells what it is for: policy fast takes it for a DMA domain", allocationProbe),
        "attached devices of domains: attach": .init("the event of the attach", nil),
        "attached devices of domains: no attaches":
            .init(
                "the log shows no attach that names device and domain",
                "a probe on the driver's attach_dev with domain and device"),
        "attached devices of domains: older than the log":
            .init(
                "it was there before the recording began", "begin to record before the device's driver is bound"),
        "attached devices of domains: attaches of others": .init("the log shows attaches, and none of it", nil),
        "bytes that unmaps removed: return": .init("the tracepoint inside the call, or its return", nil),
        "bytes that unmaps removed: entry":
            .init(
                "the call's entry alone", "event iommu:unmap, or return probes on iommu_unmap and iommu_unmap_fast"),
        "which call unmaps were: probe": .init("a probe on the function itself", nil),
        "which call unmaps were: tracepoint":
            .init("the tracepoint is the same for both", "function probes on iommu_unmap and iommu_unmap_fast"),
        "flushes of the log: calls": .init("syncs and flush_alls, one each", nil),
        "flushes of the log: commands": .init("runs of IOTLB commands", flushProbes),
        "flushes of the log: nothing": .init("the log shows none: recorded has no number", flushProbes),
        "clock: stamps": .init("the stamps of the events", nil),
        "clock: lines":
            .init("the order of the lines", "trace clock mono, and trace-cmd's recording instead of trace_pipe"),
        "clock: event before":
            .init("the time of the event before", "record with context-info, and send the log whole"),
        "events: fields": .init("names and fields", nil),
        "events: nothing": .init("no number: what they say is not used", nil),
        "lost events: header": .init("the header", largerBuffer),
        "lost events: markers": .init("markers in the log; a marker without a number counts one", largerBuffer),
        "flushes of replays: flushes": .init("the log's own flushes", nil),
        "flushes of replays: counts": .init("counts of the log", nil),
        "flushes of replays: model": .init("the model of the policy", nil),
        "flushes of replays: page sizes":
            .init("the model, and page sizes that no log tells", "replay --page-sizes as the hardware has them"),
        "flushes of replays: kinds of domains":
            .init("the model, and kinds of domains that the log does not tell", allocationProbe),
        "flushes of replays: domains of operations":
            .init("the model, and domains of operations that the log does not tell", functionProbes),
        "page sizes of replays: option":
            .init(
                "no log tells which sizes an IOMMU offers", "replay --page-sizes, from the driver's pgsize_bitmap"),
        "timers of replays: timer wheel":
            .init(
                "the kernel's timer wheel at this frequency",
                "trace clock mono; replay --hz as in the kernel's CONFIG_HZ"),
        "commands of replays: driver":
            .init("the rules of that driver", "event qi_submit, and iommu-trace validate"),
        "accesses of the simulated IOTLB: iotlb_fill": .init("lines iotlb_fill", nil),
        "accesses of the simulated IOTLB: option":
            .init(
                "an assumption on what devices read",
                "lines iotlb_fill from whoever sees the hardware: docs/recording.md"),
        "cost constants: other machines":
            .init(
                "on other machines than the log's; report constants names the source of each",
                "iommu-trace calibrate -o FILE, then report costs --cost FILE"),
    ]
}
