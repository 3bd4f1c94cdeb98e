/// Lines that belong to a log and are no events: headers, and announcements of lost events in all their forms.
enum Preface {
    /// A header, a comment, a separator.
    case header
    /// `# entries-in-buffer/entries-written: 534/4019   #P:2`
    case counts(TraceReader.BufferCounts, cpus: Int64?)
    /// `# tracer: nop`
    case tracer(String)
    /// `CPU:1 [LOST 1571 EVENTS]`, `CPU:0 [2026 EVENTS DROPPED]`, perf's warning
    case lost(cpu: UInt64?, count: UInt64?)

    /// Reads a line, which may be indented; `nil` if it is none of these.
    init?(_ line: UnsafeRawBufferPointer) {
        let bytes = line.assumingMemoryBound(to: UInt8.self)
        guard let base = bytes.baseAddress else { return nil }
        var cursor = ByteCursor(position: base, end: base + bytes.count)
        cursor.skipSpaces()
        switch cursor.byte {
        case UInt8(ascii: "#"): self = Self.comment(cursor)
        case UInt8(ascii: "C"), UInt8(ascii: "["):
            if let other = Self.announcement(cursor) { self = other } else { return nil }
        case UInt8(ascii: "P"):
            // perf's warning, if somebody kept it: `Processed 5 events and lost 2 chunks!`
            guard cursor.skip("Processed "), cursor.decimal() != nil, cursor.skip(" events and lost ") else {
                return nil
            }
            self = .lost(cpu: nil, count: nil)
        case UInt8(ascii: "W"):
            guard cursor.skip("Warning:"), cursor.isAtEnd else { return nil }
            self = .header
        // First lines of a trace-cmd report.
        case UInt8(ascii: "c"):
            guard cursor.skip("cpus=") else { return nil }
            self = .header
        case UInt8(ascii: "v"):
            guard cursor.skip("version = ") else { return nil }
            self = .header
        default: return nil
        }
    }

    private static func comment(_ line: ByteCursor) -> Preface {
        var cursor = line
        if cursor.skip("# entries-in-buffer/entries-written: "), let entries = cursor.decimal(),
            cursor.skip(UInt8(ascii: "/")), let written = cursor.decimal(),
            let entries = Int64(exactly: entries), let written = Int64(exactly: written)
        {
            cursor.skipSpaces()
            let cpus = cursor.skip("#P:") ? cursor.decimal().flatMap { Int64(exactly: $0) } : nil
            return .counts(TraceReader.BufferCounts(entries: entries, written: written), cpus: cpus)
        }
        cursor = line
        if cursor.skip("# tracer: ") {
            let name = UnsafeRawBufferPointer(start: cursor.position, count: min(cursor.remaining, 64))
            return .tracer(MetadataText.clean(name))
        }
        return .header
    }

    private static func announcement(_ line: ByteCursor) -> Preface? {
        var cursor = line
        var cpu: UInt64?
        if cursor.skip("CPU") {
            // `CPU 1 is empty`, `CPU:1 [SUBBUFFER START]`
            guard cursor.skip(UInt8(ascii: ":")) || cursor.skip(UInt8(ascii: " ")) else {
                return nil
            }
            guard let number = cursor.decimal() else { return nil }
            cpu = number
            if cursor.skip(" is empty") { return .header }
            guard cursor.skip(UInt8(ascii: " ")) else { return nil }
            if cursor.skip("[SUBBUFFER START]") { return .header }
        } else if line.byte == UInt8(ascii: "C") {
            // perf's advice behind its warning.
            return cursor.skip("Check IO/CPU overload!") ? .header : nil
        }
        guard cursor.skip(UInt8(ascii: "[")) else { return nil }
        let isLost = cursor.skip("LOST ")
        let count = cursor.decimal()
        if count != nil { cursor.skipSpaces() }
        guard cursor.skip(isLost ? "EVENTS]" : "EVENTS DROPPED]") else { return nil }
        return .lost(cpu: cpu, count: count)
    }

    /// A line without the marks of quotation in front of it: `> `, `>> `, `> > `.
    static func unquoted(_ line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var start = 0
        var index = 0
        while index < line.count {
            let byte = line[index]
            if byte == UInt8(ascii: ">") {
                start = index + 1
            } else if byte != UInt8(ascii: " "), byte != UInt8(ascii: "\t") {
                break
            }
            index += 1
        }
        // What indents the log itself stays, but for the space that a mark brings.
        if start > 0, start < line.count, line[start] == UInt8(ascii: " ") { start += 1 }
        return UnsafeRawBufferPointer(rebasing: line[start...])
    }
}
