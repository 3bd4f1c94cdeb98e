import IOMMUModel

/// `iommufd=N`: how iommufd unmaps an area of a guest's memory (model.md §2.2, design §4 7).
///
/// * It collects page frames before it unmaps: as many as are N runs of contiguous ones. Each such batch is one `iommu_unmap`,
///   which syncs before it returns, so that no window outlives the call.
/// * An area is what VFIO would unmap in one run: calls of one task that touch, with nothing of that task's in between.
/// * Where the frames come from the maps; a page of which the log does not show the map is a run of its own.
struct IOMMUFDSchedule: FlushSchedule {
    private let limit: Int64
    /// Runs of page frames that the batch holds.
    private var runs: Int64 = 0
    /// The frame that would continue the last of them; `nil` for none.
    private var nextFrame: UInt64?
    /// What the area's calls have unmapped.
    private var area: AddressRange?
    /// Where batches begin inside the call at hand.
    private var cuts: ContiguousArray<UInt64> = []
    private(set) var waiting: Int64 = 0
    private var lastUnmap: UnmapCall?

    init(limit: Int64) { self.limit = limit }

    var collecting: Collecting { .inPieces }

    mutating func remove(_ leaves: ArraySlice<TranslationMap.Run>, of range: AddressRange) {
        cuts.removeAll(keepingCapacity: true)
        var next = range.start
        for leaf in leaves {
            guard let leaf = leaf.clipped(to: range), leaf.range.start >= next else { continue }
            if leaf.range.start > next { addUnknown(from: next, through: leaf.range.start - 1) }
            if leaf.pageSize == 0 || leaf.tag < 0 {
                addUnknown(from: leaf.range.start, through: leaf.range.last)
            } else {
                if leaf.target != nextFrame { beginRun(at: leaf.range.start) }
                nextFrame = leaf.target &+ leaf.range.size
            }
            if leaf.range.last == range.last { return }
            next = leaf.range.last + 1
        }
        addUnknown(from: next, through: range.last)
    }

    /// Pages of which the frames are not known.
    private mutating func addUnknown(from start: UInt64, through last: UInt64) {
        nextFrame = nil
        let pages = (last >> 12) - (start >> 12) + 1
        let room = UInt64(max(limit - runs, 0))
        guard pages > room else {
            runs += Int64(pages)
            return
        }
        // The batch is full after so many of them, and each further one after `limit` more.
        var cut = start &+ room << 12
        var left = pages - room
        while left > 0 {
            // What a hostile log unmaps at once is cut where that is worth telling.
            if cuts.count < Self.mostCuts { cuts.append(cut) } else { break }
            runs = Int64(min(left, UInt64(limit)))
            left -= UInt64(runs)
            cut &+= UInt64(limit) << 12
        }
    }

    private mutating func beginRun(at iova: UInt64) {
        if runs == limit {
            if cuts.count < Self.mostCuts { cuts.append(iova) }
            runs = 0
        }
        runs += 1
    }

    /// More batches than this of one call are counted as one.
    private static let mostCuts = 1 << 16

    mutating func on(_ event: DomainEvent, into actions: inout FlushActions) {
        switch event {
        case .unmapping(let call): begin(call, &actions)
        case .unmapped(let call): unmap(call, &actions)
        case .endOfRun: endArea(.endOfRun, &actions)
        case .free: (waiting, runs, nextFrame, area) = (0, 0, nil, nil)
        default: break
        }
    }

    /// What does not touch the area belongs to another one.
    private mutating func begin(_ call: UnmapCall, _ actions: inout FlushActions) {
        guard !call.isStrict, let range = call.range else { return endArea(.endOfRun, &actions) }
        let joined = area?.joined(with: range)
        if joined == nil { endArea(.gatherSplit, &actions) }
        area = joined ?? range
    }

    private mutating func unmap(_ call: UnmapCall, _ actions: inout FlushActions) {
        guard let range = call.range else { return }
        if call.isStrict {
            actions.add(.gather(range))
            return actions.flush(.call, at: call.occasion, calls: 1, .sync)
        }
        var next = range.start
        for cut in cuts {
            if cut > next { gather(from: next, through: cut - 1, &actions) }
            // What fills a batch to the brim was unmapped by the call before.
            let occasion = cut == range.start ? lastUnmap?.occasion ?? call.occasion : call.occasion
            actions.flush(.batchFull, at: occasion, calls: waiting, .sync)
            waiting = 0
            next = cut
        }
        gather(from: next, through: range.last, &actions)
        lastUnmap = call
    }

    private mutating func gather(from start: UInt64, through last: UInt64, _ actions: inout FlushActions) {
        if let piece = AddressRange(start: start, last: last) { actions.add(.gather(piece)) }
        waiting += 1
    }

    /// The last batch was unmapped with the area's last call, though only what follows shows that it was the last.
    private mutating func endArea(_ cause: FlushCause, _ actions: inout FlushActions) {
        (area, runs, nextFrame) = (nil, 0, nil)
        guard waiting > 0, let lastUnmap else { return }
        actions.flush(cause, at: lastUnmap.occasion, calls: waiting, .sync, wasAttached: lastUnmap.isAttached)
        waiting = 0
    }
}
