/// Keeps one CPU at its share of `--rate`: operations come in bursts, and each pause lasts until the CPU is back on its
/// schedule. The schedule is kept in integers with a carried remainder, so it does not drift.
struct Pacer {
    /// When the operations done so far should have ended.
    private(set) var target: Time
    private let quotient: Time
    private let remainder: UInt64
    private let rate: UInt64
    private var carry: UInt64 = 0
    private var left: UInt64 = 0
    /// Mean time from one line of a burst to the next.
    private let lineTime: Time

    /// `workers` CPUs share the rate; an operation prints `linesPerOperation` half lines on average.
    init(_ options: Options, workers: Int, halfLinesPerOperation: UInt64, start: Time) {
        let share = UInt64(workers) * .second
        target = start
        rate = options.rate
        quotient = share / options.rate
        remainder = share % options.rate
        // 3 us, the lab's order of magnitude, but leave three quarters of the time for the pauses.
        lineTime = min(3 * .microsecond, max(2, quotient / (2 * halfLinesPerOperation)))
    }

    /// One operation ended. True if the burst is over; the next one starts no earlier than `target`.
    mutating func operationEnded() -> Bool {
        target += quotient
        carry += remainder
        if carry >= rate {
            carry -= rate
            target += 1
        }
        left = left > 0 ? left - 1 : 0
        return left == 0
    }

    mutating func beginBurst(_ options: Options, _ random: inout RandomSource) {
        left = random.around(options.burst)
    }

    /// The time to the next line of the same burst, half to one and a half times the mean.
    func step(_ random: inout RandomSource) -> Time {
        lineTime / 2 + random.below(lineTime)
    }
}
