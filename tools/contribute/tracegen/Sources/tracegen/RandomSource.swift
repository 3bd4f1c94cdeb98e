/// xoshiro256** (Blackman and Vigna), seeded through SplitMix64: integers only, so the same on every machine.
///
/// Swift's own `SystemRandomNumberGenerator` cannot be seeded, and `Int.random(in:using:)` does not promise the same
/// numbers from one standard library to the next.
struct RandomSource {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    init(seed: UInt64) {
        var counter = seed
        func splitMix() -> UInt64 {
            counter &+= 0x9e37_79b9_7f4a_7c15
            var z = counter
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
        state = (splitMix(), splitMix(), splitMix(), splitMix())
    }

    mutating func next() -> UInt64 {
        func rotated(_ x: UInt64, _ k: UInt64) -> UInt64 { (x << k) | (x >> (64 &- k)) }
        let result = rotated(state.1 &* 5, 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotated(state.3, 45)
        return result
    }

    /// A number in `0..<bound`; 0 if the bound is 0. Multiply and take the high word: a bias below 2^-32 for the bounds
    /// here, and no loop whose length depends on luck.
    mutating func below(_ bound: UInt64) -> UInt64 {
        next().multipliedFullWidth(by: bound).high
    }

    /// A number in `1...(2 * mean - 1)`, so `mean` on average.
    mutating func around(_ mean: UInt64) -> UInt64 {
        1 + below(2 * mean - 1)
    }
}
