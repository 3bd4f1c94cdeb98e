import Foundation
import Testing

/// What a report says that has no rows, and that a gate does not pass on what was never looked at.
@Suite struct GateTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(Prepared.twoTraces.get(), to: "iommu-trace.db")
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    struct Needy: CustomTestStringConvertible {
        var report: String
        var condition: String
        var made: [String]
        var words: String
        var testDescription: String { report }
    }

    static let needy = [
        Needy(report: "savings", condition: "flushes > 1000", made: ["replay"], words: "replayed"),
        Needy(report: "windows", condition: "p99_ns > 1000s", made: ["replay"], words: "replayed"),
        Needy(report: "top", condition: "length_ns > 1000s", made: ["replay"], words: "replayed with its windows kept"),
        Needy(report: "hazards", condition: "pages > 1000", made: ["replay"], words: "replayed"),
        Needy(report: "latency", condition: "p99_ns > 1000s", made: ["replay"], words: "replayed"),
        Needy(report: "timeline", condition: "flushes > 1000", made: ["replay"], words: "replayed"),
        Needy(report: "costs", condition: "total_high_ms > 1000s", made: ["replay"], words: "replayed"),
        Needy(report: "mistakes", condition: "calls > 1000", made: ["replay"], words: "replayed as a whole"),
        Needy(report: "leaks", condition: "bytes > 1000G", made: ["replay"], words: "replayed as a whole"),
        Needy(report: "page-sizes", condition: "bytes > 1000G", made: ["replay"], words: "replayed as a whole"),
        Needy(report: "churn", condition: "maps > 1000", made: ["replay"], words: "replayed as a whole"),
        Needy(report: "churn-timeline", condition: "maps > 1000", made: ["replay"], words: "replayed as a whole"),
        Needy(
            report: "tlb", condition: "stale_hits > 1000",
            made: ["replay", "--hardware", "vtd-6.1", "--iotlb", "64x8"],
            words: "replayed with an IOTLB"),
        Needy(
            report: "sweep", condition: "flushes > 1000", made: ["sweep", "--policies", "batch=2..4"], words: "swept"),
        Needy(
            report: "advice", condition: "unmap_calls > 1000", made: ["sweep", "--policies", "batch=2..4"],
            words: "swept"),
        Needy(report: "validate", condition: "missing > 1000", made: ["validate"], words: "validated"),
        Needy(report: "differences", condition: "trace == x", made: ["validate"], words: "validated"),
    ]

    /// One trace of two was looked at: a gate on the other one is refused, not passed.
    @Test(arguments: needy) func ofTheOtherTrace(_ needy: Needy) throws {
        let gate = ["report", needy.report, "--fail-if", needy.condition]
        let nothing = try Tool.run(gate, directory: folder)
        #expect(nothing.exitCode == 4, "\(nothing.errors)")
        #expect(nothing.errors.contains(" yet: iommu-trace \(needy.made[0])"))

        #expect(try Tool.run(needy.made + ["--trace", "log"], directory: folder).exitCode == 0)
        let other = try Tool.run(gate + ["--trace", "other"], directory: folder)
        #expect(other.exitCode == 4)
        let hint = "trace other was not \(needy.words) yet: iommu-trace \(needy.made[0])"
        #expect(other.errors.hasPrefix(hint), "\(other.errors)")
        #expect(other.errors.hasSuffix(" --trace other\n"))
        // It says so without a gate as well, which then fails nothing.
        let plain = try run("report", needy.report, "--trace", "other")
        #expect(plain.exitCode == 0)
        #expect(plain.errors == other.errors)
        #expect(try run("report", needy.report, "--trace", "other", "--quiet").errors == "")

        let own = try Tool.run(gate + ["--trace", "log"], directory: folder)
        #expect(own.exitCode == 0, "\(own.errors)")
        #expect(!own.errors.contains("was not"))
        // Of all traces: what was looked at is in order, and what was not is named.
        let all = try Tool.run(gate, directory: folder)
        #expect(all.exitCode == 0)
        #expect(all.errors.contains(hint))
    }

    /// The command that is offered goes to the database that was asked.
    @Test func offeredCommands() throws {
        try folder.write(Prepared.oneTrace.get(), to: "it's.db")
        let hint = "nothing was swept yet: iommu-trace sweep --db 'it'\\''s.db'\n"
        #expect(try run("report", "sweep", "--db", "it's.db").errors == hint)
        try folder.write(Prepared.oneTrace.get(), to: "mine.db")
        #expect(
            try run("report", "windows", "--trace", "log", "--db", "mine.db").errors
                == "trace log was not replayed yet: iommu-trace replay --trace log --db mine.db\n")
        // From the environment it holds for the next command, too.
        #expect(
            try Tool.run(["report", "windows"], environment: ["IOMMU_TRACE_DB": "mine.db"], directory: folder).errors
                == "nothing was replayed yet: iommu-trace replay\n")
    }

    @Test func partOnly() throws {
        #expect(try run("replay", "--trace", "log", "--since", "+20us").exitCode == 0)
        #expect(try run("report", "savings", "--trace", "log", "--fail-if", "flushes > 1000").exitCode == 0)
        let leaks = try run("report", "leaks", "--trace", "log", "--fail-if", "bytes > 1000G")
        #expect(leaks.exitCode == 4)
        #expect(leaks.errors == "trace log was not replayed as a whole yet: iommu-trace replay --trace log\n")
    }

    @Test func noTraceAtAll() throws {
        #expect(try run("forget", "log").exitCode == 0)
        #expect(try run("forget", "other").exitCode == 0)
        let result = try run("report", "issues", "--fail-if", "count > 0")
        #expect(result.exitCode == 4)
        #expect(result.errors == "the database holds no trace: iommu-trace import LOG\n")
    }

    /// All is well, and is said to be: a header alone says nothing.
    @Test(arguments: [
        ("hazards", "no hazard"), ("faults", "no fault"), ("leaks", "no leak"), ("contradictions", "no contradiction"),
        ("losses", "no loss"), ("issues", "no issue"),
    ]) func nothingFound(report: String, words: String) throws {
        #expect(try run("replay", "--trace", "log", "-p", "sync").exitCode == 0)
        let result = try run("report", report, "--trace", "log", "--format", "csv", "--fail-if", "evidence == x")
        #expect(result.exitCode == 0)
        #expect(result.output.split(separator: "\n").count == 1)
        #expect(result.errors.hasPrefix(words), "\(result.errors)")
        #expect(try run("report", report, "--trace", "log", "--quiet").errors == "")
    }

    @Test func nothingFoundByTask() throws {
        #expect(try run("replay", "--trace", "log", "-p", "sync").exitCode == 0)
        #expect(
            try run("report", "mistakes", "--by", "task", "--trace", "log").errors
                == "no mistake of a caller was found\n")
        #expect(try run("report", "top", "--trace", "log").errors.hasPrefix("no stale window"))
    }

    /// Without flushes that bound a time a gate on times has nothing to look at.
    @Test func calibrationOfNothing() throws {
        try folder.write(
            FtraceLog(calls: 5).lines.filter { line in
                // The returns bound how long an unmap's clearing takes.
                !["sync:", "hw_flush:", "qi_submit:", "unmapped:"].contains { line.contains($0) }
            }
            .joined(separator: "\n") + "\n", to: "maps.txt")
        #expect(try run("import", "maps.txt").exitCode == 0)
        let empty = try run("report", "calibration", "--trace", "maps")
        #expect(empty.errors.contains("nothing bounds a time"))
        #expect(try run("report", "calibration", "--trace", "maps", "--fail-if", "n > 1").exitCode == 4)
    }

    /// What is not known meets no condition, and is said to be unknown.
    @Test func unknownInSomeRows() throws {
        #expect(try run("replay", "--trace", "log", "-p", "sync", "-p", "queue=2,1ms").exitCode == 0)
        let result = try run("report", "windows", "--fail-if", "p50_ns > 1000s", "--format", "csv", "--trace", "log")
        #expect(result.exitCode == 0)
        let unknown = result.records.dropFirst().count { record in
            result.records.first.flatMap { $0.firstIndex(of: "p50_ns") }.map { record[$0].isEmpty } ?? false
        }
        #expect(unknown == 1)
        #expect(
            result.errors
                == "--fail-if 'p50_ns > 1000s': p50_ns is not known in 1 of 2 rows, which meet no condition\n")
        let all = try run("report", "windows", "--fail-if", "domain == x", "--trace", "log")
        #expect(all.exitCode == 0)
        #expect(all.errors.contains("domain is not known in 2 of 2 rows, which therefore say nothing about it"))
        #expect(
            try run("report", "windows", "--fail-if", "windows > 1000", "--trace", "log").errors == "")
    }

    /// Faults are told one by one up to a number: what is left out is said, and was not passed.
    @Test func faultsLeftOut() throws {
        var log = FtraceLog(calls: 2)
        for number in 0..<10_001 {
            let iova = String(0x2000_0000 + number * 4096, radix: 16)
            log.add("io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x\(iova) flags=0x0000")
        }
        try folder.write(log.text, to: "faults.txt")
        #expect(try run("import", "faults.txt").exitCode == 0)
        let all = try run("report", "faults", "--trace", "faults", "--format", "csv")
        #expect(all.exitCode == 0)
        #expect(all.output.split(separator: "\n").count == 10_001)
        #expect(
            all.errors.contains(
                "only 10000 of 10001 faults of a trace are told one by one; --by trace counts all of them"))
        let passed = try run("report", "faults", "--trace", "faults", "--fail-if", "unmapped_ns_ago > 1s")
        #expect(passed.exitCode == 4)
        let found = try run("report", "faults", "--trace", "faults", "--fail-if", "finding == 'never mapped'")
        #expect(found.exitCode == 1)
        let counted = try run("report", "faults", "--trace", "faults", "--by", "trace", "--fail-if", "faults > 10001")
        #expect(counted.exitCode == 0)
        #expect(!counted.errors.contains("only 10000"))
        let more = try run(
            "report", "faults", "--trace", "faults", "--by", "trace", "--fail-if", "never_mapped > 10000")
        #expect(more.exitCode == 1)
    }

    /// Of what stays mapped the largest are told, of each kind of mistake the first.
    @Test(
        arguments: [
            ("leaks", "mapping", 101, "bytes > 1G", "only 100 of 101 live mappings"),
            ("leaks", "mapping", 100, "bytes > 1G", nil),
            ("mistakes", "mistake", 1001, "size > 1G", "only 1000 of 1001 mistakes of a kind"),
            ("mistakes", "mistake", 1000, "size > 1G", nil),
        ] as [(String, String, Int, String, String?)])
    func othersLeftOut(report: String, grouping: String, count: Int, gate: String, words: String?) throws {
        var log = FtraceLog(calls: 2)
        for number in 0..<count {
            let iova = String(0x2000_0000 + number * 4096, radix: 16)
            log.add(
                report == "leaks"
                    ? "map: (__iommu_map+0x5/0x2a0) domain=\(FtraceLog.domains[0]) iova=0x\(iova) paddr=0x5000 size=4096 prot=0x7"
                    : "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(FtraceLog.domains[0]) iova=0x\(iova) size=4096 queued=0"
            )
            if report == "mistakes" { log.add("unmapped: (iommu.unmap) iova=0x\(iova) size=4096 unmapped=0") }
        }
        try folder.write(log.text, to: "many.txt")
        #expect(try run("import", "many.txt").exitCode == 0)
        #expect(try run("replay", "--trace", "many", "-p", "sync").exitCode == 0)
        let passed = try run("report", report, "--by", grouping, "--trace", "many", "--fail-if", gate)
        #expect(passed.exitCode == (words == nil ? 0 : 4))
        #expect(passed.errors.contains("are told one by one") == (words != nil), "\(passed.errors)")
        if let words { #expect(passed.errors.contains(words), "\(passed.errors)") }
        #expect(
            try run("report", report, "--by", "trace", "--trace", "many", "--fail-if", "bytes > 1000G").exitCode == 0)
    }

    /// That no row is there because no window was kept is no good news.
    @Test func windowsThatWereNotKept() throws {
        #expect(try run("replay", "--trace", "log", "-p", "queue=2,1ms", "--windows", "none").exitCode == 0)
        let result = try run("report", "top", "--trace", "log", "--fail-if", "length_ns > 1000s")
        #expect(result.exitCode == 4)
        #expect(
            result.errors.hasPrefix(
                "trace log was not replayed with its windows kept yet: iommu-trace replay --windows all"),
            "\(result.errors)")
        #expect(try run("replay", "--trace", "log", "-p", "queue=2,1ms", "--windows", "all").exitCode == 0)
        #expect(try run("report", "top", "--trace", "log", "--fail-if", "length_ns > 1000s").exitCode == 0)
    }
}
