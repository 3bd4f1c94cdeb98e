/// How a stale window ends, or why there is none (design §4 10-12): a row of `window_end`.
public enum WindowEnd: Hashable, Sendable {
    /// A flush covered it.
    case flush(FlushRow.Cause)
    /// The domain's last device left it.
    case detach
    /// It is open at the end of the log: censored.
    case endOfLog
    /// No device could reach what was unmapped: no window.
    case unreachable

    /// All of them; a flush inside the unmap call itself ends no window.
    public static let allCases =
        FlushRow.Cause.allCases.filter { $0 != .call }.map(WindowEnd.flush) + [
            .detach, .endOfLog, .unreachable,
        ]

    /// What the database stores.
    public var rawValue: UInt8 {
        switch self {
        case .flush(let cause): cause.rawValue
        case .detach: 20
        case .endOfLog: 21
        case .unreachable: 22
        }
    }

    /// The word for it.
    public var text: String {
        switch self {
        case .flush(let cause): cause.text
        case .detach: "detach"
        case .endOfLog: "end of log"
        case .unreachable: "unreachable"
        }
    }
}

/// What happened inside a stale window (design §4 13): a row of `hazard_kind`.
public enum HazardKind: UInt8, CaseIterable, Sendable {
    /// A recorded fault or access inside the window.
    case access = 1
    /// The address was mapped to another page.
    case iovaReuse = 2
    /// The page was mapped in another domain.
    case pageReuse = 3
    /// Like ``iovaReuse``, but an allocator that defers would have withheld the address.
    case deferredReuse = 4
    /// Like ``iovaReuse``, but the kernel had flushed by then: the model is late.
    case modelTimingError = 5
    /// The address was mapped to the same page again.
    case samePageRemap = 6
    /// The page was mapped again in the same domain.
    case recycled = 7
    /// The address was mapped again; what it had pointed to is not known.
    case unknownPage = 8
    /// The address or the page was mapped again, but events were lost in between.
    case uncertain = 9

    /// The word for it.
    public var text: String {
        switch self {
        case .access: "access"
        case .iovaReuse: "iova_reuse"
        case .pageReuse: "page_reuse"
        case .deferredReuse: "deferred_reuse"
        case .modelTimingError: "model_timing_error"
        case .samePageRemap: "same_page_remap"
        case .recycled: "recycled"
        case .unknownPage: "unknown_page"
        case .uncertain: "uncertain"
        }
    }

    /// What it means, in a sentence.
    public var meaning: String {
        switch self {
        case .access: "a recorded fault or access inside the window"
        case .iovaReuse:
            "the address was mapped to another page while a device could still reach the old one through it"
        case .pageReuse: "the page was mapped in another domain while a device of this one could still reach it"
        case .deferredReuse: "like iova_reuse, but an allocator that defers would have withheld the address"
        case .modelTimingError:
            "like iova_reuse, but the recorded kernel had flushed by then: the model of its own queue is late, another schedule waits longer"
        case .samePageRemap: "the address was mapped to the same page again"
        case .recycled: "the page was mapped again in the same domain"
        case .unknownPage: "the address was mapped again, but what it had pointed to is not known"
        case .uncertain: "the address or the page was mapped again, but events were lost in between"
        }
    }

    /// Whether it is somebody's exposure, or only looks like it.
    public var isHazard: Bool { self == .access || self == .iovaReuse || self == .pageReuse }

    /// How many of a replay become rows of `hazard`; all are counted.
    public var rowLimit: Int {
        switch self {
        case .access, .iovaReuse, .pageReuse: .max
        case .samePageRemap, .recycled: 0
        case .deferredReuse, .modelTimingError, .unknownPage, .uncertain: 1000
        }
    }
}

/// A stale window by itself: a row of `stale_window`.
public struct StaleWindowRow: Sendable {
    /// Id of the unmap call.
    public var operation: Int64
    /// Id of the map call of the first page that it removed; 0 if the log does not show it.
    public var map: Int64
    /// From 1, in order of the trace's domains.
    public var domain: Int32
    /// From 1, in order of the trace's devices; 0 if unknown.
    public var device: Int32
    /// First byte.
    public var iova: UInt64
    /// Bytes.
    public var size: UInt64
    /// ns
    public var opened: Int64
    /// ns; `nil` if it is open at the end of the log.
    public var closed: Int64?
    /// What closed it.
    public var end: UInt8
    /// Line of the log at which it was closed; 0 if no line shows it.
    public var closedLine: Int64
    /// Whether events were lost while it was open.
    public var isUncertain: Bool

    /// Creates a row.
    public init(
        operation: Int64, map: Int64 = 0, domain: Int32, device: Int32, iova: UInt64, size: UInt64, opened: Int64,
        closed: Int64?, end: UInt8, closedLine: Int64, isUncertain: Bool
    ) {
        self.operation = operation
        self.map = map
        self.domain = domain
        self.device = device
        self.iova = iova
        self.size = size
        self.opened = opened
        self.closed = closed
        self.end = end
        self.closedLine = closedLine
        self.isUncertain = isUncertain
    }

    /// ns, 0 if it is open.
    public var length: Int64 { max((closed ?? opened) &- opened, 0) }
}

/// A hazard by itself: a row of `hazard`.
public struct HazardRow: Sendable {
    /// What happened.
    public var kind: HazardKind
    /// Id of the unmap call that left the window.
    public var operation: Int64
    /// Id of the map or fault inside it.
    public var reuse: Int64
    /// Of the window; from 1.
    public var domain: Int32
    /// From 1; 0 if unknown.
    public var device: Int32
    /// First stale byte.
    public var iova: UInt64
    /// Bytes.
    public var size: UInt64
    /// ns from the unmap to the reuse.
    public var age: Int64

    /// Creates a row.
    public init(
        kind: HazardKind, operation: Int64, reuse: Int64, domain: Int32, device: Int32, iova: UInt64, size: UInt64,
        age: Int64
    ) {
        self.kind = kind
        self.operation = operation
        self.reuse = reuse
        self.domain = domain
        self.device = device
        self.iova = iova
        self.size = size
        self.age = age
    }
}

/// Whose something is: by what summaries are told apart.
public struct Cell: Hashable, Comparable, Sendable {
    /// From 1, in order of the trace's domains.
    public var domain: Int32
    /// From 1, in order of the trace's devices; 0 if unknown or several.
    public var device: Int32
    /// From 1, in order of the trace's tasks; 0 if none or not told apart.
    public var task: Int32

    /// Creates a cell.
    public init(domain: Int32, device: Int32, task: Int32) {
        self.domain = domain
        self.device = device
        self.task = task
    }

    /// By domain, then device, then task.
    public static func < (left: Cell, right: Cell) -> Bool {
        (left.domain, left.device, left.task) < (right.domain, right.device, right.task)
    }
}

/// Something that figures can be told apart by.
public enum Member: Hashable, Sendable {
    /// All of the trace.
    case trace
    /// From 1, in order of the trace's domains.
    case domain(Int32)
    /// From 1, in order of the trace's devices; 0 for those that are not known.
    case device(Int32)
    /// From 1, in order of the trace's tasks; 0 for those that are not told apart.
    case task(Int32)
}

/// What the stale windows of a replay amount to.
public struct WindowStatistics: Sendable {
    /// A row of `window_summary` with its rows of `window_histogram`.
    public struct Summary: Sendable {
        /// Whose windows.
        public var cell: Cell
        /// How they ended.
        public var end: UInt8
        /// Whether events were lost while they were open.
        public var isUncertain: Bool
        /// How many.
        public var windows: Int64
        /// 4096-byte pages in them.
        public var pages: Int64
        /// Sum of pages x length.
        public var pageSeconds: Double
        /// Longest, in ns; `nil` where there is no length.
        public var longest: Int64?
        /// Lengths up to so many ns: windows and their pages.
        public var histogram: [(upTo: Int64, windows: Int64, pages: Int64)]

        /// Creates a row.
        public init(
            cell: Cell, end: UInt8, isUncertain: Bool, windows: Int64, pages: Int64, pageSeconds: Double,
            longest: Int64?, histogram: [(upTo: Int64, windows: Int64, pages: Int64)]
        ) {
            self.cell = cell
            self.end = end
            self.isUncertain = isUncertain
            self.windows = windows
            self.pages = pages
            self.pageSeconds = pageSeconds
            self.longest = longest
            self.histogram = histogram
        }
    }

    /// A row of `stale_total`.
    public struct Total: Hashable, Sendable {
        /// Closed windows, certain ones.
        public var windows: Int64 = 0
        /// Windows open at the end of the log.
        public var censored: Int64 = 0
        /// Windows in which events were lost.
        public var uncertain: Int64 = 0
        /// 4096-byte pages that were unmapped while no device was attached.
        public var unreachablePages: Int64 = 0
        /// Lengths in ns that 50, 90 and 99 % of the closed windows do not exceed.
        public var percentiles: [Int64] = []
        /// Lengths in ns that 50 and 99 % of their pages do not exceed.
        public var pagePercentiles: [Int64] = []
        /// Length of the longest closed window in ns.
        public var longest: Int64?
        /// Pages x length of closed windows.
        public var exposure: Double = 0
        /// Pages x length so far of censored windows.
        public var censoredPageSeconds: Double = 0
        /// The most 4096-byte pages stale at one time.
        public var peak: Int64 = 0

        /// Nothing yet.
        public init() {}
    }

    /// A row of `timeline`.
    public struct Step: Sendable {
        /// Whose.
        public var cell: Cell
        /// Begin of the step in ns.
        public var start: Int64
        /// Stale pages x ns within the step.
        public var pageNanoseconds: Int64
        /// Windows opened.
        public var windows: Int64
        /// 4096-byte pages in those.
        public var pages: Int64
        /// Flushes.
        public var flushes: Int64

        /// Creates a row.
        public init(cell: Cell, start: Int64, pageNanoseconds: Int64, windows: Int64, pages: Int64, flushes: Int64) {
            self.cell = cell
            self.start = start
            self.pageNanoseconds = pageNanoseconds
            self.windows = windows
            self.pages = pages
            self.flushes = flushes
        }
    }

    /// By cell, end and certainty.
    public var summaries: [Summary] = []
    /// What it all amounts to, of whatever is told apart.
    public var totals: [(of: Member, total: Total)] = []
    /// 4096-byte pages by cell and kind.
    public var hazards: [Hazard] = []
    /// By cell and time.
    public var timeline: [Step] = []

    /// What happened in a cell's windows, of one kind: a row of `hazard_summary`.
    public struct Hazard: Hashable, Sendable {
        /// Whose windows.
        public var cell: Cell
        /// What happened.
        public var kind: HazardKind
        /// 4096-byte pages; of ``HazardKind/access`` how often.
        public var pages: Int64
        /// Of the first time: ids of the unmap call that left the window and of the map or fault inside it.
        public var operation: Int64
        /// See ``operation``.
        public var reuse: Int64
        /// The first stale byte of the first time.
        public var iova: UInt64
        /// The shortest time from unmap to reuse, ns.
        public var shortestAge: Int64

        /// Creates a row.
        public init(
            cell: Cell, kind: HazardKind, pages: Int64, operation: Int64, reuse: Int64, iova: UInt64, shortestAge: Int64
        ) {
            self.cell = cell
            self.kind = kind
            self.pages = pages
            self.operation = operation
            self.reuse = reuse
            self.iova = iova
            self.shortestAge = shortestAge
        }
    }
    /// Length of a step in ns.
    public var stepLength: Int64 = 1
    /// Windows that did not become rows.
    public var windowsLeftOut: Int64 = 0

    /// Nothing yet.
    public init() {}
}
