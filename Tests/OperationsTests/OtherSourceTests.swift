import TestSupport
import TraceFormats
import Testing

@testable import Operations

/// Operations out of other events than those of the IOMMU's core: the old Intel driver's, vendors', the kernel log.
struct OtherSourceTests {
    @Test("the old Intel driver's maps and unmaps are those of the device's domain, in whole pages")
    func oldIntel() throws {
        let log = try BuiltLog(
            """
            0 7 1 map_single: dev=0000:00:1f.2 dev_addr=0xfff00ff0 phys_addr=0x1234ff0 size=32
            0 7 2 map_sg: dev=0000:00:02.0 [1/2] dev_addr=0xffe00000 phys_addr=0x5000 size=4096
            0 7 3 map_sg: dev=0000:00:02.0 [2/2] dev_addr=0xffe01000 phys_addr=0x9000 size=4096
            0 7 4 unmap_single: dev=0000:00:1f.2 dev_addr=0xfff00ff0 size=32
            """)
        #expect(log.kinds == ["map", "map", "map", "unmap"])
        #expect(
            log.operations.map { log.domainName($0) } == [
                "0000:00:1f.2", "0000:00:02.0", "0000:00:02.0", "0000:00:1f.2",
            ])
        #expect(log.operations.map(\.iova) == [0xfff0_0000, 0xffe0_0000, 0xffe0_1000, 0xfff0_0000])
        #expect(log.operations.map(\.size) == [8192, 4096, 4096, 8192])
        #expect(log.operations.map(\.result) == [8192, 4096, 4096, 8192])
        #expect(log.operations.map(\.paddr) == [0x123_4000, 0x5000, 0x9000, nil])
        #expect(log.domains.map(\.evidence) == [.inferred, .inferred])
        #expect(log.domains.map(\.kind) == [.dma, .dma])
    }

    @Test("what tells of a call for the second time is no second call")
    func repeated() throws {
        let log = try BuiltLog(
            """
            0 7 1 bounce_map_single: dev=d dev_addr=0x1000 phys_addr=0x5000 size=512
            0 7 2 bounce_map_sg: dev=d [1/1] dev_addr=0x1000 phys_addr=0x5000 size=512
            0 7 3 unmap_single: dev=d dev_addr=0x1000 size=512
            0 7 4 bounce_unmap_single: dev=d dev_addr=0x1000 size=512
            0 7 5 unmap_single: dev=d dev_addr=0x2000 size=8192
            0 7 6 unmap_sg: dev=d dev_addr=0x2000 size=8192
            0 7 7 unmap_sg: dev=d dev_addr=0x2000 size=8192
            """)
        #expect(log.kinds == ["map", "unmap", "unmap", "unmap"])
        #expect(log.operations.map(\.line) == [1, 3, 5, 7])
        #expect(log.eventCounts.filter { !$0.isUnderstood }.isEmpty)
    }

    @Test("addresses at the end of the space stay in it")
    func endOfSpace() throws {
        let log = try BuiltLog("0 7 1 unmap_single: dev=d dev_addr=0xffffffffffffffff size=1")
        #expect(log.operations[0].iova == 0xffff_ffff_ffff_f000)
        #expect(log.operations[0].size == 4096)
    }

    @Test("a vendor's names are domains, unless an attach tells the real one")
    func vendors() throws {
        let log = try BuiltLog(
            """
            0 7 1 map: IOMMU:ae00000.mdss iova=0x2b000 paddr=0x10a9e6000 size=0x2000
            0 7 2 unmap: IOMMU:ae00000.mdss iova=0x2b000 size=0x2000 unmapped_size=0x2000
            0 7 3 map: IOMMU: dev=1d84000.ufshc iova=0x2b000 paddr=0x10a9e6000 size=8192
            0 7 4 attach: (x_attach_device+0x5/0x8c0) domain=0xa dev="e"
            0 7 5 unmap: IOMMU: dev=e iova=0x2b000 size=8192 unmapped_size=8192
            0 7 6 unmap: IOMMU: iova=0x1000 size=8192 unmapped_size=8192
            """)
        #expect(
            log.operations.map { log.domainName($0) } == [
                "ae00000.mdss", "ae00000.mdss", "1d84000.ufshc", "0xa", "0xa", "unresolved",
            ])
        #expect(log.domain("ae00000.mdss")?.evidence == .inferred)
        #expect(log.domain("unresolved")?.evidence == .assumed)
    }

    @Test("events of the DMA API are counted and are no operations")
    func dma() throws {
        let log = try BuiltLog(
            """
            0 7 1 map: IOMMU: iova=0xffded000 paddr=0x100f54000 size=4096
            0 7 2 dma_map_page: 0000:00:05.0 dir=TO_DEVICE dma_addr=ffded676 size=74 phys_addr=100f54676 attrs=
            0 7 3 dma_map_sg: d dir=FROM_DEVICE nents=1/1 ents=1/1 dma_addrs={0x1} sizes={0x1} phys_addrs={0x1} attrs=
            0 7 4 dma_unmap_sg: d dir=FROM_DEVICE phys_addrs={0x1} attrs=
            0 7 5 dma_unmap_phys: 0000:00:05.0 dir=TO_DEVICE dma_addr=ffded676 size=74 attrs=
            0 7 6 swiotlb_bounced: dev_name: d dma_mask=ffffffff dev_addr=bf000000 size=4096 FORCE
            0 7 7 dma_sync_single_for_cpu: d dir=FROM_DEVICE dma_addr=1 size=1 attrs=
            """)
        #expect(log.kinds == ["map"])
        #expect(log.eventCounts.filter(\.isUnderstood).count == 6)
    }

    // MARK: - Kernel log

    @Test("an unmap of the kernel log removes what its pieces say")
    func messages() throws {
        let log = try BuiltLog(
            text: """
                [    1.000000] iommu: map: iova 0x1000 pa 0x5000 size 0x3000
                [    1.000000] iommu: mapping: iova 0x1000 pa 0x5000 pgsize 0x1000 count 3
                [    1.000001] iommu: unmap this: iova 0x1000 size 0x3000
                [    1.000002] iommu: unmapped: iova 0x1000 size 0x1000
                [    1.000003] iommu: unmapped: iova 0x2000 size 0x2000
                [    1.000004] iommu: unmap this: iova 0x8000 size 0x2000
                [    1.000005] iommu: unmapped: iova 0x8000 size 0x1000
                [    1.000006] usb 1-1: new device
                [    1.000007] iommu: unmap this: iova 0x9000 size 0x2000
                [    1.000008] iommu: map: iova 0x9000 pa 0x5000 size 0x1000
                [    1.000009] iommu: unmapped: iova 0x9000 size 0x2000
                [    1.000010] iommu: unmap this: iova 0x20000 size 0x1000
                [    1.000011] iommu: unmapped: iova 0x20000 size 0x200000
                [    1.000012] iommu: unmap this: iova 0x30000 size 0x1000

                """)
        #expect(log.kinds == ["map", "unmap", "unmap", "unmap", "map", "unmap", "unmap"])
        #expect(log.operations.map(\.size) == [0x3000, 0x3000, 0x2000, 0x2000, 0x1000, 0x1000, 0x1000])
        // Nothing after another call belongs to an unmap; a superpage goes as a whole.
        #expect(log.all(.unmap).map(\.result) == [0x3000, 0x1000, 0, 0x20_0000, 0])
        #expect(log.operations.map(\.id) == Array(1...7))
        #expect(log.issues.isEmpty)
    }
}
