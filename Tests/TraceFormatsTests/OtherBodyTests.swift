import TestSupport
import Testing

@testable import TraceFormats

/// Texts of vendors' kernels, of raw fields, of the DMA API and of the old Intel driver (model.md §7.4-7.7).
struct OtherBodyTests {
    // MARK: - Vendors

    @Test(
        "a vendor's map names device or domain behind the colon, with sizes in hexadecimal",
        arguments: [
            "map: IOMMU:ae00000.mdss iova=0x2b000 paddr=0x10a9e6000 size=8192",
            "map: IOMMU:ae00000.mdss iova=0x000000000002b000 paddr=0x000000010a9e6000 size=0x2000 prot=0x6",
            "map: IOMMU: dev=ae00000.mdss iova=0x2b000 paddr=0x10a9e6000 size=8192",
            "map_sg: IOMMU:ae00000.mdss iova=0x2b000 paddr=0x10a9e6000 size=0x2000 prot=0x6",
        ])
    func vendorMap(text: String) throws {
        let event = try #require(try ReadLog.event(text))
        #expect(event.isKnown)
        #expect(event.texts[.device] == "ae00000.mdss")
        #expect(event[.iova] == 0x2b000)
        #expect(event[.paddr] == 0x1_0a9e_6000)
        #expect(event[.size] == 8192)
    }

    @Test("a vendor's unmap")
    func vendorUnmap() throws {
        let event = try #require(
            try ReadLog.event("unmap: IOMMU:a600000.dwc3 iova=0x0000000ffff4a000 size=0x1000 unmapped_size=0x1000"))
        #expect(event.texts[.device] == "a600000.dwc3")
        #expect(event[.unmapped] == 4096)
        // Without a space behind the colon and without a name.
        #expect(try ReadLog.event("unmap: IOMMU:iova=0x1000 size=1 unmapped_size=1")?.texts[.device] == nil)
    }

    // MARK: - Raw fields

    @Test("raw fields, as trace-cmd report -R and ftrace's option fields print them")
    func rawFields() throws {
        for text in [
            "map:                   iova=0x00000000ffe00000 paddr=0x0000000108458000 size=4096",
            "map: iova=0xffe00000 (4292870144) paddr=0x108458000 (4433739776) size=0x1000 (4096)",
        ] {
            let map = try #require(try ReadLog.event(text))
            #expect(map.isKnown)
            #expect(map[.iova] == 0xffe0_0000)
            #expect(map[.paddr] == 0x1_0845_8000)
            #expect(map[.size] == 4096)
        }
        let unmap = try #require(try ReadLog.event("unmap:                 iova=0xffe00000 size=4096 unmapped_size=0"))
        #expect(unmap[.unmapped] == 0)
        let attach = try #require(try ReadLog.event("attach_device_to_domain: device=0000:01:00.0"))
        #expect(attach.texts[.device] == "0000:01:00.0")
        let group = try #require(try ReadLog.event("add_device_to_group: gid=0x11 device=0000:01:00.0"))
        #expect(group[.group] == 17)
        let fault = try #require(
            try ReadLog.event("io_page_fault: device=0000:c2:00.0 driver=ath12k_pci iova=0xfe980123 flags=0x1"))
        #expect(fault.texts[.driver] == "ath12k_pci")
        #expect(fault[.iova] == 0xfe98_0123)
    }

    @Test(
        "a descriptor's raw fields say its type",
        arguments: [
            (0x400e2, "iotlb_inv"), (0x4_0009_0031, "cc_inv"), (0x10_0000_0003, "dev_tlb_inv"), (0x5, "inv_wait"),
            (0xf, "UNKNOWN"),
        ] as [(UInt64, String)])
    func rawDescriptor(word: UInt64, type: String) throws {
        let raw = try #require(
            try ReadLog.event("qi_submit: qw0=0x\(String(word, radix: 16)) qw1=0x1 qw2=0x0 qw3=0x0 iommu=dmar0"))
        let text = try #require(
            try ReadLog.event("qi_submit: \(type) dmar0: 0x\(String(word, radix: 16)) 0x1 0x0 0x0"))
        #expect(raw.texts == text.texts)
        #expect(raw[.word0] == word && raw[.word1] == 1)
        #expect(try ReadLog.issue("qi_submit: qw0=0x5 qw1=0x1 iommu=dmar0") == .missingField)
    }

    @Test("a cache-tag event's raw fields")
    func rawCacheTag() throws {
        let raw = try #require(
            try ReadLog.event(
                "cache_tag_flush_range: iommu=dmar1 dev=0000:00:1b.0 type=0x1 domain_id=0x9 pasid=0x0 start=0x1000 end=0x1fff addr=0x1000 pages=0x1 mask=0x0"
            ))
        #expect(raw.texts[.unit] == "dmar1")
        #expect(raw.texts[.device] == "0000:00:1b.0")
        #expect(raw.texts[.type] == "devtlb")
        #expect(raw[.hardwareDomain] == 9)
        #expect(raw[.address] == 0x1000)
    }

    // MARK: - DMA API

    @Test(
        "the DMA API's maps and unmaps have device, address and direction",
        arguments: [
            "dma_map_page", "dma_map_resource", "dma_map_phys", "dma_unmap_page", "dma_unmap_resource",
            "dma_unmap_phys",
        ])
    func dma(name: String) throws {
        let physical = name.contains("unmap") ? "" : "phys_addr=100f54676 "
        let event = try #require(
            try ReadLog.event("\(name): 0000:00:05.0 dir=TO_DEVICE dma_addr=ffded676 size=74 \(physical)attrs="))
        #expect(event.isKnown)
        #expect(event.texts[.device] == "0000:00:05.0")
        #expect(event.texts[.direction] == "TO_DEVICE")
        #expect(event[.iova] == 0xffde_d676)
        #expect(event[.size] == 74)
        #expect(event[.paddr] == (name.contains("unmap") ? nil : 0x1_00f5_4676))
    }

    @Test("coherent memory, with or without a direction")
    func dmaAlloc() throws {
        let alloc = try #require(
            try ReadLog.event(
                "dma_alloc: 0000:c2:00.0 dma_addr=fe980000 size=524288 virt_addr=000000006cadbcb1 flags=GFP_KERNEL|__GFP_ZERO attrs="
            ))
        #expect(alloc[.iova] == 0xfe98_0000)
        #expect(alloc[.size] == 524_288)
        #expect(alloc[.flags] == nil)
        let free = try #require(
            try ReadLog.event("dma_free: 0000:c2:00.0 dma_addr=fe980000 size=524288 virt_addr=6cadbcb1 attrs="))
        #expect(free.isKnown)
    }

    @Test("a scatter list has its first address and the sum of its sizes")
    func dmaList() throws {
        let map = try #require(
            try ReadLog.event(
                "dma_map_sg: 0000:00:03.0 dir=FROM_DEVICE nents=3/3 ents=2/2 [TRUNCATED] dma_addrs={0xffe60000,0xffe40000} sizes={0x20000,0x1000} phys_addrs={0x114263000,0x2,0x3} attrs=NO_WARN"
            ))
        #expect(map[.iova] == 0xffe6_0000)
        #expect(map[.size] == 0x21000)
        #expect(map[.paddr] == 0x1_1426_3000)
        #expect(map[.count] == 2)
        let unmap = try #require(
            try ReadLog.event("dma_unmap_sg: 0000:00:03.0 dir=FROM_DEVICE phys_addrs={0x114291000,0x11428f000} attrs="))
        #expect(unmap[.paddr] == 0x1_1429_1000)
        #expect(unmap[.iova] == nil)
        #expect(try ReadLog.event("dma_unmap_sg: d dir=NONE phys_addrs={} attrs=")?.isKnown == true)
    }

    @Test(
        "damaged texts of the DMA API are issues",
        arguments: [
            ("dma_map_page: dir=TO_DEVICE dma_addr=1 size=1", ParseIssue.Reason.missingField),
            ("dma_map_page: d dir=TO_DEVICE size=1", .missingField),
            ("dma_map_page: d dma_addr=x size=1", .badNumber),
            ("dma_map_page: d dma_addr=1ffffffffffffffff size=1", .badNumber),
            ("dma_map_page: d dma_addr=ffffffffffffffff size=2", .rangeOutOfRange),
            ("dma_map_page: d dma_addr=1 size=18446744073709551615", .sizeOutOfRange),
            ("dma_map_sg: d sizes={0xffffffffffffffff,0x1}", .badNumber),
            ("dma_map_sg: d dma_addrs={x}", .badNumber), ("swiotlb_bounced: size=1", .missingField),
            ("swiotlb_bounced: dev_name: d size=288880888888888088", .sizeOutOfRange),
        ])
    func damagedDMA(text: String, reason: ParseIssue.Reason) throws {
        #expect(try ReadLog.issue(text) == reason)
    }

    @Test("a bounced buffer")
    func bounced() throws {
        let event = try #require(
            try ReadLog.event(
                "swiotlb_bounced: dev_name: 0000:00:05.0 dma_mask=ffffffff dev_addr=bf000000 size=4096 FORCE"))
        #expect(event.texts[.device] == "0000:00:05.0")
        #expect(event[.iova] == 0xbf00_0000)
        #expect(event[.size] == 4096)
    }

    // MARK: - Old Intel driver

    @Test(
        "the old Intel driver's own events name the device",
        arguments: [
            "map_single: dev=0000:00:1f.2 dev_addr=0xfff00010 phys_addr=0x1234010 size=512",
            "bounce_map_single: dev=0000:00:1f.2 dev_addr=0xfff00010 phys_addr=0x1234010 size=512",
            "map_sg: dev=0000:00:1f.2 [1/3] dev_addr=0xfff00010 phys_addr=0x1234010 size=512",
            "unmap_single: dev=0000:00:1f.2 dev_addr=0xfff00010 size=512",
            "unmap_sg: dev=0000:00:1f.2 dev_addr=0xfff00010 size=512",
        ])
    func oldIntel(text: String) throws {
        let event = try #require(try ReadLog.event(text))
        #expect(event.isKnown)
        #expect(event.texts[.device] == "0000:00:1f.2")
        #expect(event[.iova] == 0xfff0_0010)
        #expect(event[.size] == 512)
        #expect(event[.paddr] == (text.contains("phys") ? 0x123_4010 : nil))
    }
}
