import TestSupport

@testable import TraceFormats

/// A log read to its end, as plain values.
struct ReadLog {
    struct Event {
        var line: Int64
        var time: Int64
        var cpu: Int32
        var pid: Int32
        var comm: String
        var name: String
        var form: TraceEvent.Form
        var isKnown: Bool
        var location: String
        var caller: String
        var fields: [Field: UInt64]
        /// Fields that hold a text.
        var texts: [Field: String]

        subscript(field: Field) -> UInt64? { fields[field] }
    }

    var events: [Event] = []
    var issues = Rows<ParseIssue>(
        [], missing: ParseIssue(reason: .readError, line: -1, offset: -1, excerpt: "no such issue"))
    var losses: [(loss: LostEvents, precedingEvents: Int)] = []
    var bufferCounts: TraceReader.BufferCounts?
    var lines: Int64 = 0
    var hash: UInt64 = 0
    var pieces: [LogPiece] = []

    private static let textFields: Set<Field> = [.device, .driver, .unit, .direction]

    init(_ text: String, ticksPerSecond: UInt64? = nil) throws {
        try self.init(bytes: Array(text.utf8), ticksPerSecond: ticksPerSecond)
    }

    init(bytes: [UInt8], ticksPerSecond: UInt64? = nil) throws {
        let folder = try TemporaryFolder()
        try self.init(path: folder.write(bytes, to: "log.txt"), ticksPerSecond: ticksPerSecond)
    }

    init(path: String, ticksPerSecond: UInt64? = nil) throws {
        try self.init(paths: [path], ticksPerSecond: ticksPerSecond)
    }

    init(paths: [String], ticksPerSecond: UInt64? = nil) throws {
        let reader = try LogSource.open(paths.map { try LogFile(path: $0) }, ticksPerSecond: ticksPerSecond)
        let batch = EventBatch()
        var symbols: [String] = []
        var issues: [ParseIssue] = []
        var goesOn = true
        while goesOn {
            goesOn = try reader.read(into: batch)
            symbols += batch.newSymbols
            losses += batch.losses.map { ($0.0, $0.precedingEvents + events.count) }
            issues += batch.issues
            pieces += batch.pieces
            for event in batch.events { events.append(Self.copy(event, symbols, batch.texts)) }
            lines = batch.progress.lines
        }
        self.issues = Rows(issues, missing: self.issues[0])
        bufferCounts = reader.bufferCounts
        hash = reader.content.hash
    }

    private static func copy(_ event: TraceEvent, _ symbols: [String], _ markers: [String]) -> Event {
        var fields: [Field: UInt64] = [:]
        var texts: [Field: String] = [:]
        for field in Field.allCases where event.isKnown {
            guard let value = event[field] else { continue }
            fields[field] = value
            let isTypeName = field == .type && event.form == .tracepoint
            if textFields.contains(field) || isTypeName { texts[field] = symbols[Int(value)] }
            if field == .text { texts[field] = markers[Int(value)] }
        }
        return Event(
            line: event.line, time: event.time, cpu: event.cpu, pid: event.pid,
            comm: symbols[Int(event.comm.rawValue)], name: symbols[Int(event.name.rawValue)], form: event.form,
            isKnown: event.isKnown, location: event.isKnown ? symbols[Int(event.location.rawValue)] : "",
            caller: event.isKnown ? symbols[Int(event.caller.rawValue)] : "", fields: fields, texts: texts)
    }
}

extension ReadLog {
    /// The one event of a log that has nothing but this event's name and text.
    static func event(_ text: String) throws -> Event? {
        let log = try ReadLog(FtraceText.line(cpu: 0, task: 7, microseconds: 1, text) + "\n")
        return log.issues.isEmpty && log.events.count == 1 ? log.events[0] : nil
    }

    /// Why a log that has nothing but this event is not taken.
    static func issue(_ text: String) throws -> ParseIssue.Reason? {
        let log = try ReadLog(FtraceText.line(cpu: 0, task: 7, microseconds: 1, text) + "\n")
        return log.events.isEmpty && log.issues.count == 1 ? log.issues[0].reason : nil
    }
}
