import TestSupport
import Testing

@testable import TraceFormats

/// Several files that are parts of one recording.
@Suite struct MergedSourceTests {
    /// A recording dealt out to several files: who got which line.
    private struct Dealt {
        var whole = ""
        var parts: [String]
        /// For each event of the whole, the part and its line there.
        var places: [(part: Int, line: Int64)] = []
        /// Likewise for lines that are none.
        var issuePlaces: [(part: Int, line: Int64)] = []
        var losses = 0

        init(lines: Int, parts count: Int, seed: UInt64) {
            var random = SeededGenerator(seed: seed)
            parts = Array(repeating: "", count: count)
            var length = Array(repeating: Int64(0), count: count)
            var time = 0
            var part = 0
            for number in 0..<lines {
                if random.next() % 3 == 0 { part = Int(random.next() % UInt64(count)) }
                time += Int(random.small(below: 100)) + 1
                let kind = random.next() % 20
                let line =
                    switch kind {
                    case 0: "junk \(number)"
                    case 1: "CPU:\(part) [LOST 3 EVENTS]"
                    default:
                        FtraceText.line(
                            cpu: part, task: Int(random.next() % 50), microseconds: time,
                            "map: IOMMU: iova=0x\(String(number, radix: 16))000 - 0x\(String(number + 1, radix: 16))000 "
                                + "paddr=0x1000 size=4096")
                    }
                whole += line + "\n"
                parts[part] += line + "\n"
                length[part] += 1
                switch kind {
                case 0: issuePlaces.append((part, length[part]))
                case 1: losses += 1
                default: places.append((part, length[part]))
                }
            }
        }
    }

    private func place(_ line: Int64, _ pieces: [LogPiece]) -> (part: Int, line: Int64)? {
        pieces.last { $0.line <= line }.map { (Int($0.part), $0.partLine + line - $0.line) }
    }

    @Test(arguments: seeds)
    func partsGiveTheWhole(seed: UInt64) throws {
        let dealt = Dealt(lines: 3000, parts: Int(seed % 5) + 2, seed: seed)
        let folder = try TemporaryFolder()
        let paths = try dealt.parts.enumerated().map { try folder.write($1, to: "part\($0)") }
        let whole = try ReadLog(dealt.whole)
        let merged = try ReadLog(paths: paths)
        #expect(merged.events.count == dealt.places.count)
        #expect(merged.events.map(\.time) == whole.events.map(\.time))
        #expect(merged.events.map(\.fields) == whole.events.map(\.fields))
        #expect(merged.events.map(\.comm) == whole.events.map(\.comm))
        #expect(merged.losses.count == dealt.losses)
        let places = merged.events.map { place($0.line, merged.pieces) }
        #expect(places.map { $0?.part } == dealt.places.map(\.part))
        #expect(places.map { $0?.line } == dealt.places.map(\.line))
        // What is no event has no time: in each part its order is kept.
        let found = (0..<merged.issues.count).map { place(merged.issues[$0].line, merged.pieces) }
        for part in dealt.parts.indices {
            #expect(
                found.filter { $0?.part == part }.map { $0?.line }
                    == dealt.issuePlaces.filter { $0.part == part }.map(\.line))
        }
        // Lines count up, or the place of one could not be looked up.
        for (earlier, later) in zip(merged.events, merged.events.dropFirst()) { #expect(earlier.line < later.line) }
    }

    @Test func markersKeepTheirTexts() throws {
        let folder = try TemporaryFolder()
        let paths = try (0..<3).map { part in
            try folder.write(
                (0..<700).map {
                    FtraceText.line(
                        cpu: part, task: 1, microseconds: $0 * 3 + part, "tracing_mark_write: p\(part) \($0)")
                }.joined(separator: "\n"), to: "part\(part)")
        }
        let merged = try ReadLog(paths: paths)
        #expect(merged.events.map { $0.texts[.text] } == (0..<2100).map { "p\($0 % 3) \($0 / 3)" })
    }

    /// A part without a single event does not fill memory with its issues, and keeps nothing out.
    @Test func aPartOfJunk() throws {
        let folder = try TemporaryFolder()
        let junk = try folder.write(String(repeating: "no event at all\n", count: 20_000), to: "junk")
        let event = FtraceText.line(
            cpu: 0, task: 1, microseconds: 5, "map: IOMMU: iova=0x1000 - 0x2000 paddr=0x1000 size=4096")
        let log = try folder.write(event + "\n", to: "log")
        let source = try MergedSource([try LogFile(path: junk), try LogFile(path: log)])
        let batch = EventBatch()
        var issues = 0
        var events = 0
        var goesOn = true
        while goesOn {
            goesOn = try source.read(into: batch)
            #expect(batch.issues.count <= 1024)
            issues += batch.issues.count
            events += batch.count
        }
        #expect(issues == 20_000)
        #expect(events == 1)
        #expect(source.descriptions.map(\.events) == [0, 1])
        #expect(source.descriptions.map(\.firstTime) == [nil, 100_000_005_000])
    }

    @Test func theSameFileTwice() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(FtraceText.line(cpu: 0, task: 1, microseconds: 5, "map: x") + "\n", to: "a")
        let copy = try folder.write(FtraceText.line(cpu: 0, task: 1, microseconds: 5, "map: x") + "\n", to: "b")
        #expect(throws: LogError.partTwice(path: copy, other: path)) { try ReadLog(paths: [path, copy]) }
    }

    @Test func theOrderOfTheFilesDoesNotTellLogsApart() throws {
        let folder = try TemporaryFolder()
        let paths = try (0..<3).map {
            try folder.write(FtraceText.line(cpu: $0, task: 1, microseconds: $0, "map: x") + "\n", to: "\($0)")
        }
        #expect(try ReadLog(paths: paths).hash == ReadLog(paths: paths.reversed()).hash)
        #expect(try ReadLog(paths: paths).hash != ReadLog(paths: Array(paths[..<2])).hash)
    }
}
