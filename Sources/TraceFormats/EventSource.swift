/// A log that is read batch by batch, whatever its format.
///
/// Used by one thread at a time.
public protocol EventSource: AnyObject {
    /// What messages call the log.
    var path: String { get }
    /// Hash and length of the decompressed log: of all of it once ``read(into:)`` has returned false.
    var content: LogContent { get }
    /// What the log's header says about the ring buffer, if there was one.
    var bufferCounts: TraceReader.BufferCounts? { get }
    /// What the log says of its recording; complete once ``read(into:)`` has returned false.
    var metadata: RecordingMetadata { get }

    /// Refills a batch with the next events.
    ///
    /// - Returns: false at the end of the log; the batch may still hold the last events.
    func read(into batch: EventBatch) throws(LogError) -> Bool
}

/// A log that can be read as a part of a larger one: it numbers the texts of its events in a table that others share.
protocol PartSource: EventSource {
    /// Gives the table back, or takes it again for the next ``EventSource/read(into:)``.
    func exchangeSymbols(_ table: inout SymbolTable)
}

/// Opens logs of any format that is read.
public enum LogSource {
    /// Tells the format from the log's first bytes, decompressed, and prepares to read it.
    ///
    /// - Parameter ticksPerSecond: see ``TraceReader/init(_:ticksPerSecond:)``; recordings have a clock of their own.
    public static func open(_ file: LogFile, ticksPerSecond: UInt64? = nil) throws(LogError) -> any EventSource {
        try open(file, ticksPerSecond: ticksPerSecond, symbols: SymbolTable())
    }

    /// Opens a log that may have several parts.
    public static func open(_ files: [LogFile], ticksPerSecond: UInt64? = nil) throws(LogError) -> any EventSource {
        if let file = files.first, files.count == 1 { return try open(file, ticksPerSecond: ticksPerSecond) }
        return try MergedSource(files, ticksPerSecond: ticksPerSecond)
    }

    static func open(
        _ file: LogFile, ticksPerSecond: UInt64?, symbols: consuming SymbolTable
    ) throws(LogError) -> any PartSource {
        let text = try LogText(file)
        let head = try text.peek()
        if TraceDatHeader.isRecording(head) { return try TraceDatReader(text, symbols: symbols) }
        if text.isArchive { try FileMagic.checkContent(head, path: file.path) }
        return TextSource(TraceReader(text, ticksPerSecond: ticksPerSecond, symbols: symbols))
    }
}

/// ftrace's text.
private final class TextSource: PartSource {
    private var reader: TraceReader

    init(_ reader: consuming TraceReader) { self.reader = reader }

    var path: String { reader.path }
    var content: LogContent { reader.content }
    var bufferCounts: TraceReader.BufferCounts? { reader.bufferCounts }
    var metadata: RecordingMetadata { reader.metadata }

    func read(into batch: EventBatch) throws(LogError) -> Bool { try reader.read(into: batch) }
    func exchangeSymbols(_ table: inout SymbolTable) { reader.exchangeSymbols(&table) }
}
