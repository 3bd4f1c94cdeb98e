/// The left part of a line of ftrace text, up to the event's own text.
///
/// As `kernel/trace/trace_output.c` prints it (model.md §7.3):
/// `%16s-%-7d [(tgid)] [%03d] [flags] %5lu.%06lu: event: text`. Width and number of the flags differ by kernel and
/// option, the group id may be there or not.
struct FtraceLine {
    var comm: UnsafeRawBufferPointer
    var pid: Int32
    var cpu: Int32
    /// ns
    var time: Int64
    var name: UnsafeRawBufferPointer
    /// The event's text, without leading spaces.
    var body: ByteCursor

    /// Longest task name, `TASK_COMM_LEN` without its NUL.
    private static let longestComm = 15
    /// Largest number of CPUs that Linux can be built for.
    private static let cpuLimit: UInt64 = 8192
    /// 2^63 ns, in seconds.
    private static let secondsLimit: UInt64 = 9_223_372_036

    /// Reads a line.
    ///
    /// A task may call itself anything, even ` [000] 1.5: map:`. It has 15 bytes for that, right-aligned in 16 columns,
    /// so the dash before the task id is in column 17 of an untouched log; in one that was quoted or re-indented it is
    /// the last one, at most 15 bytes into the line, after which everything else fits. Text further right, such as a
    /// trace marker's, is never mistaken for another event.
    init(_ line: UnsafeRawBufferPointer) throws(LineError) {
        let bytes = line.assumingMemoryBound(to: UInt8.self)
        guard let base = bytes.baseAddress else { throw LineError(.notAnEvent) }
        let end = base + bytes.count
        var first = base
        while first < end, first.pointee == UInt8(ascii: " ") { first += 1 }

        if bytes.count > 17, bytes[16] == UInt8(ascii: "-"), first <= base + 16 {
            if let line = try Self(comm: first, dash: base + 16, end: end) {
                self = line
                return
            }
        }
        var dash = first + min(Self.longestComm, end - first - 1)
        while dash > first {
            if dash.pointee == UInt8(ascii: "-"), let line = try Self(comm: first, dash: dash, end: end) {
                self = line
                return
            }
            dash -= 1
        }
        throw LineError(.notAnEvent)
    }

    /// Reads a line whose task id is thought to follow `dash`; `nil` if it does not go on as an event must.
    private init?(comm: UnsafePointer<UInt8>, dash: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) throws(LineError) {
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
        if seconds == nil || !(cursor.byte == UInt8(ascii: ":") || Self.isFraction(cursor)) {
            cursor = afterCPU
            _ = cursor.token(until: UInt8(ascii: " "))
            cursor.skipSpaces()
            seconds = cursor.decimal()
        }
        guard let seconds else { return nil }
        var time: UInt64 = 0
        var isCount = false
        if cursor.skip(UInt8(ascii: ".")) {
            let start = cursor.position
            guard let fraction = cursor.decimal() else { return nil }
            switch cursor.position - start {
            case 6: time = fraction &* 1000
            case 9: time = fraction
            default: return nil
            }
        } else {
            isCount = true
        }
        guard cursor.skip(UInt8(ascii: ":")), cursor.skip(UInt8(ascii: " ")) else { return nil }
        cursor.skipSpaces()

        // `name:` or, as perf writes it, `subsystem:name:`.
        var name = cursor.token(until: UInt8(ascii: ":"))
        guard cursor.skip(UInt8(ascii: ":")) else { return nil }
        if !cursor.isAtEnd, cursor.byte != UInt8(ascii: " ") {
            name = cursor.token(until: UInt8(ascii: ":"))
            guard cursor.skip(UInt8(ascii: ":")) else { return nil }
        }
        guard Self.isName(name) else { return nil }
        cursor.skipSpaces()

        guard !isCount else { throw LineError(.counterClock) }
        guard seconds < Self.secondsLimit else { throw LineError(.timeOutOfRange) }
        guard cpu < Self.cpuLimit else { throw LineError(.cpuOutOfRange) }
        self.comm = UnsafeRawBufferPointer(start: comm, count: dash - comm)
        self.pid = Int32(truncatingIfNeeded: pid)
        self.cpu = Int32(truncatingIfNeeded: cpu)
        self.time = Int64(truncatingIfNeeded: seconds &* 1_000_000_000 &+ time)
        self.name = name
        self.body = cursor
    }

    /// Whether a point and a full fraction come next: flags such as `1.` also start with a digit and a point.
    private static func isFraction(_ cursor: ByteCursor) -> Bool {
        var cursor = cursor
        guard cursor.skip(UInt8(ascii: ".")) else { return false }
        return cursor.decimal() != nil && cursor.byte == UInt8(ascii: ":")
    }

    private static func isName(_ name: UnsafeRawBufferPointer) -> Bool {
        guard !name.isEmpty else { return false }
        for byte in name {
            let isLetter = (byte | 0x20) &- UInt8(ascii: "a") < 26
            let isDigit = byte &- UInt8(ascii: "0") < 10
            guard isLetter || isDigit || byte == UInt8(ascii: "_") else { return false }
        }
        return true
    }
}

/// Why a line was not taken.
struct LineError: Error {
    var reason: ParseIssue.Reason

    init(_ reason: ParseIssue.Reason) { self.reason = reason }
}
