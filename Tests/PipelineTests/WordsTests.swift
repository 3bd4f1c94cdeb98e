import Foundation
import GRDB
import Schema
import TestSupport
import Testing
import TraceStore

@testable import Reporting

/// Facts are SQL's, sentences are Swift's: tables and the page say them, JSON and CSV have facts alone.
struct WordsTests {
    @Test("each column of sentences that a report's file names is there, and no other")
    func columns() {
        for report in Report.catalogue {
            #expect(
                Set(report.wordColumns.map(\.name)) == Set(ReportWords.sentences[report.name]?.keys.map { $0 } ?? []),
                "\(report.name)")
        }
        let names = Report.catalogue.map(\.name)
        #expect(ReportWords.sentences.keys.allSatisfy(names.contains))
    }

    /// A field's word has few of them.
    private static let mostWords = 7

    /// The texts in single quotes of SQL, without comments.
    private static func literals(_ sql: String) -> [String] {
        let code = sql.split(separator: "\n").map { line in
            line.firstRange(of: "--").map { line[..<$0.lowerBound] } ?? line
        }
        return code.joined(separator: "\n").split(separator: "'", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
    }

    @Test("no query makes sentences")
    func sentences() {
        let files =
            (Schema.reports + Schema.views).map { ($0.name, $0.sql) } + [
                ("history", Schema.history), ("nearest", Schema.nearest),
            ]
        for (name, sql) in files {
            for literal in Self.literals(sql) {
                #expect(literal.split(separator: " ").count <= Self.mostWords, "\(name): \(literal)")
                #expect(literal == "; " || !literal.contains("; "), "\(name): \(literal)")
                #expect(!literal.contains("--"), "\(name): \(literal)")
            }
        }
    }

    @Test("sentences are said in tables; JSON and CSV have the columns of the query")
    func formats() throws {
        let store = try TraceStore(path: "", access: .create)
        let folder = try TemporaryFolder()
        let log = FtraceText.expand(
            """
            0 7 1 map: IOMMU: iova=0x1000 - 0x2000 paddr=0x5000 size=4096
            0 7 10 unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=4096
            0 7 20 io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x1040 flags=0x0001

            """)
        try Pipeline.importLog(folder.write(log, to: "log.txt"), into: store)
        let report = try #require(Report.named("faults"))
        func text(_ format: OutputFormat, by grouping: String = "fault") throws -> String {
            try Pipeline.csv { try report.write(from: store, trace: nil, by: grouping, format: format, to: $0) }
        }
        let sentence = "0000:00:03.0 writes 0x1040, use after unmap, 0.010 ms after task7-7 unmapped it"
        for format in [OutputFormat.table, .markdown] {
            #expect(try text(format).contains(sentence))
            // Of many faults none is told.
            #expect(!(try text(format, by: "trace").contains("in_words")))
        }
        for format in [OutputFormat.json, .csv] { #expect(!(try text(format).contains("task7-7 unmapped it"))) }
    }

    @Test("where in the log a line is, is asked for one line at a time")
    func place() throws {
        let store = try TraceStore(path: "", access: .create)
        let folder = try TemporaryFolder()
        try Pipeline.importLog(
            folder.write(
                FtraceText.expand("0 7 1 map: IOMMU: iova=0x1000 - 0x2000 paddr=0x5000 size=4096\n"), to: "log.txt"),
            into: store)
        func places(_ condition: String) throws -> [String] {
            try store.read {
                try String.fetchAll($0, sql: "SELECT place FROM where_in_the_log WHERE trace = 1 AND \(condition)")
            }.map { String($0.split(separator: "/").last ?? "") }
        }
        #expect(try places("line = 1") == ["log.txt:1"])
        #expect(try places("line IN (3, 7)") == ["log.txt:3", "log.txt:7"])
        #expect(try places("line = NULL") == [])
        #expect(try places("line > 0") == [])
    }
}
