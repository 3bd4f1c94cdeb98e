/// A line of `perf script`: `comm pid [cpu] time: iommu:map: IOMMU: …`, with `pid/tid` if it was asked to.
///
/// As `perf_sample__fprintf_start` prints it (tools/perf/builtin-script.c). The id stands behind spaces, and so may parts
/// of the name: the bracket of the CPU is what it is read from.
enum PerfLine {
    static func read(_ line: UnsafeRawBufferPointer) throws(LineError) -> EventLine {
        guard let prefix = Prefix(line) else { throw LineError(.notAnEvent) }
        var cursor = prefix.rest
        // A count that some versions print before the name.
        let afterTime = cursor
        if cursor.decimal() == nil || cursor.byte != UInt8(ascii: " ") { cursor = afterTime }
        cursor.skipSpaces()
        guard let name = EventLine.name(&cursor) else { throw LineError(.notAnEvent) }
        return try EventLine(
            comm: prefix.comm, pid: prefix.pid, cpu: prefix.cpu, stamp: prefix.stamp, name: name, body: cursor)
    }

    /// What a line is that tells of the recording itself: `PERF_RECORD_LOST …` and its like.
    enum Record {
        case lost(cpu: UInt64, count: UInt64?)
        case other
    }

    /// Reads a line of a record; `nil` if it is none.
    static func record(_ line: UnsafeRawBufferPointer) -> Record? {
        guard let prefix = Prefix(line) else { return nil }
        var cursor = prefix.rest
        guard cursor.skip("PERF_RECORD_") else { return nil }
        guard cursor.skip("LOST") else { return .other }
        // `id:5: lost:12` or `lost 12`.
        while !cursor.isAtEnd {
            if cursor.skip("lost") {
                cursor.advance()
                return .lost(cpu: prefix.cpu, count: cursor.decimal())
            }
            cursor.advance()
        }
        return .lost(cpu: prefix.cpu, count: nil)
    }

    private struct Prefix {
        var comm: UnsafeRawBufferPointer
        var pid: UInt64
        var cpu: UInt64
        var stamp: EventLine.Stamp
        /// Behind the time and the spaces that follow it.
        var rest: ByteCursor

        /// The bracket is at most so far from the begin of the name: 15 bytes of it, two ids, spaces.
        private static let furthestBracket = 48

        init?(_ line: UnsafeRawBufferPointer) {
            let bytes = line.assumingMemoryBound(to: UInt8.self)
            guard let base = bytes.baseAddress else { return nil }
            let end = base + bytes.count
            var first = base
            while first < end, first.pointee == UInt8(ascii: " ") { first += 1 }
            var bracket = first
            let limit = first + min(Self.furthestBracket, end - first)
            while bracket < limit {
                if bracket.pointee == UInt8(ascii: "["), let prefix = Prefix(comm: first, bracket: bracket, end: end) {
                    self = prefix
                    return
                }
                bracket += 1
            }
            return nil
        }

        private init?(comm: UnsafePointer<UInt8>, bracket: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) {
            var cursor = ByteCursor(position: bracket + 1, end: end)
            guard let cpu = cursor.decimal(), cursor.skip(UInt8(ascii: "]")), cursor.skip(UInt8(ascii: " ")) else {
                return nil
            }
            cursor.skipSpaces()
            guard let stamp = EventLine.Stamp(&cursor), cursor.skip(UInt8(ascii: ":")),
                cursor.skip(UInt8(ascii: " "))
            else { return nil }
            cursor.skipSpaces()
            // Backwards: spaces, the thread's id, possibly the process's and a slash, spaces, the name.
            var last = bracket
            while last > comm, last[-1] == UInt8(ascii: " ") { last -= 1 }
            var digits = last
            while digits > comm, digits[-1] &- UInt8(ascii: "0") < 10 { digits -= 1 }
            var number = ByteCursor(position: digits, end: last)
            guard let pid = number.decimal(), pid <= UInt64(Int32.max) else { return nil }
            if digits > comm, digits[-1] == UInt8(ascii: "/") {
                digits -= 1
                while digits > comm, digits[-1] &- UInt8(ascii: "0") < 10 { digits -= 1 }
            }
            guard digits > comm, digits[-1] == UInt8(ascii: " ") else { return nil }
            var nameEnd = digits
            while nameEnd > comm, nameEnd[-1] == UInt8(ascii: " ") { nameEnd -= 1 }
            self.comm = UnsafeRawBufferPointer(start: comm, count: nameEnd - comm)
            self.pid = pid
            self.cpu = cpu
            self.stamp = stamp
            rest = cursor
        }
    }
}
