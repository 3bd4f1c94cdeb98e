/// The shapes that a line with an event can have.
///
/// A log has one shape as a rule, and its first event shows which. A mail mixes them: a line that is not of the shape of
/// the last one is tried with the others. No line fits two of the shapes that have a time.
enum LineShape: CaseIterable {
    case ftrace
    case latency
    case perf
    case kernelLog
    case untimed

    /// Reads a line of this shape.
    @inline(__always)
    func read(_ line: UnsafeRawBufferPointer) throws(LineError) -> EventLine {
        switch self {
        case .ftrace: try FtraceLine.read(line)
        case .latency: try LatencyLine.read(line)
        case .perf: try PerfLine.read(line)
        case .kernelLog: try KernelLogLine.read(line)
        case .untimed: try UntimedLine.read(line)
        }
    }

    /// Reads a line that is not of this shape; the one that it has is this one from then on.
    mutating func readAnother(_ line: UnsafeRawBufferPointer) throws(LineError) -> EventLine {
        for shape in Self.allCases where shape != self {
            do throws(LineError) {
                let event = try shape.read(line)
                // A letter's lines look like events without a time; the log stays what it was.
                if shape != .untimed { self = shape }
                return event
            } catch  where error.reason == .notAnEvent {
                continue
            }
        }
        throw LineError(.notAnEvent)
    }
}
