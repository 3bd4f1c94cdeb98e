import Foundation
import Ingest
import Synchronization
import TestSupport
import TraceStore

/// Databases that many tests begin with, each made once in a process: most of what tests of recorded logs take is the
/// import.
enum PreparedLogs {
    private struct Key: Hashable {
        var log: RecordedLog
        /// What was done after the import.
        var step: String?
    }

    private struct Made: Sendable {
        var store: TraceStore
        var outcome: LogImport.Outcome
    }

    /// One database, made by whoever asks first; the others wait.
    private final class Once: Sendable {
        private let result = Mutex<Result<Made, any Error>?>(nil)

        func made(_ make: () throws -> Made) throws -> Made {
            try result.withLock { result in
                if let result { return try result.get() }
                let new = Result { try make() }
                result = new
                return try new.get()
            }
        }
    }

    private static let all = Mutex<[Key: Once]>([:])

    private static func once(_ key: Key) -> Once {
        all.withLock { all in
            let once = all[key] ?? Once()
            all[key] = once
            return once
        }
    }

    private static func imported(_ log: RecordedLog) throws -> Made {
        try once(Key(log: log)).made {
            let store = try TraceStore(path: "", access: .create)
            return Made(store: store, outcome: try Pipeline.importLog(log.path, into: store))
        }
    }

    /// What came of importing a log.
    static func outcome(of log: RecordedLog) throws -> LogImport.Outcome { try imported(log).outcome }

    /// A database with one imported log. It is the caller's own: whatever is done with it, nobody else sees.
    static func copy(of log: RecordedLog) throws -> TraceStore { try TraceStore(copyOf: imported(log).store) }

    /// The same, taken on by a step that several tests share.
    ///
    /// - Parameters:
    ///   - step: what `body` does; who names the same step gets the same database.
    static func copy(of log: RecordedLog, after step: String, _ body: (TraceStore) throws -> Void) throws -> TraceStore
    {
        let made = try once(Key(log: log, step: step)).made {
            let own = Made(store: try copy(of: log), outcome: try outcome(of: log))
            try body(own.store)
            return own
        }
        return try TraceStore(copyOf: made.store)
    }
}
