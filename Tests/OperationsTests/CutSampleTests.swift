import Foundation
import TestSupport
import Testing

@testable import Operations
@testable import TraceFormats

/// Recorded logs of every kind, cut short and with bits flipped: what stands before the cut is kept as it is in the whole,
/// nothing comes from nowhere, and what is missing is said (architecture.md, Bad input). With `IOMMU_TRACE_EVERY_CUT` in
/// the environment they are cut at every byte, which takes minutes; `tools/checks/cut-check` does it at random places with the
/// tool as a process.
struct CutSampleTests {
    /// What a log gave, in so few numbers that two can be compared.
    private struct Reading {
        var isRefused = false
        /// The place of each event, and a hash of what was read of it.
        var events: [(line: Int64, content: UInt64)] = []
        var operations = 0
        var layers = 0
        var issues: [ParseIssue.Reason] = []
        var lines: Int64 = 0

        init(_ bytes: some Sequence<UInt8>, in folder: TemporaryFolder) throws {
            let path = try folder.write(Array(bytes), to: "log")
            do {
                try read(LogSource.open(LogFile(path: path), ticksPerSecond: 1_000_000_000))
            } catch let error as LogError {
                #expect(!error.message.isEmpty)
                isRefused = true
            }
        }

        private mutating func read(_ log: any EventSource) throws {
            let batch = EventBatch()
            var builder = OperationBuilder()
            var goesOn = true
            while goesOn {
                goesOn = try log.read(into: batch)
                events += batch.events.map { ($0.line, Self.content($0)) }
                builder.add(batch)
                if !goesOn { builder.finish() }
                issues += batch.issues.map(\.reason) + builder.takeIssues().map(\.reason)
                lines = batch.progress.lines
                builder.drain { builder in
                    operations += builder.operations.count
                    layers += builder.layers.count
                }
            }
        }

        /// Symbols count by their numbers, which follow from what stands before them.
        private static func content(_ event: TraceEvent) -> UInt64 {
            var hash = UInt64(bitPattern: event.time) &* 31 &+ UInt64(event.name.rawValue) &+ UInt64(event.cpu)
            for field in Field.allCases where event.isKnown && field != .text {
                hash = (hash ^ (event[field] ?? 0x9e37)) &* 0x100_0000_01b3
            }
            return hash
        }
    }

    private static let damages: Set<ParseIssue.Reason> = [
        .truncatedArchive, .corruptArchive, .trailingBytes, .truncatedRecording, .corruptRecording,
    ]

    /// Of a recording; archives have shorter ones.
    private static let longestMagic = 10

    private static func isRecording(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x17, 0x08, 0x44]) }
    private static func isArchive(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x1f, 0x8b]) }

    /// What is left of a log that ends at `count`.
    private static func check(_ bytes: [UInt8], cutAt count: Int, _ whole: Reading, _ folder: TemporaryFolder) throws {
        let cut = try Reading(bytes[..<count], in: folder)
        guard !cut.isRefused, !whole.isRefused else { return }
        // A line of text may be half there; its event then is another one.
        let isDoubtful = bytes[count - 1] != 10 && !isRecording(bytes) && cut.events.last?.line == cut.lines
        let sure = cut.events.dropLast(isDoubtful ? 1 : 0)
        let isPrefix =
            sure.count <= whole.events.count && zip(sure, whole.events).allSatisfy { $0 == $1 }
            && cut.events.count <= whole.events.count
        #expect(isPrefix, "cut at \(count)")
        // A doubtful return may belong to no call.
        #expect(
            cut.operations <= whole.operations + (isDoubtful ? 1 : 0) && cut.layers <= whole.layers, "cut at \(count)")
        if isRecording(bytes) || isArchive(bytes) {
            // A few bytes do not tell what they are the beginning of; there is nothing in them either.
            if count < longestMagic { return }
            let isSaid = !damages.isDisjoint(with: cut.issues)
            #expect(isSaid || cut.events.count == whole.events.count, "cut at \(count)")
        } else {
            // All lines before the cut are there.
            let before = whole.events.prefix { $0.line < cut.lines }.count
            #expect(sure.count >= before, "cut at \(count)")
        }
    }

    /// Logs that are small enough, plain, recorded and compressed.
    static let samples: [RecordedLog] =
        (SharedTraces.found + SharedTraces.shapesAndRecordings + SharedTraces.bundled)
        .filter { log in
            let size = try? FileManager.default.attributesOfItem(atPath: log.path)[.size] as? Int
            return (1...65536).contains(size ?? 0)
        }

    @Test("cut at every byte of its first lines, and at every 997th", arguments: samples)
    func cuts(log: RecordedLog) throws {
        let bytes = [UInt8](try Data(contentsOf: log.url))
        let folder = try TemporaryFolder()
        let whole = try Reading(bytes, in: folder)
        // A line and its neighbours: the header of an archive, an event, the one after it.
        let isEveryCut = ProcessInfo.processInfo.environment["IOMMU_TRACE_EVERY_CUT"] != nil
        let dense = isEveryCut ? bytes.count : Self.isRecording(bytes) ? 0 : min(bytes.count, 150)
        let places = Set(1..<max(dense, 2)).union(stride(from: 1, through: bytes.count, by: 997))
        for count in places.sorted() { try Self.check(bytes, cutAt: count, whole, folder) }
    }

    @Test("the head of a bundled log, cut at every byte of a few lines", arguments: SharedTraces.bundled)
    func heads(log: RecordedLog) throws {
        let folder = try TemporaryFolder()
        let text = LogTextReader.text(of: log.path, atMost: 6000)
        let lines = text.split(separator: 10, omittingEmptySubsequences: false)
        let bytes = Array(lines.dropLast().joined(separator: [10])) + [10]
        let whole = try Reading(bytes, in: folder)
        #expect(!whole.isRefused && !whole.events.isEmpty)
        for count in (bytes.count - 300)...bytes.count { try Self.check(bytes, cutAt: count, whole, folder) }
    }

    @Test("bits flipped anywhere", arguments: samples)
    func flips(log: RecordedLog) throws {
        let bytes = [UInt8](try Data(contentsOf: log.url))
        let folder = try TemporaryFolder()
        let whole = try Reading(bytes, in: folder)
        var generator = SeededGenerator(seed: UInt64(bytes.count))
        for _ in 0..<15 {
            var changed = bytes
            let place = Int.random(in: 0..<bytes.count, using: &generator)
            changed[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            let reading = try Reading(changed, in: folder)
            guard !reading.isRefused, !Self.isRecording(bytes), !Self.isArchive(bytes) else { continue }
            // One line becomes another one, or two, or joins its neighbour.
            #expect(reading.events.count <= whole.events.count + 1)
            #expect(reading.events.count + 2 >= whole.events.count || whole.events.isEmpty)
        }
    }
}

/// The first bytes of a log, decompressed.
enum LogTextReader {
    static func text(of path: String, atMost count: Int) -> [UInt8] {
        guard let text = try? LogText(LogFile(path: path)) else { return [] }
        var bytes = [UInt8](repeating: 0, count: count)
        let filled = bytes.withUnsafeMutableBytes { try? text.read(into: $0) }
        return Array(bytes.prefix(filled ?? 0))
    }
}
