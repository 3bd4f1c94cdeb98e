import FlushSchedules
import IOMMUModel

/// Takes the flushes of a lane one by one, as they happen at the API and at the hardware: in place of a ``CommandSink``.
struct FlushObserver {
    /// A flush that a lane's policy made.
    struct Flush {
        /// Number of the domain, from 1.
        var domain: Int32
        /// What was flushed.
        var what: Invalidator.Flush
        /// Whether a device was attached: only then the hardware was told.
        var isAttached: Bool
        /// What that takes.
        var commands: [InvalidationCommand]
    }

    /// By domain - 1. Unlike those of a ``CommandSink`` they gather in detached domains too: the API is used there all the same.
    private var invalidators: ContiguousArray<Invalidator>
    private var flushes: [Flush] = []

    init(_ hardware: Hardware, pageSizes: PageSizes, domains: Int) {
        invalidators = ContiguousArray(
            repeating: Invalidator(hardware, pageSizes: pageSizes, keepsCommands: true), count: domains)
    }

    mutating func unmapped(
        _ range: AddressRange, leaves: ArraySlice<PageTable.Run>, _ collecting: Collecting, domain: Int32,
        isAttached: Bool
    ) {
        guard collecting != .eachPage else { return }
        invalidators[Int(domain) - 1].unmap(range, leaves: leaves, isQueued: collecting == .queued)
        take(domain, isAttached: isAttached)
    }

    mutating func unmappedNothing(at iova: UInt64, domain: Int32) {
        invalidators[Int(domain) - 1].unmapNothing(at: iova)
    }

    mutating func flush(_ request: FlushRequest, domain: Int32, isAttached: Bool) {
        request.apply(to: &invalidators[Int(domain) - 1])
        take(domain, isAttached: isAttached)
    }

    private mutating func take(_ domain: Int32, isAttached: Bool) {
        invalidators[Int(domain) - 1].takeFlushes { what, commands in
            flushes.append(Flush(domain: domain, what: what, isAttached: isAttached, commands: Array(commands)))
        }
    }

    /// Hands over what was flushed since the last time.
    mutating func takeFlushes() -> [Flush] {
        guard !flushes.isEmpty else { return [] }
        defer { flushes.removeAll(keepingCapacity: true) }
        return flushes
    }
}
