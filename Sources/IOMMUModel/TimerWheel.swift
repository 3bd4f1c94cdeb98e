/// When a kernel timer really fires: the timer wheel of `kernel/time/timer.c`.
///
/// A timer is kept in one of several wheels whose slots are 8 times coarser each, and fires at the slot after its
/// expiry. At HZ=250 a flush queue's "10 ms" therefore ends 12 to 16 ms after it was armed (model.md §2.4 rule 4).
/// Ticks are counted from zero of the trace clock, which was measured to hold for `mono`; other clocks have another
/// phase, which no log tells.
public struct TimerWheel: Hashable, Sendable {
    /// Ticks per second, `CONFIG_HZ`.
    public let hz: Int64

    /// A wheel with `hz` ticks per second; `nil` unless 1...10000.
    public init?(hz: Int64) {
        guard (1...10_000).contains(hz) else { return nil }
        self.hz = hz
    }

    /// HZ=250, what distributions ship.
    public static let hz250 = TimerWheel(uncheckedHz: 250)

    private init(uncheckedHz: Int64) { hz = uncheckedHz }

    /// The moment, in ns of the trace clock, at which a timer armed at `time` for `timeout` fires.
    ///
    /// With J = 1/hz: e = floor(time/J) + ceil(timeout/J); the level L follows from ceil(timeout/J), its slots are
    /// g = 8^L ticks, and the timer fires at (floor(e/g) + 1) x g x J.
    ///
    /// - Parameters:
    ///   - time: ns, not negative.
    ///   - timeout: ns, not negative.
    /// - Returns: ns, `Int64.max` where the true value does not fit.
    public func deadline(armedAt time: Int64, timeout: Int64) -> Int64 {
        let delta = min(ticks(timeout, roundingUp: true), Self.longestTimeout)
        let expiry = ticks(time, roundingUp: false) &+ delta
        var level: UInt64 = 0
        while level < 8, delta >= 63 << (3 * level) { level += 1 }
        let slot = ((expiry >> (3 * level)) &+ 1) << (3 * level)
        return nanoseconds(ofTick: slot)
    }

    /// `WHEEL_TIMEOUT_MAX` of a wheel with nine levels: longer timers are cut to it.
    private static let longestTimeout: UInt64 = (63 << 24) - (1 << 24)
    private static let nanosecondsPerSecond: UInt64 = 1_000_000_000

    private func ticks(_ nanoseconds: Int64, roundingUp: Bool) -> UInt64 {
        let product = UInt64(max(nanoseconds, 0)).multipliedFullWidth(by: UInt64(hz))
        let (quotient, remainder) = Self.nanosecondsPerSecond.dividingFullWidth(product)
        return roundingUp && remainder > 0 ? quotient + 1 : quotient
    }

    private func nanoseconds(ofTick tick: UInt64) -> Int64 {
        let product = tick.multipliedFullWidth(by: Self.nanosecondsPerSecond)
        guard product.high < UInt64(hz) else { return .max }
        let (quotient, remainder) = UInt64(hz).dividingFullWidth(product)
        return Int64(clamping: remainder > 0 ? quotient &+ 1 : quotient)
    }
}
