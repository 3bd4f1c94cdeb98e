import IOMMUModel

/// What makes a policy flush.
package enum FlushCause: CaseIterable, Sendable {
    /// The unmap call itself: `sync` and `per-page`.
    case call
    /// The batch is full, or VFIO's 512 regions or iommufd's runs of page frames are.
    case batchFull
    /// A ring of the flush queue is full.
    case ringFull
    /// A timer fired.
    case timer
    /// The next range does not fit the gather: a gap, or callbacks of another length.
    case gatherSplit
    /// A run of unmaps of one task ended.
    case endOfRun
    /// The domain is freed.
    case domainFree
}

/// A flush that a policy makes. But for ``FlushCause/call`` it covers whatever is open in the domain.
package struct PolicyFlush: Sendable {
    package var cause: FlushCause
    /// When and in whose call; `nil` for a timer, which is in no call.
    package var occasion: Occasion?
    /// ns
    package var time: Int64
    /// How many flushes at once.
    package var flushes: Int64 = 1
    /// Unmap calls covered.
    package var calls: Int64
    /// What the driver is asked for.
    package var request: Request
    /// Whether a device was attached then; `nil` for now.
    package var wasAttached: Bool?

    /// What the driver is asked for.
    package enum Request: Sendable {
        /// Nothing: its own gather has synced what did not fit.
        case nothing
        /// `iommu_iotlb_sync` of what was gathered.
        case sync
        /// `iommu_flush_iotlb_all`.
        case all
        /// A flush in each page-table callback over a range, as before the interface existed; `nil` where nothing was there.
        case eachPage(AddressRange?)
    }
}

/// What a schedule wants done, in this order.
package enum FlushAction: Sendable {
    /// The unmap call's window opens, or only this part of it: the rest was flushed inside the call.
    case open(AddressRange?)
    /// The unmap call removes this of its range before the next flush, and the rest after it.
    case gather(AddressRange)
    /// The policy flushes.
    case flush(PolicyFlush)
    /// The flush of the log is the policy's own; it covers so many calls.
    case takeRecorded(calls: Int64)
    /// So is a further invalidation of its run.
    case takeFurther
    /// A sync of the log inside the unmap call has covered this of it.
    case syncedInside(AddressRange, hardwareDomain: Int64)
    /// The run of calls goes on: what happened since the last one happened before any flush.
    case runGoesOn
    /// A timer is wanted at this time in ns.
    case arm(Int64)
    /// It is not wanted any more.
    case disarm
}

/// The actions that answer one event, in order. Kept by whoever asks, so that asking allocates nothing.
package struct FlushActions: Sendable {
    package private(set) var list: ContiguousArray<FlushAction> = []

    package init() {}

    package var count: Int { list.count }

    package subscript(index: Int) -> FlushAction { list[index] }

    package mutating func removeAll() { list.removeAll(keepingCapacity: true) }

    mutating func add(_ action: FlushAction) { list.append(action) }

    /// A flush at an operation of the log.
    mutating func flush(
        _ cause: FlushCause, at occasion: Occasion, flushes: Int64 = 1, calls: Int64, _ request: PolicyFlush.Request,
        wasAttached: Bool? = nil
    ) {
        list.append(
            .flush(
                PolicyFlush(
                    cause: cause, occasion: occasion, time: occasion.time, flushes: flushes, calls: calls,
                    request: request, wasAttached: wasAttached)))
    }

    /// A flush by a timer.
    mutating func flush(timerAt time: Int64, calls: Int64, _ request: PolicyFlush.Request) {
        list.append(
            .flush(PolicyFlush(cause: .timer, occasion: nil, time: time, calls: calls, request: request)))
    }
}
