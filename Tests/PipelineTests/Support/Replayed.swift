import IOMMUModel
import Operations

@testable import Replay
@testable import TraceStore

/// What came of one policy in a replay of operations that a test made.
struct ReplayedLane {
    let lane: Lane
    let rows: LaneRows
    let world: World

    var statistics: WindowStatistics { lane.windows.statistics(world.stale.cells) }
    /// By domain.
    var summary: [ReplayDomainRow] { lane.summary(world.unmaps, world.stale.cells) }
    /// By domain, device and task.
    var cells: [FlushSummaryRow] { lane.cellSummary(world.unmaps, world.stale.cells, of: summary) }
    /// What became of the entries of its cache, if it has one.
    var cache: CacheTally? { lane.commands?.cache?.tally }
}

/// A replay of operations that a test made, through the same pipeline as those of a log.
struct Replayed {
    let world: World
    let lanes: [ReplayedLane]

    /// - Parameters:
    ///   - before: what comes before the part that is replayed.
    ///   - batchSize: nothing depends on it, nor on `threads`.
    ///   - each: after each operation.
    init(
        _ trace: TraceSummary, _ requests: [Replay.Request], options: ReplayOptions = ReplayOptions(),
        before: [StoredOperation] = [], _ operations: [StoredOperation],
        batchSize: Int = ReplayPipeline.defaultBatchSize,
        threads: Int = 1, watchesCaches: Bool = false, each: (ReplayPipeline) -> Void = { _ in }
    ) {
        var pipeline = ReplayPipeline(trace, requests, options: options, batchSize: batchSize)
        pipeline.threads = threads
        if watchesCaches { pipeline.watchCaches() }
        for operation in before { pipeline.prepare(operation) }
        for operation in operations {
            pipeline.apply(operation)
            each(pipeline)
        }
        pipeline.finish()
        let rows = pipeline.takeRows()
        let world = pipeline.world
        self.world = world
        lanes = zip(pipeline.lanes, rows).map { ReplayedLane(lane: $0, rows: $1, world: world) }
    }
}
