import Dispatch
import IOMMUModel
import TraceStore

/// The way of an operation through a replay: the world makes events of it, and each policy reads them.
///
/// ```
/// StoredOperation -> World -> WorldEvents -> Lane (one for each policy) -> rows, sums
///                      ^                     |
///                      +---- WindowNeeds ----+   what may be forgotten
/// ```
struct ReplayPipeline {
    private(set) var world: World
    private(set) var lanes: ContiguousArray<Lane>
    private let part: TraceSummary.Part
    private var batch = WorldEvents()
    /// Operations are taken in batches of so many events; nothing that comes out depends on it.
    private let batchSize: Int

    /// So many threads share out the policies.
    var threads = 1

    /// As many as a cache holds.
    static let defaultBatchSize = 1024

    init(
        _ trace: TraceSummary, _ requests: [Replay.Request], options: ReplayOptions, part: TraceSummary.Part? = nil,
        batchSize: Int = defaultBatchSize
    ) {
        let part = part ?? trace.wholePart
        let lanes = requests.map {
            Lane(
                requested: $0.text, policy: $0.policy, options: options, trace: trace,
                span: (part.firstTime, part.lastTime))
        }
        self.init(trace, options: options, part: part, lanes: lanes, batchSize: batchSize)
    }

    /// - Parameter isAsItWas: see ``World``.
    init(
        _ trace: TraceSummary, options: ReplayOptions, part: TraceSummary.Part, isAsItWas: Bool = false, lanes: [Lane],
        batchSize: Int = defaultBatchSize
    ) {
        self.part = part
        self.lanes = ContiguousArray(lanes)
        self.batchSize = batchSize
        var interests = World.Interests()
        interests.staleTranslations = lanes.contains { $0.opensWindows }
        interests.leaves = options.hardware != nil || lanes.contains { $0.usesLeaves }
        interests.flushes = lanes.contains { $0.followsFlushes }
        interests.runs = lanes.contains { $0.usesRuns }
        interests.mapCalls = options.hardware?.cachesAbsent == true
        interests.accesses = options.iotlb?.accesses
        world = World(trace, options: options, part: part, isAsItWas: isAsItWas, interests: interests)
        world.begin(into: &batch)
    }

    /// Whether any policy follows the flushes of the log.
    var followsFlushes: Bool { lanes.contains { $0.followsFlushes } }

    /// What the maps and unmaps amount to by themselves, if that is asked.
    var workload: Workload? {
        get { world.workload }
        set { world.workload = newValue }
    }

    /// Takes the next operation of a trace, or of the part of it that is replayed.
    mutating func apply(_ operation: StoredOperation) {
        world.apply(operation, into: &batch)
        if batch.events.count >= batchSize { drain() }
    }

    /// Takes an operation from before the part that is replayed: what is mapped and attached changes, nothing else.
    mutating func prepare(_ operation: StoredOperation) {
        world.prepare(operation, into: &batch)
        if batch.events.count >= batchSize { drain() }
    }

    /// The log shows a command of a task: maps inside its block were a call of their own.
    mutating func endMaps(of pid: Int32, in block: AddressRange, at time: Int64) {
        world.endMaps(of: pid, in: block, at: time, into: &batch)
    }

    /// Takes several operations; those before `line` only prepare.
    mutating func take(_ operations: ContiguousArray<StoredOperation>, from line: Int64) {
        operations.withUnsafeBufferPointer { operations in
            for index in operations.indices {
                if operations[index].line >= line { apply(operations[index]) } else { prepare(operations[index]) }
            }
        }
    }

    /// The log, or its part, is at its end.
    mutating func finish() {
        world.finish(into: &batch)
        drain()
        let (time, stale) = (part.lastTime, world.stale)
        forEachLane { $0.finish(at: time, stale) }
    }

    /// What callers did wrong and what stays mapped, at the end of the log.
    mutating func findings() -> MistakeRows { world.findings() }

    /// Hands what is in the batch to all policies, and forgets what none of them needs any more.
    mutating func drain() {
        guard !batch.events.isEmpty else { return }
        let stale = world.stale
        // Taken out, so that the lanes can change while it is read.
        let events = batch
        batch = WorldEvents()
        events.withView { view in forEachLane { $0.take(view, stale) } }
        batch = events
        forget()
    }

    /// Forgets what is in the batch, and what no policy needs any more of what is stale.
    private mutating func forget() {
        batch.removeAll()
        let due = world.takeDue()
        guard !due.isEmpty else { return }
        for domain in due {
            var needs = WindowNeeds()
            for lane in lanes { lane.windows.addNeeds(of: domain, to: &needs) }
            needs.sort()
            world.trim(domain, needs)
        }
        world.endTrimming()
    }

    private mutating func forEachLane(_ body: (inout Lane) -> Void) {
        guard threads > 1 else {
            for index in lanes.indices { body(&lanes[index]) }
            return
        }
        let threads = threads
        lanes.withUnsafeMutableBufferPointer { lanes in
            // Each thread has lanes of its own: every n-th, since those of one kind cost alike.
            nonisolated(unsafe) let lanes = lanes
            withoutActuallyEscaping(body) { body in
                nonisolated(unsafe) let body = body
                DispatchQueue.concurrentPerform(iterations: threads) { number in
                    for index in stride(from: number, to: lanes.count, by: threads) { body(&lanes[index]) }
                }
            }
        }
    }

    // MARK: - What comes out

    /// The leaves that the unmap calls of the batch removed, as long as it is not drained.
    var removed: ContiguousArray<PageTable.Run> { batch.leaves }

    /// What the lane with an index flushed since the last time, where an observer wants to know.
    mutating func takeObserved(by lane: Int) -> [FlushObserver.Flush] { lanes[lane].takeObserved() }

    /// From here on caches keep what becomes of each entry.
    mutating func watchCaches() {
        for index in lanes.indices { lanes[index].commands?.cache?.watch() }
    }

    /// The flushes of the lane with an index since the last time, as rows.
    mutating func takeFlushRows(of lane: Int) -> ContiguousArray<FlushRow> { lanes[lane].takeFlushRows() }

    /// The rows of all lanes since the last time.
    mutating func takeRows() -> [LaneRows] { lanes.indices.map { lanes[$0].takeRows() } }
}
