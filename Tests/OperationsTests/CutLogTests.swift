import Foundation
import TestSupport
import Testing

@testable import Operations

/// Logs of every shape, cut at every byte and with every byte damaged: what is left is read, nothing crashes (architecture.md, Bad input).
struct CutLogTests {
    /// One or two lines of each shape.
    private static let sample = Array(
        """
        # entries-in-buffer/entries-written: 2/5   #P:1
                     fio-271     [001] d.h1.    25.000001: unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=4096
        > CPU:1 [LOST 3 EVENTS]
              dd-271       1..... 25000002us!: map: IOMMU: iova=0x2000 paddr=0x1000 size=4096
                qemu-kvm  4575/4580 [008]   25.000003: iommu:unmap: IOMMU: iova=0x3000 size=4096 unmapped_size=4096
        \t    ffffffff81b0c3e6 __iommu_unmap+0x146 ([kernel.kallsyms])
                 swapper     0 [003]   438.308478: PERF_RECORD_LOST id:5: lost:12
        [   25.000004][  T12] iommu: unmap this: iova 0x4000 size 0x1000
        [   25.000004] iommu: unmapped: iova 0x4000 size 0x1000
        dd-347   [000]    25.000005: (+809)   map:                 iova=0x5000 paddr=0x6000 size=4096
        dd-347     0d.H1.    25.000006: qi_submit:             qw0=0x400e2 qw1=0x0 qw2=0x0 qw3=0x0 iommu=dmar0
        unmap: IOMMU:ae00000.mdss iova=0x7000 size=0x1000 unmapped_size=0x1000
        a-1 [0] 26.000000: dma_map_sg: d dir=NONE nents=1/1 ents=1/1 dma_addrs={0x1,0x2} sizes={0x1,0x2} phys_addrs={0x3}
        a-1 [0] 26.000001: map_sg: dev=d [1/2] dev_addr=0x1001 phys_addr=0x2001 size=4096
        a-1 [0] 26.000002: unmap_single: dev=d dev_addr=0x1001 size=4096
        a-1 [0] 26.000003: dma_map_page: d dir=NONE dma_addr=1 size=2 phys_addr=3 attrs=
        a-1 [0] 26.000004: swiotlb_bounced: dev_name: d dma_mask=f dev_addr=1 size=1 NORMAL
        b-2 [1] 7: map: IOMMU: iova=0x1000 paddr=0x2000 size=4096
        285 0 29052442588 type: 1149

        """.utf8)

    private static func check(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
        do {
            let log = try BuiltLog(bytes: bytes)
            #expect(
                log.operations.map(\.id) == (0..<log.operations.count).map { Int64($0) + 1 },
                sourceLocation: sourceLocation)
        } catch {
            // Refused: a cut of the head may leave nothing but a count, a damage may be a NUL.
            #expect("\(error)".isEmpty == false, sourceLocation: sourceLocation)
        }
    }

    @Test("the sample is understood but for its marked oddities")
    func whole() throws {
        let log = try BuiltLog(bytes: Self.sample)
        #expect(log.kinds.filter { $0 == "map" }.count == 3)
        #expect(log.kinds.filter { $0 == "unmap" }.count == 5)
        #expect(log.issues.map(\.reason) == [.noTime, .counterClock, .notAnEvent])
        #expect(log.losses.map(\.count) == [3, 12])
    }

    @Test("cut at every byte, from either end")
    func cuts() {
        for length in 1..<Self.sample.count {
            Self.check(Array(Self.sample[..<length]))
            Self.check(Array(Self.sample[length...]))
        }
    }

    @Test("a bit of every byte flipped", arguments: [0, 5])
    func flips(bit: Int) {
        for index in Self.sample.indices {
            var bytes = Self.sample
            bytes[index] ^= 1 << UInt8(bit)
            Self.check(bytes)
        }
    }

    @Test(
        "published logs, cut at every byte", .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: SharedTraces.found)
    func published(log: RecordedLog) throws {
        let bytes = [UInt8](try Data(contentsOf: log.url))
        for length in 1...max(bytes.count, 1) where bytes.count < 4096 { Self.check(Array(bytes.prefix(length))) }
    }

    @Test(
        "laboratory logs, cut at every 997th byte", .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: SharedTraces.shapes.filter { $0.name.hasSuffix(".txt") })
    func laboratory(log: RecordedLog) throws {
        let bytes = [UInt8](try Data(contentsOf: log.url))
        for length in stride(from: 1, through: bytes.count, by: 997) { Self.check(Array(bytes[..<length])) }
    }
}
