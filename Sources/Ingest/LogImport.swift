import Foundation
import GRDB
import Operations
import TraceFormats
import TraceStore

/// The import of one log, which may come in several files: reads it, puts operations together, stores them, in one transaction.
///
/// Two threads share the work: one decompresses and parses, the other one builds operations and writes rows.
public struct LogImport {
    /// What came of it.
    public enum Outcome: Sendable {
        /// A new trace of this name; `isDamaged` if a part of the log could not be taken.
        case imported(name: String, isDamaged: Bool)
        /// The same bytes were there already, under this name.
        case alreadyThere(name: String)
    }

    /// How far an import is.
    public struct Progress: Sendable {
        /// Bytes of the file, of how many if that is known, and events.
        public var bytes: Int64
        /// Length of the file, if it is a regular one.
        public var totalBytes: Int64?
        /// Events read so far.
        public var events: Int64
    }

    /// So many files at most may be parts of one log.
    public static let mostParts = MergedSource.mostParts

    private let paths: [String]
    private let name: String
    /// Whether somebody chose the name: then no other is taken for it.
    private let isNamed: Bool
    private let options: Options
    private let isCancelled: @Sendable () -> Bool
    private let progress: (Progress) -> Void

    /// How a log is to be taken.
    public struct Options: Sendable {
        /// What a tick of the trace clock is worth, for a log whose times are bare counts.
        public var ticksPerSecond: UInt64?
        /// Whether the first thing in the log that cannot be taken as it stands refuses all of it.
        public var isStrict: Bool
        /// Whether operations that name no domain are to be taken for those of one, in place of finding out.
        public var assumesSingleDomain: Bool
        /// The folder of metadata; `nil` for the one beside the log, if there is one.
        public var metadata: String?

        /// Times in seconds, whatever can be taken.
        public init(
            ticksPerSecond: UInt64? = nil, isStrict: Bool = false, assumesSingleDomain: Bool = false,
            metadata: String? = nil
        ) {
            self.ticksPerSecond = ticksPerSecond
            self.isStrict = isStrict
            self.assumesSingleDomain = assumesSingleDomain
            self.metadata = metadata
        }
    }

    /// Prepares an import.
    ///
    /// - Parameters:
    ///   - paths: the log's file, or `-` for standard input; several if they are parts of one recording.
    ///   - name: what the trace shall be called; `nil` for the file's name without its endings, of several what they share,
    ///     and a number where that is taken.
    ///   - progress: called after every few thousand events.
    ///   - isCancelled: asked as often; true ends the import with ``StoreError/interrupted``.
    public init(
        paths: [String], name: String? = nil, options: Options = Options(),
        progress: @escaping (Progress) -> Void = { _ in },
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) {
        self.paths = paths
        self.name = name ?? Self.traceName(of: paths)
        isNamed = name != nil
        self.options = options
        self.progress = progress
        self.isCancelled = isCancelled
    }

    /// Rows that are collected before the database is opened: a file that is no log never gets that far,
    /// and leaves no trace on disk.
    private static let rowsBeforeOpening = 4096

    /// Imports the log.
    ///
    /// - Parameter openStore: opens the database; called once it is clear that the log has something to store.
    /// - Throws: ``LogError`` or ``ImportError`` if the log is refused, ``StoreError`` if the database is.
    public func run(openStore: () throws -> TraceStore) throws -> Outcome {
        do {
            return try runToTheEnd(openStore: openStore)
        } catch {
            // Whatever it looked like: the log ended early, or a statement did, because somebody wanted it to.
            if isCancelled() { throw StoreError.interrupted }
            throw error
        }
    }

    private func runToTheEnd(openStore: () throws -> TraceStore) throws -> Outcome {
        let sidecar = try SidecarMetadata(of: paths, options)
        let files = try paths.map { try LogFile(path: $0, isCancelled: isCancelled) }
        let shared = SharedSource(try LogSource.open(files, ticksPerSecond: sidecar.ticksPerSecond))
        let channel = BatchChannel(batches: 4)
        var builder = OperationBuilder(assumesSingleDomain: options.assumesSingleDomain)
        var state = ImportState()
        let isRead = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            channel.fill(from: shared.source)
            isRead.signal()
        }
        var isJoined = false
        func join() {
            guard !isJoined else { return }
            channel.cancel()
            isRead.wait()
            isJoined = true
        }
        defer { join() }

        while state.rows(builder) < Self.rowsBeforeOpening, let batch = try channel.next() {
            try take(batch, &builder, &state)
            channel.giveBack(batch)
            if isCancelled() { throw StoreError.interrupted }
        }
        if state.rows(builder) < Self.rowsBeforeOpening {
            if isCancelled() { throw StoreError.interrupted }
            builder.finish()
            try refuseIfEmpty(builder, state)
        }

        let store = try openStore()
        do {
            return try store.write { database in
                var writer = try TraceWriter(database)
                defer { writer.close() }
                try write(&builder, &state, to: &writer)
                while let batch = try channel.next() {
                    try take(batch, &builder, &state)
                    channel.giveBack(batch)
                    try write(&builder, &state, to: &writer)
                    if isCancelled() { throw StoreError.interrupted }
                }
                if isCancelled() { throw StoreError.interrupted }
                builder.finish()
                try write(&builder, &state, to: &writer)
                try refuseIfEmpty(builder, state)
                join()
                return try finish(shared.source, builder, state, sidecar, &writer)
            }
        } catch let duplicate as Duplicate {
            return .alreadyThere(name: duplicate.name)
        }
    }

    /// The log, used by the reading thread alone until that has signalled its end.
    private final class SharedSource: @unchecked Sendable {
        let source: any EventSource

        init(_ source: any EventSource) { self.source = source }
    }

    // MARK: - Steps

    /// What an import carries along beside the builder.
    private struct ImportState {
        var issues: [ParseIssue] = []
        var pieces: [LogPiece] = []
        var lastPiece: LogPiece?
        var issueCounts: [ParseIssue.Reason: Int64] = [:]
        /// Issues beyond those that become rows, not yet told to the writer.
        var omitted: [ParseIssue.Reason: Int64] = [:]
        var progress = ReadProgress()
        /// Announcements of lost events.
        var losses: Int64 = 0

        func rows(_ builder: OperationBuilder) -> Int {
            builder.operations.count + builder.layers.count + builder.losses.count + pieces.count
        }
        var isDamaged: Bool { !issueCounts.isEmpty }
    }

    /// Rolls the transaction back: the log is there already.
    private struct Duplicate: Error {
        var name: String
    }

    private func take(_ batch: EventBatch, _ builder: inout OperationBuilder, _ state: inout ImportState) throws {
        builder.add(batch)
        state.pieces += batch.pieces
        for var issue in batch.issues + builder.takeIssues() {
            if options.isStrict { throw ImportError.issue(path: issuePath(&issue, state), issue) }
            state.issueCounts[issue.reason, default: 0] += 1
            // The writer keeps no more rows than this; before there is one, neither may memory.
            if state.issueCounts[issue.reason, default: 0] <= TraceWriter.issueRowsPerReason {
                state.issues.append(issue)
            } else {
                state.omitted[issue.reason, default: 0] += 1
            }
        }
        state.losses += Int64(batch.losses.count)
        state.progress = batch.progress
        progress(
            Progress(
                bytes: batch.progress.fileBytes, totalBytes: batch.progress.fileSize, events: builder.totals.events))
    }

    private func write(
        _ builder: inout OperationBuilder, _ state: inout ImportState, to writer: inout TraceWriter
    ) throws {
        try builder.drain { builder in
            try writer.write(builder)
            for loss in builder.losses {
                try writer.write(TraceWriter.Loss(line: loss.line, cpu: loss.cpu, count: loss.count))
            }
        }
        for issue in state.issues {
            try writer.write(
                TraceWriter.Issue(
                    line: issue.line, byteOffset: issue.offset, reason: issue.reason.rawValue, excerpt: issue.excerpt))
        }
        state.issues.removeAll()
        for piece in state.pieces {
            try writer.writePiece(line: piece.line, part: piece.part, partLine: piece.partLine)
        }
        state.lastPiece = state.pieces.last ?? state.lastPiece
        state.pieces.removeAll(keepingCapacity: true)
        for (reason, count) in state.omitted { writer.count(count, reason: reason.rawValue) }
        state.omitted.removeAll()
    }

    private func refuseIfEmpty(_ builder: OperationBuilder, _ state: ImportState) throws {
        let totals = builder.totals
        let operations = Operation.Kind.allCases.reduce(Int64(0)) { $0 + ($1 == .marker ? 0 : totals[$1]) }
        let layers = Layer.Kind.allCases.reduce(Int64(0)) { $0 + totals[$1] }
        guard operations + layers == 0 else { return }
        throw ImportError.nothingOfAnIOMMU(
            path: displayedPath,
            events: builder.eventCounts.sorted { ($1.count, $0.name) < ($0.count, $1.name) }.map {
                ($0.name, $0.count)
            },
            issues: state.issueCounts.sorted { ($1.value, $0.key.rawValue) < ($0.value, $1.key.rawValue) }
                .map { ($0.key.rawValue, $0.value) },
            losses: state.losses)
    }

    private func finish(
        _ log: any EventSource, _ builder: OperationBuilder, _ state: ImportState, _ sidecar: SidecarMetadata,
        _ writer: inout TraceWriter
    ) throws -> Outcome {
        let content = TraceWriter.Content(log.content)
        if let name = try writer.existingTrace(content) { throw Duplicate(name: name) }
        if isNamed, let other = try writer.source(ofTrace: name) {
            throw ImportError.nameIsTaken(path: displayedPath, name: name, source: other)
        }
        if let merged = log as? MergedSource { try writer.write(merged.descriptions.map(TraceWriter.Part.init)) }
        let trace = try writer.finish(
            builder,
            TraceWriter.Description(
                name: name, source: log.path, content: content, fileBytes: state.progress.fileBytes,
                lines: state.progress.lines, bufferEntries: log.bufferCounts?.entries,
                bufferWritten: log.bufferCounts?.written))
        var metadata = sidecar.metadata(with: log.metadata)
        if builder.totals.gathersInOneSpan {
            metadata.add(.evidentKernel, "6.19 or later", number: 6019, source: "log", evidence: .inferred)
        }
        try writer.write(metadata)
        return .imported(name: trace, isDamaged: state.isDamaged)
    }

    /// What messages call the log.
    private var displayedPath: String { paths.map(Self.displayed).joined(separator: " + ") }

    private static func displayed(_ path: String) -> String { path == "-" ? "standard input" : path }

    /// The file that an issue is in, whose line it then has.
    private func issuePath(_ issue: inout ParseIssue, _ state: ImportState) -> String {
        let piece = state.pieces.last { $0.line <= issue.line } ?? state.lastPiece
        guard let piece, paths.indices.contains(Int(piece.part)) else { return displayedPath }
        issue.line = piece.partLine + (issue.line - piece.line)
        return Self.displayed(paths[Int(piece.part)])
    }

    /// What the names of a log's files begin with, if that says anything; otherwise the first one's.
    static func traceName(of paths: [String]) -> String {
        let names = paths.map { traceName(of: $0) }
        let first = names.first ?? ""
        let shared = names.dropFirst().reduce(first) { $0.commonPrefix(with: $1) }
        let name = paths.count > 1 ? String(shared.reversed().drop { !$0.isLetter && !$0.isNumber }.reversed()) : shared
        return name.isEmpty ? first : name
    }

    /// A file's name without folder and the endings that say what format it has.
    static func traceName(of path: String) -> String {
        if path == "-" { return "stdin" }
        var name = path.split(separator: "/").last.map(String.init) ?? path
        for ending in [".gz", ".xz", ".zst", ".txt", ".log", ".trace", ".dat"]
        where name.count > ending.count && name.hasSuffix(ending) {
            name.removeLast(ending.count)
        }
        return name
    }
}

/// Why a log that could be read is not imported.
public enum ImportError: Error {
    /// It holds no event of an IOMMU.
    case nothingOfAnIOMMU(path: String, events: [(String, Int64)], issues: [(String, Int64)], losses: Int64)
    /// Something in it cannot be taken as it stands, and the import was to be strict.
    case issue(path: String, ParseIssue)
    /// Another log has the name that it was to have.
    case nameIsTaken(path: String, name: String, source: String)

    /// What the log does hold, and how to record the right thing.
    public var message: String {
        switch self {
        case .nothingOfAnIOMMU(let path, let events, let issues, let losses):
            var lines = ["\(path): holds no event of an IOMMU; nothing was imported"]
            if events.isEmpty, issues.isEmpty { lines.append("  it holds no event at all") }
            if !events.isEmpty {
                let shown = events.prefix(5).map { "\($0.0) (\($0.1))" }.joined(separator: ", ")
                lines.append("  events that it does hold: \(shown)\(events.count > 5 ? ", …" : "")")
            }
            if losses > 0 { lines.append("  places where it says that events were lost: \(losses)") }
            if !issues.isEmpty {
                let shown = issues.map { "\($0.0) (\($0.1))" }.joined(separator: ", ")
                lines.append("  lines that were not understood: \(shown)")
            }
            lines.append("  to record: echo 1 > /sys/kernel/tracing/events/iommu/enable, run the workload, then")
            lines.append("             gzip -c /sys/kernel/tracing/trace > log.txt.gz")
            return lines.joined(separator: "\n")
        case .issue(let path, let issue):
            let what = issue.excerpt.isEmpty ? "" : ": \(issue.excerpt)"
            return "\(path):\(issue.line): \(issue.reason.rawValue)\(what)\n"
                + "  nothing was imported: correct the log, or import it without --strict, which keeps the rest"
        case .nameIsTaken(let path, let name, let source):
            return
                "\(path): another log, \(source), is called '\(name)' already; nothing was imported: give another --name, "
                + "or forget that one first"
        }
    }
}

extension ImportError: CustomStringConvertible {
    /// The same as ``message``.
    public var description: String { message }
}

extension TraceWriter.Content {
    init(_ content: LogContent) { self.init(hash: content.hash, bytes: content.bytes) }
}

extension TraceWriter.Part {
    init(_ part: LogPartDescription) {
        self.init(
            source: part.path, content: TraceWriter.Content(part.content), fileBytes: part.fileBytes, lines: part.lines,
            events: part.events, times: part.firstTime.flatMap { first in part.lastTime.map { first...max(first, $0) } }
        )
    }
}
