import GRDB
import Operations

// What layers tell of flushes is known only after them in the log. Both readers below look ahead for it, this far and no
// farther: what comes later on a CPU that did nothing else at the API is no part of the flush any more.
private let linesAhead: Int64 = 1 << 16

/// When the flushes of the API end: at the last of their layers (design §4 10).
final class FlushEnds {
    private typealias Layer = (flush: Int64, time: Int64, line: Int64)

    private let layers: RawStatement
    private var next: Layer?
    /// By the low bits of a flush's id: ids within reach of each other differ in them.
    private var ends: ContiguousArray<(flush: Int64, time: Int64)>
    private static let slots: Int64 = linesAhead * 2

    init(_ database: Database, _ trace: TraceSummary, through last: Int64) throws {
        layers = try RawStatement(
            database,
            """
            SELECT flush, time_ns, line FROM layer
            WHERE id >= ?1 AND id < ?2 AND line <= ?3 AND flush IS NOT NULL ORDER BY id
            """, [trace.layerIDs.lowerBound, trace.layerIDs.upperBound, last])
        ends = ContiguousArray(repeating: (0, 0), count: Int(Self.slots))
        next = try read()
    }

    /// The time of a flush's last layer, or its own if it has none; flushes must be asked for in the order of the log.
    func end(of flush: StoredOperation) throws -> Int64 {
        while let layer = next, layer.line <= flush.line.addingSaturated(linesAhead) {
            let slot = Int(layer.flush & (Self.slots - 1))
            if ends[slot].flush < layer.flush {
                ends[slot] = (layer.flush, layer.time)
            } else if ends[slot].flush == layer.flush {
                ends[slot].time = max(ends[slot].time, layer.time)
            }
            next = try read()
        }
        let end = ends[Int(flush.id & (Self.slots - 1))]
        return end.flush == flush.id ? max(end.time, flush.time) : flush.time
    }

    private func read() throws -> Layer? {
        try layers.step() ? (layers.integer(0), layers.integer(1), layers.integer(2)) : nil
    }
}

/// The runs of IOTLB invalidations of a log without flushes of the API, each as its commands one after the other, at the
/// line of the first.
final class InvalidationRuns {
    private struct Run {
        var commands: ContiguousArray<StoredOperation>
        var completed: Int64
        /// `nil` if it is of all: a global invalidation.
        var hardwareDomain: Int64?

        var isOfWholeDomain: Bool { !commands[0].hasRange }
    }

    /// Where a log names no domains, a flush of one hardware domain need not be that of an unmap before it. But a domain
    /// that defers its flushes does flush: one that has not within this time, in ns, was not the unmap's.
    private static let patience: Int64 = 100_000_000
    /// So many runs are looked through for the flushes of other hardware domains.
    private static let runsAhead = 4096

    private let layers: RawStatement
    private let firstDomain: Int64
    private let hardwareDomains: HardwareDomains
    /// Whose a command is if nothing tells: of the only domain that there is; 0 for several.
    private let onlyDomain: Int32
    /// Runs read and not handed on yet, and the number of the first.
    private var runs: ContiguousArray<Run> = []
    private var head = 0
    private var base = 0
    private var lastOfCPU: [Int32: Int] = [:]
    private var position = 0
    private var pending: (command: StoredOperation, hardwareDomain: Int64?)?
    /// By hardware domain, where and when all of it was flushed last.
    private var lastFlush: [Int64: (line: Int64, time: Int64)] = [:]
    /// Likewise of all hardware domains at once.
    private var lastGlobalFlush: (line: Int64, time: Int64)?

    init(_ database: Database, _ trace: TraceSummary, through last: Int64) throws {
        firstDomain = (trace.domains.first?.id ?? 1) - 1
        hardwareDomains = trace.hardwareDomains
        onlyDomain = trace.domains.count == 1 ? 1 : 0
        // A run without a domain is one of the operations without a domain, if there are any.
        let unresolved = trace.domains.first { $0.isUnresolved }?.id ?? 0
        let kinds = Layer.Kind.allCases.filter(\.invalidatesIOTLB).map { "\($0.rawValue)" }.joined(separator: ", ")
        layers = try RawStatement(
            database,
            """
            SELECT time_ns, line, cpu, flags & 2, granularity,
                coalesce(domain, \(unresolved)),
                address & ~((4096 << coalesce(mask, 0)) - 1), 4096 << coalesce(mask, 0), coalesce(hardware_domain, -1),
                coalesce(unit, 0)
            FROM layer WHERE id >= ?1 AND id < ?2 AND line <= ?3 AND kind IN (\(kinds)) AND cause IS NULL ORDER BY id
            """, [trace.layerIDs.lowerBound, trace.layerIDs.upperBound, last])
        pending = try read()
    }

    /// The next command; `nil` after the last.
    func next() throws -> StoredOperation? {
        if head == runs.count, let first = pending {
            pending = try read()
            add(first)
        }
        guard head < runs.count else { return nil }
        let first = runs[head].commands[0].line
        while let further = pending, further.command.line <= first.addingSaturated(linesAhead) {
            pending = try read()
            add(further)
        }
        var command = runs[head].commands[position]
        command.completed = runs[head].completed
        if position > 0 { command.line = first }
        if runs[head].isOfWholeDomain {
            command.certainBefore = certainBefore(runs[head])
            let flush = (first, runs[head].commands[0].time)
            if let domain = runs[head].hardwareDomain { lastFlush[domain] = flush } else { lastGlobalFlush = flush }
        }
        position += 1
        if position == runs[head].commands.count { removeFirst() }
        return command
    }

    /// An unmap that another hardware domain's next flush may be for waits for that one too, unless that domain has been
    /// flushed since.
    private func certainBefore(_ flush: Run) -> (line: Int64, time: Int64) {
        var (line, moment) = (Int64.max, Int64.max)
        guard let hardwareDomain = flush.hardwareDomain else { return (line, moment) }
        var seen: Set = [hardwareDomain]
        let time = flush.commands[0].time
        for run in runs[head...].dropFirst().prefix(Self.runsAhead) {
            let next = run.commands[0].time
            if next > time.addingSaturated(Self.patience) { break }
            guard let other = run.hardwareDomain, run.isOfWholeDomain,
                run.commands[0].domain == flush.commands[0].domain,
                seen.insert(other).inserted
            else { continue }
            let tooEarly = next.subtractingSaturated(Self.patience)
            let last = [lastFlush[other], lastGlobalFlush].compactMap { $0 }.max { $0.line < $1.line }
            if let last, last.time >= tooEarly {
                line = min(line, last.line)
            } else {
                moment = min(moment, tooEarly)
            }
        }
        return (line, moment)
    }

    private func removeFirst() {
        position = 0
        head += 1
        if head > 4096 {
            runs.removeSubrange(..<head)
            base += head
            head = 0
        }
    }

    private func add(_ read: (command: StoredOperation, hardwareDomain: Int64?)) {
        let command = read.command
        let last = (lastOfCPU[command.cpu] ?? -1) - base
        if command.continuesFlush, last >= head, last < runs.count {
            runs[last].commands.append(command)
            runs[last].completed = max(runs[last].completed, command.time)
        } else {
            runs.append(Run(commands: [command], completed: command.time, hardwareDomain: read.hardwareDomain))
            lastOfCPU[command.cpu] = base + runs.count - 1
        }
    }

    private func read() throws -> (command: StoredOperation, hardwareDomain: Int64?)? {
        guard try layers.step() else { return nil }
        let isRange = layers.integer(4) == Int64(Layer.Granularity.page.rawValue)
        let isGlobal = layers.integer(4) == Int64(Layer.Granularity.global.rawValue)
        var command = StoredOperation(
            id: 0, time: layers.integer(0), kind: isRange ? .sync : .flushAll,
            cpu: Int32(truncatingIfNeeded: layers.integer(2)), pid: -1, domain: domain(isGlobal: isGlobal),
            iova: isRange ? UInt64(bitPattern: layers.integer(6)) : 0,
            size: isRange ? UInt64(bitPattern: layers.integer(7)) : 0,
            hasRange: isRange, line: layers.integer(1), continuesFlush: layers.integer(3) == 0)
        if !isGlobal { command.hardwareDomain = layers.integer(8) }
        return (command, isGlobal ? nil : layers.integer(8))
    }

    /// Whose the command is that is read: what was put down beside it, else whoever had its id then. Nobody's, 0, rather than of a
    /// domain that it may not be of.
    private func domain(isGlobal: Bool) -> Int32 {
        let known = layers.integer(5)
        if known > 0 { return Int32(truncatingIfNeeded: known - firstDomain) }
        if isGlobal { return 1 }
        let holder = hardwareDomains.domain(of: layers.integer(8), unit: layers.integer(9), line: layers.integer(1))
        return holder > 0 ? holder : onlyDomain
    }
}
