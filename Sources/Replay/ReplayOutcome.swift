import TraceStore

extension Replay {
    /// What a replay has left in the database.
    public struct Outcome: Sendable {
        /// The trace's name.
        public let trace: String
        /// Numbers of its rows in `replay`, one for each policy that was asked for.
        public let replays: [Int64]
        /// The part of the log that was replayed.
        public let part: TraceSummary.Part
        /// Unmap calls in it.
        public let unmapCalls: Int64
    }
}
