import TraceFormats

extension OperationBuilder {
    /// A task: the kernel's thread id, and the name that it had.
    public struct Task: Hashable, Sendable {
        /// The kernel's thread id; 0 is the idle task.
        public var pid: Int32
        /// Its name, at most 15 bytes.
        public var comm: String
    }

    /// Numbers about the whole log.
    public struct Totals: Sendable {
        /// Events read, understood or not.
        public let events: Int64
        /// Operations and layers by the raw values of their kinds.
        let operations: InlineArray<32, Int64>
        let layers: InlineArray<32, Int64>
        /// Earliest time of an event in ns.
        public let firstTime: Int64
        /// Latest time of an event in ns.
        public let lastTime: Int64
        /// Events that stand earlier in time than the one before them in the log.
        public let backwards: Int64
        /// Runs of IOTLB invalidations that no attach caused.
        public let hardwareRuns: Int64
        /// Whether the log shows returns of unmap calls.
        public let showsReturns: Bool
        /// Whether the log shows attaches that name both the device and the domain.
        public let showsAttaches: Bool
        /// Whether Intel's driver was seen to sync a range without a page size: its page tables are generic ones, Linux 6.19 or
        /// later.
        public let gathersInOneSpan: Bool

        /// How often a kind of operation occurred.
        public subscript(kind: Operation.Kind) -> Int64 { operations[Int(kind.rawValue)] }
        /// How often a kind of layer occurred.
        public subscript(kind: Layer.Kind) -> Int64 { layers[Int(kind.rawValue)] }
    }

    /// How often an event occurred in the log.
    public struct EventCount: Hashable, Sendable {
        /// The event's name.
        public var name: String
        /// How its lines are built.
        public var form: TraceEvent.Form
        /// Whether the tool knows what it means.
        public var isUnderstood: Bool
        /// How often.
        public var count: Int64
    }
}

/// What a log gives away of its kernel.
struct KernelSigns {
    private(set) var gathersInOneSpan = false
    private var lastLocation: (symbol: Symbol, isIntel: Bool) = (.none, false)

    /// A sync of a range.
    mutating func sync(at location: Symbol, pageSize: UInt64?, _ names: LogNames) {
        guard !gathersInOneSpan, pageSize == 0 else { return }
        if lastLocation.symbol != location { lastLocation = (location, names.text(location) == "intel_iommu_tlb_sync") }
        // Of AMD's gather the page size was never set.
        gathersInOneSpan = lastLocation.isIntel
    }
}
