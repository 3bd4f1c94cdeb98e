import Foundation
import TestSupport
import TraceFormats
import Testing

@testable import Operations

/// Domains of operations whose events name none.
struct ResolverTests {
    private static func map(_ iova: String, at time: Int, task: Int = 7, size: Int = 4096) -> String {
        "0 \(task) \(time) map: IOMMU: iova=\(iova) paddr=0x\(time)000 size=\(size)\n"
    }

    private static func unmap(_ iova: String, at time: Int, task: Int = 7, size: Int = 4096) -> String {
        "0 \(task) \(time) unmap: IOMMU: iova=\(iova) size=\(size) unmapped_size=\(size)\n"
    }

    private static func flush(_ id: Int, _ iova: String, at time: Int, task: Int = 7) -> String {
        "0 \(task) \(time) qi_submit: iotlb_inv dmar0: 0x\(id)00f2 \(iova) 0x0 0x0\n"
    }

    private static func domains(_ log: BuiltLog) -> [String] {
        log.all(.map, .unmap).map { "\(log.domainName($0)) \($0.grade?.text ?? "")" }
    }

    @Test("a descriptor beside an unmap names the domain of both the unmap and its map")
    func descriptors() throws {
        let log = try BuiltLog(
            Self.map("0x1000", at: 1) + Self.map("0x9000", at: 5_000_000, task: 8)
                + Self.unmap("0x1000", at: 10_000_000)
                + Self.flush(4, "0x1000", at: 10_000_001) + Self.unmap("0x9000", at: 20_000_000, task: 9)
                + Self.flush(6, "0x9000", at: 20_000_001, task: 9))
        #expect(log.all(.map, .unmap).map { log.domainName($0) } == ["hw:4", "hw:6", "hw:4", "hw:6"])
        #expect(log.all(.unmap).allSatisfy { $0.grade == .hardware })
        #expect(log.domain("hw:4")?.evidence == .inferred)
        #expect(log.domain("hw:4")?.mode == .strict)
    }

    @Test("a descriptor tells of the unmaps that its task did before it moved to another CPU")
    func otherCPU() throws {
        var text = Self.map("0x1000", at: 1, task: 3) + Self.map("0x2000", at: 2, task: 3)
        text += Self.unmap("0x1000", at: 1_000_000, task: 3)
        text += "1 3 1000010 unmap: IOMMU: iova=0x2000 size=4096 unmapped_size=4096\n"
        text += "1 3 1000020 qi_submit: iotlb_inv dmar0: 0x400f2 0x2 0x0 0x0\n"
        text += Self.unmap("0x50000", at: 2_000_000) + Self.flush(6, "0x50000", at: 2_000_001)
        let log = try BuiltLog(text)
        #expect(
            Self.domains(log) == [
                "hw:4 inferred", "hw:4 hardware", "hw:4 inferred", "hw:4 hardware", "hw:6 hardware",
            ])
    }

    @Test("one address, live in two domains: the unmap removes the map of its own")
    func overlap() throws {
        // Bursts tell: each task's other map there has only one possible unmap.
        var text = Self.map("0x1000", at: 1, task: 1) + Self.map("0x2000", at: 2, task: 1)
        text += Self.map("0x1000", at: 1_000_000, task: 2) + Self.map("0x3000", at: 1_000_001, task: 2)
        text += Self.unmap("0x3000", at: 2_000_000, task: 3) + Self.flush(6, "0x3000", at: 2_000_001, task: 3)
        text += Self.unmap("0x1000", at: 3_000_000, task: 4) + Self.flush(6, "0x1000", at: 3_000_001, task: 4)
        text += Self.unmap("0x2000", at: 4_000_000, task: 5) + Self.flush(4, "0x2000", at: 4_000_001, task: 5)
        text += Self.unmap("0x1000", at: 5_000_000, task: 6) + Self.flush(4, "0x1000", at: 5_000_001, task: 6)
        let log = try BuiltLog(text)
        #expect(log.all(.map).map { log.domainName($0) } == ["hw:4", "hw:4", "hw:6", "hw:6"])
        #expect(log.all(.unmap).map { log.domainName($0) } == ["hw:6", "hw:6", "hw:4", "hw:4"])
    }

    @Test("events of the DMA API name the device, before or after the operation")
    func devices() throws {
        let log = try BuiltLog(
            """
            0 7 1 map: IOMMU: iova=0x1000 paddr=0x5000 size=4096
            0 7 2 dma_map_page: 0000:00:03.0 dir=TO_DEVICE dma_addr=1010 size=16 phys_addr=5010 attrs=
            0 7 3 map: IOMMU: iova=0x1000 paddr=0x6000 size=4096
            0 7 4 dma_map_page: 0000:00:04.0 dir=TO_DEVICE dma_addr=1000 size=16 phys_addr=6000 attrs=
            0 7 5 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            0 7 6 dma_unmap_page: 0000:00:03.0 dir=TO_DEVICE dma_addr=1010 size=16 attrs=
            0 7 7 dma_unmap_sg: 0000:00:04.0 dir=TO_DEVICE phys_addrs={0x6000} attrs=
            0 7 8 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            """)
        #expect(
            Self.domains(log) == ["0000:00:03.0 dma", "0000:00:04.0 dma", "0000:00:03.0 dma", "0000:00:04.0 dma"])
        #expect(log.operations.allSatisfy { $0.device > 0 })
    }

    @Test("where nothing tells domains, none is named")
    func nothing() throws {
        let log = try BuiltLog(Self.map("0x1000", at: 1) + Self.unmap("0x1000", at: 2))
        #expect(Self.domains(log) == ["unresolved ambiguous", "unresolved ambiguous"])
        #expect(log.domain("unresolved")?.operations(.ambiguous) == 2)
    }

    @Test("two domains and nothing that tells which: ambiguous, both ways")
    func ambiguous() throws {
        let log = try BuiltLog(
            Self.map("0x1000", at: 1) + "0 0 5 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0\n"
                + "0 0 6 qi_submit: iotlb_inv dmar0: 0x600e2 0x0 0x0 0x0\n" + Self.unmap("0x1000", at: 900))
        #expect(Self.domains(log) == ["unresolved ambiguous", "unresolved ambiguous"])
    }

    @Test("an unmap of iommu_map_sg's pieces takes all of them along")
    func pieces() throws {
        var text = ""
        for page in 0..<4 { text += Self.map("0x1\(page)000", at: page) }
        text += Self.unmap("0x10000", at: 1_000_000, size: 16384)
        text += "0 7 1000001 qi_submit: iotlb_inv dmar0: 0x400f2 0x10002 0x0 0x0\n"
        text += Self.unmap("0x50000", at: 2_000_000) + Self.flush(6, "0x50000", at: 2_000_001)
        let log = try BuiltLog(text)
        #expect(log.all(.map).allSatisfy { log.domainName($0) == "hw:4" })
    }

    @Test("hostile logs: many ids, many maps of one address, clues without operations", arguments: [1, 2, 3])
    func hostile(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var text = ""
        for time in 0..<20_000 {
            let iova = "0x\(String(UInt64.random(in: 0..<8, using: &random) << 12, radix: 16))"
            let task = Int.random(in: 1..<40, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1:
                text += Self.map(iova, at: time * 7, task: task, size: 4096 << Int.random(in: 0..<3, using: &random))
            case 2:
                text += Self.unmap(iova, at: time * 7, task: task, size: 4096 << Int.random(in: 0..<3, using: &random))
            default:
                let granularity = Bool.random(using: &random) ? "f2" : "e2"
                let id = String(Int.random(in: 0..<100, using: &random), radix: 16)
                text += "0 \(task) \(time * 7) qi_submit: iotlb_inv dmar0: 0x\(id)00\(granularity) \(iova) 0x0 0x0\n"
            }
        }
        let first = try BuiltLog(text)
        #expect(first.all(.map, .unmap).allSatisfy { $0.domain > 0 && $0.grade != nil })
        #expect(try Self.domains(BuiltLog(text)) == Self.domains(first), "the same log gives the same")
        let counted = first.domains.reduce(0) { sum, domain in
            Grade.allCases.reduce(sum) { $0 + domain.operations($1) }
        }
        #expect(counted == Int64(first.all(.map, .unmap).count))
    }
}
