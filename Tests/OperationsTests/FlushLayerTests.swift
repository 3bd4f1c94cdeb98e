import TestSupport
import Testing

@testable import Operations

/// What drivers and hardware do after a flush belongs to it (design §4 4).
struct FlushLayerTests {
    private static let sync = "sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x1fff pgsize=4096"
    private static let flushAll = "flush_all: (intel_flush_iotlb_all+0x5/0x110) domain=0xa"

    @Test("a descriptor right after a sync is its layer")
    func descriptor() throws {
        let log = try BuiltLog(
            """
            0 7 10 \(Self.sync)
            0 7 11 qi_submit: iotlb_inv dmar0: 0x400f2 0x1003 0x0 0x0
            """)
        let layer = try #require(log.layers.first)
        #expect(log.layers.count == 1)
        #expect(layer.flush == log.operations[0].id)
        #expect(layer.cause == .flush)
        #expect(layer.startsRun)
        #expect(log.domains[0].hardwareDomain == 4)
        #expect(log.units == ["dmar0"])
        #expect(layer.unit == 1)
    }

    @Test("the function that sends a descriptor, and the descriptor, are one layer")
    func sender() throws {
        let log = try BuiltLog(
            """
            0 7 10 \(Self.sync)
            0 7 11 hw_flush: (qi_flush_iotlb+0x5/0xb0) did=4 addr=0x1000 order=0 type=0x3000000000000000
            0 7 12 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
            """)
        #expect(log.layers.map(\.kind) == [.iotlbInvalidation])
        #expect(log.layers[0].time == at(12))
        #expect(log.layers[0].flush == 1)
    }

    @Test("a sender without a descriptor of its domain stays a layer of its own")
    func senderAlone() throws {
        let log = try BuiltLog(
            """
            0 7 10 \(Self.sync)
            0 7 11 hw_flush: (qi_flush_iotlb+0x5/0xb0) did=4 addr=0x1003 order=2 type=0x3000000000000000
            0 7 12 qi_submit: iotlb_inv dmar0: 0x500f2 0x1000 0x0 0x0
            1 8 13 hw_flush: (qi_flush_iotlb+0x5/0xb0) did=4 addr=0x0 order=0 type=0x1000000000000000
            """)
        #expect(log.layers.map(\.kind) == [.hardwareFlush, .iotlbInvalidation, .hardwareFlush])
        #expect(log.layers.map(\.granularity) == [.page, .page, .global])
        #expect(log.layers[0].mask == 2)
        #expect(log.layers[0].flush == 1)
        #expect(log.layers[2].flush == 0)
    }

    @Test("cache-tag flushes are layers above their descriptors")
    func cacheTags() throws {
        let log = try BuiltLog(
            """
            0 7 10 \(Self.sync)
            0 7 11 cache_tag_flush_range: dmar0 0000:00:03.0[0] type iotlb did 4 [0x1000-0x1fff] addr 0x1000 pages 0x1 mask 0x0
            0 7 12 qi_submit: iotlb_inv dmar0: 0x400f2 0x1040 0x0 0x0
            0 7 20 \(Self.flushAll)
            0 7 21 cache_tag_flush_all: dmar0/0000:00:03.0 type iotlb did 4 pasid 0 ref 1
            0 7 22 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            """)
        #expect(log.kinds == ["sync", "flush_all"])
        #expect(log.layers(of: log.operations[0]) == ["cache_tag_flush_range", "iotlb_inv"])
        #expect(log.layers(of: log.operations[1]) == ["cache_tag_flush_all", "iotlb_inv"])
        #expect(log.layers.map(\.granularity) == [.page, .page, .domain, .domain])
        #expect(log.layers.map(\.hint) == [false, true, false, false])
        #expect(log.devices == ["0000:00:03.0"])
    }

    @Test("two CPUs that flush one domain at once keep their layers apart")
    func twoCPUs() throws {
        let log = try BuiltLog(
            """
            0 7 10 \(Self.flushAll)
            1 8 11 \(Self.flushAll)
            1 8 12 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            0 7 13 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            0 7 14 qi_submit: dev_tlb_inv dmar0: 0x1000000003 0x7ffffffffffff001 0x0 0x0
            """)
        #expect(log.layers(of: log.operations[0]) == ["iotlb_inv", "dev_tlb_inv"])
        #expect(log.layers(of: log.operations[1]) == ["iotlb_inv"])
        #expect(log.layers.filter(\.startsRun).count == 2)
    }

    @Test("another task's flush in between on one CPU does not take the layers of the first")
    func interruptingTask() throws {
        let log = try BuiltLog(
            """
            0 7 10 \(Self.sync)
            0 8 11 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xb start=0x9000 end=0x9fff pgsize=4096
            0 8 12 qi_submit: iotlb_inv dmar0: 0x500f2 0x9000 0x0 0x0
            0 7 13 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
            """)
        #expect(log.layers.map(\.flush) == [2, 1])
        #expect(log.layers.map(\.hardwareDomain) == [5, 4])
        #expect(log.domain("0xa")?.hardwareDomain == 4)
        #expect(log.domain("0xb")?.hardwareDomain == 5)
    }

    @Test("the next operation of the task ends a flush's layers")
    func endOfFlush() throws {
        let log = try BuiltLog(
            """
            0 7 10 \(Self.sync)
            0 7 11 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x5000 paddr=0x2000 size=4096 prot=0x6
            0 7 12 qi_submit: inv_wait dmar0: 0x5 0x0 0x0 0x0
            """)
        #expect(log.layers.map(\.flush) == [0])
        #expect(log.layers.map(\.cause) == [nil])
    }

    @Test("layers find their flush across batches and behind calls in flight")
    func acrossBatches() throws {
        var text = "1 9 1 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xb iova=0x7000 size=4096 queued=1\n"
        text += "0 7 2 \(Self.sync)\n"
        for index in 0..<5000 { text += "2 5 \(index + 3) sched_switch: prev_comm=a\n" }
        text += "0 7 6000 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0\n"
        text += "1 9 6001 unmapped: (iommu.unmap) iova=0x7000 size=4096 unmapped=4096\n"
        let log = try BuiltLog(text)
        #expect(log.kinds == ["sync", "unmap_fast"])
        #expect(log.layers.map(\.flush) == [1])
        #expect(log.layers.map(\.id) == [1])
    }

    // MARK: - The flush queue

    @Test("timer and queue stand before the flush_all that they cause, and give its cause")
    func timer() throws {
        let log = try BuiltLog(
            """
            1 0 10 fq_timeout: (fq_flush_timeout+0x5/0xa0) timer=0xb2a0
            0 7 11 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
            1 0 12 fq_flush: (fq_flush_iotlb+0x5/0x40) cookie=0xb200
            0 7 13 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            1 0 14 \(Self.flushAll)
            1 0 15 hw_flush: (qi_flush_iotlb+0x5/0xb0) did=4 addr=0x0 order=0 type=0x2000000000000000
            1 0 16 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            """)
        #expect(log.kinds == ["unmap_fast", "flush_all"])
        let flush = log.operations[1]
        #expect(flush.detail == Operation.FlushCause.timer.rawValue)
        #expect(log.layers(of: flush) == ["fq_timeout", "fq_flush", "iotlb_inv"])
        #expect(log.domainName(flush) == "0xa")
        #expect(log.domains[0].kind == .dma)
    }

    @Test("a queue flush without a timer before it is a full ring")
    func ringFull() throws {
        let log = try BuiltLog(
            """
            0 7 12 fq_flush: (fq_flush_iotlb+0x5/0x40) cookie=0xb200
            0 7 14 \(Self.flushAll)
            0 7 15 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            0 7 20 \(Self.flushAll)
            """)
        #expect(log.operations.map(\.detail) == [Operation.FlushCause.ringFull.rawValue, nil])
        #expect(log.layers(of: log.operations[0]) == ["fq_flush", "iotlb_inv"])
        #expect(log.layers(of: log.operations[1]) == [])
    }

    @Test("timer on one CPU and full ring on another at once are two flushes with their own causes")
    func timerAndRingAtOnce() throws {
        let log = try BuiltLog(
            """
            1 0 10 fq_timeout: (fq_flush_timeout+0x5/0xa0) timer=0xb2a0
            0 7 11 fq_flush: (fq_flush_iotlb+0x5/0x40) cookie=0xb200
            1 0 12 fq_flush: (fq_flush_iotlb+0x5/0x40) cookie=0xb200
            0 7 13 \(Self.flushAll)
            1 0 14 \(Self.flushAll)
            0 7 15 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            1 0 16 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            """)
        #expect(log.all(.flushAll).map(\.cpu) == [0, 1])
        #expect(log.all(.flushAll).map(\.detail) == [2, 1])
        #expect(log.layers(of: log.operations[0]) == ["fq_flush", "iotlb_inv"])
        #expect(log.layers(of: log.operations[1]) == ["fq_timeout", "fq_flush", "iotlb_inv"])
    }

    @Test("a timer without a flush is a layer of nothing, and not the cause of a later flush")
    func idleTimer() throws {
        let log = try BuiltLog(
            """
            1 0 10 fq_timeout: (fq_flush_timeout+0x5/0xa0) timer=0xb2a0
            1 0 20 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
            1 0 21 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            1 0 30 \(Self.flushAll)
            """)
        #expect(log.layers.map(\.kind) == [.queueTimeout])
        #expect(log.layers.map(\.flush) == [0])
        #expect(log.all(.flushAll).map(\.detail) == [nil])
    }

    @Test("a timer before lost events is not the cause of a flush_all behind them")
    func lostEventsAndTimer() throws {
        let log = try BuiltLog(
            """
            1 0 10 fq_timeout: (fq_flush_timeout+0x5/0xa0) timer=0xb2a0
            0 7 11 fq_timeout: (fq_flush_timeout+0x5/0xa0) timer=0xb2a0
            CPU:1 [LOST 12 EVENTS]
            1 0 14 \(Self.flushAll)
            0 7 15 \(Self.flushAll)
            """)
        #expect(log.operations.map(\.detail) == [nil, Operation.FlushCause.timer.rawValue])
        #expect(log.layers.map(\.flush) == [0, 2])
    }

    @Test("a sender before lost events and a descriptor behind them are two layers")
    func lostEventsAndSender() throws {
        let log = try BuiltLog(
            """
            0 7 10 hw_flush: (qi_flush_iotlb+0x5/0xb0) did=4 addr=0x1000 order=0 type=0x3000000000000000
            CPU:0 [LOST 12 EVENTS]
            0 7 12 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
            """)
        #expect(log.layers.map(\.kind) == [.hardwareFlush, .iotlbInvalidation])
    }

    // MARK: - Attaches and maps

    @Test("descriptors beside an attach, a detach or a context-cache invalidation are the attach's")
    func attaches() throws {
        let log = try BuiltLog(
            """
            0 7 10 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev="0000:00:08.0"
            0 7 11 qi_submit: cc_inv dmar0: 0x4000090031 0x0 0x0 0x0
            0 7 12 hw_flush: (qi_flush_iotlb+0x5/0xb0) did=9 addr=0x0 order=0 type=0x2000000000000000
            0 7 13 qi_submit: iotlb_inv dmar0: 0x900e2 0x0 0x0 0x0
            0 7 20 \(Self.sync)
            0 7 21 qi_submit: cc_inv dmar0: 0x4000090031 0x0 0x0 0x0
            0 7 22 qi_submit: iotlb_inv dmar0: 0x900e2 0x0 0x0 0x0
            """)
        #expect(log.layers.map(\.kind.text) == ["cc_inv", "iotlb_inv", "cc_inv", "iotlb_inv"])
        #expect(log.layers.map(\.cause) == [.attach, .attach, .attach, .attach])
        #expect(log.layers.map(\.flush) == [0, 0, 0, 0])
        #expect(log.layers.map(\.startsRun) == [false, false, false, false])
        #expect(log.totals.hardwareRuns == 0)
    }

    @Test("np-cache: what a sync_map sends is the map's, not a flush")
    func syncMap() throws {
        let log = try BuiltLog(
            """
            0 7 10 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0xfffb0000 paddr=0x1107b0000 size=4096 prot=0x6
            0 7 11 sync_map: (amd_iommu_iotlb_sync_map+0x5/0xb0) domain=0xa iova=0xfffb0000 size=4096
            0 7 12 amd_cmd: (__iommu_queue_command_sync+0x5/0xd0) c0=0x0 c1=0x30000003 c2=0xfffb0002 c3=0x0
            0 7 13 amd_cmd: (__iommu_queue_command_sync+0x5/0xd0) c0=0x5d2001 c1=0x10000001 c2=0x33a5 c3=0x0
            0 7 20 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0xfffb0000 size=4096 queued=0
            0 7 21 unmapped: (iommu.unmap) iova=0xfffb0000 size=4096 unmapped=4096
            0 7 22 sync: (amd_iommu_iotlb_sync+0x5/0x90) domain=0xa start=0xfffb0000 end=0xfffb0fff pgsize=0
            0 7 23 amd_cmd: (__iommu_queue_command_sync+0x5/0xd0) c0=0x0 c1=0x30000003 c2=0xfffb0002 c3=0x0
            0 7 24 amd_cmd: (__iommu_queue_command_sync+0x5/0xd0) c0=0x5d2001 c1=0x10000001 c2=0x33a6 c3=0x0
            """)
        #expect(log.kinds == ["map", "unmap_fast", "sync"])
        #expect(
            log.layers.map(\.kind.text)
                == [
                    "sync_map", "INVALIDATE_IOMMU_PAGES", "COMPLETION_WAIT", "INVALIDATE_IOMMU_PAGES",
                    "COMPLETION_WAIT",
                ])
        #expect(log.layers.map(\.cause) == [.map, .map, .map, .flush, .flush])
        #expect(log.layers.map(\.flush) == [0, 0, 0, 3, 3])
        #expect(log.layers.map(\.startsRun) == [false, false, false, true, false])
        #expect(log.domains[0].mode == .strict)
    }

    @Test("np-cache without a probe on it: a command for what was just mapped is the map's")
    func mapFlushWithoutProbe() throws {
        let log = try BuiltLog(
            """
            0 7 10 map: IOMMU: iova=0x1000 paddr=0x2000 size=4096
            0 7 11 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
            0 7 20 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            0 7 21 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
            0 7 30 map: IOMMU: iova=0x5000 paddr=0x2000 size=4096
            0 8 31 qi_submit: iotlb_inv dmar0: 0x400f2 0x5000 0x0 0x0
            0 7 32 qi_submit: iotlb_inv dmar0: 0x400f2 0x9000 0x0 0x0
            """)
        #expect(log.layers.map(\.cause) == [.map, nil, nil, nil])
        #expect(log.layers.map(\.startsRun) == [false, true, true, true])
        #expect(log.totals.hardwareRuns == 3)
    }

    @Test("caching mode of 6.12: cache_tag_flush_range_np and its descriptors are the map's")
    func cachingMode() throws {
        let log = try BuiltLog(
            """
            0 7 10 map: IOMMU: iova=0x1000 paddr=0x2000 size=4096
            0 7 11 cache_tag_flush_range_np: dmar0 d[0] type iotlb did 4 [0x1000-0x1fff] addr 0x1000 pages 0x1 mask 0x0
            0 7 12 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
            """)
        #expect(log.layers.map(\.cause) == [.map, .map])
        #expect(log.totals.hardwareRuns == 0)
    }

    // MARK: - Logs without events of the API

    @Test("runs: commands in a row of one task, unit by unit or page by page, are one flush")
    func runs() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            0 7 11 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
            0 7 12 qi_submit: iotlb_inv dmar0: 0x400f2 0x2000 0x0 0x0
            0 7 20 unmap: IOMMU: iova=0x5000 size=4096 unmapped_size=4096
            0 7 21 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            0 7 22 qi_submit: iotlb_inv dmar1: 0x400e2 0x0 0x0 0x0
            0 7 23 qi_submit: iotlb_inv dmar1: 0x400e2 0x0 0x0 0x0
            0 7 24 qi_submit: iotlb_inv dmar1: 0x500e2 0x0 0x0 0x0
            0 8 25 qi_submit: iotlb_inv dmar0: 0x500e2 0x0 0x0 0x0
            """)
        #expect(log.layers.map(\.startsRun) == [true, false, true, false, true, true, true])
        #expect(log.totals.hardwareRuns == 5)
        #expect(log.layers.allSatisfy { $0.flush == 0 && $0.cause == nil })
    }

    @Test("runs: a marker, a map or another CPU stands between two flushes")
    func runsApart() throws {
        let command = "qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0"
        let log = try BuiltLog(
            """
            0 7 10 \(command)
            0 7 11 tracing_mark_write: between
            0 7 12 \(command)
            1 7 13 \(command)
            0 7 14 map: IOMMU: iova=0x7000 paddr=0x2000 size=4096
            0 7 15 \(command)
            """)
        #expect(log.layers.map(\.startsRun) == [true, true, true, true])
    }

    @Test("runs: a second whole-domain command to a unit begins another flush, whatever unit was told last")
    func runsOfSeveralUnits() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap: IOMMU: iova=0x5000 size=4096 unmapped_size=4096
            0 7 21 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            0 7 22 qi_submit: iotlb_inv dmar1: 0x400e2 0x0 0x0 0x0
            0 7 23 qi_submit: iotlb_inv dmar2: 0x400e2 0x0 0x0 0x0
            0 7 24 qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0
            0 7 25 qi_submit: iotlb_inv dmar1: 0x400e2 0x0 0x0 0x0
            0 7 26 qi_submit: iotlb_inv dmar2: 0x400e2 0x0 0x0 0x0
            """)
        #expect(log.layers.map(\.startsRun) == [true, false, false, true, false, false])
        #expect(log.totals.hardwareRuns == 2)
    }

    @Test("runs: a command takes the domain of the CPU's last unmap, and tells its hardware id")
    func runDomains() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=0
            0 7 11 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            1 8 12 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xb iova=0x1000 size=4096 queued=0
            1 8 13 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            0 7 14 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
            1 8 15 qi_submit: iotlb_inv dmar0: 0x500f2 0x1000 0x0 0x0
            """)
        #expect(log.layers.map { log.domains[Int($0.domain) - 1].name } == ["0xa", "0xb"])
        #expect(log.domain("0xa")?.hardwareDomain == 4)
        #expect(log.domain("0xb")?.hardwareDomain == 5)
        #expect(log.domain("0xa")?.mode == .strict)
    }

    // MARK: - Ranges of syncs

    @Test("a sync's range is inclusive; an empty gather has no bytes, and without a range nothing is known")
    func syncRanges() throws {
        let log = try BuiltLog(
            """
            0 7 10 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x2fff pgsize=4096
            0 7 11 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0xffffffffffffffff end=0x0 pgsize=0
            0 7 12 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x0 end=0xffffffffffffffff pgsize=0
            0 7 13 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa
            """)
        // What no page table spans is no range.
        #expect(log.operations.map(\.iova) == [0x1000, .max, nil, nil])
        #expect(log.operations.map(\.size) == [0x2000, 0, nil, nil])
    }
}
