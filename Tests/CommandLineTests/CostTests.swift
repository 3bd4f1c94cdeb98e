import Foundation
import Glibc
import Testing

/// Times and their constants, from the command line.
@Suite struct CostTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(FtraceLog(calls: 50).text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try run("replay", "-p", "sync", "-p", "queue=4,2ms").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    @Test func costs() throws {
        let database = try folder.read("iommu-trace.db")
        let table = try run("report", "costs")
        #expect(table.exitCode == 0)
        #expect(table.errors == "")
        for words in [
            " total_ms ", " saved_ms ", "constant: sync 240..700..2000 ns (assumption, built in): any hardware",
            "constant: queue_entry 50..70..100 ns", "note: modelled: counts times constants",
        ] { #expect(table.output.contains(words), "\(words)") }
        // Neither unused constants nor long texts in the table itself.
        #expect(!table.output.contains("constant: sync.vtd"))
        #expect(!table.output.contains("unmap_base 60..70..160 ns, "))
        let rows = try run("report", "costs", "--format", "json").objects()
        #expect(rows.map { $0["policy"] as? String } == ["sync", "queue=4,2ms"])
        for row in rows {
            #expect((row["constants"] as? String)?.contains("unmap_base 60..70..160 ns") == true)
            let ends = ["low", "typical", "high"].compactMap { row["total_\($0)_ms"] as? Double }
            #expect(ends.count == 3 && ends == ends.sorted())
        }
        #expect(try folder.read("iommu-trace.db") == database)
    }

    @Test func costFile() throws {
        try folder.write("# mine\nsync 1000 2000 3000 measured the machine under the table\n", to: "mine.txt")
        let rows = try run("report", "costs", "--cost", "mine.txt", "--format", "json").objects()
        #expect(rows.first?["flush_low_ms"] as? Double == 0.05)
        #expect(rows.first?["flush_typical_ms"] as? Double == 0.1)
        #expect(rows.first?["flush_high_ms"] as? Double == 0.15)
        #expect(rows.first?["cost_file"] as? String == "built in,mine.txt")
        let table = try run("report", "costs", "--cost", "mine.txt").output
        #expect(
            table.contains("constant: sync 1000..2000..3000 ns (measured, mine.txt): the machine under the table\n"))
        let constants = try run("report", "constants", "--cost", "mine.txt", "--format", "json").objects()
        #expect(constants.count == 16)
        #expect(constants.filter { $0["file"] as? String == "mine.txt" }.map { $0["constant"] as? String } == ["sync"])
    }

    @Test func badCostFiles() throws {
        try folder.write("sync 1 2 3 measured me\nsinc 1 2 3 measured me\n", to: "typo.txt")
        try folder.write(Data([0xff, 0]), to: "bytes")
        try folder.write("", to: "empty")
        mkfifo(folder["pipe"], 0o600)
        for (name, words) in [
            ("typo.txt", "iommu-trace: typo.txt:2: no constant is called 'sinc'; there are: map_base, "),
            ("bytes", "iommu-trace: bytes: is no text in UTF-8, so it is no cost file; name another one"),
            ("nosuch.txt", "iommu-trace: nosuch.txt: cannot be read: No such file or directory"),
            (".", "iommu-trace: .: is no ordinary file; name one that holds constants"),
            ("pipe", "iommu-trace: pipe: is no ordinary file"),
            ("empty", "iommu-trace: empty: holds no constant; a line is: name low typical high evidence source"),
            ("iommu-trace.db", "iommu-trace: iommu-trace.db: is "),
            ("log.txt", "iommu-trace: log.txt:5: no constant is called 'fio-271'"),
        ] {
            let result = try run("report", "costs", "--cost", name)
            #expect(result.exitCode == 4)
            #expect(result.output == "")
            #expect(result.errors.hasPrefix(words), "\(result.errors)")
        }
    }

    @Test func builtInFile() throws {
        let text = try run("calibrate", "--built-in", "--db", "no.db")
        #expect(text.exitCode == 0)
        #expect(text.output.hasPrefix("# What one step takes, in nanoseconds"))
        #expect(try run("calibrate", "--built-in", "-o", "mine.txt").output == "")
        #expect(try folder.text("mine.txt") == text.output)
        let costs = ["report", "costs", "--format", "json"]
        let ours = try Tool.run(costs + ["--cost", "mine.txt"], directory: folder).objects()
        let builtIn = try Tool.run(costs, directory: folder).objects()
        #expect(ours.map { $0["saved_high_ms"] as? Double } == builtIn.map { $0["saved_high_ms"] as? Double })
    }

    @Test func calibrate() throws {
        let table = try run("calibrate")
        #expect(table.exitCode == 0)
        #expect(table.errors == "")
        for words in [
            "How long the steps took in log, ns", "sync to the last layer", "lower bound of sync",
            "note: no event marks a completion", "note: these are figures of the machine that wrote this log",
            "note: stamps are in whole microseconds",
            "note: bounds from above (low = p10, typical = p50, high = p90): unmap_base, sync, sync.vtd\n",
            "note: not bounded by this log, as built in: map_base, ",
            "note: of sync and flush_all one is this machine's",
        ] { #expect(table.output.contains(words), "\(words)") }
        let written = try run("calibrate", "log", "-o", "log.cost")
        #expect(written.output == table.output)
        #expect(try run("calibrate", "-o", "-").output == folder.text("log.cost"))
        let rows = try run("report", "constants", "--cost", "log.cost", "--format", "json").objects()
        let sync = try #require(rows.first { $0["constant"] as? String == "sync" })
        // The log's events follow each other by 7 µs: sync, hw_flush, qi_submit, and then the next call.
        #expect(sync["low_ns"] as? Double == 21000)
        #expect(sync["high_ns"] as? Double == 21000)
        #expect(sync["evidence"] as? String == "inferred")
        #expect((sync["source"] as? String)?.hasPrefix("calibrated from log: n = 49, p10, p50, p90 of ") == true)
    }

    @Test func calibrateWithoutFlushes() throws {
        let lines = FtraceLog(calls: 5, seed: 9).lines.filter { !$0.contains(" sync: ") }
        try folder.write(lines.joined(separator: "\n") + "\n", to: "other.txt")
        #expect(try run("import", "other.txt").exitCode == 0)
        let result = try run("calibrate", "-o", "new.cost")
        #expect(result.exitCode == 4)
        #expect(result.output == "")
        #expect(
            result.errors.hasPrefix("iommu-trace: other: holds no sync or flush_all together with the hardware flush"))
        #expect(result.errors.contains("docs/recording.md"))
        #expect(!folder.exists("new.cost"))
    }

    @Test func calibrateSparesDatabases() throws {
        let database = try folder.read("iommu-trace.db")
        #expect(try run("calibrate", "-o", "iommu-trace.db").exitCode == 2)
        #expect(try folder.read("iommu-trace.db") == database)
    }

    @Test func examplesOfHelp() throws {
        #expect(try run("report", "--help").output.contains("iommu-trace report costs --cost mine.txt --by domain"))
        #expect(try run("calibrate", "--help").output.contains("iommu-trace report costs --cost nvme.cost"))
    }
}
