import TestSupport
import Testing

@testable import Operations

/// Domains whose unmaps no command follows, because their device has left; and those that stand beside them.
struct ResolverDepartureTests {
    /// A log in shorthand, of events that a stock kernel has.
    private struct Log {
        var text = ""
        var clock = 1_000

        mutating func map(_ iova: UInt64, size: UInt64 = 4096, task: Int = 7) {
            add("map: IOMMU: iova=0x\(String(iova, radix: 16)) paddr=0x5000 size=\(size)", task)
        }

        mutating func unmap(_ iova: UInt64, size: UInt64 = 4096, task: Int = 7) {
            add("unmap: IOMMU: iova=0x\(String(iova, radix: 16)) size=\(size) unmapped_size=\(size)", task)
        }

        /// Pages, one by one.
        mutating func unmapPages(_ pages: Range<UInt64>) { for page in pages { unmap(page << 12) } }
        mutating func mapPages(_ pages: Range<UInt64>) { for page in pages { map(page << 12) } }

        /// The device is taken out of the domain that has an id; `named` is the id in the command about the device's entry.
        mutating func leave(_ id: Int, named: Int? = nil, task: Int = 7) {
            add("qi_submit: cc_inv dmar0: 0x40000\(Self.word(named ?? id))0031 0x0 0x0 0x0", task)
            add("qi_submit: iotlb_inv dmar0: 0x\(Self.word(id))00e2 0x0 0x0 0x0", task)
        }

        mutating func attach(_ device: String = "0000:00:08.0", task: Int = 7) {
            add("attach_device_to_domain: IOMMU: device=\(device)", task)
        }

        /// Another device's buffer is mapped, unmapped and flushed by itself.
        mutating func buffer(_ iova: UInt64, id: Int, task: Int = 9) {
            map(iova, task: task)
            unmap(iova, task: task)
            add(
                "qi_submit: iotlb_inv dmar0: 0x\(Self.word(id))00f2 0x\(String(iova, radix: 16)) 0x0 0x0", task)
        }

        /// A flush queue's timer flushes all of a domain.
        mutating func flush(_ id: Int) {
            clock += 9_000
            add("qi_submit: iotlb_inv dmar0: 0x\(Self.word(id))00e2 0x0 0x0 0x0", 0)
        }

        private static func word(_ id: Int) -> String { String(id, radix: 16) }

        private mutating func add(_ line: String, _ task: Int) {
            text += "0 \(task) \(clock) \(line)\n"
            clock += 3
        }
    }

    private static func names(_ log: BuiltLog, _ kind: Operation.Kind) -> [String] {
        log.all(kind).map { log.domainName($0) }
    }

    @Test("unmaps that no command follows are not of the only domain that commands name")
    func onlyDomain() throws {
        var log = Log()
        log.buffer(0xffff_e000, id: 6)
        log.clock += 500_000
        log.mapPages(0x10000..<0x10040)
        log.clock += 500_000
        log.unmapPages(0x10000..<0x10040)
        log.clock += 500_000
        log.buffer(0xffff_d000, id: 6)
        let built = try BuiltLog(log.text)
        for kind in [Operation.Kind.map, .unmap] {
            #expect(Self.names(built, kind) == ["hw:6"] + Array(repeating: "unresolved", count: 64) + ["hw:6"])
        }
    }

    @Test("nor are they where only whole domains are flushed")
    func onlyDomainDeferred() throws {
        var log = Log()
        for _ in 0..<2 {
            log.map(0xffff_e000, task: 9)
            log.unmap(0xffff_e000, task: 9)
            log.flush(6)
            log.clock += 500_000
            log.mapPages(0x10000..<0x10040)
            log.clock += 500_000
            log.unmapPages(0x10000..<0x10040)
            log.clock += 500_000
        }
        log.buffer(0xffff_d000, id: 6)
        let built = try BuiltLog(log.text)
        let one = ["hw:6"] + Array(repeating: "unresolved", count: 64)
        #expect(Self.names(built, .unmap) == one + one + ["hw:6"])
        #expect(Self.names(built, .map) == one + one + ["hw:6"])
    }

    @Test("nor are those of a task that has moved devices, though a flush of the whole other domain comes soon")
    func mover() throws {
        var log = Log()
        log.map(0xffff_e000, task: 9)
        log.mapPages(0x10000..<0x10010)
        log.attach()
        log.unmapPages(0x10000..<0x10010)
        log.unmap(0xffff_e000, task: 9)
        log.flush(6)
        log.clock += 500_000
        log.buffer(0xffff_d000, id: 6)
        let built = try BuiltLog(log.text)
        #expect(Self.names(built, .unmap) == Array(repeating: "unresolved", count: 16) + ["hw:6", "hw:6"])
        #expect(Self.names(built, .map) == ["hw:6"] + Array(repeating: "unresolved", count: 16) + ["hw:6"])
    }

    @Test("what is unmapped after a device has left is of the domain that it has left")
    func departure() throws {
        var log = Log()
        log.buffer(0xffff_e000, id: 6)
        log.mapPages(0x10000..<0x10200)
        log.leave(9)
        log.attach()
        log.unmapPages(0x10000..<0x10200)
        log.attach()
        log.clock += 500_000
        log.buffer(0xffff_d000, id: 6)
        let built = try BuiltLog(log.text)
        for kind in [Operation.Kind.map, .unmap] {
            #expect(Self.names(built, kind) == ["hw:6"] + Array(repeating: "hw:9", count: 512) + ["hw:6"])
        }
        #expect(built.all(.map, .unmap).filter { built.domainName($0) == "hw:9" }.allSatisfy { $0.grade == .inferred })
        #expect(built.domain("hw:9")?.kind == .unmanaged)
        #expect(built.domain("hw:9")?.kindEvidence == .inferred)
        #expect(built.domain("hw:6")?.kind == .unknown)
    }

    @Test("iommufd unmaps hundreds of maps at a time")
    func pieces() throws {
        var log = Log()
        log.mapPages(0x10000..<0x10400)
        log.leave(8)
        log.attach()
        log.unmap(0x1000_0000, size: 0x300 << 12)
        log.unmap(0x1030_0000, size: 0x100 << 12)
        log.attach()
        log.clock += 500_000
        log.buffer(0xffff_d000, id: 6)
        let built = try BuiltLog(log.text)
        #expect(Self.names(built, .unmap) == ["hw:8", "hw:8", "hw:6"])
        #expect(Self.names(built, .map) == Array(repeating: "hw:8", count: 0x400) + ["hw:6"])
    }

    @Test("maps of an earlier window, removed hundreds at a time")
    func piecesOfEarlierWindow() throws {
        var log = Log()
        log.mapPages(0x10000..<0x10400)
        // Enough for the maps to be decided on before their unmap is read.
        for index in 0..<17_000 { log.buffer(0xf000_0000 + UInt64(index % 64) << 12, id: 6) }
        log.leave(8)
        log.attach()
        log.unmap(0x1000_0000, size: 0x400 << 12)
        log.attach()
        log.clock += 500_000
        log.buffer(0xffff_d000, id: 6)
        let built = try BuiltLog(log.text)
        #expect(Self.names(built, .unmap).filter { $0 == "hw:8" }.count == 1)
        let corrected = built.corrections.filter { built.domains[Int($0.domain) - 1].name == "hw:8" }
        #expect(corrected.count == 0x400)
    }

    @Test("an interrupt's unmap for another device is left out", arguments: [0x0, 0xffff_c000] as [UInt64])
    func stray(at iova: UInt64) throws {
        var log = Log()
        log.map(iova, task: 9)
        log.mapPages(0x10000..<0x10080)
        log.leave(9)
        log.attach()
        log.unmapPages(0x10000..<0x10040)
        log.unmap(iova)
        log.unmapPages(0x10040..<0x10080)
        log.attach()
        log.clock += 500_000
        log.buffer(0xffff_d000, id: 6)
        let built = try BuiltLog(log.text)
        var expected = Array(repeating: "hw:9", count: 128)
        expected.insert("unresolved", at: 64)
        #expect(Self.names(built, .unmap) == expected + ["hw:6"])
    }

    /// Why unmaps after a device's departure may not be of the domain that it has left.
    enum Doubt: CaseIterable, Sendable {
        case noAttachBehind, anotherDeviceBehind, noAttachBefore, mapBetween, tooFew, longPause, descending, idComes
    }

    @Test("where it does not all fit, nothing is credited", arguments: Doubt.allCases)
    func doubt(_ doubt: Doubt) throws {
        var log = Log()
        log.mapPages(0x10000..<0x10060)
        log.leave(9, named: doubt == .idComes ? 0 : nil)
        if doubt != .noAttachBefore { log.attach() }
        if doubt == .mapBetween { log.map(0x7000_0000) }
        if doubt == .longPause { log.clock += 2_000_000 }
        let pages = 0x10000..<(doubt == .tooFew ? 0x10010 : 0x10060) as Range<UInt64>
        if doubt == .descending {
            for page in pages.reversed() { log.unmap(page << 12) }
        } else {
            log.unmapPages(pages)
        }
        if doubt == .anotherDeviceBehind {
            log.attach("0000:00:1f.2")
        } else if doubt != .noAttachBehind {
            log.attach()
        }
        log.clock += 500_000
        log.buffer(0xffff_d000, id: 6)
        let built = try BuiltLog(log.text)
        #expect(Set(Self.names(built, .unmap).dropLast()) == ["unresolved"])
        #expect(built.domain("hw:9") == nil)
    }

    @Test("what goes on long enough needs no attach behind it, and goes on in the next window")
    func withoutEnd() throws {
        var log = Log()
        log.leave(9)
        log.unmapPages(0x10000..<0x1a000)
        log.clock += 500_000
        log.map(0x1000, task: 9)
        let built = try BuiltLog(log.text)
        #expect(Self.names(built, .unmap).allSatisfy { $0 == "hw:9" })
    }

    @Test("the first stage's and AMD's commands about a device's entry are of an attach, and what follows them is")
    func entries() throws {
        let log = try BuiltLog(
            """
            0 7 1 map: IOMMU: iova=0x1000 paddr=0x5000 size=4096
            0 7 2 qi_submit: pc_inv dmar0: 0x90017 0x0 0x0 0x0
            0 7 3 qi_submit: p_iotlb_inv dmar0: 0x90026 0x0 0x0 0x0
            0 8 5 amd_cmd: (iommu_queue_command_sync+0x0/0xc0) c0=0x38 c1=0x20000000 c2=0x0 c3=0x0
            0 8 6 amd_cmd: (iommu_queue_command_sync+0x0/0xc0) c0=0x0 c1=0x3000000b c2=0xfffff003 c3=0x7fffffff
            """)
        #expect(log.layers.map(\.cause) == [.attach, .attach, .attach, .attach])
        #expect(log.totals.hardwareRuns == 0)
    }
}
