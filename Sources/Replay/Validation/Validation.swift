import FlushSchedules
import GRDB
import IOMMUModel
import Operations
import TraceStore

/// Holds the model against what a log recorded: which flushes and which commands it predicts, one by one.
///
/// Nothing is fitted. Flushes are predicted from the unmaps alone, by the policy that the domain's owner follows; commands from
/// those flushes, by the driver's rules. What a log cannot determine is told apart by reason.
public struct Validation: Sendable {
    /// The hardware; `nil` to take what the log shows.
    public var hardware: Hardware?
    /// The policy that all domains are held against; `nil` for each its owner's.
    public var policy: Policy?
    /// Page sizes; `nil` for the hardware's.
    public var pageSizes: PageSizes?
    /// The kernel's timer; `nil` for the trace's own HZ, or 250.
    public var wheel: TimerWheel?
    /// How many differences of each row are kept.
    public var differencesKept: Int

    /// A validation of what the log shows.
    public init(
        hardware: Hardware? = nil, policy: Policy? = nil, pageSizes: PageSizes? = nil, wheel: TimerWheel? = nil,
        differencesKept: Int = 10
    ) {
        self.hardware = hardware
        self.policy = policy
        self.pageSizes = pageSizes
        self.wheel = wheel
        self.differencesKept = differencesKept
    }

    /// Validates a trace, in one transaction; the database keeps what was found.
    ///
    /// - Parameters:
    ///   - name: the trace; `nil` for the newest.
    ///   - progress: called now and then with the operations done and their number.
    ///   - isCancelled: asked now and then; true ends with ``StoreError/interrupted``.
    /// - Returns: the trace's name.
    public func run(
        in store: TraceStore, trace name: String?, progress: (Int64, Int64) -> Void = { _, _ in },
        isCancelled: () -> Bool = { false }
    ) throws -> String {
        try store.write { database in
            let trace = try TraceSummary(database, name: name, path: store.path)
            let shown = try hardware ?? Hardware.recorded(database, trace)
            let run = ValidationRun(
                trace, hardware: shown, bases: try bases(database, trace),
                shownOfSubmission: try Self.shownOfSubmission(database, trace), pageSizes: pageSizes, wheel: wheel,
                differencesKept: differencesKept)
            var operations = try OperationCursor(database, trace, followsFlushes: false)
            var layers = try LayerCursor(database, trace)
            var layer = try layers.next()
            var done: Int64 = 0
            while try operations.advance() {
                let operation = operations.operation
                while let next = layer, next.line < operation.line {
                    run.take(next)
                    layer = try layers.next()
                }
                run.take(operation)
                done += 1
                if done & 0xffff == 0 {
                    if isCancelled() { throw StoreError.interrupted }
                    progress(done, Int64(trace.operationIDs.count))
                }
            }
            while let next = layer {
                run.take(next)
                layer = try layers.next()
            }
            run.finish()
            progress(Int64(trace.operationIDs.count), Int64(trace.operationIDs.count))
            try ValidationWriter.write(
                run.rows, of: trace, hardware: shown?.canonical, isNamed: hardware != nil, in: database)
            return trace.name
        }
    }

    /// How many commands of each submission to an SMMUv3 a log shows, if not all of them: as many as of one of which some are not
    /// shown.
    private static func shownOfSubmission(_ database: Database, _ trace: TraceSummary) throws -> Int64 {
        guard trace.layerKinds.contains(.armUnseen) else { return .max }
        return try Int64.fetchOne(
            database,
            sql: """
                SELECT count(*) FROM layer
                WHERE id >= ?1 AND id < ?2 AND kind <> ?3
                    AND line = (SELECT line FROM layer WHERE id >= ?1 AND id < ?2 AND kind = ?3 LIMIT 1)
                """,
            arguments: [trace.layerIDs.lowerBound, trace.layerIDs.upperBound, Layer.Kind.armUnseen.rawValue]) ?? 1
    }
}
