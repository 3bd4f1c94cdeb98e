import FlushSchedules
import Foundation
import IOMMUModel
import Replay
import Reporting
import TestSupport
import Testing
import TraceStore

/// A small log, a question and the expected answer, all three to be read: `Diff/NAME.txt`, `.sql` and `.csv`.
///
/// The log is imported and replayed under the default policies, the question is asked, the answer compared as CSV. A
/// question that begins with `-- iotlb GEOMETRY ACCESSES` gets a simulated IOTLB, under VT-d's commands, and `recorded` too;
/// one that begins with `-- policies` is asked under these. `-- report NAME GROUPING` and `-- history FIRST LAST` stand for those.
struct DiffTests {
    private static let folder = Bundle.module.resourceURL?.appending(path: "Diff")

    private static let names = SharedTraces.files(in: folder).filter { $0.pathExtension == "txt" }
        .map { $0.deletingPathExtension().lastPathComponent }

    @Test("a log answers a question as expected", arguments: names)
    func answers(name: String) throws {
        let folder = try #require(Self.folder)
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.appending(path: "\(name).txt").path, into: store)
        let sql = try String(contentsOf: folder.appending(path: "\(name).sql"), encoding: .utf8)
        let words = (sql.split(separator: "\n").first ?? "").split(separator: " ")
        if words.count == 4, words[1] == "iotlb" {
            let accesses = try #require(AccessAssumption(rawValue: String(words[3])))
            let model = CacheModel(try CacheGeometry(parsing: String(words[2])), accesses: accesses)
            let options = ReplayOptions(hardware: Hardware(.vtd61), iotlb: model)
            let requests = (Policy.defaults + [.recorded]).map { Replay.Request($0) }
            _ = try Replay(requests, options: options).run(in: store, trace: nil)
        } else if words.count > 2, words[1] == "policies" {
            let requests = try words.dropFirst(2).map { try Replay.Request(String($0)) }
            _ = try Replay(requests).run(in: store, trace: nil)
        } else {
            try Pipeline.replay(in: store)
        }
        let expected = try String(contentsOf: folder.appending(path: "\(name).csv"), encoding: .utf8)
        let answer =
            words.count > 1 && ["report", "history"].contains(words[1])
            ? try Self.answer(words.dropFirst().map(String.init), in: store).replacing(folder.path + "/", with: "")
            : try Pipeline.csv(sql, in: store)
        #expect(answer == expected)
        #expect(try Pipeline.damage(of: store) == [])
    }

    /// What `report NAME GROUPING` or `history FIRST LAST` answers.
    private static func answer(_ words: [String], in store: TraceStore) throws -> String {
        try #require(words.count == 3)
        return try Pipeline.csv { output in
            if words[0] == "report" {
                try #require(Report.named(words[1]))
                    .write(from: store, trace: nil, by: words[2], format: .csv, to: output)
            } else {
                let first = try #require(UInt64(words[1].dropFirst(2), radix: 16))
                let last = try #require(UInt64(words[2].dropFirst(2), radix: 16))
                _ = try History(first...last).write(from: store, format: .csv, to: output)
            }
        }
    }

    @Test("every case has its three files")
    func complete() {
        let files = SharedTraces.files(in: Self.folder)
        #expect(Self.names.count >= 6)
        for kind in ["txt", "sql", "csv"] {
            #expect(
                files.filter { $0.pathExtension == kind }.map { $0.deletingPathExtension().lastPathComponent }
                    == Self.names)
        }
        #expect(files.count == Self.names.count * 3)
    }
}
