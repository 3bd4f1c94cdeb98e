import TestSupport
import Testing

@testable import TraceFormats

/// Lines, their numbers and their places, whatever their length.
struct LineSplitterTests {
    struct Line: Equatable {
        var number: Int64
        var offset: Int64
        var text: [UInt8]
        var isTooLong = false
    }

    private static func split(_ bytes: [UInt8]) throws -> [Line] {
        let folder = try TemporaryFolder()
        var splitter = LineSplitter(try LogText(LogFile(path: folder.write(bytes, to: "log"))))
        var lines: [Line] = []
        while let line = try splitter.next() {
            switch line {
            case .line(let bytes):
                lines.append(Line(number: splitter.lineNumber, offset: splitter.lineOffset, text: Array(bytes)))
            case .tooLong(let bytes):
                lines.append(
                    Line(
                        number: splitter.lineNumber, offset: splitter.lineOffset, text: Array(bytes), isTooLong: true))
            }
        }
        return lines
    }

    /// The same by the simplest means.
    private static func reference(_ bytes: [UInt8]) -> [Line] {
        var lines: [Line] = []
        var offset = 0
        var parts = bytes.split(separator: 10, omittingEmptySubsequences: false)
        if parts.last?.isEmpty == true { parts.removeLast() }
        for part in parts {
            let isTooLong = part.count > 65536
            var text = Array(part.prefix(65536))
            if !isTooLong, text.last == 13 { text.removeLast() }
            lines.append(
                Line(number: Int64(lines.count + 1), offset: Int64(offset), text: text, isTooLong: isTooLong))
            offset += part.count + 1
        }
        return lines
    }

    @Test("lines are cut at line feeds, empty ones among them")
    func lines() throws {
        #expect(
            try Self.split(Array("a\n\nbc\n".utf8)) == [
                Line(number: 1, offset: 0, text: Array("a".utf8)), Line(number: 2, offset: 2, text: []),
                Line(number: 3, offset: 3, text: Array("bc".utf8)),
            ])
        #expect(try Self.split(Array("\n".utf8)) == [Line(number: 1, offset: 0, text: [])])
    }

    @Test("the last line needs no line feed")
    func noFinalNewline() throws {
        #expect(
            try Self.split(Array("a\nb".utf8)) == [
                Line(number: 1, offset: 0, text: Array("a".utf8)), Line(number: 2, offset: 2, text: Array("b".utf8)),
            ])
    }

    @Test("a carriage return before the line feed is no part of the line, any other is")
    func carriageReturns() throws {
        #expect(
            try Self.split(Array("a\r\n\r\nb\rc\r\r\nd\r".utf8)).map { String(decoding: $0.text, as: UTF8.self) }
                == ["a", "", "b\rc\r", "d"])
    }

    @Test(
        "a long line is passed over, and the next one has its right number and place",
        arguments: [65535, 65536, 65537, 131_072, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
    func longLines(length: Int) throws {
        let long = [UInt8](repeating: 120, count: length)
        for prefix in ["", "first\n"] {
            for suffix in ["", "\n", "\nnext\n", "\n\nnext"] {
                let bytes = Array(prefix.utf8) + long + Array(suffix.utf8)
                let lines = try Self.split(bytes)
                #expect(lines == Self.reference(bytes))
                #expect(lines.contains { $0.isTooLong } == (length > 65536))
            }
        }
    }

    @Test("lines of any length are what a plain split gives", arguments: 1...12 as ClosedRange<UInt64>)
    func anyLengths(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var bytes: [UInt8] = []
        for _ in 0..<40 {
            let length = [0, 1, 100, 5000, 65534, 65535, 65536, 65537, 70000, 200_000].randomElement(using: &generator)
            let count = (length ?? 0) + Int.random(in: 0...1, using: &generator)
            bytes += [UInt8](repeating: UInt8.random(in: 97...122, using: &generator), count: count)
            bytes += Bool.random(using: &generator) ? [10] : [13, 10]
        }
        let lines = try Self.split(bytes)
        // Comparing element by element keeps a failure readable.
        let expected = Self.reference(bytes)
        #expect(lines.count == expected.count)
        #expect(lines.map(\.number) == expected.map(\.number))
        #expect(lines.map(\.offset) == expected.map(\.offset))
        #expect(lines.map(\.isTooLong) == expected.map(\.isTooLong))
        #expect(lines == expected)
    }
}
