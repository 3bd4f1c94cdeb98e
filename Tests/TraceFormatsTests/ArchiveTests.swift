import TestSupport
import Testing

@testable import TraceFormats

/// zstd and xz beside gzip: several members, damage, and what an archive may not do.
struct ArchiveTests {
    private static let text = Array(
        FtraceText.expand(
            (0..<3000).map {
                "0 7 \($0) map: IOMMU: iova=0x\(String($0 * 7919 % 4096, radix: 16))000 paddr=0x2000 size=4096"
            }
            .joined(separator: "\n")
        ).utf8)

    typealias Maker = Named<@Sendable ([UInt8]) -> [UInt8]>

    private static let makers = [
        Maker("gzip") { Gzip.member($0) }, Maker("zstd") { Archives.zstd($0) }, Maker("xz") { Archives.xz($0) },
    ]

    private static func read(_ bytes: [UInt8], chunk: Int = 4096) throws -> LogTextTests.Content {
        let folder = try TemporaryFolder()
        return try LogTextTests.Content(path: folder.write(bytes, to: "log"), chunk: chunk)
    }

    @Test("an archive gives the text that was put in, and its hash", arguments: makers, [1, 7, 4096, 1 << 20])
    func whole(maker: Maker, chunk: Int) throws {
        let content = try Self.read(maker.value(Self.text), chunk: chunk)
        #expect(content.text == Self.text)
        #expect(content.damage == nil)
        #expect(content.hash == (try Self.read(Self.text)).hash)
    }

    @Test("several members are one text, with zeros between them too", arguments: makers)
    func members(maker: Maker) throws {
        let make = maker.value
        let half = Self.text.count / 2
        let (left, right) = (make(Array(Self.text[..<half])), make(Array(Self.text[half...])))
        for bytes in [left + right, left + make([]) + right, left + [0, 0, 0, 0] + right + [0, 0, 0, 0]] {
            let content = try Self.read(bytes)
            #expect(content.text == Self.text)
            #expect(content.damage == nil)
        }
        let trailing = try Self.read(left + right + Array("more".utf8))
        #expect(trailing.text == Self.text)
        #expect(trailing.damage?.reason == .trailingBytes)
        #expect(trailing.damage?.offset == Int64(left.count + right.count))
    }

    @Test("a truncated archive keeps what came before and says so", arguments: makers)
    func truncated(maker: Maker) throws {
        let whole = maker.value(Self.text)
        for count in stride(from: 20, to: whole.count, by: 499) {
            let content = try Self.read(Array(whole[..<count]))
            #expect(Self.text.starts(with: content.text))
            #expect(content.damage?.reason == .truncatedArchive)
            #expect(content.damage?.offset == Int64(count))
        }
    }

    @Test("a corrupt archive keeps what came before", arguments: makers)
    func corrupt(maker: Maker) throws {
        let whole = maker.value(Self.text)
        for place in stride(from: 40, to: whole.count - 40, by: 997) {
            var bytes = whole
            bytes[place] ^= 0x55
            let content = try Self.read(bytes)
            // A zstd frame need not carry a checksum.
            if maker.description != "zstd" { #expect(content.damage != nil) }
        }
    }

    @Test("frames to be skipped come before, between and after")
    func skippableFrames() throws {
        let skip: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]
        let frame = Archives.zstd(Self.text)
        let content = try Self.read(skip + frame + skip)
        #expect(content.text == Self.text)
        #expect(content.damage == nil)
    }

    @Test("a log inside is read, line by line", arguments: makers)
    func log(maker: Maker) throws {
        let log = try ReadLog(bytes: maker.value(Self.text))
        #expect(log.events.count == 3000)
        #expect(log.issues.isEmpty)
    }

    @Test("a line that damage cuts is not taken for a whole one: half of a number is a number", arguments: makers)
    func cutLine(maker: Maker) throws {
        let make = maker.value
        let whole = FtraceText.line(
            cpu: 0, task: 7, microseconds: 1, "map: IOMMU: iova=0x1000 paddr=0x2000 size=4096\n")
        let cut = FtraceText.line(cpu: 0, task: 7, microseconds: 2, "map: IOMMU: iova=0x3000 paddr=0x2000 size=40")
        let member = make(Array((whole + cut).utf8))
        // All of the text comes out; what is missing is a second member, the first one's end, or nothing. A zstd frame that
        // lacks a byte lacks its last block.
        let cuts = [member + make(Self.text)[..<8], member + [1, 2, 3, 4, 5, 6], Array(member.dropLast())]
        for bytes in cuts.prefix(maker.description == "zstd" ? 2 : 3) {
            let log = try ReadLog(bytes: bytes)
            #expect(log.events.map { $0[.size] } == [4096])
            #expect(log.issues.count == 1)
            #expect(log.lines == 2)
        }
        // Of a log that lacks nothing else it is taken, as somebody may have copied it so.
        for bytes in [member, Array((whole + cut).utf8)] {
            let log = try ReadLog(bytes: bytes)
            #expect(log.events.map { $0[.size] } == [4096, 40])
            #expect(log.issues.map(\.reason) == [.openLine])
        }
    }

    @Test("an archive without a log is refused", arguments: makers)
    func noLog(maker: Maker) throws {
        let make = maker.value
        #expect(throws: LogError.self) { try ReadLog(bytes: make([])) }
        #expect(throws: LogError.self) { try ReadLog(bytes: Array(make(Self.text)[..<7])) }
        #expect(throws: LogError.self) { try ReadLog(bytes: make(make(Self.text))) }
    }
}
