/// Something that each CPU of the log has one of.
struct PerCPU<State> {
    private var states: ContiguousArray<State> = []
    /// What a CPU has before anything was seen of it.
    private let initial: State

    init(_ initial: State) { self.initial = initial }

    /// The CPUs seen so far, and those below them.
    var indices: Range<Int> { states.indices }

    subscript(cpu: Int) -> State {
        @inline(__always) get { cpu < states.count ? states[cpu] : initial }
        @inline(__always) _modify {
            if cpu >= states.count { grow(to: cpu) }
            yield &states[cpu]
        }
    }

    /// A line's CPU is below 8192, or the line is none.
    private mutating func grow(to cpu: Int) {
        states.append(contentsOf: repeatElement(initial, count: cpu + 1 - states.count))
    }
}
