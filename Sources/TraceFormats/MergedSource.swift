/// A run of lines of one part of a log that has several.
public struct LogPiece: Hashable, Sendable {
    /// The run's first line in the log made of all parts.
    public var line: Int64
    /// Number of the part, from 0.
    public var part: Int32
    /// The line in that part. Both count on together, up to the next piece.
    public var partLine: Int64
}

/// A part of a log that has several.
public struct LogPartDescription: Hashable, Sendable {
    /// What messages call it.
    public var path: String
    /// What tells it from others.
    public var content: LogContent
    /// Bytes of the file as it was read.
    public var fileBytes: Int64
    /// Its lines.
    public var lines: Int64
    /// Events read from it.
    public var events: Int64
    /// Time of its first event, ns of the trace clock; `nil` if it has none.
    public var firstTime: Int64?
    /// Latest time of an event.
    public var lastTime: Int64?
}

/// Several files that are parts of one recording, such as one for each CPU or one for each hour: their events in the order
/// of time, on one clock.
///
/// Inside a part the order is the part's own. Of equal times the part that was given first is first. Lines are numbered through: ``EventBatch/pieces`` leads back to the parts.
public final class MergedSource: EventSource {
    private final class Part {
        /// As in ``LogPiece/part``.
        let number: Int32
        let source: any PartSource
        let batch = EventBatch(room: 256)
        /// What of the batch was handed on.
        var event = 0
        var issue = 0
        var loss = 0
        var isRead = false
        var line: Int64 = 0
        var description: LogPartDescription

        init(_ source: any PartSource, number: Int32) {
            self.source = source
            self.number = number
            description = LogPartDescription(
                path: source.path, content: source.content, fileBytes: 0, lines: 0, events: 0)
        }

        var nextTime: Int64 { batch.storage[event].time }
    }

    /// More parts than these are no recording's, and each takes memory.
    public static let mostParts = 1024

    /// The parts' paths, one after the other.
    public let path: String
    private let parts: [Part]
    /// The parts that have an event at hand.
    private var heap: TimeHeap<Int64>
    private var symbols: SymbolTable
    /// Parts of which more must be read before the next event is known.
    private var exhausted: [Part]
    /// The part that the last line came from, and that line's number in the whole.
    private var current: Part?
    private var line: Int64 = 0

    /// Opens all parts; none of them is read further than its first bytes.
    ///
    /// - Parameter ticksPerSecond: see ``TraceReader/init(_:ticksPerSecond:)``.
    public init(_ files: [LogFile], ticksPerSecond: UInt64? = nil) throws(LogError) {
        path = files.map(\.path).joined(separator: " + ")
        heap = TimeHeap(capacity: files.count)
        var table = SymbolTable()
        table.addEventNames()
        var parts: [Part] = []
        for file in files {
            let source = try LogSource.open(file, ticksPerSecond: ticksPerSecond, symbols: table)
            table = SymbolTable()
            source.exchangeSymbols(&table)
            parts.append(Part(source, number: Int32(parts.count)))
        }
        symbols = table
        self.parts = parts
        exhausted = parts.reversed()
    }

    /// What the parts are, in the order of ``LogPiece/part``; complete once ``read(into:)`` has returned false.
    public var descriptions: [LogPartDescription] { parts.map(\.description) }

    /// The same whatever the order of the parts.
    public var content: LogContent { LogContent(parts: parts.map(\.source.content)) }

    /// What each part says of itself.
    public var metadata: RecordingMetadata {
        parts.reduce(into: RecordingMetadata()) { $0.add($1.source.metadata) }
    }

    /// The parts' sums, if each has counts.
    public var bufferCounts: TraceReader.BufferCounts? {
        var sum = TraceReader.BufferCounts(entries: 0, written: 0)
        for part in parts {
            guard let counts = part.source.bufferCounts else { return nil }
            let entries = sum.entries.addingReportingOverflow(counts.entries)
            let written = sum.written.addingReportingOverflow(counts.written)
            // Headers that no buffers can have written tell nothing.
            guard !entries.overflow, !written.overflow else { return nil }
            sum = TraceReader.BufferCounts(entries: entries.partialValue, written: written.partialValue)
        }
        return sum
    }

    /// Refills a batch with the next events of all parts.
    ///
    /// - Returns: false at the end of the last part.
    public func read(into batch: EventBatch) throws(LogError) -> Bool {
        batch.clear()
        var count = 0
        while count < batch.room, batch.issues.count < Self.issuesPerBatch {
            if let part = exhausted.last {
                try refill(part, batch, at: count)
                continue
            }
            guard let index = heap.first else { break }
            let part = parts[index]
            handOn(part, upTo: part.event, in: batch, at: count)
            take(part, into: batch, at: count)
            count += 1
            if part.event < part.batch.count {
                heap.replaceFirst(part.nextTime)
            } else {
                heap.replaceFirst(nil)
                exhausted.append(part)
            }
        }
        batch.count = count
        batch.progress = progress
        guard heap.first == nil, exhausted.isEmpty else { return true }
        try refuseTwins()
        return false
    }

    private static let issuesPerBatch = 512

    /// Reads the next batch of a part, which may hold nothing but issues.
    private func refill(_ part: Part, _ batch: EventBatch, at index: Int) throws(LogError) {
        handOn(part, upTo: part.batch.count, in: batch, at: index)
        guard !part.isRead else {
            exhausted.removeLast()
            return
        }
        part.source.exchangeSymbols(&symbols)
        part.isRead = try !part.source.read(into: part.batch)
        part.source.exchangeSymbols(&symbols)
        batch.newSymbols += part.batch.newSymbols
        (part.event, part.issue, part.loss) = (0, 0, 0)
        part.description.events += Int64(part.batch.count)
        part.description.lines = part.batch.progress.lines
        part.description.fileBytes = part.batch.progress.fileBytes
        part.description.content = part.source.content
        if part.batch.count > 0 {
            exhausted.removeLast()
            heap.insert(Int(part.number), at: part.nextTime)
        }
    }

    @inline(__always)
    private func take(_ part: Part, into batch: EventBatch, at index: Int) {
        let event = batch.storage + index
        event.pointee.copy(part.batch.storage[part.event])
        part.event += 1
        event.pointee.line = number(event.pointee.line, of: part, in: batch)
        if let text = event.pointee[.text], text < part.batch.texts.count {
            event.pointee[.text] = UInt64(batch.texts.count)
            batch.texts.append(part.batch.texts[Int(text)])
        }
        let time = event.pointee.time
        if part.description.firstTime == nil { part.description.firstTime = time }
        part.description.lastTime = max(part.description.lastTime ?? time, time)
    }

    /// Hands on what a part says before one of its events.
    private func handOn(_ part: Part, upTo event: Int, in batch: EventBatch, at index: Int) {
        let line = event < part.batch.count ? part.batch.storage[event].line : .max
        while part.issue < part.batch.issues.count, part.batch.issues[part.issue].line <= line {
            var issue = part.batch.issues[part.issue]
            issue.line = number(issue.line, of: part, in: batch)
            batch.issues.append(issue)
            part.issue += 1
        }
        while part.loss < part.batch.losses.count, part.batch.losses[part.loss].precedingEvents <= event {
            var loss = part.batch.losses[part.loss].0
            loss.line = number(loss.line, of: part, in: batch)
            batch.losses.append((loss, precedingEvents: index))
            part.loss += 1
        }
    }

    /// The number in the whole of a part's line.
    @inline(__always)
    private func number(_ partLine: Int64, of part: Part, in batch: EventBatch) -> Int64 {
        if current === part, partLine >= part.line {
            line &+= partLine &- part.line
        } else {
            line &+= 1
            current = part
            batch.pieces.append(LogPiece(line: line, part: part.number, partLine: partLine))
        }
        part.line = partLine
        return line
    }

    private var progress: ReadProgress {
        var sum = ReadProgress()
        sum.fileSize = 0
        for part in parts {
            let progress = part.batch.progress
            sum.fileBytes &+= progress.fileBytes
            sum.textBytes &+= progress.textBytes
            sum.fileSize = sum.fileSize.flatMap { size in progress.fileSize.map { size &+ $0 } }
        }
        sum.lines = line
        return sum
    }

    /// The same file given twice would be each event twice.
    private func refuseTwins() throws(LogError) {
        var paths: [LogContent: String] = [:]
        for part in parts {
            if let other = paths.updateValue(part.source.path, forKey: part.source.content) {
                throw .partTwice(path: part.source.path, other: other)
            }
        }
    }
}
