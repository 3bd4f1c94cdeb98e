import TestSupport
import Testing

@testable import Operations

/// Logs with lines lost, doubled and shuffled: operations stay numbered without gaps, and every reference is one that
/// exists (architecture.md, Bad input).
struct HostileLogTests {
    private static let events = [
        "map: IOMMU: iova=0x1000 paddr=0x2000 size=4096",
        "map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x1000 paddr=0x2000 size=4096 prot=0x6",
        "map: (__iommu_map+0x5/0x2a0) domain=0xb iova=0x0 paddr=0x2000 size=8192 prot=0x6",
        "unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096",
        "unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096",
        "unmap: (iommu_unmap+0x5/0xa0) domain=0xa iova=0x1000 size=4096",
        "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1",
        "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xb iova=0x0 size=4096 queued=0",
        "unmap_fast_ret: (c+0x1/0x2 <- iommu_unmap_fast) domain=0xa iova=0x1000 size=4096 unmapped=4096",
        "unmap_fast_ret: (c+0x1/0x2 <- iommu_unmap_fast) unmapped=0",
        "unmap_ret: (c+0x1/0x2 <- iommu_unmap) domain=0xa iova=0x1000 size=4096 unmapped=4096",
        "sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x1fff pgsize=4096",
        "sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xb start=0xffffffffffffffff end=0x0",
        "flush_all: (intel_flush_iotlb_all+0x5/0x110) domain=0xa",
        "fq_timeout: (fq_flush_timeout+0x5/0xa0) timer=0xb2a0", "fq_flush: (fq_flush_iotlb+0x5/0x40) cookie=0xb200",
        "hw_flush: (qi_flush_iotlb+0x5/0xb0) did=4 addr=0x0 order=0 type=0x2000000000000000",
        "qi_submit: iotlb_inv dmar0: 0x400f2 0xffffffffffffffff 0x0 0x0",
        "iotlb_fill: did=0xffffffffffffffff iova=0xffffffffffffffff paddr=0xffffffffffffffff dev=0000:00:05.0",
        "iotlb_fill: domain=0xa iova=0x1000", "qi_submit: iotlb_inv dmar1: 0x400e2 0x0 0x0 0x0",
        "qi_submit: cc_inv dmar0: 0x4000090031 0x0 0x0 0x0",
        "amd_cmd: (__iommu_queue_command_sync+0x5/0xd0) c0=0x0 c1=0x30000003 c2=0xfffb0003 c3=0xffffffff",
        "attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev=\"d\"",
        "attach_device_to_domain: IOMMU: device=d", "detach: (device_block_translation+0x4/0x100) dev=\"d\"",
        "domain_alloc: (iommu_domain_alloc+0x28/0x80 <- intel_iommu_domain_alloc) domain=0xa",
        "domain_alloc: (iommu_domain_alloc+0x28/0x80 <- intel_iommu_domain_alloc) type=0x3 domain=0x0",
        "domain_free: (intel_iommu_domain_free+0x5/0xf0) domain=0xa",
        "sync_map: (amd_iommu_iotlb_sync_map+0x5/0xb0) domain=0xa iova=0x1000 size=4096",
        "io_page_fault: IOMMU:x d iova=0x1000 flags=0x0", "tracing_mark_write: text",
    ]

    @Test("any events in any order keep ids, references and counts whole", arguments: 0..<20 as Range<UInt64>)
    func anyOrder(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var text = ""
        let count = 3000
        var losses = 0
        for index in 0..<count {
            let event = Self.events.randomElement(using: &generator) ?? ""
            // Times may go backwards, tasks move, CPUs come late.
            let time = index + Int.random(in: 0...3, using: &generator)
            let cpu = Int.random(in: 0...2, using: &generator) * Int.random(in: 0...40, using: &generator)
            text += "\(cpu) \(Int.random(in: 1...4, using: &generator)) \(time) \(event)\n"
            if Int.random(in: 0..<200, using: &generator) == 0 {
                text += "CPU:\(cpu) [LOST 1 EVENTS]\n"
                losses += 1
            }
        }
        let log = try BuiltLog(text)
        #expect(log.totals.events == Int64(count))
        #expect(log.losses.count == losses)
        #expect(log.operations.map(\.id) == (0..<log.operations.count).map { Int64($0) + 1 })
        #expect(log.layers.map(\.id) == (0..<log.layers.count).map { Int64($0) + 1 })
        let flushes = Set(log.all(.sync, .flushAll).map(\.id))
        for layer in log.layers where layer.flush != 0 {
            #expect(flushes.contains(layer.flush))
            #expect(layer.cause == .flush)
        }
        let markers = Set(log.all(.marker).map(\.id))
        #expect(Set(log.markers.map(\.operation)) == markers)
        for operation in log.operations {
            #expect((0...log.domains.count).contains(Int(operation.domain)))
            #expect((0...log.devices.count).contains(Int(operation.device)))
            #expect((1...log.tasks.count).contains(Int(operation.task)))
            #expect(operation.sinceEntry ?? 0 >= -4000)
        }
        for kind in Operation.Kind.allCases { #expect(log.totals[kind] == Int64(log.all(kind).count)) }
        for kind in Layer.Kind.allCases {
            #expect(log.totals[kind] == Int64(log.layers.filter { $0.kind == kind }.count))
        }
        #expect(log.layers.filter(\.startsRun).count == Int(log.totals.hardwareRuns))
        #expect(log.eventCounts.reduce(0) { $0 + $1.count } == Int64(count))
    }

    @Test("addresses at the end of the space do not overflow")
    func extremes() throws {
        let last = "0xfffffffffffff000"
        let log = try BuiltLog(
            """
            0 7 1 map: (__iommu_map+0x5/0x2a0) domain=0xffffffffffffffff iova=\(last) paddr=\(last) size=4096 prot=0x6
            0 7 2 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xffffffffffffffff iova=\(last) size=4096 queued=255
            0 7 3 unmapped: (iommu.unmap) iova=\(last) size=4096 unmapped=4096
            0 7 4 unmap: IOMMU: iova=0xffffffffffffffff size=0 unmapped_size=0
            0 7 5 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xffffffffffffffff start=\(last) end=0xffffffffffffffff
            0 7 6 hw_flush: (x+0x5/0xb0) did=18446744073709551615 addr=\(last) order=18446744073709551615 type=-1
            0 7 7 qi_submit: iotlb_inv dmar0: 0xffffffffffffffff 0xffffffffffffffff 0x0 0x0
            """)
        #expect(log.kinds == ["map", "unmap_fast", "unmap", "sync"])
        #expect(log.operations[3].size == 4096)
        #expect(log.domains[0].name == "0xffffffffffffffff")
    }
}
