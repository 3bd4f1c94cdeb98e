import Glibc

/// Cuts a log's text into lines, in constant memory however long a line is.
struct LineSplitter: ~Copyable {
    /// Longer lines are no ftrace text (one is below 4096 bytes) and are passed over.
    static let longestLine = 64 << 10

    private static let bufferSize = 1 << 20

    private let text: LogText
    private let buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var filled = 0
    private var reachedEnd = false
    /// The rest of a line that is too long is being passed over.
    private var isSkipping = false

    /// Number of the line that was last returned, from 1.
    private(set) var lineNumber: Int64 = 0
    /// Byte offset of that line in the text.
    private(set) var lineOffset: Int64 = 0
    private var nextOffset: Int64 = 0
    /// Whether that line ended with the text, not with a line end.
    private(set) var isOpen = false

    init(_ text: LogText) {
        self.text = text
        buffer = .allocate(byteCount: Self.bufferSize, alignment: 16)
    }

    deinit { buffer.deallocate() }

    enum Line {
        /// A line without its line end; valid until the next call.
        case line(UnsafeRawBufferPointer)
        /// The first bytes of a line that is too long.
        case tooLong(UnsafeRawBufferPointer)
    }

    /// The next line; `nil` at the end of the text.
    mutating func next() throws(LogError) -> Line? {
        while true {
            let rest = UnsafeRawBufferPointer(rebasing: buffer[start..<filled])
            if let base = rest.baseAddress, !rest.isEmpty, let found = memchr(base, 10, rest.count) {
                let count = UnsafeRawPointer(found) - base
                start += count + 1
                if isSkipping {
                    isSkipping = false
                    nextOffset += Int64(count) + 1
                    continue
                }
                return line(rest, count: count, consumed: count + 1)
            }
            if rest.count > Self.longestLine {
                start = filled
                defer { nextOffset += Int64(rest.count) }
                if isSkipping { continue }
                isSkipping = true
                lineNumber += 1
                lineOffset = nextOffset
                return .tooLong(UnsafeRawBufferPointer(rebasing: rest[..<Self.longestLine]))
            }
            guard !reachedEnd else {
                guard !rest.isEmpty else { return nil }
                start = filled
                if isSkipping { return nil }
                isOpen = true
                return line(rest, count: rest.count, consumed: rest.count)
            }
            try refill()
        }
    }

    private mutating func line(_ rest: UnsafeRawBufferPointer, count: Int, consumed: Int) -> Line {
        lineNumber += 1
        lineOffset = nextOffset
        nextOffset += Int64(consumed)
        guard count <= Self.longestLine else {
            return .tooLong(UnsafeRawBufferPointer(rebasing: rest[..<Self.longestLine]))
        }
        let hasCarriageReturn = count > 0 && rest[count - 1] == 13
        return .line(UnsafeRawBufferPointer(rebasing: rest[..<(hasCarriageReturn ? count - 1 : count)]))
    }

    private mutating func refill() throws(LogError) {
        if let base = buffer.baseAddress, start > 0 {
            memmove(base, base + start, filled - start)
            filled -= start
            start = 0
        }
        let count = try text.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
        filled += count
        if count == 0 { reachedEnd = true }
    }
}
