/// Reads a log in ftrace's text format (model.md §7.3): a file or standard input, plain or compressed.
///
/// Pulls one ``EventBatch`` at a time, in constant memory. Lines that cannot be understood become ``ParseIssue`` values.
public struct TraceReader: ~Copyable {
    /// What messages call the log.
    public let path: String

    private let text: LogText
    private var lines: LineSplitter
    private var symbols = SymbolTable()
    private let body = EventBody()
    private var isFinished = false

    /// What the header says about the ring buffer, if there was one.
    public private(set) var bufferCounts: BufferCounts?

    /// `# entries-in-buffer/entries-written: 534/4019`
    public struct BufferCounts: Hashable, Sendable {
        /// Events that the ring buffer held when the log was written.
        public var entries: Int64
        /// Events that had been written to it; what is more than ``entries`` was overwritten, oldest first.
        public var written: Int64
    }

    /// A batch ends after so much text even if it holds few events, so that progress can be shown and memory stays flat.
    private static let textPerBatch: Int64 = 4 << 20
    private static let issuesPerBatch = 512
    private static let excerptLength = 160
    private static let markerLength = 512

    /// Opens a log and looks at its first bytes.
    public init(_ file: LogFile) throws(LogError) { self.init(try LogText(file)) }

    init(_ text: LogText) {
        path = text.path
        self.text = text
        lines = LineSplitter(text)
        symbols.addEventNames()
    }

    /// Hash and length of the text read so far: of the whole log once ``read(into:)`` has returned false.
    public var contentHash: ContentHash { text.hash }

    /// Refills a batch with the next events.
    ///
    /// - Returns: false at the end of the log; the batch may still hold the last events.
    public mutating func read(into batch: EventBatch) throws(LogError) -> Bool {
        batch.clear()
        let goal = text.textBytes + Self.textPerBatch
        var count = 0
        while !isFinished, count < EventBatch.capacity, batch.issues.count < Self.issuesPerBatch, text.textBytes < goal
        {
            guard let line = try lines.next() else {
                isFinished = true
                try finish(batch)
                break
            }
            switch line {
            case .line(let bytes):
                if lines.lineNumber == 1 { try FileMagic.checkIsText(bytes, path: path) }
                if read(bytes, into: batch, at: count) { count += 1 }
            case .tooLong(let bytes): report(.lineTooLong, bytes, in: batch)
            }
        }
        batch.count = count
        batch.newSymbols = symbols.takeAdded()
        batch.progress.fileBytes = text.fileBytes
        batch.progress.fileSize = text.fileSize
        batch.progress.textBytes = text.textBytes
        batch.progress.lines = lines.lineNumber
        return !isFinished
    }

    private func finish(_ batch: EventBatch) throws(LogError) {
        if var damage = text.damage {
            if text.textBytes == 0 { throw .damagedFromTheStart(path: path, reason: damage.reason.rawValue) }
            damage.line = lines.lineNumber
            batch.issues.append(damage)
        } else if text.textBytes == 0 {
            throw .empty(path: path)
        }
    }

    /// - Returns: whether the line was an event, which is now in the batch's slot `index`.
    private mutating func read(_ line: UnsafeRawBufferPointer, into batch: EventBatch, at index: Int) -> Bool {
        guard let first = line.first else { return false }
        if first == UInt8(ascii: "#") || first == UInt8(ascii: "C") || first == UInt8(ascii: "c")
            || first == UInt8(ascii: "v")
        {
            if readPreface(line, into: batch, at: index) { return false }
        }
        do {
            let parsed = try FtraceLine(line)
            let event = batch.storage + index
            event.pointee.line = lines.lineNumber
            event.pointee.time = parsed.time
            event.pointee.cpu = parsed.cpu
            event.pointee.pid = parsed.pid
            event.pointee.comm = symbols.intern(parsed.comm)
            event.pointee.name = symbols.intern(parsed.name)
            let isKnown = try body.read(parsed.body, into: event, symbols: &symbols)
            event.pointee.isKnown = isKnown
            if isKnown,
                event.pointee.name == EventName.tracingMarkWrite.symbol || event.pointee.name == EventName.print.symbol
            {
                let bytes = UnsafeRawBufferPointer(
                    start: parsed.body.position, count: min(parsed.body.remaining, Self.markerLength))
                event.pointee[.text] = UInt64(batch.texts.count)
                batch.texts.append(String(decoding: bytes, as: UTF8.self))
            }
            return true
        } catch {
            report(error.reason, line, in: batch)
            return false
        }
    }

    /// Headers, annotations and announcements of lost events.
    ///
    /// - Returns: whether the line was one.
    private mutating func readPreface(
        _ line: UnsafeRawBufferPointer, into batch: EventBatch, at index: Int
    ) -> Bool {
        let bytes = line.assumingMemoryBound(to: UInt8.self)
        guard let base = bytes.baseAddress else { return false }
        var cursor = ByteCursor(position: base, end: base + bytes.count)
        if cursor.skip("#") {
            if cursor.skip(" entries-in-buffer/entries-written: "), let entries = cursor.decimal(),
                cursor.skip(UInt8(ascii: "/")), let written = cursor.decimal(),
                let entries = Int64(exactly: entries), let written = Int64(exactly: written)
            {
                bufferCounts = BufferCounts(entries: entries, written: written)
            }
            return true
        }
        if cursor.skip("CPU:"), let cpu = cursor.decimal(), cursor.skip(" [") {
            let isLost = cursor.skip("LOST ")
            let count = cursor.decimal()
            if count != nil { cursor.skipSpaces() }
            guard cursor.skip(isLost ? "EVENTS]" : "EVENTS DROPPED]") else { return false }
            // A number that no buffer can have lost is none; sums over the column must stay sums.
            let plausible = count.flatMap { $0 < 1 << 48 ? Int64($0) : nil }
            let loss = LostEvents(line: lines.lineNumber, cpu: Int32(exactly: cpu), count: plausible)
            batch.losses.append((loss, precedingEvents: index))
            return true
        }
        // First lines of a trace-cmd report.
        return cursor.skip("cpus=") || cursor.skip("version = ")
    }

    private func report(_ reason: ParseIssue.Reason, _ line: UnsafeRawBufferPointer, in batch: EventBatch) {
        let excerpt = UnsafeRawBufferPointer(rebasing: line.prefix(Self.excerptLength))
        batch.issues.append(
            ParseIssue(
                reason: reason, line: lines.lineNumber, offset: lines.lineOffset,
                excerpt: String(decoding: excerpt, as: UTF8.self)))
    }
}
