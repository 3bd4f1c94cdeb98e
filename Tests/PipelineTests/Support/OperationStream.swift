import IOMMUModel
import Operations

@testable import Replay
@testable import TraceStore
import TestSupport

extension StoredOperation {
    /// An operation with a range, of CPU 0 and one task.
    static func make(
        _ kind: Operation.Kind, id: Int64 = 1, time: Int64 = 0, domain: Int32 = 1, iova: UInt64 = 0, size: UInt64 = 0,
        result: UInt64? = nil, flags: Operation.Flags = [], cpu: Int32 = 0, pid: Int32 = 100, device: Int32 = 0,
        paddr: UInt64? = 0
    ) -> StoredOperation {
        StoredOperation(
            id: id, time: time, kind: kind, flags: flags, cpu: cpu, pid: pid, domain: domain, device: device,
            iova: iova, size: size, paddr: paddr, result: result, hasRange: size > 0, line: id)
    }
}

extension TraceSummary {
    /// A trace of domains of one kind and mode.
    static func make(
        domains: Int = 1, kind: Operations.Domain.Kind = .dma, mode: Operations.Domain.Mode = .strict,
        lastTime: Int64 = 0, flushLayer: FlushLayer = .api, showsAttaches: Bool = false, lossLines: [Int64] = [],
        showsSyncs: Bool = true
    ) -> TraceSummary {
        TraceSummary(
            id: 1, name: "made", firstTime: 0, lastTime: lastTime, flushLayer: flushLayer, showsSyncs: showsSyncs,
            showsAttaches: showsAttaches,
            operationIDs: 1..<1, layerIDs: 1..<1,
            domains: (1...domains).map {
                Domain(
                    id: Int64($0), name: "0x\($0)", kind: kind, kindEvidence: .inferred, mode: mode,
                    evidence: .recorded, isAssumedAttached: false)
            }, pids: [], firstTaskID: 1, firstDeviceID: 0, losses: lossLines.map { Loss(line: $0, time: .min) })
    }
}

/// Operations as hosts make them and as they do not: runs of unmaps of several tasks, CPUs and domains, with whatever
/// else a log holds in between, and a clock that now and then runs backwards a little.
struct OperationStream {
    static let domains: Int32 = 3

    private(set) var operations: [StoredOperation] = []
    private var random: SeededGenerator
    private var time: Int64 = 1_000_000
    /// The run going on in each domain.
    private var runs: [Run]

    private struct Run {
        var pid: Int32 = 100
        var cpu: Int32 = 0
        var iova: UInt64 = 0
        var size: UInt64 = 4096
        var flags: Operation.Flags = []
        var kind = Operation.Kind.unmapFast
        /// One operation in this many is something else.
        var patience: UInt64 = 8
    }

    /// One operation in this many is something else in a long run.
    private let longPatience: UInt64
    private let clockRunsBack: Bool

    /// - Parameters:
    ///   - longPatience: 900 makes runs of over 512 regions without a gap, few of them.
    ///   - clockRunsBack: whether the clock may run back a little now and then.
    init(seed: UInt64, count: Int, longPatience: UInt64 = 900, clockRunsBack: Bool = true) {
        random = SeededGenerator(seed: seed)
        self.longPatience = longPatience
        self.clockRunsBack = clockRunsBack
        runs = Array(repeating: Run(), count: Int(Self.domains))
        var domain = 0
        while operations.count < count {
            tick()
            if random.next() % runs[domain].patience != 0 {
                unmap(in: domain)
            } else {
                if random.next() % 3 == 0 { domain = Int(random.next() % 3) }
                if random.next() % 2 == 0 { begin(in: domain) } else { somethingElse(in: domain) }
            }
        }
    }

    /// Lines between operations at which some events are lost.
    var lossLines: [Int64] {
        stride(from: 1, to: operations.count, by: 1 + operations.count / 7).map { Int64($0) * 2 + 1 }
    }

    /// Time of the last event.
    var lastTime: Int64 { operations.map(\.time).max() ?? 0 }

    private mutating func tick() {
        switch random.next() % 64 {
        case 0: time += Int64(random.next() % 30_000_000)
        case 1 where clockRunsBack: time -= Int64(random.next() % 5000)
        case 2...20: break
        default: time += Int64(random.small(below: 20_000))
        }
    }

    private mutating func append(_ operation: StoredOperation) {
        var operation = operation
        operation.id = Int64(operations.count) + 1
        operation.line = operation.id * 2
        operation.time = time
        operation.task = operation.pid - 99
        operation.completed = time + (random.next() % 3 == 0 ? Int64(random.small(below: 200_000)) : 0)
        operations.append(operation)
    }

    private mutating func begin(in domain: Int) {
        var run = Run()
        run.pid = 100 + Int32(random.next() % 4)
        run.cpu = Int32(random.next() % 3)
        run.iova = random.next() & 1 == 0 ? runs[domain].iova : (random.next() % (1 << 20)) << 12
        run.size = [4096, 4096, 4096, 8192, 3 << 12, 2 << 20, (2 << 20) + 4096][Int(random.next() % 7)]
        run.patience = random.next() % 16 == 0 ? longPatience : [2, 4, 16][Int(random.next() % 3)]
        if random.next() % 6 == 0 { run.kind = .unmap }
        if random.next() % 6 == 0 { run.flags = random.next() & 1 == 0 ? .byProbe : .queued }
        runs[domain] = run
        unmap(in: domain)
    }

    private mutating func unmap(in domain: Int) {
        let run = runs[domain]
        // What is unmapped was mapped mostly, to pages that other domains use too.
        let isLong = run.patience == longPatience
        if !isLong, random.next() % 3 != 0 { map(in: Int32(domain) + 1, iova: run.iova, size: run.size) }
        var result: UInt64? = random.next() & 1 == 0 ? run.size : nil
        // A long run must reach 512 regions without a gap.
        switch isLong ? .max : random.next() % 256 {
        case 0: result = 0
        case 1: result = run.size - 4096
        // A superpage was there: more came off than was asked for.
        case 2: result = run.size + 4096
        default: break
        }
        var unmap = StoredOperation.make(
            run.kind, domain: Int32(domain) + 1, iova: run.iova, size: run.size, result: result, flags: run.flags,
            cpu: run.cpu, pid: run.pid)
        if !isLong, random.next() % 16 == 0 {
            // Some callbacks of the call were synced before the tracepoint tells of it.
            unmap.sinceEntry = 1000
            append(
                .make(
                    .sync, domain: unmap.domain, iova: run.iova, size: 4096 * (1 + random.small(below: 4)),
                    cpu: run.cpu, pid: run.pid))
        }
        append(unmap)
        runs[domain].iova += result ?? run.size
        if !isLong, random.next() % 128 == 0 { runs[domain].iova += 4096 }
    }

    private mutating func map(in domain: Int32, iova: UInt64, size: UInt64) {
        append(
            .make(
                .map, domain: domain, iova: iova, size: size, cpu: Int32(random.next() % 3), pid: 104,
                paddr: random.next() % 16 == 0 ? nil : random.small(below: 512) << 12))
    }

    /// An address that was unmapped not long ago.
    private mutating func recentAddress(in domain: Int) -> UInt64 {
        runs[domain].iova &- min(random.small(below: 64) << 12, runs[domain].iova)
    }

    private mutating func somethingElse(in domain: Int) {
        let pid = 100 + Int32(random.next() % 4)
        let other = 1 + Int32(random.next() % 3)
        let device = Int32(random.next() % 3)
        let run = runs[domain]
        switch random.next() % 16 {
        case 0, 1:
            append(
                .make(
                    .map, domain: other, iova: run.iova, size: run.size, flags: random.next() % 8 == 0 ? .failed : [],
                    pid: pid, paddr: (random.next() % 4096) << 12))
        case 2, 3:
            // The range of the last unmaps, of some of them, or of none.
            let pages = random.small(below: 2048) << 12
            var sync = StoredOperation.make(
                .sync, domain: Int32(domain) + 1, iova: run.iova - min(pages, run.iova), size: pages, pid: pid)
            // An empty gather, or a sync of which the log tells no range.
            if pages == 0 { sync.hasRange = random.next() & 1 == 0 }
            append(sync)
        case 4: append(.make(.flushAll, domain: other, pid: pid))
        case 5, 10: append(.make(.attach, domain: other, pid: pid, device: device))
        case 6: append(.make(.detach, domain: other, pid: pid, device: device))
        case 7: append(.make(.domainAlloc, domain: other, pid: pid))
        case 8: append(.make(.domainFree, domain: other, pid: pid))
        case 13, 14:
            map(in: Int32(domain) + 1, iova: recentAddress(in: domain), size: 4096 << random.small(below: 4))
        case 15:
            var fault = StoredOperation.make(
                .ioPageFault, domain: 0, iova: recentAddress(in: domain) | 0x123, pid: pid, device: device)
            fault.hasRange = random.next() % 8 != 0
            append(fault)
        case 9 where random.next() & 1 == 0: append(.make(.ioPageFault, domain: 0, pid: pid))
        case 9: append(.make(.marker, domain: 0, pid: pid))
        case 11: append(.make(.unmap, domain: random.next() & 1 == 0 ? 0 : other, iova: run.iova, pid: pid))
        default:
            append(
                .make(
                    .unmap, domain: other, iova: run.iova, size: 4096, result: 4096, flags: [.attachProbe, .byProbe],
                    pid: pid))
        }
    }
}
