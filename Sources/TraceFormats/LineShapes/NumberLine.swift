/// A line of ftrace's options `raw` and `hex`: numbers only, even in place of the events' names.
enum NumberLine {
    /// Which option wrote it.
    enum Option: String, Sendable {
        case raw
        case hex
    }

    /// `285 0 29052442588 type: 1149` or `00000124 00000001 00000007067dfce7 type: 1149`: task, CPU, time, then the
    /// event's number, or for some the rest of it.
    static func option(_ line: UnsafeRawBufferPointer) -> Option? {
        let bytes = line.assumingMemoryBound(to: UInt8.self)
        guard let base = bytes.baseAddress else { return nil }
        let start = ByteCursor(position: base, end: base + bytes.count)
        if isHex(start) { return .hex }
        var cursor = start
        for _ in 0..<3 {
            guard cursor.decimal() != nil, cursor.skip(UInt8(ascii: " ")) else { return nil }
        }
        return cursor.skip("type: ") || cursor.skip("# ") ? .raw : nil
    }

    private static func isHex(_ cursor: inout ByteCursor, digits: Int) -> Bool {
        let begin = cursor.position
        return cursor.hexadecimal() != nil && cursor.position - begin == digits && cursor.skip(UInt8(ascii: " "))
    }

    private static func isHex(_ start: ByteCursor) -> Bool {
        var cursor = start
        return isHex(&cursor, digits: 8) && isHex(&cursor, digits: 8) && isHex(&cursor, digits: 16)
    }
}
