import IOMMUModel

/// Takes the flushes of a lane one by one, as they happen at the API and at the hardware.
final class FlushObserver {
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

    /// By domain - 1. Unlike a lane's own they gather in detached domains too: the API is used there all the same.
    private var invalidators: ContiguousArray<Invalidator>
    private var flushes: [Flush] = []

    init(_ hardware: Hardware, pageSizes: PageSizes, domains: Int) {
        invalidators = ContiguousArray(
            repeating: Invalidator(hardware, pageSizes: pageSizes, keepsCommands: true), count: domains)
    }

    func take(_ domain: Int32, isAttached: Bool, _ body: (inout Invalidator) -> Void) {
        body(&invalidators[Int(domain) - 1])
        invalidators[Int(domain) - 1].takeFlushes { what, commands in
            flushes.append(Flush(domain: domain, what: what, isAttached: isAttached, commands: Array(commands)))
        }
    }

    /// Hands over what was flushed since the last time.
    func takeFlushes() -> [Flush] {
        guard !flushes.isEmpty else { return [] }
        defer { flushes.removeAll(keepingCapacity: true) }
        return flushes
    }
}
