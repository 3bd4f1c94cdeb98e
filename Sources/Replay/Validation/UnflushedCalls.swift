import IOMMUModel

/// Driver callbacks of one task's unmaps that no command has covered yet, for logs that show no flush: which of them did a
/// recorded command flush?
struct UnflushedCalls {
    private struct Callback {
        var range: AddressRange
        var size: UInt64
        var freesTables: Bool
    }

    private var callbacks: ContiguousArray<Callback> = []
    /// More than any owner gathers; what is older was never flushed: no device was attached.
    private static let limit = 1 << 11
    private var dropped = 0
    private var nothing: UInt64?

    mutating func add(_ range: AddressRange, size: UInt64, freesTables: Bool) {
        if callbacks.count == Self.limit {
            callbacks.removeFirst(Self.limit / 2)
            dropped += Self.limit / 2
        }
        callbacks.append(Callback(range: range, size: size, freesTables: freesTables))
    }

    /// What the gather held when a sync sent a command for `block`: from the latest callback inside it back, as long as the driver's
    /// rule lets them be one span (model.md §4.4). It is flushed now.
    ///
    /// - Returns: the span, and whether tables were freed with it; `nil` if nothing is inside.
    mutating func take(inside block: AddressRange, by rule: Gather.Rule) -> (span: AddressRange, freesTables: Bool)? {
        guard let latest = callbacks.lastIndex(where: { block.contains($0.range) }) else { return nil }
        var span = callbacks[latest].range
        let size = callbacks[latest].size
        var freesTables = callbacks[latest].freesTables
        var taken = [latest]
        for index in callbacks.indices[..<latest].reversed() where block.contains(callbacks[index].range) {
            let next = callbacks[index]
            let joined = span.joined(with: next.range)
            guard rule == .anything || joined != nil && (rule == .gaps || next.size == size) else { break }
            span = joined ?? span.hull(with: next.range)
            freesTables = freesTables || next.freesTables
            taken.append(index)
        }
        // Mostly the last ones, from the end: each removal moves little.
        for index in taken { callbacks.remove(at: index) }
        return (span, freesTables)
    }

    /// An unmap found nothing here.
    mutating func addNothing(at iova: UInt64) { nothing = iova }

    /// Where the latest unmap found nothing, if that is inside one page that was flushed.
    mutating func takeNothing(inside block: AddressRange) -> UInt64? {
        guard let iova = nothing, block.size == 4096, block.start == iova & ~4095 else { return nil }
        nothing = nil
        return iova
    }

    /// How many no command has covered.
    var count: Int { callbacks.count + dropped }
}
