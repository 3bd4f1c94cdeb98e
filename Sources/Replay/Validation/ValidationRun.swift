import FlushSchedules
import IOMMUModel
import Operations
import TraceStore

/// One pass through a log: the model goes along with the operations, and what it predicts meets what was recorded.
final class ValidationRun {
    private let trace: TraceSummary
    /// Whose commands are compared; `nil` if the log shows none.
    private let hardware: Hardware?
    private let isByProbe: Bool
    private let pageSizes: PageSizes
    /// How many commands of each submission to an SMMUv3 the log shows.
    private let shownOfSubmission: Int64
    private let bases: [Basis]
    private var pipeline: ReplayPipeline
    /// The lanes of ``pipeline``: whose flushes are observed, and whose queues are compared by time.
    private enum LaneNumber {
        static let observed = 0
        static let queues = 1
    }

    private var flushes: ContiguousArray<Matcher<PredictedFlush, RecordedFlushItem>>
    private var commands: CommandMatcher
    private var queueTimes: ContiguousArray<(predicted: [Int64], recorded: [Int64])>
    private var unflushed: [Int32: UnflushedCalls] = [:]
    /// By domain - 1, whether tables were freed since the last flush of the log.
    private var freedTables: [Bool]
    private var places: LogPlaces
    private var operationsSinceRows = 0
    private var tally: ValidationTally

    struct PredictedFlush {
        var what: Invalidator.Flush
        var line: Int64
    }

    struct RecordedFlushItem {
        var what: Invalidator.Flush
        var line: Int64
        var isAttached: Bool
    }

    init(
        _ trace: TraceSummary, hardware: Hardware?, bases: [Basis], shownOfSubmission: Int64, pageSizes: PageSizes?,
        wheel: TimerWheel?, differencesKept: Int
    ) {
        self.trace = trace
        self.hardware = hardware?.showsCommands == true ? hardware : nil
        self.bases = bases
        self.shownOfSubmission = shownOfSubmission
        isByProbe = trace.flushLayer == .api
        // Without commands the driver is not known; all of today gather alike, but for callbacks of mixed sizes.
        let assumed = hardware ?? Hardware(HardwareProfile.recorded(in: trace) ?? .vtd612)
        let sizes = pageSizes ?? assumed.profile.pageSizes
        self.pageSizes = sizes
        let options = ReplayOptions(pageSizes: sizes, wheel: wheel, hardware: assumed, windows: .none)
            .adopting(trace)
        let observer = FlushObserver(assumed, pageSizes: sizes, domains: trace.domains.count)
        let showsFlushes = trace.flushLayer == .api
        func lane(_ observer: FlushObserver?, _ policy: (Basis) -> Policy?) -> Lane {
            Lane(
                requested: "", policy: .end, options: options, trace: trace, span: (trace.firstTime, trace.lastTime),
                choices: bases.map { policy($0).map { PolicyChoice(policy: $0, evidence: .modelled) } },
                observer: observer)
        }
        let observed = lane(observer) {
            switch $0 {
            case .policy(let policy): policy
            case .queue, .recordedFlushes: showsFlushes ? .recorded : nil
            case .commands: nil
            }
        }
        let queues = lane(nil) { if case .queue(let policy) = $0 { policy } else { nil } }
        pipeline = ReplayPipeline(
            trace, options: options, part: trace.wholePart, isAsItWas: true, lanes: [observed, queues],
            batchSize: .max)
        flushes = ContiguousArray(
            repeating: Matcher(limit: 64) { $0.what == $1.what }, count: trace.domains.count)
        commands = CommandMatcher(isResolved: trace.domains.map { $0.evidence == .recorded })
        queueTimes = ContiguousArray(repeating: ([], []), count: trace.domains.count)
        freedTables = Array(repeating: false, count: trace.domains.count)
        places = LogPlaces(losses: trace.losses.map(\.line))
        tally = ValidationTally(trace, bases: bases, differencesKept: differencesKept)
    }

    /// What came of it, after ``finish()``.
    var rows: [ValidationRow] { tally.rows }

    // MARK: - Operations

    func take(_ operation: StoredOperation) {
        for explained in places.take(operation) { explain(explained.command, explained.reason) }
        let index = Int(operation.domain) - 1
        let isKnown = bases.indices.contains(index)
        if isKnown, operation.kind == .sync || operation.kind == .flushAll { recorded(operation, bases[index]) }
        pipeline.apply(operation)
        if isKnown, operation.kind.isUnmap {
            unmapped(operation, at: index)
            predictImmediate(operation, bases[index])
        }
        pipeline.drain()
        for flush in pipeline.takeObserved(by: LaneNumber.observed) { predicted(flush, line: operation.line) }
        switch operation.kind {
        case .attach, .detach, .domainFree:
            // The kernel gives a domain another id with each attach.
            commands.forget(operation.domain)
        default: break
        }
        takeQueueTimes()
        operationsSinceRows += 1
        if operationsSinceRows & 1023 == 0 { forgetRows() }
        if isKnown { settle(flushesOf: index) }
        settleCommands()
    }

    /// Rows are for a replay; here nobody wants them.
    private func forgetRows() { _ = pipeline.takeRows() }

    private func takeQueueTimes() {
        // Those of the calls themselves are compared one by one.
        for row in pipeline.takeFlushRows(of: LaneNumber.queues) where row.cause != .call {
            queueTimes[Int(row.domain) - 1].predicted.append(row.time)
        }
    }

    /// An unmap past the domain's flush queue: its caller syncs just what it unmapped.
    private func predictImmediate(_ operation: StoredOperation, _ basis: Basis) {
        guard case .queue = basis, trace.flushLayer == .api, pipeline.world.isImmediate(operation),
            let range = AddressRange(start: operation.iova, size: operation.result ?? operation.size)
        else { return }
        tally.count(predicted: 1, .flushes, domain: operation.domain)
        let flush = PredictedFlush(what: .sync(range), line: operation.line)
        if flushes[Int(operation.domain) - 1].add(predicted: flush) != nil {
            tally.match(.flushes, domain: operation.domain)
        }
    }

    private func unmapped(_ operation: StoredOperation, at index: Int) {
        guard let range = AddressRange(start: operation.iova, size: operation.result ?? operation.size) else {
            if bases[index] == .commands, hardware?.profile.gathersNothing == true {
                unflushed[operation.pid, default: UnflushedCalls()].addNothing(at: operation.iova)
            }
            return
        }
        let leaves = pipeline.removed[...]
        let needsCallbacks = bases[index] == .commands
        guard needsCallbacks || range.size >= 1 << 21 else { return }
        pageSizes.forEachCallback(in: range) { iova, callback in
            guard let part = AddressRange(start: iova, size: callback.size) else { return }
            let frees = Invalidator.tables(in: part, pageSize: callback.pageSize, leaves) > 0
            if frees { freedTables[index] = true }
            if needsCallbacks {
                unflushed[operation.pid, default: UnflushedCalls()].add(part, size: callback.size, freesTables: frees)
            }
        }
    }

    // MARK: - Flushes

    private func recorded(_ operation: StoredOperation, _ basis: Basis) {
        let index = Int(operation.domain) - 1
        let what: Invalidator.Flush =
            operation.kind == .flushAll || !operation.hasRange
            ? .all : .sync(AddressRange(start: operation.iova, size: operation.size))
        let isAttached = pipeline.lanes[LaneNumber.observed].isAttached(operation.domain)
        switch basis {
        case .recordedFlushes, .commands: break
        case .queue where operation.kind == .flushAll: queueTimes[index].recorded.append(operation.time)
        case .policy, .queue:
            tally.count(recorded: 1, .flushes, domain: operation.domain)
            let item = RecordedFlushItem(what: what, line: operation.line, isAttached: isAttached)
            if operation.kind == .flushAll {
                tally.explain("flush_all, not by an unmap", .flushes, domain: operation.domain)
                send(item, domain: operation.domain)
            } else if flushes[index].add(recorded: item) != nil {
                tally.match(.flushes, domain: operation.domain)
            }
        }
    }

    private func predicted(_ flush: FlushObserver.Flush, line: Int64) {
        let index = Int(flush.domain) - 1
        var isHintKnown = true
        switch (bases[index], flush.what) {
        case (_, .map): break
        case (.policy, _) where trace.flushLayer == .api:
            tally.count(predicted: 1, .flushes, domain: flush.domain)
            if flushes[index].add(predicted: PredictedFlush(what: flush.what, line: line)) != nil {
                tally.match(.flushes, domain: flush.domain)
            }
        case (.policy, _): break
        default:
            isHintKnown = !freedTables[index]
            freedTables[index] = false
        }
        guard flush.isAttached, hardware != nil else { return }
        for command in flush.commands {
            predictEach(command, domain: flush.domain, line: line, isHintKnown: isHintKnown)
        }
    }

    /// What a flush of the log becomes that no unmap explains.
    private func send(_ flush: RecordedFlushItem, domain: Int32) {
        guard flush.isAttached, let hardware else { return }
        var invalidator = Invalidator(hardware, pageSizes: pageSizes, keepsCommands: true)
        switch flush.what {
        case .all: invalidator.flushAll()
        case .sync(let range?): invalidator.sync(range)
        case .sync(nil): invalidator.sync()
        case .map(let range): invalidator.map(range)
        }
        invalidator.takeCommands { predictEach($0, domain: domain, line: flush.line, isHintKnown: false) }
    }

    private func settle(flushesOf index: Int, all: Bool = false) {
        let domain = Int32(index + 1)
        for unmatched in flushes[index].takeUnmatched(all: all) {
            switch unmatched {
            case .missing(let flush):
                // In a domain with a queue the commands follow from the recorded flushes anyway.
                if case .policy = bases[index] { send(flush, domain: domain) }
                if places.isNearLoss(flush.line) {
                    tally.explain("lost events", .flushes, domain: domain)
                } else {
                    tally.miss(.flushes, domain: domain, line: flush.line, "\(flush.what.text)")
                }
            case .extra(let flush):
                if places.isNearLoss(flush.line) || all && places.isAtTheEnd(flush.line) {
                    tally.leaveOpen(.flushes, domain: domain)
                } else {
                    tally.exceed(.flushes, domain: domain, line: flush.line, "\(flush.what.text)")
                }
            }
        }
    }

    // MARK: - Commands

    func take(_ layer: StoredLayer) {
        if layer.domain > 0, layer.startsRun, layer.cause != .attach, trace.flushLayer == .hardware,
            case .queue = bases[Int(layer.domain) - 1]
        {
            queueTimes[Int(layer.domain) - 1].recorded.append(layer.time)
        }
        guard var recorded = places.take(layer), hardware != nil else { return }
        if let block = layer.block {
            pipeline.endMaps(of: layer.pid, in: block, at: layer.time)
            pipeline.drain()
            for flush in pipeline.takeObserved(by: LaneNumber.observed) { predicted(flush, line: layer.line) }
        }
        recorded.domain = domain(of: layer)
        tally.count(recorded: 1, .descriptors, domain: recorded.domain)
        if layer.cause == .attach {
            if let explained = places.hold(recorded) { explain(explained.command, explained.reason) }
            return
        }
        if let command = commands.add(recorded: recorded) {
            matched(command, recorded)
        } else if isOfQueue(recorded) {
            // When a queue flushes is compared by time; here it is given.
            predict(.wholeDomain, domain: recorded.domain, line: layer.line, isHintKnown: true)
        } else if places.isFurtherUnit(layer) {
            commands.withdrawLastRecorded()
            explain(recorded, "further unit")
        } else if recorded.domain > 0, bases[Int(recorded.domain) - 1] == .commands {
            lookBack(for: recorded)
        }
        settleCommands()
    }

    /// Whether it is the flush of a queue, in a log that shows no flushes of the API.
    private func isOfQueue(_ command: CommandMatcher.RecordedCommand) -> Bool {
        let index = Int(command.domain) - 1
        guard trace.flushLayer == .hardware, command.layer.granularity == .domain, bases.indices.contains(index) else {
            return false
        }
        if case .queue = bases[index] { return true } else { return false }
    }

    private func predict(_ command: InvalidationCommand, domain: Int32, line: Int64, isHintKnown: Bool) {
        let item = CommandMatcher.Command(command: command, domain: domain, line: line, isHintKnown: isHintKnown)
        tally.count(predicted: 1, .descriptors, domain: domain)
        if let recorded = commands.add(predicted: item) { matched(item, recorded) }
        settleCommands()
    }

    /// Commands that go page by page: the log shows all of them, or the first ones of each submission.
    private func predictEach(_ command: InvalidationCommand, domain: Int32, line: Int64, isHintKnown: Bool) {
        guard let range = command.range, let hardware, hardware.profile.driver == .arm else {
            return predict(command, domain: domain, line: line, isHintKnown: isHintKnown)
        }
        var (number, start) = (0 as Int64, range.start)
        func predictNext(_ size: UInt64, mask: Int) {
            defer { (number, start) = (number + 1, start &+ size) }
            guard number % Self.submission < shownOfSubmission, number < Self.mostEach,
                let part = AddressRange(start: start, size: size)
            else { return tally.leaveUnseen(1, domain: domain) }
            predict(
                InvalidationCommand(part, mask: mask, hint: command.hint), domain: domain, line: line,
                isHintKnown: isHintKnown)
        }
        if hardware.profile == .smmuv3RIL, command.hint == .leavesOnly {
            SMMUv3.forEachRange(pages: (range.last >> 12) - (range.start >> 12) + 1) { pages in
                predictNext(pages << 12, mask: Self.mask(ofPages: pages))
            }
            return
        }
        // Page by page, or table by table, of which each is a range.
        let size = max(range.size / UInt64(max(command.count, 1)), 4096)
        let mask = hardware.profile == .smmuv3RIL ? Self.mask(ofPages: size >> 12) : 0
        for _ in 0..<min(command.count, Self.mostEach) { predictNext(size, mask: mask) }
        tally.leaveUnseen(max(command.count - Self.mostEach, 0), domain: domain)
    }

    /// log2 of the pages, rounded up.
    private static func mask(ofPages pages: UInt64) -> Int { pages <= 1 ? 0 : 64 - (pages - 1).leadingZeroBitCount }

    /// Commands that the SMMUv3 driver submits at once, `CMDQ_BATCH_ENTRIES`.
    private static let submission: Int64 = 64
    /// Of one flush; what a hostile log asks for is not written out.
    private static let mostEach: Int64 = 1 << 16

    private func matched(_ command: CommandMatcher.Command, _ recorded: CommandMatcher.RecordedCommand) {
        // It was counted for whoever it seemed to belong to before.
        tally.move(recordedFrom: recorded.domain, to: command.domain, .descriptors)
        commands.learn(command.domain, recorded.layer)
        tally.match(.descriptors, domain: command.domain)
        places.matched(recorded.layer)
    }

    /// A command of a log that shows neither flushes nor who is attached: the sync of what unmaps?
    private func lookBack(for command: CommandMatcher.RecordedCommand) {
        let layer = command.layer
        guard let hardware, let block = layer.block else { return }
        var invalidator = Invalidator(hardware, pageSizes: pageSizes, keepsCommands: true)
        var freesTables = false
        if let flushed = unflushed[layer.pid]?.take(inside: block, by: hardware.gatherRule) {
            freesTables = flushed.freesTables
            invalidator.sync(flushed.span)
        } else if let iova = unflushed[layer.pid]?.takeNothing(inside: block) {
            invalidator.unmapNothing(at: iova)
            invalidator.sync()
        } else if block.last == .max {
            // Nothing was gathered (model.md §1.6).
            invalidator.sync()
        } else {
            return
        }
        invalidator.takeCommands {
            predictEach($0, domain: command.domain, line: layer.line, isHintKnown: !freesTables)
        }
    }

    private func settleCommands(all: Bool = false) {
        for unmatched in commands.takeUnmatched(all: all) {
            switch unmatched {
            case .missing(let recorded):
                if let reason = reason(for: recorded) {
                    explain(recorded, reason)
                } else {
                    let layer = recorded.layer
                    tally.miss(.descriptors, domain: recorded.domain, line: layer.line, layer.text)
                }
            case .extra(let command):
                if places.isNearLoss(command.line) || all && places.isAtTheEnd(command.line) {
                    tally.leaveOpen(.descriptors, domain: command.domain)
                } else {
                    tally.exceed(.descriptors, domain: command.domain, line: command.line, command.text(hardware))
                }
            }
        }
    }

    /// Why the log cannot determine a command that the model does not predict.
    private func reason(for recorded: CommandMatcher.RecordedCommand) -> String? {
        let layer = recorded.layer
        if places.isNearLoss(layer.line) { return "lost events" }
        if recorded.isAtTheBegin { return "begin of the log" }
        let index = Int(recorded.domain) - 1
        if layer.granularity != .page {
            if recorded.isBesideDeviceEntry { return "attach or detach" }
            // iommu_create_device_direct_mappings flushes what it has mapped, in a domain that nobody has unmapped in.
            if trace.flushLayer == .hardware, recorded.isAfterMap, !bases.indices.contains(index) {
                return "flush_all, not by an unmap"
            }
            if trace.flushLayer == .hardware, bases.indices.contains(index) {
                switch bases[index] {
                case .commands: return "flush queue"
                case .policy, .queue, .recordedFlushes: break
                }
            }
        }
        return nil
    }

    private func explain(_ command: CommandMatcher.RecordedCommand, _ reason: String) {
        tally.explain(reason, .descriptors, domain: command.domain)
    }

    /// The domain that a command counts for: the one that the hardware knows by this id, or that the log joins it to.
    private func domain(of layer: StoredLayer) -> Int32 {
        if let known = commands.domain(of: layer) { return known }
        return layer.domain > 0 ? layer.domain : trace.domains.count == 1 ? 1 : 0
    }

    // MARK: - The end

    func finish() {
        pipeline.finish()
        for flush in pipeline.takeObserved(by: LaneNumber.observed) { predicted(flush, line: .max) }
        takeQueueTimes()
        for explained in places.takeHeld() { explain(explained.command, explained.reason) }
        for index in flushes.indices { settle(flushesOf: index, all: true) }
        settleCommands(all: true)
        for (index, times) in queueTimes.enumerated() {
            if case .queue = bases[index] {
                tally.compare(times.predicted, times.recorded, domain: Int32(index + 1), tolerance: queueTolerance)
            }
        }
        let silent = unflushed.values.reduce(0) { $0 + $1.count }
        if silent > 0, hardware != nil { tally.noteSilent(silent) }
        if isByProbe { tally.explainMissing("no call in the log: a missed probe", .descriptors) }
        tally.finish()
    }

    /// ns; two ticks: the kernel's timer is at times one late.
    private var queueTolerance: Int64 { 2_000_000_000 / max(pipeline.lanes[LaneNumber.observed].options.wheel.hz, 1) }
}

extension Invalidator.Flush {
    var text: String {
        switch self {
        case .all: "flush_all"
        case .sync(nil): "sync of nothing"
        case .sync(let range?): "sync \(range.text)"
        case .map(let range): "flush of the map \(range.text)"
        }
    }
}

extension AddressRange {
    var text: String { "0x\(String(start, radix: 16)) - 0x\(String(last, radix: 16))" }
}
