import IOMMUModel
import Operations
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// A finite IOTLB beside the policies (design §4 18, 22; model.md §9 items 33, 34).
@Suite struct LaneCacheTests {
    private static let page: UInt64 = 4096

    private static func replay(
        _ requests: [String], _ operations: [StoredOperation], profile: HardwareProfile = .vtd61,
        iotlb: String = "64x8", accesses: AccessAssumption = .touchOnMap, domains: Int = 1, lastTime: Int64 = 0,
        showsAttaches: Bool = false, pageSizes: PageSizes = .fourKTwoMOneG
    ) throws -> [ReplayedLane] {
        let trace = TraceSummary.make(
            domains: domains, lastTime: max(lastTime, operations.map(\.time).max() ?? 0), showsAttaches: showsAttaches)
        let options = ReplayOptions(
            pageSizes: pageSizes, hardware: Hardware(profile),
            iotlb: CacheModel(try CacheGeometry(parsing: iotlb), accesses: accesses), windows: .all)
        return Replayed(
            trace, try requests.map { try .init($0) }, options: options, operations, batchSize: 30, watchesCaches: true
        ).lanes
    }

    private static func counts(_ lane: ReplayedLane, domain: Int32 = 1) throws -> CacheCounts {
        try #require(lane.cache).counts(of: domain)
    }

    private static func map(_ iova: UInt64, _ size: UInt64 = page, to paddr: UInt64, at time: Int64) -> StoredOperation
    {
        .make(.map, id: time, time: time, iova: iova, size: size, paddr: paddr)
    }

    private static func unmap(_ iova: UInt64, _ size: UInt64 = page, at time: Int64) -> StoredOperation {
        .make(.unmapFast, id: time, time: time, iova: iova, size: size, result: size)
    }

    private static func access(_ iova: UInt64, to paddr: UInt64? = nil, at time: Int64) -> StoredOperation {
        .make(.access, id: time, time: time, iova: iova, size: 1, paddr: paddr)
    }

    // MARK: - Examples

    @Test func touchesEachPageOnceRightAfterItsMap() throws {
        // A leaf of 2M, two of 4K.
        let lanes = try Self.replay(
            ["sync"], [Self.map(2 << 20, (2 << 20) + 8192, to: 4 << 20, at: 1), Self.map(2 << 20, to: 4 << 20, at: 2)])
        let counts = try Self.counts(lanes[0])
        #expect(counts.misses == 3)
        // The second map finds the large page, which says the same.
        #expect(counts.hits == 1)
        #expect(counts.staleHits == 0)
        #expect(counts.faults == 0)
    }

    /// What the flush of a whole domain costs its other mappings, and what it leaves stale until then.
    @Test func aDeferredFlushLeavesEntriesStaleAndKillsLiveOnes() throws {
        let operations = [
            Self.map(0x10000, to: 0x1000, at: 10), Self.map(0x20000, to: 0x2000, at: 20), Self.unmap(0x10000, at: 30),
            // The address again, for another page: the device reads the former one.
            Self.map(0x10000, to: 0x3000, at: 40), Self.unmap(0x20000, at: 50), Self.map(0x30000, to: 0x4000, at: 60),
        ]
        let lanes = try Self.replay(
            ["batch=2", "sync", "end", "every=25ns"], operations, lastTime: 1000)
        // batch=2 flushes at 50, by what was gathered: the second unmap's page in the call, the first one's after 20 ns.
        let batch = try Self.counts(lanes[0])
        #expect(batch.staleEntries == 1)
        #expect(batch.staleHits == 1)
        #expect(batch.killed == 2)
        #expect(batch.liveKilled == 0)
        #expect(lanes[0].cache?.staleEntries.first?.longest == 20)
        #expect(lanes[0].cache?.staleEntries.first?.invalidated == 1)

        let strict = try Self.counts(lanes[1])
        #expect((strict.staleEntries, strict.staleHits, strict.killed, strict.liveKilled) == (0, 0, 2, 0))
        #expect(strict.misses == 4)

        // Nothing is flushed: what is stale stays so.
        let never = try Self.counts(lanes[2])
        #expect((never.staleEntries, never.staleHits, never.killed) == (2, 1, 0))
        #expect(lanes[2].cache?.staleEntries.first?.invalidated == 0)

        // Page-selective again, 25 ns after the first.
        let every = try Self.counts(lanes[3])
        #expect((every.staleEntries, every.staleHits, every.killed) == (2, 1, 2))
    }

    /// VT-d names aligned powers of two: unmapping three pages out of four kills the neighbour.
    @Test func roundingKillsLiveNeighbours() throws {
        let operations = [
            Self.map(0x10000, 0x4000, to: 0x70000, at: 1), Self.unmap(0x10000, 0x3000, at: 2),
        ]
        for (profile, killed) in [(HardwareProfile.vtd61, Int64(1)), (.smmuv3, 0), (.amd419, 1)] {
            let counts = try Self.counts(try Self.replay(["sync"], operations, profile: profile)[0])
            #expect(counts.liveKilled == killed, "\(profile)")
            #expect(counts.killed == 3 + killed, "\(profile)")
        }
    }

    /// A hint that tables stay saves the walks after a flush their upper levels.
    @Test(arguments: [(.vtd61, 8), (.vtd612, 5)] as [(HardwareProfile, Int64)])
    func walksReadWhatIsNotCached(profile: HardwareProfile, reads: Int64) throws {
        let operations = [
            // Four tables; then the leaf's alone.
            Self.map(0x10000, to: 0x70000, at: 1), Self.map(0x11000, to: 0x90000, at: 2),
            Self.unmap(0x10000, at: 3), Self.map(0x12000, to: 0xb0000, at: 4),
        ]
        let counts = try Self.counts(try Self.replay(["sync"], operations, profile: profile)[0])
        #expect(counts.misses == 3)
        #expect(counts.walkReads == 1 + reads)
    }

    @Test func recordedAccessesFillFromThePageTableOrFromWhatTheySay() throws {
        let operations = [
            Self.map(0x10000, 0x2000, to: 0x70000, at: 1),
            Self.access(0x10123, at: 2), Self.access(0x10fff, at: 3),
            // Mapped before the log began, as the hardware saw; and a fault.
            Self.access(0x90000, to: 0x5000, at: 4), Self.access(0xa0000, at: 5),
            Self.unmap(0x10000, at: 6), Self.access(0x10000, at: 7), Self.access(0x11000, at: 8),
        ]
        let counts = try Self.counts(try Self.replay(["end"], operations, accesses: .recorded)[0])
        #expect(counts.misses == 3)
        #expect(counts.hits == 2)
        #expect(counts.staleHits == 1)
        #expect(counts.faults == 1)
        #expect(counts.staleEntries == 1)
        let none = try Self.counts(try Self.replay(["end"], operations, accesses: .none)[0])
        #expect(
            none
                == CacheCounts(
                    hits: 0, misses: 0, faults: 0, staleHits: 0, killed: 0, liveKilled: 0, staleEntries: 0))
    }

    /// An access inside a window is a hazard, unless the log says that the page table allowed it.
    @Test func anAccessInsideAWindowIsAHazard() throws {
        for (paddr, pages) in [(nil, Int64(1)), (UInt64(0x1000), 0)] {
            let lanes = try Self.replay(
                ["end"],
                [
                    Self.map(0x10000, to: 0x1000, at: 1), Self.unmap(0x10000, at: 2),
                    Self.access(0x10000, to: paddr, at: 3),
                ],
                accesses: .none)
            let found = lanes[0].statistics.hazards.filter { $0.kind == .access }.reduce(0) { $0 + $1.pages }
            #expect(found == pages)
        }
    }

    @Test func aFullCacheEndsStaleEntriesToo() throws {
        let operations =
            [Self.map(0x10000, to: 0x1000, at: 1), Self.unmap(0x10000, at: 2)]
            + (3...9).map { Self.map(UInt64($0) << 20, to: UInt64($0) << 20, at: $0) }
        for geometry in ["4", "4,reset-when-full", "4,round-robin", "4x1"] {
            let lanes = try Self.replay(["end"], operations, iotlb: geometry)
            let row = try #require(lanes[0].cache?.staleEntries.first)
            #expect((row.entries, row.madeRoom, row.invalidated) == (1, 1, 0), "\(geometry)")
            #expect(row.longest == (geometry == "4x1" ? 1 : 4), "\(geometry)")
        }
    }

    @Test func theLastDeviceTakesTheEntriesWithIt() throws {
        let operations: [StoredOperation] = [
            .make(.attach, id: 1, time: 1, device: 1), Self.map(0x10000, 0x2000, to: 0x1000, at: 2),
            Self.unmap(0x10000, at: 3), .make(.detach, id: 4, time: 5, device: 1), Self.access(0x11000, at: 6),
            Self.unmap(0x11000, at: 7), Self.map(0x50000, to: 0x9000, at: 8),
        ]
        let lanes = try Self.replay(["end"], operations, showsAttaches: true)
        let row = try #require(lanes[0].cache?.staleEntries.first)
        #expect((row.entries, row.detached) == (1, 1))
        #expect(row.longest == 2)
        #expect(try Self.counts(lanes[0]).misses == 2)
    }

    /// A log's claim to have mapped 2^56 bytes in 4K pages costs no more than the cache is large.
    @Test(.timeLimit(.minutes(1))) func hugeMapsTouchNoMoreThanTwiceTheCache() throws {
        let operations = (1...127).map { Self.map(UInt64($0) << 57, 1 << 56, to: 4096, at: $0) }
        let lanes = try Self.replay(["sync"], operations, iotlb: "64", pageSizes: .fourK)
        #expect(try Self.counts(lanes[0]).misses == 127 * 128)
    }

    /// Under VFIO's policy a sync is dated at the last call of a run: what comes after finds nothing.
    @Test func hitsAfterARunAreNone() throws {
        let start = [
            Self.map(0x10000, 0x2000, to: 0x1000, at: 1), Self.access(0x10000, at: 2), Self.access(0x11000, at: 3),
            Self.unmap(0x10000, at: 4), Self.access(0x10000, at: 5),
        ]
        let goesOn = try Self.counts(
            try Self.replay(["vfio"], start + [Self.unmap(0x11000, at: 6)], accesses: .recorded)[0])
        #expect((goesOn.hits, goesOn.staleHits, goesOn.faults) == (1, 1, 0))
        let ends = try Self.counts(
            try Self.replay(["vfio"], start + [.make(.marker, id: 6, time: 6, domain: 0)], accesses: .recorded)[0])
        #expect((ends.hits, ends.staleHits, ends.faults) == (0, 0, 1))
    }

    // MARK: - Properties

    struct Case: Sendable, CustomTestStringConvertible {
        var policy: String
        var profile: HardwareProfile
        var accesses: AccessAssumption
        var testDescription: String { "\(policy), \(profile.rawValue), \(accesses.rawValue)" }
    }

    /// VFIO's windows are those of a gather as VT-d's driver has it: other drivers' gathers sync elsewhere.
    static let cases = ScheduleTests.policies.flatMap { policy in
        [.contract, .vtd419, .vtd61, .amd6, .smmuv3].filter { policy != "vfio" || $0 == .vtd61 || $0 == .vtd419 }
            .flatMap { profile in
                [AccessAssumption.touchOnMap, .recorded].map { Case(policy: policy, profile: profile, accesses: $0) }
            }
    }

    /// Model.md §9 items 33, 34: whatever a finite cache holds too long, it does so inside a window of the infinite one.
    @Test(arguments: cases) func everythingStaleIsInsideItsWindow(test: Case) throws {
        for (seed, geometry) in [(41, "16x4"), (42, "4096"), (43, "24,reset-when-full"), (44, "64x8,random=3")] {
            let stream = OperationStream(seed: UInt64(seed), count: 900, longPatience: 60, clockRunsBack: false)
            var random = SeededGenerator(seed: UInt64(seed))
            var operations: [StoredOperation] = []
            for operation in stream.operations {
                operations.append(operation)
                guard operation.domain > 0, operation.hasRange, random.next() % 3 != 0 else { continue }
                var access = operation
                (access.kind, access.paddr, access.line) = (.access, nil, operation.line + 1)
                access.iova = operation.iova &+ (random.small(below: 4) << 12)
                operations.append(access)
            }
            let lane = try Self.replay(
                [test.policy], operations, profile: test.profile, iotlb: geometry, accesses: test.accesses,
                domains: Int(OperationStream.domains), lastTime: stream.lastTime + 3_000_000,
                showsAttaches: seed % 2 == 0)[0]
            let witness = try #require(lane.cache?.witness)
            var windows: [Int32: [(range: AddressRange, opened: Int64, closed: Int64)]] = [:]
            for row in lane.rows.windows {
                guard let range = AddressRange(start: row.iova, size: row.size) else { continue }
                windows[row.domain, default: []].append((range, row.opened, row.closed ?? .max))
            }
            let outside = witness.ended.filter { entry in
                !(windows[entry.domain] ?? []).contains {
                    $0.opened == entry.from && $0.range.overlaps(entry.range) && $0.closed >= entry.to
                }
            }
            #expect(outside.isEmpty, "\(geometry): \(outside.prefix(2))")
            let hitsOutside = witness.staleHits.filter { hit in
                !(windows[hit.domain] ?? []).contains {
                    $0.opened <= hit.time && hit.time <= $0.closed && $0.range.start <= hit.iova
                        && hit.iova <= $0.range.last
                }
            }
            #expect(hitsOutside.isEmpty, "\(geometry): \(hitsOutside.prefix(2))")
            let rows = try #require(lane.cache?.staleEntries)
            #expect(rows[0].invalidated + rows[0].madeRoom + rows[0].detached == Int64(witness.ended.count))
            #expect(rows[0].entries >= Int64(witness.ended.count))
            #expect(rows[0].longest == witness.ended.map { max($0.to - $0.from, 0) }.max())
            if ["sync", "per-page"].contains(test.policy) {
                #expect(rows[0].entries == 0)
                #expect(witness.staleHits.isEmpty)
            }
        }
    }

    /// Design §4 17: a cache changes nothing that is not its own, and other policies' caches change nothing for it.
    @Test func cachesDoNotDisturb() throws {
        let stream = OperationStream(seed: 51, count: 2000, longPatience: 60)
        let trace = TraceSummary.make(domains: Int(OperationStream.domains), lastTime: stream.lastTime)
        func lanes(_ requests: [String], _ iotlb: CacheModel?) throws -> [ReplayedLane] {
            let options = ReplayOptions(hardware: Hardware(.vtd61), iotlb: iotlb, windows: .all)
            return Replayed(trace, try requests.map { try .init($0) }, options: options, stream.operations).lanes
        }
        let model = CacheModel(try CacheGeometry(parsing: "16x4"))
        let without = try lanes(ScheduleTests.policies, nil)
        let together = try lanes(ScheduleTests.policies, model)
        for (index, policy) in ScheduleTests.policies.enumerated() {
            let alone = try lanes([policy], model)[0]
            #expect(together[index].cache?.staleEntries == alone.cache?.staleEntries)
            #expect(try Self.counts(together[index], domain: 2) == Self.counts(alone, domain: 2))
            let statistics = [without, together].map { $0[index].statistics.summaries.map { "\($0)" } }
            #expect(statistics[0] == statistics[1])
        }
    }
}
