import TestSupport
import Testing

@testable import IOMMUModel

/// A DMA-FQ domain under the interface, with its flush queue and timer (model.md §2.3, §2.4, §9 items 21 to 23).
@Suite struct ContractQueueTests {
    @Test(arguments: seeds) func addressesAreFreeWhenNothingOfThemIsStale(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var machine = try ContractMachine(DriverModel(format: AMDVersion1()), era: .v612, type: .dmaFQ)
        let settings = try #require(FlushQueue.Settings(entries: 16, timeout: 10_000_000, ringPerCPU: true))
        var queue = FlushQueue()
        var (now, due) = (0 as Int64, nil as Int64?)
        var (arms, fires, ringFull) = (0, 0, 0)
        // Unmapped and not flushed; a queue would not hand them out again.
        var withheld: Set<UInt64> = []
        var free = (0..<128).map { UInt64($0) * fourK }
        func flush(_ machine: inout ContractMachine) {
            machine.core.flushTLBAll(machine.domain)
            for iova in withheld { #expect(machine.read(iova) == nil) }
            free += withheld
            withheld = []
        }
        for _ in 0..<3000 {
            now += Int64(random.small(below: 2_000_000))
            if let time = due, time <= now {
                due = nil
                fires += 1
                let waiting = queue.timerFired()
                #expect(waiting == Int64(withheld.count))
                flush(&machine)
            }
            #expect(queue.isTimerArmed == (due != nil))
            guard let iova = free.popLast() else { continue }
            let paddr = random.next() % (1 << 30) & ~0xfff
            try machine.map(iova, to: paddr, fourK)
            #expect(machine.read(iova)?.paddr == paddr)
            let result = machine.core.dmaUnmap(machine.domain, iova: iova + 8, size: 100)
            #expect(result == .init(unmapped: fourK, mustQueue: true))
            #expect(machine.read(iova)?.isStale == true)
            let queued = queue.queue(cpu: Int32(random.next() % 3), settings: settings)
            if let covered = queued.ringFullFlush {
                ringFull += 1
                #expect(covered == Int64(withheld.count))
                flush(&machine)
            }
            withheld.insert(iova)
            if queued.armsTimer {
                // Item 23: never a second one.
                #expect(due == nil)
                due = now + settings.timeout
                arms += 1
            }
        }
        #expect(arms == fires + (due == nil ? 0 : 1))
        #expect(fires > 0 && ringFull > 0)
        #expect(machine.core.counts.flushAlls == Int64(fires + ringFull))
        #expect(machine.core.counts.syncs == 0 && machine.core.counts.commands == Int64(fires + ringFull))
    }
}
