import Foundation
import TestSupport
import Testing

@testable import TraceStore

/// The constants' file: what is read, what is refused, and with which words.
struct CostFileTests {
    private static func read(_ text: String) throws(CostFileError) -> CostFile {
        try CostFile(Data(text.utf8), name: "mine.txt")
    }

    private static func refusal(_ text: String) -> String? { refusal(Data(text.utf8)) }

    private static func refusal(_ data: Data) -> String? {
        do {
            _ = try CostFile(data, name: "mine.txt")
            return nil
        } catch {
            return error.description
        }
    }

    @Test("the built-in file holds each constant once, with an interval and a source")
    func builtIn() throws {
        let file = try CostFile.builtIn()
        #expect(file.constants.map(\.name) == CostConstant.Name.allCases)
        #expect(file.constants.allSatisfy { $0.high > $0.low && !$0.source.isEmpty && $0.evidence != .inferred })
        #expect(file.constants.allSatisfy { $0.file == "built in" })
        // What no hardware is named for holds all that are.
        let syncs = file.constants.filter { $0.name.rawValue.hasPrefix("sync.") }
        let sync = try #require(file.constants.first { $0.name == .sync })
        #expect(sync.low == syncs.map(\.low).min())
        #expect(sync.high == syncs.map(\.high).max())
    }

    @Test("fields stand apart by spaces or tabs, the source is the rest of the line")
    func fields() throws {
        let file = try Self.read(
            "# mine\n\n  sync 300 700.5\t1000 measured   my machine, # 2 \t\r\n\t# more\nmap_pte 0 0 0 assumption none")
        #expect(
            file.constants == [
                CostConstant(
                    .sync, low: 300, typical: 700.5, high: 1000, evidence: .measured, source: "my machine, # 2",
                    file: "mine.txt"),
                CostConstant(
                    .mapEntry, low: 0, typical: 0, high: 0, evidence: .assumption, source: "none", file: "mine.txt"),
            ])
    }

    @Test(
        "what is wrong is refused with its place",
        arguments: [
            ("", "mine.txt: holds no constant; a line is: name low typical high evidence source"),
            ("# nothing\n\n", "mine.txt: holds no constant"),
            ("\n\nsinc 1 2 3 measured me", "mine.txt:3: no constant is called 'sinc'; there are: map_base, map_pte"),
            ("SYNC 1 2 3 measured me", "mine.txt:1: no constant is called 'SYNC'"),
            ("sync", "mine.txt:1: sync has 1 of 6 fields; a line is: name low typical high evidence source"),
            ("sync 1 2 3 measured", "mine.txt:1: sync has 5 of 6 fields"),
            ("sync 1 2 3 measured   ", "mine.txt:1: sync has no source; write at the end of the line who says so"),
            ("sync 1 2 3 measured # me", "mine.txt:1: sync has no source"),
            ("sync,1,2,3,measured,me", "mine.txt:1: no constant is called 'sync,1,2,3,measured,me'"),
            ("sync 3 2 4 measured me", "mine.txt:1: sync has 3, 2, 4, which do not rise; give low, typical and high"),
            ("sync 1 3 2 measured me", "mine.txt:1: sync has 1, 3, 2, which do not rise"),
            ("sync 1 2 3 guessed me", "mine.txt:1: 'guessed' is no evidence for sync; give one of: measured, hearsay"),
            (
                "sync 1 2 3 measured me\n#\nsync 1 2 3 measured me",
                "mine.txt:3: sync stands in line 1 already; delete one of the two"
            ),
            ("sync 1 2 3 measured \u{1b}[31mme", "mine.txt:1: the source of sync holds control characters"),
            ("sync 1 2 3 measured me\rsync 1 2 3 measured me", "mine.txt:1: the source of sync holds control"),
        ])
    func refusals(text: String, words: String) {
        #expect(Self.refusal(text)?.hasPrefix(words) == true, "\(Self.refusal(text) ?? "taken")")
    }

    @Test(
        "only plain decimal numbers up to a second are times",
        arguments: [
            "-1", "+1", "1e3", "inf", "nan", "0x10", "1.", ".5", "1.2.3", "1_000", "1,5", "١", "1000000000.1",
            "99999999999999999999", "000000000000000000000000000001", "700ns", "\u{2212}1",
        ])
    func numbers(word: String) {
        #expect(
            Self.refusal("sync 0 \(word) 1000000000 measured me")?.contains("'\(word.prefix(40))' is no time") == true)
    }

    @Test("bytes that are no text, or far too many, are refused")
    func bytes() {
        #expect(Self.refusal(Data([0xff, 0xfe, 0x20]))?.contains("is no text in UTF-8") == true)
        #expect(Self.refusal(Data("sync 1 2 3 measured me\0".utf8))?.contains("is no text in UTF-8") == true)
        #expect(Self.refusal(Data("SQLite format 3\0".utf8))?.contains("is no text in UTF-8") == true)
        let long = Data(repeating: UInt8(ascii: "#"), count: CostFile.sizeLimit + 1)
        #expect(Self.refusal(long)?.contains("is longer than 65536 bytes") == true)
        #expect(Self.refusal(long.dropLast())?.contains("holds no constant") == true)
    }

    @Test("whatever stands in a file, it is taken or refused in one line of words")
    func mutations() throws {
        var random = SeededGenerator(seed: 20)
        let text = Array("sync 300 700 1000 measured me\nmap_pte 1 1.3 8 hearsay you\n".utf8)
        let bytes = Array(0...UInt8.max)
        for _ in 0..<5000 {
            var changed = text
            for _ in 0..<(1 + random.next() % 4) {
                let place = Int(random.next() % UInt64(changed.count))
                switch random.next() % 3 {
                case 0: changed[place] = bytes[Int(random.next() % 256)]
                case 1: changed.remove(at: place)
                default: changed.insert(bytes[Int(random.next() % 256)], at: place)
                }
            }
            if let words = Self.refusal(Data(changed)) {
                #expect(words.hasPrefix("mine.txt"))
                continue
            }
            let file = try CostFile(Data(changed), name: "mine.txt")
            #expect(file.constants.allSatisfy { 0 <= $0.low && $0.low <= $0.typical && $0.typical <= $0.high })
            #expect(try CostFile(Data(file.text.utf8), name: "mine.txt") == file)
        }
    }

    @Test("what is written is read as the same, even where a log's name holds line ends")
    func roundTrip() throws {
        var file = try CostFile.builtIn()
        file.replace(with: [
            CostConstant(
                .sync, low: 0.1, typical: 1, high: 123_456_789, evidence: .inferred, source: "of a\nb\u{1b}c\r\nd",
                file: "log")
        ])
        let read = try Self.read(file.text)
        #expect(read.constants.map(\.low) == file.constants.map(\.low))
        #expect(read.constants.map(\.high) == file.constants.map(\.high))
        #expect(read.constants.first { $0.name == .sync }?.source == "of a b c  d")
        #expect(read.constants.count == CostConstant.Name.allCases.count)
    }
}
