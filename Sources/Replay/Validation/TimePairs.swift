/// Pairs of two ordered lists of times, in order and not too far apart.
///
/// First come, first paired gives as many pairs as there can be; then each end of a pair moves to a neighbour that is nearer and
/// has no partner.
struct TimePairs {
    private let firsts: [Int64]
    private let seconds: [Int64]
    private var pairs: [(first: Int, second: Int)] = []

    /// - Parameter tolerance: ns, the largest distance of a pair.
    init(_ firsts: [Int64], _ seconds: [Int64], tolerance: Int64) {
        self.firsts = firsts
        self.seconds = seconds
        var (first, second) = (0, 0)
        while first < firsts.count, second < seconds.count {
            if distance(first, second).magnitude <= tolerance.magnitude {
                pairs.append((first, second))
                (first, second) = (first + 1, second + 1)
            } else if firsts[first] < seconds[second] {
                first += 1
            } else {
                second += 1
            }
        }
        // Backwards first: a pair that came too early leaves room for the one before it.
        for index in pairs.indices.reversed() { improve(index) }
        for index in pairs.indices { improve(index) }
    }

    /// ns from the second time to the first one of each pair, in order.
    var distances: [Int64] { pairs.map { distance($0.first, $0.second) } }

    private func distance(_ first: Int, _ second: Int) -> Int64 { firsts[first].subtractingSaturated(seconds[second]) }

    private mutating func improve(_ index: Int) {
        let before = index > 0 ? pairs[index - 1] : (-1, -1)
        let after = index + 1 < pairs.count ? pairs[index + 1] : (firsts.count, seconds.count)
        var pair = pairs[index]
        func move(_ step: Int, _ place: WritableKeyPath<(first: Int, second: Int), Int>, _ room: Range<Int>) {
            var moved = pair
            moved[keyPath: place] += step
            while room.contains(moved[keyPath: place]),
                distance(moved.first, moved.second).magnitude < distance(pair.first, pair.second).magnitude
            {
                pair = moved
                moved[keyPath: place] += step
            }
        }
        for step in [1, -1] {
            move(step, \.first, before.0 + 1..<after.0)
            move(step, \.second, before.1 + 1..<after.1)
        }
        pairs[index] = pair
    }
}
