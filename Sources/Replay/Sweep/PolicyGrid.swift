import FlushSchedules
import Glibc

/// Flush schedules that are asked for at once, as ranges: `queue=64..4096,1ms..100ms`.
///
/// Each parameter of a policy is a list of values and ranges, and the grid is what all of them come to, crossed.
public struct PolicyGrid: Hashable, Sendable {
    /// More points than anybody reads, and what a log with few domains bears.
    public static let pointLimit = 400

    /// What it looks like on the command line.
    public static let grammar = """
        NAME=A..B         a policy of replay with a range for a parameter: queue=64..4096,10ms batch=2..512 every=1ms..100ms
                          numbers double from A on, times go 1-2-5; A and B are always among them
        NAME=A..B/N       N values, each the same multiple of the one before: queue=256,1ms..100ms/5
        NAME=A|B|C        these values, or ranges: single-queue=256|1024..4096,10ms
        NAME=…,…          each value of one parameter with each of the other
        """

    /// The grid of a sweep that names none: around the kernel's queue, and what needs no queue.
    public static let standard = ["queue=64..4096,1ms..100ms", "batch=2..512", "every=100us..100ms"]

    /// The policies, in the order in which they were asked for, none twice.
    public let policies: [Policy]
    /// The one way of writing it.
    public let canonical: String

    /// Reads grids as typed and puts them together.
    public init(parsing texts: [String]) throws(GridError) {
        var policies: [Policy] = []
        var seen: Set<Policy> = []
        var canonical: [String] = []
        for text in texts {
            let (own, written) = try Self.parse(text)
            policies += own.filter { seen.insert($0).inserted }
            if !canonical.contains(written) { canonical.append(written) }
            guard policies.count <= Self.pointLimit else {
                throw .tooMany(texts.joined(separator: " "), policies.count)
            }
        }
        self.policies = policies
        self.canonical = canonical.sorted().joined(separator: " ")
    }

    private static func parse(_ text: String) throws(GridError) -> ([Policy], String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let parameters =
            parts.count < 2 ? [] : parts[1].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        switch (parts[0], parameters.count) {
        case ("batch", 1):
            let calls = try counts(parameters[0], atLeast: 1, in: text)
            return (calls.values.map { .batch(calls: $0) }, "batch=\(calls.text)")
        case ("every", 1):
            let times = try times(parameters[0], in: text)
            return (times.values.map { .every(interval: $0) }, "every=\(times.text)")
        case ("queue", 2), ("single-queue", 2):
            let entries = try counts(parameters[0], atLeast: 2, in: text)
            let times = try times(parameters[1], in: text)
            let (points, overflow) = entries.values.count.multipliedReportingOverflow(by: times.values.count)
            guard !overflow, points <= pointLimit else { throw .tooMany(text, overflow ? .max : points) }
            let policies = entries.values.flatMap { entries in
                times.values.map { time -> Policy in
                    parts[0] == "queue"
                        ? .queue(entries: entries, timeout: time) : .singleQueue(entries: entries, timeout: time)
                }
            }
            return (policies, "\(parts[0])=\(entries.text),\(times.text)")
        default:
            do throws(PolicyError) {
                let policy = try Policy(parsing: text)
                guard policy != .fast else {
                    throw PolicyError(text: text, reason: "means another schedule in each domain: name one")
                }
                return ([policy], policy.canonical)
            } catch {
                throw .unreadable(text, error.reason)
            }
        }
    }

    // MARK: - Values

    /// The values of one parameter, in order, and how they are written.
    private typealias Values = (values: [Int64], text: String)

    private static func counts(_ text: String, atLeast least: Int64, in whole: String) throws(GridError) -> Values {
        try values(
            text, in: whole,
            read: { part throws(PolicyError) in try Policy.count(part, atLeast: least, in: whole) },
            write: { String($0) }, steps: doubling, digits: .max)
    }

    private static func times(_ text: String, in whole: String) throws(GridError) -> Values {
        try values(
            text, in: whole, read: { part throws(PolicyError) in try Policy.duration(part, in: whole) },
            write: Policy.text, steps: oneTwoFive, digits: 1000)
    }

    /// Reads `A|B..C|D..E/N`.
    private static func values(
        _ text: String, in whole: String, read: (String) throws(PolicyError) -> Int64, write: (Int64) -> String,
        steps: (Int64, Int64) -> [Int64], digits: Int64
    ) throws(GridError) -> Values {
        func value(_ text: Substring) throws(GridError) -> Int64 {
            do throws(PolicyError) {
                return try read(String(text))
            } catch {
                throw .unreadable(whole, error.reason)
            }
        }
        var values: [Int64] = []
        var written: [String] = []
        for item in text.split(separator: "|", omittingEmptySubsequences: false) {
            guard let dots = item.firstRange(of: "..") else {
                let single = try value(item)
                values.append(single)
                written.append(write(single))
                continue
            }
            let end = item[dots.upperBound...].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            let first = try value(item[..<dots.lowerBound])
            let last = try value(end[0])
            guard first <= last else {
                throw .unreadable(
                    whole, "has a range that ends before it begins: write \(write(last))..\(write(first))")
            }
            if end.count > 1 {
                let count = try number(of: end[1], in: whole)
                values += equalSteps(first, last, count: count, below: digits)
                written.append("\(write(first))..\(write(last))/\(count)")
            } else {
                values += steps(first, last)
                written.append("\(write(first))..\(write(last))")
            }
        }
        var seen: Set<Int64> = []
        return (values.filter { seen.insert($0).inserted }, written.joined(separator: "|"))
    }

    private static func number(of text: Substring, in whole: String) throws(GridError) -> Int {
        guard text.allSatisfy({ $0.isASCII && $0.isNumber }), let count = Int(text), (2...pointLimit).contains(count)
        else {
            throw .unreadable(whole, "needs the number of values after the slash, from 2 to \(pointLimit)")
        }
        return count
    }

    /// A, 2 A, 4 A, … and B.
    private static func doubling(_ first: Int64, _ last: Int64) -> [Int64] {
        var values: [Int64] = []
        var value = first
        while value < last {
            values.append(value)
            value *= 2
        }
        return values + [last]
    }

    /// A, what lies between of 1, 2, 5, 10, 20, 50, …, and B.
    private static func oneTwoFive(_ first: Int64, _ last: Int64) -> [Int64] {
        var values: [Int64] = []
        var decade: Int64 = 1
        while decade < last {
            values += [decade, 2 * decade, 5 * decade].filter { first < $0 && $0 < last }
            decade *= 10
        }
        return first < last ? [first] + values + [last] : [first]
    }

    /// Each the same multiple of the one before, as whole numbers whose leading digits are below a limit, so that they can
    /// be read.
    private static func equalSteps(_ first: Int64, _ last: Int64, count: Int, below limit: Int64) -> [Int64] {
        (0..<count).map { step in
            if step == 0 { return first }
            if step == count - 1 { return last }
            let exact = Double(first) * pow(Double(last) / Double(first), Double(step) / Double(count - 1))
            var value = Int64(exact.rounded())
            var unit: Int64 = 1
            while value / unit >= limit { unit *= 10 }
            value = (value + unit / 2) / unit * unit
            return min(max(value, first), last)
        }
    }
}

/// Grids that cannot be read, or are too large.
public enum GridError: Error, Hashable, CustomStringConvertible {
    /// The text, and what is wrong with it.
    case unreadable(String, String)
    /// The text, and how many points it is.
    case tooMany(String, Int)

    /// What is wrong and what there is.
    public var description: String {
        switch self {
        case .unreadable(let text, let reason):
            "grid '\(text)' \(reason)\n\(PolicyGrid.grammar)\n\(Policy.grammar)"
        case .tooMany(let text, let count):
            "grid '\(text)' has \(count) points, the limit is \(PolicyGrid.pointLimit): narrow a range, or take fewer "
                + "values of it, such as queue=64..4096/4,1ms..100ms/4"
        }
    }
}
