/// SplitMix64: the same numbers for the same seed, on every machine.
public struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    /// Starts a sequence.
    public init(seed: UInt64) { state = seed }

    /// The next number.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    /// A number below `limit`, small ones far likelier than large ones.
    public mutating func small(below limit: UInt64) -> UInt64 {
        let bits = UInt64.random(in: 0...UInt64(64 - limit.leadingZeroBitCount), using: &self)
        return ((next() >> (63 - bits)) >> 1) % limit
    }

    /// Any number, with the ends of the range, powers of two and their neighbours far likelier than they should be.
    public mutating func hostile() -> UInt64 {
        switch next() % 4 {
        case 0: [0, 1, 4095, 4096, .max, .max - 1, .max - 4095, 1 << 63][Int(next() % 8)]
        case 1: (1 << (next() % 64)) &+ (next() % 3) &- 1
        case 2: next() >> (next() % 64)
        default: next()
        }
    }
}

/// Seeds of property tests.
public let seeds: [UInt64] = [1, 2, 3, 5, 8, 13]
