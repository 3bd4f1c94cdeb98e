import IOMMUModel

/// A flush schedule: when the translations that unmaps leave behind are flushed (design §4 3-8).
public enum Policy: Hashable, Sendable {
    /// Each page-table callback of the 4.15 loop flushes: before the interface existed.
    case perPage
    /// One sync in each unmap call.
    case sync
    /// The flushes of the log itself.
    case recorded
    /// As VFIO's type1 driver unmaps a guest's memory.
    case vfio
    /// As iommufd unmaps a guest's memory: a sync for each batch of so many runs of page frames.
    case iommufd(runs: Int64)
    /// A sync right after so many unmap calls of a domain.
    case batch(calls: Int64)
    /// The kernel's flush queue: one ring per CPU and domain. The timeout is in ns.
    case queue(entries: Int64, timeout: Int64)
    /// The kernel's flush queue with one ring per domain (6.7 and later).
    case singleQueue(entries: Int64, timeout: Int64)
    /// A sync so many ns after the first pending unmap call of a domain.
    case every(interval: Int64)
    /// One flush_all when a domain is freed.
    case end
    /// What a deferring caller of each domain would use.
    case fast

    /// The policies of a replay that names none.
    public static let defaults: [Policy] = [.perPage, .sync, .fast]
    /// The flush queue of DMA domains: 256 entries, 10 ms (model.md §2.4).
    public static let kernelQueue = Policy.queue(entries: 256, timeout: 10_000_000)
    /// The single flush queue: 32768 entries, 1 s.
    public static let kernelSingleQueue = Policy.singleQueue(entries: 32768, timeout: 1_000_000_000)

    /// iommufd's batches: 64 KiB of 12 bytes for each run of page frames.
    public static let kernelIOMMUFD = Policy.iommufd(runs: 5461)

    /// What a policy looks like on the command line, with a word on each.
    public static let grammar = """
        per-page          a flush for each page-table callback, as before the interface existed
        sync, strict      a sync in each unmap call
        recorded          the flushes of the log itself
        vfio              as VFIO unmaps a guest: a sync at 512 calls, at each gap, at the end of each run
        iommufd=N         as iommufd unmaps a guest: a sync for each batch of N runs of contiguous page frames (iommufd alone: 5461)
        batch=N           a sync right after the N-th pending unmap call of a domain
        queue=N,T         the kernel's flush queue: a ring of N entries per CPU and domain, a timer of T (queue alone: 256,10ms)
        single-queue=N,T  the same with one ring per domain (alone: 32768,1s)
        every=T           a sync T after the first pending unmap call of a domain
        end               one flush when a domain is freed
        fast, lazy        what a deferring caller of each domain would use: recorded, queue, vfio or iommufd
        T is a number with a unit: ns, us, ms or s
        """

    /// One of each kind, as a shell may offer them.
    public static let examples = [
        "per-page", "sync", "recorded", "vfio", "iommufd=5461", "batch=64", "queue=256,10ms", "single-queue=32768,1s",
        "every=10ms",
        "end",
        "fast",
    ]

    /// Reads a policy as typed.
    public init(parsing text: String) throws(PolicyError) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        let arguments =
            parts.count > 1 ? parts[1].split(separator: ",", omittingEmptySubsequences: false).map(String.init) : nil
        switch (name, arguments?.count) {
        case ("per-page", nil): self = .perPage
        case ("sync", nil), ("strict", nil): self = .sync
        case ("recorded", nil): self = .recorded
        case ("vfio", nil): self = .vfio
        case ("iommufd", nil): self = .kernelIOMMUFD
        case ("iommufd", 1): self = .iommufd(runs: try Self.count(arguments?[0], atLeast: 1, in: text))
        case ("end", nil): self = .end
        case ("fast", nil), ("lazy", nil): self = .fast
        case ("queue", nil): self = .kernelQueue
        case ("single-queue", nil): self = .kernelSingleQueue
        case ("batch", 1):
            self = .batch(calls: try Self.count(arguments?[0], atLeast: 1, in: text))
        case ("every", 1):
            self = .every(interval: try Self.duration(arguments?[0], in: text))
        case ("queue", 2):
            self = .queue(
                entries: try Self.count(arguments?[0], atLeast: 2, in: text),
                timeout: try Self.duration(arguments?[1], in: text))
        case ("single-queue", 2):
            self = .singleQueue(
                entries: try Self.count(arguments?[0], atLeast: 2, in: text),
                timeout: try Self.duration(arguments?[1], in: text))
        default:
            throw PolicyError(text: text, reason: Self.shape(of: name) ?? "is no policy")
        }
    }

    /// What a policy needs of which only the name was understood, or how that is written; `nil` if it is no policy's name.
    private static func shape(of name: String) -> String? {
        let shapes = [
            "per-page": "", "sync": "", "strict": "", "recorded": "", "vfio": "", "end": "", "fast": "", "lazy": "",
            "iommufd": "N, such as iommufd=5461, or nothing behind it",
            "batch": "N, such as batch=64", "every": "T, such as every=10ms",
            "queue": "N,T, such as queue=256,10ms, or nothing behind it",
            "single-queue": "N,T, such as single-queue=32768,1s, or nothing behind it",
        ]
        guard let shape = shapes[name] else {
            let lower = name.lowercased()
            return shapes[lower] == nil ? nil : "is written in small letters: \(lower)"
        }
        return shape.isEmpty ? "takes nothing behind its name: \(name)" : "needs \(shape)"
    }

    /// The one way of writing it: `queue=256,10ms`.
    public var canonical: String {
        switch self {
        case .perPage: "per-page"
        case .sync: "sync"
        case .recorded: "recorded"
        case .vfio: "vfio"
        case .iommufd(let runs): "iommufd=\(runs)"
        case .batch(let calls): "batch=\(calls)"
        case .queue(let entries, let timeout): "queue=\(entries),\(Self.text(timeout))"
        case .singleQueue(let entries, let timeout): "single-queue=\(entries),\(Self.text(timeout))"
        case .every(let interval): "every=\(Self.text(interval))"
        case .end: "end"
        case .fast: "fast"
        }
    }

    package static func count(_ text: String?, atLeast least: Int64, in whole: String) throws(PolicyError) -> Int64 {
        guard let text, text.allSatisfy({ $0.isASCII && $0.isNumber }), let value = Int64(text),
            (least...1_000_000_000).contains(value)
        else {
            throw PolicyError(text: whole, reason: "needs a number from \(least) to 1000000000 before any comma")
        }
        return value
    }

    private static let units: [(suffix: String, nanoseconds: Int64)] = [
        ("ns", 1), ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000),
    ]
    /// An hour, in ns: the longest wait that makes sense and far from overflowing anything.
    private static let longestDuration: Int64 = 3_600_000_000_000

    package static func duration(_ text: String?, in whole: String) throws(PolicyError) -> Int64 {
        let text = text ?? ""
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        if let unit = units.first(where: { $0.suffix == text.dropFirst(digits.count) }), let number = Int64(digits) {
            let (product, overflow) = number.multipliedReportingOverflow(by: unit.nanoseconds)
            if !overflow, (1...longestDuration).contains(product) { return product }
        }
        throw PolicyError(text: whole, reason: "needs a time such as 10ms or 250us, up to an hour")
    }

    package static func text(_ duration: Int64) -> String {
        let unit = units.last { duration % $0.nanoseconds == 0 } ?? units[0]
        return "\(duration / unit.nanoseconds)\(unit.suffix)"
    }
}

extension Policy {
    /// What decides when a domain is flushed under the policy; `nil` for `fast`, which is another policy in each domain.
    ///
    /// - Parameters:
    ///   - rule: what ends a span of the driver's gather.
    ///   - callbacksTakeCalls: whether the driver's page-table callback takes a whole call.
    package func schedule(
        pageSizes: PageSizes, wheel: TimerWheel, rule: Gather.Rule = .callbacks, callbacksTakeCalls: Bool = false
    ) -> (any FlushSchedule)? {
        switch self {
        case .perPage: PerPageSchedule(pageSizes: pageSizes, callbacksTakeCalls: callbacksTakeCalls)
        case .sync: SyncSchedule()
        case .recorded: RecordedSchedule()
        case .vfio: VFIOSchedule(pageSizes: pageSizes, rule: rule)
        case .iommufd(let runs): IOMMUFDSchedule(limit: runs)
        case .batch(let calls): BatchSchedule(calls: calls)
        case .every(let interval): EverySchedule(interval: interval)
        case .end: EndSchedule()
        case .queue(let entries, let timeout): Self.queue(entries, timeout, ringPerCPU: true, wheel)
        case .singleQueue(let entries, let timeout): Self.queue(entries, timeout, ringPerCPU: false, wheel)
        case .fast: nil
        }
    }

    private static func queue(
        _ entries: Int64, _ timeout: Int64, ringPerCPU: Bool, _ wheel: TimerWheel
    ) -> (any FlushSchedule)? {
        FlushQueue.Settings(entries: entries, timeout: timeout, ringPerCPU: ringPerCPU).map {
            QueueSchedule(settings: $0, wheel: wheel)
        }
    }
}

/// A policy that cannot be read.
public struct PolicyError: Error, Hashable, CustomStringConvertible {
    /// As typed.
    public let text: String
    /// What is wrong with it.
    public let reason: String

    package init(text: String, reason: String) { (self.text, self.reason) = (text, reason) }

    /// What is wrong and what there is.
    public var description: String {
        "policy '\(text)' \(reason)" + (reason == "is no policy" ? "\n\(Policy.grammar)" : "")
    }
}
