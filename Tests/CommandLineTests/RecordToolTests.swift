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

    /// Writes the log that the kernel has at the end.
    private static let copiesTheLog = "cp log.txt ${IOMMU_TRACE_MARKER%_marker}"

    /// What is said to be missing: the probe, its functions, what the log lacks.
    private func missing(_ errors: String) -> [String] {
        errors.split(separator: "\n").filter { $0.hasPrefix("record: no probe ") }
            .map { String($0.dropFirst("record: no probe ".count)) }
    }

    @Test(arguments: ProbedKernel.all) func probes(_ kernel: ProbedKernel) throws {
        try folder.write(kernel.files)
        try folder.write(FtraceLog(calls: 5).text, to: "log.txt")
        let recording = try record("-p", "-o", "x", "sh", "-c", Self.copiesTheLog)
        #expect(recording.status == 0)
        #expect(try folder.text("x.meta/probe_events") == kernel.probes + "\n")
        // Each that was defined is taken back.
        let all = try folder.text("root/sys/kernel/tracing/\(kernel.definitions)").split(separator: "\n")
        let defined = all.filter { !$0.hasPrefix("-:") }
        #expect(defined.joined(separator: "\n") == kernel.probes)
        #expect(
            Set(all.filter { $0.hasPrefix("-:") }.map { $0.dropFirst(2) })
                == Set(defined.compactMap { $0.split(separator: " ").first?.dropFirst(2) }))
        let missing = missing(recording.errors)
        #expect(missing.count == kernel.missing.count, "\(recording.errors)")
        for words in kernel.missing {
            #expect(missing.contains { $0.hasPrefix(words) }, "\(words): \(recording.errors)")
        }
    }

    /// The recipe of the page is that of the tool.
    @Test func pageOfProbes() throws {
        let page = URL(filePath: Self.script).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "docs/recording.md")
        let lines = try String(contentsOf: page, encoding: .utf8).split(separator: "\n")
        let probes = lines.filter { $0.hasPrefix("f:iommu_trace/") }.map(String.init)
        let kernels = ["7.3 Intel", "7.3 AMD", "7.3 SMMUv3"].map { name in
            ProbedKernel.all.first { $0.testDescription == name }?.probes.split(separator: "\n").map(String.init) ?? []
        }
        #expect(probes == kernels[0] + kernels.dropFirst().flatMap { $0.suffix(1) })
        // Each name that the page gives is in the tool, and each that the tool tries is on the page.
        let text = lines.joined(separator: "\n")
        let tool = try String(contentsOf: URL(filePath: Self.script), encoding: .utf8)
        let tried = tool.split(separator: "\n").compactMap { line -> String? in
            let words = line.split(separator: " ")
            guard words.count > 3, words[1].allSatisfy({ $0.isNumber || $0 == "." }), !words[2].hasPrefix("\"") else {
                return nil
            }
            return String(words[2].split(separator: "%")[0])
        }
        #expect(Set(tried).count > 40)
        for function in Set(tried) {
            let isThere = text.contains(function) || function.contains("_domain_alloc_paging_flags")
            #expect(isThere, "\(function)")
        }
    }

    /// A kernel that lists no functions tells by refusing definitions, here all of them.
    @Test func probesThatAreRefused() throws {
        let kernel = try #require(ProbedKernel.all.first { $0.testDescription == "7.3 Intel" })
        var files = kernel.files
        let tracing = "root/sys/kernel/tracing"
        files["\(tracing)/available_filter_functions"] = nil
        files["\(tracing)/dynamic_events"] = nil
        files["\(tracing)/dynamic_events/.here"] = ""
        try folder.write(files)
        try folder.write(FtraceLog(calls: 5).text, to: "log.txt")
        let recording = try record("-p", "-o", "x", "sh", "-c", Self.copiesTheLog)
        #expect(recording.status == 0)
        #expect(missing(recording.errors).count == 18, "\(recording.errors)")
        #expect(recording.errors.contains("no function can be probed here"))
        #expect(try Tool.run(["import", "x.txt.gz"], directory: folder).exitCode == 0)
    }

    /// A kernel that lists no functions is asked for all of them.
    @Test func probesOfAnUnlistedKernel() throws {
        let kernel = try #require(ProbedKernel.all.first { $0.testDescription == "7.3 Intel" })
        var files = kernel.files
        files["root/sys/kernel/tracing/available_filter_functions"] = nil
        try folder.write(files)
        try folder.write(FtraceLog(calls: 5).text, to: "log.txt")
        #expect(try record("-p", "-o", "x", "sh", "-c", Self.copiesTheLog).status == 0)
        let probes = try folder.text("x.meta/probe_events").split(separator: "\n")
        #expect(probes.contains { $0.hasPrefix("f:iommu_trace/map iommu_map_nosync ") })
        #expect(probes.contains { $0.hasPrefix("f:iommu_trace/fq_flush fq_flush_iotlb ") })
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
