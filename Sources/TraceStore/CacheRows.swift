/// What happened in the simulated IOTLB of a replay: columns of `replay_domain` and `replay`.
public struct CacheCounts: Hashable, Sendable {
    /// Accesses that found an entry.
    public var hits: Int64
    /// Accesses that found none and loaded one.
    public var misses: Int64
    /// Tables that those read in memory.
    public var walkReads: Int64
    /// Accesses to what was neither cached nor mapped.
    public var faults: Int64
    /// Those of the hits whose entry an unmap had made stale.
    public var staleHits: Int64
    /// Entries that commands of flushes removed.
    public var killed: Int64
    /// Those of them that the page table still agreed with.
    public var liveKilled: Int64
    /// Entries that outlived the unmap call of their page.
    public var staleEntries: Int64

    /// Creates counts.
    public init(
        hits: Int64, misses: Int64, walkReads: Int64 = 0, faults: Int64, staleHits: Int64, killed: Int64,
        liveKilled: Int64,
        staleEntries: Int64
    ) {
        self.hits = hits
        self.misses = misses
        self.walkReads = walkReads
        self.faults = faults
        self.staleHits = staleHits
        self.killed = killed
        self.liveKilled = liveKilled
        self.staleEntries = staleEntries
    }

    static func sum(_ rows: [ReplayDomainRow]) -> CacheCounts? {
        let counts = rows.compactMap(\.cache)
        guard let first = counts.first else { return nil }
        return counts.dropFirst().reduce(first) {
            CacheCounts(
                hits: $0.hits.addingSaturated($1.hits), misses: $0.misses.addingSaturated($1.misses),
                walkReads: $0.walkReads.addingSaturated($1.walkReads),
                faults: $0.faults.addingSaturated($1.faults), staleHits: $0.staleHits.addingSaturated($1.staleHits),
                killed: $0.killed.addingSaturated($1.killed),
                liveKilled: $0.liveKilled.addingSaturated($1.liveKilled),
                staleEntries: $0.staleEntries.addingSaturated($1.staleEntries))
        }
    }

    /// In the order of the columns.
    static func columns(_ counts: CacheCounts?) -> [Int64?] {
        [
            counts?.hits, counts?.misses, counts?.walkReads, counts?.faults, counts?.staleHits, counts?.staleEntries,
            counts?.killed,
            counts?.liveKilled,
        ]
    }
}

/// How long entries of a simulated IOTLB were stale: a row of `stale_entry_total`.
public struct StaleEntryRow: Hashable, Sendable {
    /// Of whom: the trace or a domain.
    public var of: Member
    /// Entries that outlived the unmap call of their page; those that have no end below are there at the end of the log.
    public var entries: Int64 = 0
    /// Ended by a command of a flush.
    public var invalidated: Int64 = 0
    /// Ended by another entry that took their place, or by a reset.
    public var madeRoom: Int64 = 0
    /// Ended by the last device's leaving the domain, or by the domain's end.
    public var detached: Int64 = 0
    /// Lengths in ns that 50, 90 and 99 % of the ended ones do not exceed; empty without any.
    public var percentiles: [Int64] = []
    /// The longest length in ns.
    public var longest: Int64?

    /// Nothing yet.
    public init(of member: Member) { of = member }
}
