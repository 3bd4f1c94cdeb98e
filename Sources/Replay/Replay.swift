import FlushSchedules
import IOMMUModel
import Operations
import TraceStore

/// A replay of one trace: reads its operations, takes them through the model under each policy, stores what came of it.
public struct Replay: Sendable {
    /// A policy as it was asked for.
    public struct Request: Hashable, Sendable {
        /// As typed.
        public let text: String
        /// What it means.
        public let policy: Policy

        /// Reads a policy.
        public init(_ text: String) throws(PolicyError) {
            policy = try Policy(parsing: text)
            self.text = text
        }

        /// A policy in its canonical form.
        public init(_ policy: Policy) {
            self.policy = policy
            text = policy.canonical
        }
    }

    private let requests: [Request]
    private let options: ReplayOptions

    /// Prepares a replay under these policies; the same one twice counts once.
    public init(_ requests: [Request], options: ReplayOptions = ReplayOptions()) {
        var seen: Set<String> = []
        self.requests = requests.filter { seen.insert($0.text).inserted }
        self.options = options
    }

    /// Runs in one transaction: interrupted or failed, it leaves nothing.
    ///
    /// - Parameters:
    ///   - name: the trace; `nil` for the newest.
    ///   - progress: called now and then with the operations done and their number.
    ///   - isCancelled: asked now and then; true ends the replay with ``StoreError/interrupted``.
    /// - Returns: which replays of what these are.
    public func run(
        in store: TraceStore, trace name: String?, progress: (Int64, Int64) -> Void = { _, _ in },
        isCancelled: () -> Bool = { false }
    ) throws -> Outcome {
        try store.write { database in
            let trace = try TraceSummary(database, name: name, path: store.path)
            let options = options.adopting(trace)
            let part = try trace.find(options.part, database)
            var pipeline = ReplayPipeline(trace, requests, options: options, part: part)
            let missing = try WorkloadRows.Missing(database, trace, offered: options.pageSizes.text)
            if part.isWhole, missing.isAny {
                pipeline.workload = Workload(trace, options.pageSizes, missing: missing)
            }
            var writer = try ReplayWriter(
                database, trace, replacing: requests.map { ($0.text, options.text(for: $0.policy, part)) })
            defer { writer.close() }
            var cursor = try OperationCursor(
                database, trace, through: part.lines.upperBound, followsFlushes: pipeline.followsFlushes)
            let total = Int64(trace.operationIDs.count)
            let firstLine = part.lines.lowerBound
            pipeline = try ModelThread.run(
                pipeline, &cursor, take: { $0.take($1, from: firstLine) }, collect: { $0.takeRows() },
                keep: { try write($0, &writer) },
                didRead: { done in
                    if isCancelled() { throw StoreError.interrupted }
                    progress(Int64(done), total)
                })
            pipeline.finish()
            try write(pipeline.takeRows(), &writer)
            let (unmaps, cells) = (pipeline.world.unmaps, pipeline.world.stale.cells)
            for (index, lane) in pipeline.lanes.enumerated() {
                let rows = lane.summary(unmaps, cells)
                let header = lane.header(rows, options.text(for: lane.policy, part), part)
                try writer.finish(
                    replay: index, header, rows, lane.cellSummary(unmaps, cells, of: rows),
                    lane.windows.statistics(cells), staleEntries: lane.commands?.cache?.tally.staleEntries ?? [])
            }
            if part.isWhole { try writer.write(Array(pipeline.world.mappings), pipeline.findings()) }
            try pipeline.workload?.rows().write(database, trace)
            progress(total, total)
            return Outcome(
                trace: trace.name, replays: writer.replays, part: part,
                unmapCalls: unmaps.reduce(0) { $0.addingSaturated($1.calls) })
        }
    }

    private func write(_ lanes: [LaneRows], _ writer: inout ReplayWriter) throws {
        for (index, rows) in lanes.enumerated() {
            for row in rows.flushes { try writer.write(row, replay: index) }
            for row in rows.windows { try writer.write(row, replay: index) }
            for row in rows.hazards { try writer.write(row, replay: index) }
        }
    }
}
