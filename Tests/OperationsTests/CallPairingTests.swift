import TestSupport
import Testing

@testable import Operations

/// A call's entry, the tracepoint inside it and its return are one operation (design §4 1, 10).
struct CallPairingTests {
    // MARK: - Shapes of one call

    @Test("6.1: entry and the tracepoint inside; the time is that of the page-table clear")
    func entryAndTracepoint() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=8192 queued=0
            0 7 13 unmapped: (iommu.unmap) iova=0x1000 size=8192 unmapped=4096
            """)
        #expect(log.kinds == ["unmap_fast"])
        let unmap = log.operations[0]
        #expect(unmap.time == at(13))
        #expect(unmap.sinceEntry == 3000)
        #expect(unmap.line == 2)
        #expect(unmap.iova == 0x1000)
        #expect(unmap.size == 8192)
        #expect(unmap.result == 4096)
        #expect(unmap.flags == [.byProbe, .confirmed])
        #expect(log.domainName(unmap) == "0xa")
        #expect(log.issues.isEmpty)
    }

    @Test("6.12: entry and return of unmap_fast; the time is the return's")
    func entryAndFastReturn() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x4/0x10) domain=0xa iova=0x1000 size=4096 queued=0
            0 7 14 unmap_fast_ret: (c+0xba/0x2d0 <- iommu_unmap_fast) domain=0xa iova=0x1000 size=4096 unmapped=4096
            """)
        #expect(log.kinds == ["unmap_fast"])
        #expect(log.operations[0].time == at(14))
        #expect(log.operations[0].sinceEntry == 4000)
        #expect(log.operations[0].result == 4096)
        #expect(log.operations[0].flags == [.byProbe])
        #expect(log.totals.showsReturns)
    }

    @Test("6.12: the return of unmap comes after its own sync, so the entry keeps the call's time and place")
    func returnAfterOwnSync() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap: (iommu_unmap+0x4/0x90) domain=0xa iova=0x1000 size=4096
            0 7 12 sync: (intel_iommu_tlb_sync+0x4/0x40) domain=0xa start=0x1000 end=0x1fff pgsize=4096
            0 7 15 unmap_ret: (c+0xba/0x2d0 <- iommu_unmap) domain=0xa iova=0x1000 size=4096 unmapped=4096
            """)
        #expect(log.kinds == ["unmap", "sync"])
        #expect(log.operations[0].time == at(10))
        #expect(log.operations[0].sinceEntry == nil)
        #expect(log.operations[0].result == 4096)
        #expect(log.operations.map(\.id) == [1, 2])
    }

    @Test("a return that names no address belongs to the topmost call of its kind")
    func naiveReturns() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x0/0x10) domain=0xa iova=0x1000 size=4096 queued=0
            0 7 11 unmap_fast: (iommu_unmap_fast+0x0/0x10) domain=0xa iova=0x9000 size=4096 queued=0
            0 7 12 unmap_fast_ret: (c+0xba/0x2d0 <- iommu_unmap_fast) unmapped=4096
            0 7 13 unmap_fast_ret: (c+0xba/0x2d0 <- iommu_unmap_fast) unmapped=0
            """)
        #expect(log.all(.unmapFast).map(\.iova) == [0x9000, 0x1000])
        #expect(log.all(.unmapFast).map(\.result) == [4096, 0])
        #expect(log.all(.unmapFast).map(\.time) == [at(12), at(13)])
        #expect(log.issues.isEmpty)
    }

    @Test("entry, tracepoint, probe on the tracepoint and return of one call are one operation")
    func everythingAtOnce() throws {
        let call = { (time: Int, iova: String) in
            """
            0 7 \(time) unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=\(iova) size=4096 queued=0
            0 7 \(time + 1) unmapped: (iommu.unmap) iova=\(iova) size=4096 unmapped=4096
            0 7 \(time + 1) unmap: IOMMU: iova=\(iova) size=4096 unmapped_size=4096
            0 7 \(time + 2) unmap_fast_ret: (c+0xba/0x2d0 <- iommu_unmap_fast) domain=0xa iova=\(iova) size=4096 unmapped=4096

            """
        }
        // The first return of a log comes unexpected, the later ones do not.
        let log = try BuiltLog(call(10, "0x1000") + call(20, "0x2000") + call(30, "0x1000") + call(40, "0x1000"))
        #expect(log.kinds == ["unmap_fast", "unmap_fast", "unmap_fast", "unmap_fast"])
        #expect(log.operations.map(\.time) == [at(11), at(21), at(31), at(41)])
        #expect(log.operations.allSatisfy { $0.flags == [.byProbe, .confirmed] && $0.result == 4096 })
        #expect(log.issues.isEmpty)
    }

    @Test("tracepoint before the probe on it is the same call too")
    func tracepointFirst() throws {
        let log = try BuiltLog(
            """
            0 7 11 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            0 7 11 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            0 7 12 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=0
            0 7 12 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=0
            """)
        #expect(log.kinds == ["unmap", "unmap"])
        #expect(log.operations.map(\.result) == [4096, 0])
    }

    @Test("the same tracepoint twice is two calls")
    func sameTracepointTwice() throws {
        let log = try BuiltLog(
            """
            0 7 11 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            0 7 12 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            """)
        #expect(log.kinds == ["unmap", "unmap"])
    }

    @Test("a tracepoint alone is an unmap of the unresolved domain")
    func tracepointAlone() throws {
        let log = try BuiltLog("0 7 11 unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=8192")
        #expect(log.kinds == ["unmap"])
        #expect(log.operations[0].flags == .confirmed)
        #expect(log.operations[0].result == 8192)
        #expect(log.domainName(log.operations[0]) == "unresolved")
        #expect(log.domains[0].evidence == .assumed)
    }

    @Test("a return whose entry was missed still tells the whole call if it names the range")
    func returnAlone() throws {
        let log = try BuiltLog(
            """
            0 7 12 unmap_fast_ret: (c+0x1/0x2 <- iommu_unmap_fast) domain=0xa iova=0x1000 size=4096 unmapped=4096
            0 7 13 unmap_fast_ret: (c+0x1/0x2 <- iommu_unmap_fast) unmapped=4096
            """)
        #expect(log.kinds == ["unmap_fast"])
        #expect(log.operations[0].result == 4096)
        #expect(log.domainName(log.operations[0]) == "0xa")
        #expect(log.issues.map(\.reason) == [.returnWithoutCall])
        #expect(log.issues.map(\.line) == [2])
    }

    @Test("functions are recognised whatever their probes are called")
    func otherProbeNames() throws {
        let log = try BuiltLog(
            """
            0 7 10 im: (iommu_map+0x0/0x50) domain=0xa iova=0x1000 paddr=0x2000 size=4096
            0 7 11 iu_fast: (iommu_unmap_fast+0x0/0x50) domain=0xa iova=0x1000 size=4096
            0 7 12 iur_fast: (c+0x1b/0x30 <- iommu_unmap_fast) unmapped=4096
            0 7 13 ifs: (arm_smmu_iotlb_sync+0x0/0x50) domain=0xa start=0x1000 end=0x1fff
            0 7 14 iu: (iommu_unmap+0x0/0x50) domain=0xa iova=0x5000 size=4096
            0 7 15 iur: (c+0x1b/0x30 <- iommu_unmap) unmapped=4096
            0 7 16 ifa: (amd_iommu_flush_iotlb_all+0x0/0x50) domain=0xa
            0 7 17 ia: (arm_smmu_attach_dev+0x0/0x50) domain=0xa dev="0000:01:00.0"
            0 7 18 other: (vfio_unmap_unpin+0x0/0x50) domain=0xa
            """)
        #expect(log.kinds == ["map", "unmap_fast", "sync", "unmap", "flush_all", "attach"])
        #expect(log.eventCounts.filter { !$0.isUnderstood }.map(\.name) == ["other"])
    }

    // MARK: - Maps

    @Test("a map probe alone is taken to have succeeded, without a result")
    func mapProbe() throws {
        let log = try BuiltLog(
            "0 7 10 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x1000 paddr=0x2000 size=4096 prot=0x6")
        #expect(log.kinds == ["map"])
        #expect(log.operations[0].result == nil)
        #expect(log.operations[0].paddr == 0x2000)
        #expect(log.operations[0].flags == [])
    }

    @Test("map probe and map tracepoint are one operation; an attempt without its tracepoint failed")
    func mapProbeAndTracepoint() throws {
        let log = try BuiltLog(
            """
            0 7 10 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x1000 paddr=0x2000 size=4096 prot=0x6
            0 7 11 map: IOMMU: iova=0x1000 - 0x2000 paddr=0x2000 size=4096
            0 7 20 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x3000 paddr=0x4000 size=4096 prot=0x6
            0 7 21 map: IOMMU: iova=0x3000 - 0x4000 paddr=0x4000 size=4096
            0 7 30 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x5000 paddr=0x6000 size=8192 prot=0x6
            0 7 40 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x7000 paddr=0x6000 size=8192 prot=0x6
            0 7 41 map: IOMMU: iova=0x7000 - 0x9000 paddr=0x6000 size=8192
            """)
        #expect(log.kinds == ["map", "map", "map", "map"])
        let maps = Dictionary(log.operations.map { ($0.iova ?? 0, $0) }, uniquingKeysWith: { $1 })
        #expect(maps[0x3000]?.result == 4096)
        #expect(maps[0x3000]?.flags == .confirmed)
        #expect(maps[0x3000].map(log.domainName) == "0xa")
        #expect(maps[0x5000]?.result == 0)
        #expect(maps[0x5000]?.flags == .failed)
        #expect(maps[0x7000]?.flags == .confirmed)
    }

    @Test("a failed map's rollback is an unmap of its own")
    func failedMap() throws {
        let log = try BuiltLog(
            """
            0 7 1 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x1000 paddr=0x2000 size=4096 prot=0x6
            0 7 2 map: IOMMU: iova=0x1000 paddr=0x2000 size=4096
            0 7 10 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x5000 paddr=0x6000 size=8192 prot=0x6
            0 7 11 unmap: IOMMU: iova=0x5000 size=0 unmapped_size=0
            0 7 12 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x9000 paddr=0x6000 size=4096 prot=0x6
            0 7 13 map: IOMMU: iova=0x9000 paddr=0x6000 size=4096
            """)
        let failed = try #require(log.all(.map).first { $0.iova == 0x5000 })
        #expect(failed.flags == .failed)
        let rollback = try #require(log.all(.unmap).first)
        #expect(rollback.size == 0)
        #expect(rollback.result == 0)
    }

    // MARK: - Nesting and moving

    @Test("an interrupt's call between entry and tracepoint of another is matched by address")
    func nesting() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
            0 7 11 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xb iova=0x9000 size=8192 queued=1
            0 7 12 unmapped: (iommu.unmap) iova=0x9000 size=8192 unmapped=8192
            0 7 15 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            """)
        #expect(log.all(.unmapFast).map(\.iova) == [0x9000, 0x1000])
        #expect(log.all(.unmapFast).map(\.sinceEntry) == [1000, 5000])
        #expect(log.all(.unmapFast).map(log.domainName) == ["0xb", "0xa"])
        #expect(log.operations.map(\.id) == [1, 2])
        #expect(log.issues.isEmpty)
    }

    @Test("equal ranges in two domains nest as a stack")
    func nestingOfEqualRanges() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
            0 7 11 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xb iova=0x1000 size=4096 queued=1
            0 7 12 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            0 7 15 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            """)
        #expect(log.all(.unmapFast).map(log.domainName) == ["0xb", "0xa"])
        #expect(log.all(.unmapFast).allSatisfy { $0.flags.contains(.confirmed) })
    }

    @Test("calls of two CPUs do not mix, even for one range")
    func twoCPUs() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
            1 8 11 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xb iova=0x1000 size=4096 queued=1
            0 7 12 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            1 8 15 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=0
            """)
        #expect(log.operations.map(log.domainName) == ["0xa", "0xb"])
        #expect(log.operations.map(\.cpu) == [0, 1])
        #expect(log.operations.map(\.result) == [4096, 0])
        #expect(log.operations.map(\.task) == [1, 2])
    }

    @Test("a task that moves to another CPU within a call stays one call")
    func migration() throws {
        for end in [
            "unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096",
            "unmap_fast_ret: (c+0x1/0x2 <- iommu_unmap_fast) domain=0xa iova=0x1000 size=4096 unmapped=4096",
        ] {
            let log = try BuiltLog(
                """
                0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
                1 7 12 \(end)
                """)
            #expect(log.kinds == ["unmap_fast"])
            #expect(log.operations[0].result == 4096)
            #expect(log.operations[0].cpu == 1)
            #expect(log.operations[0].sinceEntry == 2000)
            #expect(log.issues.isEmpty)
        }
    }

    @Test("another task on another CPU does not end a call")
    func noMigrationOfOthers() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
            1 8 12 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            0 7 13 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            """)
        #expect(log.kinds == ["unmap", "unmap_fast"])
        #expect(log.operations.map(log.domainName) == ["unresolved", "0xa"])
    }

    // MARK: - Losses

    @Test("a call that never returns keeps its entry's time and says so")
    func unreturned() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
            1 8 11 map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x5000 paddr=0x2000 size=4096 prot=0x6
            """)
        #expect(log.kinds == ["unmap_fast", "map"])
        #expect(log.operations[0].flags == [.byProbe, .queued, .unreturned])
        #expect(log.operations[0].result == nil)
        #expect(log.operations[0].time == at(10))
    }

    @Test("a later call's tracepoint settles an earlier one on its CPU whose tracepoint was missed")
    func missedTracepoint() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
            0 7 11 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x2000 size=4096 queued=1
            0 7 12 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            0 7 13 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x2000 size=4096 queued=1
            0 7 14 unmapped: (iommu.unmap) iova=0x2000 size=4096 unmapped=4096
            """)
        #expect(log.all(.unmapFast).count == 3)
        #expect(log.all(.unmapFast).filter { $0.flags.contains(.unreturned) }.map(\.time) == [at(11)])
        #expect(log.all(.unmapFast).filter { $0.flags.contains(.confirmed) }.map(\.time) == [at(12), at(14)])
    }

    @Test("lost events end the calls in flight on their CPU only")
    func lostEvents() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1
            1 8 11 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x2000 size=4096 queued=1
            CPU:0 [LOST 12 EVENTS]
            0 7 12 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            1 8 13 unmapped: (iommu.unmap) iova=0x2000 size=4096 unmapped=4096
            """)
        #expect(log.losses.map(\.count) == [12])
        let fast = log.all(.unmapFast)
        #expect(fast.map(\.flags) == [[.byProbe, .queued, .unreturned], [.byProbe, .queued, .confirmed]])
        // The tracepoint behind the loss is a call of its own: nothing says that it is the one before.
        #expect(log.all(.unmap).map(\.iova) == [0x1000])
    }

    @Test("lost events keep what follows from being a layer of a flush before them")
    func lostEventsAndLayers() throws {
        let log = try BuiltLog(
            """
            0 7 10 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x1fff pgsize=4096
            1 8 10 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xb start=0x1000 end=0x1fff pgsize=4096
            CPU:0 [LOST 12 EVENTS]
            0 7 11 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
            1 8 11 qi_submit: iotlb_inv dmar0: 0x500f2 0x1000 0x0 0x0
            """)
        #expect(log.layers(of: log.operations[0]) == [])
        #expect(log.layers(of: log.operations[1]) == ["iotlb_inv"])
    }

    @Test("calls in flight are bounded, and ids keep without gaps")
    func boundedFlight() throws {
        var text = "0 1 0 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=1\n"
        for index in 1...10_000 {
            text += "1 2 \(index) map: (__iommu_map+0x5/0x2a0) domain=0xa iova=0x\(String(index, radix: 16))000 "
            text += "paddr=0x0 size=4096 prot=0x6\n"
        }
        text += "0 1 10001 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096\n"
        let log = try BuiltLog(text)
        #expect(log.operations.map(\.id) == (1...Int64(log.operations.count)).map { $0 })
        #expect(log.operations[0].flags == [.byProbe, .queued, .unreturned])
        #expect(log.all(.map).count == 10_000)
    }

    @Test("a stack of calls without returns does not grow without end")
    func deepStack() throws {
        var text = ""
        for index in 1...1000 {
            text += "0 7 \(index) unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa "
            text += "iova=0x\(String(index, radix: 16))000 size=4096 queued=1\n"
        }
        let log = try BuiltLog(text)
        #expect(log.operations.count == 1000)
        #expect(log.operations.map(\.time) == (1...1000).map { at($0) })
        #expect(log.operations.allSatisfy { $0.flags == [.byProbe, .queued, .unreturned] })
    }

    @Test("an operation stands where its entries were clear, not where it was entered")
    func order() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=0
            0 7 11 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x0 end=0xfff pgsize=4096
            0 7 12 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            0 7 13 sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=0x1000 end=0x1fff pgsize=4096
            """)
        // The first sync is of earlier ranges that the new one did not fit (evidence 1.3).
        #expect(log.kinds == ["sync", "unmap_fast", "sync"])
        #expect(log.operations.map(\.id) == [1, 2, 3])
        #expect(log.operations.map(\.time) == [at(11), at(12), at(13)])
    }

    @Test("markers keep their texts and places behind a call in flight")
    func markers() throws {
        let log = try BuiltLog(
            """
            0 7 10 unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=0x1000 size=4096 queued=0
            1 8 11 tracing_mark_write: LAB_PHASE one
            0 7 12 unmapped: (iommu.unmap) iova=0x1000 size=4096 unmapped=4096
            1 8 13 print: LAB_PHASE two
            """)
        #expect(log.kinds == ["marker", "unmap_fast", "marker"])
        #expect(log.markers.map(\.text) == ["LAB_PHASE one", "LAB_PHASE two"])
        #expect(log.markers.map(\.operation) == [1, 3])
    }

    @Test("faults and group changes name their device")
    func faults() throws {
        let log = try BuiltLog(
            """
            0 7 1 add_device_to_group: IOMMU: groupID=17 device=0000:01:00.0
            0 7 2 io_page_fault: IOMMU:ath12k_pci 0000:01:00.0 iova=0xfdf01040 flags=0x0001
            0 7 3 remove_device_from_group: IOMMU: groupID=17 device=0000:01:00.0
            """)
        #expect(log.kinds == ["add_device_to_group", "io_page_fault", "remove_device_from_group"])
        #expect(log.operations.map(\.detail) == [17, 1, 17])
        #expect(log.operations.allSatisfy { $0.device == 1 })
        #expect(log.devices == ["0000:01:00.0"])
        #expect(log.operations[1].iova == 0xfdf0_1040)
    }

    @Test("tasks are told apart by id and name")
    func tasks() throws {
        let map = "map: IOMMU: iova=0x1000 paddr=0x2000 size=4096"
        let log = try BuiltLog(
            text: """
                              <idle>-0       [000] d.h1.     1.000000: \(map)
                              <idle>-0       [001] d.h1.     1.000001: \(map)
                                  dd-9       [000] d.h1.     1.000002: \(map)
                               other-9       [000] d.h1.     1.000003: \(map)

                """)
        #expect(log.operations.map(\.task) == [1, 1, 2, 3])
        #expect(log.tasks.map(\.comm) == ["<idle>", "dd", "other"])
        #expect(log.tasks.map(\.pid) == [0, 9, 9])
    }

    @Test("the log's totals are those of its events")
    func totals() throws {
        let log = try BuiltLog(
            """
            0 7 20 map: IOMMU: iova=0x1000 paddr=0x2000 size=4096
            1 8 10 map: IOMMU: iova=0x1000 paddr=0x2000 size=4096
            0 7 30 sched_switch: prev_comm=a
            0 7 30 map: bo=7
            """)
        #expect(log.totals.events == 4)
        #expect(log.totals.firstTime == at(10))
        #expect(log.totals.lastTime == at(30))
        #expect(log.totals.backwards == 1)
        #expect(log.totals[Operation.Kind.map] == 2)
        #expect(log.eventCounts.filter { $0.name == "map" }.map(\.isUnderstood) == [false, true])
    }

    @Test(
        "an event is backwards if it is earlier than the one before it, not if it has yet to catch up",
        arguments: [
            ([1, 2, 9, 4, 5, 6], 1), ([6, 5, 4, 3, 2, 1], 5), ([1, 1, 1], 0), ([3, 1, 2, 0, 9], 2), ([7], 0),
        ])
    func backwards(times: [Int], expected: Int) throws {
        let log = try BuiltLog(times.map { "0 7 \($0) map: IOMMU: iova=0x1000 paddr=0x2000 size=4096\n" }.joined())
        #expect(log.totals.backwards == Int64(expected))
    }
}
