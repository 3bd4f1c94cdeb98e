import TestSupport
import Testing

@testable import TraceFormats

/// Lines of every known event with bytes flipped, inserted, deleted and repeated: nothing in a log may crash the reader,
/// and nothing implausible may get past it (architecture.md, Bad input).
struct MutationTests {
    private static let events = [
        "map: IOMMU: iova=0x00000000fff35000 - 0x00000000fff36000 paddr=0x0000000113be2000 size=4096",
        "map: IOMMU: iova=0x0000000ffff35000 paddr=0x0000000113be2000 size=4096",
        "unmap: IOMMU: iova=0xfffffffffffff000 - 0x0000000000000000 size=4096 unmapped_size=4096",
        "unmap: IOMMU: iova=0x0000000ffff34000 size=144115188075855872 unmapped_size=4096",
        "attach_device_to_domain: IOMMU: device=0000:01:00.0", "add_device_to_group: IOMMU: groupID=17 device=a:b",
        "io_page_fault: IOMMU:ath12k_pci 0000:c2:00.0 iova=0x00000000fe980000 flags=0x0001",
        "qi_submit: iotlb_inv dmar0: 0x800f2 0xf9a00005 0x0 0x0",
        "iotlb_fill: did=0x6 iova=0xfffff000 paddr=0x10828a000 dev=0000:00:05.0",
        "cache_tag_flush_range: dmar1 0000:00:1b.0[0] type iotlb did 9 [0xeab00000-0xeab1afff] addr 0xeab00000 pages 0x20 mask 0x5",
        "cache_tag_flush_all: dmar6/0000:8a:00.0 type iotlb did 7 pasid 0 ref 1",
        "map: (__iommu_map+0x5/0x2a0) domain=0xff2caa95c1103290 iova=0xfff7e000 paddr=0x113817000 size=4096 prot=0x6",
        "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xff2caa95c1103290 iova=0xfff7e000 size=4096 queued=1",
        "unmapped: (iommu.unmap) iova=0xfff7e000 size=4096 unmapped=4096",
        "unmap_ret: (a+0x1b/0x30 [m] <- iommu_unmap) domain=0x1 iova=0x2000 size=4096 unmapped=4096",
        "sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xff1f9ec78baa2ad0 start=0x0 end=0xfff pgsize=4096",
        "attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xff1f9ec78baa2dd0 dev=\"0000:00:08.0\"",
        "hw_flush: (qi_flush_iotlb+0x5/0xb0) did=9 addr=0x40 order=0 type=0x3000000000000000",
        "amd_cmd: (__iommu_queue_command_sync+0x5/0xd0) c0=0x5d2001 c1=0x10000001 c2=0x33a5 c3=0x0",
        "tracing_mark_write: LAB_START nvme strict",
        "map: IOMMU:ae00000.mdss iova=0x000000000002b000 paddr=0x000000010a9e6000 size=0x2000 prot=0x6",
        "unmap:                 iova=0x00000000ffe00000 size=4096 unmapped_size=4096",
        "qi_submit:             qw0=0x400e2 qw1=0x0 qw2=0x0 qw3=0x0 iommu=dmar0",
        "cache_tag_flush_range: iommu=dmar1 dev=0000:00:1b.0 type=0x0 domain_id=0x9 start=0x1000 end=0x1fff mask=0x5",
        "dma_map_page: 0000:00:05.0 dir=TO_DEVICE dma_addr=ffded676 size=74 phys_addr=100f54676 attrs=",
        "dma_map_sg: 0000:00:03.0 dir=FROM_DEVICE nents=2/2 ents=1/1 dma_addrs={0xffe60000} sizes={0x20000} phys_addrs={0x1,0x2}",
        "dma_unmap_sg: 0000:00:03.0 dir=FROM_DEVICE phys_addrs={0x114291000,0x11428f000} attrs=",
        "swiotlb_bounced: dev_name: 0000:00:05.0 dma_mask=ffffffff dev_addr=bf000000 size=4096 FORCE",
        "map_sg: dev=0000:00:1f.2 [1/3] dev_addr=0xfff00000 phys_addr=0x1234000 size=4096",
    ]

    /// Whole lines of the other shapes.
    private static let others = [
        "      dd-271       1d.h1. 46233us!: unmap: IOMMU: iova=0x00000000fffac000 size=4096 unmapped_size=4096",
        "        qemu-kvm  4575/4580  [008]   438.308478:        iommu:unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096",
        "         swapper     0 [000]   438.308478: PERF_RECORD_LOST id:5: lost:12",
        "\t        ffffffff81b0c3e6 iommu_unmap+0x6 ([kernel.kallsyms])",
        "[  236.898865][  T123] iommu: map: iova 0xfcbbf000 pa 0x00000008b2f33000 size 0x1000",
        "<7>[ 2764.463359] iommu: unmap this: iova 0x1aa00000 size 0x400000",
        "[ 2764.463360] iommu: unmapped: iova 0x1aa00000 size 0x200000",
        "> > dd-264     [003] d.h1.    25.919828: map: IOMMU: iova=0x1000 paddr=0x2000 size=4096",
        "dd-347   [000]    48.336672: (+809)   unmap:                IOMMU: iova=0x1000 size=4096 unmapped_size=4096",
        "unmap: IOMMU: iova=0x0000000ffff34000 size=4096 unmapped_size=4096",
        "285 0 29052442588 type: 1149", "CPU 1 is empty", "[LOST EVENTS]", "cpus=2",
        "              dd-201     [001] .....            5: map: IOMMU: iova=0x1000 paddr=0x2000 size=4096",
    ]

    private static let plain = events.map { Array(FtraceText.line(cpu: 1, task: 7, microseconds: 1, $0).utf8) }
    private static let lines =
        plain
        + others.map { Array($0.utf8) }
        + [
            Array("CPU:0 [LOST 163499 EVENTS]".utf8), Array("CPU:7 [204600 EVENTS DROPPED]".utf8),
            Array("# entries-in-buffer/entries-written: 273/44275   #P:40".utf8),
        ]

    private static let interesting = Array("0123456789abcdefx-+=:;()[]<>\"# \t\r.,FfxX".utf8) + [0xff, 0x80, 0x7f, 1]

    static func mutate(_ line: [UInt8], using generator: inout SeededGenerator) -> [UInt8] {
        var line = line
        for _ in 0..<Int.random(in: 1...4, using: &generator) where !line.isEmpty {
            let place = Int.random(in: 0..<line.count, using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: line[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 1: line[place] = interesting.randomElement(using: &generator) ?? 0
            case 2: line.insert(interesting.randomElement(using: &generator) ?? 0, at: place)
            case 3: line.remove(at: place)
            case 4: line.removeSubrange(place...)
            default:
                let end = min(place + Int.random(in: 1...20, using: &generator), line.count)
                line.insert(contentsOf: line[place..<end], at: place)
            }
        }
        return line
    }

    @Test("50,000 mutated lines give events or issues, never a crash", arguments: 0..<10 as Range<UInt64>)
    func mutatedLines(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        // A NUL among the first 4096 bytes would refuse the whole log.
        var text = [UInt8](repeating: UInt8(ascii: "#"), count: 5000) + [10]
        for index in 0..<5000 {
            text += Self.mutate(Self.lines[index % Self.lines.count], using: &generator) + [10]
        }
        let log = try ReadLog(bytes: text)
        #expect(log.lines == Int64(text.split(separator: 10, omittingEmptySubsequences: false).count - 1))
        // An event without a time is an event and an issue.
        let others = log.issues.filter { $0.reason != .noTime }.count
        #expect(log.events.count + others + log.losses.count <= Int(log.lines))
        #expect(log.events.count > 500)
        #expect(log.issues.count > 500)
        for event in log.events {
            #expect(event.time >= 0 && event.pid >= 0 && (0..<8192).contains(event.cpu))
            guard let size = event[.size] else { continue }
            #expect(size <= 1 << 57)
            #expect(event[.unmapped] ?? 0 <= 1 << 57)
            if let iova = event[.iova], size > 0 { #expect(!iova.addingReportingOverflow(size - 1).overflow) }
        }
    }

    @Test("mutated archives give text or damage, never a crash", arguments: 0..<4 as Range<UInt64>)
    func mutatedArchives(seed: UInt64) throws {
        var generator = SeededGenerator(seed: 1000 + seed)
        let text = Array(Self.plain.joined(separator: [10])) + [10]
        let archive = Gzip.member(text) + Gzip.member(text)
        let whole = try ReadLog(bytes: text + text)
        for _ in 0..<500 {
            do {
                let log = try ReadLog(bytes: Self.mutate(archive, using: &generator))
                let isWhole = log.hash == whole.hash
                let damages: [ParseIssue.Reason] = [
                    .truncatedArchive, .corruptArchive, .trailingBytes, .notAnEvent, .lineTooLong,
                ]
                let isReported = log.issues.contains { damages.contains($0.reason) }
                // A cut between the members leaves the first one.
                let isFirst = log.events.count * 2 == whole.events.count
                #expect(isWhole || isReported || isFirst)
            } catch is LogError {}
        }
    }
}
