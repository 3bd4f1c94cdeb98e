import Foundation
import Testing

/// `tools/record`, on a made-up machine: a folder in place of /sys and /proc.
@Suite struct RecordToolTests {
    private static let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "tools/record").path

    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A machine with one group of each type given.
    private func machine(types: [String], hasTracing: Bool = true) throws {
        var files = [
            "root/proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/sda1 intel_iommu=on iommu.strict=0\n",
            "root/dmesg":
                "[    0.1] Linux version 6.1.0\n[    0.2] usb 1-1: new\n[    1.0] tsc: Detected 2593.904 MHz processor\n",
            "root/sys/class/iommu/dmar0/intel-iommu/cap": "d2008c22260286\n",
            "root/sys/class/iommu/dmar0/intel-iommu/ecap": "f42\n",
        ]
        if hasTracing {
            files["root/sys/kernel/tracing/kprobe_profile"] = "  unmap_fast      12090     110\n"
            files["root/sys/kernel/tracing/set_event"] = "sched:sched_switch\n"
            for name in ["instances/.here", "events/iommu/enable", "events/intel_iommu/qi_submit/enable"] {
                files["root/sys/kernel/tracing/\(name)"] = ""
            }
        }
        for (index, type) in types.enumerated() {
            files["root/sys/kernel/iommu_groups/\(index)/type"] = type + "\n"
            files["root/sys/kernel/iommu_groups/\(index)/devices/0000:00:0\(index + 3).0/vendor"] = ""
        }
        try folder.write(files)
        for index in types.indices {
            try FileManager.default.createSymbolicLink(
                atPath: folder["root/sys/kernel/iommu_groups/\(index)/devices/0000:00:0\(index + 3).0/driver"],
                withDestinationPath: "../../../../bus/pci/drivers/nvme")
        }
    }

    private func record(_ arguments: String...) throws -> (status: Int32, errors: String) { try run(arguments) }

    private func refusal(_ arguments: String...) throws -> String {
        let result = try run(arguments)
        #expect(result.status == 4)
        return result.errors
    }

    private func run(_ arguments: [String]) throws -> (status: Int32, errors: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = [Self.script] + arguments
        process.currentDirectoryURL = URL(filePath: folder.path)
        process.environment = ["PATH": "/usr/bin:/bin", "IOMMU_TRACE_ROOT": folder["root"]]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let text = try errors.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }

    /// All files in a folder with what is in them.
    private func tree(_ name: String) throws -> [String: Data?] {
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder[name])
        return try Dictionary(
            uniqueKeysWithValues: names.map { path in
                var isFolder: ObjCBool = false
                _ = FileManager.default.fileExists(atPath: folder[name + "/" + path], isDirectory: &isFolder)
                return (
                    path, isFolder.boolValue || path.hasSuffix("/driver") ? nil : try folder.read(name + "/" + path)
                )
            })
    }

    /// What the kernel would do meanwhile.
    private static let workload = """
        instance=${IOMMU_TRACE_MARKER%/trace_marker}
        cp log.txt "$instance/trace"
        mkdir -p "$instance/per_cpu/cpu0" "$instance/per_cpu/cpu1"
        printf 'entries: 20\\noverrun: 0\\ndropped events: 0\\n' > "$instance/per_cpu/cpu0/stats"
        printf 'entries: 30\\noverrun: 0\\ndropped events: 7\\n' > "$instance/per_cpu/cpu1/stats"
        cat "$instance/events/iommu/enable" "$instance/events/intel_iommu/qi_submit/enable" "$instance/buffer_size_kb" > seen
        exit 5
        """

    @Test func recordsAndImports() throws {
        try machine(types: ["DMA-FQ", "identity"])
        try folder.write(FtraceLog(calls: 20).text, to: "log.txt")
        let before = try tree("root")
        let recording = try record("-o", "nvme", "-b", "4096", "sh", "-c", Self.workload)
        #expect(recording.status == 5, "\(recording.errors)")
        #expect(try folder.text("seen") == "1\n1\n4096\n")
        #expect(try folder.files.contains("nvme.txt.gz"))
        // The machine is as it was.
        #expect(try tree("root") == before)
        let result = try Tool.run(["import", "nvme.txt.gz"], directory: folder)
        #expect(result.exitCode == 0)
        for words in [
            "boot_policy lazy (recorded, sidecar/cmdline)", "trace_clock mono (recorded, sidecar/trace_clock)",
            "1 groups DMA-FQ", "1 groups identity", "tsc_hz 2593.904 MHz",
            "the log is missing 7 events that it does not announce (CPU 1: 7; dropped, sidecar/stats)",
            "probes missed hits (unmap_fast: 110)",
            "in a group of type DMA-FQ, which is lazy (sidecar/group_types), but 1 domain ran strict",
            "dmar0 has caching mode",
        ] {
            #expect(result.output.contains(words), "\(words)")
        }
        let known = try Tool.run(["report", "metadata", "--format", "json"], directory: folder).objects()
        #expect(
            known.contains {
                $0["key"] as? String == "group 0" && $0["value"] as? String == "DMA-FQ: 0000:00:03.0 (nvme)"
            })
        #expect(known.allSatisfy { $0["key"] as? String != "not_read" })
        #expect(try Tool.run(["report", "losses", "--format", "json"], directory: folder).objects().count == 2)
    }

    @Test func probes() throws {
        try machine(types: ["DMA"])
        try folder.write(FtraceLog(calls: 5).text, to: "log.txt")
        #expect(
            try record("-p", "-o", "x", "sh", "-c", "cp root/sys/kernel/tracing/dynamic_events probes;" + Self.workload)
                .status == 5)
        let lines = try folder.text("probes").split(separator: "\n").filter { !$0.hasPrefix("-:") }
        #expect(
            lines.contains(
                "f:iommu_trace/unmap_fast iommu_unmap_fast domain=$arg1:x64 iova=$arg2:x64 size=$arg3:u64 queued=+40($arg4):u8"
            ))
        #expect(lines.contains { $0.hasPrefix("f:iommu_trace/sync intel_iommu_tlb_sync ") })
        // Each that was defined is taken back.
        let after = try folder.text("root/sys/kernel/tracing/dynamic_events").split(separator: "\n")
        let defined = Set(
            after.filter { !$0.hasPrefix("-:") }.compactMap { $0.split(separator: " ").first?.dropFirst(2) })
        #expect(defined.count >= 9)
        #expect(Set(after.filter { $0.hasPrefix("-:") }.map { $0.dropFirst(2) }) == defined)
        #expect(try Tool.run(["import", "x.txt.gz"], directory: folder).exitCode == 0)
    }

    @Test func refusals() throws {
        try machine(types: [], hasTracing: false)
        #expect(try refusal("true").contains("tracing is not mounted"))
        try machine(types: [])
        #expect(try refusal("true").contains("no group of devices behind an IOMMU"))
        try machine(types: ["identity", "identity"])
        #expect(try refusal("true").contains("no group of devices is translated (types: identity)"))
        #expect(try record("-f", "-o", "forced", "sh", "-c", "echo x > ${IOMMU_TRACE_MARKER%_marker}").status == 0)
        #expect(try refusal("-o", "forced", "true").contains("forced.txt.gz is there already"))
        for (arguments, words) in [([], "name a command"), (["-b", "x", "true"], "-b x"), (["-z", "true"], "-z?")] {
            let result = try run(arguments)
            #expect(result.status == 2)
            #expect(result.errors.contains(words), "\(result.errors)")
        }
        #expect(try folder.files == ["forced.meta", "forced.txt.gz", "root"])
    }
}
