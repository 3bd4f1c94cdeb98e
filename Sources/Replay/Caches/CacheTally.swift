import IOMMUModel
import TraceStore

/// What became of the entries of a simulated IOTLB (design §4 22).
struct CacheTally {
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

    /// What became of entries one by one, for tests.
    struct Witness {
        var ended: [(domain: Int32, range: AddressRange, from: Int64, to: Int64)] = []
        var staleHits: [(domain: Int32, iova: UInt64, time: Int64)] = []
        var suspects: [(domain: Int32, iova: UInt64, time: Int64)] = []
    }

    var witness: Witness?

    /// By domain - 1.
    var counts: ContiguousArray<Counts>
    /// By domain and bucket of the length.
    private var lengths = SummingTable(zero: Int64(0))
    /// By domain - 1, whether the policy flushes in runs, of which the last call shows only later.
    let isInRuns: [Bool]
    /// Number of the domain that stands for all that the log does not name; 0 if there is none.
    private let unresolved: Int32

    init(isInRuns: [Bool], unresolved: Int32) {
        counts = ContiguousArray(repeating: Counts(), count: isInRuns.count)
        self.isInRuns = isInRuns
        self.unresolved = unresolved
    }

    /// An entry leaves the cache.
    mutating func ended(_ entry: IOTLB.Entry, _ end: End, at time: Int64) {
        let index = Int(entry.domain < 0 ? unresolved : entry.domain) - 1
        if end == .invalidated {
            counts[index].killed += 1
            if entry.note == LaneCache.Note.live { counts[index].liveKilled += 1 }
        }
        guard entry.note >= LaneCache.Note.firstTime else { return }
        // Where a run may have been flushed after its last call, the entry had an end then already.
        let time = isInRuns[index] && end == .madeRoom ? min(time, counts[index].lastUnmap) : time
        let length = max(time.subtractingSaturated(entry.note), 0)
        witness?.ended.append((Int32(index + 1), entry.range, entry.note, time))
        counts[index].ended[end.rawValue] += 1
        counts[index].longest = max(counts[index].longest, length)
        let bucket = lengths.index(of: UInt64(index) << 16 | UInt64(LengthScale.bucket(of: length)))
        lengths[bucket] += 1
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
        for entry in lengths.entries {
            let (key, count) = (entry.key, entry.value)
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
