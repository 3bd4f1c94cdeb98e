import GRDB

/// Which part of a log is meant: `--since`, `--until`, `--between`.
public enum LogPart: Hashable, Sendable {
    /// All of it.
    case whole
    /// From a moment to a moment, as far as they are given.
    case times(since: Moment?, until: Moment?)
    /// From one trace marker to another that follows it: the first ones that are these texts, or hold them.
    case markers(String, String)

    /// A moment of a log.
    public enum Moment: Hashable, Sendable {
        /// ns of the trace clock.
        case clock(Int64)
        /// ns after the first event.
        case sinceBegin(Int64)

        /// Reads seconds of the trace clock as a log prints them, `29.055039`, or after `+` a time from the first event on,
        /// in seconds or with a unit, `+2.5` or `+250ms`; `nil` if it is neither.
        public init?(parsing text: String) {
            let isRelative = text.hasPrefix("+")
            let number = isRelative ? text.dropFirst() : text[...]
            let units: [(String, Int64)] = [("ns", 1), ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000)]
            let unit = units.first { number.hasSuffix($0.0) } ?? ("", 1_000_000_000)
            guard let nanoseconds = Self.nanoseconds(number.dropLast(unit.0.count), unit.1) else { return nil }
            self = isRelative ? .sinceBegin(nanoseconds) : .clock(nanoseconds)
        }

        /// A decimal number of units, exactly: at most nine digits of a fraction, and whole nanoseconds.
        private static func nanoseconds(_ text: Substring, _ unit: Int64) -> Int64? {
            let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            let fraction = parts.count > 1 ? parts[1] : ""
            guard let first = parts.first, !first.isEmpty, parts.count == 1 || !fraction.isEmpty, fraction.count <= 9,
                (first + fraction).allSatisfy({ $0.isASCII && $0.isNumber }), let whole = Int64(first),
                let part = Int64(fraction + String(repeating: "0", count: 9 - fraction.count))
            else { return nil }
            let (nanoseconds, between) = part.quotientAndRemainder(dividingBy: 1_000_000_000 / unit)
            let (product, isTooLarge) = whole.multipliedReportingOverflow(by: unit)
            let (sum, isBeyond) = product.addingReportingOverflow(nanoseconds)
            return between != 0 || isTooLarge || isBeyond ? nil : sum
        }

        func time(first: Int64) -> Int64 {
            switch self {
            case .clock(let time): time
            case .sinceBegin(let time): first.addingSaturated(time)
            }
        }
    }
}

extension TraceSummary {
    /// A part of a trace, found.
    public struct Part: Hashable, Sendable {
        /// First and last line.
        public var lines: ClosedRange<Int64>
        /// Begin in ns of the trace clock.
        public var firstTime: Int64
        /// End in ns of the trace clock.
        public var lastTime: Int64
        /// Whether it is all of the trace.
        public var isWhole: Bool
        /// When it begins and ends, in words.
        public var text: String {
            "from \(LogPartError.seconds(firstTime)) to \(LogPartError.seconds(lastTime)) s of the trace clock"
        }

        /// Describes a part.
        public init(lines: ClosedRange<Int64>, firstTime: Int64, lastTime: Int64, isWhole: Bool) {
            self.lines = lines
            self.firstTime = firstTime
            self.lastTime = lastTime
            self.isWhole = isWhole
        }
    }

    /// All of the trace.
    public var wholePart: Part {
        Part(lines: .min ... .max, firstTime: firstTime, lastTime: lastTime, isWhole: true)
    }

    /// Finds a part of the trace.
    ///
    /// - Throws: ``LogPartError`` if nothing lies in it.
    public func find(_ part: LogPart, _ database: Database) throws -> Part {
        switch part {
        case .whole: return wholePart
        case .times(let since, let until):
            let first = max(since?.time(first: firstTime) ?? firstTime, firstTime)
            let last = min(until?.time(first: firstTime) ?? lastTime, lastTime)
            let lines = try Row.fetchOne(
                database,
                sql: """
                    SELECT min(line) FILTER (WHERE time_ns >= ?1), max(line) FILTER (WHERE time_ns <= ?2) FROM (
                        SELECT line, time_ns FROM operation WHERE id >= ?3 AND id < ?4
                        UNION ALL SELECT line, time_ns FROM layer WHERE id >= ?5 AND id < ?6
                    )
                    """,
                arguments: [
                    first, last, operationIDs.lowerBound, operationIDs.upperBound, layerIDs.lowerBound,
                    layerIDs.upperBound,
                ])
            guard first <= last, let begin = lines?[0] as Int64?, let end = lines?[1] as Int64?, begin <= end else {
                throw LogPartError.nothingInside(first: firstTime, last: lastTime)
            }
            return Part(lines: begin...end, firstTime: first, lastTime: last, isWhole: false)
        case .markers(let from, let to):
            let begin = try marker(from, after: 0, database)
            let end = try marker(to, after: begin.line, database)
            return Part(lines: begin.line...end.line, firstTime: begin.time, lastTime: end.time, isWhole: false)
        }
    }

    private func marker(_ text: String, after line: Int64, _ database: Database) throws -> (line: Int64, time: Int64) {
        let row = try Row.fetchOne(
            database,
            sql: """
                SELECT line, time_ns FROM marker JOIN operation ON operation.id = marker.operation
                WHERE operation.id >= ?1 AND operation.id < ?2 AND line > ?3 AND instr(text, ?4) > 0
                ORDER BY text <> ?4, line LIMIT 1
                """, arguments: [operationIDs.lowerBound, operationIDs.upperBound, line, text])
        if let row { return (row[0], row[1]) }
        let known = try String.fetchAll(
            database,
            sql: "SELECT text FROM marker WHERE operation >= ? AND operation < ? ORDER BY operation LIMIT 20",
            arguments: [operationIDs.lowerBound, operationIDs.upperBound])
        throw LogPartError.noMarker(text, after: line, known: known)
    }
}

/// Why a part of a log is not to be had.
public enum LogPartError: Error, Hashable, Sendable {
    /// No event lies in it; times of the first and the last event in ns.
    case nothingInside(first: Int64, last: Int64)
    /// No marker has this text, from a line of the log on.
    case noMarker(String, after: Int64, known: [String])

    /// What is wrong and what to do.
    public var message: String {
        switch self {
        case .nothingInside(let first, let last):
            "--since and --until leave nothing of the log, which lasts from \(Self.seconds(first)) to \(Self.seconds(last)) s of the trace clock; +T counts from its begin"
        case .noMarker(let text, let line, let known):
            "--between: no trace marker\(line > 0 ? " after line \(line)" : "") holds '\(text)'; "
                + (known.isEmpty ? "the log has no markers" : "there are: " + known.joined(separator: ", "))
        }
    }

    static func seconds(_ nanoseconds: Int64) -> String {
        let digits = String(nanoseconds.magnitude % 1_000_000_000)
        return "\(nanoseconds / 1_000_000_000)." + String(repeating: "0", count: 9 - digits.count) + digits
    }
}
