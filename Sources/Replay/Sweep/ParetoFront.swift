/// Which of several schedules are worth a thought: those than which none has both fewer flushes and less exposure
/// (design §4 31).
public struct ParetoFront: Sendable {
    /// What a schedule costs and what it exposes.
    public struct Point: Hashable, Sendable {
        /// Flushes.
        public var flushes: Int64
        /// Stale pages x time in page-microseconds, what is open at the end of the log included. Whole ones: what two
        /// schedules sum up in another order is the same.
        public var exposure: Int64

        /// Creates a point.
        public init(flushes: Int64, exposure: Int64) {
            self.flushes = flushes
            self.exposure = exposure
        }

        /// Creates a point from page-seconds.
        public init(flushes: Int64, pageSeconds: Double) {
            let microseconds = (pageSeconds * 1e6).rounded()
            self.init(flushes: flushes, exposure: microseconds < 9e18 ? Int64(max(microseconds, 0)) : .max)
        }

        /// Whether it is at least as good in both, and better in one.
        public func dominates(_ other: Point) -> Bool {
            flushes <= other.flushes && exposure <= other.exposure && self != other
        }
    }

    /// The front, by flushes; each exposes less than the one before.
    private var steps: [Point] = []

    /// The front of these points.
    public init(_ points: [Point]) {
        for point in points.sorted(by: { ($0.flushes, $0.exposure) < ($1.flushes, $1.exposure) })
        where point.exposure < steps.last?.exposure ?? .max || steps.isEmpty {
            steps.append(point)
        }
    }

    /// Whether none of the front's points dominates this one.
    public func isOn(_ point: Point) -> Bool {
        // The last step with no more flushes is the one that exposes least of those.
        var low = 0
        var high = steps.count
        while low < high {
            let middle = low + (high - low) / 2
            if steps[middle].flushes <= point.flushes { low = middle + 1 } else { high = middle }
        }
        return low == 0 || !steps[low - 1].dominates(point)
    }
}
