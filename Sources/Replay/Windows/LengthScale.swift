/// The buckets of a histogram of lengths: log-linear, 128 to a power of two, below 256 one for each value (design §4 16).
enum LengthScale {
    /// The bucket that a length falls into.
    @inline(__always)
    static func bucket(of length: Int64) -> Int {
        let value = UInt64(max(length, 0))
        guard value >= 256 else { return Int(value) }
        let shift = 56 - value.leadingZeroBitCount
        return shift << 7 + Int(value >> UInt64(shift))
    }

    /// The longest length of a bucket.
    static func upperBound(of bucket: Int) -> Int64 {
        guard bucket >= 256 else { return Int64(bucket) }
        let shift = bucket >> 7 - 1
        let next = UInt64(bucket - shift << 7 + 1)
        return Int64(clamping: next << UInt64(shift) - 1)
    }
}
