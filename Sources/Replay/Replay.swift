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
            var engine = ReplayEngine(trace, requests, options: options, part: part)
            let missing = try WorkloadRows.Missing(database, trace, offered: options.pageSizes.text)
            if part.isWhole, missing.isAny {
                engine.workload = Workload(trace, options.pageSizes, missing: missing)
            }
            var writer = try ReplayWriter(
                database, trace, replacing: requests.map { ($0.text, options.text(for: $0.policy, part)) })
            defer { writer.close() }
            var cursor = try OperationCursor(
                database, trace, through: part.lines.upperBound,
                followsFlushes: engine.lanes.contains { $0.followsFlushes })
            var done: Int64 = 0
            while try cursor.advance() {
                if cursor.operation.line >= part.lines.lowerBound {
                    engine.apply(cursor.operation)
                } else {
                    engine.prepare(cursor.operation)
                }
                done += 1
                if done & 1023 == 0 { try write(engine.lanes, &writer) }
                if done & 0xffff == 0 {
                    if isCancelled() { throw StoreError.interrupted }
                    progress(done, Int64(trace.operationIDs.count))
                }
            }
            engine.finish()
            try write(engine.lanes, &writer)
            for (index, lane) in engine.lanes.enumerated() {
                let rows = lane.summary(engine.unmaps)
                let header = lane.header(rows, options.text(for: lane.policy, part), part)
                try writer.finish(
                    replay: index, header, rows, lane.cellSummary(engine.unmaps, of: rows), lane.windows.statistics,
                    staleEntries: lane.cache?.staleEntries ?? [])
            }
            if part.isWhole { try writer.write(Array(engine.mappings), engine.findings()) }
            try engine.workload?.rows().write(database, trace)
            progress(Int64(trace.operationIDs.count), Int64(trace.operationIDs.count))
            return Outcome(
                trace: trace.name, replays: writer.replays, part: part,
                unmapCalls: engine.unmaps.reduce(0) { $0.addingSaturated($1.calls) })
        }
    }

    @inline(__always)
    private func write(_ lanes: [PolicyLane], _ writer: inout ReplayWriter) throws {
        for (index, lane) in lanes.enumerated() {
            try lane.takeRows { try writer.write($0, replay: index) }
            try lane.windows.takeRows(
                { try writer.write($0, replay: index) }, { try writer.write($0, replay: index) })
        }
    }
}
