/// Operations whose place in the order of the log is not settled: behind a call that was entered and may yet turn out to
/// have taken effect later.
struct PendingOperations {
    private enum State: UInt8 {
        case settled
        /// A call in flight.
        case open
        /// A call that found its place further back.
        case withdrawn
    }

    private var slots: ContiguousArray<(operation: Operation, state: State)> = []
    private var head = 0
    /// Number of the slot at index 0.
    private var base = 0

    /// The number that the next slot will have.
    var end: Int { base + slots.count }

    /// Slots not drained yet.
    var count: Int { slots.count - head }

    mutating func append(_ operation: Operation, isOpen: Bool) {
        slots.append((operation, isOpen ? .open : .settled))
    }

    /// Takes an open operation out of its slot, to be appended again; `nil` if it is not open any more.
    mutating func withdraw(_ slot: Int) -> Operation? {
        let index = slot - base
        guard index >= head, index < slots.count, slots[index].state == .open else { return nil }
        slots[index].state = .withdrawn
        return slots[index].operation
    }

    /// Settles an open operation where it is.
    mutating func close(_ slot: Int, _ change: (inout Operation) -> Void) {
        let index = slot - base
        guard index >= head, index < slots.count, slots[index].state == .open else { return }
        change(&slots[index].operation)
        slots[index].state = .settled
    }

    /// Settles the first slot, whatever is still expected of it.
    mutating func closeFirst() {
        guard head < slots.count, slots[head].state == .open else { return }
        slots[head].operation.flags.insert(.unreturned)
        slots[head].state = .settled
    }

    /// Hands on everything before the first open slot.
    mutating func drain(_ body: (Operation) -> Void) {
        while head < slots.count, slots[head].state != .open {
            if slots[head].state == .settled { body(slots[head].operation) }
            head += 1
        }
        guard head > 0 else { return }
        if head == slots.count {
            base += head
            slots.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 4096 {
            base += head
            slots.removeSubrange(..<head)
            head = 0
        }
    }
}
