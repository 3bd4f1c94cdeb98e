import Foundation
import Testing

/// Logs of other kinds than the default, and imports that take nothing amiss.
@Suite struct LogKindTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    // MARK: - --strict

    @Test func strictRefusesAtTheFirstIssue() throws {
        var log = FtraceLog(calls: 20)
        log.lines.insert("what is this?", at: 60)
        log.lines.insert("and this?", at: 80)
        try folder.write(log.text, to: "log.txt")
        let result = try run("import", "--strict", "log.txt")
        #expect(result.exitCode == 4)
        #expect(result.output == "")
        #expect(
            result.errors == """
                iommu-trace: log.txt:61: not an event line: what is this?
                  nothing was imported: correct the log, or import it without --strict, which keeps the rest

                """)
        #expect(try folder.files == ["log.txt"])
        #expect(try run("import", "log.txt").exitCode == 3)
    }

    /// So late that the database has been opened long before.
    @Test func strictLeavesTheDatabaseAsItWas() throws {
        try folder.write(FtraceLog(calls: 20).text, to: "good.txt")
        #expect(try run("import", "--strict", "good.txt").exitCode == 0)
        let before = try folder.read("iommu-trace.db")
        var log = FtraceLog(calls: 8000)
        log.add("unmap: IOMMU: iova=0x1000")
        try folder.write(log.text, to: "log.txt")
        let result = try run("import", "--strict", "log.txt")
        #expect(result.exitCode == 4)
        #expect(result.errors.hasPrefix("iommu-trace: log.txt:\(log.lines.count): field missing: "))
        #expect(try folder.read("iommu-trace.db") == before)
        #expect(try run("import", "--strict", "log.txt", "--db", "new.db").exitCode == 4)
        #expect(try folder.files == ["good.txt", "iommu-trace.db", "log.txt"])
    }

    @Test func strictTakesCutArchivesAmiss() throws {
        try folder.write(FtraceLog(calls: 60).data.gzipped.dropLast(), to: "log.gz")
        let result = try run("import", "--strict", "log.gz")
        #expect(result.exitCode == 4)
        #expect(result.errors.contains("archive is truncated"))
    }

    // MARK: - --ticks-per-second

    private func writeTicks() throws {
        let lines = (0..<40).map { index in
            "              dd-201     [001] .....  \(64_580_847_743 + index * 40_000): "
                + (index % 2 == 0
                    ? "map: IOMMU: iova=0x1000 paddr=0x2000 size=4096"
                    : "unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096")
        }
        try folder.write(lines.joined(separator: "\n") + "\n", to: "tsc.txt")
    }

    @Test(arguments: [["import", "tsc.txt"], ["tsc.txt"]]) func ticksAreRefused(command: [String]) throws {
        try writeTicks()
        let result = try Tool.run(command, directory: folder)
        #expect(result.exitCode == 4)
        #expect(result.output == "")
        #expect(
            result.errors.hasPrefix("iommu-trace: tsc.txt:1: the times are bare counts, as of the trace clock x86-tsc,")
        )
        #expect(result.errors.contains("--ticks-per-second N"))
        #expect(try folder.files == ["tsc.txt"])
    }

    @Test func ticksWithTheirRate() throws {
        try writeTicks()
        #expect(try run("import", "tsc.txt", "--ticks-per-second", "4000000000").exitCode == 0)
        let times = try run("sql", "SELECT min(time_ns), max(time_ns) FROM operation", "--format", "csv").records
        #expect(times.last == ["16145211935", "16145601935"])
        #expect(try run("show", "tsc.txt", "--ticks-per-second", "4000000000").exitCode == 0)
    }

    @Test(arguments: ["0", "-1", "x", "1.5", "1000000000001", "99999999999999999999"])
    func unusableRates(rate: String) throws {
        try writeTicks()
        let result = try run("import", "tsc.txt", "--ticks-per-second=\(rate)")
        #expect(result.exitCode == 2)
        #expect(result.errors.contains("give a whole number from 1 to 10^12"))
    }

    // MARK: - Other texts

    @Test func eventsWithoutTimes() throws {
        try folder.write(
            "map: IOMMU: iova=0x1000 paddr=0x2000 size=4096\nunmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096\n",
            to: "log.txt")
        let result = try run("import", "log.txt")
        #expect(result.exitCode == 3)
        #expect(result.output.contains("when 2 of its events happened: their lines have no time"))
        #expect(try run("replay").exitCode == 0)
        let savings = try run("report", "savings", "--format", "json").objects()
        #expect(savings.allSatisfy { $0["unmap_calls"] as? Int == 1 })
    }

    @Test func domainsNamedAfterDevices() throws {
        try folder.write(
            "  fio-7  [000] ....  1.000000: map_single: dev=0000:00:1f.2 dev_addr=0xfff00000 phys_addr=0x1000 size=512\n"
                + "  fio-7  [000] ....  1.000100: unmap_single: dev=0000:00:1f.2 dev_addr=0xfff00000 size=512\n",
            to: "log.txt")
        let result = try run("import", "log.txt")
        #expect(result.exitCode == 0)
        #expect(result.output.contains("which devices share a domain"))
        #expect(!result.output.contains("'unresolved'"))
        #expect(try run("replay").exitCode == 0)
        let domains = try run("report", "domains", "--format", "json").objects()
        #expect(domains.map { $0["domain"] as? String } == ["0000:00:1f.2"])
        #expect(domains.map { $0["evidence"] as? String } == ["inferred"])
    }

    @Test func numbersOnly() throws {
        try folder.write("# tracer: nop\n285 0 29052442588 type: 1149\n", to: "raw.txt")
        let result = try run("import", "raw.txt")
        #expect(result.exitCode == 4)
        #expect(result.errors.hasPrefix("iommu-trace: raw.txt: was written with ftrace's option raw,"))
        #expect(result.errors.contains("echo 0 > /sys/kernel/tracing/options/raw"))
    }
}
