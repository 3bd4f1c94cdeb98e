/// Counts by key, for more keys than a cache holds.
///
/// A count then costs a wait for memory. So keys are put aside and counted many at once: the processor looks up the next ones
/// while it waits.
struct CountTable {
    private struct Slot {
        var key: UInt64 = 0
        /// 0 where the slot is free.
        var count: Int64 = 0
    }

    private static let batch = 512

    /// A power of two of them, at most half of them in use.
    private var slots = ContiguousArray(repeating: Slot(), count: 1024)
    private var used = 0
    private var waiting: ContiguousArray<UInt64> = []

    /// Counts a key once more.
    @inline(__always)
    mutating func add(_ key: UInt64) {
        waiting.append(key)
        if waiting.count == Self.batch { countWaiting() }
    }

    private mutating func countWaiting() {
        for key in waiting {
            let slot = slot(of: key)
            if slots[slot].count == 0 {
                slots[slot].key = key
                used += 1
            }
            slots[slot].count += 1
            if used * 2 > slots.count { grow() }
        }
        waiting.removeAll(keepingCapacity: true)
    }

    /// Calls `body` with each key that was added, and how often that was, in no order.
    mutating func forEach(_ body: (UInt64, Int64) -> Void) {
        countWaiting()
        for slot in slots where slot.count > 0 { body(slot.key, slot.count) }
    }

    /// Where a key stands, or would. Neighbours stand side by side, four in one line of a cache.
    @inline(__always)
    private func slot(of key: UInt64) -> Int {
        let mask = slots.count - 1
        let mixed = (key >> 2) &* 0x9e37_79b9_7f4a_7c15
        var slot = (Int(truncatingIfNeeded: mixed >> 32) << 2 | Int(truncatingIfNeeded: key & 3)) & mask
        while slots[slot].count != 0, slots[slot].key != key { slot = (slot + 1) & mask }
        return slot
    }

    private mutating func grow() {
        let old = slots
        slots = ContiguousArray(repeating: Slot(), count: old.count * 2)
        for entry in old where entry.count > 0 { slots[slot(of: entry.key)] = entry }
    }
}
