import Replay
import TestSupport
import Testing

@Suite struct ParetoFrontTests {
    /// Against the definition, pair by pair (design §4 31).
    @Test(arguments: seeds) func frontIsWhatNoneDominates(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            // Small numbers, so that there are ties in one and in both.
            let limit = 1 + random.next() % 40
            let points = (0...random.next() % 60).map { _ in
                ParetoFront.Point(
                    flushes: Int64(random.next() % limit), exposure: Int64(random.next() % limit))
            }
            let front = ParetoFront(points)
            for point in points {
                let isDominated = points.contains {
                    ($0.flushes < point.flushes && $0.exposure <= point.exposure)
                        || ($0.flushes <= point.flushes && $0.exposure < point.exposure)
                }
                #expect(front.isOn(point) == !isDominated, "\(point) of \(points)")
            }
        }
    }

    @Test func tiesStandOrFallTogether() {
        let (one, two) = (ParetoFront.Point(flushes: 5, exposure: 3), ParetoFront.Point(flushes: 5, exposure: 4))
        let front = ParetoFront([one, one, two, two])
        #expect(front.isOn(one))
        #expect(!front.isOn(two))
        #expect(ParetoFront([two, two]).isOn(two))
        #expect(ParetoFront([]).isOn(two))
    }

    /// Sums in another order differ in their last digits.
    @Test func exposureIsComparedInMicroseconds() {
        #expect(
            ParetoFront.Point(flushes: 1, pageSeconds: 0.1 + 0.2) == ParetoFront.Point(flushes: 1, pageSeconds: 0.3))
        #expect(ParetoFront.Point(flushes: 1, pageSeconds: 1e300).exposure == .max)
        #expect(ParetoFront.Point(flushes: 1, pageSeconds: 0.0000016).exposure == 2)
    }

    @Test(arguments: [Int64.min, -1, 0, 1, .max]) func extremes(value: Int64) {
        let point = ParetoFront.Point(flushes: value, exposure: value)
        #expect(ParetoFront([point]).isOn(point))
    }
}
