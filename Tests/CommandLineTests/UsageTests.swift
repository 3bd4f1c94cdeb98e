import FlushSchedules
import Foundation
import Testing

/// What the command line makes of arguments, right and wrong.
@Suite struct UsageTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func run(_ arguments: [String]) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    // MARK: - Help

    @Test(arguments: [[], ["--help"], ["-h"], ["help"]]) func help(arguments: [String]) throws {
        let result = try run(arguments)
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        for word in ["OVERVIEW: ", "iommu-trace import LOG", "SUBCOMMANDS:", "report", "replay", "sql"] {
            #expect(result.output.contains(word))
        }
    }

    @Test(arguments: [
        "import", "replay", "sweep", "compare", "export", "schema", "man", "report", "history", "calibrate", "info",
        "list",
        "forget", "sql", "show",
    ])
    func helpOfSubcommand(name: String) throws {
        let result = try run([name, "--help"])
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        #expect(result.output.contains("USAGE: iommu-trace \(name)"))
        // Lines that the parser breaks must not have come out as `\(…)`.
        #expect(!result.output.contains("\\("))
        let narrow = try Tool.run([name, "--help"], environment: ["COLUMNS": "80"], directory: folder)
        let lines = narrow.output.split(separator: "\n", omittingEmptySubsequences: false)
        let text = lines.prefix { !$0.hasPrefix("USAGE:") }
        #expect(text.allSatisfy { $0.count <= 80 })
        // What is moved in, examples and the list of reports, is not broken: the rest of it would begin at the left.
        for (line, next) in zip(text, lines.dropFirst()) where line.hasPrefix("  ") {
            #expect(next.isEmpty || next.hasPrefix("  "), "\(line)")
        }
        // A default is said once, by the text or by the parser.
        let words = result.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        #expect(words.firstMatch(of: #/\(default: ([^()]*)\)\.? \(default: /#) == nil)
    }

    @Test func version() throws {
        let result = try run(["--version"])
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        #expect(try #/iommu-trace \d+\.\d+\.\d+ \(schema \d+\)\n/#.wholeMatch(in: result.output) != nil)
    }

    // MARK: - Mistakes

    struct Mistake: CustomTestStringConvertible {
        var arguments: [String]
        var hints: [String]
        var testDescription: String { arguments.joined(separator: " ") }

        init(_ line: String, _ hints: String...) {
            arguments = line.split(separator: " ").map { $0 == "''" ? "" : String($0) }
            self.hints = hints
        }
    }

    static let policies = [
        "per-page", "sync, strict", "recorded", "vfio", "batch=N", "queue=N,T", "single-queue=N,T", "every=T", "end",
        "fast, lazy",
    ]

    static let reports = """
        savings, windows, top, hazards, faults, mistakes, leaks, latency, timeline, page-sizes, churn, \
        churn-timeline, tlb, sweep, advice, costs, constants, calibration, domains, validate, differences, \
        evidence, issues, events, losses, metadata, contradictions
        """

    static let mistakes = [
        Mistake("import --frob log.txt", "Unknown option '--frob'", "iommu-trace import --help"),
        Mistake("replay --frob", "Unknown option '--frob'", "iommu-trace replay --help"),
        Mistake("report savings --frob", "Unknown option '--frob'", "iommu-trace report --help"),
        Mistake("reprot savings", "'reprot' is neither a command nor a file; did you mean: iommu-trace report savings"),
        Mistake("reprot", "did you mean: iommu-trace report"),
        Mistake("impor log.txt.gz", "did you mean: iommu-trace import log.txt.gz"),
        Mistake("log.txt --db x", "keeps nothing, so --db means nothing to it", "iommu-trace import log.txt --db x"),
        Mistake("log.txt --db=x", "keeps nothing, so --db means nothing to it", "iommu-trace import log.txt --db x"),
        Mistake("--db x log.txt", "keeps nothing, so --db means nothing to it"),
        Mistake("show log.txt --db x", "keeps nothing, so --db means nothing to it"),
        Mistake("--db x report savings", "options stand behind the command: iommu-trace report"),
        Mistake("import log.txt --name ''", "a trace needs a name; leave --name out"),
        Mistake("compare log other --policy sync", "--policy is for the replays of two logs"),
        Mistake("compare log other --hz 100", "--hz is for the replays of two logs"),
        Mistake("compare log other --windows none", "--windows is for the replays of two logs"),
        Mistake("compare log other --hardware vtd-6.1", "--hardware is for the replays of two logs"),
        Mistake("compare log other --since 1", "--since is for the replays of two logs"),
        Mistake(
            "compare log log.txt", "log is a trace and log.txt is a log; give two of a kind: iommu-trace import log.txt"
        ),
        Mistake("compare log.txt log", "log is a trace and log.txt is a log"),
        Mistake("forget log --replay sync", "trace log holds no replay at all: iommu-trace replay --trace log"),
        Mistake("import", "Missing expected argument '<log> ...'", "iommu-trace import --help"),
        Mistake("sql", "Missing expected argument '<query>'", "iommu-trace sql --help"),
        Mistake("forget", "Missing expected argument '<trace>'"),
        Mistake("import log.txt --db", "Missing value for '--db"),
        Mistake("import log.txt --db ''", "--db needs the name of a file"),
        Mistake("import log.txt other.txt --name x", "--name goes with one log only, or with --merge."),
        Mistake("import log.txt other.txt --metadata x", "--metadata goes with one log only, or with --merge."),
        Mistake("import log.txt --metadata nosuch", "--metadata nosuch: No such file or directory; give a folder"),
        Mistake("import log.txt --metadata log.txt", "--metadata log.txt: Not a directory; give a folder"),
        Mistake("report", "name a report: \(reports)"),
        Mistake("report nosuch", "no report is called 'nosuch'; there are: \(reports)"),
        Mistake("report savings --by cpu", "cannot be told apart by 'cpu', only by: trace, domain, device, task"),
        Mistake("report domains --by task", "cannot be told apart by 'task', only by: domain"),
        Mistake("report savings --trace nosuch", "no trace is called 'nosuch'; there are: log, other"),
        Mistake("replay --trace nosuch", "no trace is called 'nosuch'; there are: log, other"),
        Mistake("info --trace nosuch", "no trace is called 'nosuch'; there are: log, other"),
        Mistake("forget nosuch", "no trace is called 'nosuch'; there are: log, other"),
        Mistake("report savings --format xml", "'xml' is invalid", "'table', 'json', 'csv' or 'markdown'"),
        Mistake("import log.txt --progress often", "'often' is invalid", "'auto', 'always' or 'never'"),
        Mistake("replay --page-sizes 3K", "--page-sizes 3K: give powers of two from 4K up, such as 4K,2M,1G, or all"),
        Mistake("replay --page-sizes 2K", "--page-sizes 2K: give powers of two"),
        Mistake("replay --page-sizes 4K,,2M", "--page-sizes 4K,,2M: give powers of two"),
        Mistake("replay --page-sizes 99999999999999999999T", "give powers of two"),
        Mistake("replay --page-sizes ''", "give powers of two"),
        Mistake("replay --hz 0", "--hz 0: give 1 to 10000"),
        Mistake("replay --hz=-250", "--hz -250: give 1 to 10000"),
        Mistake("replay --hz 99999999999999999999", "is invalid for '--hz <ticks>'"),
        Mistake("replay --hz fast", "'fast' is invalid for '--hz <ticks>'"),
        Mistake("replay --policy batch=0", "policy 'batch=0' needs a number from 1 to 1000000000"),
        Mistake("replay --policy batch=99999999999999999999", "needs a number from 1 to 1000000000"),
        Mistake("replay --policy queue=1,10ms", "policy 'queue=1,10ms' needs a number from 2 to 1000000000"),
        Mistake("replay --policy queue=256,10", "needs a time such as 10ms or 250us, up to an hour"),
        Mistake("replay --policy every=9223372036854775807s", "needs a time such as 10ms or 250us, up to an hour"),
        Mistake("replay --policy every=0ms", "needs a time such as 10ms or 250us, up to an hour"),
        Mistake(
            "sweep --policies queue=4096..64,1ms", "has a range that ends before it begins: write 64..4096",
            "NAME=A..B/N", "queue=N,T"),
        Mistake("sweep --policies queue=64..4096", "grid 'queue=64..4096' needs N,T, such as queue=256,10ms"),
        Mistake(
            "sweep --policies queue=2..4096/30,1ms..1s/30", "has 870 points, the limit is 400: narrow a range",
            "queue=64..4096/4,1ms..100ms/4"),
        Mistake("sweep --policies fast", "grid 'fast' means another schedule in each domain: name one"),
        Mistake("sweep --by task", "a sweep is told apart by trace or domain, not by 'task'"),
        Mistake("sweep --threads 0", "--threads takes 1 to 256, not 0"),
        Mistake("sweep --plot --format csv", "--plot is drawn under a table, and --format csv has none"),
        Mistake("sweep --hz 0", "--hz 0: give 1 to 10000"),
        Mistake("sweep --trace nosuch", "no trace is called 'nosuch'; there are: log, other"),
        Mistake("log.txt --policy nosuch", "policy 'nosuch' is no policy"),
        Mistake("replay --windows most", "--windows most: give all, none or longest=N"),
        Mistake("replay --windows longest=0", "--windows longest=0: give all, none or longest=N"),
        Mistake("replay --windows longest=99999999999999999999", "give all, none or longest=N"),
        Mistake("replay --iotlb 64x8", "--iotlb needs --hardware"),
        Mistake("replay --hardware vtd-6.1 --iotlb 64x7", "cache geometry '64x7' cannot be", "qemu-vtd", "hypersio"),
        Mistake("replay --hardware vtd-6.1 --iotlb ''", "cache geometry '' is no cache geometry"),
        Mistake(
            "replay --hardware vtd-6.1 --iotlb 64 --accesses all", "--accesses all: give none, touch-on-map, recorded"),
        Mistake("replay --hardware vtd-6.1 --accesses recorded", "--accesses fills an IOTLB: it goes with --iotlb"),
        Mistake("replay --since yesterday", "--since yesterday: give seconds of the trace clock"),
        Mistake("replay --until 1.0000000001", "--until 1.0000000001: give seconds of the trace clock"),
        Mistake("replay --until=-5", "--until -5: give seconds of the trace clock"),
        Mistake("replay --since 99999999999999999999", "give seconds of the trace clock"),
        Mistake("replay --since 9000000", "leave nothing of the log, which lasts from 25.2"),
        Mistake("replay --since 25.3 --until 25.2", "leave nothing of the log"),
        Mistake("replay --between LAB_START", "--between takes two texts"),
        Mistake(
            "replay --between LAB_START nosuch", "no trace marker after line 5 holds 'nosuch'; there are: LAB_START"),
        Mistake(
            "replay --between LAB_START LAB_START --since 1", "--between goes neither with --since nor with --until"),
        Mistake("report savings --cost log.txt", "--cost means nothing to it; it goes with: costs, constants"),
        Mistake("report costs --cost", "Missing value for '--cost"),
        Mistake("report costs --by cpu", "cannot be told apart by 'cpu', only by: trace, domain, device, task"),
        Mistake("calibrate nosuch", "no trace is called 'nosuch'; there are: log, other"),
        Mistake("calibrate log --built-in", "--built-in needs no trace; leave 'log' out"),
        Mistake("report windows --by hazard", "cannot be told apart by 'hazard', only by: trace, domain, device, task"),
    ]

    @Test(arguments: mistakes) func mistake(_ mistake: Mistake) throws {
        try folder.write(Prepared.twoTraces.get(), to: "iommu-trace.db")
        try folder.write(FtraceLog(calls: 5).text, to: "log.txt")
        let bytes = try folder.read("iommu-trace.db")
        let result = try run(mistake.arguments)
        #expect(result.exitCode == 2)
        #expect(result.output == "")
        for hint in mistake.hints { #expect(result.errors.contains(hint)) }
        #expect(try folder.read("iommu-trace.db") == bytes)
        #expect(try folder.files == ["iommu-trace.db", "log.txt"])
    }

    /// What is nearly right is said in one line.
    @Test(arguments: [
        ("queue=256", "needs N,T, such as queue=256,10ms"), ("queue=256,10ms,", "needs N,T, such as queue=256,10ms"),
        ("QUEUE", "is written in small letters: queue"), ("batch", "needs N, such as batch=64"),
        ("sync=1", "takes nothing behind its name: sync"), ("batch=0", "needs a number from 1 to"),
    ]) func policyOfWrongShape(name: String, words: String) throws {
        let result = try run(["replay", "--policy", name])
        #expect(result.exitCode == 2)
        #expect(result.errors.hasPrefix("iommu-trace: policy '\(name)' \(words)"), "\(result.errors)")
        #expect(result.errors.split(separator: "\n").count == 1)
    }

    @Test(arguments: ["nosuch", "", "per_page", "per-page,sync"])
    func unknownPolicy(name: String) throws {
        let result = try run(["replay", "--policy", name])
        #expect(result.exitCode == 2)
        #expect(result.errors.hasPrefix("iommu-trace: policy '\(name)' is no policy\n"))
        for policy in Self.policies { #expect(result.errors.contains("\n\(policy) ")) }
    }
}
