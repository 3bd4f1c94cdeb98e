import Foundation
import TestSupport
import Testing

@testable import TraceFormats

/// The text of each event: which fields it has, and what is refused.
struct EventBodyTests {
    // MARK: - Tracepoints of iommu

    @Test(
        "a map has the end of its range since 5.17, none before",
        arguments: [
            "map: IOMMU: iova=0x00000000fff35000 - 0x00000000fff37000 paddr=0x0000000113be2000 size=8192",
            "map: IOMMU: iova=0x00000000fff35000 paddr=0x0000000113be2000 size=8192",
            "map: IOMMU: iova=0x00000000fff35000 paddr=0x0000000113be2000 size=0x2000",
            "map:                  IOMMU: iova=0xfff35000 paddr=0x113be2000 size=8192",
            "iommu:map: IOMMU: iova=0xfff35000 paddr=0x113be2000 size=8192 a_later_kernel=17",
        ])
    func map(text: String) throws {
        let event = try #require(try ReadLog.event(text))
        #expect(event.isKnown)
        #expect(event.name == "map")
        #expect(event.form == .tracepoint)
        #expect(event[.iova] == 0xfff35000)
        #expect(event[.paddr] == 0x113be2000)
        #expect(event[.size] == 8192)
        #expect(event[.end] == (text.contains(" - ") ? 0xfff37000 : nil))
        #expect(event[.unmapped] == nil)
        #expect(event[.domain] == nil)
    }

    @Test(
        "an unmap tells what was asked and what was removed",
        arguments: [
            "unmap: IOMMU: iova=0x00000000fff34000 - 0x00000000fff35000 size=4096 unmapped_size=8388608",
            "unmap: IOMMU: iova=0x00000000fff34000 size=4096 unmapped_size=8388608",
        ])
    func unmap(text: String) throws {
        let event = try #require(try ReadLog.event(text))
        #expect(event[.iova] == 0xfff34000)
        #expect(event[.size] == 4096)
        #expect(event[.unmapped] == 8_388_608)
    }

    @Test("a proposed payload names the device")
    func device() throws {
        let event = try #require(
            try ReadLog.event("map: IOMMU: dev=1d84000.ufshc iova=0xfffa88000 paddr=0x1063db000 size=4096"))
        #expect(event.texts[.device] == "1d84000.ufshc")
        #expect(event[.iova] == 0xfffa88000)
    }

    @Test("attaches, detaches and group changes name their device")
    func attaches() throws {
        for name in ["attach_device_to_domain", "detach_device_from_domain"] {
            let event = try #require(try ReadLog.event("\(name): IOMMU: device=0000:01:00.0"))
            #expect(event.isKnown)
            #expect(event.texts[.device] == "0000:01:00.0")
        }
        for name in ["add_device_to_group", "remove_device_from_group"] {
            let event = try #require(try ReadLog.event("\(name): IOMMU: groupID=17 device=0000:01:00.0"))
            #expect(event[.group] == 17)
            #expect(event.texts[.device] == "0000:01:00.0")
        }
    }

    @Test("a fault has driver, device, address and access")
    func fault() throws {
        let event = try #require(
            try ReadLog.event("io_page_fault: IOMMU:ath12k_pci 0000:c2:00.0 iova=0x00000000fe980123 flags=0x0001"))
        #expect(event.texts[.driver] == "ath12k_pci")
        #expect(event.texts[.device] == "0000:c2:00.0")
        #expect(event[.iova] == 0xfe98_0123)
        #expect(event[.flags] == 1)
        let unnamed = try #require(
            try ReadLog.event("io_page_fault: IOMMU:[drvname] 0000:05:00.0 iova=0x91482640 flags=0x0000"))
        #expect(unnamed.texts[.driver] == "[drvname]")
        #expect(unnamed[.flags] == 0)
    }

    // MARK: - Tracepoints of intel_iommu

    @Test("a descriptor has a type, a unit and four words")
    func descriptor() throws {
        let event = try #require(
            try ReadLog.event("qi_submit: dev_tlb_inv dmar1: 0x1000000003 0x7ffffffffffff001 0x1 0xffffffffffffffff"))
        #expect(event.texts[.type] == "dev_tlb_inv")
        #expect(event.texts[.unit] == "dmar1")
        #expect(event[.word0] == 0x10_0000_0003)
        #expect(event[.word1] == 0x7fff_ffff_ffff_f001)
        #expect(event[.word2] == 1)
        #expect(event[.word3] == .max)
    }

    @Test("a line of what a hypervisor's IOTLB loaded has whose it is, the address and what it translates to")
    func iotlbFill() throws {
        let event = try #require(
            try ReadLog.event("iotlb_fill: did=0x6 iova=0xfffff000 paddr=0x10828a000 dev=0000:00:05.0"))
        #expect(event.texts[.device] == "0000:00:05.0")
        #expect(event[.hardwareDomain] == 6)
        #expect(event[.iova] == 0xffff_f000)
        #expect(event[.paddr] == 0x1_0828_a000)
        #expect(try ReadLog.event("iotlb_fill: iova=4096")?[.paddr] == nil)
    }

    @Test("a cache tag's range flush has the inclusive range and the operand")
    func cacheTagRange() throws {
        for name in ["cache_tag_flush_range", "cache_tag_flush_range_np"] {
            let event = try #require(
                try ReadLog.event(
                    "\(name): dmar1 0000:00:1b.0[3] type iotlb did 9 [0xeab00000-0xeab1afff] addr 0xeab00000 pages 0x20 mask 0x5"
                ))
            #expect(event.texts[.unit] == "dmar1")
            #expect(event.texts[.device] == "0000:00:1b.0")
            #expect(event.texts[.type] == "iotlb")
            #expect(event[.hardwareDomain] == 9)
            #expect(event[.start] == 0xeab00000)
            #expect(event[.end] == 0xeab1_afff)
            #expect(event[.address] == 0xeab00000)
            #expect(event[.pages] == 0x20)
            #expect(event[.mask] == 5)
        }
    }

    @Test(
        "a cache tag's other events have unit, device, domain id and PASID",
        arguments: ["cache_tag_flush_all", "cache_tag_assign", "cache_tag_unassign"])
    func cacheTag(name: String) throws {
        let event = try #require(
            try ReadLog.event("\(name): dmar6/0000:8a:00.0 type devtlb did 7 pasid 4294967295 ref 1"))
        #expect(event.texts[.unit] == "dmar6")
        #expect(event.texts[.device] == "0000:8a:00.0")
        #expect(event.texts[.type] == "devtlb")
        #expect(event[.hardwareDomain] == 7)
        #expect(event[.pasid] == 0xffff_ffff)
    }

    @Test("a cache tag's range may be the whole address space")
    func wholeSpace() throws {
        let event = try #require(
            try ReadLog.event(
                "cache_tag_flush_range: dmar0 dmar0[0] type iotlb did 4 [0x0-0xffffffffffffffff] addr 0x0 pages 0x1 mask 0x0"
            ))
        #expect(event.texts[.device] == "dmar0")
        #expect(event[.end] == .max)
    }

    // MARK: - Probes

    @Test("a probe inside a function names it, whatever its offset")
    func probe() throws {
        let event = try #require(
            try ReadLog.event(
                "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xff2caa95c1103290 iova=0xfff7e000 size=4096 queued=1"))
        #expect(event.form == .probe)
        #expect(event.location == "iommu_unmap_fast")
        #expect(event.caller == "")
        #expect(event[.domain] == 0xff2c_aa95_c110_3290)
        #expect(event[.iova] == 0xfff7e000)
        #expect(event[.size] == 4096)
        #expect(event[.queued] == 1)
    }

    @Test(
        "a return probe names the function and its caller, of whatever module",
        arguments: [
            ("(caller+0x1b/0x30 <- iommu_unmap)", "caller", "iommu_unmap"),
            ("(caller+0x1b/0x30 [vfio_iommu_type1] <- iommu_unmap)", "caller", "iommu_unmap"),
            ("(caller+0x1b/0x30 [vfio] <- iommu_unmap [iommu])", "caller", "iommu_unmap"),
            ("(0xffffffffc0a1b2c3 <- iommu_unmap)", "0xffffffffc0a1b2c3", "iommu_unmap"),
        ])
    func returnProbe(place: String, caller: String, function: String) throws {
        let event = try #require(
            try ReadLog.event("unmap_ret: \(place) domain=0x1 iova=0x2000 size=4096 unmapped=4096"))
        #expect(event.form == .probeReturn)
        #expect(event.location == function)
        #expect(event.caller == caller)
        #expect(event[.unmapped] == 4096)
        #expect(event[.iova] == 0x2000)
    }

    @Test("a probe on an event names the event")
    func eventProbe() throws {
        let event = try #require(try ReadLog.event("unmapped: (iommu.unmap) iova=0xfff7e000 size=4096 unmapped=8192"))
        #expect(event.form == .probe)
        #expect(event.location == "iommu.unmap")
        #expect(event[.unmapped] == 8192)
    }

    @Test("a probe in a module names the function without it")
    func module() throws {
        let event = try #require(try ReadLog.event("x: (vfio_unmap_unpin+0x5/0x400 [vfio_iommu_type1]) iova=0x1000"))
        #expect(event.isKnown)
        #expect(event.form == .probe)
        #expect(event.location == "vfio_unmap_unpin")
    }

    @Test("all fields of the recording recipe are read")
    func recipe() throws {
        let sync = try #require(
            try ReadLog.event("sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x1fff pgsize=4096"))
        #expect(sync.fields == [.domain: 0xa, .start: 0x1000, .end: 0x1fff, .pageSize: 4096])
        let hardware = try #require(
            try ReadLog.event("hw_flush: (qi_flush_iotlb+0x5/0xb0) did=9 addr=0x40 order=3 type=0x3000000000000000"))
        #expect(
            hardware.fields == [.hardwareDomain: 9, .address: 0x40, .order: 3, .type: 0x3000_0000_0000_0000])
        let attach = try #require(
            try ReadLog.event("attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev=\"0000:00:08.0\""))
        #expect(attach.texts[.device] == "0000:00:08.0")
        let named = try #require(try ReadLog.event("attach: (x_attach_dev+0x5/0x8c0) domain=0xa dev=\"two words\" n=2"))
        #expect(named.texts[.device] == "two words")
        #expect(named[.count] == 2)
        let alloc = try #require(
            try ReadLog.event(
                "domain_alloc: (__iommu_domain_alloc+0x33/0xd0 <- intel_iommu_domain_alloc) type=0x3 domain=0x0"))
        #expect(alloc.fields == [.type: 3, .domain: 0])
        #expect(alloc.caller == "__iommu_domain_alloc")
        let map = try #require(
            try ReadLog.event("map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x0 paddr=0x10ba28000 size=8192 prot=0x7"))
        #expect(map.form == .probe)
        #expect(map.fields == [.domain: 0xa, .iova: 0, .paddr: 0x10ba28000, .size: 8192, .protection: 7])
        let amd = try #require(
            try ReadLog.event(
                "amd_cmd: (__iommu_queue_command_sync+0x5/0xd0) c0=0x0 c1=0x30000003 c2=0xfffb0002 c3=0x1"))
        #expect(amd.fields == [.word0: 0, .word1: 0x30000003, .word2: 0xfffb0002, .word3: 1])
        let arm = try #require(
            try ReadLog.event("cmdq: (arm_smmu_cmdq_issue_cmdlist+0x0/0x900) smmu=0xa cmd0=0x11 cmd1=0x22 n=2 sync=1"))
        #expect(arm.fields == [.object: 0xa, .word0: 0x11, .word1: 0x22, .count: 2, .waits: 1])
        for (text, value) in [
            ("fq_timeout: (fq_flush_timeout+0x5/0xa0) timer=0xb", 0xb as UInt64),
            ("fq_flush: (fq_flush_iotlb+0x5/0x40) cookie=0xc", 0xc),
        ] {
            #expect(try ReadLog.event(text)?.fields == [.object: value])
        }
    }

    @Test("fields may come in any order, unknown ones between them")
    func order() throws {
        let event = try #require(
            try ReadLog.event("unmap: (iommu_unmap+0x5/0xa0) size=4096 arg9=\"a\" new=0x1 x iova=0x1000 =3 domain=0xa"))
        #expect(event[.size] == 4096)
        #expect(event[.iova] == 0x1000)
        #expect(event[.domain] == 0xa)
    }

    // MARK: - Other events

    @Test(
        "events of other subsystems are no issue and have no fields",
        arguments: [
            "map: bo=0x1234 size=4096", "unmap: nouveau: iova=0x1", "sched_switch: prev_comm=a prev_pid=1",
            "attach_device_to_domain: x", "map_single: map=7", "unmap_this: 7",
            "io_page_fault: no layout that is known", "map: (never closed", "map:", "sync: nothing",
        ])
    func foreign(text: String) throws {
        let event = try #require(try ReadLog.event(text))
        #expect(!event.isKnown)
        #expect(event.fields.isEmpty)
    }

    @Test("Qualcomm's payload, with the domain's name, is not mistaken for the kernel's")
    func vendor() throws {
        let event = try #require(
            try ReadLog.event("map: IOMMU:ae00000.mdss iova=0x2b000 paddr=0x10a9e6000 size=8192"))
        #expect(event[.iova] == 0x2b000 || !event.isKnown)
    }

    @Test("a marker keeps its text, up to 512 bytes")
    func marker() throws {
        let event = try #require(try ReadLog.event("tracing_mark_write: LAB_START nvme, strict: x=1"))
        #expect(event.texts[.text] == "LAB_START nvme, strict: x=1")
        let long = try #require(try ReadLog.event("print: " + String(repeating: "é", count: 400)))
        #expect(long.texts[.text]?.utf8.count == 512)
        let empty = try #require(try ReadLog.event("tracing_mark_write:"))
        #expect(empty.texts[.text] == "")
    }

    // MARK: - What is refused

    @Test(
        "an event without a field that it needs is an issue",
        arguments: [
            "map: IOMMU: iova=0x1000 paddr=0x2000", "map: IOMMU: iova=0x1000 size=4096",
            "map: IOMMU: paddr=0x2000 size=4096", "map: IOMMU:", "unmap: IOMMU: iova=0x1000 unmapped_size=4096",
            "unmap: IOMMU: size=4096 unmapped_size=4096", "attach_device_to_domain: IOMMU:",
            "detach_device_from_domain: IOMMU: dev", "add_device_to_group: IOMMU: groupID=1",
            "io_page_fault: IOMMU:driver device flags=0x0", "qi_submit: iotlb_inv dmar0", "qi_submit:",
            "qi_submit: iotlb_inv dmar0: 0x1 0x2 0x3", "cache_tag_flush_all: dmar6/0000:8a:00.0 type iotlb pasid 0",
        ])
    func missing(text: String) throws {
        #expect(try ReadLog.issue(text) == .missingField)
    }

    @Test(
        "a field that is no number, or none of 64 bits, is an issue",
        arguments: [
            "map: IOMMU: iova=0x1000 paddr=0x2000 size=", "map: IOMMU: iova=0x1000 paddr=0x2000 size=x",
            "map: IOMMU: iova=0x1000 paddr=0x2000 size=18446744073709551616",
            "map: IOMMU: iova=0x10000000000000000 paddr=0x2000 size=1", "map: IOMMU: iova=0x paddr=0x2000 size=1",
            "map: IOMMU: iova=0x1000 paddr=0x2000 size=4096k", "map: IOMMU: iova=0x1000 - paddr=0x2000 size=4096",
            "map: IOMMU: iova=0x1000 - x paddr=0x2000 size=4096", "unmap: (iommu_unmap+0x5/0xa0) iova=(fault) size=1",
            "unmap: (iommu_unmap+0x5/0xa0) iova=0x1000 size=0x1g", "qi_submit: iotlb_inv dmar0: 0x1 zz 0x3 0x4",
            "cache_tag_flush_all: dmar6/0000:8a:00.0 type iotlb did x pasid 0",
            "cache_tag_flush_range: dmar1 dev[0] type iotlb did 9 [0x1-] addr 0x1 pages 0x1 mask 0x0",
            "cache_tag_flush_range: dmar1 dev[0] type iotlb did 9 [0x1-0x2] addr pages 0x1 mask 0x0",
        ])
    func noNumber(text: String) throws {
        #expect(try ReadLog.issue(text) == .badNumber)
    }

    @Test("sizes that no page table spans are an issue", arguments: [UInt64(1) << 63, .max, 1 << 63 - 1, 1 << 57 + 1])
    func implausibleSizes(size: UInt64) throws {
        for text in [
            "map: IOMMU: iova=0x0 paddr=0x0 size=\(size)", "unmap: IOMMU: iova=0x0 size=\(size) unmapped_size=0",
            "unmap: IOMMU: iova=0x0 size=4096 unmapped_size=\(size)",
            "map: (__iommu_map+0x5/0x1) iova=0x0 size=\(size)",
            "unmap_ret: (a+0x1/0x2 <- iommu_unmap) unmapped=\(size)",
        ] {
            #expect(try ReadLog.issue(text) == .sizeOutOfRange)
        }
    }

    @Test("the largest size that is taken is 2^57")
    func largestSize() throws {
        let event = try #require(try ReadLog.event("map: IOMMU: iova=0x0 paddr=0x0 size=\(UInt64(1) << 57)"))
        #expect(event[.size] == 1 << 57)
    }

    @Test("a range may end at 2^64, not beyond it")
    func lastPage() throws {
        let last = "0xfffffffffffff000"
        let event = try #require(
            try ReadLog.event("map: IOMMU: iova=\(last) - 0x0000000000000000 paddr=0x0 size=4096"))
        #expect(event[.iova] == 0xffff_ffff_ffff_f000)
        #expect(event[.end] == 0)
        #expect(try ReadLog.event("unmap: (iommu_unmap+0x5/0xa0) iova=\(last) size=4096") != nil)
        #expect(try ReadLog.event("unmap: IOMMU: iova=0xffffffffffffffff size=1 unmapped_size=0") != nil)
        #expect(try ReadLog.event("unmap: IOMMU: iova=0xffffffffffffffff size=0 unmapped_size=0") != nil)
        for text in [
            "map: IOMMU: iova=\(last) paddr=0x0 size=4097", "map: IOMMU: iova=\(last) - 0x1000 paddr=0x0 size=8192",
            "unmap: IOMMU: iova=\(last) size=4096 unmapped_size=8192",
            "unmap_fast: (iommu_unmap_fast+0x5/0x10) iova=\(last) size=8192",
            "map: IOMMU: iova=0xffffffffffffffff paddr=0x0 size=\(UInt64(1) << 57)",
        ] {
            #expect(try ReadLog.issue(text) == .rangeOutOfRange)
        }
    }

    @Test("the end of a range must be where its size says")
    func endMismatch() throws {
        #expect(try ReadLog.issue("map: IOMMU: iova=0x1000 - 0x3000 paddr=0x0 size=4096") == .endMismatch)
        #expect(try ReadLog.issue("unmap: IOMMU: iova=0x1000 - 0x0 size=4096 unmapped_size=0") == .endMismatch)
        // It is the size that was asked for, not the one that was removed.
        #expect(try ReadLog.event("unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=8192") != nil)
        #expect(try ReadLog.event("unmap: IOMMU: iova=0x1000 - 0x1000 size=0 unmapped_size=0") != nil)
    }

    @Test("negative numbers are kept by bit pattern")
    func negative() throws {
        let event = try #require(try ReadLog.event("x: (f+0x0/0x1) flags=-1 order=-9223372036854775808"))
        #expect(event[.flags] == .max)
        #expect(event[.order] == 1 << 63)
    }

    @Test(
        "published payloads are all read or known to be of another layout",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: SharedTraces.found.filter { $0.name.hasPrefix("lkml-") })
    func published(log: RecordedLog) throws {
        let text = try String(contentsOf: log.url, encoding: .utf8)
        for line in text.split(separator: "\n") {
            let isPayload = line.hasPrefix("map:") || line.hasPrefix("unmap:") || line.contains(" dmar")
            let log = try ReadLog(
                isPayload
                    ? FtraceText.line(cpu: 0, task: 7, microseconds: 1, String(line)) + "\n" : "\(line)\n")
            #expect(log.issues.isEmpty)
            #expect(log.events.count == 1)
            if line.contains("IOMMU: ") || line.contains("dmar") {
                #expect(log.events.first?.isKnown == true)
                #expect(log.events.first?.fields.isEmpty == false)
            }
        }
    }
}
