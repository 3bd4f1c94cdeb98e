import Foundation

/// Numbers as people read them, the same in each locale.
enum Number {
    /// A whole number in groups of three: 12,067.
    static func whole(_ value: Int64) -> String {
        let digits = String(value.magnitude)
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { result += "," }
            result.append(digit)
        }
        return (value < 0 ? "−" : "") + result
    }

    /// With so many places after the point.
    static func fixed(_ value: Double, _ places: Int) -> String {
        guard value.isFinite else { return "–" }
        guard abs(value) < 1e15 else { return String(format: "%.3g", value) }
        let scaled = String(format: "%.\(places)f", abs(value))
        let parts = scaled.split(separator: ".", maxSplits: 1)
        let whole = whole(Int64(parts.first ?? "0") ?? 0)
        let isZero = !scaled.contains { $0 != "0" && $0 != "." }
        return (value < 0 && !isZero ? "−" : "") + whole + (parts.count > 1 ? "." + parts[1] : "")
    }

    /// With about three digits that count.
    static func short(_ value: Double) -> String {
        guard value.isFinite else { return "–" }
        switch abs(value) {
        case 0: return "0"
        case ..<0.001: return String(format: "%.1e", value).replacing("e-0", with: "e-")
        case ..<1: return trimmed(fixed(value, 3))
        case ..<10: return trimmed(fixed(value, 2))
        case ..<100: return trimmed(fixed(value, 1))
        case ..<1e6: return fixed(value, 0)
        case ..<1e9: return trimmed(fixed(value / 1e6, 1)) + " M"
        default: return trimmed(fixed(value / 1e9, 1)) + " G"
        }
    }

    /// For an axis: as short as can be.
    static func tick(_ value: Double) -> String {
        switch abs(value) {
        case 0: return "0"
        case 1e4..<1e6: return trimmed(fixed(value / 1e3, 1)) + " k"
        case 0.0001..<0.001: return trimmed(fixed(value, 4))
        default: return short(value)
        }
    }

    /// A length of time with its unit.
    static func time(_ nanoseconds: Double) -> String {
        switch abs(nanoseconds) {
        case 0: return "0"
        case ..<1e3: return short(nanoseconds) + " ns"
        case ..<1e6: return short(nanoseconds / 1e3) + " µs"
        case ..<1e9: return short(nanoseconds / 1e6) + " ms"
        default: return short(nanoseconds / 1e9) + " s"
        }
    }

    /// A length of time to the microsecond, as reports have it.
    static func exactTime(_ nanoseconds: Int64) -> String {
        let isLong = nanoseconds.magnitude >= 1_000_000_000
        return isLong ? fixed(Double(nanoseconds) / 1e9, 3) + " s" : fixed(Double(nanoseconds) / 1e6, 3) + " ms"
    }

    /// A number as it is, without zeros at its end.
    static func plain(_ value: Double) -> String { trimmed(fixed(value, 6)) }

    /// A share of a hundred, never rounded up to all or down to nothing.
    static func percent(_ value: Double) -> String {
        guard value != 0, value != 100 else { return fixed(value, 0) + " %" }
        let text = fixed(value, 1)
        if value < 100, text == "100.0" { return "more than 99.9 %" }
        return (text == "0.0" || text == "−0.0" ? fixed(value, 3) : text) + " %"
    }

    /// Bytes with a unit.
    static func bytes(_ value: Int64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var (amount, unit) = (Double(value), 0)
        while abs(amount) >= 1024, unit < units.count - 1 {
            amount /= 1024
            unit += 1
        }
        return "\(short(amount)) \(units[unit])"
    }

    /// A word with its number: 1 window, 2 windows.
    static func count(_ value: Int64, _ singular: String, _ plural: String? = nil) -> String {
        "\(whole(value)) \(value == 1 ? singular : plural ?? singular + "s")"
    }

    private static func trimmed(_ text: String) -> String {
        guard text.contains(".") else { return text }
        var text = text[...]
        while text.last == "0" { text.removeLast() }
        if text.last == "." { text.removeLast() }
        return String(text)
    }
}

extension Double {
    /// In a picture: tenths are as fine as anybody sees, and the same on each machine.
    var coordinate: String {
        guard isFinite else { return "0" }
        let tenths = (Swift.min(Swift.max(self, -1e6), 1e6) * 10).rounded()
        let (whole, rest) = (Int(tenths) / 10, abs(Int(tenths) % 10))
        let sign = tenths < 0 && whole == 0 ? "-" : ""
        return rest == 0 ? "\(whole)" : "\(sign)\(whole).\(rest)"
    }
}
