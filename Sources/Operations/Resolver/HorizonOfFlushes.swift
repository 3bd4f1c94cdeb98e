/// Seen from an unmap, going backwards through a window: which domains are flushed soon after it.
struct HorizonOfFlushes {
    /// Commands for ranges that are looked at after each unmap: what flushes one by one does it at once.
    private static let rangeLimit = 64

    /// When each label is flushed as a whole next.
    private var next: ContiguousArray<Int64?>
    /// Until when it is known what was flushed: commands that come later may be for anything.
    var end = Int64.min

    init(labels: Int) { next = ContiguousArray(repeating: nil, count: labels) }

    /// What comes behind the window.
    mutating func see(_ clue: Clue, _ resolver: Resolver) {
        end = max(end, clue.time)
        switch clue.kind {
        case .global:
            for label in next.indices where next[label] == nil { next[label] = clue.time }
        case .whole(let id):
            guard let label = resolver.knownIndex(of: .hardware(id)), label < next.count else { return }
            next[label] = next[label] ?? clue.time
        default: return
        }
    }

    /// A flush of a whole domain, or of all (`nil`), that comes before all that was seen.
    mutating func flush(_ label: Int?, _ time: Int64) {
        if let label {
            next[label] = time
        } else {
            for label in next.indices { next[label] = time }
        }
    }

    /// The labels that an unmap may have, as bits.
    ///
    /// - Parameter ranges: commands for ranges after it.
    func possible(_ unmap: Entry, _ ranges: ArraySlice<RangeCommand>) -> UInt32 {
        guard !isSoon(end, after: unmap.time) else { return .max }
        var labels: UInt32 = 0
        for label in next.indices {
            if let time = next[label], isSoon(time, after: unmap.time) { labels |= 1 << UInt32(label) }
        }
        let last = unmap.iova &+ (max(unmap.size, 1) - 1)
        for range in ranges.prefix(Self.rangeLimit) where range.first <= last && unmap.iova <= range.last {
            if isSoon(range.time, after: unmap.time) { labels |= 1 << UInt32(range.label) }
        }
        return labels
    }

    /// A clock that runs backwards makes no delay.
    private func isSoon(_ time: Int64, after unmap: Int64) -> Bool {
        let delay = time.subtractingReportingOverflow(unmap)
        return !delay.overflow && delay.partialValue <= Resolver.flushDelay
    }
}

extension ResolverWindow {
    /// Whoever unmaps sends a command for it, or for all of its domain, within some time. An unmap after which a domain had none is of
    /// another one.
    mutating func ruleOut(
        _ ranges: ContiguousArray<RangeCommand>, _ later: ArraySlice<Clue>, _ resolver: Resolver
    ) {
        impossible = ContiguousArray(repeating: 0, count: neighbours.count * labelCount)
        untold = ContiguousArray(repeating: 0, count: neighbours.count)
        var ofHardware: UInt32 = 0
        for label in 0..<labelCount {
            if case .hardware = resolver.labels[label] { ofHardware |= 1 << UInt32(label) }
        }
        guard ofHardware != 0 else { return }
        var horizon = HorizonOfFlushes(labels: labelCount)
        for clue in later { horizon.see(clue, resolver) }
        if let last = entries.last { horizon.end = max(horizon.end, last.time) }
        if let last = flushes.last { horizon.end = max(horizon.end, last.time) }
        var (flush, range) = (flushes.count, ranges.count)
        for index in (0..<count).reversed() {
            while flush > 0, flushes[flush - 1].before > index {
                flush -= 1
                horizon.flush(flushes[flush].label, flushes[flush].time)
            }
            while range > 0, ranges[range - 1].before > index { range -= 1 }
            let entry = entries[index]
            guard !entry.isMap, entry.fixed < 0, entry.size > 0 else { continue }
            untold[entry.burst] += 1
            let labels = horizon.possible(entry, ranges[range...])
            entries[index].impossible = ofHardware & ~labels
            for label in 0..<labelCount where entries[index].impossible >> UInt32(label) & 1 != 0 {
                impossible[entry.burst * labelCount + label] += 1
            }
        }
    }
}
