/// An event's name and text and nothing else: ftrace's option `nocontext-info`, and what people quote in mails.
enum UntimedLine {
    /// What a task is called where the line names none.
    nonisolated(unsafe) static let unknownTask: UnsafeRawBufferPointer = {
        let text: StaticString = "(not recorded)"
        return UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }()

    /// Reads a line. Whether it is an event, and not a line of a letter that happens to begin with a word and a colon,
    /// is for the reader of its text to say.
    static func read(_ line: UnsafeRawBufferPointer) throws(LineError) -> EventLine {
        let bytes = line.assumingMemoryBound(to: UInt8.self)
        guard let base = bytes.baseAddress else { throw LineError(.notAnEvent) }
        var cursor = ByteCursor(position: base, end: base + bytes.count)
        cursor.skipSpaces()
        guard let name = EventLine.name(&cursor) else { throw LineError(.notAnEvent) }
        guard let first = name.first, first &- UInt8(ascii: "a") < 26 else { throw LineError(.notAnEvent) }
        // Events are named in small letters, headers of a mail are not.
        for byte in name where byte &- UInt8(ascii: "A") < 26 { throw LineError(.notAnEvent) }
        return try EventLine(comm: unknownTask, pid: 0, cpu: 0, stamp: .none, name: name, body: cursor)
    }
}
