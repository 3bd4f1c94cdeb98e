import Foundation
import Glibc
import TestSupport
import Testing

/// Imports that are killed, wherever they are: what was there stays, the rest can be had again. `tools/checks/kill-check` does the
/// same at as many moments as one likes.
@Suite struct KilledImportTests {
    private let folder: TemporaryFolder
    private static let log = FtraceLog(calls: 4000, seed: 3).data
    private static let older = FtraceLog(calls: 5, seed: 1).data

    init() throws {
        folder = try TemporaryFolder()
        try FileManager.default.createDirectory(atPath: folder["tmp"], withIntermediateDirectories: false)
        try folder.write(Self.log.gzipped, to: "log.txt.gz")
        try folder.write(Self.older, to: "older.txt")
    }

    private func start(_ database: String) throws -> RunningTool {
        try RunningTool(
            ["import", "log.txt.gz", "--db", database], environment: ["TMPDIR": folder["tmp"]], directory: folder)
    }

    /// Names of files that nobody should find.
    private func strangers() throws -> [String] {
        let known = ["log.txt.gz", "older.txt", "tmp", "whole.db", "killed.db", "killed.db-journal", "base.db"]
        let inTemporary = try FileManager.default.contentsOfDirectory(atPath: folder["tmp"])
        return try folder.files.filter { !known.contains($0) } + inTemporary
    }

    @Test(arguments: [false, true]) func atFiveMoments(holdsAnother: Bool) throws {
        if holdsAnother {
            #expect(try Tool.run(["import", "older.txt", "--db", "base.db"], directory: folder).exitCode == 0)
            try folder.write(folder.read("base.db"), to: "whole.db")
        }
        let begin = ContinuousClock.now
        #expect(try start("whole.db").finish().exitCode == 0)
        let taken = ContinuousClock.now - begin
        let whole = try DatabaseContents(folder, "whole.db")
        var generator = SeededGenerator(seed: holdsAnother ? 2 : 1)
        for _ in 0..<5 {
            for name in ["killed.db", "killed.db-journal"] { try? FileManager.default.removeItem(atPath: folder[name]) }
            if holdsAnother { try folder.write(folder.read("base.db"), to: "killed.db") }
            let tool = try start("killed.db")
            usleep(UInt32(Double.random(in: 0...1, using: &generator) * (taken / .microseconds(1))))
            tool.send(SIGKILL)
            _ = try tool.end()
            #expect(try strangers() == [])
            if folder.exists("killed.db"), holdsAnother {
                let contents = try DatabaseContents(folder, "killed.db")
                #expect(try contents == DatabaseContents(folder, "base.db") || contents == whole)
            }
            #expect(try start("killed.db").finish().exitCode == 0)
            #expect(try DatabaseContents(folder, "killed.db") == whole)
            #expect(try strangers() == [])
        }
    }
}
