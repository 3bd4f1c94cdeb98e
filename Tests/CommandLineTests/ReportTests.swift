import Foundation
import Testing

/// Reports in their formats.
@Suite struct ReportTests {
    private static let reports = [
        "savings", "windows", "top", "hazards", "faults", "mistakes", "leaks", "latency", "timeline",
        "page-sizes", "churn", "churn-timeline", "tlb", "sweep", "advice", "costs", "constants", "calibration",
        "domains", "validate", "differences", "evidence", "issues", "events", "losses", "metadata",
        "contradictions",
    ]
    /// All but the one that wants a simulated IOTLB.
    private static let filled = reports.filter { $0 != "tlb" }
    private let folder: TemporaryFolder
    private var log = FtraceLog(calls: 50)

    init() throws {
        log.addReuse()
        // Behind the attaches, which are the first events.
        let fault = "io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x123040 flags=0x0001"
        log.lines.insert(FtraceLog.line(fault, microseconds: 25_241_813), at: 7)
        folder = try TemporaryFolder()
        try folder.write(log.text + "what is \"this\", please\n", to: "log.txt")
        // For the reports about it.
        try folder.write([
            "log.meta/cmdline": "iommu.strict=0 amd_iommu=pt\n", "log.meta/stats": "CPU: 1\ndropped events: 5\n",
        ])
        #expect(try run("import", "log.txt").exitCode == 3)
        #expect(try run("replay", "-p", "strict", "-p", "queue=4,2ms", "-p", "lazy").exitCode == 0)
        #expect(try run("validate").exitCode == 0)
        #expect(try run("sweep", "--policies", "batch=2..8").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result {
        let result = try Tool.run(arguments, directory: folder)
        if result.exitCode == 0, arguments[0] != "forget" { #expect(result.errors == "") }
        return result
    }

    @Test func savings() throws {
        let rows = try run("report", "savings", "--format", "json").objects()
        #expect(rows.count == 3)
        let keys = [
            "trace", "domain", "policy", "requested", "mode", "unmap_calls", "pages_unmapped", "flushes",
            "flushes_pending", "saved_flushes", "saved_percent", "flushes_per_second", "evidence",
        ]
        for row in rows {
            #expect(Set(keys).isSubset(of: row.keys))
            #expect(row["trace"] as? String == "log")
            #expect(row["domain"] is NSNull)
            #expect(row["mode"] as? String == "strict")
            #expect(row["unmap_calls"] as? Int == 50)
            #expect(row["pages_unmapped"] as? Int == log.pages)
            let flushes = try #require(row["flushes"] as? Int)
            #expect(row["saved_flushes"] as? Int == 50 - flushes)
            #expect(row["saved_percent"] as? Double == Double(50 - flushes) * 2)
            #expect(try #require(row["flushes_per_second"] as? Double) >= 0)
            #expect(["recorded", "inferred", "modelled", "assumed"].contains(row["evidence"] as? String))
        }
        #expect(rows.map { $0["policy"] as? String } == ["sync", "queue=4,2ms", "queue=256,10ms"])
        #expect(rows.map { $0["requested"] as? String } == ["strict", "queue=4,2ms", "lazy"])
        #expect(rows.first?["flushes"] as? Int == 50)
    }

    @Test func savingsByDomain() throws {
        let whole = try run("report", "savings", "--by", "trace", "--format", "json").objects()
        let parts = try run("report", "savings", "--by", "domain", "--format", "json").objects()
        #expect(parts.count == 6)
        #expect(Set(parts.compactMap { $0["domain"] as? String }) == Set(FtraceLog.domains))
        for row in whole {
            let own = parts.filter { $0["requested"] as? String == row["requested"] as? String }
            for key in ["unmap_calls", "pages_unmapped", "flushes", "flushes_pending", "saved_flushes"] {
                #expect(own.compactMap { $0[key] as? Int }.reduce(0, +) == row[key] as? Int, "\(key)")
            }
        }
        #expect(parts.allSatisfy { ($0["evidence"] as? String)?.isEmpty == false })
    }

    /// All formats hold the same rows.
    @Test(arguments: filled) func formats(report: String) throws {
        let table = try run("report", report)
        let csv = try run("report", report, "--format", "csv").records
        let markdown = try Markdown.parse(run("report", report, "--format", "markdown").output)
        let json = try run("report", report, "--format", "json").objects()
        #expect(!json.isEmpty)
        let columns = try #require(csv.first)
        for row in json { #expect(Set(row.keys) == Set(columns)) }
        #expect(csv.count == json.count + 1)
        #expect(csv.allSatisfy { $0.count == columns.count })
        #expect(markdown.count == json.count + 2)
        // For people some have sentences, too.
        let names = try #require(markdown.first)
        #expect(names.starts(with: columns))
        #expect(markdown.allSatisfy { $0.count == names.count })
        #expect(markdown[1].allSatisfy { $0.count >= 3 && $0.drop { $0 == "-" }.allSatisfy { $0 == ":" } })
        for (index, record) in csv.dropFirst().enumerated() {
            for (column, text) in zip(columns, record) {
                switch json[index][column] {
                case is NSNull: #expect(text == "")
                case let string as String: #expect(string == text)
                case let number as NSNumber: #expect(number.doubleValue == Double(text))
                default: Issue.record("\(column) is missing")
                }
            }
        }
        // What a table says at its end is no row.
        let lines = table.output.split(separator: "\n").filter { line in
            !["constant: ", "note: "].contains { line.hasPrefix($0) }
        }
        #expect(lines.count == json.count + 2)
        #expect(lines.allSatisfy { !$0.hasSuffix(" ") })
    }

    @Test func quotingInCSV() throws {
        let result = try run("report", "issues", "--format", "csv")
        #expect(result.output.contains(",not an event line,,1,\"what is \"\"this\"\", please\",,recorded\n"))
        let odd = try run("sql", "SELECT 'a,b' AS \"x,y\", 'c\"d', 'e\nf', 'g' || char(13), ' h '", "--format", "csv")
        #expect(odd.records.first?.first == "x,y")
        #expect(odd.records.last == ["a,b", "c\"d", "e\nf", "g\r", " h "])
        #expect(odd.output.contains("\"a,b\",\"c\"\"d\",\"e\nf\",\"g\r\", h \n"))
    }

    @Test func numbersInJSON() throws {
        let result = try run(
            "sql", "SELECT 9223372036854775807 AS a, 1e300 * 1e300 AS b, 1e-7 AS c, 0.5 AS d, x'00ff' AS e, NULL AS f",
            "--format", "json")
        let row = try #require(try result.objects().first)
        #expect(row["a"] as? Int == Int.max)
        #expect(row["b"] is NSNull)
        #expect(row["c"] as? Double == 1e-7)
        #expect(row["d"] as? Double == 0.5)
        #expect(row["e"] as? String == "x'00ff'")
        #expect(row["f"] is NSNull)
    }

    @Test func noRows() throws {
        #expect(try run("forget", "log").exitCode == 0)
        #expect(try run("report", "issues", "--format", "json", "-q").objects().isEmpty)
        #expect(try run("report", "issues", "--format", "csv", "-q").records.count == 1)
        #expect(try run("report", "issues", "-q").output.split(separator: "\n").count == 2)
        #expect(try run("report", "issues", "--format", "markdown", "-q").output.split(separator: "\n").count == 2)
    }

    @Test func list() throws {
        let rows = try run("report", "--list", "--format", "json").objects()
        #expect(rows.compactMap { $0["report"] as? String } == Self.reports)
        #expect(rows.allSatisfy { ($0["question"] as? String)?.hasSuffix("?") == true })
        #expect(rows.first?["by"] as? String == "trace, domain, device, task")
        // What it lists works.
        for row in rows where row["report"] as? String != "tlb" {
            for grouping in try #require(row["by"] as? String).split(separator: ", ") {
                let name = try #require(row["report"] as? String)
                let result = try Tool.run(["report", name, "--by", String(grouping)], directory: folder)
                #expect(result.exitCode == 0)
                // None of the callers made a mistake.
                #expect(result.errors == "" || name == "mistakes" && result.errors.hasPrefix("no mistake"))
            }
        }
    }

    /// Needs no database.
    @Test func listWithoutDatabase() throws {
        #expect(try run("report", "--list", "--db", "no.db").exitCode == 0)
        #expect(!folder.exists("no.db"))
    }

    /// Every number has one, in each report and in the answer.
    @Test func evidence() throws {
        for report in Self.filled where report != "domains" {
            let rows = try run("report", report, "--format", "json").objects()
            #expect(rows.allSatisfy { ($0["evidence"] as? String)?.isEmpty == false }, "\(report)")
        }
        let words = ["recorded", "inferred", "modelled", "assumed"]
        let answer = try run("replay").output.split(separator: "\n").drop { !$0.hasPrefix("---") }.dropFirst()
        let table = answer.prefix { !$0.hasPrefix("lazy in") && !$0.hasPrefix("fast in") }
        #expect(table.count == 3)
        for line in table { #expect(words.contains { line.hasSuffix(" \($0)") }, "\(line)") }
    }

    // MARK: - -o

    @Test func outputFile() throws {
        let expected = try run("report", "savings", "--format", "csv").output
        let result = try run("report", "savings", "--format", "csv", "-o", "savings.csv")
        #expect(result.exitCode == 0)
        #expect(result.output == "")
        #expect(try folder.text("savings.csv") == expected)
        // A second time it is replaced, not appended to.
        #expect(try run("report", "savings", "--format", "csv", "--output", "savings.csv").exitCode == 0)
        #expect(try folder.text("savings.csv") == expected)
        #expect(try run("report", "savings", "--format", "csv", "-o", "-").output == expected)
    }

    /// What fails leaves the former answer as it was.
    @Test func outputFileOfFailure() throws {
        try folder.write("precious", to: "out")
        for arguments in [
            ["report", "savings", "--trace", "nosuch"], ["sql", "SELEC"], ["list", "--db", "no.db"],
        ] {
            #expect(try Tool.run(arguments + ["-o", "out"], directory: folder).exitCode != 0)
            #expect(try folder.text("out") == "precious")
        }
    }

    @Test func outputFileThatCannotBe() throws {
        let result = try run("report", "savings", "-o", "nosuch/file")
        #expect(result.exitCode == 4)
        #expect(result.errors == "iommu-trace: nosuch/file: cannot be written: No such file or directory\n")
    }

    /// `-o` and `--db` are easily mixed up.
    @Test func outputFileThatIsADatabase() throws {
        let bytes = try folder.read("iommu-trace.db")
        let result = try run("report", "savings", "-o", "iommu-trace.db")
        #expect(result.exitCode == 2)
        #expect(result.errors.contains("iommu-trace.db: is an SQLite database and is not overwritten"))
        #expect(try folder.read("iommu-trace.db") == bytes)
    }

    /// Root writes to /dev/null, too: what is there is written into, not replaced by a file.
    @Test func outputThroughLinkAndPipe() throws {
        try folder.write("old", to: "target")
        #expect(symlink("target", folder["link"]) == 0)
        #expect(try run("report", "savings", "--format", "csv", "-o", "link").exitCode == 0)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder["link"]) == "target")
        let expected = try folder.text("target")
        #expect(expected.hasPrefix("trace,"))

        #expect(mkfifo(folder["pipe"], 0o600) == 0)
        let descriptor = open(folder["pipe"], O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        try #require(descriptor >= 0)
        #expect(try run("report", "savings", "--format", "csv", "-o", "pipe").exitCode == 0)
        let pipe = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        #expect(try pipe.readToEnd() == Data(expected.utf8))
        let type = try FileManager.default.attributesOfItem(atPath: folder["pipe"])[.type] as? FileAttributeType
        #expect(type != .typeRegular)
    }

    private static let full = ["sh", "-c", "exec \"$@\" >/dev/full", "sh"]

    /// The disk that standard output goes to is full.
    @Test(arguments: [["report", "savings"], ["info"], ["list"], ["--help"], ["report", "--help"], ["--version"]])
    func outputNowhere(arguments: [String]) throws {
        let result = try Tool.run(arguments, directory: folder, launcher: Self.full)
        #expect(result.exitCode == 4)
        #expect(result.errors == "iommu-trace: standard output: cannot be written: No space left on device\n")
    }

    /// What was done before the output failed is there, and the message says so.
    @Test func keptButNotWritten() throws {
        let failed = "iommu-trace: standard output: cannot be written: No space left on device; "
        for (arguments, words) in [
            (["replay", "-p", "end"], "the replay is kept; see: iommu-trace report savings --trace log\n"),
            (["sweep", "--policies", "batch=3"], "the sweep is kept; see: iommu-trace report sweep --trace log\n"),
            (["validate"], "the validation is kept; see: iommu-trace report validate\n"),
        ] {
            let result = try Tool.run(arguments, directory: folder, launcher: Self.full)
            #expect(result.exitCode == 4)
            #expect(result.errors == failed + words)
        }
        #expect(try run("report", "savings", "--format", "csv").output.contains(",end,end,"))

        for seed in [7, 8] { try folder.write(FtraceLog(calls: 5, seed: UInt64(seed)).text, to: "\(seed).txt") }
        let imported = try Tool.run(
            ["import", "7.txt", "8.txt", "--db", "x.db"], directory: folder, launcher: Self.full)
        #expect(imported.exitCode == 4)
        #expect(
            imported.errors
                == failed + "trace 7 was imported; see: iommu-trace info --trace 7 --db x.db\n" + failed
                + "trace 8 was imported; see: iommu-trace info --trace 8 --db x.db\n")
        #expect(try DatabaseContents(folder, "x.db").traces == ["7", "8"])
    }

    /// There is nowhere to complain, and still no trap.
    @Test func errorsNowhere() throws {
        let shell = ["sh", "-c", "exec \"$@\" 2>/dev/full", "sh"]
        #expect(try Tool.run(["import", "no.txt"], directory: folder, launcher: shell).exitCode == 4)
        #expect(try Tool.run(["replay", "--progress", "always"], directory: folder, launcher: shell).exitCode == 0)
        #expect(try Tool.run(["replay", "--frob"], directory: folder, launcher: shell).exitCode == 2)
    }
}
