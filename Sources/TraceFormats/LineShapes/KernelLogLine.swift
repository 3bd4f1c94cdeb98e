/// A line of the kernel log, as dmesg prints it: the dynamic-debug messages of `drivers/iommu/iommu.c` among them.
///
/// `[ 1234.567890] iommu: map: iova 0x… pa 0x… size 0x…` and its like name no CPU. `[  T123]` behind the time, where the
/// kernel was built to print it, is the task. So are the drivers' messages of faults (``FaultMessage``).
enum KernelLogLine {
    /// The messages, and what their events are called here.
    private static let messages: [(text: StaticString, name: StaticString)] = [
        ("map: ", "map"), ("mapping: ", "mapping"), ("unmap this: ", "unmap_this"), ("unmapped: ", "unmapped_part"),
    ]

    /// What stands between the time and `iommu: `, such as a host's name, is no longer than this.
    private static let longestOrigin = 80

    static func read(_ line: UnsafeRawBufferPointer) throws(LineError) -> EventLine {
        let bytes = line.assumingMemoryBound(to: UInt8.self)
        guard let base = bytes.baseAddress else { throw LineError(.notAnEvent) }
        var cursor = ByteCursor(position: base, end: base + bytes.count)
        cursor.skipSpaces()
        // The level, if it is shown: `<7>`.
        if cursor.skip(UInt8(ascii: "<")) {
            guard cursor.decimal() != nil, cursor.skip(UInt8(ascii: ">")) else { throw LineError(.notAnEvent) }
        }
        guard cursor.skip(UInt8(ascii: "[")) else { throw LineError(.notAnEvent) }
        cursor.skipSpaces()
        guard let stamp = EventLine.Stamp(&cursor), stamp.clock == .time, cursor.skip(UInt8(ascii: "]")) else {
            throw LineError(.notAnEvent)
        }
        cursor.skipSpaces()
        var pid: UInt64 = 0
        var cpu: UInt64 = 0
        if cursor.skip(UInt8(ascii: "[")) {
            cursor.skipSpaces()
            let letter = cursor.byte
            cursor.advance()
            let number = cursor.decimal() ?? 0
            guard cursor.skip(UInt8(ascii: "]")) else { throw LineError(.notAnEvent) }
            if letter == UInt8(ascii: "T"), number <= UInt64(Int32.max) { pid = number }
            if letter == UInt8(ascii: "C") { cpu = number }
            cursor.skipSpaces()
        }
        var message = cursor
        var skipped = 0
        while skipped < longestOrigin, !message.isAtEnd {
            if message.skip("iommu: ") {
                for (text, name) in messages where message.skip(text) {
                    message.skipSpaces()
                    return try event(stamp, pid, cpu, name, message)
                }
            }
            if FaultMessage.isMark(message) { return try event(stamp, pid, cpu, "fault_message", cursor) }
            message.advance()
            skipped += 1
        }
        return try event(stamp, pid, cpu, "printk", cursor)
    }

    private static func event(
        _ stamp: EventLine.Stamp, _ pid: UInt64, _ cpu: UInt64, _ name: StaticString, _ body: ByteCursor
    ) throws(LineError) -> EventLine {
        try EventLine(
            comm: UntimedLine.unknownTask, pid: pid, cpu: cpu, stamp: stamp,
            name: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), body: body)
    }
}
