import TestSupport
import Testing

@testable import Operations

/// Who is attached where, which domain an address is, and what a domain does with its flushes (design §4 2, 12).
struct DomainTests {
    private static let allocated = "domain_alloc: (iommu_domain_alloc+0x28/0x80 <- intel_iommu_domain_alloc)"
    private static let free = "domain_free: (intel_iommu_domain_free+0x5/0xf0)"

    private static func map(_ domain: String, _ iova: String = "0x1000", size: Int = 4096) -> String {
        "map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(iova) paddr=0x2000 size=\(size) prot=0x6"
    }

    /// Entry and tracepoint of a call.
    private static func unmap(
        _ domain: String, _ iova: String = "0x1000", cpu: Int = 0, at time: Int, queued: Int? = 0, result: Int = 4096
    ) -> String {
        let function = queued == nil ? "unmap: (iommu_unmap+0x5/0xa0)" : "unmap_fast: (iommu_unmap_fast+0x5/0x10)"
        return """
            \(cpu) \(cpu + 7) \(time) \(function) domain=\(domain) iova=\(iova) size=4096\(queued.map { " queued=\($0)" } ?? "")
            \(cpu) \(cpu + 7) \(time) unmapped: (iommu.unmap) iova=\(iova) size=4096 unmapped=\(result)

            """
    }

    private static func sync(_ domain: String, cpu: Int = 0, at time: Int) -> String {
        "\(cpu) \(cpu + 7) \(time) sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=0x1000 end=0x1fff\n"
    }

    private static func flushAll(_ domain: String, cpu: Int = 0, at time: Int) -> String {
        "\(cpu) \(cpu + 7) \(time) flush_all: (intel_flush_iotlb_all+0x5/0x110) domain=\(domain)\n"
    }

    // MARK: - Accesses

    @Test("an access belongs to whom it names, and ends nothing of the CPU whose line it is")
    func accesses() throws {
        let log = try BuiltLog(
            Self.unmap("0xa", at: 1) + """
                0 0 2 iotlb_fill: did=4 iova=0x1000 paddr=0x2000 dev=0000:00:05.0
                """ + "\n" + Self.sync("0xa", at: 3) + """
                    0 0 4 iotlb_fill: domain=0xa iova=0x1fff
                    0 7 5 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
                    """)
        #expect(log.all(.access).map(\.domain) == [0, 1])
        #expect(log.all(.access).map(\.device) == [1, 0])
        #expect(log.all(.access).map(\.iova) == [0x1000, 0x1fff])
        #expect(log.all(.access).map(\.paddr) == [0x2000, nil])
        #expect(log.all(.access).map(\.detail) == [4, nil])
        #expect(log.layers.map(\.cause) == [.flush])
        #expect(log.domains[0].mode == .strict)
    }

    // MARK: - Generations

    @Test("an address that is allocated again after its free is another domain")
    func generations() throws {
        let log = try BuiltLog(
            """
            0 7 1 \(Self.map("0xa"))
            0 7 2 \(Self.free) domain=0xa
            0 7 3 \(Self.allocated) domain=0xa
            0 7 4 \(Self.map("0xa"))
            0 7 5 \(Self.free) domain=0xa
            0 7 6 \(Self.allocated) domain=0xa
            0 7 7 \(Self.map("0xa"))
            0 7 8 \(Self.map("0xb"))
            0 7 9 \(Self.map("0xa"))
            """)
        #expect(log.domains.map(\.name) == ["0xa", "0xa#1", "0xa#2", "0xb"])
        #expect(log.domains.map(\.generation) == [0, 1, 2, 0])
        #expect(log.all(.map).map(\.domain) == [1, 2, 3, 4, 3])
        #expect(log.all(.domainAlloc).map(\.domain) == [2, 3])
        #expect(log.all(.domainFree).map(\.domain) == [1, 2])
        #expect(log.domains.map(\.allocated) == [nil, at(3), at(6), nil])
        #expect(log.domains.map(\.freed) == [at(2), at(5), nil, nil])
    }

    @Test("an address that is allocated again although its free was missed is another domain")
    func missedFree() throws {
        let log = try BuiltLog(
            """
            0 7 1 \(Self.allocated) domain=0xa
            0 7 2 \(Self.map("0xa"))
            0 7 3 \(Self.allocated) domain=0xa
            0 7 4 \(Self.map("0xa"))
            """)
        #expect(log.domains.map(\.name) == ["0xa", "0xa#1"])
        #expect(log.all(.map).map(\.domain) == [1, 2])
    }

    @Test("an allocation that failed makes no domain")
    func failedAllocation() throws {
        let log = try BuiltLog(
            """
            0 7 1 \(Self.allocated) domain=0x0
            0 7 2 \(Self.allocated) domain=0xa
            """)
        #expect(log.kinds == ["domain_alloc", "domain_alloc"])
        #expect(log.all(.domainAlloc).map(\.domain) == [0, 1])
        #expect(log.domains.map(\.name) == ["0xa"])
    }

    @Test("domains are bounded: what comes after the bound shares one")
    func bounded() throws {
        var text = ""
        for index in 1...DomainTable.limit + 5 {
            text += "0 7 \(index) \(Self.map("0x" + String(index, radix: 16)))\n"
        }
        let log = try BuiltLog(text)
        #expect(log.domains.count == DomainTable.limit)
        #expect(log.operations.suffix(6).allSatisfy { Int($0.domain) == DomainTable.limit })
    }

    // MARK: - Kinds

    @Test(
        "the type of an allocation tells the kind",
        arguments: [("0x0", "blocked"), ("0x1", "unmanaged"), ("0x3", "dma"), ("0x4", "identity"), ("0xb", "dma")])
    func kindByType(type: String, kind: String) throws {
        let log = try BuiltLog("0 7 1 \(Self.allocated) type=\(type) domain=0xa")
        #expect(log.domains[0].kind.rawValue == kind)
        #expect(log.domains[0].kindEvidence == .recorded)
        #expect(log.operations[0].detail == Int64(type.dropFirst(2), radix: 16))
    }

    @Test("without a type the caller of the allocation tells, and use does")
    func kindByUse() throws {
        let log = try BuiltLog(
            """
            0 7 1 \(Self.allocated) domain=0xa
            0 7 2 domain_alloc: (__iommu_domain_alloc+0x33/0xd0 <- intel_iommu_domain_alloc) domain=0xb
            0 7 3 domain_alloc: (iommu_paging_domain_alloc_flags+0x3/0xd <- intel_iommu_domain_alloc) domain=0xc

            """ + Self.unmap("0xd", at: 4, queued: 1) + Self.unmap("0xe", at: 5))
        #expect(log.domains.map(\.kind) == [.unmanaged, .unknown, .unmanaged, .dma, .unknown])
        #expect(log.domains.map(\.kindEvidence) == [.inferred, .assumed, .inferred, .inferred, .assumed])
    }

    // MARK: - Modes

    @Test("a sync after each unmap is strict, whatever the call is called")
    func strict() throws {
        var text = ""
        for index in 0..<50 {
            text += Self.unmap("0xa", at: index * 10) + Self.sync("0xa", at: index * 10 + 5)
            text += Self.unmap("0xb", at: index * 10 + 6, queued: nil) + Self.sync("0xb", at: index * 10 + 8)
        }
        let log = try BuiltLog(text)
        #expect(log.domains.map(\.mode) == [.strict, .strict])
        #expect(log.domains[0].modeReason.contains("50 of 50"))
    }

    @Test("99 % on each CPU is strict, less on any is not")
    func strictLimit() throws {
        func log(missingOnCPU1: Int) throws -> BuiltLog {
            var text = ""
            for index in 0..<200 {
                let cpu = index % 2
                text += Self.unmap("0xa", cpu: cpu, at: index * 10)
                if cpu == 0 || index / 2 >= missingOnCPU1 { text += Self.sync("0xa", cpu: cpu, at: index * 10 + 5) }
            }
            return try BuiltLog(text)
        }
        #expect(try log(missingOnCPU1: 0).domains[0].mode == .strict)
        #expect(try log(missingOnCPU1: 1).domains[0].mode == .strict)
        #expect(try log(missingOnCPU1: 2).domains[0].mode == .deferred)
    }

    @Test("another domain's sync does not make a domain strict")
    func otherDomainsSync() throws {
        let log = try BuiltLog(
            Self.unmap("0xa", at: 1) + Self.sync("0xb", at: 2) + Self.unmap("0xa", at: 3) + Self.sync("0xb", at: 4))
        #expect(log.domain("0xa")?.mode == .unknown)
        #expect(log.domain("0xb")?.mode == .unknown)
        #expect(log.domain("0xb")?.modeReason == "no unmaps")
    }

    @Test("queued unmaps are deferred, even if a full ring flushes right behind one")
    func queued() throws {
        let log = try BuiltLog(Self.unmap("0xa", at: 1, queued: 1) + Self.flushAll("0xa", at: 2))
        #expect(log.domains[0].mode == .deferred)
        #expect(log.domains[0].queuedUnmaps == 1)
        #expect(log.operations[0].flags.contains(.queued))
    }

    @Test("many unmaps closed by one later flush are deferred")
    func deferredByOneSync() throws {
        var text = ""
        for index in 0..<10 { text += Self.unmap("0xa", at: index) }
        #expect(try BuiltLog(text + Self.sync("0xa", at: 20)).domains[0].mode == .deferred)
        #expect(try BuiltLog(text + Self.flushAll("0xa", at: 20)).domains[0].mode == .deferred)
        #expect(try BuiltLog(text).domains[0].mode == .unknown)
    }

    @Test("a flush_all of one CPU covers the last unmaps of all")
    func flushAllOfAnotherCPU() throws {
        let log = try BuiltLog(
            Self.unmap("0xa", cpu: 0, at: 1) + Self.unmap("0xa", cpu: 1, at: 2) + Self.flushAll("0xa", cpu: 1, at: 3)
                + Self.unmap("0xa", cpu: 0, at: 4) + Self.flushAll("0xa", cpu: 0, at: 5))
        #expect(log.domains[0].mode == .strict)
        #expect(log.domains[0].modeReason.contains("3 of 3"))
    }

    @Test("without events of the API, covering descriptors tell the mode, others do not")
    func modeByDescriptors() throws {
        func log(_ descriptor: String) throws -> BuiltLog {
            var text = ""
            for index in 0..<20 {
                text += "0 7 \(index * 10) unmap: IOMMU: iova=0x4000 size=8192 unmapped_size=8192\n"
                text += "0 7 \(index * 10 + 1) qi_submit: iotlb_inv dmar0: \(descriptor) 0x0 0x0\n"
            }
            return try BuiltLog(text)
        }
        #expect(try log("0x400f2 0x4001").domain("hw:4")?.mode == .strict)
        #expect(try log("0x400f2 0x0003").domain("hw:4")?.mode == .strict)
        #expect(try log("0x400f2 0x4000").domain("hw:4")?.mode == .unknown)
        #expect(try log("0x400e2 0x0").domain("hw:4")?.mode == .strict)
    }

    @Test("a whole-domain descriptor on a CPU that never unmaps closes the unmaps of the others")
    func modeByDescriptorElsewhere() throws {
        var text = ""
        for index in 0..<20 {
            text += "0 7 \(index * 10) unmap: IOMMU: iova=0x4000 size=4096 unmapped_size=4096\n"
            if index % 5 == 4 { text += "1 8 \(index * 10 + 1) qi_submit: iotlb_inv dmar0: 0x400e2 0x0 0x0 0x0\n" }
        }
        let log = try BuiltLog(text)
        #expect(log.domain("hw:4")?.mode == .deferred)
    }

    // MARK: - Attaches

    @Test("an attach's probe and tracepoint are one attach")
    func attach() throws {
        let log = try BuiltLog(
            """
            0 7 1 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev="0000:00:08.0"
            0 7 2 qi_submit: cc_inv dmar0: 0x4000090031 0x0 0x0 0x0
            0 7 3 attach_device_to_domain: IOMMU: device=0000:00:08.0
            0 7 4 attach_device_to_domain: IOMMU: device=0000:00:09.0
            """)
        #expect(log.kinds == ["attach", "attach"])
        #expect(log.operations.map(\.domain) == [1, 0])
        #expect(log.devices == ["0000:00:08.0", "0000:00:09.0"])
        #expect(log.domains.map(\.wasAttached) == [true])
    }

    @Test("a detach that names no domain leaves the one that the device is in")
    func detach() throws {
        let log = try BuiltLog(
            """
            0 7 1 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev="d"
            0 7 2 \(Self.map("0xa"))
            0 7 3 detach: (device_block_translation+0x4/0x100) dev="d"
            0 7 4 detach: (device_block_translation+0x4/0x100) dev="d"
            0 7 5 detach: (intel_iommu_detach_device+0x5/0x10) domain=0xb dev="d"
            0 7 6 detach_device_from_domain: IOMMU: device=d
            """)
        #expect(log.all(.detach).map(log.domainName) == ["0xa", "", "0xb", ""])
        #expect(log.all(.detach).allSatisfy { !$0.flags.contains(.withinAttach) })
    }

    @Test("6.12: the detach inside an attach leaves the former domain, and the device is in the new one")
    func detachWithinAttach() throws {
        let log = try BuiltLog(
            """
            0 7 1 attach: (intel_iommu_attach_device+0x4/0x8c0) domain=0xa dev="d"
            0 7 2 detach: (device_block_translation+0x4/0x100) dev="d"
            0 7 3 qi_submit: cc_inv dmar0: 0x4000090031 0x0 0x0 0x0
            0 7 4 attach: (intel_iommu_attach_device+0x4/0x8c0) domain=0xb dev="d"
            0 7 5 detach: (device_block_translation+0x4/0x100) dev="d"
            0 7 6 qi_submit: cc_inv dmar0: 0x4000090031 0x0 0x0 0x0
            0 7 7 \(Self.map("0xb"))
            0 7 8 detach: (device_block_translation+0x4/0x100) dev="d"
            """)
        #expect(log.kinds == ["attach", "detach", "attach", "detach", "map", "detach"])
        #expect(log.operations.map(log.domainName) == ["0xa", "", "0xb", "0xa", "0xb", "0xb"])
        #expect(log.all(.detach).map { $0.flags.contains(.withinAttach) } == [true, true, false])
        #expect(log.layers.allSatisfy { $0.cause == .attach })
    }

    @Test("a detach after an attach by another task or of another device is no part of it")
    func detachOfOthers() throws {
        let log = try BuiltLog(
            """
            0 7 1 attach: (intel_iommu_attach_device+0x4/0x8c0) domain=0xa dev="d"
            0 7 2 attach: (intel_iommu_attach_device+0x4/0x8c0) domain=0xb dev="e"
            0 7 3 detach: (device_block_translation+0x4/0x100) dev="d"
            0 7 4 attach: (intel_iommu_attach_device+0x4/0x8c0) domain=0xa dev="d"
            0 8 5 detach: (device_block_translation+0x4/0x100) dev="d"
            """)
        #expect(log.all(.detach).map(log.domainName) == ["0xa", "0xa"])
        #expect(log.all(.detach).allSatisfy { !$0.flags.contains(.withinAttach) })
    }

    // MARK: - VFIO's attach probe

    private static func probeTest(size: Int = 8192, first: Int = 4096, between: String = "") -> String {
        "0 7 1 \(map("0xa", "0x0", size: size))\n"
            + unmap("0xa", "0x0", at: 2, queued: nil, result: first) + between
            + unmap("0xa", "0x1000", at: 4, queued: nil) + unmap("0xa", "0x2000", at: 5, queued: nil)
    }

    private static func marked(_ log: BuiltLog) -> [Bool] { log.all(.unmap).map { $0.flags.contains(.attachProbe) } }

    @Test("VFIO's two-page test is marked, and nothing behind it")
    func attachProbe() throws {
        #expect(Self.marked(try BuiltLog(Self.probeTest())) == [true, true, false])
    }

    @Test("the test's syncs stand between its unmaps")
    func attachProbeWithSyncs() throws {
        let log = try BuiltLog(Self.probeTest(between: Self.sync("0xa", at: 3)))
        #expect(Self.marked(log) == [true, true, false])
    }

    @Test("tracepoints alone show the test too")
    func attachProbeByTracepoints() throws {
        let log = try BuiltLog(
            """
            0 7 1 map: IOMMU: iova=0x0 paddr=0x0 size=8192
            0 7 2 unmap: IOMMU: iova=0x0 size=4096 unmapped_size=4096
            0 7 3 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            0 7 4 map: IOMMU: iova=0x0 paddr=0x0 size=4096
            0 7 5 unmap: IOMMU: iova=0x0 size=4096 unmapped_size=4096
            """)
        #expect(Self.marked(log) == [true, true, false])
    }

    @Test("a map of another size, unmap_fast, another page or an attach in between is no test")
    func noAttachProbe() throws {
        #expect(Self.marked(try BuiltLog(Self.probeTest(size: 12288))) == [false, false, false])
        let fast = try BuiltLog("0 7 1 \(Self.map("0xa", "0x0", size: 8192))\n" + Self.unmap("0xa", "0x0", at: 2))
        #expect(!fast.operations[1].flags.contains(.attachProbe))
        let attach = "0 7 3 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev=\"d\"\n"
        #expect(Self.marked(try BuiltLog(Self.probeTest(between: attach))) == [true, false, false])
        let wrong = "0 7 1 \(Self.map("0xa", "0x0", size: 8192))\n" + Self.unmap("0xa", "0x1000", at: 2, queued: nil)
        #expect(Self.marked(try BuiltLog(wrong)) == [false])
    }
}
