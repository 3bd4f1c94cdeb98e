import IOMMUModel
import TraceStore

/// The IOTLB of the one IOMMU under one policy: what accesses fill, commands of the policy's flushes empty (design §4 22).
///
/// Each entry's note says what has become of its page in the page table since it was filled. That way a log that names no
/// domains, whose one page table is that of several, does not make entries look stale that only that table has lost.
final class LaneCache {
    /// What happened to the entries of a domain.
    struct Counts {
        var hits: Int64 = 0
        var misses: Int64 = 0
        /// Tables that these read in memory.
        var walkReads: Int64 = 0
        var faults: Int64 = 0
        var staleHits: Int64 = 0
        var killed: Int64 = 0
        var liveKilled: Int64 = 0
        var stale: Int64 = 0
        /// By ``End``.
        var ended = InlineArray<3, Int64>(repeating: 0)
        /// Of those, ns.
        var longest: Int64 = 0
        /// Stale hits of which it is not certain yet that no flush came before.
        var suspects: Int64 = 0
        /// Time of the last unmap call, ns.
        var lastUnmap = Int64.min
    }

    /// How an entry ends.
    enum End: Int {
        /// A command of a flush.
        case invalidated = 0
        /// Another one takes its place, or the cache is reset.
        case madeRoom = 1
        /// No device is left in the domain, or it is freed.
        case detached = 2
    }

    /// What an entry's note says; any other is the time in ns at which an unmap cleared its page.
    private enum Note {
        /// The page table still says the same, as far as known.
        static let live = Int64.min
        /// It says something else, though no unmap said so.
        static let replaced = Int64.min + 1
        /// The unmap call that cleared the page is not through.
        static let clearing = Int64.min + 2
        static let firstTime = Int64.min + 3
    }

    /// What became of entries one by one, for tests.
    struct Witness {
        var ended: [(domain: Int32, range: AddressRange, from: Int64, to: Int64)] = []
        var staleHits: [(domain: Int32, iova: UInt64, time: Int64)] = []
        fileprivate var suspects: [(domain: Int32, iova: UInt64, time: Int64)] = []
    }

    @exclusivity(unchecked) var witness: Witness?

    let accesses: AccessAssumption
    @exclusivity(unchecked) private var tlb: IOTLB
    /// Beside it, paging-structure caches of a size that nobody knows: an assumption.
    @exclusivity(unchecked) private var walks = WalkCache(WalkCache.assumedGeometries)
    /// By domain - 1.
    @exclusivity(unchecked) private var counts: ContiguousArray<Counts>
    /// By domain and bucket of the length.
    @exclusivity(unchecked) private var lengths = SummingTable(zero: Int64(0))
    /// By domain - 1, whether the policy flushes in runs, of which the last call shows only later.
    private let isInRuns: [Bool]
    /// Number of the domain that stands for all that the log does not name; 0 if there is none.
    private let unresolved: Int32
    /// The tags of hardware domains of which it holds entries.
    @exclusivity(unchecked) private var hardwareTags: ContiguousArray<Int32> = []

    /// A host has a handful. What a hostile log names beyond is tagged as the domain itself.
    private static let hardwareTagLimit = 64
    /// Larger than any domain id of VT-d or AMD.
    private static let largestHardwareDomain: Int64 = 1 << 20

    init(_ model: CacheModel, isInRuns: [Bool], unresolved: Int32) {
        accesses = model.accesses
        tlb = IOTLB(model.geometry)
        counts = ContiguousArray(repeating: Counts(), count: isInRuns.count)
        self.isInRuns = isInRuns
        self.unresolved = unresolved
    }

    // MARK: - Tags

    /// The tag of an access: the domain, but where the log does not name it the hardware's id, if that is known.
    private func tag(_ domain: Int32, _ hardwareDomain: Int64) -> Int32 {
        guard domain == unresolved, (0..<Self.largestHardwareDomain).contains(hardwareDomain) else { return domain }
        let tag = -1 - Int32(hardwareDomain)
        if hardwareTags.contains(tag) { return tag }
        guard hardwareTags.count < Self.hardwareTagLimit else { return domain }
        hardwareTags.append(tag)
        return tag
    }

    private func index(ofTag tag: Int32) -> Int { Int(tag < 0 ? unresolved : tag) - 1 }

    /// Calls `body` with the tags that entries of a domain may have.
    ///
    /// - Parameter hardwareDomain: only those of this one, and those of which the hardware's id is not known; -1 for all.
    @inline(__always)
    private func forEachTag(_ domain: Int32, _ hardwareDomain: Int64 = -1, _ body: (Int32) -> Void) {
        body(domain)
        guard domain == unresolved, !hardwareTags.isEmpty else { return }
        for tag in hardwareTags where hardwareDomain < 0 || Int64(-1 - tag) == hardwareDomain { body(tag) }
    }

    // MARK: - Accesses

    /// A device's access.
    ///
    /// - Parameters:
    ///   - hardwareDomain: the hardware's domain id; -1 if unknown.
    ///   - leaf: what the page table says of `iova`.
    ///   - recorded: what the log says that it was translated to.
    func access(
        _ domain: Int32, hardwareDomain: Int64 = -1, iova: UInt64, leaf: PageTable.Leaf?, recorded: UInt64? = nil,
        at time: Int64
    ) {
        let tag = tag(domain, hardwareDomain)
        let index = Int(domain) - 1
        if let hit = tlb.lookup(domain: tag, iova: iova) {
            // The page may be mapped as before: again, or still, as a part of a large one of which another part went.
            if hit.note < Note.firstTime || hit.target == leaf?.target {
                counts[index].hits += 1
            } else if isInRuns[index] {
                counts[index].suspects += 1
                witness?.suspects.append((domain, iova, time))
            } else {
                counts[index].hits += 1
                counts[index].staleHits += 1
                witness?.staleHits.append((domain, iova, time))
            }
            return
        }
        // What the hardware found in its page table is certain. The model's may not have it: it was mapped before the
        // log began, or clocks put the access beside its place.
        var found = leaf
        if let recorded, recorded != leaf?.target { found = PageTable.Leaf(target: recorded, size: 4096) }
        guard let found else {
            counts[index].faults += 1
            return
        }
        counts[index].misses += 1
        counts[index].walkReads &+= Int64(walks.walk(domain: tag, iova: iova, size: found.size).memoryReads)
        tlb.fill(domain: tag, iova: iova, target: found.target, size: found.size, note: Note.live) {
            ended($0, .madeRoom, at: time)
        }
    }

    /// A device reads each page of a map.
    ///
    /// Of a map of more pages than twice the cache's entries only the last so many: earlier ones would have made room for
    /// them, and a log that maps exabytes must not take for ever.
    func touch(_ domain: Int32, _ range: AddressRange, _ table: PageTable, at time: Int64) {
        let limit = UInt64(tlb.geometry.entries) * 2
        var pages: UInt64 = 0
        table.forEachRun(overlapping: range) { pages &+= Self.pages($0, in: range) }
        var skipped = pages > limit ? pages - limit : 0
        table.forEachRun(overlapping: range) { run in
            let count = Self.pages(run, in: range)
            guard let part = run.clipped(to: range), run.pageSize > 0 else { return }
            guard count > skipped else {
                skipped -= count
                return
            }
            let shift = UInt64(run.pageSize.trailingZeroBitCount)
            for number in skipped..<count {
                let offset = number << shift
                access(
                    domain, iova: part.range.start &+ offset,
                    leaf: PageTable.Leaf(target: part.target &+ offset, size: run.pageSize), at: time)
            }
            skipped = 0
        }
    }

    private static func pages(_ run: PageTable.Run, in range: AddressRange) -> UInt64 {
        guard run.pageSize > 0, let part = run.range.intersection(range) else { return 0 }
        return (part.size &- 1) / run.pageSize &+ 1
    }

    // MARK: - The page table

    /// An unmap call clears what it removed; its flush, if it has one of its own, comes only now.
    ///
    /// - Returns: whether entries are concerned: then ``cleared(_:_:at:isAttached:)`` is to follow.
    func clearing(_ domain: Int32, _ range: AddressRange, _ removed: ContiguousArray<PageTable.Run>) -> Bool {
        let isUnresolved = domain == unresolved
        var any = false
        forEachTag(domain) { tag in
            tlb.updateNotes(domain: tag, overlapping: range) { entry in
                guard entry.note < Note.firstTime, !isUnresolved || Self.isOf(entry, removed) else { return entry.note }
                any = true
                return Note.clearing
            }
        }
        return any
    }

    /// Where a page table is that of several domains: whether what was removed may be what the entry was filled from.
    private static func isOf(_ entry: IOTLB.Entry, _ removed: ContiguousArray<PageTable.Run>) -> Bool {
        var isKnown = false
        for run in removed where run.tag >= 0 {
            guard let shared = run.range.intersection(entry.range) else { continue }
            isKnown = true
            if run.target &+ (shared.start - run.range.start) == entry.target &+ (shared.start - entry.range.start) {
                return true
            }
        }
        return !isKnown
    }

    /// The unmap call is through: entries that are still there are stale.
    func cleared(_ domain: Int32, _ range: AddressRange, at time: Int64, isAttached: Bool) {
        let index = Int(domain) - 1
        let note = isAttached ? max(time, Note.firstTime) : Note.replaced
        var stale: Int64 = 0
        forEachTag(domain) { tag in
            tlb.updateNotes(domain: tag, overlapping: range) { entry in
                guard entry.note == Note.clearing else { return entry.note }
                stale += 1
                return note
            }
        }
        counts[index].lastUnmap = max(counts[index].lastUnmap, time)
        if isAttached { counts[index].stale += stale }
    }

    /// A map replaced what was mapped in `range`.
    func replaced(_ domain: Int32, _ range: AddressRange, _ table: PageTable) {
        guard domain != unresolved else { return }
        tlb.updateNotes(domain: domain, overlapping: range) { entry in
            guard entry.note == Note.live, table.leaf(of: entry.range.start)?.target != entry.target else {
                return entry.note
            }
            return Note.replaced
        }
    }

    // MARK: - Invalidations

    /// A command of a flush of the domain.
    ///
    /// - Parameters:
    ///   - hint: whether tables that lead to the range are forgotten too.
    ///   - hardwareDomain: what the log's own command names; -1 for one of the model, which is of all.
    func apply(
        _ range: AddressRange?, _ domain: Int32, hint: InvalidationHint = .tablesToo, hardwareDomain: Int64,
        at time: Int64
    ) {
        forEachTag(domain, hardwareDomain) { tag in
            if let range {
                tlb.invalidate(domain: tag, range) { ended($0, .invalidated, at: time) }
                walks.invalidate(domain: tag, range, hint: hint)
            } else {
                tlb.invalidateDomain(tag) { ended($0, .invalidated, at: time) }
                walks.invalidateDomain(tag)
            }
        }
        // The flush came before what happened since the run's last call: those devices found nothing.
        let index = Int(domain) - 1
        guard counts[index].suspects > 0 else { return }
        counts[index].faults += counts[index].suspects
        counts[index].suspects = 0
        witness?.suspects.removeAll { $0.domain == domain }
    }

    /// The run of calls goes on: no flush came before the hits since the last one.
    func runGoesOn(in domain: Int32) {
        let index = Int(domain) - 1
        guard counts[index].suspects > 0 else { return }
        counts[index].hits += counts[index].suspects
        counts[index].staleHits += counts[index].suspects
        counts[index].suspects = 0
        if let suspects = witness?.suspects {
            witness?.staleHits += suspects.filter { $0.domain == domain }
            witness?.suspects = suspects.filter { $0.domain != domain }
        }
    }

    /// No device is left in the domain: the driver empties caches of it, whatever the policy.
    func detach(_ domain: Int32, at time: Int64) {
        runGoesOn(in: domain)
        forEachTag(domain) { tag in
            tlb.invalidateDomain(tag) { ended($0, .detached, at: time) }
            walks.invalidateDomain(tag)
        }
    }

    private func ended(_ entry: IOTLB.Entry, _ end: End, at time: Int64) {
        let index = index(ofTag: entry.domain)
        if end == .invalidated {
            counts[index].killed += 1
            if entry.note == Note.live { counts[index].liveKilled += 1 }
        }
        guard entry.note >= Note.firstTime else { return }
        // Where a run may have been flushed after its last call, the entry had an end then already.
        let time = isInRuns[index] && end == .madeRoom ? min(time, counts[index].lastUnmap) : time
        let length = max(time.subtractingSaturated(entry.note), 0)
        witness?.ended.append((Int32(index + 1), entry.range, entry.note, time))
        counts[index].ended[end.rawValue] += 1
        counts[index].longest = max(counts[index].longest, length)
        let bucket = lengths.index(of: UInt64(index) << 16 | UInt64(LengthScale.bucket(of: length)))
        lengths.sums[bucket] += 1
    }

    // MARK: - The end

    /// Nothing shows that a run has ended.
    func finish() {
        for index in counts.indices { runGoesOn(in: Int32(index + 1)) }
    }

    /// What it all came to in a domain.
    func counts(of domain: Int32) -> CacheCounts {
        let counts = counts[Int(domain) - 1]
        return CacheCounts(
            hits: counts.hits, misses: counts.misses, walkReads: counts.walkReads, faults: counts.faults,
            staleHits: counts.staleHits,
            killed: counts.killed, liveKilled: counts.liveKilled, staleEntries: counts.stale)
    }

    /// How long entries were stale, altogether and by domain.
    var staleEntries: [StaleEntryRow] {
        var ofDomain: [Int: [(upTo: Int64, windows: Int64, pages: Int64)]] = [:]
        for (key, count) in zip(lengths.keys, lengths.sums) {
            let bucket = (upTo: LengthScale.upperBound(of: Int(key & 0xffff)), windows: count, pages: Int64(0))
            ofDomain[Int(key >> 16), default: []].append(bucket)
        }
        var histogram = MergedHistogram()
        func row(_ member: Member, _ indices: [Int]) -> StaleEntryRow {
            var row = StaleEntryRow(of: member)
            var longest: Int64 = 0
            for index in indices {
                let counts = counts[index]
                row.entries = row.entries.addingSaturated(counts.stale)
                row.invalidated = row.invalidated.addingSaturated(counts.ended[End.invalidated.rawValue])
                row.madeRoom = row.madeRoom.addingSaturated(counts.ended[End.madeRoom.rawValue])
                row.detached = row.detached.addingSaturated(counts.ended[End.detached.rawValue])
                longest = max(longest, counts.longest)
                histogram.add(ofDomain[index] ?? [])
            }
            row.percentiles = histogram.percentiles([50, 90, 99], limit: longest)
            if !row.percentiles.isEmpty { row.longest = longest }
            histogram.clear()
            return row
        }
        let used = counts.indices.filter { counts[$0].stale > 0 }
        return [row(.trace, used)] + used.map { row(.domain(Int32($0 + 1)), [$0]) }
    }
}
