/// Values by address or page in flat memory: an open-addressed table with linear probing, which allocates when it grows only.
///
/// The order of what it holds is not told, so that nothing can rest on it.
struct FlatTable<Value> {
    private var keys: ContiguousArray<UInt64>
    private var values: ContiguousArray<Value>
    private var isUsed: ContiguousArray<Bool>
    private(set) var count = 0
    private let none: Value
    /// Odd, and another one in each run of the tool: no log can be made to collide.
    private let factor: UInt64

    /// - Parameter none: fills places that hold nothing.
    init(none: Value) {
        self.none = none
        factor = UInt64.random(in: .min ... .max) | 1
        keys = ContiguousArray(repeating: 0, count: 16)
        values = ContiguousArray(repeating: none, count: 16)
        isUsed = ContiguousArray(repeating: false, count: 16)
    }

    private func home(of key: UInt64) -> Int {
        let product = (key ^ key >> 32) &* factor
        return Int(truncatingIfNeeded: product >> 32) & (keys.count - 1)
    }

    /// Where the key stands, or would.
    private func place(of key: UInt64) -> Int {
        var index = home(of: key)
        while isUsed[index], keys[index] != key { index = (index + 1) & (keys.count - 1) }
        return index
    }

    /// The key's value.
    subscript(key: UInt64) -> Value? {
        let index = place(of: key)
        return isUsed[index] ? values[index] : nil
    }

    /// Gives the key a value.
    mutating func set(_ key: UInt64, _ value: Value) {
        var index = place(of: key)
        if !isUsed[index] {
            if (count + 1) * 2 > keys.count {
                grow()
                index = place(of: key)
            }
            isUsed[index] = true
            keys[index] = key
            count += 1
        }
        values[index] = value
    }

    /// Takes the key out.
    /// - Returns: the value that it had.
    @discardableResult
    mutating func remove(_ key: UInt64) -> Value? {
        var hole = place(of: key)
        guard isUsed[hole] else { return nil }
        let value = values[hole]
        let mask = keys.count - 1
        var next = (hole + 1) & mask
        // What stands behind moves up, unless that would put it before its home.
        while isUsed[next] {
            if (next &- home(of: keys[next])) & mask >= (next &- hole) & mask {
                keys[hole] = keys[next]
                values[hole] = values[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        isUsed[hole] = false
        values[hole] = none
        count -= 1
        return value
    }

    /// Takes everything out and keeps the memory.
    mutating func removeAll() {
        guard count > 0 else { return }
        for index in isUsed.indices {
            isUsed[index] = false
            values[index] = none
        }
        count = 0
    }

    private mutating func grow() {
        var (oldKeys, oldValues, oldUsed) = (keys, values, isUsed)
        swap(&oldKeys, &keys)
        swap(&oldValues, &values)
        swap(&oldUsed, &isUsed)
        let size = oldKeys.count * 2
        keys = ContiguousArray(repeating: 0, count: size)
        values = ContiguousArray(repeating: none, count: size)
        isUsed = ContiguousArray(repeating: false, count: size)
        for index in oldKeys.indices where oldUsed[index] {
            let place = place(of: oldKeys[index])
            isUsed[place] = true
            keys[place] = oldKeys[index]
            values[place] = oldValues[index]
        }
    }
}
