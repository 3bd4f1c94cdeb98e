/// A line of ftrace text: `trace`, `trace_pipe` and what `trace-cmd report` makes of it.
///
/// As `kernel/trace/trace_output.c` prints it (model.md §7.3):
/// `%16s-%-7d [(tgid)] [%03d] [flags] %5lu.%06lu: event: text`. Width and number of the flags differ by kernel and
/// option, the group id may be there or not; `trace-cmd report --ts-diff` has `(+809)` behind the time.
enum FtraceLine {
    /// Reads a line.
    ///
    /// A task may call itself anything, even ` [000] 1.5: map:`. It has 15 bytes for that, right-aligned in 16 columns,
    /// so the dash before the task id is in column 17 of an untouched log; in one that was quoted or re-indented it is
    /// the last one, at most 15 bytes into the line, after which everything else fits. Text further right, such as a
    /// trace marker's, is never mistaken for another event.
    static func read(_ line: UnsafeRawBufferPointer) throws(LineError) -> EventLine {
        let bytes = line.assumingMemoryBound(to: UInt8.self)
        guard let base = bytes.baseAddress else { throw LineError(.notAnEvent) }
        let end = base + bytes.count
        var first = base
        while first < end, first.pointee == UInt8(ascii: " ") { first += 1 }

        if bytes.count > 17, bytes[16] == UInt8(ascii: "-"), first <= base + 16 {
            if let line = try read(comm: first, dash: base + 16, end: end) { return line }
        }
        var dash = first + min(EventLine.longestComm, end - first - 1)
        while dash > first {
            if dash.pointee == UInt8(ascii: "-"), let line = try read(comm: first, dash: dash, end: end) { return line }
            dash -= 1
        }
        throw LineError(.notAnEvent)
    }

    /// Reads a line whose task id is thought to follow `dash`; `nil` if it does not go on as an event must.
    private static func read(
        comm: UnsafePointer<UInt8>, dash: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>
    ) throws(LineError) -> EventLine? {
        var cursor = ByteCursor(position: dash + 1, end: end)
        guard let pid = cursor.decimal(), pid <= UInt64(Int32.max) else { return nil }
        cursor.skipSpaces()
        if cursor.skip(UInt8(ascii: "(")) {
            _ = cursor.token(until: UInt8(ascii: ")"))
            guard cursor.skip(UInt8(ascii: ")")) else { return nil }
            cursor.skipSpaces()
        }
        guard cursor.skip(UInt8(ascii: "[")), let cpu = cursor.decimal(), cursor.skip(UInt8(ascii: "]")) else {
            return nil
        }
        cursor.skipSpaces()

        // Either the time or the flags, which are letters, digits and dots without a gap, and then the time.
        let afterCPU = cursor
        var seconds = cursor.decimal()
        if seconds == nil || !(cursor.byte == UInt8(ascii: ":") || isFraction(cursor)) {
            cursor = afterCPU
            _ = cursor.token(until: UInt8(ascii: " "))
            cursor.skipSpaces()
            seconds = cursor.decimal()
        }
        guard let seconds, let stamp = EventLine.Stamp(seconds: seconds, &cursor) else { return nil }
        guard cursor.skip(UInt8(ascii: ":")), cursor.skip(UInt8(ascii: " ")) else { return nil }
        cursor.skipSpaces()
        if cursor.byte == UInt8(ascii: "(") { skipDifference(&cursor) }
        guard let name = EventLine.name(&cursor) else { return nil }
        return try EventLine(
            comm: UnsafeRawBufferPointer(start: comm, count: dash - comm), pid: pid, cpu: cpu, stamp: stamp, name: name,
            body: cursor)
    }

    /// `(+809)`: the time since the event before.
    private static func skipDifference(_ cursor: inout ByteCursor) {
        guard cursor.byte(ahead: 1) == UInt8(ascii: "+") else { return }
        _ = cursor.token(until: UInt8(ascii: ")"))
        _ = cursor.skip(UInt8(ascii: ")"))
        cursor.skipSpaces()
    }

    /// Whether a point and a full fraction come next: flags such as `1.` also start with a digit and a point.
    private static func isFraction(_ cursor: ByteCursor) -> Bool {
        var cursor = cursor
        guard cursor.skip(UInt8(ascii: ".")) else { return false }
        return cursor.decimal() != nil && cursor.byte == UInt8(ascii: ":")
    }
}
