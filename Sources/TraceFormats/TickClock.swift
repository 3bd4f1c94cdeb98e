/// Trace clocks whose times are bare integers, and how to tell them apart by what a log shows of them.
///
/// Such a log says neither which clock it is nor how long a tick lasts: whoever recorded it must (`--ticks-per-second`).
public enum TickClock: Hashable, Sendable {
    /// `counter`: one tick for each event.
    case counter
    /// `uptime`: since boot, in hundredths of a second.
    case uptime
    /// `x86-tsc` and its like on other machines: cycles.
    case cycles

    /// What the first times of a log look like.
    init(guessedFrom ticks: [UInt64]) {
        var repeats = false
        var least = UInt64.max
        for (earlier, later) in zip(ticks, ticks.dropFirst()) {
            if later == earlier { repeats = true }
            if later > earlier { least = min(least, later - earlier) }
        }
        if least == .max, !repeats {
            // One time only: nobody boots for as long as a small cycle count would mean.
            self = (ticks.first ?? 0) < 1 << 32 ? .counter : .cycles
        } else if !repeats, least > 256 {
            self = .cycles
        } else {
            self = repeats ? .uptime : .counter
        }
    }

    /// What the kernel calls it.
    public var name: String {
        switch self {
        case .counter: "counter"
        case .uptime: "uptime"
        case .cycles: "x86-tsc"
        }
    }

    var advice: String {
        switch self {
        case .counter:
            "which counts events and knows no time; --ticks-per-second N takes each event for 1/N s, or record again"
        case .uptime:
            "which counts hundredths of a second: give --ticks-per-second 100, or record again"
        case .cycles:
            "which counts CPU cycles: give --ticks-per-second N (of the machine that recorded it: `dmesg | grep -i tsc` "
                + "tells MHz, 2593.904 MHz is N = 2593904000), or record again"
        }
    }

    /// Ticks as ns; `nil` beyond 2^63.
    static func nanoseconds(_ ticks: UInt64, perSecond rate: UInt64) -> Int64? {
        let product = ticks.multipliedFullWidth(by: 1_000_000_000)
        guard rate > product.high else { return nil }
        return Int64(exactly: rate.dividingFullWidth(product).quotient)
    }
}
