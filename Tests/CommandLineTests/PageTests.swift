import Foundation
import FoundationXML
import TestSupport
import Testing

/// `report --html` and `report --svg`.
@Suite struct PageTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        var log = FtraceLog(calls: 60)
        log.addReuse()
        try folder.write(log.text + "what is <b>this</b>, please\n", to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 3)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func replay() throws {
        #expect(try run("replay", "-p", "sync", "-p", "fast", "-p", "queue=4,2ms", "-p", "batch=8").exitCode == 0)
    }

    private func page(_ arguments: String...) throws -> Page {
        let result = try Tool.run(["report", "--html", "-"] + arguments, directory: folder)
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.errors == "")
        return try #require(Page(result.output))
    }

    @Test func isOnePage() throws {
        try replay()
        let page = try page()
        #expect(Set(page.ids).count == page.ids.count)
        for word in ["script", "img", "link", "iframe", "object", "form"] { #expect(!page.elements.contains(word)) }
        #expect(page.elements.filter { $0 == "h1" }.count == 1)
        #expect(page.elements.filter { $0 == "main" }.count == 1)
        #expect(page.links.allSatisfy { $0.hasPrefix("#") && page.ids.contains(String($0.dropFirst())) })
        #expect(page.tables.allSatisfy { !$0.caption.isEmpty })
        #expect(page.source.utf8.count < 1_000_000)
    }

    /// Each number of the tables is that of the report.
    @Test func numbersAreThoseOfTheReports() throws {
        try replay()
        let page = try page()
        let savings = try run("report", "savings", "--format", "json").objects()
        let flushes = try #require(page.tables.first { $0.caption.hasPrefix("Flushes, and how many") })
        #expect(flushes.rows.count == savings.count)
        for (row, own) in zip(savings, flushes.rows) {
            func number(_ key: String) throws -> Double { try #require((row[key] as? NSNumber)?.doubleValue) }
            // A flush that is due when the log ends saves nothing.
            let (calls, made, pending) = try (number("unmap_calls"), number("flushes"), number("flushes_pending"))
            let saved = calls - made - pending
            let rate = try number("flushes_per_second")
            // The page writes 15 significant digits.
            #expect(own.values.count == 5)
            for (value, expected) in zip(own.values, [made, pending, saved, 100 * saved / calls, rate]) {
                #expect(abs(try #require(value) - expected) <= 1e-12 * abs(expected))
            }
        }
        let windows = try run("report", "windows", "--format", "json").objects()
        let open = windows.filter { ($0["windows"] as? Int) != 0 || ($0["censored"] as? Int) != 0 }
        let stale = try #require(page.tables.first { $0.caption.hasPrefix("Stale windows under") })
        #expect(stale.rows.count == open.count)
        for (row, own) in zip(open, stale.rows) {
            func number(_ key: String) -> Double? { (row[key] as? NSNumber)?.doubleValue }
            #expect(Array(own.values.prefix(4)) == ["windows", "p50_ns", "p99_ns", "max_ns"].map(number))
            // Windows without an end are exposure too, up to the end of the log.
            let exposure = try #require(number("exposure_page_seconds")) + #require(number("censored_page_seconds"))
            #expect(own.values[4] == exposure)
            #expect(own.values[5] == number("peak_stale_pages"))
            let hazards = ["hazards_access", "hazards_iova_reuse", "hazards_page_reuse"].compactMap { row[$0] as? Int }
            #expect(own.values.last == Double(hazards.reduce(0, +)))
        }
    }

    /// The longest windows are those of the report, under the policy of the sentence.
    @Test func longestWindows() throws {
        #expect(try run("replay", "-p", "sync", "-p", "queue=4,2ms").exitCode == 0)
        let page = try page()
        let top = try run("report", "top", "--format", "json").objects()
        #expect(!top.isEmpty)
        let longest = try #require(page.tables.first { $0.caption.hasPrefix("The longest stale windows") })
        #expect(longest.rows.map { $0.values.first } == top.map { ($0["length_ns"] as? NSNumber)?.doubleValue })
        #expect(longest.rows.map(\.head) == top.map { $0["iova"] as? String })
        let first = try #require(top.first?["iova"] as? String)
        #expect(page.text.contains("iommu-trace history \(first) --trace log"))
    }

    /// The windows behind the figure are all closed ones, the timeline is that of the report.
    @Test func figuresAreThoseOfTheReports() throws {
        try replay()
        let page = try page()
        let windows = try run("report", "windows", "--format", "json").objects()
        for policy in ["queue=4,2ms", "batch=8"] {
            let table = try #require(page.tables.first { $0.caption == "Closed windows by length under \(policy)" })
            let row = try #require(windows.first { $0["policy"] as? String == policy })
            #expect(table.rows.compactMap { $0.values.first ?? nil }.reduce(0, +) == row["windows"] as? Double)
        }
        let timeline = try run("report", "timeline", "--format", "json").objects()
            .filter { $0["policy"] as? String == "batch=8" }.compactMap { $0["stale_pages"] as? Double }
        let table = try #require(page.tables.first { $0.caption.hasPrefix("Stale pages of 4 KiB") })
        let drawn = table.rows.compactMap { $0.values.last ?? nil }
        #expect(drawn.count == timeline.count)
        #expect(zip(drawn, timeline).allSatisfy { abs($0 - $1) <= 0.0005001 })
    }

    @Test func withoutReplaysTellsWhatToDo() throws {
        let page = try page()
        #expect(page.text.contains("run iommu-trace replay --trace log, then make this page again"))
        #expect(!page.elements.contains("svg"))
        // What the log holds is there all the same.
        #expect(page.tables.contains { $0.caption.hasSuffix("domains") })
        #expect(page.text.contains("<b>this</b>"))
    }

    @Test func isTheSameEachTime() throws {
        try replay()
        #expect(try run("report", "--html", "a.html").exitCode == 0)
        // A file that is there is written over, as with -o.
        try folder.write("something longer than nothing", to: "b.html")
        #expect(try run("report", "--html", "b.html", "--trace", "log").exitCode == 0)
        let first = try folder.read("a.html")
        #expect(try folder.read("b.html") == first)
        #expect(try Data(run("report", "--html", "-").output.utf8) == first)
    }

    @Test(arguments: [
        ["--html", "-", "savings"], ["--html", "-", "--by", "trace"], ["--html", "-", "--format", "table"],
        ["--html", "-", "-o", "x"], ["--html", "-", "--list"], ["--svg", "x.svg"], ["--plot", "pareto"],
        ["--svg", "x.svg", "--plot", "cake"], ["--html", "x.html", "--plot", "pareto"],
        ["--html", "-", "--svg", "-", "--plot", "pareto"], ["--html", "-", "--cost", "x"],
        ["--html", "-", "--trace", "other"],
    ]) func misuse(arguments: [String]) throws {
        let result = try Tool.run(["report"] + arguments, directory: folder)
        #expect(result.exitCode == 2)
        #expect(result.output == "")
        #expect(!result.errors.isEmpty)
        #expect(!folder.exists("x.svg") && !folder.exists("x.html") && !folder.exists("x"))
    }

    @Test func databaseIsNotOverwritten() throws {
        #expect(try run("report", "--html", "iommu-trace.db").exitCode == 2)
        #expect(try run("list").exitCode == 0)
    }

    @Test(arguments: ["flushes", "windows", "timeline", "pareto"]) func plots(name: String) throws {
        let none = try run("report", "--svg", "none.svg", "--plot", name)
        #expect(none.exitCode == 0)
        #expect(none.errors.contains("nothing to draw"))
        #expect(!folder.exists("none.svg"))
        try replay()
        let picture = try run("report", "--svg", "-", "--plot", name)
        #expect(picture.exitCode == 0)
        let parsed = try #require(Page(picture.output))
        #expect(parsed.elements.first == "svg")
        #expect(parsed.text.contains("queue=4,2ms"))
        #expect(!parsed.elements.contains("script"))
    }

    /// A sweep's points stand in the place of the replays' in the picture to choose by.
    @Test func sweepIsShown() throws {
        try replay()
        #expect(try run("sweep", "--policies", "every=1ms..2ms").exitCode == 0)
        #expect(try run("sweep", "--policies", "batch=2..8").exitCode == 0)
        let table = try #require(try page().tables.first { $0.caption == "Flushes and exposure of each setting" })
        let points = try run(
            "sql", "--format", "json",
            """
            SELECT policy, flushes FROM sweep_point WHERE domain IS NULL AND sweep = (SELECT max(id) FROM sweep)
            """
        ).objects()
        #expect(points.count > 4)
        #expect(Set(table.rows.map(\.head)) == Set(points.compactMap { $0["policy"] as? String }))
        for point in points {
            let row = table.rows.first { $0.head == point["policy"] as? String }
            #expect(row?.values.first == (point["flushes"] as? Int).map(Double.init))
        }
    }

    /// Names out of a log, and whatever else a database says, are text.
    @Test func hostileNames() throws {
        let long = String(repeating: "x", count: 10_000)
        let evil = "<script>alert(1)</script>\"onload=\"&'\u{1b}[31m\u{202e}]]>-->" + long
        var log = FtraceLog(calls: 20)
        log.add("attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xff1f9ec78baa2dd0 dev=\"<svg/onload=x>\"")
        log.add("tracing_mark_write: </style><script>")
        try folder.write(Data(log.text.utf8) + Data([0xff, 0xfe, 0x3c, 0x62, 0x3e, 0x0a]), to: "evil.txt")
        #expect(try run("import", "evil.txt", "--name", "<script>\"evil\" \u{202e}").exitCode == 3)
        #expect(try run("replay", "-p", "sync", "-p", "batch=4").exitCode == 0)
        let quoted = evil.replacing("'", with: "''")
        try folder.edit(
            sql: """
                UPDATE task SET comm = '\(quoted)'; UPDATE device SET name = '\(quoted)'; UPDATE trace SET source = '\(quoted)' || id;
                UPDATE domain SET name = '\(quoted)' || id, kind = '\(quoted)', mode_reason = '\(quoted)', evidence = '\(quoted)';
                UPDATE replay SET policy = '\(quoted)' || id, requested = '\(quoted)' || id, evidence = '\(quoted)', layer = '\(quoted)';
                UPDATE replay_domain SET reason = '\(quoted)'; UPDATE window_end SET name = '\(quoted)' || id;
                UPDATE parse_issue SET excerpt = '\(quoted)'; UPDATE cost SET source = '\(quoted)';
                """)
        let page = try page()
        let safe: Set<String> = [
            "html", "head", "meta", "title", "style", "body", "a", "header", "p", "h1", "span", "dl", "div", "dt",
            "dd", "nav", "ul", "li", "main", "section", "h2", "h3", "figure", "figcaption", "strong", "svg", "desc",
            "g", "line",
            "text", "rect", "path", "circle", "polygon", "details", "summary", "table", "caption", "thead", "tbody",
            "tr", "th", "td",
        ]
        #expect(Set(page.elements).subtracting(safe) == [])
        #expect(page.attributeNames.allSatisfy { !$0.lowercased().hasPrefix("on") })
        #expect(page.text.contains("<script>alert(1)</script>"))
        #expect(page.source.unicodeScalars.allSatisfy { $0 == "\n" || $0.value >= 32 && !$0.properties.isBidiControl })
        #expect(page.elements.filter { $0 == "style" }.count == 1)
        #expect(page.source.utf8.count < 1_000_000)
    }

    /// The README's picture is what its command makes.
    @Test func pictureOfTheReadme() throws {
        let log = SharedTraces.packageRoot.appending(path: "traces/vfiounmap-strict.probes.txt.gz").path
        let own = try TemporaryFolder()
        // As tools/demo does.
        let steps = [
            ["import", log],
            ["replay"]
                + ["per-page", "sync", "recorded", "vfio", "queue=256,10ms", "fast"].flatMap { ["--policy", $0] },
            ["report", "--svg", "pareto.svg", "--plot", "pareto"],
        ]
        for step in steps { #expect(try Tool.run(step, directory: own).exitCode == 0) }
        let kept = try Data(contentsOf: SharedTraces.packageRoot.appending(path: "docs/pareto.svg"))
        #expect(try own.read("pareto.svg") == kept, "make it again as README.md says")
    }
}
