import TestSupport
import Testing

@testable import TraceStore

/// Moments of a log as `--since` and `--until` take them.
@Suite struct LogPartTests {
    private typealias Moment = LogPart.Moment

    @Test(arguments: [
        ("0", 0), ("29", 29_000_000_000), ("29.055039", 29_055_039_000), ("29.055039001", 29_055_039_001),
        ("100.5", 100_500_000_000), ("0.000000001", 1), ("007.250", 7_250_000_000), ("12s", 12_000_000_000),
        ("1.5ms", 1_500_000), ("250us", 250_000), ("2.001us", 2001), ("7ns", 7), ("7.0ns", 7),
        ("9223372036", 9_223_372_036_000_000_000), ("9223372036.854775807", Int64.max),
        ("9223372036854775807ns", Int64.max),
    ]) func readsADecimalNumberExactly(text: String, nanoseconds: Int64) {
        #expect(Moment(parsing: text) == .clock(nanoseconds))
        #expect(Moment(parsing: "+" + text) == .sinceBegin(nanoseconds))
    }

    @Test(arguments: [
        "", "s", "ms", ".", ".5", "5.", "5.s", "-5", "--5", "1.2.3", " 5", "5 ", "5 s", "1e3", "0x10", "5m", "5h",
        "5S", "5MS", "5sec", "5ss", "5msus", "5,5", "1_000", "1.0000000001", "\u{663}", "5\u{20dd}", "nan", "inf",
        "yesterday", "9223372037", "9223372036855ms", "9223372036854775808ns", "99999999999999999999", "1s5ms",
    ]) func refusesTheRest(text: String) {
        #expect(Moment(parsing: text) == nil)
        #expect(Moment(parsing: "+" + text) == nil)
    }

    @Test(arguments: ["+", "++5", "+-5", "-+5", "+ 5", "5+"]) func refusesSigns(text: String) {
        #expect(Moment(parsing: text) == nil)
    }

    struct Unit: Sendable, CustomTestStringConvertible {
        var suffix: String
        var nanoseconds: UInt64
        var testDescription: String { suffix }
    }

    static let units = [
        Unit(suffix: "", nanoseconds: 1_000_000_000), Unit(suffix: "s", nanoseconds: 1_000_000_000),
        Unit(suffix: "ms", nanoseconds: 1_000_000), Unit(suffix: "us", nanoseconds: 1000),
        Unit(suffix: "ns", nanoseconds: 1),
    ]

    /// No floating-point number could do that: any nanosecond of the clock in any unit.
    @Test(arguments: units) func everyNanosecondIsReadBack(unit: Unit) {
        var random = SeededGenerator(seed: 9)
        let digits = String(unit.nanoseconds).count - 1
        for _ in 0..<5000 {
            let time = random.hostile() >> 1
            let fraction = String(time % unit.nanoseconds)
            var text = String(time / unit.nanoseconds)
            if digits > 0 { text += "." + String(repeating: "0", count: digits - fraction.count) + fraction }
            // Zeros at the end may be left out.
            while digits > 0, text.hasSuffix("0"), random.next() % 4 != 0 { text.removeLast() }
            if text.hasSuffix(".") { text.removeLast() }
            #expect(Moment(parsing: text + unit.suffix) == .clock(Int64(time)), "\(text)\(unit.suffix)")
        }
    }

    /// A clock counts whole nanoseconds: what lies between two of them, or beyond the last, is no moment.
    @Test(arguments: ["0.5ns", "1.000000001ns", "1.0001us", "0.1234567ms", "9223372036.854775808", "9223372036.9"])
    func isNeverAnotherMomentThanTheOneTyped(text: String) {
        #expect(Moment(parsing: text) == nil)
        #expect(Moment(parsing: "+" + text) == nil)
    }

    @Test func aMomentSinceTheBeginCountsFromTheFirstEvent() {
        #expect(Moment.clock(500).time(first: 100) == 500)
        #expect(Moment.sinceBegin(500).time(first: 100) == 600)
        #expect(Moment.sinceBegin(.max).time(first: 100) == .max)
        #expect(Moment.sinceBegin(0).time(first: .max) == .max)
    }

    @Test func anErrorNamesTheSpanOfTheLog() {
        let error = LogPartError.nothingInside(first: 29_055_039_001, last: 30_000_000_000)
        #expect(error.message.contains("from 29.055039001 to 30.000000000 s"))
    }
}
