import TestSupport
import Testing

@testable import TraceFormats

/// What a log says of its own recording.
struct LogMetadataTests {
    private static func metadata(_ bytes: [UInt8], ticksPerSecond: UInt64? = nil) throws -> RecordingMetadata {
        let folder = try TemporaryFolder()
        let log = try LogSource.open(
            try LogFile(path: folder.write(bytes, to: "log")), ticksPerSecond: ticksPerSecond)
        let batch = EventBatch()
        while try log.read(into: batch) {}
        return log.metadata
    }

    private static func text(_ times: [String]) -> [UInt8] {
        let lines = times.map { "  dd-1  [000] d..1. \($0): unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096\n" }
        return Array(
            ("# tracer: function\u{1b}[2J\n#\n# entries-in-buffer/entries-written: 2/5   #P:48\n" + lines.joined()).utf8
        )
    }

    @Test("a text's header and what its times look like")
    func header() throws {
        let metadata = try Self.metadata(Self.text(["1.000001", "1.000002"]))
        #expect(metadata.fact(.tracer)?.value == "function?[2J")
        #expect(metadata.fact(.bufferCPUs)?.number == 48)
        #expect(metadata.fact(.times)?.value == "seconds")
        #expect(metadata.fact(.evidentClock) == nil)
        #expect(metadata.facts.allSatisfy { $0.source == "log" })
    }

    @Test(
        "the counting clock that times look like",
        arguments: [
            (["5", "6", "7"], "counter"), (["5", "5", "6"], "uptime"), (["64607052968", "64607062968"], "x86-tsc"),
        ])
    func clock(times: [String], clock: String) throws {
        let metadata = try Self.metadata(Self.text(times), ticksPerSecond: 100)
        #expect(metadata.fact(.times)?.value == "ticks")
        #expect(metadata.fact(.evidentClock)?.value == clock)
        #expect(metadata.fact(.evidentClock)?.evidence == .inferred)
    }

    @Test("of a log whose times are of both sorts nothing is said")
    func mixed() throws {
        #expect(try Self.metadata(Self.text(["5", "1.000001"]), ticksPerSecond: 100).fact(.times) == nil)
    }

    @Test("a recording's kernel, clock and counters", arguments: [6, 7])
    func recording(version: Int) throws {
        var page = RingPageBytes(time: 1000)
        page.add(10, RecordedEvent.aMap(0x1000))
        var file = TraceDatFile(cpus: [[page.bytes()]])
        file.version = version
        file.clock = "boot"
        file.options = [
            (5, Array("Linux host\u{7} 6.1.0-56-amd64 x86_64\0".utf8)),
            (
                2,
                Array("CPU: 0\nentries: 1\noverrun: 12\ncommit overrun: 0\ndropped events: 0\nread events: 9\n\0".utf8)
            ),
            (2, Array("CPU: 1\nentries: 0\noverrun: 99999999999999999999\n".utf8)),
        ]
        let metadata = try Self.metadata(file.bytes())
        #expect(metadata.fact(.kernel)?.value == "Linux host? 6.1.0-56-amd64 x86_64")
        #expect(metadata.fact(.kernelRelease)?.number == 6001)
        #expect(metadata.fact(.clock)?.value == "boot")
        #expect(
            metadata.counters == [
                .init(cpu: 0, entries: 1, overrun: 12, commitOverrun: 0, dropped: 0, read: 9, source: "log"),
                .init(cpu: 1, entries: 0, source: "log"),
            ])
    }
}
