import TestSupport
import Testing

@testable import Operations

/// Who has a hardware's id, and from where to where in a log: it is given out again when a domain is gone.
struct HardwareIDTests {
    private static func alloc(_ domain: String) -> String {
        "domain_alloc: (iommu_domain_alloc+0x28/0x80 <- intel_iommu_domain_alloc) type=0x3 domain=\(domain)"
    }

    private static func free(_ domain: String) -> String {
        "domain_free: (intel_iommu_domain_free+0x5/0xf0) domain=\(domain)"
    }

    private static func attach(_ domain: String, _ device: String) -> String {
        "attach: (intel_iommu_attach_device+0x5/0x8c0) domain=\(domain) dev=\"\(device)\""
    }

    private static func unmap(_ domain: String, _ page: Int = 1) -> String {
        "unmap: (iommu_unmap+0x5/0xa0) domain=\(domain) iova=0x\(page)000 size=4096"
    }

    /// The command for a page, or for all of a domain.
    private static func command(_ id: Int, page: Int? = nil, unit: String = "dmar0") -> String {
        let word = String(id << 16 | (page == nil ? 0xe2 : 0xf2), radix: 16)
        return "qi_submit: iotlb_inv \(unit): 0x\(word) 0x\(page ?? 0)000 0x0 0x0"
    }

    /// What lines of one CPU and task tell of ids: `id@unit domain first-end`, lines from 1, 0 for the begin of the log.
    private func ids(_ lines: [String]) throws -> [String] {
        let log = try BuiltLog(lines.enumerated().map { "0 7 \($0) \($1)\n" }.joined())
        return log.hardwareIDs.map { id in
            let unit = id.unit > 0 ? log.units[Int(id.unit) - 1] : "?"
            let end = id.endLine == .max ? "" : "\(id.endLine)"
            return "\(id.id)@\(unit) \(log.domains[Int(id.domain) - 1].name) \(id.firstLine)-\(end)"
        }
    }

    @Test("an id passes to the next domain where the first one is freed, if that was there by then")
    func freed() throws {
        let ids = try ids([
            Self.alloc("0xa"), Self.unmap("0xa"), Self.command(4, page: 1), Self.free("0xa"), Self.command(4),
            Self.alloc("0xb"), Self.unmap("0xb"), Self.command(4, page: 1),
        ])
        #expect(ids == ["4@dmar0 0xa 1-4", "4@dmar0 0xb 6-"])
    }

    @Test("an address that is used again is another domain, also if its free was missed")
    func generation() throws {
        let ids = try ids([
            Self.unmap("0xa"), Self.command(4, page: 1), Self.alloc("0xa"), Self.unmap("0xa"), Self.command(4, page: 1),
        ])
        #expect(ids == ["4@dmar0 0xa 0-3", "4@dmar0 0xa#1 3-"])
    }

    @Test("a domain loses its id with its last device")
    func detached() throws {
        let ids = try ids([
            Self.attach("0xa", "d"), Self.attach("0xa", "e"), Self.unmap("0xa"), Self.command(4, page: 1),
            Self.attach("0xb", "d"), Self.unmap("0xa", 2), Self.command(4, page: 2), Self.attach("0xb", "e"),
            Self.unmap("0xb"), Self.command(4, page: 1),
        ])
        #expect(ids == ["4@dmar0 0xa 0-8", "4@dmar0 0xb 8-"])
    }

    @Test("a command that may be of another domain says nothing against one that is not")
    func guesses() throws {
        let near = try ids([Self.unmap("0xa"), Self.command(4), Self.unmap("0xb"), Self.command(4)])
        #expect(near == ["4@dmar0 0xa 0-"])
        let overruled = try ids([Self.unmap("0xa"), Self.command(4), Self.unmap("0xb"), Self.command(4, page: 1)])
        #expect(overruled == ["4@dmar0 0xa 0-0", "4@dmar0 0xb 0-"])
        let kept = try ids([Self.unmap("0xa"), Self.command(4, page: 1), Self.unmap("0xb"), Self.command(4)])
        #expect(kept == ["4@dmar0 0xa 0-"])
        let passed = try ids([Self.unmap("0xa"), Self.command(4, page: 1), Self.unmap("0xb"), Self.command(4, page: 1)])
        #expect(passed == ["4@dmar0 0xa 0-4", "4@dmar0 0xb 4-"])
    }

    @Test("each IOMMU has ids of its own")
    func units() throws {
        let ids = try ids([
            Self.unmap("0xa"), Self.command(4, page: 1), Self.command(6, page: 1, unit: "dmar1"), Self.unmap("0xb"),
            Self.command(4, page: 1, unit: "dmar1"),
        ])
        #expect(ids == ["4@dmar0 0xa 0-", "6@dmar1 0xa 0-", "4@dmar1 0xb 0-"])
    }

    @Test("what is below a recorded flush tells it for certain")
    func flushes() throws {
        let ids = try ids([
            Self.unmap("0xa"), "sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xb start=0x1000 end=0x1fff",
            Self.command(4, page: 1),
        ])
        #expect(ids == ["4@dmar0 0xb 0-"])
    }

    @Test("a hostile log names no more ids than are remembered, and frees cost what was named")
    func bounded() {
        var ids = HardwareIDs()
        for number in 0..<70_000 as Range<Int64> {
            ids.note(number, unit: 0, of: Int32(number % 100) + 1, .certain, line: number)
        }
        #expect(ids.spans.count == 1 << 16)
        for domain in 1...100 as ClosedRange<Int32> { ids.release(domain, line: 70_000) }
        #expect(ids.spans.allSatisfy { $0.endLine == 70_000 })
        #expect(ids.domain(of: 4, unit: 0) == nil)
        #expect(ids.domain(of: 4, unit: 0, line: 69_999) == 5)
    }

    // MARK: - Domains that no event names

    /// A device of the DMA API maps and unmaps, and the commands name its domain's id.
    private static func burst(_ device: String, _ id: Int, task: Int, at time: Int) -> String {
        (0..<12).map { index in
            let (clock, page) = (time + index * 10, index % 4 + task)
            return """
                0 \(task) \(clock) map: IOMMU: iova=0x\(page)000 paddr=0x5000 size=4096
                0 \(task) \(clock + 1) dma_map_page: \(device) dir=TO_DEVICE dma_addr=\(page)000 size=4096 phys_addr=5000 attrs=
                0 \(task) \(clock + 4) unmap: IOMMU: iova=0x\(page)000 size=4096 unmapped_size=4096
                0 \(task) \(clock + 5) \(command(id, page: page))
                0 \(task) \(clock + 6) dma_unmap_page: \(device) dir=TO_DEVICE dma_addr=\(page)000 size=4096 attrs=

                """
        }.joined()
    }

    @Test("a device that moves may get another id, and another device its former one")
    func devices() throws {
        let log = try BuiltLog(
            Self.burst("0000:00:03.0", 4, task: 7, at: 0) + Self.burst("0000:00:04.0", 5, task: 8, at: 1000)
                + "0 7 2000 attach_device_to_domain: IOMMU: device=0000:00:03.0\n"
                + Self.burst("0000:00:03.0", 6, task: 7, at: 3000)
                + "0 7 4000 attach_device_to_domain: IOMMU: device=0000:00:04.0\n"
                + Self.burst("0000:00:04.0", 4, task: 8, at: 5000))
        let domains = log.layers.map { $0.domain > 0 ? log.domains[Int($0.domain) - 1].name : "" }
        #expect(domains.count == 48)
        for (burst, device) in ["0000:00:03.0", "0000:00:04.0", "0000:00:03.0", "0000:00:04.0"].enumerated() {
            #expect(domains[burst * 12..<burst * 12 + 12].allSatisfy { $0 == device }, "burst \(burst)")
        }
        #expect(log.domain("0000:00:03.0")?.hardwareDomain == 6)
        #expect(log.domain("0000:00:04.0")?.hardwareDomain == 4)
    }
}
