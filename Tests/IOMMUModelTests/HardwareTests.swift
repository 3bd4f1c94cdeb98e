import TestSupport
import Testing

@testable import IOMMUModel

/// Hardware by name, commands as values, hardware that caches absent translations (model.md §2.7, §4.1 to §4.3).
@Suite struct HardwareTests {
    private func pages(_ page: UInt64, _ count: UInt64) throws -> AddressRange {
        try #require(AddressRange(start: page << 12, size: count << 12))
    }

    private func commands(_ invalidator: inout Invalidator) -> [InvalidationCommand] {
        var commands: [InvalidationCommand] = []
        invalidator.takeCommands { commands.append($0) }
        return commands
    }

    @Test func eachIsReadAsItIsWritten() {
        #expect(Hardware.all.allSatisfy { Hardware(parsing: $0.canonical) == $0 })
        #expect(Set(Hardware.all.map(\.canonical)).count == Hardware.all.count)
        #expect(Hardware(parsing: "vtd-6.1,caching-mode")?.cachesAbsent == true)
        #expect(Hardware(parsing: "amd-6,caching-mode") == nil && Hardware(parsing: "") == nil)
        #expect(Hardware(.smmuv3, cachesAbsent: true) == nil)
        #expect(Hardware(.smmuv3, cachesAbsent: false) == Hardware(.smmuv3))
        #expect(Set(HardwareProfile.allCases.map(\.summary)).count == HardwareProfile.allCases.count)
    }

    /// Model.md §4.2, first page, pages, naturally aligned powers of two.
    @Test(arguments: [(0x1001, 16, 5), (0x1000, 255, 8), (0x1000, 512, 1)] as [(UInt64, UInt64, Int64)])
    func npCacheIsToldInAlignedPieces(page: UInt64, count: UInt64, pieces: Int64) throws {
        let hardware = try #require(Hardware(parsing: "amd-6,np-cache"))
        var invalidator = Invalidator(hardware, pageSizes: .everyPowerOfTwo, keepsCommands: true)
        invalidator.map(try pages(page, count))
        #expect(invalidator.counts.commands == pieces && invalidator.counts.waits == 1)
        let sent = commands(&invalidator)
        var next = page << 12
        for command in sent {
            let range = try #require(command.range)
            #expect(range.start == next && range.size == 4096 << UInt64(command.mask))
            #expect(range.start & (range.size - 1) == 0)
            next = range.last + 1
        }
        #expect(next == (page + count) << 12)
        #expect(commands(&invalidator).isEmpty)
    }

    /// A map is flushed by hardware that may have cached that there was nothing.
    @Test func mapsAreFlushedWhereAbsenceIsCached() throws {
        for hardware in Hardware.all {
            var invalidator = Invalidator(hardware, pageSizes: .fourKTwoMOneG, keepsCommands: true)
            invalidator.map(try pages(0x1000, 4))
            let sent = commands(&invalidator)
            #expect(sent.isEmpty == !hardware.cachesAbsent)
            switch hardware.profile {
            case .amd419 where hardware.cachesAbsent: #expect(sent == [.wholeDomain])
            case .vtd419 where hardware.cachesAbsent: #expect(invalidator.counts.waits == 4)
            default: #expect(invalidator.counts.waits == (hardware.cachesAbsent ? 1 : 0))
            }
        }
    }

    /// With NpCache a gap is flushed before, so that a hypervisor is not told of what lies in it.
    @Test func npCacheSplitsAtGaps() throws {
        for (text, waits) in [("amd-6", 1), ("amd-6,np-cache", 2)] as [(String, Int64)] {
            var invalidator = Invalidator(try #require(Hardware(parsing: text)), pageSizes: .everyPowerOfTwo)
            invalidator.unmap(try pages(0x1000, 1))
            invalidator.unmap(try pages(0x1001, 1))
            invalidator.unmap(try pages(0x2000, 1))
            invalidator.sync()
            #expect(invalidator.counts.waits == waits)
        }
    }

    /// Two tables go with an unmap of 4 MiB that was mapped in small pages (model.md §3.4).
    @Test func tablesThatGo() throws {
        let range = try pages(0x1000, 1024)
        let leaves: Invalidator.LeavesSlice = [TranslationMap.Run(range: range, target: 0x5000, pageSize: 4096)]
        func sent(_ profile: HardwareProfile, _ leaves: Invalidator.LeavesSlice) -> (
            [InvalidationCommand], InvalidationCounts
        ) {
            var invalidator = Invalidator(Hardware(profile), pageSizes: .fourKTwoMOneG, keepsCommands: true)
            invalidator.unmap(range, leaves: leaves)
            invalidator.sync()
            return (commands(&invalidator), invalidator.counts)
        }
        #expect(sent(.vtd612, leaves).0.map(\.hint) == [.tablesToo])
        #expect(sent(.vtd612, []).0.map(\.hint) == [.leavesOnly])
        for profile in [HardwareProfile.vtd619, .vtd70, .amd72] {
            #expect(sent(profile, leaves).0.map(\.hint) == [.tablesToo], "\(profile)")
            #expect(sent(profile, []).0.map(\.hint) == [.leavesOnly], "\(profile)")
        }
        // Up to 7.1 AMD's driver always said that tables went.
        #expect(sent(.amd619, []).0.map(\.hint) == [.tablesToo])
        // A table spans 2 MiB, whatever page sizes the driver offers.
        var few = Invalidator(Hardware(.amd72), pageSizes: .everyPowerOfTwo, keepsCommands: true)
        few.unmap(try pages(0x1000, 32), leaves: leaves)
        few.sync()
        #expect(commands(&few).map(\.hint) == [.leavesOnly])
        // Since 7.1 a table's walk, 512 pages, is flushed with the domain.
        #expect(sent(.smmuv371, leaves).1.domainCommands == 2)
        // Arm flushes each table's walk at once, 512 pages or one command for all of them.
        let (walks, counts) = sent(.smmuv3, leaves)
        #expect(walks == [InvalidationCommand(range, hint: .tablesToo, count: 1024)])
        #expect(counts.waits == 2 && counts.commands == 1024 && counts.pages == 1024)
        #expect(sent(.smmuv3RIL, leaves).1.commands == 2)
        #expect(sent(.smmuv3, []).0.map(\.hint) == [.leavesOnly])
    }

    /// Which driver a kernel has (K by rows: docs/model.md §4).
    @Test(
        arguments: [
            (.intel, "5.3.18-8.13-default", .vtd419), (.intel, "6.1.0-56-amd64", .vtd61),
            (.intel, "6.12.95+deb12-amd64", .vtd612),
            (.intel, "6.18.15", .vtd612), (.intel, "6.19.14+deb14-amd64", .vtd619), (.intel, "7.0.0-rc6", .vtd70),
            (.intel, "7.3.4+deb13-amd64", .vtd70), (.amd, "5.10", .amd419), (.amd, "6.18.0", .amd6),
            (.amd, "7.1.2", .amd619),
            (.amd, "7.2.0", .amd72), (.arm, "7.0.9", .smmuv3), (.arm, "7.1", .smmuv371), (.riscv, "6.12.1", nil),
            (.riscv, "6.13", .riscv613), (.riscv, "7.3", .riscv72), (.none, "7.3", nil),
        ] as [(HardwareProfile.Driver, String, HardwareProfile?)])
    func kernelsHaveProfiles(driver: HardwareProfile.Driver, release: String, profile: HardwareProfile?) throws {
        #expect(HardwareProfile(driver, kernel: try #require(KernelVersion(release: release))) == profile)
    }

    @Test(arguments: ["", "6", "6.", "x.1", "-1.2", "6.x", "99999999999999999999.1", ".1"])
    func whatIsNoRelease(text: String) {
        #expect(KernelVersion(release: text) == nil)
    }

    @Test func versionsAreOrdered() {
        #expect(KernelVersion(6, 9) < KernelVersion(6, 19) && KernelVersion(6, 19) < KernelVersion(7, 0))
        #expect(KernelVersion(7, 3).description == "7.3")
    }
}
