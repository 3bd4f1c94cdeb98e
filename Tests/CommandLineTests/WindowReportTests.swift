import Foundation
import TestSupport
import Testing

/// Stale windows and hazards as the command line tells of them.
@Suite struct WindowReportTests {
    private let folder: TemporaryFolder
    private let log = PhasedLog(callsInPhase: 40)

    /// All ways in which a policy may close windows.
    private static let policies = [
        "per-page", "sync", "fast", "recorded", "vfio", "batch=5", "queue=8,1ms", "single-queue=16,2ms", "every=300us",
        "end",
    ]

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(log.text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    @discardableResult
    private func replay(_ policies: [String], _ options: String...) throws -> Tool.Result {
        let result = try Tool.run(["replay"] + policies.flatMap { ["-p", $0] } + options, directory: folder)
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.errors == "")
        return result
    }

    private func report(_ name: String, by grouping: String = "trace") throws -> [[String: Any]] {
        try run("report", name, "--by", grouping, "--format", "json").objects()
    }

    /// Columns of the rows of a query, as text.
    private func rows(_ query: String) throws -> [String] {
        try run("sql", query, "--format", "csv").records.dropFirst().map { $0.joined(separator: " ") }
    }

    /// A column's sum for each policy.
    private func sums(_ rows: [[String: Any]], _ column: String) -> [String: Double] {
        rows.reduce(into: [:]) { sums, row in
            guard let requested = row["requested"] as? String else { return }
            sums[requested, default: 0] += (row[column] as? NSNumber)?.doubleValue ?? 0
        }
    }

    /// Sums of floating-point numbers depend on their order; those of whole ones do not.
    private func agree(
        _ left: [String: Double], _ right: [String: Double], within tolerance: Double = 0, _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(Set(left.keys) == Set(right.keys), "\(what)", sourceLocation: sourceLocation)
        for (policy, value) in left {
            let other = right[policy] ?? .nan
            #expect(abs(value - other) <= tolerance, "\(what) of \(policy)", sourceLocation: sourceLocation)
        }
    }

    // MARK: - The report

    @Test func columns() throws {
        try replay(Self.policies)
        let rows = try report("windows")
        #expect(rows.map { $0["requested"] as? String } == Self.policies)
        let keys = [
            "trace", "domain", "policy", "requested", "windows", "censored", "unreachable_pages", "p50_ns", "p90_ns",
            "p99_ns", "max_ns", "page_p50_ns", "page_p99_ns", "exposure_page_seconds", "censored_page_seconds",
            "peak_stale_pages", "hazards_access", "hazards_iova_reuse", "hazards_page_reuse", "deferred_reuse",
            "model_timing_error", "recycled", "evidence",
        ]
        for row in rows {
            #expect(Set(keys).subtracting(row.keys) == [])
            #expect(row["trace"] as? String == "log")
            #expect(row["domain"] is NSNull)
            #expect(["recorded", "inferred", "modelled", "assumed"].contains(row["evidence"] as? String))
            let requested = try #require(row["requested"] as? String)
            let numbers = try ["windows", "censored", "uncertain"].map { try #require(row[$0] as? Int) }
            let lengths = ["p50_ns", "p90_ns", "p99_ns", "max_ns"].map { row[$0] as? Int }
            let byPage = ["page_p50_ns", "page_p99_ns", "max_ns"].map { row[$0] as? Int }
            #expect(row["unreachable_pages"] as? Int == log.unreachablePages)
            switch requested {
            case "sync", "per-page":
                #expect(numbers == [0, 0, 0])
                #expect(lengths == [nil, nil, nil, nil])
                #expect(row["exposure_page_seconds"] as? Double == 0)
                #expect(row["peak_stale_pages"] as? Int == 0)
            case "end":
                #expect(numbers == [0, log.reachableUnmapsAfterLoss, log.reachableUnmapsBeforeLoss])
                #expect(lengths == [nil, nil, nil, nil])
                #expect(row["exposure_page_seconds"] as? Double == 0)
                #expect(try #require(row["censored_page_seconds"] as? Double) > 0)
                #expect(row["peak_stale_pages"] as? Int == log.reachablePages)
            default:
                #expect(numbers[0] > 0)
                // The call that finds a gather too long does not open all of it; otherwise each call opens one.
                if requested != "vfio" {
                    #expect(numbers.reduce(0, +) == log.reachableUnmapsBeforeLoss + log.reachableUnmapsAfterLoss)
                }
                #expect(lengths.compactMap { $0 }.sorted() == lengths.map { $0 ?? -1 })
                #expect(byPage.compactMap { $0 }.sorted() == byPage.map { $0 ?? -1 })
                #expect(try #require(row["peak_stale_pages"] as? Int) > 0)
            }
        }
    }

    /// In a strict domain recorded tells how long each sync took: here from the tracepoint three events on to the
    /// descriptor.
    @Test func recordedLengthsOfAStrictDomain() throws {
        try replay(["recorded"])
        let row = try #require(try report("windows", by: "domain").first { $0["domain"] as? String == log.strict })
        for column in ["p50_ns", "p90_ns", "p99_ns", "max_ns", "page_p50_ns", "page_p99_ns"] {
            #expect(row[column] as? Int == 21_000, "\(column)")
        }
        #expect(row["windows"] as? Int == log.unmaps(in: log.strict))
        let exposure = try #require(row["exposure_page_seconds"] as? Double)
        #expect(abs(exposure - Double(log.pages(in: log.strict)) * 21e-6) < 1e-9)
        #expect(row["censored"] as? Int == 0)
    }

    @Test func aLogWithoutFlushesHasNoRecordedWindows() throws {
        var bare = log
        bare.log.lines.removeAll { line in ["sync: ", "flush_all: ", "qi_submit: "].contains { line.contains($0) } }
        try folder.write(bare.text, to: "bare.txt")
        #expect(try run("import", "bare.txt").exitCode == 0)
        try replay(["recorded", "end"])
        let rows = try run("report", "windows", "--trace", "bare", "--format", "json").objects()
        for column in [
            "windows", "censored", "exposure_page_seconds", "peak_stale_pages", "hazards_access", "recycled",
        ] {
            #expect(rows.first?[column] is NSNull, "\(column)")
            #expect(rows.last?[column] is NSNumber, "\(column)")
        }
    }

    // MARK: - Told apart

    private static let groupings = ["domain", "device", "task"]

    @Test(arguments: groupings) func windowsAddUp(grouping: String) throws {
        try replay(Self.policies)
        let (whole, parts) = (try report("windows"), try report("windows", by: grouping))
        #expect(Set(parts.compactMap { $0[grouping] as? String }).count == 3)
        for column in [
            "windows", "censored", "uncertain", "unreachable_pages", "hazards_access", "hazards_iova_reuse",
            "hazards_page_reuse", "deferred_reuse", "model_timing_error", "same_page_remap", "recycled", "unknown_page",
            "uncertain_reuse",
        ] {
            agree(sums(parts, column), sums(whole, column), column)
            // Nothing adds up to nothing by itself.
            if column != "unknown_page" { #expect(sums(whole, column).values.contains { $0 > 0 }, "\(column)") }
        }
        for column in ["exposure_page_seconds", "censored_page_seconds"] {
            agree(sums(parts, column), sums(whole, column), within: 1e-9, column)
        }
        // The longest of all is the longest of some part; the most at one time is no more than that of the parts.
        for row in whole {
            let own = parts.filter { $0["requested"] as? String == row["requested"] as? String }
            #expect(own.compactMap { $0["max_ns"] as? Int }.max() == row["max_ns"] as? Int)
            let peaks = own.compactMap { $0["peak_stale_pages"] as? Int }
            let peak = try #require(row["peak_stale_pages"] as? Int)
            #expect(peak <= peaks.reduce(0, +) && peak >= peaks.max() ?? 0)
        }
    }

    @Test(arguments: groupings) func topNamesTheLongest(grouping: String) throws {
        try replay(Self.policies)
        for grouping in ["trace", grouping] {
            let longest = try report("windows", by: grouping)
            let top = try report("top", by: grouping)
            for row in longest {
                let own = top.filter { other in
                    ["requested", grouping].allSatisfy { row[$0] as? String == other[$0] as? String }
                        || (row[grouping] as? String == "unknown" && other[grouping] is NSNull
                            && row["requested"] as? String == other["requested"] as? String)
                }
                let windows = try #require(row["windows"] as? Int)
                #expect(own.count == min(windows, 10))
                #expect(own.map { $0["rank"] as? Int } == Array(1...10).prefix(own.count).map { $0 })
                let lengths = own.compactMap { $0["length_ns"] as? Int }
                #expect(lengths.count == own.count && lengths == lengths.sorted(by: >))
                #expect(lengths.first == row["max_ns"] as? Int)
                for window in own {
                    let (opened, closed) = (window["opened_ns"] as? Int, window["closed_ns"] as? Int)
                    #expect(try #require(closed) - #require(opened) == window["length_ns"] as? Int)
                    #expect((window["unmap_place"] as? String)?.hasPrefix("log.txt:") == true)
                    if window["ended"] as? String == "timer" { #expect(window["closed_place"] is NSNull) }
                }
            }
        }
    }

    @Test(arguments: groupings) func hazardsAddUp(grouping: String) throws {
        try replay(Self.policies)
        let (whole, parts) = (try report("hazards"), try report("hazards", by: grouping))
        let single = try report("hazards", by: "hazard")
        let kinds = Set(whole.compactMap { $0["kind"] as? String })
        #expect(
            kinds.isSuperset(of: [
                "access", "iova_reuse", "page_reuse", "deferred_reuse", "model_timing_error", "recycled", "uncertain",
            ]))
        #expect(parts.contains { $0["device"] as? String == "unknown" } == (grouping == "device"))
        let windows = try report("windows")
        for kind in kinds {
            let pages = sums(whole.filter { $0["kind"] as? String == kind }, "pages")
            agree(sums(parts.filter { $0["kind"] as? String == kind }, "pages"), pages, kind)
            // Those that are somebody's exposure are all there one by one; of most others the first 1000.
            let rows = single.filter { $0["kind"] as? String == kind }
            if ["same_page_remap", "recycled"].contains(kind) {
                #expect(rows.isEmpty)
            } else {
                agree(sums(rows, "pages"), pages, kind)
            }
            // A sum names its first one, also that of a device which is not known.
            for row in (whole + parts).filter({ $0["kind"] as? String == kind }) {
                for column in ["iova", "age_ns", "unmap_place", "reuse_place"] {
                    #expect(!(row[column] is NSNull), "\(column) of \(kind)")
                }
            }
            let isHazard = ["access", "iova_reuse", "page_reuse"].contains(kind)
            #expect(rows.allSatisfy { $0["is_hazard"] as? Int == (isHazard ? 1 : 0) })
            let column = ["uncertain": "uncertain_reuse"][kind] ?? (isHazard ? "hazards_" + kind : kind)
            agree(pages, sums(windows, column).filter { $0.value > 0 }, column)
        }
        for row in single {
            for place in ["unmap_place", "reuse_place"] {
                let text = try #require(row[place] as? String)
                let line = try #require(text.hasPrefix("log.txt:") ? Int(text.dropFirst(8)) : nil)
                let event = log.log.lines[line - 1]
                #expect(
                    event.contains(place == "unmap_place" ? ": unmapped: " : ": map: ")
                        || event.contains(": io_page_fault: "))
            }
        }
    }

    @Test(arguments: groupings) func latencyAddsUp(grouping: String) throws {
        try replay(Self.policies)
        let (whole, parts) = (try report("latency"), try report("latency", by: grouping))
        agree(sums(parts, "windows"), sums(whole, "windows"), "windows")
        let windows = sums(try report("windows"), "windows").filter { $0.value > 0 }
        agree(sums(whole, "windows"), windows, "windows")
        for row in parts + whole {
            let isRecorded = row["policy"] as? String == "recorded"
            #expect(row["measured"] as? String == (isRecorded ? "as recorded" : "predicted"))
            if row["requested"] as? String == "recorded" {
                for column in ["p50_ns", "p90_ns", "p99_ns", "max_ns"] {
                    #expect(row[column] as? Int == row["recorded_" + column] as? Int)
                }
                #expect(row["p99_off_ns"] as? Int == 0)
            }
        }
    }

    @Test(arguments: groupings) func timelineAddsUp(grouping: String) throws {
        try replay(Self.policies)
        let (whole, parts) = (try report("timeline"), try report("timeline", by: grouping))
        for column in ["windows_opened", "pages_unmapped", "flushes"] {
            agree(sums(parts, column), sums(whole, column), column)
            #expect(sums(whole, column).values.contains { $0 > 0 }, "\(column)")
        }
        // Policies without any flush have no row at all.
        let flushes = sums(whole, "flushes")
        agree(
            flushes, sums(try report("savings"), "flushes").filter { flushes[$0.key] != nil || $0.value > 0 }, "flushes"
        )
        let windows = try report("windows")
        let (closed, censored) = (sums(windows, "exposure_page_seconds"), sums(windows, "censored_page_seconds"))
        let opened = sums(windows, "windows").merging(sums(windows, "censored"), uniquingKeysWith: +)
            .merging(sums(windows, "uncertain"), uniquingKeysWith: +)
        for (policy, count) in sums(whole, "windows_opened") where policy != "vfio" {
            #expect(count == opened[policy], "\(policy)")
        }
        // On average so many pages, for so long.
        for rows in [whole, parts] {
            var area: [String: Double] = [:]
            for row in rows {
                let step = try #require(row["step_ns"] as? Double)
                let pages = try #require(row["stale_pages"] as? Double)
                area[try #require(row["requested"] as? String), default: 0] += pages * step / 1e9
            }
            // Averages are rounded to a thousandth of a page in each of up to 128 steps of each part.
            let tolerance = Double(log.nanoseconds) / 1e9 * 0.0005 * 3
            for (policy, value) in area {
                let expected = (closed[policy] ?? .nan) + (censored[policy] ?? .nan)
                #expect(abs(value - expected) <= tolerance + 1e-9, "\(policy)")
            }
        }
    }

    /// A part ends at a time; what stands before that in the log and bears a later one belongs to it all the same.
    @Test func timelineOfAPartWhoseClockRunsBackwards() throws {
        var lines = FtraceLog(calls: 0).lines
        func add(_ microseconds: Int, _ event: String) {
            lines.append(FtraceLog.line(event, microseconds: microseconds))
        }
        let domain = FtraceLog.domains[0]
        for (time, iova) in [(30_000_000, "0x1000"), (30_000_900, "0x2000"), (30_000_001, "0x3000")] {
            add(time, "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(iova) size=4096 queued=0")
            add(time, "unmapped: (iommu.unmap) iova=\(iova) size=4096 unmapped=4096")
        }
        add(31_000_000, "tracing_mark_write: LAST")
        try folder.write(lines.joined(separator: "\n") + "\n", to: "astray.txt")
        #expect(try run("import", "astray.txt").exitCode == 0)
        try replay(["sync"], "--since", "30.0", "--until", "30.000001")
        let savings = try run("report", "savings", "--trace", "astray", "--format", "json").objects()
        #expect(savings.map { $0["flushes"] as? Int } == [3])
        let timeline = try run("report", "timeline", "--trace", "astray", "--format", "json").objects()
        #expect(timeline.compactMap { $0["flushes"] as? Int }.reduce(0, +) == 3)
    }

    // MARK: - --windows

    private func kept() throws -> [String] {
        try rows(
            """
            SELECT requested, (SELECT count(*) FROM stale_window WHERE stale_window.replay = replay.id), windows_left_out,
                (SELECT coalesce(sum(windows), 0) FROM window_summary JOIN window_end ON window_end.id = window_end
                 WHERE window_summary.replay = replay.id AND name <> 'unreachable')
            FROM replay ORDER BY replay.id
            """)
    }

    @Test func windowsKept() throws {
        let policies = ["sync", "recorded", "queue=8,1ms", "end"]
        let reports = ["windows", "hazards", "latency", "timeline", "savings"]
        try replay(policies, "--windows", "all")
        let all = try kept().map { $0.split(separator: " ").map(String.init) }
        #expect(all.map(\.[0]) == policies)
        for row in all { #expect(row[1] == row[3] && row[2] == "0") }
        #expect(all[0][1] == "0")
        let lengths = try rows(
            """
            SELECT length_ns FROM what_was_stale WHERE requested = 'recorded' AND NOT uncertain AND closed_ns IS NOT NULL
            ORDER BY length_ns DESC LIMIT 3
            """)
        let figures = try reports.map { try run("report", $0, "--format", "csv").output }

        // The same replays again: only the rows of single windows are others.
        try replay(policies, "--windows", "longest=3")
        for (row, total) in zip(try kept().map({ $0.split(separator: " ").compactMap { Int($0) } }), all) {
            let closed = total[0] == "sync" || total[0] == "end" ? 0 : 3
            #expect(row == [closed, (Int(total[3]) ?? -1) - closed, Int(total[3])])
        }
        // The longest first.
        #expect(try rows("SELECT length_ns FROM what_was_stale WHERE requested = 'recorded' ORDER BY id") == lengths)
        #expect(try reports.map { try run("report", $0, "--format", "csv").output } == figures)

        try replay(policies, "--windows", "none")
        for (row, total) in zip(try kept().map({ $0.split(separator: " ").map(String.init) }), all) {
            #expect(row == [total[0], "0", total[3], total[3]])
        }
        #expect(try report("top").isEmpty)
        #expect(try reports.map { try run("report", $0, "--format", "csv").output } == figures)
        _ = try DatabaseContents(folder)
    }

    // MARK: - Parts of a log

    private func replays() throws -> [String] {
        try rows("SELECT requested, options, unmap_calls, pages_unmapped, flushes FROM replay ORDER BY id")
    }

    @Test func between() throws {
        for (index, (from, to)) in zip(PhasedLog.markers, PhasedLog.markers.dropFirst()).enumerated() {
            try replay(["sync"], "--between", from, to)
            let row = try #require(
                try rows("SELECT unmap_calls, flushes, pages_unmapped FROM replay ORDER BY id DESC").first)
            let lines = log.lines(from, to)
            let unmaps = lines.count { $0.contains(": unmapped: ") }
            #expect(row == "\(unmaps) \(unmaps) \(PhasedLog.pages(lines))")
            #expect(try replays().count == index + 1)
        }
        try replay(["sync"])
        #expect(try replays().count == PhasedLog.markers.count)
        // What the phases count is what the whole counts.
        let sums = try rows(
            "SELECT sum(unmap_calls), sum(flushes), sum(pages_unmapped) FROM replay GROUP BY options <> ''")
        #expect(sums.count == 2 && sums.first == sums.last)
    }

    /// A marker's text need not be all of it, but who bears just that text comes first.
    @Test func markersByPartOfTheirText() throws {
        try replay(["sync"], "--between", "PHASE_B", "PHASE_C")
        let expected = try replays()
        try replay(["sync"], "--between", "SE_B", "ASE_C")
        #expect(try replays() == expected)
        // "PHASE" is held by the first marker, and then by the next one after it.
        try replay(["end"], "--between", "PHASE", "PHASE")
        try replay(["end"], "--between", "PHASE_A", "PHASE_B")
        #expect(try replays().count == 2)
    }

    /// Between two markers is from the time of one to that of the other.
    @Test func sinceAndUntil() throws {
        let policies = ["sync", "recorded", "every=300us"]
        try replay(policies, "--between", "PHASE_B", "PHASE_C")
        let expected = try replays()
        let figures = try run("report", "windows", "--format", "csv").output
        let (from, to) = (log.seconds(of: "PHASE_B"), log.seconds(of: "PHASE_C"))
        try replay(policies, "--since", from, "--until", to)
        #expect(try replays() == expected)
        #expect(try run("report", "windows", "--format", "csv").output == figures)

        // Counted from the first event on, in microseconds.
        let (begin, end) = (log.microseconds(of: "PHASE_B"), log.microseconds(of: "PHASE_C"))
        try replay(
            policies, "--since", "+\(begin - log.firstMicroseconds)us", "--until", "+\(end - log.firstMicroseconds)us")
        #expect(try replays() == expected)

        // Another end is another replay, which does not replace it; nor does the whole.
        try replay(["sync"], "--since", from)
        try replay(["sync"], "--until", to)
        try replay(["sync"])
        let all = try replays()
        #expect(all.count == 6 && Array(all.prefix(3)) == expected)
        let calls = all.suffix(3).compactMap { Int($0.split(separator: " ").suffix(3).first ?? "") }
        let part = log.lines("PHASE_B", "PHASE_C").count { $0.contains(": unmapped: ") }
        #expect(calls.count == 3 && calls[0] + calls[1] - part == calls[2])
    }

    @Test func aPartKnowsWhatWasMappedAndAttachedBefore() throws {
        var small = FtraceLog(calls: 0)
        let domain = FtraceLog.domains[0]
        let loose = "0xff1f9ec7aaaa0000"
        func map(_ domain: String, _ iova: String, _ paddr: String) {
            small.add("map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(iova) paddr=\(paddr) size=4096 prot=0x6")
        }
        func unmap(_ domain: String, _ iova: String) {
            small.add("unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(iova) size=4096 queued=0")
            small.add("unmapped: (iommu.unmap) iova=\(iova) size=4096 unmapped=4096")
        }
        small.add("tracing_mark_write: FIRST")
        map(domain, "0x1000", "0x101000")
        map(domain, "0x2000", "0x102000")
        map(loose, "0x1000", "0x103000")
        unmap(domain, "0x2000")
        small.add("tracing_mark_write: SECOND")
        unmap(domain, "0x1000")
        // To another page than before the part; and where a window opened before it.
        map(domain, "0x1000", "0x109000")
        map(domain, "0x2000", "0x10a000")
        unmap(loose, "0x1000")
        small.add("tracing_mark_write: LAST")
        try folder.write(small.text, to: "small.txt")
        #expect(try run("import", "small.txt").exitCode == 0)
        try replay(["end"], "--between", "SECOND", "LAST")
        let part = try #require(try run("report", "windows", "--trace", "small", "--format", "json").objects().first)
        #expect(part["hazards_iova_reuse"] as? Int == 1)
        #expect(part["unknown_page"] as? Int == 0)
        #expect(part["censored"] as? Int == 1)
        #expect(part["unreachable_pages"] as? Int == 1)
        try replay(["end"])
        let whole = try #require(try run("report", "windows", "--trace", "small", "--format", "json").objects().last)
        #expect(whole["hazards_iova_reuse"] as? Int == 2)
        #expect(whole["censored"] as? Int == 2)
    }

    /// Where a log is cut, in words of the last line before the cut.
    static let cuts = ["qi_submit: ", "tracing_mark_write: PHASE_C", "map: (__iommu_map", "sync: "]

    /// A part ends as a log does: up to a time it is the same as the log cut off there.
    @Test(arguments: cuts) func aPartEndsAsALogDoes(lastEvent: String) throws {
        // Without a loss, or flushes, behind the cut that would make the domains look different.
        let strict = FtraceLog(calls: 60)
        var lines = strict.lines
        lines.insert(FtraceLog.line("tracing_mark_write: PHASE_C", microseconds: 25_243_000), at: lines.count / 2)
        lines.sort { Self.time($0) < Self.time($1) }
        let middle = lines.count / 2 - 20
        let cut = try #require(lines[middle...].firstIndex { $0.contains(": " + lastEvent) })
        try folder.write(lines.joined(separator: "\n") + "\n", to: "long.txt")
        try folder.write(lines[...cut].joined(separator: "\n") + "\n", to: "cut.txt")
        #expect(try run("import", "long.txt", "cut.txt").exitCode == 0)
        try replay(Self.policies, "--trace", "cut")
        try replay(Self.policies, "--trace", "long", "--until", Self.time(lines[cut]))
        for name in ["windows", "hazards", "savings", "latency"] {
            let columns = ["trace", "options"]
            let both = try ["long", "cut"].map { trace in
                try run("report", name, "--trace", trace, "--format", "json").objects().map { row in
                    row.filter { !columns.contains($0.key) }.map { "\($0.key) = \($0.value)" }.sorted()
                }
            }
            #expect(both[0] == both[1], "\(name)")
        }
    }

    /// Time in seconds of a line, which sorts as text: all are of one length.
    private static func time(_ line: String) -> String {
        guard !line.hasPrefix("#") else { return "" }
        return line.split(separator: " ").first { $0.hasSuffix(":") && $0.contains(".") && $0.first?.isNumber == true }
            .map { String($0.dropLast()) } ?? ""
    }

    @Test(arguments: [
        ["PHASE_B", "nosuch"], ["nosuch", "PHASE_B"], ["PHASE_C", "PHASE_B"], ["PHASE_END", "PHASE_END"],
    ])
    func unknownMarker(markers: [String]) throws {
        try replay(["sync"])
        let before = try DatabaseContents(folder)
        let result = try Tool.run(["replay", "-p", "sync", "--between"] + markers, directory: folder)
        #expect(result.exitCode == 2)
        #expect(result.output == "")
        #expect(result.errors.hasPrefix("iommu-trace: --between: no trace marker"))
        #expect(result.errors.contains("PHASE_A, PHASE_B, PHASE_C, PHASE_END"))
        #expect(try DatabaseContents(folder) == before)
    }

    // MARK: - The answer

    @Test func answer() throws {
        let output = try replay(["per-page", "sync", "recorded", "queue=8,1ms", "end"]).output
        let lines = output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let title = try #require(lines.firstIndex { $0.hasPrefix("Stale windows: what a device could still reach") })
        let table = lines[(title + 2)...].prefix { !$0.isEmpty }
        #expect(
            table.first?.split(separator: " ").joined(separator: " ")
                == "policy windows p50 ms p99 ms max ms page-seconds peak pages hazards evidence")
        let reported = try report("windows")
        let shown = table.dropFirst(2).map { $0.split(separator: " ").map(String.init) }
        #expect(shown.map(\.first) == ["recorded", "queue=8,1ms", "end"])
        for row in shown where row.first != "end" {
            let expected = try #require(reported.first { $0["requested"] as? String == row.first })
            #expect(row[1] == (expected["windows"] as? Int).map { "\($0)" })
            for (cell, column) in zip(row[2...4], ["p50_ns", "p99_ns", "max_ns"]) {
                let milliseconds = Double(try #require(expected[column] as? Int)) / 1e6
                #expect(abs(try #require(Double(cell)) - milliseconds) <= 0.0005)
            }
            // What is open counts up to the end, and may last longer.
            let isBound = expected["censored"] as? Int != 0 || expected["uncertain"] as? Int != 0
            #expect(row[5].hasPrefix("≥") == isBound)
            let exposure = try #require(Double(row[5].drop { $0 == "≥" }))
            let closed = try #require(expected["exposure_page_seconds"] as? Double)
            let open = try #require(expected["censored_page_seconds"] as? Double)
            #expect(abs(exposure - closed - open) <= 0.0005)
            #expect(row[6] == (expected["peak_stale_pages"] as? Int).map { "\($0)" })
            let hazards = ["hazards_access", "hazards_iova_reuse", "hazards_page_reuse"].compactMap {
                expected[$0] as? Int
            }
            #expect(row[7] == "\(hazards.reduce(0, +))")
            #expect(row[8] == expected["evidence"] as? String)
        }
        let notes = lines[title...].filter { $0.hasPrefix("note: ") }
        #expect(notes.contains("note: none under per-page, sync"))
        #expect(
            notes.contains("note: \(log.unreachablePages) pages were unmapped while no device was attached: no window"))
        #expect(
            notes.contains(
                "note: end: \(log.reachableUnmapsAfterLoss) windows still open when the log ends: in page-seconds up to there, not in windows, percentiles and maximum"
            ))
        #expect(
            notes.contains(
                "note: end: \(log.reachableUnmapsBeforeLoss) windows open where events were lost: in no figure here"
            ))
        #expect(!notes.contains { $0.contains("assumed to be attached") })
    }

    @Test func answerWithoutAttaches() throws {
        var bare = FtraceLog(calls: 10)
        bare.lines.removeAll { $0.contains("attach: ") }
        try folder.write(bare.text, to: "bare.txt")
        #expect(try run("import", "bare.txt").exitCode == 0)
        let output = try replay(["sync"]).output
        #expect(output.contains("\nnote: none under sync\n"))
        #expect(
            output.contains(
                "note: devices are assumed to be attached throughout where the log shows no attach (assumed)\n"))
        #expect(!output.contains("peak pages"))
    }
}

/// A log in three phases between markers: a strict domain, one that defers, and one that no device is attached to, used by
/// three tasks that take turns, over so few addresses and pages that they come back while they are stale. In the middle of
/// the second phase events are lost.
struct PhasedLog {
    static let markers = ["PHASE_A", "PHASE_B", "PHASE_C", "PHASE_END"]

    var log = FtraceLog(calls: 0)
    let strict = FtraceLog.domains[0]
    let deferred = FtraceLog.domains[1]
    let loose = "0xff1f9ec7aaaa0000"

    init(callsInPhase calls: Int) {
        var random = SeededGenerator(seed: 21)
        log.lines.removeAll { $0.contains("LAB_START") }
        for marker in Self.markers {
            log.add("tracing_mark_write: \(marker)", task: "sh")
            guard marker != Self.markers.last else { break }
            if marker == "PHASE_C" {
                // From now on it is not known which of two devices could reach what the domain left stale.
                log.add(
                    "attach: (intel_iommu_attach_device+0x5/0x8c0) domain=\(deferred) dev=\"0000:00:05.0\"", task: "sh")
            }
            for call in 0..<calls {
                // A window is open for certain where events are lost.
                let isBeforeLoss = call == calls / 2 && marker == "PHASE_B"
                addCall(&random, in: isBeforeLoss ? deferred : nil)
                if isBeforeLoss { log.lines.append("CPU:1 [LOST 10 EVENTS]") }
                if call % 9 == 8 { flushAll() }
            }
        }
    }

    private mutating func addCall(_ random: inout SeededGenerator, in given: String?) {
        let domain = given ?? [strict, deferred, deferred, loose][Int(random.next() % 4)]
        let task = ["fio", "dd", "nvme"][Int(random.next() % 3)]
        let pages = [1, 1, 1, 4][Int(random.next() % 4)]
        let iova = 0x1_0000 + random.next() % 6 * 0x10000
        let start = "0x" + String(iova, radix: 16)
        let end = "0x" + String(iova + UInt64(pages) * 4096 - 1, radix: 16)
        let paddr = "0x" + String(0x1_0000_0000 + random.next() % 8 * 0x4000, radix: 16)
        let size = pages * 4096
        log.add(
            "map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(start) paddr=\(paddr) size=\(size) prot=0x6",
            task: task)
        let isQueued = domain == deferred ? 1 : 0
        log.add(
            "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(start) size=\(size) queued=\(isQueued)",
            task: task)
        log.add("unmapped: (iommu.unmap) iova=\(start) size=\(size) unmapped=\(size)", task: task)
        if domain == deferred {
            if random.next() % 4 == 0 {
                log.add("io_page_fault: IOMMU:nvme 0000:00:04.0 iova=\(start) flags=0x0001", task: "irq")
            }
            return
        }
        log.add(
            "sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=\(start) end=\(end) pgsize=4096", task: task)
        guard domain == strict else { return }
        log.add("hw_flush: (qi_flush_iotlb+0x5/0xb0) did=4 addr=\(start) order=2 type=0x3000000000000000", task: task)
        log.add("qi_submit: iotlb_inv dmar0: 0x400f2 \(start.dropLast())2 0x0 0x0", task: task)
    }

    private mutating func flushAll() {
        log.add("flush_all: (intel_flush_iotlb_all+0x5/0x110) domain=\(deferred)", task: "kworker")
        log.add("qi_submit: iotlb_inv dmar0: 0x500e2 0x0 0x0 0x0", task: "kworker")
    }

    var text: String { log.text }

    // MARK: - What there is to count

    static func pages(_ lines: [String]) -> Int {
        lines.filter { $0.contains(": unmapped: ") }.reduce(0) { sum, line in
            sum + (Int(line.components(separatedBy: " unmapped=").last ?? "") ?? 0) / 4096
        }
    }

    /// Lines of a domain's unmap calls: the tracepoint after the call's entry.
    private func unmapLines(in domain: String) -> [Int] {
        log.lines.indices.filter {
            log.lines[$0].contains(": unmapped: ") && log.lines[$0 - 1].contains("domain=\(domain) ")
        }
    }

    func unmaps(in domain: String) -> Int { unmapLines(in: domain).count }
    func pages(in domain: String) -> Int { Self.pages(unmapLines(in: domain).map { log.lines[$0] }) }

    var unreachablePages: Int { pages(in: loose) }
    var reachablePages: Int { pages(in: strict) + pages(in: deferred) }
    private var loss: Int { log.lines.firstIndex { $0.hasPrefix("CPU:") } ?? 0 }
    private var reachableUnmaps: [Int] { unmapLines(in: strict) + unmapLines(in: deferred) }
    var reachableUnmapsBeforeLoss: Int { reachableUnmaps.count { $0 < loss } }
    var reachableUnmapsAfterLoss: Int { reachableUnmaps.count { $0 > loss } }

    // MARK: - Times

    /// The lines from one marker to another.
    func lines(_ from: String, _ to: String) -> [String] {
        guard let first = log.lines.firstIndex(where: { $0.hasSuffix(from) }),
            let last = log.lines.firstIndex(where: { $0.hasSuffix(to) })
        else { return [] }
        return Array(log.lines[first...last])
    }

    private static func microseconds(_ line: String?) -> Int {
        let time = (line ?? "").split(separator: " ").first { $0.hasSuffix(":") && $0.contains(".") }
        return Int((time ?? "").filter(\.isNumber)) ?? 0
    }

    func microseconds(of marker: String) -> Int { Self.microseconds(log.lines.first { $0.hasSuffix(marker) }) }

    /// As it is printed in the log.
    func seconds(of marker: String) -> String {
        let digits = String(microseconds(of: marker) % 1_000_000)
        return "\(microseconds(of: marker) / 1_000_000)." + String(repeating: "0", count: 6 - digits.count) + digits
    }

    var firstMicroseconds: Int { Self.microseconds(log.lines.first { $0.contains("[001]") }) }
    var nanoseconds: Int { (Self.microseconds(log.lines.last) - firstMicroseconds) * 1000 }
}
