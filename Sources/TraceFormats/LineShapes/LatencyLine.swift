/// A line in ftrace's latency format, and of `trace-cmd report -l`: no brackets around the CPU, the flags right behind it.
///
/// `%8.8s-%-7d %3d` and the flags, then either µs since the first event of the buffer with a mark for long gaps,
/// `46233us!:`, or the time of the trace clock (`kernel/trace/trace_output.c`, `lat_print_generic`).
enum LatencyLine {
    static func read(_ line: UnsafeRawBufferPointer) throws(LineError) -> EventLine {
        let bytes = line.assumingMemoryBound(to: UInt8.self)
        guard let base = bytes.baseAddress else { throw LineError(.notAnEvent) }
        let end = base + bytes.count
        var first = base
        while first < end, first.pointee == UInt8(ascii: " ") { first += 1 }
        // The name is cut to 8 bytes; the last dash after which all fits is the one before the task id.
        var dash = first + min(EventLine.longestComm, end - first - 1)
        while dash > first {
            if dash.pointee == UInt8(ascii: "-"), let line = try read(comm: first, dash: dash, end: end) { return line }
            dash -= 1
        }
        throw LineError(.notAnEvent)
    }

    private static func read(
        comm: UnsafePointer<UInt8>, dash: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>
    ) throws(LineError) -> EventLine? {
        var cursor = ByteCursor(position: dash + 1, end: end)
        guard let pid = cursor.decimal(), pid <= UInt64(Int32.max), cursor.skip(UInt8(ascii: " ")) else { return nil }
        cursor.skipSpaces()
        guard let cpu = cursor.decimal() else { return nil }
        // The flags; the first one, of the interrupts, is never a digit.
        _ = cursor.token(until: UInt8(ascii: " "))
        cursor.skipSpaces()
        guard let seconds = cursor.decimal() else { return nil }
        let stamp: EventLine.Stamp
        if cursor.skip("us") {
            if cursor.byte != UInt8(ascii: ":") { cursor.advance() }
            stamp = EventLine.Stamp(microseconds: seconds)
        } else if let other = EventLine.Stamp(seconds: seconds, &cursor) {
            stamp = other
        } else {
            return nil
        }
        guard cursor.skip(UInt8(ascii: ":")), cursor.skip(UInt8(ascii: " ")) else { return nil }
        cursor.skipSpaces()
        guard let name = EventLine.name(&cursor) else { return nil }
        return try EventLine(
            comm: UnsafeRawBufferPointer(start: comm, count: dash - comm), pid: pid, cpu: cpu, stamp: stamp, name: name,
            body: cursor)
    }
}
