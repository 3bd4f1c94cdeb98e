import TestSupport
import Testing

@testable import IOMMUModel

/// The interface against a dictionary of pages, in all eras side by side (model.md §9 items 1, 2, 6, 10 to 13, 15, 16, 34).
@Suite struct ContractTwinTests {
    private static func turns(_ format: any PageTableFormat) -> Int { format.geometry.bitsPerLevel == 9 ? 60 : 36 }

    private func call(_ machine: inout ContractMachine, _ call: ContractScript.Call) -> (error: IOMMUError?, UInt64) {
        do throws(IOMMUError) {
            switch call {
            case .map(let iova, let paddr, let size), .clash(let iova, let paddr, let size, _):
                try machine.map(iova, to: paddr, size)
                return (nil, 0)
            case .unmap(let iova, let size): return (nil, machine.unmap(iova, size))
            }
        } catch { return (error, 0) }
    }

    @Test(arguments: namedFormats) func strictCallsDoWhatTheySay(format: Named<any PageTableFormat>) throws {
        let format = format.value
        let seen = try seeds.prefix(4).reduce((clashes: 0, parts: 0)) { sum, seed in
            let seen = try strictCallsDoWhatTheySay(format, seed: seed)
            return (sum.clashes + seen.clashes, sum.parts + seen.parts)
        }
        #expect(
            (seen.clashes > 0) == (format.rules.overPage == .fail(.exists) || format.rules.overPage == .fail(.busy)))
        #expect((seen.parts > 0) == (format.rules.partialUnmap != .split))
    }

    /// - Returns: how many maps were refused, and how many unmaps did other than they were asked to.
    private func strictCallsDoWhatTheySay(
        _ format: any PageTableFormat, seed: UInt64
    ) throws -> (clashes: Int, parts: Int) {
        let isVTd = format.rules.unmapWalk == .range
        var twin = ContractTwin(format)
        var script = ContractScript(format, seed: seed, allowsInsides: !isVTd || seed % 2 == 0)
        let size = format.geometry.bitsPerLevel == 9 ? 1024 : 64
        var machines = try InterfaceEra.allCases.map {
            try ContractMachine(DriverModel(format: format), era: $0, iotlb: size)
        }
        var random = SeededGenerator(seed: seed)
        var (mapped, unmapped, clashes, parts, calls, removing) = (
            0 as UInt64, 0 as UInt64, 0, 0, 0 as Int64, 0 as Int64
        )
        for turn in 0..<Self.turns(format) {
            let next = script.next(twin)
            // Caches are full of what is about to go.
            let touched = (0..<60).map { _ in script.zone.start + random.next() % script.zone.size }
            for index in machines.indices { for iova in touched { _ = machines[index].read(iova) } }
            let outcomes = machines.indices.map { call(&machines[$0], next) }
            var events: [ContractEvent]
            switch next {
            case .map(let iova, let paddr, let size):
                twin.map(iova, to: paddr, size)
                mapped += size
                events = [.map(domain: machines[0].domain, iova: iova, paddr: paddr, size: size)]
                #expect(outcomes.allSatisfy { $0 == (nil, 0) })
            case .clash(let iova, _, _, let before):
                // Item 11: nothing has changed, and an unmap without a map is in the trace.
                let taken = before * script.granule
                events = [.unmap(domain: machines[0].domain, iova: iova, size: taken, unmapped: taken)]
                #expect(outcomes.allSatisfy { $0.error == .exists || $0.error == .busy || $0.error == .noMemory })
                clashes += 1
                calls += 1
                removing += taken > 0 ? 1 : 0
            case .unmap(let iova, let size):
                let expected = twin.unmap(iova, size)
                unmapped += expected
                parts += expected == size ? 0 : 1
                calls += 1
                removing += expected > 0 ? 1 : 0
                events = [.unmap(domain: machines[0].domain, iova: iova, size: size, unmapped: expected)]
                #expect(outcomes.allSatisfy { $0 == (nil, expected) }, "\(format.name) \(next) \(outcomes)")
            }
            for index in machines.indices {
                let traced = machines[index].core.takeEvents().filter {
                    switch $0 {
                    case .map, .unmap: true
                    default: false
                    }
                }
                // Since 7.1 what a failed map takes back was told before.
                var expected = events
                if case .clash(let iova, let paddr, _, let before) = next, machines[index].core.era.tracesFailedMaps {
                    let size = before * script.granule
                    expected.insert(.map(domain: machines[0].domain, iova: iova, paddr: paddr, size: size), at: 0)
                }
                #expect(traced == expected)
                #expect(machines[index].table?.mappedBytes == twin.bytes)
                for iova in touched { check(&machines[index], iova, twin, mayBeStale: isVTd && seed % 2 == 0) }
            }
            if turn % 16 == 15 { compare(machines, twin) }
            // Item 12, unless VT-d took more than it says.
            if !isVTd || seed % 2 == 1 { #expect(twin.bytes == mapped - unmapped) }
        }
        compare(machines, twin)
        for machine in machines {
            // Item 2: one sync for each call, since 7.1 for each that removed something, and since 5.4 one more for each thing that
            // did not fit a gather.
            #expect(machine.core.counts.unmaps == calls)
            #expect(
                machine.core.counts.syncs - machine.core.counts.implicitSyncs
                    == (machine.core.era.skipsEmptySyncs ? removing : calls))
            #expect(machine.core.era >= .v54 || machine.core.counts.implicitSyncs == 0)
        }
        #expect(mapped > 0 && unmapped > 0)
        return (clashes, parts)
    }

    /// Items 10 and 34: the interface and the device see what the dictionary says.
    private func check(_ machine: inout ContractMachine, _ iova: UInt64, _ twin: ContractTwin, mayBeStale: Bool) {
        let offset = iova & (twin.granule - 1)
        let expected = twin.pages[iova - offset].map { $0.target + offset }
        #expect(machine.core.iovaToPhys(machine.domain, iova: iova) == expected ?? 0)
        let seen = machine.read(iova)
        if !mayBeStale {
            #expect(seen?.paddr == expected)
            #expect(seen?.isStale != true)
        }
    }

    /// Item 15: all eras choose the same pages.
    private func compare(_ machines: [ContractMachine], _ twin: ContractTwin) {
        let leaves = machines[0].leaves
        #expect(machines.allSatisfy { $0.leaves == leaves })
        var pages: [UInt64: UInt64] = [:]
        for leaf in leaves {
            for offset in stride(from: 0, to: leaf.bytes, by: Int(twin.granule)) {
                pages[leaf.iova + offset] = leaf.target + offset
            }
        }
        #expect(pages == twin.pages.mapValues(\.target))
    }

    // MARK: - Strict, fast, and fast to the end

    /// Item 6: unmap_fast, range_add of what it unmapped and a sync is unmap; one sync at the end leaves the same tables and no
    /// stale translation, and fewer entries never.
    @Test(arguments: namedFormats, seeds.prefix(2)) func fastWithASyncIsStrict(
        format: Named<any PageTableFormat>, seed: UInt64
    ) throws {
        let format = format.value
        let isVTd = format.rules.unmapWalk == .range
        for era in InterfaceEra.allCases {
            var twin = ContractTwin(format)
            var script = ContractScript(format, seed: seed, allowsInsides: !isVTd)
            let driver = DriverModel(format: format)
            var strict = try ContractMachine(driver, era: era, iotlb: 2048)
            var synced = strict
            var late = strict
            var gather = Gather()
            var random = SeededGenerator(seed: seed)
            for _ in 0..<Self.turns(format) / 2 {
                let next = script.next(twin)
                let touched = (0..<30).map { _ in script.zone.start + random.next() % script.zone.size }
                for iova in touched {
                    _ = (strict.read(iova), synced.read(iova))
                    // What is read while it is stale would be read from memory again by the others.
                    if late.entries.isSubset(of: synced.entries) { _ = late.read(iova) }
                }
                switch next {
                case .map(let iova, let paddr, let size):
                    twin.map(iova, to: paddr, size)
                    for call in [0, 1, 2] {
                        switch call {
                        case 0: try strict.map(iova, to: paddr, size)
                        case 1: try synced.map(iova, to: paddr, size)
                        default: try late.map(iova, to: paddr, size)
                        }
                    }
                case .clash: continue
                case .unmap(let iova, let size):
                    let expected = twin.unmap(iova, size)
                    var once = Gather()
                    #expect(strict.unmap(iova, size) == expected)
                    #expect(synced.core.unmapFast(synced.domain, iova: iova, size: size, gather: &once) == expected)
                    #expect(late.core.unmapFast(late.domain, iova: iova, size: size, gather: &gather) == expected)
                    if expected > 0 {
                        synced.core.tlbRangeAdd(synced.domain, iova: iova, size: size)
                        late.core.tlbRangeAdd(late.domain, iova: iova, size: size)
                    }
                    synced.core.tlbSync(synced.domain, gather: &once)
                }
                #expect(strict.entries == synced.entries)
            }
            late.core.tlbSync(late.domain, gather: &gather)
            #expect(strict.leaves == synced.leaves && strict.leaves == late.leaves)
            let (one, other) = (strict.core.counts, synced.core.counts)
            #expect(one.syncs == other.syncs && one.commands == other.commands && one.unmaps == other.unmaps)
            if era >= .v54 { #expect(one == other) }
            let isClean = late.entries.allSatisfy { late.table?.physicalAddress(of: $0.range.start) == $0.target }
            #expect(isClean)
            #expect(late.core.counts.syncs <= one.syncs)
            #expect(era >= .v54 || late.core.counts.syncs == 1)
        }
    }
}
