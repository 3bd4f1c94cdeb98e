/// Reads a recording of trace-cmd (`trace.dat`), without trace-cmd.
///
/// All CPUs' records come in the order of time. An event's line is its number in that order, from 1: the n-th event that
/// `trace-cmd report` prints.
final class TraceDatReader: PartSource {
    let path: String
    let bufferCounts: TraceReader.BufferCounts? = nil

    /// Decompressed, and hashed, one after the other; the records are read by their places beside.
    private let text: LogText
    private let bytes: LogBytes
    private let pages: DatPages
    private let header: TraceDatHeader
    private let decoder: EventDecoder
    private var streams: ContiguousArray<CPUStream> = []
    private var merge: CPUMerge?
    private var symbols: SymbolTable
    private var comms: [Int32: Symbol] = [:]
    private var damage: [ParseIssue] = []
    private var recordNumber: Int64 = 0
    private var isFinished = false

    private static let unknownComm = "<...>"
    private static let issuesPerBatch = 512
    /// How far the hash may be ahead of the events, so that the file is in the page cache when they are read.
    private static let readAhead: Int64 = 4 << 20
    private static let largestBlock = 256 << 10
    /// For all CPUs together.
    private static let blockMemory = 64 << 20

    init(_ text: LogText, symbols table: consuming SymbolTable = SymbolTable()) throws(LogError) {
        self.text = text
        symbols = table
        path = text.path
        let (bytes, unpackingDamage) = try LogBytes.open(text)
        self.bytes = bytes
        let header: TraceDatHeader
        do throws(LogError) {
            header = try TraceDatHeader(bytes)
        } catch {
            // An archive that is cut early says more than what is missing inside.
            guard case .brokenRecording(let path, let reason) = error, let damage = unpackingDamage else { throw error }
            throw .brokenRecording(path: path, reason: "\(reason), because its \(damage.reason.rawValue)")
        }
        self.header = header
        pages = DatPages(bytes)
        if let unpackingDamage { damage.append(unpackingDamage) }
        if let missing = header.damage {
            damage.append(
                ParseIssue(
                    reason: .corruptRecording, line: 0, offset: 0, excerpt: "the recording \(missing.text)"))
        }
        symbols.addEventNames()
        decoder = EventDecoder(header.formats, kernelSymbols: header.kernelSymbols, symbols: &symbols)
        for (pid, comm) in header.comms where comms.count < SymbolTable.capacity / 2 {
            comms[pid] = comm.withUnsafeBytes { symbols.intern($0) }
        }
        comms[0] = symbols.intern("<idle>")
        let count = header.buffers.reduce(0) { $0 + $1.places.count }
        for buffer in header.buffers {
            var layout = header.layout
            layout.pageSize = buffer.pageSize
            let share = min(Self.largestBlock, Self.blockMemory / max(count, 1))
            let block = max(share / layout.pageSize, 1) * layout.pageSize
            for place in buffer.places {
                streams.append(
                    CPUStream(
                        place, pages, layout: layout, compression: buffer.isCompressed ? header.compression : nil,
                        blockSize: block))
            }
        }
    }

    var content: LogContent { text.hash.content }

    func exchangeSymbols(_ table: inout SymbolTable) { swap(&symbols, &table) }

    var metadata: RecordingMetadata {
        var metadata = RecordingMetadata()
        metadata.readKernel(header.kernel, source: "log")
        let clocks = [header.clock.name] + header.buffers.map(\.clock)
        if let clock = clocks.first(where: { !$0.isEmpty }) {
            metadata.add(.clock, MetadataText.clean(clock.utf8.prefix(32)), source: "log")
        }
        for text in header.statistics { metadata.readCounters(MetadataText(text.filter { $0 != 0 }), source: "log") }
        return metadata
    }

    func read(into batch: EventBatch) throws(LogError) -> Bool {
        batch.clear()
        guard !isFinished else { return false }
        if merge == nil { merge = try CPUMerge(streams) }
        var count = 0
        let unknown = symbols.intern(Self.unknownComm)
        while count < batch.room, batch.issues.count < Self.issuesPerBatch {
            guard let stream = merge?.top else {
                isFinished = true
                break
            }
            recordNumber += 1
            if stream.missed != .none { lose(stream, before: count, in: batch) }
            let record = stream.record
            let event = batch.storage + count
            if let reason = fill(event, from: record, cpu: stream.cpu, batch, unknown) {
                report(reason, record, at: stream.pageOffset, in: batch)
            } else {
                count += 1
            }
            try merge?.advance()
            if pages.hasIssues { takeIssues(batch) }
        }
        batch.count = count
        try hashAlong()
        if isFinished { finish(batch) }
        batch.newSymbols = symbols.takeAdded()
        batch.progress.fileSize = text.fileSize
        batch.progress.fileBytes = isFinished || text.isArchive ? text.fileBytes : bytes.size - pages.fileBudget
        batch.progress.textBytes = text.textBytes
        batch.progress.lines = recordNumber
        return !isFinished
    }

    @inline(__always)
    private func fill(
        _ event: UnsafeMutablePointer<TraceEvent>, from record: RingPage.Record, cpu: Int32, _ batch: EventBatch,
        _ unknown: Symbol
    ) -> ParseIssue.Reason? {
        guard let time = header.clock.nanoseconds(record.time) else { return .timeOutOfRange }
        if let reason = decoder.decode(record.bytes, into: event, batch, symbols: &symbols) { return reason }
        let pid = record.bytes.loadUnaligned(fromByteOffset: 4, as: Int32.self)
        guard pid >= 0 else { return .badNumber }
        event.pointee.line = recordNumber
        event.pointee.time = time
        event.pointee.cpu = cpu
        event.pointee.pid = pid
        event.pointee.comm = comms[pid] ?? unknown
        return nil
    }

    private func lose(_ stream: CPUStream, before index: Int, in batch: EventBatch) {
        var count: Int64?
        // A number that no buffer can have lost is none.
        if case .count(let lost) = stream.missed, lost < 1 << 48 { count = Int64(lost) }
        batch.losses.append((LostEvents(line: recordNumber, cpu: stream.cpu, count: count), precedingEvents: index))
    }

    private func report(_ reason: ParseIssue.Reason, _ record: RingPage.Record, at offset: Int64, in batch: EventBatch)
    {
        let bytes = record.bytes.prefix(24).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count < 2 ? "0" + digits : digits
        }
        batch.issues.append(
            ParseIssue(
                reason: reason, line: recordNumber, offset: offset, excerpt: "record: \(bytes.joined(separator: " "))"))
    }

    private func takeIssues(_ batch: EventBatch) {
        for var issue in pages.takeIssues() {
            issue.line = recordNumber
            batch.issues.append(issue)
        }
    }

    private func finish(_ batch: EventBatch) {
        takeIssues(batch)
        if let damage = text.damage, !self.damage.contains(damage) { self.damage.append(damage) }
        for var issue in damage {
            issue.line = recordNumber
            batch.issues.append(issue)
        }
        // Where in the log a buffer that keeps the oldest refused new events is not recorded.
        for (cpu, count) in header.dropped {
            batch.losses.append((LostEvents(line: recordNumber, cpu: cpu, count: count), precedingEvents: batch.count))
        }
    }

    /// Reads the file along with the events, for its hash; to its end with the last of them.
    private func hashAlong() throws(LogError) {
        guard !text.isArchive, text.file.isSeekable else { return }
        let goal = isFinished ? Int64.max : bytes.size - pages.fileBudget + Self.readAhead
        while text.textBytes < goal, !text.file.isCancelled() {
            if try text.read(into: hashBuffer.bytes) == 0 { break }
        }
    }

    private let hashBuffer = HashBuffer()

    /// Of its own, as a reader whose recording is refused has no `deinit`.
    private final class HashBuffer {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)

        deinit { bytes.deallocate() }
    }
}
