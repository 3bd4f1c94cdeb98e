import FlushSchedules
import Operations
import TraceStore

/// A replay whose operations lie in memory: what the model takes by itself, without a database in its way.
package struct MemoryReplay {
    /// All operations of the trace, in order.
    package let operations: ContiguousArray<StoredOperation>
    private let trace: TraceSummary

    /// Reads the newest trace of a database.
    package init(database path: String) throws {
        let store = try TraceStore(path: path, access: .read)
        (trace, operations) = try store.read { database in
            let trace = try TraceSummary(database, name: nil, path: path)
            var cursor = try OperationCursor(database, trace)
            var operations: ContiguousArray<StoredOperation> = []
            while try cursor.advance() { operations.append(cursor.operation) }
            return (trace, operations)
        }
    }

    /// Replays under all of the policies side by side.
    ///
    /// - Returns: seconds that it took.
    package func run(_ policies: [Policy]) throws -> Double {
        var pipeline = ReplayPipeline(
            trace, policies.map { Replay.Request($0) }, options: ReplayOptions(windows: .none).adopting(trace))
        let clock = ContinuousClock()
        let begin = clock.now
        pipeline.take(operations, from: .min)
        pipeline.finish()
        let took = clock.now - begin
        return Double(took.components.seconds) + Double(took.components.attoseconds) * 1e-18
    }
}
