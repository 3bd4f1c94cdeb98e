import TraceStore

/// A span of time in equal steps.
struct TimeSteps {
    /// The span has so many steps, or one less: a step is a whole number of ns.
    private static let wanted: Int64 = 128

    /// ns
    let length: Int64
    private let first: Int64
    private let last: Int64
    /// The step asked for last, and its first time and the one behind: mostly the next question is about the same one.
    private var recent: (step: Int64, start: Int64, end: Int64)

    init(first: Int64, last: Int64) {
        self.first = first
        let span = max(last.subtractingSaturated(first), 0)
        length = span / Self.wanted + 1
        self.last = span / length
        recent = (0, first, first)
    }

    /// The step that a time lies in. Where a clock runs backwards, events may be dated before the span or behind it: they
    /// count in its first step, or its last.
    @inline(__always)
    mutating func step(at time: Int64) -> Int64 {
        if time >= recent.start, time < recent.end { return recent.step }
        return search(time)
    }

    private mutating func search(_ time: Int64) -> Int64 {
        let step = min(max(time.subtractingSaturated(first), 0) / length, last)
        recent = (step, start(of: step), min(start(of: step + 1), first.addingSaturated(.max)))
        return step
    }

    /// When a step begins, in ns.
    func start(of step: Int64) -> Int64 {
        first.addingSaturated(step.multipliedReportingOverflow(by: length).partialValue)
    }
}
