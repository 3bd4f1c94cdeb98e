import TestSupport

@testable import IOMMUModel

/// A cache as its definition says and nothing else: lines by set and way, looked through one by one.
struct ObviousCache {
    struct Line {
        var entry: IOTLB.Entry
        var filled: Int
        var used: Int
    }

    private(set) var lines: [[Line?]]
    private(set) var counters = CacheCounters()
    private let geometry: CacheGeometry
    private var clock = 0
    private var random: SeededGenerator

    init(_ geometry: CacheGeometry) {
        self.geometry = geometry
        lines = Array(repeating: Array(repeating: nil, count: geometry.ways), count: geometry.sets)
        if case .random(let seed) = geometry.replacement {
            random = SeededGenerator(seed: seed)
        } else {
            random = SeededGenerator(seed: 0)
        }
    }

    var entries: Set<IOTLB.Entry> { Set(lines.joined().compactMap { $0?.entry }) }

    mutating func lookup(domain: Int32, iova: UInt64) -> (target: UInt64, size: UInt64)? {
        clock += 1
        var found: (set: Int, way: Int, entry: IOTLB.Entry)?
        for set in lines.indices {
            for way in lines[set].indices {
                guard let entry = lines[set][way]?.entry, entry.domain == domain,
                    entry.range.start <= iova, iova <= entry.range.last
                else { continue }
                if let best = found, best.entry.size < entry.size { continue }
                found = (set, way, entry)
            }
        }
        guard let found else {
            counters.misses += 1
            return nil
        }
        counters.hits += 1
        lines[found.set][found.way]?.used = clock
        return (found.entry.target &+ (iova - found.entry.range.start), found.entry.size)
    }

    /// - Returns: what made room.
    mutating func fill(domain: Int32, iova: UInt64, target: UInt64, size: UInt64) -> [IOTLB.Entry] {
        clock += 1
        counters.fills += 1
        let start = iova / size * size
        guard let range = AddressRange(start: start, size: size) else { return [] }
        let new = IOTLB.Entry(domain: domain, range: range, target: target &- (iova - start))
        var evicted: [IOTLB.Entry] = []
        defer { counters.evictions += Int64(evicted.count) }
        if geometry.replacement == .resetWhenFull, !lines[0].contains(where: { $0 == nil }) {
            evicted = lines[0].compactMap { $0?.entry }
            lines[0] = Array(repeating: nil, count: geometry.ways)
        }
        let set = Int(start / size % UInt64(geometry.sets))
        let same = lines[set].firstIndex { $0?.entry.domain == domain && $0?.entry.range == range }
        if let way = same, let old = lines[set][way] {
            lines[set][way] = Line(entry: new, filled: old.filled, used: clock)
            return evicted
        }
        let way = lines[set].firstIndex { $0 == nil } ?? victim(in: set)
        if let old = lines[set][way] { evicted.append(old.entry) }
        lines[set][way] = Line(entry: new, filled: clock, used: clock)
        return evicted
    }

    private mutating func victim(in set: Int) -> Int {
        func oldest(_ age: (Line) -> Int) -> Int {
            lines[set].indices.min { left, right in
                (lines[set][left].map(age) ?? 0) < (lines[set][right].map(age) ?? 0)
            } ?? 0
        }
        return switch geometry.replacement {
        case .leastRecentlyUsed, .resetWhenFull: oldest { $0.used }
        case .roundRobin: oldest { $0.filled }
        case .random: Int(random.next().multipliedFullWidth(by: UInt64(geometry.ways)).high)
        }
    }

    /// - Returns: what was removed.
    mutating func invalidate(where isDoomed: (IOTLB.Entry) -> Bool) -> Set<IOTLB.Entry> {
        var killed: Set<IOTLB.Entry> = []
        for set in lines.indices {
            for way in lines[set].indices {
                guard let entry = lines[set][way]?.entry, isDoomed(entry) else { continue }
                killed.insert(entry)
                lines[set][way] = nil
            }
        }
        counters.kills += Int64(killed.count)
        return killed
    }
}
