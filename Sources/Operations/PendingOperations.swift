/// Operations whose place in the order of the log is not settled: behind a call that was entered and may yet turn out to
/// have taken effect later.
///
/// Each has a slot, numbered in the order of their coming. An operation gets its id, without gaps, when it is drained;
/// whatever refers to its slot learns the id then.
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
    /// Ids of drained slots from number `idBase` on; 0 for withdrawn ones.
    private var ids: ContiguousArray<Int64> = []
    private var idBase = 0
    private var nextID: Int64

    /// - Parameter firstID: the id of the first operation drained.
    init(firstID: Int64) { nextID = firstID }

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
            if slots[head].state == .settled {
                slots[head].operation.id = nextID
                body(slots[head].operation)
                ids.append(nextID)
                nextID += 1
            } else {
                ids.append(0)
            }
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

    /// The id of a drained operation by its slot; `nil` while it waits.
    func id(ofSlot slot: Int) -> Int64? {
        let index = slot - idBase
        return index >= 0 && index < ids.count ? ids[index] : nil
    }

    /// Forgets the ids drained so far: nothing refers to their slots any more.
    mutating func forgetIDs() {
        idBase += ids.count
        ids.removeAll(keepingCapacity: true)
    }
}
