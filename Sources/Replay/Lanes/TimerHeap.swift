/// Armed timers of the domains of one policy, at most one each, soonest first.
struct TimerHeap {
    private struct Entry {
        var deadline: Int64
        var domain: Int32
        /// An entry whose number is not its domain's current one was disarmed.
        var number: Int64
    }

    private var entries: ContiguousArray<Entry> = []
    private var current: ContiguousArray<Int64> = []
    private var nextNumber: Int64 = 1

    /// The soonest deadline in ns, possibly of a timer that was disarmed; `Int64.max` if there is none.
    @inline(__always)
    var nextDeadline: Int64 { entries.isEmpty ? .max : entries[0].deadline }

    mutating func arm(domain: Int32, deadline: Int64) {
        while current.count <= Int(domain) { current.append(0) }
        current[Int(domain)] = nextNumber
        entries.append(Entry(deadline: deadline, domain: domain, number: nextNumber))
        nextNumber += 1
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard isSooner(child, parent) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func disarm(domain: Int32) {
        if current.indices.contains(Int(domain)) { current[Int(domain)] = 0 }
    }

    /// Takes the soonest timer that is still armed.
    mutating func pop() -> (domain: Int32, deadline: Int64)? {
        guard let first = entries.first else { return nil }
        removeFirst()
        guard current[Int(first.domain)] == first.number else { return (0, first.deadline) }
        current[Int(first.domain)] = 0
        return (first.domain, first.deadline)
    }

    private mutating func removeFirst() {
        entries.swapAt(0, entries.count - 1)
        entries.removeLast()
        var parent = 0
        while true {
            var soonest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count && isSooner(child, soonest) {
                soonest = child
            }
            guard soonest != parent else { return }
            entries.swapAt(parent, soonest)
            parent = soonest
        }
    }

    private func isSooner(_ left: Int, _ right: Int) -> Bool {
        (entries[left].deadline, entries[left].number) < (entries[right].deadline, entries[right].number)
    }
}
