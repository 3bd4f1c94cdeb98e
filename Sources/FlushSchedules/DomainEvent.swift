import IOMMUModel

/// When and where in a log something happens. A schedule only carries it along.
package struct Occasion: Sendable {
    /// ns
    package var time: Int64
    /// Id of the operation, 0 for none.
    package var operation: Int64
    /// Line of the log, 0 for none.
    package var line: Int64
    /// Whose it is: a number that only the caller understands.
    package var cell: Int32

    package init(time: Int64, operation: Int64, line: Int64, cell: Int32) {
        (self.time, self.operation, self.line, self.cell) = (time, operation, line, cell)
    }
}

/// An unmap call (design §4 1).
package struct UnmapCall: Sendable {
    /// Its time is the moment when its page-table entries were clear.
    package var occasion: Occasion
    /// ns from the call's entry to that moment, 0 if unknown.
    package var sinceEntry: Int64
    package var cpu: Int32
    package var pid: Int32
    package var iova: UInt64
    /// Bytes asked for.
    package var size: UInt64
    /// Bytes removed.
    package var result: UInt64
    /// The call syncs before it returns, whatever the policy: VFIO's test at attach.
    package var isStrict: Bool
    /// The call's own caller syncs right after it, also where other calls in the domain are queued: `dma_iova_unlink`.
    package var isImmediate: Bool
    /// Whether a device is attached to the domain.
    package var isAttached: Bool

    package init(
        occasion: Occasion, sinceEntry: Int64, cpu: Int32, pid: Int32, iova: UInt64, size: UInt64, result: UInt64,
        isStrict: Bool, isImmediate: Bool, isAttached: Bool
    ) {
        self.occasion = occasion
        self.sinceEntry = sinceEntry
        self.cpu = cpu
        self.pid = pid
        self.iova = iova
        self.size = size
        self.result = result
        self.isStrict = isStrict
        self.isImmediate = isImmediate
        self.isAttached = isAttached
    }

    /// What it removed; `nil` for nothing, or beyond 2^64.
    package var range: AddressRange? { AddressRange(start: iova, size: result) }
}

/// A flush that the log shows (design §4 4).
package struct RecordedFlush: Sendable {
    package var occasion: Occasion
    package var cpu: Int32
    package var pid: Int32
    /// What it covers; `nil` for the whole domain, and for a sync whose range the log does not show.
    package var range: AddressRange?
    /// A sync of an empty gather: it covers nothing.
    package var isEmpty: Bool
    package var isSync: Bool
    /// The only domain that it is for, by the hardware's id; -1 if unknown.
    package var hardwareDomain: Int64

    package init(
        occasion: Occasion, cpu: Int32, pid: Int32, range: AddressRange?, isEmpty: Bool, isSync: Bool,
        hardwareDomain: Int64
    ) {
        self.occasion = occasion
        self.cpu = cpu
        self.pid = pid
        self.range = range
        self.isEmpty = isEmpty
        self.isSync = isSync
        self.hardwareDomain = hardwareDomain
    }
}

/// What happens in a domain, as its schedule sees it.
package enum DomainEvent: Sendable {
    /// An unmap call is about to clear its entries.
    case unmapping(UnmapCall)
    /// It has cleared them.
    case unmapped(UnmapCall)
    /// A flush of the log.
    case flush(RecordedFlush)
    /// A further invalidation of the run that stands in for a flush of the log.
    case furtherInvalidation(RecordedFlush)
    /// The task that unmapped last has gone on to something else, or another one unmaps (design §4 7).
    case endOfRun
    /// The timer that the schedule armed fires, at this time in ns.
    case timer(Int64)
    /// The domain is freed.
    case free(Occasion)
}
