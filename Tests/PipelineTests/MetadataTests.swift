import Foundation
import GRDB
import Ingest
import TestSupport
import Testing
import TraceStore

@testable import Reporting

/// From a log and its sidecar to rows, defaults and contradictions.
struct MetadataTests {
    private let folder: TemporaryFolder
    private let store: TraceStore

    init() throws {
        folder = try TemporaryFolder()
        store = try TraceStore(path: "", access: .create)
    }

    private func importLog(_ log: String, named name: String = "log.txt", _ sidecar: [String: String]) throws {
        let meta = try folder.write(sidecar.merging(["empty": ""]) { old, _ in old }, into: "meta-\(UUID().uuidString)")
        let path = log.hasPrefix("/") ? log : try folder.write(log, to: name)
        _ = try LogImport(paths: [path], options: LogImport.Options(metadata: meta)).run { store }
    }

    private func rows(_ sql: String) throws -> [String] {
        try Pipeline.csv(sql, in: store).split(separator: "\n").dropFirst().map(String.init)
    }

    private func messages(_ subject: String? = nil) throws -> [String] {
        try store.read { database in
            try Row.fetchAll(
                database, sql: "SELECT * FROM what_disagrees WHERE subject = ?1 OR ?1 IS NULL", arguments: [subject])
        }.map { Contradiction($0).text }.sorted()
    }

    /// Two devices, each attached to one domain; what they map is unmapped and synced at once, or never flushed.
    private static func log(isStrict: Bool, event: String = "", calls: Int = 20) -> String {
        var text = event + "\n"
        for (index, domain) in ["0xa", "0xb"].enumerated() {
            text +=
                "0 7 \(index + 3) attach: (intel_iommu_attach_device+0x5/0x8c0) domain=\(domain) dev=\"0000:00:0\(index + 3).0\"\n"
        }
        for index in 0..<calls {
            let (time, domain, iova) = (10 + index * 10, ["0xa", "0xb"][index % 2], "0x\(index + 1)000")
            text += """
                0 7 \(time) map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(iova) paddr=0x2000 size=4096 prot=0x6
                0 7 \(time + 1) unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(iova) size=4096 queued=0
                0 7 \(time + 2) unmapped: (iommu.unmap) iova=\(iova) size=4096 unmapped=4096

                """
            if isStrict {
                text +=
                    "0 7 \(time + 3) sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=\(iova) end=\(iova.dropLast(3))fff pgsize=4096\n"
            } else if index >= calls - 2 {
                // Who syncs for several unmaps is no DMA API: that flushes all of the domain.
                text += "0 7 \(time + 3) flush_all: (intel_flush_iotlb_all+0x5/0xf0) domain=\(domain)\n"
            }
        }
        return FtraceText.expand(text)
    }

    // MARK: - Kinds

    @Test("a domain's kind is that of its device's group, where nobody else can have taken the group over")
    func kinds() throws {
        func kind(_ groups: String, _ sidecar: [String: String] = [:]) throws -> [String] {
            try importLog(Self.log(isStrict: true), ["groups": groups])
            defer { try? store.forget(trace: "log") }
            return try rows("SELECT kind || ' ' || kind_evidence FROM domain WHERE was_attached ORDER BY id")
        }
        let unknown = "unknown assumed"
        #expect(try kind("1 DMA 0000:00:03.0=nvme\n2 DMA-FQ 0000:00:04.0\n") == ["dma recorded", "dma inferred"])
        // VFIO may have it; an identity group's domain with maps is somebody else's; an unknown type says nothing.
        #expect(try kind("1 DMA 0000:00:03.0=vfio-pci\n2 identity 0000:00:04.0=ahci\n") == [unknown, unknown])
        #expect(try kind("1 auto 0000:00:03.0=nvme\n2 DMA 0000:00:05.0=nvme\n") == [unknown, unknown])
    }

    @Test("a device that the log shows in two domains names the kind of neither")
    func twoHomes() throws {
        let again = "0 7 9 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xb dev=\"0000:00:03.0\""
        let log = Self.log(isStrict: true) + FtraceText.expand(again.replacing("0 7 9", with: "0 7 900"))
        try importLog(log, ["groups": "1 DMA 0000:00:03.0=nvme 0000:00:04.0=nvme\n"])
        #expect(try rows("SELECT DISTINCT kind FROM domain WHERE was_attached") == ["unknown"])
    }

    @Test("a domain that is named after its device gets its kind too, which fast then goes by")
    func namedAfterDevice() throws {
        try importLog(Self.dmaLog, ["groups": "1 DMA-FQ 0000:00:03.0=nvme\n"])
        #expect(
            try rows("SELECT kind || ' ' || kind_evidence FROM domain WHERE name = '0000:00:03.0'") == ["dma recorded"])
        #expect(try rows("SELECT kind FROM domain WHERE name = '0000:00:06.0'") == ["unknown"])
        #expect(try messages() == [])
    }

    /// What two devices map and unmap through the DMA API, which names them.
    private static let dmaLog = FtraceText.expand(
        """
        0 7 1 map: IOMMU: iova=0x1000 - 0x2000 paddr=0x5000 size=4096
        0 7 2 dma_map_page: 0000:00:03.0 dir=TO_DEVICE dma_addr=1010 size=16 phys_addr=5010 attrs=
        0 7 3 map: IOMMU: iova=0x8000 - 0x9000 paddr=0x6000 size=4096
        0 7 4 dma_map_page: 0000:00:06.0 dir=TO_DEVICE dma_addr=8000 size=16 phys_addr=6000 attrs=
        0 7 5 unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=4096
        0 7 6 dma_unmap_page: 0000:00:03.0 dir=TO_DEVICE dma_addr=1010 size=16 attrs=
        0 7 7 unmap: IOMMU: iova=0x8000 - 0x9000 size=4096 unmapped_size=4096
        0 7 8 dma_unmap_page: 0000:00:06.0 dir=TO_DEVICE dma_addr=8000 size=16 attrs=

        """)

    // MARK: - Contradictions

    /// What a log shows, what is told of it, and how the contradiction begins, if it is one.
    struct ToldCase: Sendable, CustomTestStringConvertible {
        var isStrict: Bool
        var event: String
        var sidecar: [String: String]
        var message: String?

        init(_ isStrict: Bool, _ event: String, _ sidecar: [String: String], _ message: String?) {
            (self.isStrict, self.event, self.sidecar, self.message) = (isStrict, event, sidecar, message)
        }

        var testDescription: String {
            let told = sidecar.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.prefix(40))" }
            return "\(isStrict ? "strict" : "deferred") \(event.prefix(30)), told \(told)"
        }
    }

    private static let contradictions: [ToldCase] = [
        ToldCase(
            true, "", ["cmdline": "iommu.strict=0"],
            "booted lazy (sidecar/cmdline), but 2 domains ran strict: 0xa, 0xb (of"
        ),
        ToldCase(true, "", ["cmdline": "intel_iommu=on"], nil),
        ToldCase(true, "", ["cmdline": "iommu.strict=1"], nil),
        ToldCase(false, "", ["cmdline": "iommu.strict=0"], nil),
        ToldCase(
            false, "", ["cmdline": "iommu.strict=1"],
            "booted strict (sidecar/cmdline), but 2 domains ran deferred: 0xa, 0xb (of"
        ),
        ToldCase(
            true, "", ["groups": "1 DMA-FQ 0000:00:03.0=nvme\n"],
            "in a group of type DMA-FQ, which is lazy (sidecar/groups), but 1 domain ran strict: 0xa"
        ),
        ToldCase(
            false, "", ["groups": "1 DMA 0000:00:03.0=nvme\n"],
            "in a group of type DMA, which is strict (sidecar/groups), but 1 domain ran deferred: 0xa"
        ),
        // A device's own group says more than the command line.
        ToldCase(
            true, "", ["cmdline": "iommu.strict=0", "groups": "1 DMA 0000:00:03.0=nvme 0000:00:04.0=nvme\n"],
            "booted lazy (sidecar/cmdline), but all groups that translate are of type DMA"
        ),
        ToldCase(
            false, "", ["cmdline": "iommu.strict=1", "groups": "1 DMA-FQ 0000:00:03.0=nvme 0000:00:04.0=nvme\n"],
            "booted strict (sidecar/cmdline), but there are groups of type DMA-FQ, which defers: 1 (sidecar/groups)"
        ),
        ToldCase(true, "0 7 0 fq_flush: (fq_flush_iotlb+0x5/0x70) cookie=0x1", [:], nil),
        ToldCase(true, "", ["cmdline": "iommu=pt amd_iommu=pt"], "amd_iommu=pt is no option"),
        ToldCase(
            true, "", ["cmdline": "intel_iommu=on,strict"],
            "intel_iommu=strict is the deprecated spelling of iommu.strict=1 (sidecar/cmdline)"
        ),
        ToldCase(
            true, "",
            [
                "cmdline": "iommu.strict=1",
                "dmesg": "[ 1.0] iommu: DMA domain TLB invalidation policy: strict mode (x)",
            ], nil
        ),
        ToldCase(
            true, "", ["uname": "6.1.0", "dmesg": "[ 0.0] Linux version 6.12.1 (x)"],
            "kernel_release is told differently: "
        ),
        ToldCase(
            true,
            "0 7 0 dma_map_sg: 0000:00:03.0 dir=FROM_DEVICE nents=2/2 ents=1/1 dma_addrs={0xffe60000} sizes={0x20000} phys_addrs={0x1,0x2}",
            ["uname": "6.1.0"],
            "told to be recorded on Linux 6.1.0 (sidecar/uname), but the log has dma_map_sg, which Linux has since 6.12"
        ),
        ToldCase(
            true, "", ["trace_clock": "uptime"],
            "told to be recorded with the clock uptime (sidecar/trace_clock), but its times are seconds"
        ),
        ToldCase(
            true, "", ["trace_clock": "tai"],
            "told to be recorded with the clock tai (sidecar/trace_clock), but its times do not count from 1970"
        ),
        ToldCase(true, "", ["trace_clock": "[mono] tai"], nil),
    ]

    @Test("what is told and what the events show", arguments: contradictions)
    func disagrees(_ row: ToldCase) throws {
        try importLog(Self.log(isStrict: row.isStrict, event: row.event), row.sidecar)
        let messages = try messages()
        #expect(messages.count == (row.message == nil ? 0 : 1), "\(messages)")
        if let message = row.message {
            #expect(messages.first?.hasPrefix(message) == true, "\(messages)")
        }
    }

    @Test("why a lazy boot ran strict is said with it")
    func because() throws {
        let dmesg = """
            [ 1.0] iommu: DMA domain TLB invalidation policy: lazy mode (set via kernel command line)
            [ 2.0] DMAR: IOMMU batching disallowed due to virtualization
            """
        try importLog(Self.log(isStrict: true), ["dmesg": dmesg])
        let message = try #require(try messages().first)
        #expect(message.contains("DMAR: IOMMU batching disallowed due to virtualization"))
    }

    @Test("a log of the DMA API on a machine that translates nothing")
    func identity() throws {
        try importLog(Self.dmaLog, ["cmdline": "iommu=pt", "uname": "6.12.95+deb12-amd64"])
        #expect(
            try messages("translation")
                == [
                    "booted to translate nothing (sidecar/cmdline), but the log maps in 2 domains of the DMA API: 0000:00:03.0, 0000:00:06.0"
                ])
    }

    // MARK: - Losses

    @Test(
        "counted losses are silent as far as the log does not tell of them",
        arguments: [
            // What the log says, what was counted on CPU 1: overrun, dropped; silent of each.
            ("", 5, 7, "5", "7"), ("CPU:1 [LOST 5 EVENTS]", 5, 7, "0", "7"), ("CPU:1 [LOST 12 EVENTS]", 5, 7, "0", "0"),
            ("CPU:1 [LOST 9 EVENTS]", 5, 7, "0", "3"), ("CPU:2 [LOST 5 EVENTS]", 5, 7, "5", "7"),
            ("CPU:1 [LOST EVENTS]", 5, 7, "?", "?"),
            ("# entries-in-buffer/entries-written: 10/15   #P:4", 5, 7, "0", "7"),
            ("# entries-in-buffer/entries-written: 10/12   #P:4", 5, 7, "?", "7"),
        ])
    func losses(line: String, overrun: Int, dropped: Int, silentOverrun: String, silentDropped: String) throws {
        try importLog(
            Self.log(isStrict: true, event: line),
            ["stats": "CPU: 1\noverrun: \(overrun)\ndropped events: \(dropped)\n"])
        let silent = "SELECT coalesce(silent, '?') FROM what_is_missing WHERE what = "
        #expect(try rows(silent + "'overrun'") == [silentOverrun])
        #expect(try rows(silent + "'dropped'") == [silentDropped])
    }

    @Test("what two files counted alike is counted once")
    func twice() throws {
        let text = "CPU: 1\noverrun: 5\n"
        try importLog(Self.log(isStrict: true), ["a.stats": text, "b.stats": text])
        #expect(try Pipeline.number("SELECT sum(silent) FROM what_is_missing", in: store) == 5)
    }

    // MARK: - The laboratory

    /// The laboratory's notes on a run as a sidecar of one of its logs.
    private static func sidecar(_ run: String, _ log: String) throws -> [String: String] {
        let lab = try #require(SharedTraces.folder).appending(path: "lab")
        func text(_ path: String) throws -> String {
            String(decoding: try Data(contentsOf: lab.appending(path: path)), as: UTF8.self)
        }
        let readme = try text("README.md").split(separator: "\n")
        let line = try #require(readme.first { $0.hasPrefix("- **\(run)**") })
        let parts = line.split(separator: "`")
        let kernel = try #require(parts.first?.split(separator: " ").last?.dropLast())
        return [
            "uname": "Linux lab \(kernel) #1 SMP x86_64 GNU/Linux\n", "cmdline": parts[1] + "\n",
            "dmesg-iommu.txt": try text("\(run)/dmesg-iommu.txt"), "\(log).stats": try text("\(run)/\(log).stats"),
            "trace_clock": "mono\n", "hz": "250\n",
        ]
    }

    @Test(
        "the laboratory's own sidecars agree with its logs, and crossed ones do not",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: [
            ("6.1-lazy", "6.1-lazy"), ("6.1-strict", "6.1-strict"), ("6.1-strict", "6.1-lazy"),
            ("6.1-lazy", "6.1-strict"),
        ])
    func laboratory(run: String, told: String) throws {
        let lab = try #require(SharedTraces.folder).appending(path: "lab")
        try importLog(lab.appending(path: "\(run)/nvme.probes.txt.gz").path, try Self.sidecar(told, "nvme.probes"))
        let policy = told == "6.1-lazy" ? "lazy" : "strict"
        #expect(
            try rows(
                "SELECT key || ' ' || value FROM metadata WHERE key IN ('kernel_release', 'hz', 'dmar0.ecap') ORDER BY key"
            )
                == ["dmar0.ecap 0xf42", "hz 250", "kernel_release 6.1.0-56-amd64"])
        #expect(try rows("SELECT value FROM metadata WHERE key = 'boot_policy'") == [policy, policy])
        #expect(try Pipeline.number("SELECT count(*) FROM buffer_counter", in: store) == 2)
        #expect(try Pipeline.number("SELECT hits FROM probe_counter WHERE probe = 'unmap_fast'", in: store) == 12200)
        #expect(try Pipeline.number("SELECT count(*) FROM what_is_missing", in: store) == 0)
        #expect(try rows("SELECT DISTINCT key FROM metadata WHERE key = 'not_read'") == [])
        let messages = try messages()
        guard run != told else {
            #expect(messages == [])
            return
        }
        #expect(messages.count == 1)
        let mode = run == "6.1-lazy" ? "deferred" : "strict"
        #expect(
            messages.first?.contains(
                "booted \(policy) (sidecar/cmdline, sidecar/dmesg-iommu.txt), but 1 domain ran \(mode): ") == true)
    }

    @Test(
        "a recording's own kernel, clock and counters, and a sidecar that is of another",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"))
    func recording() throws {
        let log = try #require(SharedTraces.folder).appending(path: "lab/6.1-lazy/nvme.record-v7.dat").path
        try importLog(log, ["uname": "6.12.95", "trace_clock": "boot"])
        #expect(
            try rows("SELECT key || ' ' || value FROM metadata WHERE source = 'log' AND key <> 'kernel' ORDER BY key")
                == ["kernel_release 6.1.0-56-amd64", "trace_clock mono"])
        #expect(try Pipeline.number("SELECT count(*) FROM buffer_counter WHERE source = 'log'", in: store) == 2)
        #expect(
            try rows("SELECT subject || ' ' || told || ' ' || found FROM what_disagrees ORDER BY 1")
                == ["kernel_release 6.1.0-56-amd64 6.12.95", "trace_clock mono boot"])
    }
}
