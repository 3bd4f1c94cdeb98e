import FlushSchedules
import IOMMUModel
import Replay
import TestSupport
import Testing
import TraceStore

/// `validate`: what agrees, what differs, and what a log cannot determine.
@Suite struct ValidationTests {
    private func validate(_ log: ValidationLog, _ validation: Validation = Validation()) throws -> TraceStore {
        let folder = try TemporaryFolder()
        _ = try folder.write(log.text, to: "log.txt")
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.path("log.txt"), into: store)
        _ = try validation.run(in: store, trace: nil)
        #expect(try Pipeline.damage(of: store) == [])
        return store
    }

    /// A quantity's sums: recorded, predicted, matched, explained, missing, extra.
    private func sums(_ quantity: String, in store: TraceStore) throws -> String {
        try Pipeline.csv(
            """
            SELECT sum(recorded), sum(predicted), sum(matched), sum(explained), sum(missing), sum(extra)
            FROM validation WHERE quantity = '\(quantity)'
            """, in: store
        ).split(separator: "\n").last.map(String.init) ?? ""
    }

    private func differences(in store: TraceStore) throws -> [String] {
        try Pipeline.csv(
            "SELECT line || ' ' || kind || ' ' || text FROM validation_difference ORDER BY line, id", in: store
        )
        .split(separator: "\n").dropFirst().map { String($0.replacing("\"", with: "")) }
    }

    private func reasons(in store: TraceStore) throws -> [String] {
        try Pipeline.csv("SELECT reason || ' ' || sum(explained) FROM validation_reason GROUP BY reason", in: store)
            .split(separator: "\n").dropFirst().map(String.init)
    }

    /// So many calls that one without a flush leaves the domain strict.
    private func strictLog() -> ValidationLog {
        var log = ValidationLog()
        for call in 0..<Self.calls { log.strictUnmap(0xf000_0000 + call << 12) }
        return log
    }

    private static let calls: UInt64 = 200

    @Test func whatTheDriverShouldSendIsMatched() throws {
        let store = try validate(strictLog())
        #expect(try sums("flushes", in: store) == "200,200,200,0,0,0")
        #expect(try sums("descriptors", in: store) == "200,200,200,0,0,0")
        #expect(try differences(in: store) == [])
    }

    @Test func anotherAddressOrMaskOrHintDiffers() throws {
        for (address, mask, hint) in [(0xfff0_9000, 0, false), (0xfff0_8000, 1, false), (0xfff0_8000, 0, true)]
            as [(UInt64, UInt64, Bool)]
        {
            var log = strictLog()
            log.unmapFast(0xfff0_8000)
            log.sync(0xfff0_8000)
            log.pages(address, mask: mask, hint: hint)
            let store = try validate(log, Validation(hardware: Hardware(.vtd61)))
            #expect(try sums("flushes", in: store) == "201,201,201,0,0,0")
            #expect(try sums("descriptors", in: store) == "201,201,200,0,1,1")
            let found = try differences(in: store)
            #expect(found.count == 2)
            #expect(found.contains { $0.hasPrefix("\(log.lines.count) missing page-selective, address 0x") })
            #expect(
                found.contains {
                    $0.hasPrefix("\(log.lines.count - 2) extra page-selective, address 0xfff08000, mask 0")
                })
        }
    }

    @Test func anotherDomainIDDiffers() throws {
        var log = strictLog()
        log.map(0xfff0_8000)
        log.unmapFast(0xfff0_8000)
        log.sync(0xfff0_8000)
        log.id = 5
        log.pages(0xfff0_8000)
        #expect(try sums("descriptors", in: validate(log)) == "201,201,200,0,1,1")
    }

    @Test func aDomainGetsAnotherIDWithEachAttach() throws {
        var log = strictLog()
        log.add("attach: (intel_iommu_attach_device+0x5/0x8c0) domain=\(log.domain) dev=\"0000:00:03.0\"")
        log.id = 5
        log.context()
        log.wholeDomain()
        log.strictUnmap(0xfff0_8000)
        let store = try validate(log)
        #expect(try sums("descriptors", in: store) == "202,201,201,1,0,0")
        #expect(try reasons(in: store) == ["attach or detach 1"])
    }

    @Test func aMissingFlushAndCommandAreExtra() throws {
        var log = strictLog()
        log.map(0xfff0_8000)
        log.unmapFast(0xfff0_8000)
        log.strictUnmap(0xfff0_9000)
        let store = try validate(log)
        #expect(try sums("flushes", in: store) == "201,202,201,0,0,1")
        #expect(try sums("descriptors", in: store) == "201,202,201,0,0,1")
        #expect(try differences(in: store).allSatisfy { $0.hasPrefix("\(Self.calls * 5 + 3) extra") })
    }

    /// The log ends between an unmap and its command: the model's prediction cannot be held against it.
    @Test func whatTheEndOfTheLogCutsOffIsNoDifference() throws {
        var log = strictLog()
        log.map(0xfff0_8000)
        log.unmapFast(0xfff0_8000)
        let store = try validate(log)
        #expect(try sums("flushes", in: store) == "200,200,200,0,0,0")
        #expect(try sums("descriptors", in: store) == "200,200,200,0,0,0")
        #expect(try Pipeline.number("SELECT sum(undetermined) FROM validation", in: store) == 2)
    }

    @Test func aCommandWhoseCallIsNotInTheLogIsExplained() throws {
        var log = strictLog()
        log.pages(0x1000)
        let store = try validate(log)
        #expect(try sums("descriptors", in: store) == "201,200,200,1,0,0")
        #expect(try reasons(in: store) == ["no call in the log: a missed probe 1"])
    }

    /// Tracepoints are not missed: without flushes of the API, a command that no unmap explains is the model's fault.
    @Test func eventsAloneExplainNoMissingCommand() throws {
        var log = ValidationLog()
        for call in 0..<200 as Range<UInt64> {
            log.traceMap(0xfff0_0000 + call << 12)
            log.traceUnmap(0xfff0_0000 + call << 12)
            log.pages(0xfff0_0000 + call << 12)
        }
        log.pages(0x1000)
        let store = try validate(log)
        #expect(try sums("descriptors", in: store) == "201,200,200,0,1,0")
        #expect(try differences(in: store) == ["601 missing page-selective, address 0x1000, mask 0, domain id 4"])
    }

    @Test func commandsNearALossAreExplained() throws {
        var log = strictLog()
        log.add("lost")
        var lines = log.lines
        lines[lines.count - 1] = "CPU:0 [LOST 5 EVENTS]"
        log.pages(0x1000)
        let folder = try TemporaryFolder()
        _ = try folder.write((lines + log.lines.suffix(1)).map { $0 + "\n" }.joined(), to: "log.txt")
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.path("log.txt"), into: store)
        _ = try Validation().run(in: store, trace: nil)
        #expect(try sums("descriptors", in: store) == "201,200,200,1,0,0")
        #expect(try reasons(in: store) == ["lost events 1"])
    }

    @Test func aRemovedDeviceIsToldFromADetachedOne() throws {
        var log = strictLog()
        log.context()
        log.wholeDomain()
        log.add("remove_device_from_group: IOMMU: groupID=7 device=0000:00:08.0")
        let store = try validate(log)
        #expect(try reasons(in: store) == ["device removal 1"])
    }

    /// A table that goes takes the hint away; where it goes with a later range, the sync before sees it already.
    @Test func freedTablesClearTheHint() throws {
        var log = ValidationLog()
        for call in 0..<4 as Range<UInt64> {
            log.map(0x1000 + call << 12)
            log.unmapFast(0x1000 + call << 12)
            log.sync(0x1000 + call << 12)
            log.pages(0x1000 + call << 12, hint: true)
        }
        // 2 MiB that paddr's alignment makes small pages: the unmap takes their table too.
        log.map(0x4000_0000, 1 << 21, paddr: 0x1_0000_1000)
        log.unmapFast(0x4000_0000, 1 << 21)
        log.sync(0x4000_0000, 1 << 21)
        log.pages(0x4000_0000, mask: 9, hint: false)
        log.map(0x4000_0000, 1 << 21, paddr: 0x1_0020_0000)
        log.unmapFast(0x4000_0000, 1 << 21)
        log.sync(0x4000_0000, 1 << 21)
        log.pages(0x4000_0000, mask: 9, hint: true)
        let store = try validate(log)
        #expect(try Pipeline.csv("SELECT DISTINCT hardware FROM validation", in: store) == "hardware\nvtd-6.12\n")
        #expect(try sums("descriptors", in: store) == "6,6,6,0,0,0")
    }

    @Test func mapsAreFlushedInCachingMode() throws {
        var log = ValidationLog()
        for call in 0..<8 as Range<UInt64> {
            // A scatterlist of two, then one that happens to begin where it ended.
            for page in [0, 1] as [UInt64] { log.traceMap(0xfff0_0000 + (call * 4 + page) << 12) }
            log.pages(0xfff0_0000 + call << 14, mask: 1)
            log.traceMap(0xfff0_2000 + call << 14)
            log.pages(0xfff0_2000 + call << 14)
            log.traceUnmap(0xfff0_0000 + call << 14, 3 << 12)
            log.pages(0xfff0_0000 + call << 14, mask: 2)
        }
        let store = try validate(log)
        #expect(
            try Pipeline.csv("SELECT DISTINCT hardware FROM validation", in: store)
                == "hardware\n\"vtd-6.1,caching-mode\"\n")
        #expect(try sums("descriptors", in: store) == "24,24,24,0,0,0")
        // Without it, nothing explains two of three.
        let named = try validate(log, Validation(hardware: Hardware(.vtd61)))
        #expect(try sums("descriptors", in: named) == "24,8,8,0,16,0")
    }

    @Test func aQueuesFlushesAreComparedByTime() throws {
        var log = ValidationLog()
        for round in 0..<4 as Range<UInt64> {
            log.map(0xfff0_0000 + round << 12)
            log.unmapFast(0xfff0_0000 + round << 12, queued: 1)
            log.wait(microseconds: 17_000)
            log.add("fq_timeout: (fq_flush_timeout+0x5/0x110) timer=0xff1f9ec7fbaebf88")
            log.add("fq_flush: (fq_flush_iotlb+0x5/0x30) cookie=0xff1f9ec7fbaebf00")
            log.add("flush_all: (intel_flush_iotlb_all+0x5/0xb0) domain=\(log.domain)")
            log.wholeDomain()
        }
        let store = try validate(log)
        #expect(try sums("flushes", in: store) == "4,4,4,0,0,0")
        #expect(try sums("descriptors", in: store) == "4,4,4,0,0,0")
        let furthest = try #require(
            try Pipeline.number("SELECT max(distance_max_ns) FROM validation WHERE quantity = 'flushes'", in: store))
        #expect((1...8_000_000).contains(furthest))
    }

    @Test func aNewValidationReplacesTheFormer() throws {
        var log = strictLog()
        log.pages(0x1000)
        let store = try validate(log)
        let first = try Pipeline.contents(of: store)
        _ = try Validation().run(in: store, trace: nil)
        let second = try Pipeline.contents(of: store)
        #expect(first["validation"]?.count == second["validation"]?.count)
        #expect(try sums("descriptors", in: store) == "201,200,200,1,0,0")
        try store.forget(trace: "log")
        for table in ["validation", "validation_reason", "validation_difference"] {
            #expect(try Pipeline.contents(of: store)[table] == [])
        }
    }

    /// Whatever a log holds: each recorded one is matched, explained or missing, each predicted one matched or extra.
    @Test(arguments: seeds) func sumsAgreeInAnyLog(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var log = ValidationLog()
        let domains = ["0xff1f9ec7fbaebf50", "0xff1f9ec78baa2ad0"]
        for _ in 0..<600 {
            log.domain = domains[Int(random.next() % 2)]
            log.id = 4 + Int(random.next() % 3)
            log.cpu = Int(random.next() % 2)
            log.task = random.next() & 1 == 0 ? "fio-264" : "kworker/0:1-29"
            let iova = 0xfff0_0000 + (random.next() % 16) << 12
            switch random.next() % 12 {
            case 0: log.map(iova)
            case 1: log.unmapFast(iova)
            case 2: log.sync(iova)
            case 3: log.pages(iova)
            case 4: log.pages(iova, mask: random.next() % 64, hint: random.next() & 1 == 0)
            case 5: log.wholeDomain()
            case 6: log.context()
            case 7: log.add("flush_all: (intel_flush_iotlb_all+0x5/0xb0) domain=\(log.domain)")
            case 8: log.add("attach: (intel_iommu_attach_device+0x5/0x8c0) domain=\(log.domain) dev=\"0000:00:03.0\"")
            case 9: log.add("remove_device_from_group: IOMMU: groupID=7 device=0000:00:03.0")
            default: log.strictUnmap(iova)
            }
        }
        for hardware in [nil, Hardware(.vtd612), Hardware(.amd6, cachesAbsent: true)] {
            for policy in [nil, Policy.vfio, .kernelQueue, .recorded] {
                let store = try validate(log, Validation(hardware: hardware, policy: policy))
                #expect(
                    try Pipeline.csv(
                        """
                        SELECT * FROM validation
                        WHERE recorded <> matched + explained + missing OR predicted <> matched + extra
                            OR min(recorded, predicted, matched, explained, missing, extra, undetermined) < 0
                        """, in: store
                    ).split(separator: "\n").count == 1)
                #expect(
                    try Pipeline.number(
                        "SELECT sum(recorded) FROM validation WHERE quantity = 'descriptors'", in: store)
                        == Pipeline.number("SELECT count(*) FROM layer WHERE kind = 11", in: store))
            }
        }
    }

    // MARK: - The laboratory

    /// The heart of it: each descriptor that a real kernel sent is predicted or explained, and none besides.
    @Test("the laboratory's kernels sent what the model predicts, to the last bit", arguments: SharedTraces.recorded)
    func lab(log: RecordedLog) throws {
        let store = try PreparedLogs.copy(of: log)
        _ = try Validation().run(in: store, trace: nil)
        #expect(
            try Pipeline.csv(
                "SELECT * FROM validation WHERE quantity = 'descriptors' AND (missing > 0 OR extra > 0)", in: store
            ).split(separator: "\n").count == 1)
        #expect(
            try Pipeline.csv(
                "SELECT * FROM validation WHERE basis NOT LIKE 'queue%' AND (missing > 0 OR extra > 0)", in: store
            ).split(separator: "\n").count == 1)
        // What is explained is what attaches, detaches and removals send.
        #expect(
            try Pipeline.csv(
                """
                SELECT DISTINCT reason FROM validation_reason
                WHERE reason NOT IN ('attach or detach', 'device removal', 'flush queue', 'begin of the log',
                    'flush_all, not by an unmap')
                """, in: store) == "reason\n")
    }

    /// Flushes of VFIO, from the unmaps alone: syncs recorded, predicted and matched.
    @Test(
        "VFIO's syncs follow from the unmaps alone",
        arguments: [
            ("6.1-strict/vfiounmap.probes", 2084), ("6.1-lazy/vfiounmap.probes", 2084),
            ("6.1-strict/vfiokill.probes", 31), ("6.1-lazy/vfiokill.probes", 29),
            ("6.1-strict/vfioclose.probes", 30), ("6.1-lazy/vfioclose.probes", 30),
            ("6.18-strict/vfiounmap.probes", 2088), ("6.19-strict/vfiounmap.probes", 2081),
            ("7.3-strict/vfiounmap.probes", 2081), ("7.3-lazy/vfiounmap.probes", 2081),
            ("7.3-flts-strict/vfiounmap.probes", 2081), ("7.3-cachingmode-lazy/vfiounmap.probes", 2081),
            ("7.3-amd-strict/vfiounmap.probes", 2081), ("7.3-iommufd-strict/vfiounmap.probes", 2081),
            ("6.19-strict/vfiokill.probes", 25), ("7.3-strict/vfiokill.probes", 25), ("7.3-lazy/vfiokill.probes", 25),
            ("6.19-strict/rebind.probes", 2), ("7.3-strict/rebind.probes", 2), ("7.3-lazy/rebind.probes", 2),
        ].filter { SharedTraces.log($0.0) != nil })
    func vfio(name: String, syncs: Int) throws {
        let store = try PreparedLogs.copy(of: #require(SharedTraces.log(name)))
        _ = try Validation().run(in: store, trace: nil)
        #expect(
            try Pipeline.csv(
                "SELECT basis, recorded, predicted, matched FROM validation WHERE quantity = 'flushes'", in: store)
                == "basis,recorded,predicted,matched\nvfio,\(syncs),\(syncs),\(syncs)\n")
    }

    /// Each batch of iommufd is a call that syncs; as a policy its batches come to the same number.
    @Test(
        "iommufd's syncs follow from its calls, and from runs of page frames",
        arguments: [("fdunmap", 2055), ("fdkill", 4), ("fdclose", 4)].filter {
            SharedTraces.log("7.3-iommufd-strict/\($0.0).probes") != nil
        })
    func iommufd(name: String, syncs: Int) throws {
        let store = try PreparedLogs.copy(of: #require(SharedTraces.log("7.3-iommufd-strict/\(name).probes")))
        _ = try Validation().run(in: store, trace: nil)
        #expect(
            try Pipeline.csv(
                "SELECT basis, recorded, predicted, matched FROM validation WHERE quantity = 'flushes'", in: store)
                == "basis,recorded,predicted,matched\nsync,\(syncs),\(syncs),\(syncs)\n")
        _ = try Replay([.init(.fast)]).run(in: store, trace: nil)
        #expect(
            try Pipeline.csv("SELECT policy, flushes FROM replay", in: store)
                == "policy,flushes\niommufd=5461,\(syncs)\n")
    }

    /// The quiet runs: what a queue would do with the unmaps that are queued, and the two-step DMA API's syncs one by one.
    @Test(
        "a quiet lazy kernel flushed as its queue does, within 2 %",
        arguments: [("nvme", 283, 200), ("net", 54, 0), ("vblk", 121, 0)].filter {
            SharedTraces.log("7.3-lazy-quiet/\($0.0).probes") != nil
        })
    func quietQueues(name: String, flushes: Int64, immediate: Int64) throws {
        let store = try PreparedLogs.copy(of: #require(SharedTraces.log("7.3-lazy-quiet/\(name).probes")))
        _ = try Validation().run(in: store, trace: nil)
        func number(_ column: String) throws -> Int64 {
            try #require(
                try Pipeline.number("SELECT \(column) FROM validation WHERE quantity = 'flushes'", in: store))
        }
        #expect(try number("recorded") == flushes)
        #expect(abs(try number("predicted") - flushes) * 50 <= flushes)
        #expect(try number("matched") * 50 >= flushes * 49)
        #expect(
            try Pipeline.csv("SELECT mode FROM domain WHERE mode_reason <> 'no unmaps'", in: store)
                == "mode\n\(immediate > 0 ? "mixed" : "deferred")\n")
        _ = try Replay([.init(.kernelQueue), .init(.recorded)]).run(in: store, trace: nil)
        #expect(
            try Pipeline.number(
                """
                SELECT coalesce(sum(flush.flushes), 0) FROM flush JOIN flush_cause ON flush_cause.id = flush.cause
                JOIN replay ON replay.id = flush.replay WHERE replay.policy LIKE 'queue%' AND flush_cause.name = 'call'
                """, in: store) == immediate)
    }
}
