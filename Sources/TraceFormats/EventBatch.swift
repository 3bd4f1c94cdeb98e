/// A few thousand events in the order of the log, with what else stood between them.
///
/// One thread fills it, then hands it over whole; it is reused, so that reading a log allocates nothing for each line.
public final class EventBatch: @unchecked Sendable {
    /// Events that fit in, unless fewer were asked for.
    public static let capacity = 2048

    /// Events that fit into this one.
    let room: Int
    let storage: UnsafeMutablePointer<TraceEvent>
    private let values: UnsafeMutablePointer<UInt64>

    /// Events in the batch.
    public internal(set) var count = 0
    /// Lines that were not understood.
    public internal(set) var issues: [ParseIssue] = []
    /// Lost-event announcements, each with the number of events in this batch that precede it.
    public internal(set) var losses: [(LostEvents, precedingEvents: Int)] = []
    /// Texts of the symbols that first appear in this batch, in order of their numbers.
    public internal(set) var newSymbols: [String] = []
    /// Texts of trace markers. They are kept out of the symbols, because markers seldom repeat.
    public internal(set) var texts: [String] = []
    /// Where, in a log of several parts, another part goes on: in order of their lines.
    public internal(set) var pieces: [LogPiece] = []
    /// Where the reader stands after this batch.
    public internal(set) var progress = ReadProgress()

    /// An empty batch.
    public convenience init() { self.init(room: Self.capacity) }

    init(room: Int) {
        self.room = room
        let fields = Field.allCases.count
        values = .allocate(capacity: room * fields)
        values.initialize(repeating: 0, count: room * fields)
        storage = .allocate(capacity: room)
        for index in 0..<room { (storage + index).initialize(to: TraceEvent(values: values + index * fields)) }
    }

    deinit {
        storage.deallocate()
        values.deallocate()
    }

    /// The events.
    public var events: UnsafeBufferPointer<TraceEvent> {
        UnsafeBufferPointer(start: storage, count: count)
    }

    func clear() {
        count = 0
        issues.removeAll(keepingCapacity: true)
        losses.removeAll(keepingCapacity: true)
        newSymbols = []
        texts.removeAll(keepingCapacity: true)
        pieces.removeAll(keepingCapacity: true)
    }
}

/// How far a log has been read.
public struct ReadProgress: Hashable, Sendable {
    /// Bytes read from the file, compressed if it is.
    public var fileBytes: Int64 = 0
    /// Size of the file, if it is a regular one.
    public var fileSize: Int64?
    /// Bytes of log text.
    public var textBytes: Int64 = 0
    /// Lines of log text.
    public var lines: Int64 = 0

    /// Nothing read yet.
    public init() {}
}
