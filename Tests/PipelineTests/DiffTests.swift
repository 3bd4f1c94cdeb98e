import Foundation
import Reporting
import TestSupport
import Testing
import TraceStore

/// A small log, a question and the expected answer, all three to be read: `Diff/NAME.txt`, `.sql` and `.csv`.
///
/// The log is imported and replayed under the default policies, the question is asked, the answer compared as CSV.
struct DiffTests {
    private static let folder = Bundle.module.resourceURL?.appending(path: "Diff")

    private static let names = SharedTraces.files(in: folder).filter { $0.pathExtension == "txt" }
        .map { $0.deletingPathExtension().lastPathComponent }

    @Test("a log answers a question as expected", arguments: names)
    func answers(name: String) throws {
        let folder = try #require(Self.folder)
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.appending(path: "\(name).txt").path, into: store)
        try Pipeline.replay(in: store)
        let sql = try String(contentsOf: folder.appending(path: "\(name).sql"), encoding: .utf8)
        let expected = try String(contentsOf: folder.appending(path: "\(name).csv"), encoding: .utf8)
        let answer = try Pipeline.csv(sql, in: store)
        #expect(answer == expected)
        #expect(try Pipeline.damage(of: store) == [])
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
