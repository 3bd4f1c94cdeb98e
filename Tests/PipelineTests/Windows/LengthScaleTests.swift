import TestSupport
import Testing

@testable import Replay

/// Design §4 16: buckets of one value each below 256, above that 128 to a power of two.
@Suite struct LengthScaleTests {
    /// The bucket of the longest length that there is.
    private static let last = 55 * 128 + 255

    @Test func everyBoundaryIsWhereItShouldBe() {
        var lower: Int64 = 0
        for bucket in 0...Self.last {
            let upper = LengthScale.upperBound(of: bucket)
            #expect(upper >= lower)
            #expect(LengthScale.bucket(of: lower) == bucket)
            #expect(LengthScale.bucket(of: upper) == bucket)
            if bucket < 256 {
                #expect(lower == Int64(bucket) && upper == lower)
            } else {
                // Whoever takes the upper bound for a length in the bucket is wrong by less than 1/128 of it.
                #expect(upper - lower < lower / 128, "bucket \(bucket)")
            }
            guard bucket < Self.last else {
                #expect(upper == .max)
                break
            }
            #expect(LengthScale.bucket(of: upper + 1) == bucket + 1)
            lower = upper + 1
        }
    }

    static let examples: [(length: Int64, bucket: Int)] = [
        (0, 0), (1, 1), (127, 127), (128, 128), (255, 255), (256, 256), (257, 256), (258, 257), (511, 383), (512, 384),
        (515, 384), (516, 385), (1023, 511), (1024, 512), (0x3fff_ffff_ffff_ffff, 7167), (0x4000_0000_0000_0000, 7168),
        (.max - 1, 7295), (.max, 7295),
    ]

    @Test(arguments: examples) func everyLengthHasItsBucket(length: Int64, bucket: Int) {
        #expect(LengthScale.bucket(of: length) == bucket)
    }

    /// Where a clock ran backwards the length counts as 0 (design §4 10).
    @Test(arguments: [-1, -256, Int64.min]) func negativeLengthsAreZero(length: Int64) {
        #expect(LengthScale.bucket(of: length) == 0)
    }

    @Test func everyPowerOfTwoHas128Buckets() {
        for shift in 8..<63 as Range<Int64> {
            let first = LengthScale.bucket(of: 1 << shift)
            let last = LengthScale.bucket(of: Int64(truncatingIfNeeded: (UInt64(2) << UInt64(shift)) - 1))
            #expect(last - first == 127, "2^\(shift)")
        }
    }

    @Test(arguments: seeds) func aLengthLiesInItsBucket(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            let length = Int64(truncatingIfNeeded: random.hostile() >> 1)
            let bucket = LengthScale.bucket(of: length)
            #expect(length <= LengthScale.upperBound(of: bucket))
            #expect(bucket == 0 || length > LengthScale.upperBound(of: bucket - 1))
        }
    }
}
