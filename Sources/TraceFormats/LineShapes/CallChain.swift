/// Lines of a call chain below an event: `perf record -g`, and ftrace's and trace-cmd's `stacktrace`.
enum CallChain {
    /// Whether a line belongs to one: an address and a function's name, indented, or `=>` and a name.
    static func contains(_ line: UnsafeRawBufferPointer) -> Bool {
        let bytes = line.assumingMemoryBound(to: UInt8.self)
        guard let base = bytes.baseAddress, let first = bytes.first else { return false }
        guard first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") || first == UInt8(ascii: "=") else {
            return endsInMark(bytes)
        }
        var cursor = ByteCursor(position: base, end: base + bytes.count)
        while cursor.byte == UInt8(ascii: " ") || cursor.byte == UInt8(ascii: "\t") { cursor.advance() }
        if cursor.skip("=> ") { return true }
        let address = cursor.position
        let isFrame = cursor.hexadecimal() != nil && cursor.position - address >= 4 && cursor.byte == UInt8(ascii: " ")
        return isFrame || endsInMark(bytes)
    }

    /// The event above ftrace's own call chains has no name: `time: <stack trace>`.
    private static func endsInMark(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        let mark: StaticString = ": <stack trace>"
        let count = mark.utf8CodeUnitCount
        guard bytes.count >= count, let base = bytes.baseAddress else { return false }
        var cursor = ByteCursor(position: base + (bytes.count - count), end: base + bytes.count)
        return cursor.skip(mark)
    }
}
