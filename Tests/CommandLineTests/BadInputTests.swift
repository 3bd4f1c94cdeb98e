import Foundation
import Testing

/// Logs come from strangers by mail (architecture.md, Bad input).
@Suite struct BadInputTests {
    private let folder: TemporaryFolder
    private let log = FtraceLog(calls: 60)

    init() throws { folder = try TemporaryFolder() }

    private func run(_ arguments: String..., stdin: Data = Data()) throws -> Tool.Result {
        try Tool.run(arguments, stdin: stdin, directory: folder)
    }

    // MARK: - Refused

    /// Imports what must be refused: into a new database, which must not come to be, and into one with a trace, which
    /// must stay as it is.
    private func expectRefused(
        _ log: String, _ message: String, stdin: Data = Data(), sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let before = try folder.files
        let first = try run("import", log, stdin: stdin)
        #expect(first.exitCode == 4, sourceLocation: sourceLocation)
        #expect(first.output == "", sourceLocation: sourceLocation)
        #expect(first.errors.hasPrefix("iommu-trace: \(message)"), "\(first.errors)", sourceLocation: sourceLocation)
        #expect(try folder.files == before, sourceLocation: sourceLocation)

        try folder.write(self.log.text, to: "good.txt")
        #expect(try run("import", "good.txt").exitCode == 0, sourceLocation: sourceLocation)
        let bytes = try folder.read("iommu-trace.db")
        #expect(try run("import", log, stdin: stdin).exitCode == 4, sourceLocation: sourceLocation)
        #expect(try folder.read("iommu-trace.db") == bytes, sourceLocation: sourceLocation)
        _ = try DatabaseContents(folder, sourceLocation: sourceLocation)
    }

    @Test func emptyFile() throws {
        try folder.write("", to: "log.txt")
        try expectRefused("log.txt", "log.txt: is empty\n")
    }

    @Test func emptyStandardInput() throws { try expectRefused("-", "standard input: is empty\n") }

    @Test func emptyGzip() throws {
        try folder.write(Data().gzipped, to: "log.gz")
        try expectRefused("log.gz", "log.gz: is empty\n")
    }

    @Test func gzipCutInItsHeader() throws {
        try folder.write(log.data.gzipped.prefix(5), to: "log.gz")
        try expectRefused("log.gz", "log.gz: archive is truncated before its first line; nothing can be recovered\n")
    }

    @Test(arguments: [false, true]) func binaryFile(isGzip: Bool) throws {
        let bytes = Data((0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 3) })
        try folder.write(isGzip ? bytes.gzipped : bytes, to: "log")
        try expectRefused("log", "log: is binary data, not a text log; import what `cat /sys/kernel/tracing/trace`")
    }

    private struct Format: CustomTestStringConvertible {
        var magic: [UInt8]
        var name: String
        var advice: String
        var testDescription: String { name }
    }

    private static let formats = [
        Format(magic: Array("PERFILE2\0\0".utf8), name: "a perf recording", advice: "perf script -i FILE"),
        Format(magic: Array("BZh91AY&SY".utf8), name: "a bzip2 archive", advice: "bzip2 -dc FILE"),
        Format(magic: Array("PK\u{3}\u{4}\0\0".utf8), name: "a zip archive", advice: "unpack it first"),
        Format(magic: Array("SQLite format 3\0".utf8), name: "an SQLite database", advice: "name it with --db"),
    ]

    @Test(arguments: formats) private func otherFormats(format: Format) throws {
        try folder.write(Data(format.magic), to: "log")
        try expectRefused("log", "log: is \(format.name), which cannot be read; ")
        #expect(try run("import", "log").errors.contains(format.advice))
    }

    @Test func directory() throws {
        try FileManager.default.createDirectory(atPath: folder["logs"], withIntermediateDirectories: false)
        try expectRefused("logs", "logs: is a directory; name the log files in it\n")
    }

    @Test func missingFile() throws {
        try expectRefused("log.txt", "log.txt: cannot be read: No such file or directory\n")
    }

    @Test(.enabled(if: Unprivileged.launcher != nil, "needs a user whom permissions stop"))
    func fileWithoutReadPermission() throws {
        try folder.write(log.text, to: "log.txt")
        chmod(folder["log.txt"], 0)
        chmod(folder.path, 0o777)
        let launcher = try #require(Unprivileged.launcher)
        let result = try Tool.run(["import", "log.txt"], directory: folder, launcher: launcher)
        #expect(result.exitCode == 4)
        #expect(result.errors == "iommu-trace: log.txt: cannot be read: Permission denied\n")
        #expect(try folder.files == ["log.txt"])
    }

    @Test func logWithoutIOMMUEvents() throws {
        var other = FtraceLog(calls: 0)
        other.lines.removeAll { !$0.hasPrefix("#") }
        for _ in 1...30 { other.add("sched_switch: prev_comm=fio prev_pid=271 ==> next_comm=sh next_pid=1") }
        other.add("irq_handler_entry: irq=24 name=nvme0q1")
        try folder.write(other.text, to: "sched.txt")
        try expectRefused("sched.txt", "sched.txt: holds no event of an IOMMU; nothing was imported\n")
        let errors = try run("import", "sched.txt").errors
        #expect(errors.contains("events that it does hold: sched_switch (30), irq_handler_entry (1)\n"))
        #expect(errors.contains("to record: echo 1 > /sys/kernel/tracing/events/iommu/enable"))
    }

    @Test func textThatIsNoLog() throws {
        try folder.write(String(repeating: "Dear maintainers,\nplease find attached\n", count: 40), to: "mail.txt")
        try expectRefused("mail.txt", "mail.txt: holds no event of an IOMMU")
        #expect(try run("import", "mail.txt").errors.contains("lines that were not understood: not an event line (80)"))
    }

    /// More issues than are kept as rows, and not one operation.
    @Test func manyLinesOfNoLog() throws {
        try folder.write(String(repeating: "?\n", count: 30_000), to: "log.txt")
        try expectRefused("log.txt", "log.txt: holds no event of an IOMMU")
    }

    // MARK: - Imported with damage

    /// Imports what is damaged in part: says so, keeps the rest, and every report works.
    @discardableResult
    private func expectDamaged(
        _ name: String, _ data: Data, operations: ClosedRange<Int>, reason: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> DatabaseContents {
        try folder.write(data, to: name)
        let result = try run("import", name)
        #expect(result.exitCode == 3, "\(result.errors)", sourceLocation: sourceLocation)
        #expect(
            result.errors == "\(name): a part could not be taken: iommu-trace report issues --trace log\n",
            sourceLocation: sourceLocation)
        let contents = try DatabaseContents(folder, sourceLocation: sourceLocation)
        #expect(operations.contains(contents.count("operation")), sourceLocation: sourceLocation)
        #expect(try run("replay").exitCode == 0, sourceLocation: sourceLocation)
        for report in ["savings", "domains", "issues", "events"] {
            let result = try run("report", report, "--format", "json")
            #expect(result.exitCode == 0, "\(result.errors)", sourceLocation: sourceLocation)
            #expect(try !result.objects().isEmpty, sourceLocation: sourceLocation)
        }
        let issues = try run("report", "issues", "--trace", "log", "--format", "json").objects()
        #expect(issues.contains { $0["reason"] as? String == reason }, "\(issues)", sourceLocation: sourceLocation)
        #expect(
            issues.allSatisfy { ($0["place"] as? String)?.hasPrefix("\(name):") == true },
            sourceLocation: sourceLocation)
        return contents
    }

    @Test(arguments: [40, 70, 99]) func truncatedGzip(percent: Int) throws {
        let whole = log.data.gzipped
        try expectDamaged(
            "log.gz", whole.prefix(whole.count * percent / 100), operations: 10...182, reason: "archive is truncated")
    }

    /// The last byte of the checksum is missing: nothing of the log is.
    @Test func gzipWithoutItsLastByte() throws {
        try expectDamaged(
            "log.gz", log.data.gzipped.dropLast(), operations: 183...183, reason: "archive is truncated")
    }

    @Test func flippedBitInGzip() throws {
        let whole = log.data.gzipped
        try expectDamaged(
            "log.gz", whole.flippingBit(4, ofByte: whole.count * 3 / 4), operations: 10...183,
            reason: "archive is corrupt")
    }

    @Test func flippedBitInChecksum() throws {
        let whole = log.data.gzipped
        try expectDamaged(
            "log.gz", whole.flippingBit(0, ofByte: whole.count - 6), operations: 183...183,
            reason: "archive is corrupt")
    }

    @Test func bytesBehindGzip() throws {
        try expectDamaged(
            "log.gz", log.data.gzipped + Data("and more".utf8), operations: 183...183,
            reason: "bytes after the end of the archive")
    }

    @Test(arguments: [1 << 20, 65_537]) func longLine(length: Int) throws {
        var log = log
        log.lines.insert(String(repeating: "x", count: length), at: log.lines.count / 2)
        let contents = try expectDamaged(
            "log.txt", log.data, operations: 183...183, reason: "line longer than 64 KiB")
        #expect(contents.count("parse_issue") == 1)
    }

    @Test func nulBytes() throws {
        var log = log
        log.lines.insert("what\0is\0this", at: 100)
        try expectDamaged("log.txt", log.data, operations: 183...183, reason: "not an event line")
        let line = try run("sql", "SELECT line FROM parse_issue", "--format", "csv")
        #expect(line.output == "line\n101\n")
    }

    /// One line must not make each sum over the database overflow.
    @Test(arguments: [UInt64.max, UInt64(Int64.max), UInt64(1) << 57 + 1])
    func hugeSizes(size: UInt64) throws {
        var log = log
        for _ in 0..<2 {
            log.add("unmap: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 size=\(size) unmapped_size=4096")
            log.add("unmap: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 size=4096 unmapped_size=\(size)")
            log.add("unmap: IOMMU: iova=0x0000000000000000 size=\(size) unmapped_size=\(size)")
            log.add("map: IOMMU: iova=0x0000000000000000 paddr=0x0000000000000000 size=\(size)")
            log.add("map: (__iommu_map+0x5/0x2a0) domain=\(FtraceLog.domains[0]) iova=0x0 paddr=0x0 size=\(size)")
            log.add("unmapped: (iommu.unmap) iova=0x0 size=\(size) unmapped=\(size)")
        }
        let contents = try expectDamaged("log.txt", log.data, operations: 183...183, reason: "size above 2^57")
        #expect(contents.count("parse_issue") == 12)
        let sums = try run("sql", "SELECT sum(size), sum(result) FROM operation", "--format", "csv")
        #expect(sums.exitCode == 0)
        let savings = try run("report", "savings", "--format", "json").objects()
        #expect(savings.allSatisfy { $0["pages_unmapped"] as? Int == log.pages })
    }

    /// The largest sizes that are let in, many of them: sums stay in range.
    @Test func largestSizes() throws {
        var log = log
        let size = UInt64(1) << 57
        for _ in 0..<80 {
            log.add("map: IOMMU: iova=0x0000000000000000 paddr=0x0000000000000000 size=\(size)")
            log.add("unmap: IOMMU: iova=0x0000000000000000 size=\(size) unmapped_size=\(size)")
        }
        try folder.write(log.text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try run("replay").exitCode == 0)
        for report in ["savings", "domains", "issues", "events"] {
            #expect(try run("report", report, "--format", "json").exitCode == 0)
        }
        let savings = try run("report", "savings", "--format", "json").objects()
        #expect(savings.allSatisfy { $0["pages_unmapped"] as? Int == log.pages + 80 << 45 })
        _ = try DatabaseContents(folder)
    }

    @Test func rangesBeyondTheAddressSpace() throws {
        var log = log
        log.add("unmap: IOMMU: iova=0xfffffffffffff000 size=8192 unmapped_size=8192")
        try expectDamaged("log.txt", log.data, operations: 183...183, reason: "address plus size beyond 2^64")
    }

    @Test(arguments: [
        ("unmap: IOMMU: iova=0x1000 - 0x3000 size=4096 unmapped_size=4096", "end address does not match the size"),
        ("unmap: IOMMU: iova=0x1000", "field missing"),
        ("map: IOMMU: iova=0x1000 size=4096", "field missing"),
        ("unmap: IOMMU: iova=0x1ffffffffffffffff size=4096 unmapped_size=4096", "field is not a 64-bit number"),
        ("unmap: IOMMU: iova=zero size=4096 unmapped_size=4096", "field is not a 64-bit number"),
        ("qi_submit: iotlb_inv dmar0: 0x400f2", "field missing"),
    ])
    func damagedEvents(event: String, reason: String) throws {
        var log = log
        log.add(event)
        let contents = try expectDamaged("log.txt", log.data, operations: 183...183, reason: reason)
        #expect(contents.count("parse_issue") == 1)
    }

    @Test(arguments: [
        ("99999999999.000000", "time out of range"), ("99999999999999999999999.000000", "not an event line"),
        ("123456789", "time is a bare count, not seconds"),
    ])
    func damagedTimes(time: String, reason: String) throws {
        var log = log
        log.lines.append("             fio-271     [001] d.Z..    \(time): sync: (x+0x5/0xf0) domain=0x1")
        try expectDamaged("log.txt", log.data, operations: 183...183, reason: reason)
    }

    @Test func hugeCPUNumber() throws {
        var log = log
        log.lines.append("             fio-271     [4294967295] d.Z..    26.000000: sync: (x+0x5/0xf0) domain=0x1")
        try expectDamaged("log.txt", log.data, operations: 183...183, reason: "CPU number out of range")
    }

    // MARK: - Odd, but no damage

    @Test func unmapOfNothing() throws {
        try folder.write(
            FtraceLog.line(
                "unmap: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 size=4096 unmapped_size=0",
                microseconds: 1_000_000) + "\n", to: "log.txt")
        let result = try run("import", "log.txt")
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        #expect(try run("replay").exitCode == 0)
        let domains = try run("report", "domains", "--format", "json").objects()
        #expect(domains.map { $0["unmaps_of_nothing"] as? Int } == [1])
        let savings = try run("report", "savings", "--format", "json").objects()
        #expect(savings.allSatisfy { $0["unmap_calls"] as? Int == 1 && $0["pages_unmapped"] as? Int == 0 })
        // A log of no duration has no rate.
        #expect(savings.allSatisfy { $0["flushes_per_second"] is NSNull })
        _ = try DatabaseContents(folder)
    }

    @Test func lostEvents() throws {
        var log = log
        log.lines.insert("# entries-in-buffer/entries-written: 363/1000   #P:2", at: 2)
        log.lines.insert("CPU:1 [LOST 17 EVENTS]", at: 60)
        log.lines.insert("CPU:0 [LOST EVENTS]", at: 70)
        try folder.write(log.text, to: "log.txt")
        let result = try run("import", "log.txt")
        #expect(result.exitCode == 0)
        #expect(result.output.contains("637 events overwritten before the log begins (363 of 1000 kept)"))
        #expect(result.output.contains("2 announced: 17 events and an unknown number at 1 places"))
        let issues = try run("report", "issues", "--format", "json").objects()
        #expect(issues.compactMap { $0["reason"] as? String }.count { $0.hasPrefix("events lost") } == 3)
    }

    /// Damage in a one-shot run has no database to look it up in, but the same exit code.
    @Test func oneShotOfDamagedLog() throws {
        try folder.write(log.text + "what is this\n", to: "log.txt")
        let result = try run("log.txt")
        #expect(result.exitCode == 3)
        #expect(result.errors.hasPrefix("log.txt: a part of the log could not be taken; import it"))
        #expect(result.output.contains("\nfast = queue=256,10ms"))
        #expect(try folder.files == ["log.txt"])
    }
}
