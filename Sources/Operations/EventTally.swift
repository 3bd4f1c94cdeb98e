import TraceFormats

/// What is counted of a log's events, whatever they mean.
struct EventTally {
    private(set) var events: Int64 = 0
    private(set) var firstTime = Int64.max
    private(set) var lastTime = Int64.min
    /// Events that stand earlier in time than the one before them in the log.
    private(set) var backwards: Int64 = 0
    private var previousTime = Int64.min
    /// By symbol of the name, then by form and whether it was understood.
    private var counts: ContiguousArray<InlineArray<6, Int64>> = []

    /// Gets ready to count events by so many names.
    mutating func prepare(names: Int) {
        while counts.count < names { counts.append(InlineArray(repeating: 0)) }
    }

    @inline(__always)
    mutating func add(_ event: UnsafePointer<TraceEvent>) {
        events += 1
        let time = event.pointee.time
        if time < previousTime { backwards += 1 }
        previousTime = time
        firstTime = min(firstTime, time)
        lastTime = max(lastTime, time)
    }

    @inline(__always)
    mutating func count(_ event: UnsafePointer<TraceEvent>, isUnderstood: Bool) {
        let name = Int(event.pointee.name.rawValue)
        let slot = Int(event.pointee.form.rawValue) * 2 + (isUnderstood ? 1 : 0)
        if name < counts.count, slot < 6 { counts[name][slot] += 1 }
    }

    /// How often each event occurred.
    func eventCounts(_ names: LogNames) -> [OperationBuilder.EventCount] {
        var result: [OperationBuilder.EventCount] = []
        for index in counts.indices {
            for slot in 0..<6 where counts[index][slot] > 0 {
                guard let form = TraceEvent.Form(rawValue: UInt8(slot / 2)) else { continue }
                result.append(
                    OperationBuilder.EventCount(
                        name: names.text(Symbol(rawValue: UInt32(index))), form: form, isUnderstood: slot % 2 == 1,
                        count: counts[index][slot]))
            }
        }
        return result
    }
}
