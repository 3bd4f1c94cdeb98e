import Foundation

/// Where a value stands on an axis, and which values to write beside it.
struct Scale {
    /// How distance and value go together.
    enum Kind {
        /// The same distance for the same difference, from zero on or below.
        case linear
        /// The same distance for the same ratio. Zero, which no ratio reaches, has a place of its own before the first decade; so has what is below the floor.
        case log(withZero: Bool, floor: Double = 0)
    }

    let kind: Kind
    /// Least and greatest value, made round.
    let (low, high): (Double, Double)
    /// Where these stand, in units of the picture.
    let (start, end): (Double, Double)
    /// The room of zero on a logarithmic scale.
    private static let zeroRoom = 0.08

    /// A scale for these values.
    ///
    /// - Parameters:
    ///   - kind: `.log` needs values above zero; without any it becomes linear.
    ///   - start, end: where the least and the greatest value stand.
    init(_ kind: Kind, for values: [Double], from start: Double, to end: Double, ticks: Int = 5) {
        let finite = values.filter(\.isFinite)
        (self.start, self.end) = (start, end)
        if case .log(let withZero, let floor) = kind, let least = finite.filter({ $0 > 0 }).min(),
            let most = finite.max()
        {
            let least = Self.decade(max(least, min(floor, most)), .down)
            low = least
            high = max(Self.decade(most, .up), low * 10)
            self.kind = .log(withZero: withZero || finite.contains { $0 < least })
        } else {
            self.kind = .linear
            let (least, most) = (min(finite.min() ?? 0, 0), max(finite.max() ?? 0, 0))
            let step = Self.step(for: (most - least) / Double(max(ticks, 1)))
            low = (least / step).rounded(.down) * step
            high = max((most / step).rounded(.up) * step, low + step)
        }
    }

    /// A linear scale between two values as they are.
    init(between low: Double, and high: Double, from start: Double, to end: Double) {
        kind = .linear
        (self.low, self.high) = (low, high > low ? high : low + 1)
        (self.start, self.end) = (start, end)
    }

    /// Where a value stands; what is outside stands at the border.
    func callAsFunction(_ value: Double) -> Double {
        let fraction = fraction(value)
        return start + (end - start) * (fraction.isNaN ? 0 : min(max(fraction, 0), 1))
    }

    private func fraction(_ value: Double) -> Double {
        switch kind {
        case .linear: return (value - low) / (high - low)
        case .log(let withZero, _):
            guard value >= low * (1 - 1e-9) else { return 0 }
            let fraction = max(log10(value / low) / log10(high / low), 0)
            return withZero ? Self.zeroRoom + (1 - Self.zeroRoom) * fraction : fraction
        }
    }

    /// Round values within the scale, about as many as asked for.
    func ticks(about count: Int) -> [Double] {
        switch kind {
        case .linear:
            let step = Self.step(for: (high - low) / Double(max(count, 1)))
            let first = (low / step).rounded(.up)
            // The scale may be any two numbers: ticks are few whatever they are.
            return (0...(2 * count + 2)).map { (first + Double($0)) * step }
                .filter { $0 <= high * (1 + 1e-9) + step * 1e-9 }
        case .log(let withZero, _):
            let decades = max(log10(high / low).rounded(), 1)
            let every = max((decades / Double(max(count, 1))).rounded(.up), 1)
            let values = stride(from: 0, through: decades, by: every).map { low * pow(10, $0) }
            return (withZero ? [0] : []) + values
        }
    }

    /// 1, 2 or 5 times a power of ten, at least this.
    static func step(for least: Double) -> Double {
        guard least > 0, least.isFinite else { return 1 }
        let power = pow(10, log10(least).rounded(.down))
        return [1, 2, 5, 10].map { $0 * power }.first { $0 >= least * (1 - 1e-9) } ?? 10 * power
    }

    private static func decade(_ value: Double, _ rule: FloatingPointRoundingRule) -> Double {
        pow(10, (log10(value) + (rule == .up ? -1e-9 : 1e-9)).rounded(rule))
    }
}
