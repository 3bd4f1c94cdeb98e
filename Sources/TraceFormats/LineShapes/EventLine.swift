/// What stands left of an event's own text, whatever the shape of the line.
struct EventLine {
    /// How the line gives the moment.
    enum Clock: UInt8 {
        /// In seconds or microseconds: ``EventLine/time`` holds ns.
        case time
        /// A bare integer of a counting clock: ``EventLine/time`` holds it by bit pattern.
        case ticks
        /// Not at all.
        case none
    }

    /// The task's name.
    var comm: UnsafeRawBufferPointer
    /// Its thread id, 0 if the line has none.
    var pid: Int32
    /// The CPU, 0 if the line has none.
    var cpu: Int32
    /// ns or ticks, by ``clock``.
    var time: Int64
    var clock: Clock
    /// The event's name, without its subsystem.
    var name: UnsafeRawBufferPointer
    /// The event's text, without leading spaces.
    var body: ByteCursor

    /// Longest task name, `TASK_COMM_LEN` without its NUL.
    static let longestComm = 15
    /// Largest number of CPUs that Linux can be built for.
    private static let cpuLimit: UInt64 = 8192
    /// 2^63 ns, in seconds.
    private static let secondsLimit: UInt64 = 9_223_372_036

    /// Checks what no kernel has.
    @inline(__always)
    init(
        comm: UnsafeRawBufferPointer, pid: UInt64, cpu: UInt64, stamp: Stamp, name: UnsafeRawBufferPointer,
        body: ByteCursor
    ) throws(LineError) {
        guard cpu < Self.cpuLimit else { throw LineError(.cpuOutOfRange) }
        switch stamp.clock {
        case .time:
            guard stamp.seconds < Self.secondsLimit else { throw LineError(.timeOutOfRange) }
            time = Int64(truncatingIfNeeded: stamp.seconds &* 1_000_000_000 &+ stamp.nanoseconds)
        case .ticks, .none:
            time = Int64(bitPattern: stamp.seconds)
        }
        clock = stamp.clock
        self.comm = comm
        self.pid = Int32(truncatingIfNeeded: pid)
        self.cpu = Int32(truncatingIfNeeded: cpu)
        self.name = name
        self.body = body
    }

    /// A moment as a line writes it.
    struct Stamp {
        /// Whole seconds, or ticks.
        var seconds: UInt64
        /// Below a second.
        var nanoseconds: UInt64
        var clock: Clock

        /// `25.919828`, `25.919828000` or a bare count, up to what follows it; `nil` if none of them comes next.
        @inline(__always)
        init?(_ cursor: inout ByteCursor) {
            guard let seconds = cursor.decimal() else { return nil }
            self.init(seconds: seconds, &cursor)
        }

        /// The same, of which the digits before the point have been read.
        @inline(__always)
        init?(seconds: UInt64, _ cursor: inout ByteCursor) {
            self.seconds = seconds
            nanoseconds = 0
            clock = .ticks
            guard cursor.skip(UInt8(ascii: ".")) else { return }
            let start = cursor.position
            guard let fraction = cursor.decimal() else { return nil }
            switch cursor.position - start {
            case 6: nanoseconds = fraction &* 1000
            case 9: nanoseconds = fraction
            default: return nil
            }
            clock = .time
        }

        /// So many microseconds.
        init(microseconds: UInt64) {
            seconds = microseconds / 1_000_000
            nanoseconds = microseconds % 1_000_000 * 1000
            clock = .time
        }

        /// No moment.
        static let none = Stamp(seconds: 0, nanoseconds: 0, clock: .none)

        private init(seconds: UInt64, nanoseconds: UInt64, clock: Clock) {
            self.seconds = seconds
            self.nanoseconds = nanoseconds
            self.clock = clock
        }
    }

    /// `name:` or `subsystem:name:`, with what follows it up to the event's text; `nil` if none comes next.
    @inline(__always)
    static func name(_ cursor: inout ByteCursor) -> UnsafeRawBufferPointer? {
        var name = cursor.token(until: UInt8(ascii: ":"))
        guard cursor.skip(UInt8(ascii: ":")) else { return nil }
        if !cursor.isAtEnd, cursor.byte != UInt8(ascii: " ") {
            guard isName(name) else { return nil }
            name = cursor.token(until: UInt8(ascii: ":"))
            guard cursor.skip(UInt8(ascii: ":")) else { return nil }
        }
        guard isName(name) else { return nil }
        cursor.skipSpaces()
        return name
    }

    @inline(__always)
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
