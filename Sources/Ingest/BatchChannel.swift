import Dispatch
import Synchronization
import TraceFormats

/// Hands batches of events from the thread that reads a log to the one that stores it, a few at a time.
final class BatchChannel: Sendable {
    private struct State {
        var free: [EventBatch]
        var filled: [EventBatch] = []
        var isFinished = false
        var failure: LogError?
        var isCancelled = false
    }

    private let state: Mutex<State>
    private let isFree: DispatchSemaphore
    private let isFilled = DispatchSemaphore(value: 0)

    init(batches: Int) {
        state = Mutex(State(free: (0..<batches).map { _ in EventBatch() }))
        // From 0 on: a semaphore that is let go below its first value traps, and a failed import leaves batches filled.
        isFree = DispatchSemaphore(value: 0)
        for _ in 0..<batches { isFree.signal() }
    }

    // MARK: - The reader

    /// Reads a log to its end, in the thread that calls it.
    func fill(from source: any EventSource) {
        while true {
            isFree.wait()
            let batch = state.withLock { $0.isCancelled ? nil : $0.free.popLast() }
            guard let batch else { break }
            do {
                let goesOn = try source.read(into: batch)
                state.withLock { $0.filled.append(batch) }
                isFilled.signal()
                if !goesOn { break }
            } catch {
                state.withLock { $0.failure = error }
                break
            }
        }
        state.withLock { $0.isFinished = true }
        isFilled.signal()
    }

    // MARK: - The writer

    /// The next batch; `nil` after the last.
    func next() throws(LogError) -> EventBatch? {
        isFilled.wait()
        let (batch, failure) = state.withLock { state in
            (state.filled.isEmpty ? nil : state.filled.removeFirst(), state.failure)
        }
        if let batch { return batch }
        if let failure { throw failure }
        // The end stays the end.
        isFilled.signal()
        return nil
    }

    /// Gives a batch back to be filled again.
    func giveBack(_ batch: EventBatch) {
        state.withLock { $0.free.append(batch) }
        isFree.signal()
    }

    /// Lets the reader end although nobody takes its batches.
    func cancel() {
        state.withLock { $0.isCancelled = true }
        isFree.signal()
    }
}
