import TestSupport
import Testing

@testable import TraceFormats

/// What single files of a sidecar say.
struct MetadataTextTests {
    private static func values(_ metadata: RecordingMetadata, _ keys: RecordingMetadata.Key...) -> [String?] {
        keys.map { metadata.fact($0)?.value }
    }

    @Test(
        "a command line's policy and default domain: the last option counts",
        arguments: [
            ("iommu.strict=0", "lazy", nil), ("iommu.strict=1 quiet", "strict", nil),
            ("iommu.strict=on", "strict", nil),
            ("iommu.strict=1 iommu.strict=0", "lazy", nil), ("intel_iommu=on,strict", "strict", nil),
            ("amd_iommu=fullflush", "strict", nil), ("intel_iommu=on iommu=nopt iommu.strict=0", "lazy", "translated"),
            ("iommu=pt", nil, "identity"), ("iommu=soft,pt", nil, "identity"), ("iommu.passthrough=1", nil, "identity"),
            ("iommu.passthrough=0", nil, "translated"), ("amd_iommu=pt", nil, nil), ("intel_iommu=off", nil, nil),
            ("xiommu.strict=1 iommu.strict", nil, nil), ("amd_iommu=strict intel_iommu=fullflush", nil, nil),
        ] as [(String, String?, String?)])
    func commandLine(line: String, policy: String?, domain: String?) {
        var metadata = RecordingMetadata()
        metadata.readCommandLine(line, source: "x")
        #expect(Self.values(metadata, .commandLine, .bootPolicy, .bootDomain) == [line, policy, domain])
    }

    @Test("spellings that are deprecated or mean nothing are remarked on")
    func remarks() {
        var metadata = RecordingMetadata()
        metadata.readCommandLine("intel_iommu=on,strict amd_iommu=pt,fullflush iommu=pt", source: "x")
        let remarks = metadata.facts.filter { $0.key == .commandLineRemark }.map(\.value)
        #expect(remarks.count == 3)
        #expect(remarks[0].hasPrefix("intel_iommu=strict is the deprecated spelling"))
        #expect(remarks[1].hasPrefix("amd_iommu=pt is no option"))
    }

    @Test(
        "a kernel's release and its number",
        arguments: [
            ("Linux host 6.1.0-56-amd64 #1 SMP Debian 6.1.192-2 x86_64 GNU/Linux", "6.1.0-56-amd64", 6001),
            ("6.12.95+deb12-amd64", "6.12.95+deb12-amd64", 6012), ("5.4", "5.4", 5004),
            ("Linux version 4.19.0-1 (a@b) (gcc) #1", "4.19.0-1", 4019),
            ("Linux (none) 7.0-rc1 x86_64", "7.0-rc1", 7000),
            ("Linux", nil, nil), ("Linux a b", nil, nil), ("999999999999999999999.1", nil, nil), ("-1.2", nil, nil),
            ("6.-1", nil, nil), ("6", nil, nil),
        ] as [(String, String?, Int64?)])
    func kernel(line: String, release: String?, number: Int64?) {
        var metadata = RecordingMetadata()
        let isTaken = metadata.readKernel(line, source: "x") == (release != nil)
        #expect(isTaken)
        #expect(metadata.fact(.kernelRelease)?.value == release)
        #expect(metadata.fact(.kernelRelease)?.number == number)
    }

    @Test(
        "the trace clock in use",
        arguments: [
            ("local global counter uptime perf [mono] mono_raw boot tai x86-tsc", "mono"), ("[local] global", "local"),
            ("tai", "tai"), ("local global", nil), ("[]", nil), ("[" + String(repeating: "x", count: 99) + "]", nil),
        ] as [(String, String?)])
    func clock(line: String, clock: String?) {
        var metadata = RecordingMetadata()
        let isTaken = metadata.readClock(line, source: "x") == (clock != nil)
        #expect(isTaken)
        #expect(metadata.fact(.clock)?.value == clock)
    }

    @Test("counters of several CPUs, and probes among them")
    func counters() {
        var metadata = RecordingMetadata()
        let text = """
            == /sys/kernel/tracing/per_cpu/cpu0
            entries: 14012
            overrun: 3485
            commit overrun: 1
            bytes: 655168
            oldest event ts:    24.602172
            dropped events: 2974
            read events: 5
            == /sys/kernel/tracing/per_cpu/cpu17
            entries: 99999999999999999999
            overrun: -1
            dropped events: 281474976710656
              unmap_fast                                             12200               110
              flush_all   133   0   7
              map some thing

            """
        let isTaken = metadata.readCounters(MetadataText(text), source: "s")
        #expect(isTaken)
        #expect(
            metadata.counters == [
                .init(cpu: 0, entries: 14012, overrun: 3485, commitOverrun: 1, dropped: 2974, read: 5, source: "s"),
                .init(cpu: 17, source: "s"),
            ])
        #expect(
            metadata.probes == [
                .init(name: "unmap_fast", hits: 12200, missed: 110, source: "s"),
                .init(name: "flush_all", hits: 133, missed: 0, source: "s"),
            ])
        // What cannot have been counted is named.
        #expect(metadata.facts.map(\.key) == [.notRead, .notRead, .notRead])
        #expect(metadata.facts.map(\.value).first == "s: entries 99999999999999999999 is no count that can be")
    }

    @Test("counters of a CPU that no machine has, or of none, are not taken")
    func noCPU() {
        for text in [
            "overrun: 1", "CPU: 8192\noverrun: 1", "CPU: -1\noverrun: 1", "CPU: 99999999999999999999\noverrun: 1",
        ] {
            var metadata = RecordingMetadata()
            metadata.readCounters(MetadataText(text), source: "s")
            #expect(metadata.counters.isEmpty, "\(text)")
        }
        var metadata = RecordingMetadata()
        let isTaken = metadata.readCounters(MetadataText("overrun: 1"), cpu: 3, source: "s")
        #expect(isTaken)
        #expect(metadata.counters == [.init(cpu: 3, overrun: 1, source: "s")])
    }

    @Test("groups in both forms")
    func groups() {
        var metadata = RecordingMetadata()
        let text = "0 DMA-FQ 0000:00:03.0=nvme 0000:00:04.0\n8 identity\n9 nonsense x\nx DMA y\n-1 DMA z\n0 DMA late\n"
        let fromLines = metadata.readGroups(MetadataText(text), source: "s")
        #expect(fromLines)
        let fromPaths = metadata.readGroups(MetadataText("/sys/kernel/iommu_groups/12/type:auto"), source: "s")
        #expect(fromPaths)
        #expect(metadata.groups.map(\.number) == [0, 8, 12])
        #expect(metadata.groups.map(\.type) == ["DMA-FQ", "identity", "auto"])
        #expect(
            metadata.groups.first?.devices
                == [.init(name: "0000:00:03.0", driver: "nvme"), .init(name: "0000:00:04.0"), .init(name: "late")])
        let fromText = metadata.readGroups(MetadataText("hello\n1\n"), source: "s")
        #expect(!fromText)
    }

    @Test("what the kernel log tells")
    func kernelLog() {
        var metadata = RecordingMetadata()
        let text = """
            [    0.000000] Linux version 6.1.0-56-amd64 (a@b)
            [    0.000000] Command line: iommu.strict=1
            [    0.000000] Kernel command line: iommu.strict=0
            [    0.000000] tsc: Detected 2593.904 MHz processor
            [    0.008000] DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap d2008c22260286 ecap f42
            [    1.089594][    T1] iommu: Default domain type: Translated (set via kernel command line)
            [    1.089594] iommu: DMA domain TLB invalidation policy: lazy mode (set via kernel command line)
            [    1.230885] DMAR: IOMMU batching disallowed due to virtualization
            [    2.230885] tsc: Refined TSC clocksource calibration: 2593.5 MHz
            """
        let isTaken = metadata.readKernelLog(MetadataText(text), source: "d")
        #expect(isTaken)
        #expect(
            Self.values(metadata, .kernelRelease, .commandLine, .bootPolicy, .bootDomain)
                == ["6.1.0-56-amd64", "iommu.strict=0", "lazy", "translated"])
        #expect(metadata.facts.filter { $0.key == .tscHz }.map(\.number) == [2_593_500_000])
        let caps = metadata.facts.filter { [.cap, .ecap].contains($0.key) }
        #expect(caps.map(\.name) == ["dmar0.cap", "dmar0.ecap"])
        #expect(caps.map(\.value) == ["0xd2008c22260286", "0xf42"])
        #expect(metadata.facts.filter { $0.key == .strictBecause }.count == 2)
    }

    @Test(
        "what a tick is worth",
        arguments: [
            ("uptime", nil, 100), ("x86-tsc", 2_593_904_000, 2_593_904_000), ("x86-tsc", nil, nil), ("counter", 7, nil),
            ("mono", 7, nil),
        ] as [(String, Int64?, UInt64?)])
    func ticks(clock: String, tsc: Int64?, rate: UInt64?) {
        var metadata = RecordingMetadata()
        metadata.readClock(clock, source: "c")
        if let tsc { metadata.add(.tscHz, "that", number: tsc, source: "d") }
        #expect(metadata.tickRate?.perSecond == rate)
    }

    @Test("a table that a file could grow is bounded")
    func bounds() {
        var metadata = RecordingMetadata()
        for number in 0..<20_000 {
            metadata.add(.notRead, "\(number)", source: "x")
            metadata.add(.init(name: "p\(number)", hits: 1, missed: 0, source: "x"))
            metadata.add(
                group: Int64(number), devices: [.init(name: "d\(number)"), .init(name: "e\(number)")], source: "x")
        }
        #expect(metadata.facts.count == RecordingMetadata.mostFacts)
        #expect(metadata.probes.count == RecordingMetadata.mostProbes)
        #expect(metadata.groups.count == RecordingMetadata.mostGroups)
        #expect(metadata.groups.reduce(0) { $0 + $1.devices.count } == RecordingMetadata.mostDevices)
    }
}
