import Foundation
import TestSupport
import Testing

/// Each example of the README, of the pages in `docs/` and of each command's help does what it says, in a shell.
@Suite struct ExampleTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var place: String
        var line: String
        var testDescription: String { "\(place): \(line)" }
    }

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Lines of the code blocks that call the tool.
    static let ofPages: [Example] = {
        let docs = (try? FileManager.default.contentsOfDirectory(atPath: root.appending(path: "docs").path)) ?? []
        let pages = ["README.md"] + docs.filter { $0.hasSuffix(".md") }.sorted().map { "docs/" + $0 }
        return pages.flatMap { page -> [Example] in
            let text = (try? String(contentsOf: root.appending(path: page), encoding: .utf8)) ?? ""
            return codeBlocks(text).map { Example(place: page, line: $0) }
        }
    }()

    private static func codeBlocks(_ text: String) -> [String] {
        var isCode = false
        var lines: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```") {
                isCode = line == "```sh"
            } else if isCode, line.hasPrefix("iommu-trace ") || line.contains("| iommu-trace ") {
                // A comment behind the command.
                lines.append(String(line.firstRange(of: "  #").map { line[..<$0.lowerBound] } ?? line))
            }
        }
        return lines
    }

    static let commands = [
        "show", "import", "replay", "report", "validate", "calibrate", "info", "sql", "list", "forget", "schema", "man",
        "export", "compare", "sweep", "history",
    ]

    /// All that the examples name, made once.
    private static let prepared = Result {
        let folder = try TemporaryFolder()
        // Each another log: the same one twice would not be imported.
        let logs = ["log.txt.gz", "nvme.txt.gz", "log.txt", "old.txt.gz", "new.txt.gz", "cpu0.txt", "cpu1.txt"]
        for (number, name) in logs.enumerated() {
            var log = FtraceLog(calls: 40, seed: UInt64(number) + 4)
            for second in 0..<9 {
                log.lines.append(
                    FtraceLog.line("tracing_mark_write: \(second)", microseconds: (26 + second) * 1_000_000))
            }
            try folder.write(name.hasSuffix(".gz") ? log.data.gzipped : log.data, to: name)
        }
        var page = RingPageBytes(time: 25_000_000_000)
        page.add(5, RecordedEvent.aMap(0x1000))
        try folder.write(Data(TraceDatFile(cpus: [[page.bytes()]]).bytes()), to: "trace.dat")
        for name in ["mine.txt", "nvme.cost", "my.cost", "mine.cost"] {
            _ = try Tool.run(["calibrate", "--built-in", "-o", name], directory: folder)
        }
        let traces = ["vfiounmap", "before", "after", "nvme-strict", "nvme-lazy", "nvme"]
        for (number, name) in traces.enumerated() {
            var log = FtraceLog(calls: 30, seed: UInt64(number) + 20)
            log.add(
                "map: (__iommu_map+0x5/0x2a0) domain=\(FtraceLog.domains[0]) iova=0xfe980000 paddr=0x10ec80000 size=524288 prot=0x6"
            )
            try folder.write(log.text, to: "traced.txt")
            for database in ["iommu-trace.db"] + (name.count < 7 && name != "nvme" ? ["monday.db", "tuesday.db"] : []) {
                _ = try Tool.run(["import", "traced.txt", "--name", name, "--db", database], directory: folder)
                _ = try Tool.run(["replay", "--db", database], directory: folder)
            }
        }
        _ = try Tool.run(["replay", "--hardware", "vtd-6.1", "--iotlb", "64x8"], directory: folder)
        _ = try Tool.run(["sweep", "--policies", "batch=2..8"], directory: folder)
        _ = try Tool.run(["validate"], directory: folder)
        return folder
    }

    private func folder() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let prepared = try Self.prepared.get()
        for file in try prepared.files { try folder.write(prepared.read(file), to: file) }
        // What else the examples call: another host, a pager.
        try FileManager.default.createDirectory(atPath: folder["bin"], withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: folder["bin/iommu-trace"], withDestinationPath: Tool.path)
        for (name, script) in [("ssh", "cat log.txt"), ("less", "cat"), ("man", "cat"), ("sqlite3", "cat")] {
            try folder.write("#!/bin/sh\n\(script)\n", to: "bin/\(name)")
            chmod(folder["bin/\(name)"], 0o755)
        }
        return folder
    }

    /// Its files and when they were written.
    private func state(of folder: TemporaryFolder) throws -> [String] {
        try folder.files.map { name in
            let attributes = try FileManager.default.attributesOfItem(atPath: folder[name])
            return "\(name) \((attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0)"
        }
    }

    private func check(_ example: Example, in folder: TemporaryFolder) throws {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let before = try state(of: folder)
        let result = try Tool.run(
            [], environment: ["PATH": folder["bin"] + ":" + path], directory: folder,
            launcher: ["bash", "-o", "pipefail", "-c", example.line])
        // A condition may hold.
        let isGated = example.line.contains("--fail-if")
        #expect(result.exitCode == 0 || isGated && result.exitCode == 1, "\(example.line): \(result.errors)")
        let after = try state(of: folder)
        let isSilent = result.output.isEmpty && after == before
        #expect(!isSilent || example.line.contains("forget"), "\(example.line) says and writes nothing")
    }

    @Test func pages() throws {
        #expect(Self.ofPages.count >= 20)
        for (_, examples) in Dictionary(grouping: Self.ofPages, by: \.place).sorted(by: { $0.key < $1.key }) {
            // In the order of the page, each after what the ones before it have left.
            let folder = try folder()
            for example in examples { try check(example, in: folder) }
        }
    }

    @Test(arguments: commands)
    func help(_ command: String) throws {
        let folder = try folder()
        let help = try Tool.run([command, "--help"], environment: ["COLUMNS": "300"], directory: folder)
        #expect(help.exitCode == 0)
        let examples = help.output.split(separator: "\n").filter {
            $0.hasPrefix("  ") && ($0.contains(" | iommu-trace ") || $0.hasPrefix("  iommu-trace "))
        }.map { line in
            // What stands behind the command is for people.
            let text = line.drop { $0 == " " }
            return Example(
                place: command, line: String(text.firstRange(of: "  ").map { text[..<$0.lowerBound] } ?? text))
        }
        #expect(!examples.isEmpty, "\(command) shows no example")
        for example in examples { try check(example, in: folder) }
    }

    /// A command that is not in the list above would go without a look at its examples.
    @Test func noCommandIsForgotten() throws {
        let help = try Tool.run(["--help"], directory: folder()).output
        let listed = help.split(separator: "\n").drop { $0 != "SUBCOMMANDS:" }.dropFirst()
            .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.hasPrefix("  See") }
            .compactMap { $0.split(separator: " ").first.map(String.init) }
        #expect(listed.sorted() == Self.commands.sorted())
    }
}
