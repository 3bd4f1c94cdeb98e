/// Reads a log of text: a file or standard input, plain or compressed, in any of the shapes of ``LineShape`` (model.md §7.3).
///
/// Pulls one ``EventBatch`` at a time, in constant memory. Lines that cannot be understood become ``ParseIssue`` values.
/// What a log is shows in its lines, never in its name.
public struct TraceReader: ~Copyable {
    /// What messages call the log.
    public let path: String

    private let text: LogText
    private var lines: LineSplitter
    private var symbols: SymbolTable
    private let body = EventBody()
    private var isFinished = false
    private let ticksPerSecond: UInt64?

    /// The shape of the last line with an event: the next one's, as a rule.
    private var shape = LineShape.ftrace
    /// ns; the time of the last event.
    private var lastTime: Int64 = 0
    private var hasEvents = false
    /// Why the log cannot be read on.
    private var refusal: LogError?
    /// The first bare counts in place of times.
    private var firstTicks: [UInt64] = []
    private var firstTicksLine: Int64 = 0
    /// Lines of numbers only, before any event.
    private var numberLines = 0
    private var numberOption = NumberLine.Option.raw

    /// What the header says about the ring buffer, if there was one.
    public private(set) var bufferCounts: BufferCounts?

    /// What the header says beside that.
    private var header = RecordingMetadata()
    private var hasTimes = false
    private var hasTicks = false

    /// What the log says of its recording, and what its times look like.
    public var metadata: RecordingMetadata {
        var metadata = header
        // Of both, as in logs put together, neither is said.
        if hasTimes != hasTicks {
            metadata.add(.times, hasTicks ? "ticks" : "seconds", source: "log")
            if hasTicks, firstTicks.count > 1 {
                let clock = TickClock(guessedFrom: firstTicks)
                metadata.add(.evidentClock, clock.name, source: "log", evidence: .inferred)
            }
        }
        return metadata
    }

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
    private static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]
    private static let markerLength = 512
    /// So many lines of a kind that holds nothing for us, with no event before them, and the log is refused.
    private static let linesToJudgeBy = 16

    /// Opens a log and looks at its first bytes.
    ///
    /// - Parameter ticksPerSecond: what a tick of a counting clock is worth, for a log whose times are bare integers;
    ///   without it such a log is refused. More than 0.
    public init(_ file: LogFile, ticksPerSecond: UInt64? = nil) throws(LogError) {
        self.init(try LogText(file), ticksPerSecond: ticksPerSecond)
    }

    init(_ text: LogText, ticksPerSecond: UInt64? = nil, symbols: consuming SymbolTable = SymbolTable()) {
        path = text.path
        self.ticksPerSecond = ticksPerSecond
        self.text = text
        lines = LineSplitter(text)
        self.symbols = symbols
        self.symbols.addEventNames()
    }

    mutating func exchangeSymbols(_ table: inout SymbolTable) { swap(&symbols, &table) }

    /// Hash and length of the text read so far: of the whole log once ``read(into:)`` has returned false.
    public var content: LogContent { text.hash.content }

    /// Refills a batch with the next events.
    ///
    /// - Returns: false at the end of the log; the batch may still hold the last events.
    public mutating func read(into batch: EventBatch) throws(LogError) -> Bool {
        batch.clear()
        let goal = text.textBytes + Self.textPerBatch
        var count = 0
        while !isFinished, count < batch.room, batch.issues.count < Self.issuesPerBatch, text.textBytes < goal {
            guard let line = try lines.next() else {
                isFinished = true
                try finish(batch)
                break
            }
            switch line {
            case .line(var bytes):
                // Half of a number is a number. Where something is known to be missing, what is left of a line is no line.
                if lines.isOpen, text.isCut { break }
                if lines.lineNumber == 1 {
                    try FileMagic.checkIsText(bytes, path: path)
                    if bytes.starts(with: Self.byteOrderMark) { bytes = UnsafeRawBufferPointer(rebasing: bytes[3...]) }
                }
                if read(bytes, into: batch, at: count) {
                    if lines.isOpen, Self.looksCut(batch.storage[count]) { report(.openLine, bytes, in: batch) }
                    count += 1
                } else if let refusal {
                    throw refusal
                }
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

    /// Whether a size is no number of pages, as half of its digits would be. Many a log lacks its last line end and is whole.
    private static func looksCut(_ event: TraceEvent) -> Bool {
        switch EventName(event.name) {
        case .map, .unmap, .unmapFast, .unmapped, .unmapReturn, .unmapFastReturn:
            event.isKnown && ((event[.size] ?? 0) | (event[.unmapped] ?? 0)) & 4095 != 0
        default: false
        }
    }

    private mutating func finish(_ batch: EventBatch) throws(LogError) {
        if !hasEvents {
            if !firstTicks.isEmpty, ticksPerSecond == nil { refuseTicks() }
            if numberLines > 0 { refuseNumbers() }
            if let refusal { throw refusal }
        }
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
        // The lines that matter begin with spaces in most logs.
        if first != UInt8(ascii: " ") {
            if first == UInt8(ascii: ">") {
                let rest = Preface.unquoted(line)
                return rest.first == UInt8(ascii: ">") ? false : read(rest, into: batch, at: index)
            }
            if let preface = Preface(line) {
                take(preface, in: batch, at: index)
                return false
            }
        }
        do throws(LineError) {
            let parsed = try shape.read(line)
            try take(parsed, into: batch, at: index)
            return true
        } catch {
            if error.reason == .notAnEvent { return readOther(line, into: batch, at: index) }
            report(error.reason, line, in: batch)
            return false
        }
    }

    /// Reads a line that is not of the shape of those before it.
    private mutating func readOther(_ line: UnsafeRawBufferPointer, into batch: EventBatch, at index: Int) -> Bool {
        if let preface = Preface(line) {
            take(preface, in: batch, at: index)
            return false
        }
        do throws(LineError) {
            let parsed = try shape.readAnother(line)
            guard parsed.clock == .none else {
                try take(parsed, into: batch, at: index)
                return true
            }
            try takeUntimed(parsed, into: batch, at: index)
            report(.noTime, line, in: batch)
            return true
        } catch {
            if error.reason == .notAnEvent {
                // After the shapes: a task may be called like an address, `beef`.
                if CallChain.contains(line) { return false }
                if line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }) { return false }
                if let record = PerfLine.record(line) {
                    if case .lost(let cpu, let count) = record {
                        take(.lost(cpu: cpu, count: count), in: batch, at: index)
                    }
                    return false
                }
                if !hasEvents, let option = NumberLine.option(line) { noteNumbers(option) }
            }
            report(error.reason, line, in: batch)
            return false
        }
    }

    @inline(__always)
    private mutating func take(_ parsed: EventLine, into batch: EventBatch, at index: Int) throws(LineError) {
        let event = batch.storage + index
        let time: Int64
        if parsed.clock == .time {
            time = parsed.time
            hasTimes = true
        } else {
            time = try self.time(of: parsed)
        }
        event.pointee.line = lines.lineNumber
        event.pointee.time = time
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
        lastTime = time
        hasEvents = true
    }

    /// Takes an event of which only name and text are there: it must be one that is known by them, or at least be
    /// called like an event, for anything may be written in a letter.
    private mutating func takeUntimed(
        _ parsed: EventLine, into batch: EventBatch, at index: Int
    ) throws(LineError) {
        let isCalledLikeAnEvent = parsed.name.contains(UInt8(ascii: "_"))
        let known = EventName(symbols.intern(parsed.name))
        guard known != nil && known != .print || isCalledLikeAnEvent else { throw LineError(.notAnEvent) }
        try take(parsed, into: batch, at: index)
        if !isCalledLikeAnEvent, !batch.storage[index].isKnown { throw LineError(.notAnEvent) }
    }

    /// The moment of an event whose line gives none in seconds.
    private mutating func time(of parsed: EventLine) throws(LineError) -> Int64 {
        guard parsed.clock == .ticks else { return lastTime }
        let ticks = UInt64(bitPattern: parsed.time)
        if firstTicks.count < Self.linesToJudgeBy {
            if firstTicks.isEmpty { firstTicksLine = lines.lineNumber }
            firstTicks.append(ticks)
        }
        guard let ticksPerSecond else {
            if !hasEvents, refusal == nil, firstTicks.count == Self.linesToJudgeBy { refuseTicks() }
            throw LineError(.counterClock)
        }
        hasTicks = true
        guard let time = TickClock.nanoseconds(ticks, perSecond: ticksPerSecond) else {
            throw LineError(.timeOutOfRange)
        }
        return time
    }

    private mutating func refuseTicks() {
        refusal = .tickClock(path: path, line: firstTicksLine, clock: TickClock(guessedFrom: firstTicks))
    }

    private mutating func noteNumbers(_ option: NumberLine.Option) {
        numberLines += 1
        numberOption = option
        if numberLines == Self.linesToJudgeBy { refuseNumbers() }
    }

    private mutating func refuseNumbers() {
        refusal = .numbersOnly(path: path, option: numberOption.rawValue)
    }

    private mutating func take(_ preface: Preface, in batch: EventBatch, at index: Int) {
        switch preface {
        case .header: break
        case .counts(let counts, let cpus):
            bufferCounts = counts
            if let cpus, (1...RecordingMetadata.mostCPUs).contains(cpus) {
                header.add(.bufferCPUs, String(cpus), number: cpus, source: "log")
            }
        case .tracer(let name): header.add(.tracer, name, source: "log")
        case .lost(let cpu, let count):
            // A number that no buffer can have lost is none; sums over the column must stay sums.
            let plausible = count.flatMap { $0 < 1 << 48 ? Int64($0) : nil }
            let loss = LostEvents(
                line: lines.lineNumber, cpu: cpu.flatMap { Int32(exactly: $0) }, count: plausible)
            batch.losses.append((loss, precedingEvents: index))
        }
    }

    private func report(_ reason: ParseIssue.Reason, _ line: UnsafeRawBufferPointer, in batch: EventBatch) {
        let excerpt = UnsafeRawBufferPointer(rebasing: line.prefix(Self.excerptLength))
        batch.issues.append(
            ParseIssue(
                reason: reason, line: lines.lineNumber, offset: lines.lineOffset,
                excerpt: String(decoding: excerpt, as: UTF8.self)))
    }
}
