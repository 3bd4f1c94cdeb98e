import IOMMUModel
import TraceStore

/// The IOTLB of the one IOMMU under one policy: what accesses fill, commands of the policy's flushes empty (design §4 22).
///
/// Each entry's note says what has become of its page in the page table since it was filled. That way a log that names no
/// domains, whose one page table is that of several, does not make entries look stale that only that table has lost.
struct LaneCache {
    /// What an entry's note says; any other is the time in ns at which an unmap cleared its page.
    enum Note {
        /// The page table still says the same, as far as known.
        static let live = Int64.min
        /// It says something else, though no unmap said so.
        static let replaced = Int64.min + 1
        /// The unmap call that cleared the page is not through.
        static let clearing = Int64.min + 2
        static let firstTime = Int64.min + 3
    }

    let accesses: AccessAssumption
    private var tlb: IOTLB
    /// Beside it, paging-structure caches of a size that nobody knows: an assumption.
    private var walks = WalkCache(WalkCache.assumedGeometries)
    /// What became of its entries.
    private(set) var tally: CacheTally
    /// Number of the domain that stands for all that the log does not name; 0 if there is none.
    private let unresolved: Int32
    /// The tags of hardware domains of which it holds entries.
    private var hardwareTags: ContiguousArray<Int32> = []

    /// A host has a handful. What a hostile log names beyond is tagged as the domain itself.
    private static let hardwareTagLimit = 64
    /// Larger than any domain id of VT-d or AMD.
    private static let largestHardwareDomain: Int64 = 1 << 20

    init(_ model: CacheModel, isInRuns: [Bool], unresolved: Int32) {
        accesses = model.accesses
        tlb = IOTLB(model.geometry)
        tally = CacheTally(isInRuns: isInRuns, unresolved: unresolved)
        self.unresolved = unresolved
    }

    /// From here on it keeps what becomes of each entry.
    mutating func watch() { tally.witness = CacheTally.Witness() }

    // MARK: - Tags

    /// The tag of an access: the domain, but where the log does not name it the hardware's id, if that is known.
    private mutating func tag(_ domain: Int32, _ hardwareDomain: Int64) -> Int32 {
        guard domain == unresolved, (0..<Self.largestHardwareDomain).contains(hardwareDomain) else { return domain }
        let tag = -1 - Int32(hardwareDomain)
        if hardwareTags.contains(tag) { return tag }
        guard hardwareTags.count < Self.hardwareTagLimit else { return domain }
        hardwareTags.append(tag)
        return tag
    }

    /// Calls `body` with the tags that entries of a domain may have.
    ///
    /// - Parameter hardwareDomain: only those of this one, and those of which the hardware's id is not known; -1 for all.
    @inline(__always)
    private static func forEachTag(
        _ domain: Int32, _ hardwareDomain: Int64 = -1, among hardwareTags: ContiguousArray<Int32>,
        _ body: (Int32) -> Void
    ) {
        body(domain)
        for tag in hardwareTags where hardwareDomain < 0 || Int64(-1 - tag) == hardwareDomain { body(tag) }
    }

    /// Those that entries of a domain may have besides itself.
    private func furtherTags(of domain: Int32) -> ContiguousArray<Int32> { domain == unresolved ? hardwareTags : [] }

    // MARK: - Accesses

    /// A device's access.
    ///
    /// - Parameters:
    ///   - hardwareDomain: the hardware's domain id; -1 if unknown.
    ///   - leaf: what the page table says of `iova`.
    ///   - recorded: what the log says that it was translated to.
    mutating func access(
        _ domain: Int32, hardwareDomain: Int64 = -1, iova: UInt64, leaf: PageTable.Leaf?, recorded: UInt64? = nil,
        at time: Int64
    ) {
        let tag = tag(domain, hardwareDomain)
        let index = Int(domain) - 1
        if let hit = tlb.lookup(domain: tag, iova: iova) {
            // The page may be mapped as before: again, or still, as a part of a large one of which another part went.
            if hit.note < Note.firstTime || hit.target == leaf?.target {
                tally.counts[index].hits += 1
            } else if tally.isInRuns[index] {
                tally.counts[index].suspects += 1
                tally.witness?.suspects.append((domain, iova, time))
            } else {
                tally.counts[index].hits += 1
                tally.counts[index].staleHits += 1
                tally.witness?.staleHits.append((domain, iova, time))
            }
            return
        }
        // What the hardware found in its page table is certain. The model's may not have it: it was mapped before the
        // log began, or clocks put the access beside its place.
        var found = leaf
        if let recorded, recorded != leaf?.target { found = PageTable.Leaf(target: recorded, size: 4096) }
        guard let found else {
            tally.counts[index].faults += 1
            return
        }
        tally.counts[index].misses += 1
        tally.counts[index].walkReads &+= Int64(walks.walk(domain: tag, iova: iova, size: found.size).memoryReads)
        tlb.fill(domain: tag, iova: iova, target: found.target, size: found.size, note: Note.live) {
            tally.ended($0, .madeRoom, at: time)
        }
    }

    /// A device reads each page of a map.
    ///
    /// Of a map of more pages than twice the cache's entries only the last so many: earlier ones would have made room for
    /// them, and a log that maps exabytes must not take for ever.
    ///
    /// - Parameter leaves: what the page table has in `range`.
    mutating func touch(_ domain: Int32, _ range: AddressRange, _ leaves: ArraySlice<PageTable.Run>, at time: Int64) {
        let limit = UInt64(tlb.geometry.entries) * 2
        let pages = leaves.reduce(UInt64(0)) { $0 &+ Self.pages($1, in: range) }
        var skipped = pages > limit ? pages - limit : 0
        for run in leaves {
            let count = Self.pages(run, in: range)
            guard let part = run.clipped(to: range), run.pageSize > 0 else { continue }
            guard count > skipped else {
                skipped -= count
                continue
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
    mutating func clearing(_ domain: Int32, _ range: AddressRange, _ removed: ArraySlice<PageTable.Run>) -> Bool {
        let isUnresolved = domain == unresolved
        var any = false
        Self.forEachTag(domain, among: furtherTags(of: domain)) { tag in
            tlb.updateNotes(domain: tag, overlapping: range) { entry in
                guard entry.note < Note.firstTime, !isUnresolved || Self.isOf(entry, removed) else { return entry.note }
                any = true
                return Note.clearing
            }
        }
        return any
    }

    /// Where a page table is that of several domains: whether what was removed may be what the entry was filled from.
    private static func isOf(_ entry: IOTLB.Entry, _ removed: ArraySlice<PageTable.Run>) -> Bool {
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
    mutating func cleared(_ domain: Int32, _ range: AddressRange, at time: Int64, isAttached: Bool) {
        let index = Int(domain) - 1
        let note = isAttached ? max(time, Note.firstTime) : Note.replaced
        var stale: Int64 = 0
        Self.forEachTag(domain, among: furtherTags(of: domain)) { tag in
            tlb.updateNotes(domain: tag, overlapping: range) { entry in
                guard entry.note == Note.clearing else { return entry.note }
                stale += 1
                return note
            }
        }
        tally.counts[index].lastUnmap = max(tally.counts[index].lastUnmap, time)
        if isAttached { tally.counts[index].stale += stale }
    }

    /// A map replaced what was mapped in `range`.
    ///
    /// - Parameter leaves: what the page table has there now. Of an entry that begins before it, the begin is as it was.
    mutating func replaced(_ domain: Int32, _ range: AddressRange, _ leaves: ArraySlice<PageTable.Run>) {
        guard domain != unresolved else { return }
        tlb.updateNotes(domain: domain, overlapping: range) { entry in
            let start = entry.range.start
            guard entry.note == Note.live, start >= range.start else { return entry.note }
            let leaf = leaves.first { $0.range.start <= start && start <= $0.range.last }
            let target = leaf.map { $0.target &+ (start - $0.range.start) }
            return target == entry.target ? entry.note : Note.replaced
        }
    }

    // MARK: - Invalidations

    /// A command of a flush of the domain.
    ///
    /// - Parameters:
    ///   - hint: whether tables that lead to the range are forgotten too.
    ///   - hardwareDomain: what the log's own command names; -1 for one of the model, which is of all.
    mutating func apply(
        _ range: AddressRange?, _ domain: Int32, hint: InvalidationHint = .tablesToo, hardwareDomain: Int64,
        at time: Int64
    ) {
        Self.forEachTag(domain, hardwareDomain, among: furtherTags(of: domain)) { tag in
            if let range {
                tlb.invalidate(domain: tag, range) { tally.ended($0, .invalidated, at: time) }
                walks.invalidate(domain: tag, range, hint: hint)
            } else {
                tlb.invalidateDomain(tag) { tally.ended($0, .invalidated, at: time) }
                walks.invalidateDomain(tag)
            }
        }
        // The flush came before what happened since the run's last call: those devices found nothing.
        let index = Int(domain) - 1
        guard tally.counts[index].suspects > 0 else { return }
        tally.counts[index].faults += tally.counts[index].suspects
        tally.counts[index].suspects = 0
        tally.witness?.suspects.removeAll { $0.domain == domain }
    }

    /// The run of calls goes on: no flush came before the hits since the last one.
    mutating func runGoesOn(in domain: Int32) {
        let index = Int(domain) - 1
        guard tally.counts[index].suspects > 0 else { return }
        tally.counts[index].hits += tally.counts[index].suspects
        tally.counts[index].staleHits += tally.counts[index].suspects
        tally.counts[index].suspects = 0
        if let suspects = tally.witness?.suspects {
            tally.witness?.staleHits += suspects.filter { $0.domain == domain }
            tally.witness?.suspects = suspects.filter { $0.domain != domain }
        }
    }

    /// No device is left in the domain: the driver empties caches of it, whatever the policy.
    mutating func detach(_ domain: Int32, at time: Int64) {
        runGoesOn(in: domain)
        Self.forEachTag(domain, among: furtherTags(of: domain)) { tag in
            tlb.invalidateDomain(tag) { tally.ended($0, .detached, at: time) }
            walks.invalidateDomain(tag)
        }
    }

    // MARK: - The end

    /// Nothing shows that a run has ended.
    mutating func finish() {
        for index in tally.counts.indices { runGoesOn(in: Int32(index + 1)) }
    }
}
