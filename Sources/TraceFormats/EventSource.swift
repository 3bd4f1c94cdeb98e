/// A log that is read batch by batch, whatever its format.
///
/// Used by one thread at a time.
public protocol EventSource: AnyObject {
    /// What messages call the log.
    var path: String { get }
    /// Hash and length of the decompressed log: of all of it once ``read(into:)`` has returned false.
    var contentHash: ContentHash { get }
    /// What the log's header says about the ring buffer, if there was one.
    var bufferCounts: TraceReader.BufferCounts? { get }
    /// What the log says of its recording; complete once ``read(into:)`` has returned false.
    var metadata: RecordingMetadata { get }

    /// Refills a batch with the next events.
    ///
    /// - Returns: false at the end of the log; the batch may still hold the last events.
    func read(into batch: EventBatch) throws(LogError) -> Bool
}

/// Opens logs of any format that is read.
public enum LogSource {
    /// Tells the format from the log's first bytes, decompressed, and prepares to read it.
    ///
    /// - Parameter ticksPerSecond: see ``TraceReader/init(_:ticksPerSecond:)``; recordings have a clock of their own.
    public static func open(_ file: LogFile, ticksPerSecond: UInt64? = nil) throws(LogError) -> any EventSource {
        let text = try LogText(file)
        let head = try text.peek()
        if TraceDatHeader.isRecording(head) { return try TraceDatReader(text) }
        if text.isArchive { try FileMagic.checkContent(head, path: file.path) }
        return TextSource(TraceReader(text, ticksPerSecond: ticksPerSecond))
    }
}

/// ftrace's text.
private final class TextSource: EventSource {
    private var reader: TraceReader

    init(_ reader: consuming TraceReader) { self.reader = reader }

    var path: String { reader.path }
    var contentHash: ContentHash { reader.contentHash }
    var bufferCounts: TraceReader.BufferCounts? { reader.bufferCounts }
    var metadata: RecordingMetadata { reader.metadata }

    func read(into batch: EventBatch) throws(LogError) -> Bool { try reader.read(into: batch) }
}
