import Foundation
import Testing

/// `import --merge`: several files, one trace.
@Suite struct MergeTests {
    private let folder: TemporaryFolder
    private let log = FtraceLog(calls: 40)

    init() throws {
        folder = try TemporaryFolder()
        // Every other event to the one file, the rest to the other, and one that is none.
        let lines = log.text.split(separator: "\n").map(String.init)
        for part in 0...1 {
            let own = lines.enumerated().filter { $0.offset % 2 == part || $0.element.hasPrefix("#") }.map(\.element)
            let text = (own + (part == 1 ? ["what is this"] : [])).joined(separator: "\n") + "\n"
            try folder.write(part == 0 ? Data(text.utf8).gzipped : Data(text.utf8), to: "host.\(part)")
            try folder.write(text, to: "text.\(part)")
        }
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func csv(_ sql: String) throws -> String {
        try run("sql", "--format", "csv", sql).output
    }

    private static let operations =
        "SELECT time_ns, kind, cpu, task, domain, iova, size FROM what_happened WHERE trace = '%' ORDER BY id"

    @Test func givesTheOperationsOfTheWhole() throws {
        try folder.write(log.text, to: "whole")
        #expect(try run("import", "whole").exitCode == 0)
        let merged = try run("import", "--merge", "host.0", "host.1")
        #expect(merged.exitCode == 3)
        #expect(merged.output.hasPrefix("trace host, from host.0 + host.1\n"))
        let sql = { (trace: String) in Self.operations.replacingOccurrences(of: "%", with: trace) }
        #expect(try csv(sql("host")) == csv(sql("whole")))
        #expect(try run("import", "--merge", "host.1", "host.0").errors.contains("as trace host"))
    }

    /// The event whose line an operation has, where it is called otherwise.
    private static let events = ["marker": "tracing_mark_write", "unmap_fast": "unmapped"]

    /// A line is that of the file in which it stands.
    @Test func placesAreThoseOfTheFiles() throws {
        _ = try run("import", "--merge", "host.0", "host.1")
        let places = try csv("SELECT kind, place FROM what_happened").split(separator: "\n").dropFirst()
        #expect(!places.isEmpty)
        for file in 0...1 {
            let lines = try folder.text("text.\(file)").split(separator: "\n", omittingEmptySubsequences: false)
            for place in places where place.contains("host.\(file):") {
                let kind = String(place.prefix { $0 != "," })
                let line = try #require(Int(place.split(separator: ":").last ?? ""))
                #expect(lines.indices.contains(line - 1))
                guard lines.indices.contains(line - 1) else { continue }
                #expect(lines[line - 1].contains("\(Self.events[kind] ?? kind):"), "\(place)")
            }
        }
        let issues = try run("report", "issues", "--format", "csv").output
        let last = try folder.text("host.1").split(separator: "\n").count
        #expect(issues.contains("host.1:\(last),"))
        #expect(try run("forget", "host").exitCode == 0)
        #expect(try csv("SELECT count(*) FROM log_part, log_piece").hasSuffix("\n0\n"))
    }

    @Test func strictNamesTheFileAndItsLine() throws {
        let last = try folder.text("host.1").split(separator: "\n").count
        let result = try run("import", "--merge", "--strict", "host.0", "host.1")
        #expect(result.exitCode == 4)
        #expect(result.errors.contains("host.1:\(last): not an event line: what is this"))
    }

    @Test func refusals() throws {
        #expect(try run("import", "--merge", "-", "-").exitCode == 2)
        #expect(try run("import", "host.0", "host.1", "--name", "both").exitCode == 2)
        try folder.write(try folder.read("host.1"), to: "again")
        let twice = try run("import", "--merge", "host.1", "again")
        #expect(twice.exitCode == 4)
        #expect(twice.errors.contains("again: holds the same bytes as host.1"))
        let missing = try run("import", "--merge", "host.1", "nowhere")
        #expect(missing.exitCode == 4)
        #expect(!FileManager.default.fileExists(atPath: folder["iommu-trace.db"]))
    }
}
