import Foundation
import TestSupport
import Testing

/// A `trace.dat` on the command line: from a file, from a pipe, in an archive, damaged.
@Suite struct RecordingTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func run(
        _ arguments: String..., stdin: Data = Data(), environment: [String: String] = [:]
    ) throws -> Tool.Result {
        try Tool.run(arguments, stdin: stdin, environment: environment, directory: folder)
    }

    /// 600 maps and as many unmaps on two CPUs.
    private static func recording(_ version: Int, _ compression: TraceDatFile.Compression = .none) -> Data {
        let cpus = (0..<2).map { cpu in
            (0..<10).map { number -> [UInt8] in
                var page = RingPageBytes(time: UInt64(1_000_000 * (number + 1) + cpu))
                for index in 0..<30 {
                    let iova = UInt64((number * 30 + index) * 2 + cpu) << 12
                    page.add(1000, RecordedEvent.aMap(iova))
                    page.add(1000, RecordedEvent.anUnmap(iova))
                }
                return page.bytes()
            }
        }
        var file = TraceDatFile(cpus: cpus)
        (file.version, file.compression) = (version, compression)
        return Data(file.bytes())
    }

    private func expectWhole(_ result: Tool.Result, _ name: String) {
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        #expect(result.output.hasPrefix("trace \(name), from "))
        #expect(result.output.contains("events      600 map, 600 unmap"))
        #expect(result.output.contains("issues      none"))
    }

    @Test func files() throws {
        try folder.write(Self.recording(6), to: "six.dat")
        try folder.write(Self.recording(7, .zlib), to: "seven.dat")
        expectWhole(try run("import", "six.dat"), "six")
        expectWhole(try run("import", "seven.dat"), "seven")
        let again = try run("import", "six.dat")
        #expect(again.exitCode == 0)
        #expect(again.errors.contains("is in the database already, as trace six"))
    }

    @Test(arguments: [6, 7]) func pipesAndArchives(version: Int) throws {
        let data = Self.recording(version)
        expectWhole(try run("import", "-", "--name", "pipe", stdin: data), "pipe")
        let archives = [data.gzipped, Data(Archives.zstd([UInt8](data))), Data(Archives.xz([UInt8](data)))]
        for archive in archives {
            let result = try run("import", "-", stdin: archive)
            #expect(result.exitCode == 0)
            #expect(result.errors.contains("is in the database already, as trace pipe"))
        }
        try folder.write(archives[1], to: "log.dat.zst")
        expectWhole(try run("import", "log.dat.zst", "--db", "other.db"), "log")
        #expect(try folder.files.sorted() == ["iommu-trace.db", "log.dat.zst", "other.db"])
    }

    @Test func truncated() throws {
        let data = Self.recording(6)
        try folder.write(data.prefix(data.count - 20_000), to: "log.dat")
        let result = try run("import", "log.dat")
        #expect(result.exitCode == 3)
        #expect(result.output.contains("recording is truncated"))
        try folder.write(data.gzipped.prefix(data.gzipped.count - 500), to: "log.dat.gz")
        let archive = try run("import", "log.dat.gz")
        #expect(archive.exitCode == 3)
        #expect(archive.output.contains("archive is truncated"))
    }

    @Test func refused() throws {
        try folder.write(Self.recording(6).prefix(500), to: "log.dat")
        let result = try run("import", "log.dat")
        #expect(result.exitCode == 4)
        #expect(result.errors.hasPrefix("iommu-trace: log.dat: is a trace-cmd recording that ends in its "))
        #expect(try folder.files == ["log.dat"])
    }

    @Test func nowhereToUnpack() throws {
        let result = try run("import", "-", stdin: Self.recording(6), environment: ["TMPDIR": "/nowhere"])
        #expect(result.exitCode == 4)
        #expect(result.errors.contains("standard input: cannot be unpacked into /nowhere: No such file or directory"))
    }
}
