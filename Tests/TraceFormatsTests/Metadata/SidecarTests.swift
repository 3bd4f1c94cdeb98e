import Foundation
import TestSupport
import Testing

@testable import TraceFormats

/// A folder of metadata: what is recognised, what is passed over, what cannot do harm.
struct SidecarTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func read(_ files: [String: String]) throws -> RecordingMetadata {
        try Sidecar.read(folder.write(files, into: "meta"))
    }

    /// A sidecar with every file that there can be.
    private static let files = [
        "uname": "Linux host 6.1.0-56-amd64 #1 SMP x86_64 GNU/Linux\n",
        "cmdline": "BOOT_IMAGE=/vmlinuz iommu.strict=0 intel_iommu=on\n",
        "iommu_groups/3/type": "DMA-FQ\n", "iommu_groups/3/devices/0000:00:03.0/vendor": "0x8086\n",
        "group_types": "4 identity 0000:00:04.0=ahci\n",
        "config": "# x\nCONFIG_HZ=300\nCONFIG_IOMMU_DEFAULT_DMA_STRICT=y\n",
        "trace_clock": "local [mono] boot\n", "per_cpu/cpu0/stats": "entries: 5\noverrun: 2\n",
        "per_cpu/cpu1/stats": "entries: 6\ndropped events: 3\n", "kprobe_profile": "  unmap_fast 10 1\n",
        "dmesg-iommu.txt": "[    1.0] iommu: Default domain type: Translated\n", "iommus/dmar0/cap": "d2008c22260206\n",
        "probe_events": "p:iommu_trace/map __iommu_map\n",
    ]

    @Test("all files of the layout are taken, each under its name")
    func layout() throws {
        let metadata = try read(Self.files)
        func value(_ key: RecordingMetadata.Key) -> String? { metadata.fact(key)?.value }
        #expect(value(.kernelRelease) == "6.1.0-56-amd64")
        #expect(metadata.fact(.kernelRelease)?.source == "sidecar/uname")
        // The configuration's default is none where the command line says.
        #expect(metadata.facts.filter { $0.key == .bootPolicy }.map(\.value) == ["lazy"])
        #expect(value(.bootDomain) == "translated")
        #expect(metadata.fact(.hz)?.number == 300)
        #expect(value(.clock) == "mono")
        #expect(metadata.facts.contains { $0.name == "dmar0.cap" && $0.source == "sidecar/iommus/dmar0/cap" })
        #expect(metadata.counters.map(\.cpu) == [0, 1])
        #expect(metadata.counters.map(\.overrun) == [2, nil])
        #expect(metadata.counters.map(\.dropped) == [nil, 3])
        #expect(metadata.probes.map(\.missed) == [1])
        #expect(metadata.groups.map(\.number) == [4, 3])
        #expect(metadata.groups.map { $0.devices.map(\.name) } == [["0000:00:04.0"], ["0000:00:03.0"]])
        #expect(metadata.fact(.notRead) == nil)
    }

    @Test("files of other names are taken by what is in them")
    func byContent() throws {
        let metadata = try read([
            "a": "Linux host 5.4.0 x86_64\n", "b": "BOOT_IMAGE=x iommu=pt\n", "c": "local global [boot]\n",
            "d": "[    0.1] tsc: Detected 1000.000 MHz processor\n", "e": "CONFIG_HZ=100\n",
            "f": "7 DMA 0000:00:07.0\n",
            "g": "== x/per_cpu/cpu2\noverrun: 4\n",
        ])
        #expect(metadata.fact(.kernelRelease)?.number == 5004)
        #expect(metadata.fact(.bootDomain)?.value == "identity")
        #expect(metadata.fact(.clock)?.value == "boot")
        #expect(metadata.fact(.tscHz)?.number == 1_000_000_000)
        #expect(metadata.fact(.hz)?.number == 100)
        #expect(metadata.groups.map(\.number) == [7])
        #expect(metadata.counters.map(\.overrun) == [4])
    }

    @Test("the configuration decides where the command line is known and silent")
    func configurationDefault() throws {
        let config = "CONFIG_IOMMU_DEFAULT_DMA_LAZY=y\nCONFIG_IOMMU_DEFAULT_PASSTHROUGH=y\n"
        #expect(try read(["config": config]).fact(.bootPolicy) == nil)
        let metadata = try read(["config": config, "cmdline": "quiet\n"])
        #expect(metadata.fact(.bootPolicy)?.value == "lazy")
        #expect(metadata.fact(.bootPolicy)?.evidence == .inferred)
        #expect(metadata.fact(.bootDomain)?.value == "identity")
    }

    @Test("what is no metadata is named, with why, and does no harm")
    func notTaken() throws {
        let meta = try folder.write(
            ["note.md": "call me\n", "empty": "", "binary": "a\0b\n", "hz": "0\n", "uname": "hello\n", "stats": "x\n"],
            into: "meta")
        let secret = try folder.write("Linux host 9.9.9 x\n", to: "secret")
        try FileManager.default.createSymbolicLink(atPath: meta + "/link", withDestinationPath: secret)
        try FileManager.default.createSymbolicLink(atPath: meta + "/folder", withDestinationPath: folder.path)
        #expect(mkfifo(meta + "/pipe", 0o600) == 0)
        let metadata = try Sidecar.read(meta)
        #expect(metadata.facts.allSatisfy { $0.key == .notRead })
        #expect(
            metadata.facts.map(\.value) == [
                "sidecar/binary: is no text", "sidecar/folder: is a link, which is not followed",
                "sidecar/hz: HZ is 1 to 10000, not 0", "sidecar/link: is a link, which is not followed",
                "sidecar/note.md: was not understood", "sidecar/pipe: is no file", "sidecar/stats: was not understood",
                "sidecar/uname: was not understood",
            ])
    }

    @Test("a huge file is read up to a limit, a deep folder not at all, many files not all")
    func bounds() throws {
        let stats = String(repeating: "x y z\n", count: 800_000)
        var files = ["stats": "== per_cpu/cpu0\noverrun: 1\n" + stats, "a/b/c/d/e/f/uname": "Linux a 6.1.0 b\n"]
        for number in 0..<9000 { files["many/\(number)"] = "" }
        let metadata = try read(files)
        #expect(metadata.counters.map(\.overrun) == [1])
        #expect(metadata.fact(.kernelRelease) == nil)
        let notes = metadata.facts.map(\.value)
        #expect(notes.contains("sidecar/a/b/c/d/e: is no file"))
        #expect(notes.contains("sidecar/.: has more files than a sidecar has; the rest was not read"))
    }

    @Test("a file that is cut says so")
    func cut() throws {
        let text = "== per_cpu/cpu0\noverrun: 1\n" + String(repeating: "x y z\n", count: 800_000)
        let metadata = try read(["stats": text])
        #expect(metadata.counters.map(\.overrun) == [1])
        #expect(metadata.facts.map(\.value) == ["sidecar/stats: only its first 4194304 bytes were read"])
    }

    @Test("a folder that is not there, or none, is an error")
    func noFolder() throws {
        #expect(throws: SidecarError.self) { try Sidecar.read(folder.path("nosuch")) }
        let file = try folder.write("x", to: "file")
        #expect(throws: SidecarError(path: file, code: ENOTDIR)) { try Sidecar.read(file) }
    }

    @Test("names and values hold no control characters", arguments: ["\u{1b}[2J", "\u{7f}", "\u{9b}x", "\r\u{7}"])
    func printable(text: String) throws {
        let metadata = try read([
            "odd\(text)": "hello\(text)\n", "uname": "Linux\(text) host\(text) 6.1.0\(text) b\n",
            "cmdline": "x\(text)=\(text)\n",
            "group_types": "1 DMA a\(text)=b\(text)\n", "kprobe_profile": "p\(text) 1 2\n",
            "iommus/u\(text)/cap": "12\n",
        ])
        var texts = metadata.facts.flatMap { [$0.name, $0.value, $0.source] }
        texts +=
            metadata.groups.flatMap { $0.devices.flatMap { [$0.name, $0.driver ?? ""] } } + metadata.probes.map(\.name)
        #expect(texts.count > 6)
        for text in texts {
            #expect(text.unicodeScalars.allSatisfy { $0.value >= 32 && !(127...159).contains($0.value) }, "\(text)")
        }
    }

    @Test("flipped bits, cut and repeated bytes: numbers stay counts, tables stay bounded", arguments: 0..<40)
    func mutations(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var mutated: [String: String] = [:]
        let meta = folder.path("meta")
        for (name, text) in Self.files {
            var bytes = Array(text.utf8)
            for _ in 0..<Int.random(in: 1...6, using: &random) where !bytes.isEmpty {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch random.next() % 4 {
                case 0: bytes[index] ^= 1 << UInt8(random.next() % 8)
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(contentsOf: Array("\(random.hostile())".utf8), at: index)
                default: bytes += bytes[index...]
                }
            }
            mutated[name] = ""
            _ = try folder.write(mutated, into: "meta")
            try Data(bytes).write(to: URL(filePath: meta + "/" + name))
        }
        let metadata = try Sidecar.read(meta)
        for counters in metadata.counters {
            for count in [counters.entries, counters.overrun, counters.commitOverrun, counters.dropped, counters.read] {
                #expect((0..<RecordingMetadata.largestCount).contains(count ?? 0))
            }
        }
        #expect(metadata.probes.allSatisfy { $0.missed >= 0 && $0.missed < RecordingMetadata.largestCount })
        #expect(metadata.facts.allSatisfy { $0.key != .hz || (1...10_000).contains($0.number ?? 0) })
        #expect(metadata.facts.count <= RecordingMetadata.mostFacts)
    }
}
