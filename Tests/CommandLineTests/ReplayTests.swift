import Foundation
import Testing

/// What `replay` keeps and how it answers.
@Suite struct ReplayTests {
    private let folder: TemporaryFolder
    private let log = FtraceLog(calls: 80)

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(log.text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    /// Columns of all rows of `replay`, as text.
    private func replays(_ columns: String) throws -> [String] {
        try run("sql", "SELECT \(columns) FROM replay ORDER BY id", "--format", "csv").records.dropFirst()
            .map { $0.joined(separator: " ") }
    }

    /// The first words of the lines of the answer's table.
    private func policies(_ result: Tool.Result) -> [String] {
        result.output.split(separator: "\n", omittingEmptySubsequences: false).drop { !$0.hasPrefix("---") }.dropFirst()
            .prefix { !$0.isEmpty }
            .map { String($0.prefix { $0 != " " }) }
    }

    @Test func defaults() throws {
        let result = try run("replay")
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        #expect(result.output.hasPrefix("TLB flushes of log under each policy"))
        #expect(policies(result) == ["per-page", "sync", "fast"])
        #expect(try replays("requested, policy") == ["per-page per-page", "sync sync", "fast queue=256,10ms"])
        #expect(try replays("unmap_calls, pages_unmapped") == Array(repeating: "80 \(log.pages)", count: 3))
        for domain in FtraceLog.domains {
            #expect(result.output.contains("fast in domain \(domain): queue=256,10ms, "))
        }
        let contents = try DatabaseContents(folder)
        #expect(contents.count("replay_domain") == 6)
        #expect(contents.count("mapping_summary") == 2)
    }

    /// Design §4 18, 20: each table that rests on a simulated cache names its geometry and what is assumed to fill it.
    @Test func simulatedIOTLB() throws {
        let result = try run(
            "replay", "--policy", "sync", "--policy", "queue", "--hardware", "vtd-6.1", "--iotlb", "hypersio")
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        #expect(
            result.output.contains(
                "An IOTLB of 64x8 under these commands (a simulation; accesses assumed: touch-on-map; modelled)"))
        #expect(!result.output.lowercased().contains("intel"))
        #expect(
            try replays("requested, iotlb, accesses, stale_hits, stale_entries, iotlb_misses, live_entries_killed")
                .map { $0.split(separator: " ").prefix(3).joined(separator: " ") }
                == ["sync 64x8 touch-on-map", "queue 64x8 touch-on-map"])
        #expect(try replays("options")[0].hasSuffix("hardware=vtd-6.1 iotlb=64x8 accesses=touch-on-map"))
        // Each page is touched once, and nothing is stale after a sync.
        #expect(try replays("iotlb_misses, iotlb_hits, stale_hits, stale_entries")[0].hasSuffix(" 0 0 0"))
        let savings = try run("report", "savings", "--format", "csv").records
        for column in ["iotlb", "accesses", "iotlb_hits", "iotlb_misses", "live_entries_killed", "iotlb_evidence"] {
            #expect(savings[0].contains(column))
        }
        // Another geometry is another replay, and stands beside.
        let recorded = try run(
            "replay", "--policy", "sync", "--hardware", "vtd-6.1", "--iotlb", "qemu-vtd", "--accesses", "recorded")
        #expect(recorded.output.contains("accesses recorded in the log; modelled)"))
        #expect(recorded.output.contains("note: the log records no access of a device, so nothing was ever cached"))
        #expect(try replays("iotlb") == ["64x8", "64x8", "1024,reset-when-full"])
        let contents = try DatabaseContents(folder)
        #expect(contents.count("stale_entry_total") >= 3)
        // Without --iotlb there is nothing of it.
        #expect(try run("replay", "--policy", "vfio", "--hardware", "vtd-6.1").exitCode == 0)
        #expect(
            try run("sql", "SELECT count(*) FROM replay WHERE iotlb IS NULL AND iotlb_hits IS NULL").output.contains(
                "1"))
    }

    @Test func severalPolicies() throws {
        let asked = [
            "recorded", "end", "vfio", "batch=16", "every=250us", "queue=64,1000us", "single-queue=64,1s", "queue",
        ]
        let result = try Tool.run(["replay"] + asked.flatMap { ["--policy", $0] }, directory: folder)
        #expect(result.exitCode == 0)
        #expect(try replays("requested") == asked)
        #expect(
            try replays("policy")
                == asked.map { ["queue": "queue=256,10ms", "queue=64,1000us": "queue=64,1ms"][$0, default: $0] })
        #expect(policies(result) == asked)
        _ = try DatabaseContents(folder)
    }

    /// As the log has it: a sync in each call.
    @Test func recordedCounts() throws {
        #expect(try run("replay", "-p", "sync", "-p", "recorded", "-p", "end").exitCode == 0)
        #expect(try replays("requested, flushes") == ["sync 80", "recorded 80", "end 0"])
        #expect(try replays("flushes_pending") == ["0", "0", "2"])
    }

    @Test(arguments: [("strict", "sync"), ("lazy", "queue=256,10ms"), ("sync", "sync")])
    func aliases(requested: String, policy: String) throws {
        #expect(try run("replay", "--policy", requested).exitCode == 0)
        let rows = try run("report", "savings", "--format", "json").objects()
        #expect(rows.map { $0["requested"] as? String } == [requested])
        #expect(rows.map { $0["policy"] as? String } == [policy])
    }

    @Test func samePolicyTwiceInOneCall() throws {
        #expect(try run("replay", "-p", "sync", "-p", "end", "-p", "sync").exitCode == 0)
        #expect(try replays("requested") == ["sync", "end"])
    }

    @Test func sameReplayReplaces() throws {
        let arguments = ["replay", "-p", "sync", "-p", "batch=8", "-p", "fast"]
        #expect(try Tool.run(arguments, directory: folder).exitCode == 0)
        let before = try DatabaseContents(folder)
        let answer = try run("report", "savings", "--by", "domain", "--format", "csv").output
        #expect(try Tool.run(arguments, directory: folder).exitCode == 0)
        #expect(try DatabaseContents(folder).counts == before.counts)
        #expect(try run("report", "savings", "--by", "domain", "--format", "csv").output == answer)
    }

    /// One of three, under another number of rows than before.
    @Test func oneReplayAgain() throws {
        #expect(try run("replay", "-p", "sync", "-p", "batch=8", "-p", "end").exitCode == 0)
        let before = try DatabaseContents(folder)
        #expect(try run("replay", "-p", "batch=8").exitCode == 0)
        #expect(try DatabaseContents(folder).counts == before.counts)
        #expect(try replays("requested").sorted() == ["batch=8", "end", "sync"])
    }

    @Test func replaysSideBySide() throws {
        #expect(try run("replay", "-p", "sync", "-p", "queue").exitCode == 0)
        #expect(try run("replay", "-p", "queue=128,20ms").exitCode == 0)
        #expect(try replays("requested") == ["sync", "queue", "queue=128,20ms"])
        // Other options are another replay, but only for policies that they matter to.
        #expect(try run("replay", "-p", "sync", "-p", "queue", "--hz", "1000").exitCode == 0)
        #expect(
            try replays("requested, options").sorted()
                == ["queue hz=1000", "queue hz=250", "queue=128,20ms hz=250", "sync "])
        _ = try DatabaseContents(folder)
    }

    @Test(arguments: [
        ("4K,2M,1G", "4K,2M,1G"), ("1G,4K", "4K,1G"), ("all", "all"), ("16K", "16K"), ("4K,64K,1M,512M,1T", nil),
        ("4K,8192K", "4K,8M"),
    ])
    func pageSizes(typed: String, kept: String?) throws {
        #expect(try run("replay", "-p", "per-page", "--page-sizes", typed).exitCode == 0)
        #expect(try replays("options") == ["page-sizes=\(kept ?? typed)"])
    }

    @Test func trace() throws {
        try folder.write(FtraceLog(calls: 20, seed: 2).text, to: "newer.txt")
        #expect(try run("import", "newer.txt").exitCode == 0)
        #expect(try run("replay", "-p", "sync").output.hasPrefix("TLB flushes of newer "))
        #expect(try run("replay", "-p", "sync", "--trace", "log").output.hasPrefix("TLB flushes of log "))
        #expect(try replays("unmap_calls") == ["20", "80"])
        // Neither the other trace's replays are answered for, nor former ones.
        #expect(try policies(run("replay", "-p", "end", "--trace", "log")) == ["end"])
    }

    /// A flush that a sync makes for an unmap call must not read like one that nothing is known of.
    @Test func logWithoutFlushes() throws {
        var bare = FtraceLog(calls: 30)
        bare.lines.removeAll { line in ["sync: ", "hw_flush: ", "qi_submit: "].contains { line.contains($0) } }
        try folder.write(bare.text, to: "bare.txt")
        #expect(try run("import", "bare.txt").exitCode == 0)
        let result = try run("replay", "-p", "recorded", "-p", "sync")
        #expect(result.exitCode == 0)
        #expect(result.output.contains("note: the log shows no flushes, so recorded has no number"))
        let rows = try run("report", "savings", "--trace", "bare", "--format", "json").objects()
        #expect(rows.first?["flushes"] is NSNull)
        #expect(rows.first?["saved_flushes"] is NSNull)
        #expect(rows.last?["flushes"] as? Int == 30)
    }
}
