import TraceStore

/// Histograms of lengths added up, and the percentiles of what they come to (design §4 10, 16).
struct MergedHistogram {
    /// By bucket; the last one belongs to the longest length that there can be.
    private var counts = ContiguousArray(
        repeating: (windows: Int64(0), pages: Int64(0)), count: LengthScale.bucket(of: .max) + 1)
    private var used: Set<Int> = []

    mutating func add(_ histogram: [(upTo: Int64, windows: Int64, pages: Int64)]) {
        for row in histogram {
            let bucket = LengthScale.bucket(of: row.upTo)
            counts[bucket].windows += row.windows
            counts[bucket].pages = counts[bucket].pages.addingSaturated(row.pages)
            used.insert(bucket)
        }
    }

    /// By nearest rank over windows: upper bounds of buckets, none above `limit`. Empty if there are no windows.
    func percentiles(_ percents: [Double], limit: Int64) -> [Int64] {
        percentiles(percents, limit: limit) { Double(counts[$0].windows) }
    }

    /// The same over pages.
    func pagePercentiles(_ percents: [Double], limit: Int64) -> [Int64] {
        percentiles(percents, limit: limit) { Double(counts[$0].pages) }
    }

    private func percentiles(_ percents: [Double], limit: Int64, weight: (Int) -> Double) -> [Int64] {
        let buckets = used.sorted()
        guard let last = buckets.last else { return [] }
        let total = buckets.reduce(0) { $0 + weight($1) }
        return percents.map { percent in
            var reached = 0.0
            let bucket = buckets.first {
                reached += weight($0)
                return 100 * reached >= percent * total
            }
            return min(LengthScale.upperBound(of: bucket ?? last), limit)
        }
    }

    /// Empty again, at the cost of what was in use.
    mutating func clear() {
        for bucket in used { counts[bucket] = (0, 0) }
        used.removeAll(keepingCapacity: true)
    }
}
