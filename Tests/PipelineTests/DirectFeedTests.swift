import FlushSchedules
import IOMMUModel
import Operations
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// The world needs no database: fed straight from the builder it comes to the same (docs/architecture.md, *One way through a replay*).
@Suite struct DirectFeedTests {
    /// Those whose flushes are of the API: runs of invalidations are put together by the database's cursor.
    static let logs = SharedTraces.bundled.filter { $0.name.contains("probes") }

    @Test(arguments: logs) func figuresAreEqual(log: RecordedLog) throws {
        let requests = try ["sync", "fast", "recorded", "vfio", "queue", "batch=64", "end"].map {
            try Replay.Request($0)
        }
        let options = ReplayOptions(hardware: Hardware(.vtd612), windows: .all)
        let built = try BuiltTrace(path: log.path)
        let direct = Replayed(built.summary, requests, options: options, built.operations)
        let store = try PreparedLogs.copy(of: log)
        let (trace, operations) = try store.read { database in
            let trace = try TraceSummary(database, name: nil, path: "")
            var cursor = try OperationCursor(database, trace)
            var operations: [StoredOperation] = []
            while try cursor.advance() { operations.append(cursor.operation) }
            return (trace, operations)
        }
        #expect(built.operations.count == operations.count)
        let stored = Replayed(trace, requests, options: options, operations)
        for (one, other) in zip(direct.lanes, stored.lanes) {
            #expect(NeighbourTests.figures(one) == NeighbourTests.figures(other), "\(one.lane.requested)")
        }
    }
}
