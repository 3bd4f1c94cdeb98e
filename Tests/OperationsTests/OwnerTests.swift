import TestSupport
import Testing

@testable import Operations

/// Who owns a domain, what it did with its flushes, and what is no unmap of its owner (design §4 2, 3).
struct OwnerTests {
    /// `count` unmaps of one page by unmap_fast, each `queued` or not, and its return to `caller`.
    private static func unmaps(
        _ count: Int, domain: String = "0xa", queued: Int? = 0, caller: String?, kind: String = "unmap_fast",
        sync: (Int) -> Bool = { _ in false }
    ) -> String {
        var lines: [String] = []
        var time = 1
        var first = 0
        for number in 0..<count {
            let iova = 0x1000 * (number + 1)
            func add(_ text: String) {
                lines.append("0 7 \(time) \(text)")
                time += 1
            }
            let hex = "0x" + String(iova, radix: 16)
            let flag = queued.map { " queued=\($0)" } ?? ""
            add("\(kind): (iommu_\(kind)+0x4/0x10) domain=\(domain) iova=\(hex) size=4096\(flag)")
            if let caller {
                add("\(kind)_ret: (\(caller) <- iommu_\(kind)) domain=\(domain) iova=\(hex) size=4096 unmapped=4096")
            }
            if sync(number) {
                let start = "0x" + String(0x1000 * (first + 1), radix: 16)
                add(
                    "sync: (intel_iommu_tlb_sync+0x4/0x30) domain=\(domain) start=\(start) end=0x\(String(iova + 0xfff, radix: 16)) pgsize=0"
                )
                first = number + 1
            }
        }
        return lines.joined(separator: "\n")
    }

    @Test(
        "the function that an unmap returns to tells who owns the domain",
        arguments: [
            ("vfio_unmap_unpin+0x10a/0x520 [vfio_iommu_type1]", .type1, .unmanaged),
            ("iopt_area_unmap_domain_range+0x60/0xd0 [iommufd]", .iommufd, .unmanaged),
            ("__iommu_dma_unmap+0xb5/0x160", .dma, .dma), ("dma_iova_unlink+0xd4/0x210", .dma, .dma),
            ("msm_iommu_unmap+0x1/0x20", .unknown, .unknown),
        ] as [(String, Domain.Owner, Domain.Kind)])
    func callers(caller: String, owner: Domain.Owner, kind: Domain.Kind) throws {
        let log = try BuiltLog(Self.unmaps(3, caller: caller))
        #expect(log.domains[0].owner == owner && log.domains[0].kind == kind)
        #expect(log.domains[0].ownerEvidence == (owner == .unknown ? .assumed : .recorded))
    }

    @Test("an attach or an allocation tells it too: type and cookie, or the function that allocates")
    func allocations() throws {
        let log = try BuiltLog(
            """
            0 7 1 attach: (intel_iommu_attach_device+0x4/0x390) domain=0xa dev="0000:00:07.0" type=0x1 cookie=5
            0 7 2 attach: (intel_iommu_attach_device+0x4/0x390) domain=0xb dev="0000:00:08.0" type=0xb cookie=1
            0 7 3 attach: (intel_iommu_attach_device+0x4/0x390) domain=0xc dev="0000:00:09.0" type=0x1 cookie=0
            0 7 4 domain_alloc: (vfio_iommu_domain_alloc+0x14/0x30 [vfio_iommu_type1] <- __iommu_paging_domain_alloc_flags) dev="0000:00:0a.0" type=0x1 flags=0x0 domain=0xd
            """)
        #expect(log.domains.map(\.owner) == [.iommufd, .dma, .unknown, .type1])
        #expect(log.domains.map(\.kind) == [.unmanaged, .dma, .unmanaged, .unmanaged])
        #expect(log.domains.allSatisfy { $0.kindEvidence == .recorded })
    }

    /// Without a caller, who syncs once for many unmaps is VFIO's type1; a module of its own is not, nor who queues.
    @Test func whoGathersIsType1() throws {
        func owner(_ log: String) throws -> Domain.Owner { try BuiltLog(log).domains[0].owner }
        let every8 = { (number: Int) in number % 8 == 7 }
        #expect(try owner(Self.unmaps(64, caller: nil, sync: every8)) == .type1)
        #expect(try BuiltLog(Self.unmaps(64, caller: nil, sync: every8)).domains[0].ownerEvidence == .inferred)
        #expect(try owner(Self.unmaps(64, caller: "iommu_lab+0x1/0x2 [iommu_lab]", sync: every8)) == .unknown)
        #expect(try owner(Self.unmaps(64, caller: nil) { _ in true }) == .unknown)
        #expect(try owner(Self.unmaps(64, queued: 1, caller: nil, sync: every8)) == .dma)
        // On a kernel that would have tested the domain for superpages, and did not, it is somebody else's.
        let old = "0 7 0 domain_alloc: (iommu_domain_alloc+0x5/0x9 <- intel_iommu_domain_alloc) domain=0xa\n"
        #expect(try owner(old + Self.unmaps(64, caller: nil, sync: every8)) == .unknown)
        let new =
            "0 7 0 domain_alloc: (x+0x5/0x9 <- __iommu_paging_domain_alloc_flags) dev=\"0000:00:07.0\" domain=0xa\n"
        #expect(try owner(new + Self.unmaps(64, caller: nil, sync: every8)) == .type1)
    }

    @Test("a domain of which some unmaps are queued and some are not is mixed")
    func mixed() throws {
        let queued = Self.unmaps(6, queued: 1, caller: nil)
        #expect(try BuiltLog(queued).domains[0].mode == .deferred)
        let log = try BuiltLog(
            queued + """

                0 7 90 unmap_fast: (iommu_unmap_fast+0x4/0x10) domain=0xa iova=0x90000 size=8192 queued=0
                0 7 91 unmap_fast_ret: (dma_iova_unlink+0xd4/0x210 <- iommu_unmap_fast) domain=0xa iova=0x90000 size=8192 unmapped=8192
                0 7 92 sync: (intel_iommu_tlb_sync+0x4/0x30) domain=0xa start=0x90000 end=0x91fff pgsize=0
                """)
        #expect(log.domains[0].mode == .mixed && log.domains[0].mode.defers)
        #expect(log.domains[0].modeReason == "6 of 7 unmaps say that their flush is queued, 1 that it is not")
        #expect(
            log.all(.unmapFast).map { $0.flags.contains(.unlinked) } == Array(repeating: false, count: 6) + [
                true
            ])
        #expect(log.totals.gathersInOneSpan)
    }

    @Test("a probe on dma_iova_unlink says which unmap is its own, and for which device")
    func twoStep() throws {
        let log = try BuiltLog(
            """
            0 7 1 dma_iova_link: (dma_iova_link+0x4/0x30) dev="0000:00:03.0" iova=0xf0000 paddr=0x5000 offset=0 size=4096
            0 7 2 map: (iommu_map_nosync+0x4/0x310) domain=0xa iova=0xf0000 paddr=0x5000 size=4096 prot=0x6
            0 7 3 dma_iova_unlink: (dma_iova_unlink+0x4/0x30) dev="0000:00:03.0" iova=0xf0000 offset=4096 size=4096
            0 8 4 unmap_fast: (iommu_unmap_fast+0x4/0x10) domain=0xb iova=0xf1000 size=4096 queued=0
            0 7 5 unmap_fast: (iommu_unmap_fast+0x4/0x10) domain=0xa iova=0xf0000 size=4096 queued=0
            0 7 6 unmap_fast: (iommu_unmap_fast+0x4/0x10) domain=0xa iova=0xf1000 size=4096 queued=0
            0 7 7 dma_iova_destroy: (dma_iova_destroy+0x4/0x30) dev="0000:00:03.0" iova=0xf0000 size=8192
            0 7 8 unmap_fast: (iommu_unmap_fast+0x4/0x10) domain=0xa iova=0xf0000 size=8192 queued=0
            """)
        #expect(log.all(.unmapFast).map { $0.flags.contains(.unlinked) } == [false, false, true, false])
        #expect(log.all(.unmapFast).map(\.device) == [0, 0, 1, 1])
        #expect(log.all(.map).map(\.device) == [1])
        #expect(log.domains[0].owner == .dma && log.domains[1].owner == .unknown)
    }

    /// Linux 7.1 tells of a failed map with the bytes that it had mapped; the unmap behind it takes them back.
    @Test func aFailedMapAndWhatTakesItBack() throws {
        let log = try BuiltLog(
            """
            0 7 1 map: (iommu_map_nosync+0x4/0x310) domain=0xa iova=0x10000 paddr=0x5000 size=4096 prot=0x6
            0 7 2 map: IOMMU: iova=0x10000 - 0x11000 paddr=0x5000 size=4096
            0 7 3 map: (iommu_map_nosync+0x4/0x310) domain=0xa iova=0x20000 paddr=0x5000 size=32768 prot=0x6
            0 7 4 map: IOMMU: iova=0x20000 - 0x24000 paddr=0x5000 size=16384
            0 7 5 unmap: (iommu_unmap+0x4/0xb0) domain=0xa iova=0x20000 size=16384
            0 7 6 unmap: IOMMU: iova=0x20000 - 0x24000 size=16384 unmapped_size=16384
            0 7 7 unmap: (iommu_unmap+0x4/0xb0) domain=0xa iova=0x10000 size=4096
            0 7 8 unmap: IOMMU: iova=0x10000 - 0x11000 size=4096 unmapped_size=4096
            """)
        #expect(log.all(.map).map { $0.flags.contains(.failed) } == [false, true])
        #expect(log.all(.unmap).map { $0.flags.contains(.failed) } == [true, false])
        // By the function that it returns to, where no tracepoint of a map is in the log.
        let returns = try BuiltLog(
            """
            0 7 1 map: (iommu_map_nosync+0x4/0x310) domain=0xa iova=0x20000 paddr=0x5000 size=32768 prot=0x6
            0 7 2 unmap: (iommu_unmap+0x4/0xb0) domain=0xa iova=0x20000 size=16384
            0 7 3 unmap_ret: (iommu_map_nosync+0x147/0x310 <- iommu_unmap) domain=0xa iova=0x20000 size=16384 unmapped=16384
            0 7 4 unmap: (iommu_unmap+0x4/0xb0) domain=0xa iova=0x20000 size=16384
            0 7 5 unmap_ret: (other+0x147/0x310 <- iommu_unmap) domain=0xa iova=0x20000 size=16384 unmapped=16384
            """)
        #expect(returns.all(.unmap).map { $0.flags.contains(.failed) } == [true, false])
        // Inside a map of which no success was seen, as up to 7.0.
        let inside = try BuiltLog(
            """
            0 7 1 map: (__iommu_map+0x4/0x310) domain=0xa iova=0x10000 paddr=0x5000 size=4096 prot=0x6
            0 7 2 map: IOMMU: iova=0x10000 - 0x11000 paddr=0x5000 size=4096
            0 7 3 map: (__iommu_map+0x4/0x310) domain=0xa iova=0x20000 paddr=0x5000 size=32768 prot=0x6
            0 7 4 unmap: IOMMU: iova=0x20000 - 0x24000 size=16384 unmapped_size=16384
            """)
        #expect(inside.all(.unmap).map { $0.flags.contains(.failed) } == [true])
    }

    /// A guest's memory given back: by calls that sync or in batches of 5,461 scattered pages it is iommufd's, by fast ones type1's;
    /// from stock events alone it is somebody's who maps for himself.
    @Test func teardowns() throws {
        func teardown(_ count: Int, of size: Int, _ line: (String, Int, Int) -> String) throws -> Domain? {
            var time = 0
            let lines = (0..<count).flatMap { number in
                let iova = "0x" + String(0x1000_0000 + number * size, radix: 16)
                time += 2
                return line(iova, size, time).split(separator: "\n").map(String.init)
            }
            return try BuiltLog(lines.joined(separator: "\n")).domains.map { $0 }.first
        }
        func event(_ iova: String, _ size: Int, _ time: Int) -> String {
            let end = (UInt64(iova.dropFirst(2), radix: 16) ?? 0) + UInt64(size)
            return
                "0 7 \(time) unmap: IOMMU: iova=\(iova) - 0x\(String(end, radix: 16)) size=\(size) unmapped_size=\(size)"
        }
        func call(_ name: String) -> (String, Int, Int) -> String {
            { iova, size, time in
                "0 7 \(time) \(name): (iommu_\(name)+0x4/0x10) domain=0xa iova=\(iova) size=\(size)"
                    + (name == "unmap" ? "" : " queued=0")
            }
        }
        let events = try #require(try teardown(600, of: 4096, event))
        #expect(events.kind == .unmanaged && events.kindEvidence == .inferred && events.owner == .unknown)
        #expect(try teardown(4, of: Int(Domain.batchBytes), event)?.owner == .iommufd)
        #expect(try teardown(600, of: 4096, call("unmap"))?.owner == .iommufd)
        #expect(try teardown(600, of: 4096, call("unmap_fast"))?.owner == .type1)
        #expect(try teardown(3, of: 4096, event)?.kind == .unknown)
    }
}
