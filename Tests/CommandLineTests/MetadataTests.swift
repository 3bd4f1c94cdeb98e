import Foundation
import Testing

/// `--metadata`, and the folder beside a log.
@Suite struct MetadataTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(FtraceLog(calls: 20).text, to: "log.txt")
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private static let contradiction = "booted lazy (sidecar/cmdline), but 2 domains ran strict: "

    /// The command line says lazy, the events say strict: each output that speaks of the trace says so.
    @Test func contradictionIsSaid() throws {
        try folder.write(["meta/cmdline": "iommu.strict=0\n"])
        #expect(
            try run("import", "log.txt", "--metadata", "meta").output.contains("  disagrees   " + Self.contradiction))
        #expect(try run("info").output.contains("  disagrees   " + Self.contradiction))
        #expect(try run("replay").output.contains("note: " + Self.contradiction))
        for report in ["savings", "windows", "domains", "costs"] {
            let table = try run("report", report)
            #expect(table.output.contains("\nnote: " + Self.contradiction), "\(report)")
            // Rows for programs are rows only.
            #expect(!(try run("report", report, "--format", "csv").output.contains(Self.contradiction)))
        }
        let rows = try run("report", "contradictions", "--format", "json").objects()
        #expect(rows.map { $0["subject"] as? String } == ["policy"])
        #expect(rows.map { $0["evidence"] as? String } == ["assumed"])
        #expect(try run("log.txt", "--metadata", "meta").output.contains("note: " + Self.contradiction))
    }

    @Test func agreementIsSilent() throws {
        try folder.write(["meta/cmdline": "iommu.strict=1\n"])
        let result = try run("import", "log.txt", "--metadata", "meta")
        #expect(result.output.contains("boot_policy strict (recorded, sidecar/cmdline)"))
        #expect(!result.output.contains("disagrees"))
        #expect(try run("report", "contradictions", "--format", "json").objects().isEmpty)
    }

    /// Of the folder beside the log and the one that is named the latter is taken.
    @Test func besideOrNamed() throws {
        try folder.write(["log.meta/hz": "100\n", "meta/hz": "1000\n"])
        for (log, arguments, hz) in [("log.txt", [], "100"), ("log.txt", ["--metadata", "meta"], "1000")] {
            let result = try Tool.run(["import", log, "--db", "\(hz).db"] + arguments, directory: folder)
            #expect(result.output.contains("hz \(hz) (recorded, sidecar/hz)"))
        }
        try folder.write(Data(FtraceLog(calls: 3, seed: 9).text.utf8).gzipped, to: "other.txt.gz")
        try folder.write(["sub/x": "", "other.meta": "no folder"])
        #expect(!(try run("import", "other.txt.gz").output.contains("hz 100")))
        #expect(try run("import", "other.txt.gz", "--metadata", "meta").errors.contains("forget it first"))
    }

    @Test func hzIsTheDefault() throws {
        try folder.write(["log.meta/config": "CONFIG_HZ=1000\n"])
        #expect(try run("import", "log.txt").exitCode == 0)
        let replay = try run("replay", "-p", "queue", "-p", "sync")
        #expect(replay.output.contains("at HZ=1000, as sidecar/config of the recording says (recorded; --hz)"))
        #expect(
            try run("replay", "-p", "queue", "--hz", "100").output.contains("at HZ=100, as given with --hz (assumed)"))
        let rows = try run("sql", "SELECT requested, options, hz_from FROM replay ORDER BY id", "--format", "csv")
            .records
        #expect(
            rows.dropFirst() == [
                ["queue", "hz=1000", "sidecar/config"], ["sync", "", ""], ["queue", "hz=100", "--hz"],
            ])
        // Without metadata it is assumed.
        try folder.write(FtraceLog(calls: 20, seed: 3).text, to: "bare.txt")
        #expect(try run("import", "bare.txt").exitCode == 0)
        #expect(try run("replay", "-p", "queue").output.contains("at HZ=250, the default (assumed; --hz)"))
    }

    /// HZ decides when a queue's timer fires, so it must reach the model, in a replay and in a validation.
    @Test func hzReachesTheModel() throws {
        try folder.write(FtraceLog(calls: 1000).text, to: "log.txt")
        try folder.write(["slow/hz": "100\n", "fast/hz": "1000\n"])
        var ends: [[[String]]] = []
        for name in ["slow", "fast"] {
            #expect(try run("import", "log.txt", "--metadata", name, "--db", "\(name).db").exitCode == 0)
            #expect(try run("replay", "-p", "queue=256,2ms", "--db", "\(name).db").exitCode == 0)
            ends.append(
                try run("sql", "SELECT count(*), max(time_ns) FROM flush", "--format", "csv", "--db", "\(name).db")
                    .records)
            let given = try run(
                "validate", "-p", "queue=256,2ms", "--hz", name == "slow" ? "100" : "1000", "--db", "\(name).db")
            #expect(try run("validate", "-p", "queue=256,2ms", "--db", "\(name).db").output == given.output)
        }
        #expect(ends[0] != ends[1])
    }

    @Test func countingClocks() throws {
        let lines = (0..<20).map { index in
            "  dd-1  [000] d..1. \(1700 + index): unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096\n"
        }
        try folder.write(lines.joined(), to: "ticks.txt")
        #expect(try run("import", "ticks.txt").exitCode == 4)
        try folder.write(["ticks.meta/trace_clock": "local [uptime] mono\n"])
        let result = try run("import", "ticks.txt")
        #expect(result.output.contains("0.190000 s (17.000000 to 17.190000 on the trace clock)"))
        #expect(result.output.contains("ticks_per_second 100 (assumed, trace clock uptime)"))
        // The option wins.
        #expect(
            try run("import", "ticks.txt", "--ticks-per-second", "10", "--db", "x.db").output.contains(
                "ticks_per_second 10 (assumed, --ticks-per-second)"))
        // Events have no rate.
        try folder.write(["ticks.meta/trace_clock": "counter\n"])
        #expect(try run("import", "ticks.txt", "--db", "y.db").exitCode == 4)
    }

    /// Losses that only the counters know.
    @Test func silentLosses() throws {
        try folder.write([
            "log.meta/stats": "CPU: 1\noverrun: 0\ndropped events: 2974\n",
            "log.meta/kprobe_profile": "unmap_fast 9 110\n",
        ])
        let info = try run("import", "log.txt").output
        #expect(info.contains("the log is missing 2,974 events that it does not announce (CPU 1: 2974; dropped, "))
        #expect(info.contains("probes missed hits (unmap_fast: 110): calls that nothing in the log shows"))
        let rows = try run("report", "losses", "--format", "csv").records
        #expect(
            rows.dropFirst() == [
                ["log", "dropped", "", "1", "", "2974", "2974", "sidecar/stats", "", "recorded"],
                [
                    "log", "missed by a probe", "", "", "unmap_fast", "110", "110", "sidecar/kprobe_profile", "",
                    "recorded",
                ],
            ])
        // They have no place in the log: no window is uncertain for them.
        #expect(try run("sql", "SELECT count(*) FROM lost_events", "--format", "csv").records.last == ["0"])
        #expect(try run("forget", "log").exitCode == 0)
        #expect(try run("report", "losses", "--format", "csv").records.count == 1)
    }

    /// Nobody asked for the folder beside the log: it keeps no log out.
    @Test(.enabled(if: Unprivileged.launcher != nil)) func unreadable() throws {
        try folder.write(["log.meta/hz": "100\n"])
        chmod(folder["log.meta"], 0)
        defer { chmod(folder["log.meta"], 0o755) }
        let launcher = try #require(Unprivileged.launcher)
        let result = try Tool.run(["log.txt"], directory: folder, launcher: launcher)
        #expect(result.exitCode == 0)
        #expect(result.output.contains("not_read log.meta: Permission denied"))
        let named = try Tool.run(["log.txt", "--metadata", "log.meta"], directory: folder, launcher: launcher)
        #expect(named.exitCode == 2)
    }

    @Test func hugeAndBinary() throws {
        try folder.write([
            "log.meta/dmesg": String(repeating: "[ 0.1] x\n", count: 700_000), "log.meta/blob": "\0\u{1}\u{2}",
            "log.meta/stats": "CPU: 0\noverrun: 99999999999999999999\n",
        ])
        let result = try run("import", "log.txt")
        #expect(result.exitCode == 0)
        for words in ["only its first 4194304 bytes were read", "blob: is no text", "is no count that can be"] {
            #expect(result.output.contains(words), "\(words)")
        }
    }
}
