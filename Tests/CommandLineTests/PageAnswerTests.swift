import Foundation
import TestSupport
import Testing

/// What a page says in words: its headline, its notes, and what it says of windows without an end.
@Suite struct PageAnswerTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func take(_ log: FtraceLog, _ policies: String...) throws {
        try folder.write(log.text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
        guard !policies.isEmpty else { return }
        #expect(try Tool.run(["replay"] + policies.flatMap { ["-p", $0] }, directory: folder).exitCode == 0)
    }

    private func page() throws -> Page {
        let result = try run("report", "--html", "-")
        #expect(result.exitCode == 0, "\(result.errors)")
        return try #require(Page(result.output))
    }

    private func rows(_ arguments: String...) throws -> [[String: Any]] {
        try Tool.run(["report"] + arguments + ["--format", "json"], directory: folder).objects()
    }

    // MARK: - Faults

    /// A page unmapped by one task, which a device uses 14 µs later, and an access to what was never mapped.
    private static func faulty(others: Int = 0) -> FtraceLog {
        var log = FtraceLog(calls: 5)
        let domain = FtraceLog.domains[0]
        log.add(
            "map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=0x10000000 paddr=0x113000000 size=4096 prot=0x6",
            task: "maker")
        log.add(
            "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=0x10000000 size=4096 queued=0", task: "taker"
        )
        log.add("unmapped: (iommu.unmap) iova=0x10000000 size=4096 unmapped=4096", task: "taker")
        log.add("sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=0x10000000 end=0x10000fff pgsize=4096")
        log.add("io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x10000040 flags=0x0001")
        for number in 0..<others {
            let iova = String(0x2000_0000 + number * 4096, radix: 16)
            log.add("io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0x\(iova) flags=0x0000")
        }
        return log
    }

    /// A log with faults is read for these, replayed or not: the first is the headline, and each is told with what led to it.
    @Test(arguments: [[], ["sync", "fast"]]) func faultsLead(policies: [String]) throws {
        try folder.write(Self.faulty(others: 12).text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
        if !policies.isEmpty {
            #expect(try Tool.run(["replay"] + policies.flatMap { ["-p", $0] }, directory: folder).exitCode == 0)
        }
        let page = try page()
        let faults = try rows("faults")
        #expect(faults.count == 13)
        #expect(
            page.texts["answer"]?.first?.hasPrefix(
                "13 faults (12 never mapped, 1 use after unmap). The first: 0000:00:03.0 writes 0x10000040, use after unmap, 0.014 ms after taker-271 unmapped it; a flush queue of 10 ms could have hidden it"
            ) == true, "\(page.texts["answer"] ?? [])")
        // The queue's part of the sentence is known less well than the rest.
        #expect(page.texts["basis"]?.first?.hasPrefix("assumed") == true)
        let told = try #require(page.texts["fault"])
        #expect(told.count == 10)
        let table = try Markdown.parse(run("report", "faults", "--format", "markdown").output)
        let column = try #require(table.first?.firstIndex(of: "in_words"))
        for ((row, own), cells) in zip(zip(faults, told), table.dropFirst(2)) {
            let words = cells[column]
            #expect(own.hasPrefix(words + " "))
            #expect(own.hasSuffix(try #require(row["evidence"] as? String)))
        }
        let led = try #require(page.texts["led"]?.first)
        for (place, words) in [
            ("unmap_place", "task taker-271, 4 KiB from 0x10000000, 0.014 ms before"),
            ("map_place", "task maker-271, 4 KiB, 0.028 ms before"),
            ("fault_place", "task fio-271"),
        ] {
            let line = try #require((faults[0][place] as? String)?.split(separator: ":").last)
            #expect(led.contains("line \(line), \(words)"), "\(led)")
        }
        #expect(page.text.contains("3 more faults: iommu-trace report faults --trace log"))
        // They come before what policies cost, and no name of a column of SQL is left.
        #expect(page.links.filter { $0 == "#places" || $0 == "#cost" }.first == "#places")
        #expect(!page.text.contains("hidden evidence") && !page.text.contains("time ns"))
    }

    @Test func oneFault() throws {
        try take(Self.faulty(), "sync")
        let answer = try #require(try page().texts["answer"]?.first)
        #expect(answer.hasPrefix("A fault: 0000:00:03.0 writes 0x10000040, use after unmap, 0.014 ms after taker-271"))
        #expect(!answer.contains("maker"))
        #expect(try page().texts["further"]?.count == 1)
    }

    // MARK: - Savings

    /// No flush is saved by a log that ends before it: where most are still due the numbers are said, and no percentage.
    @Test func pendingIsNotSaved() throws {
        try take(FtraceLog(calls: 60), "sync", "fast")
        let pending = try #require(try rows("savings").last?["flushes_pending"] as? Int)
        #expect(pending == 2)
        let page = try page()
        let answer = try #require(page.texts["answer"]?.first)
        #expect(
            answer.hasPrefix(
                "Deferring as the kernel’s flush queue does would have made no TLB flush for 60 unmap calls, with 2 still due when the log ends; unmapped pages would still have been reachable when the log ends, up to "
            ), "\(answer)")
        #expect(!answer.contains("%"))
        #expect(page.texts["basis"]?.first?.hasPrefix("assumed is the weakest evidence") == true)
    }

    @Test func saved() throws {
        try take(FtraceLog(calls: 60), "sync", "queue=4,2ms")
        let row = try #require(try rows("savings").last)
        let numbers = try ["unmap_calls", "flushes", "flushes_pending"].map { try #require(row[$0] as? Int) }
        let saved = numbers[0] - numbers[1] - numbers[2]
        let answer = try #require(try page().texts["answer"]?.first)
        #expect(
            answer.hasPrefix(
                "Deferring by queue=4,2ms would have saved \(saved) of 60 TLB flushes (66.7 %); unmapped pages would have stayed reachable for up to "
            ), "\(answer)")
    }

    /// What was unmapped after the device had left costs the hardware nothing under any policy, and nobody saves it.
    @Test func detachedCallsAreNotSaved() throws {
        var log = FtraceLog(calls: 0)
        let domain = FtraceLog.domains[0]
        func call(_ number: Int) {
            let (start, end) = ("0x\(String(number * 8192, radix: 16))", "0x\(String(number * 8192 + 4095, radix: 16))")
            log.add("map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(start) paddr=0x113000000 size=4096 prot=0x6")
            log.add("unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(start) size=4096 queued=0")
            log.add("unmapped: (iommu.unmap) iova=\(start) size=4096 unmapped=4096")
            log.add("sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=\(start) end=\(end) pgsize=4096")
        }
        for number in 1...40 { call(number) }
        log.add("attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xff1f9ec7fbaeb111 dev=\"0000:00:03.0\"")
        for number in 41...400 { call(number) }
        try take(log, "sync", "batch=4")
        let page = try page()
        let answer = try #require(page.texts["answer"]?.first)
        #expect(answer.contains("would have saved 30 of 40 TLB flushes (75.0 %)"), "\(answer)")
        #expect(answer.contains(" 360 unmap calls were made with no device attached and cost none."))
        let table = try #require(page.tables.first { $0.caption.hasPrefix("Flushes, and how many") })
        #expect(table.caption.hasSuffix("each of 40 unmap calls with a device attached"))
        // Flushes, of them without a device, pending, saved, percent.
        #expect(table.rows.map { Array($0.values.prefix(5)) } == [[400, 360, 0, 0, 0], [100, 90, 0, 30, 75]])
        let figure = try #require(page.tables.first { $0.caption == "TLB flushes under each policy" })
        #expect(figure.rows.map(\.values) == [[40], [10]])
        let choice = try #require(page.tables.first { $0.caption == "Flushes and exposure of each setting" })
        #expect(choice.rows.map { $0.values.first } == [40, 10])
    }

    // MARK: - Exposure

    /// What stays stale when the log ends is exposure too, and those who left it are ranked by it.
    @Test func openWindowsCount() throws {
        var log = FtraceLog(calls: 30)
        log.add("sched_switch: nothing", task: "late")
        try take(log, "sync", "end")
        let page = try page()
        let windows = try #require(try rows("windows").last)
        #expect(windows["exposure_page_seconds"] as? Double == 0)
        let open = try #require(windows["censored_page_seconds"] as? Double)
        let count = try #require(windows["censored"] as? Int)
        #expect(open > 0 && count == 30)
        let shown = "≥ " + String(format: "%.3f", open)
        let stale = try #require(page.tables.first { $0.caption.hasPrefix("Stale windows under") })
        #expect(stale.rows.map { $0.values[4] } == [open])
        #expect(page.text.contains(shown))
        #expect(
            page.text.contains(
                "end: 30 windows still open when the log ends: in page-seconds up to there, not in windows, percentiles and maximum."
            ))
        for word in ["devices", "tasks"] {
            let table = try #require(
                page.tables.first { $0.caption == "The \(word) with the most exposure under end, at most 10" })
            // Windows, open ones.
            #expect(table.rows.reduce(0) { $0 + ($1.values[1] ?? 0) } == 30)
            let sum = table.rows.reduce(0) { $0 + ($1.values[5] ?? 0) }
            #expect(abs(sum - open) < 1e-9)
        }
        // A replay keeps open windows one by one only if it is asked to.
        #expect(page.text.contains("30 windows under end are open when the log ends, the longest for "))
        #expect(!page.tables.contains { $0.caption.hasPrefix("The longest stale windows") })
        #expect(try run("replay", "-p", "end", "--windows", "all").exitCode == 0)
        let all = try self.page()
        let longest = try #require(
            all.tables.first { $0.caption.hasPrefix("The longest stale windows under end, those open") })
        let lengths = try run(
            "sql", "--format", "csv",
            "SELECT trace.last_ns - opened_ns FROM stale_window, trace WHERE closed_ns IS NULL ORDER BY 1 DESC LIMIT 10"
        ).records.dropFirst().compactMap { $0.first.flatMap(Double.init) }
        #expect(longest.rows.map { $0.values.first } == lengths)
    }

    /// Where a database tells who had mapped what was unmapped, the page does.
    @Test func mapsOfTheLongestWindows() throws {
        try take(FtraceLog(calls: 60), "batch=8")
        try folder.edit(
            sql: """
                DROP VIEW what_was_stale;
                CREATE VIEW what_was_stale AS SELECT id, '0x10' AS iova, size, 'taker' AS task, 'd' AS domain, NULL AS device,
                    opened_ns, closed_ns, 'batch' AS ended, 'x:9' AS unmap_place, 'modelled' AS evidence,
                    CASE WHEN id % 2 = 0 THEN 'maker' END AS mapped_by, CASE WHEN id % 2 = 0 THEN 'x:7' END AS map_place
                    FROM stale_window;
                """)
        let page = try page()
        #expect(page.text.contains("Mapped by") && page.text.contains("makerx:7takerx:9"))
        #expect(page.text.contains("––takerx:9"))
    }

    /// Only the queue that the recorded kernel has can be late. Of others an address used again says what an allocator would do.
    @Test func lateIsOnlyTheKernelsOwnQueue() throws {
        try take(FtraceLog(calls: 30), "sync", "queue=256,10ms", "queue=4096,100ms")
        try folder.edit(
            sql: """
                UPDATE domain SET mode = 'deferred';
                INSERT INTO hazard_summary SELECT replay.id, domain.id, NULL, NULL, 5, 7, operation.id, operation.id, 0, 0
                    FROM replay, (SELECT min(id) AS id FROM domain) AS domain, (SELECT min(id) AS id FROM operation) AS operation
                    WHERE requested LIKE 'queue%';
                """)
        let notes = try #require(try page().texts["notes"]?.joined())
        #expect(
            notes.contains(
                "queue=256,10ms: 7 pages reused where the recorded kernel, which has this queue, had flushed already: the model is late there."
            ))
        #expect(
            notes.contains(
                "queue=4096,100ms: 7 pages of addresses that were used again before its flush: an allocator that defers as it does would have withheld them."
            ))
        #expect(notes.components(separatedBy: "the model is late").count == 2)
    }

    /// A log without times tells no length.
    @Test func noTimes() throws {
        let calls = (1...9).map { number in
            let (start, end) = (String(number * 8192, radix: 16), String(number * 8192 + 4096, radix: 16))
            return """
                map: IOMMU: iova=0x\(start) - 0x\(end) paddr=0x0000000107693000 size=4096
                unmap: IOMMU: iova=0x\(start) - 0x\(end) size=4096 unmapped_size=4096

                """
        }
        try folder.write("# tracer: nop\n#\ntracing_mark_write: LAB_START\n" + calls.joined(), to: "bare.txt")
        #expect(try run("import", "bare.txt").exitCode == 3)
        #expect(try run("replay", "-p", "sync", "-p", "batch=4").exitCode == 0)
        let page = try page()
        #expect(
            page.texts["answer"]?.first?.contains("would have stayed reachable, a log without times cannot tell")
                == true, "\(page.texts["answer"] ?? [])")
        let stale = try #require(page.tables.first { $0.caption.hasPrefix("Stale windows under") })
        let (closed, lengths) = try (#require(stale.rows.first?.values.first), #require(stale.rows.first).values[1...4])
        #expect(closed == 8 && lengths.allSatisfy { $0 == nil })
        #expect(page.text.contains("The log has no times, so no window has a length"))
        #expect(!page.text.contains("0.000"))
    }

    // MARK: - The rest

    /// One policy has one name, whatever it was asked for by; only what chooses says what it chose.
    @Test func canonicalNames() throws {
        try take(FtraceLog(calls: 60), "strict", "queue", "queue=256,10ms", "fast", "single-queue")
        let table = try #require(try page().tables.first { $0.caption.hasPrefix("Flushes, and how many") })
        #expect(
            table.rows.map(\.head) == [
                "sync", "queue=256,10ms", "fast = queue=256,10ms", "single-queue=32768,1s",
            ])
        let figure = try #require(try page().tables.first { $0.caption == "TLB flushes under each policy" })
        #expect(figure.rows.map(\.head) == ["sync", "fast = queue=256,10ms", "single-queue=32768,1s"])
    }

    /// Each table's caption stays where it is while the table scrolls, and the table has it too.
    @Test func captionsDoNotScroll() throws {
        try take(FtraceLog(calls: 60), "sync", "batch=4")
        let page = try page()
        #expect(page.texts["caption"] == page.tables.map(\.caption))
        #expect(page.texts["scroll"]?.count == page.tables.count)
        // Why a domain is taken for strict has a line of its own.
        let below = try #require(page.texts["below"])
        #expect(below.count == 2 && below.allSatisfy { $0.hasPrefix("Mode: ") })
    }

    @Test func constantsAreAsTheyAre() throws {
        try take(FtraceLog(calls: 5), "sync")
        let table = try #require(try page().tables.first { $0.caption.hasPrefix("How long steps") })
        #expect(table.rows.first { $0.head == "unmap_pte" }?.values == [0.5, 1, 25])
        let source = try page().source
        #expect(source.contains(">0.5</td>") && source.contains(">1.3</td>"))
    }

    /// Beside the figures the page and the terminal say the same.
    @Test func notesAreThoseOfTheTerminal() throws {
        var log = FtraceLog(calls: 30)
        log.lines.insert("CPU:0 [LOST 3 EVENTS]", at: log.lines.count / 2)
        log.lines.removeAll { $0.contains("attach: ") }
        try folder.write(log.text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
        let output = try run(
            "replay", "-p", "sync", "-p", "per-page", "-p", "fast", "-p", "queue=256,10ms", "-p", "end", "--hardware",
            "vtd-6.12", "--iotlb", "64x8", "--accesses", "recorded"
        ).output
        let said = output.split(separator: "\n").filter { $0.hasPrefix("note: ") }.map { $0.dropFirst("note: ".count) }
        #expect(said.count >= 8, "\(said)")
        let notes = try #require(try page().texts["notes"]).joined(separator: "\n").lowercased()
        for note in said {
            // On the page a policy's options are told with its name.
            let words = note.firstRange(of: ": ").map { note[$0.lowerBound...] } ?? note
            #expect(notes.contains(words.lowercased() + "."), "\(note)")
        }
    }

    /// Where a recording's sidecar and its events differ, the page says so.
    @Test func contradictions() throws {
        try folder.write(FtraceLog(calls: 20).text, to: "log.txt")
        try folder.write(["log.meta/cmdline": "iommu.strict=0\n"])
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try run("replay", "-p", "sync").exitCode == 0)
        #expect(try page().text.contains("Contradictions"))
        #expect(try page().text.contains("booted lazy (sidecar/cmdline), but 2 domains ran strict: "))
        try folder.write(["log.meta/cmdline": "iommu.strict=1\n"])
        try folder.edit(sql: "DELETE FROM metadata")
        #expect(!(try page().text.contains("Contradictions")))
    }
}
