import Foundation
import TestSupport
import Testing

@testable import TraceFormats

/// What a file holds, decompressed, and what is said of damage (architecture.md, Bad input).
struct LogTextTests {
    /// A log's text read to its end.
    struct Content {
        var text: [UInt8] = []
        var damage: ParseIssue?
        var hash: UInt64 = 0
        var fileBytes: Int64 = 0
        var fileSize: Int64?

        init(path: String, chunk: Int = 4096) throws {
            let log = try LogText(LogFile(path: path))
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 1)
            defer { buffer.deallocate() }
            while true {
                let count = try log.read(into: buffer)
                if count == 0 { break }
                text += buffer[..<count]
            }
            damage = log.damage
            hash = log.hash.value
            fileBytes = log.fileBytes
            fileSize = log.fileSize
            #expect(log.textBytes == Int64(text.count))
        }
    }

    private static func read(_ bytes: [UInt8], chunk: Int = 4096) throws -> Content {
        let folder = try TemporaryFolder()
        return try Content(path: folder.write(bytes, to: "log"), chunk: chunk)
    }

    private static let text = Array(
        FtraceText.expand(
            """
            0 7 1 map: IOMMU: iova=0x1000 paddr=0x2000 size=4096
            0 7 2 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            """
        ).utf8)

    @Test("plain text is itself, however it is read", arguments: [1, 7, 4096])
    func plain(chunk: Int) throws {
        let content = try Self.read(Self.text, chunk: chunk)
        #expect(content.text == Self.text)
        #expect(content.damage == nil)
        #expect(content.fileBytes == Int64(Self.text.count))
        #expect(content.fileSize == Int64(Self.text.count))
    }

    @Test("gzip gives the text that was put in, and its hash", arguments: [1, 7, 4096])
    func gzip(chunk: Int) throws {
        let content = try Self.read(Gzip.member(Self.text), chunk: chunk)
        #expect(content.text == Self.text)
        #expect(content.damage == nil)
        #expect(try content.hash == Self.read(Self.text).hash)
        #expect(content.fileBytes == Int64(Gzip.member(Self.text).count))
    }

    @Test("several members are one text, empty ones among them")
    func members() throws {
        let bytes = Gzip.member(Self.text) + Gzip.member([]) + Gzip.member(Self.text, level: 0) + Gzip.member(Self.text)
        let content = try Self.read(bytes)
        #expect(content.text == Self.text + Self.text + Self.text)
        #expect(content.damage == nil)
    }

    @Test("the gzip program's output is read")
    func gzipProgram() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(Self.text, to: "a log.txt")
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["gzip", "-9", path]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationReason == .exit && process.terminationStatus == 0)
        #expect(try Content(path: path + ".gz").text == Self.text)
    }

    @Test("zeros behind the last member are padding", arguments: [1, 2, 511, 300_000])
    func padding(count: Int) throws {
        let content = try Self.read(Gzip.member(Self.text) + [UInt8](repeating: 0, count: count))
        #expect(content.text == Self.text)
        #expect(content.damage == nil)
    }

    @Test(
        "anything else behind the last member is reported, the text stays",
        arguments: [Array("x".utf8), Array("garbage".utf8), [0, 0, 7], [0x1f], [0x1f, 0x8c, 8]])
    func trailing(bytes: [UInt8]) throws {
        let member = Gzip.member(Self.text)
        let content = try Self.read(member + bytes)
        #expect(content.text == Self.text)
        let damage = try #require(content.damage)
        #expect(damage.reason == .trailingBytes)
        #expect(damage.offset == Int64(member.count + (bytes.firstIndex { $0 != 0 } ?? 0)))
    }

    @Test("a second member's header may lie across two reads of the file", arguments: [0, 1, 2, 3])
    func memberAcrossReads(shift: Int) throws {
        // Stored blocks make the compressed length grow byte by byte with the text.
        let read = 256 << 10
        var generator = SeededGenerator(seed: 1)
        let noise = (0..<read).map { _ in UInt8.random(in: 33...126, using: &generator) }
        var length = read - 200
        while Gzip.member(Array(noise[..<length]), level: 0).count < read - shift { length += 1 }
        let first = Gzip.member(Array(noise[..<length]), level: 0)
        try #require(first.count == read - shift)
        let content = try Self.read(first + Gzip.member(Self.text))
        #expect(content.damage == nil)
        #expect(content.text == Array(noise[..<length]) + Self.text)
    }

    @Test("a log cut at any byte gives a prefix of its text and is reported")
    func truncation() throws {
        let first = Gzip.member(Self.text)
        let whole = first + Gzip.member(Self.text)
        let text = Self.text + Self.text
        #expect(throws: LogError.self) { try Self.read([]) }
        // A lone first byte is not yet gzip: it is text, and no event.
        #expect(try ReadLog(bytes: [whole[0]]).issues.map(\.reason) == [.notAnEvent])
        for count in 2..<whole.count {
            let content = try Self.read(Array(whole[..<count]))
            #expect(text.starts(with: content.text))
            if count == first.count {
                #expect(content.damage == nil)
                #expect(content.text == Self.text)
            } else {
                let reason: ParseIssue.Reason = count == first.count + 1 ? .trailingBytes : .truncatedArchive
                #expect(content.damage?.reason == reason, "cut at \(count)")
                #expect(content.damage?.offset == Int64(reason == .trailingBytes ? first.count : count))
            }
        }
    }

    @Test("a flipped bit is reported unless it changes nothing")
    func flippedBits() throws {
        let whole = Gzip.member(Self.text)
        var harmless: Set<Int> = []
        for bit in 0..<whole.count * 8 {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            do {
                let content = try Self.read(bytes)
                if content.damage == nil {
                    #expect(content.text == Self.text, "bit \(bit)")
                    harmless.insert(bit / 8)
                }
            } catch let error as LogError {
                // Not gzip any more.
                #expect(bit < 16, "bit \(bit): \(error)")
            }
        }
        // The header's time, extra flags and system say nothing of the text.
        #expect(harmless.isSuperset(of: Set(4..<10)))
        #expect(harmless.isDisjoint(with: Set(whole.count - 8..<whole.count)))
    }

    @Test("what came before damage in the middle of a log is kept")
    func corruptMiddle() throws {
        var generator = SeededGenerator(seed: 2)
        let text = (0..<400_000).map { _ in UInt8.random(in: 33...126, using: &generator) }
        var bytes = Gzip.member(text)
        for index in bytes.count / 2..<bytes.count / 2 + 16 { bytes[index] = ~bytes[index] }
        let content = try Self.read(bytes)
        #expect(content.damage != nil)
        #expect(content.text.count > 100_000)
        #expect(text.prefix(100_000).elementsEqual(content.text.prefix(100_000)))
    }

    @Test("a wrong checksum is reported, the text stays")
    func checksum() throws {
        var bytes = Gzip.member(Self.text)
        bytes[bytes.count - 5] ^= 1
        let content = try Self.read(bytes)
        #expect(content.damage?.reason == .corruptArchive)
        #expect(content.text == Self.text)
    }

    @Test("a pipe is read to its end, whenever its bytes come")
    func pipe() throws {
        let pipe = Pipe()
        let bytes = Gzip.member(Self.text)
        let writer = Thread {
            for byte in bytes { try? pipe.fileHandleForWriting.write(contentsOf: [byte]) }
            try? pipe.fileHandleForWriting.close()
        }
        writer.start()
        // One byte alone does not tell what a file is.
        while !writer.isFinished { Thread.sleep(forTimeInterval: 0.001) }
        let content = try Content(path: "/dev/fd/\(pipe.fileHandleForReading.fileDescriptor)")
        #expect(content.text == Self.text)
        #expect(content.damage == nil)
        #expect(content.fileSize == nil)
    }

    @Test("somebody who gives up waiting for a silent pipe gets what came so far")
    func silentPipe() throws {
        let pipe = Pipe()
        try pipe.fileHandleForWriting.write(contentsOf: Self.text)
        let file = try LogFile(path: "/dev/fd/\(pipe.fileHandleForReading.fileDescriptor)", isCancelled: { true })
        let log = try LogText(file)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
        defer { buffer.deallocate() }
        #expect(try log.read(into: buffer) == Self.text.count)
        #expect(try log.read(into: buffer) == 0)
        #expect(log.damage == nil)
        try pipe.fileHandleForWriting.close()
    }

    @Test("files that are no log are refused for what they are")
    func refused() throws {
        let folder = try TemporaryFolder()
        func error(_ bytes: [UInt8]) throws -> LogError? {
            let path = try folder.write(bytes, to: "file")
            do {
                _ = try ReadLog(path: path)
                return nil
            } catch let error as LogError {
                return error
            }
        }
        let formats: [([UInt8], String)] = [
            (Array("PERFILE2".utf8), "perf"), (Array("BZh91AY".utf8), "bzip2"), ([0x50, 0x4b, 3, 4, 0], "zip"),
            (Array("SQLite format 3\0".utf8), "SQLite"), (Gzip.member(Array("PERFILE2".utf8)), "archive of a perf"),
            (Gzip.member(Gzip.member(Self.text)), "archive inside an archive"),
        ]
        for (magic, word) in formats {
            guard case .unsupported(_, let format, let advice) = try error(magic) else {
                Issue.record("\(word) is not refused")
                continue
            }
            #expect(format.contains(word))
            #expect(!advice.isEmpty)
        }
        #expect(try error([]) == .empty(path: folder.path("file")))
        #expect(try error(Gzip.member([])) == .empty(path: folder.path("file")))
        #expect(try error(Self.text + [0]) == .binary(path: folder.path("file")))
        #expect(try error(Gzip.member([7, 0, 7])) == .binary(path: folder.path("file")))
        let truncated = try error(Array(Gzip.member(Self.text)[..<8]))
        #expect(truncated == .damagedFromTheStart(path: folder.path("file"), reason: "archive is truncated"))
        #expect(throws: LogError.isDirectory(path: folder.path)) { try ReadLog(path: folder.path) }
        #expect(throws: LogError.cannotRead(path: folder.path("none"), code: ENOENT)) {
            try ReadLog(path: folder.path("none"))
        }
    }
}
