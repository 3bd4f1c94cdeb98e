import GRDB
import Operations

/// Writes one log's operations and what belongs to them, inside a transaction of ``TraceStore/write(_:)``.
public struct TraceWriter {
    /// At most so many issues of one reason become rows; all are counted.
    public static let issueRowsPerReason = 10_000

    /// What is known of a log once it has been read to its end.
    public struct Description {
        /// What reports call the trace; made unique by a number if another has it.
        public var name: String
        /// Path of the log as it was given.
        public var source: String
        /// What tells the log from others.
        public var content: Content
        /// Bytes of the file as it was read.
        public var fileBytes: Int64
        /// Lines of the decompressed log.
        public var lines: Int64
        /// The header's entries-in-buffer and entries-written.
        public var bufferEntries: Int64?
        /// The header's entries-written.
        public var bufferWritten: Int64?

        /// Describes a log.
        public init(
            name: String, source: String, content: Content, fileBytes: Int64, lines: Int64,
            bufferEntries: Int64?, bufferWritten: Int64?
        ) {
            self.name = name
            self.source = source
            self.content = content
            self.fileBytes = fileBytes
            self.lines = lines
            self.bufferEntries = bufferEntries
            self.bufferWritten = bufferWritten
        }
    }

    /// A file of a log that has several: a row of `log_part`.
    public struct Part {
        /// Path of the file as it was given.
        public var source: String
        /// What tells the file from others.
        public var content: Content
        /// Bytes of the file as it was read.
        public var fileBytes: Int64
        /// Its lines.
        public var lines: Int64
        /// Events read from it.
        public var events: Int64
        /// Times of its first and its latest event, ns; `nil` without events.
        public var times: ClosedRange<Int64>?

        /// Describes a part.
        public init(
            source: String, content: Content, fileBytes: Int64, lines: Int64, events: Int64, times: ClosedRange<Int64>?
        ) {
            self.source = source
            self.content = content
            self.fileBytes = fileBytes
            self.lines = lines
            self.events = events
            self.times = times
        }
    }

    /// What tells whether two logs are the same bytes.
    public struct Content: Hashable, Sendable {
        /// Hash of the decompressed bytes, 16 hexadecimal digits.
        public var hash: String
        /// How many they are.
        public var bytes: Int64

        /// Identifies a log's bytes.
        public init(hash: UInt64, bytes: UInt64) {
            let digits = String(hash, radix: 16)
            self.hash = String(repeating: "0", count: 16 - digits.count) + digits
            self.bytes = Int64(clamping: bytes)
        }
    }

    /// A place in the log that could not be taken as it stands: a row of `parse_issue`.
    public struct Issue: Hashable, Sendable {
        /// Line in the log, from 1.
        public var line: Int64
        /// Byte offset, as in the table.
        public var byteOffset: Int64
        /// Why it could not be taken.
        public var reason: String
        /// The line's first bytes.
        public var excerpt: String

        /// Creates a row.
        public init(line: Int64, byteOffset: Int64, reason: String, excerpt: String) {
            self.line = line
            self.byteOffset = byteOffset
            self.reason = reason
            self.excerpt = excerpt
        }
    }

    /// A place in the log at which events are missing: a row of `lost_events`.
    public struct Loss: Hashable, Sendable {
        /// Line in the log, from 1.
        public var line: Int64
        /// The CPU whose buffer overflowed, if the log says.
        public var cpu: Int32?
        /// How many events, if the log says.
        public var count: Int64?

        /// Creates a row.
        public init(line: Int64, cpu: Int32?, count: Int64?) {
            self.line = line
            self.cpu = cpu
            self.count = count
        }
    }

    /// More pairs of domain and device than a machine has; a hostile log may name a new one on each line.
    private static let attachmentLimit = 1 << 18

    let database: Database
    let trace: Int64
    private let operationBase: Int64
    private let layerBase: Int64
    private let taskBase: Int64
    private let domainBase: Int64
    private let deviceBase: Int64
    private let unitBase: Int64
    private let partBase: Int64
    private var operations: BulkInsert
    private var layers: BulkInsert
    private var commands: BulkInsert
    private var faults: BulkInsert
    private var issueCounts: [String: Int64] = [:]
    /// Rows by kind and shape, as in `kind_count`.
    private var operationShapes = [Int64](repeating: 0, count: Self.kinds * Self.operationShapeCount)
    private var layerShapes = [Int64](repeating: 0, count: Self.kinds * Self.layerShapeCount)
    private static let kinds = 32
    private static let operationShapeCount = 256
    private static let layerShapeCount = 16
    private var attachments: Set<[Int32]> = []

    /// Prepares to write a trace behind those that are there.
    public init(_ database: Database) throws {
        func highest(_ sql: String) throws -> Int64 { try Int64.fetchOne(database, sql: sql) ?? 0 }
        self.database = database
        trace = try highest("SELECT max(id) FROM trace") + 1
        operationBase = try highest("SELECT max(id) FROM operation")
        layerBase = try highest("SELECT max(id) FROM layer")
        taskBase = try highest("SELECT max(id) FROM task")
        domainBase = try highest("SELECT max(id) FROM domain")
        deviceBase = try highest("SELECT max(id) FROM device")
        unitBase = try highest("SELECT max(id) FROM unit")
        partBase = try highest("SELECT max(id) FROM log_part")
        operations = try BulkInsert(database, table: "operation")
        layers = try BulkInsert(database, table: "layer")
        commands = try BulkInsert(database, table: "raw_command")
        faults = try BulkInsert(database, table: "fault")
    }

    /// Takes the virtual tables away; to be called whether or not the import succeeded.
    public func close() {
        operations.close()
        layers.close()
        commands.close()
        faults.close()
    }

    /// Writes what a builder has settled.
    public mutating func write(_ builder: OperationBuilder) throws {
        for operation in builder.operations { try write(operation) }
        try write(builder.corrections)
        for layer in builder.layers { try write(layer) }
        for marker in builder.markers {
            try database.cachedStatement(sql: "INSERT INTO marker VALUES (?, ?)")
                .execute(arguments: [marker.operation + operationBase, marker.text])
        }
    }

    /// Writes an announcement of lost events.
    public mutating func write(_ loss: Loss) throws {
        try database.cachedStatement(
            sql: "INSERT INTO lost_events (trace, line, cpu, count) VALUES (?, ?, ?, ?)"
        ).execute(arguments: [trace, loss.line, loss.cpu, loss.count])
    }

    /// Writes where another part of the log goes on: a row of `log_piece`.
    ///
    /// - Parameter part: number of the part, from 0.
    public mutating func writePiece(line: Int64, part: Int32, partLine: Int64) throws {
        try database.cachedStatement(sql: "INSERT INTO log_piece VALUES (?, ?, ?, ?)")
            .execute(arguments: [trace, line, partBase + Int64(part) + 1, partLine])
    }

    /// Writes an issue, or only counts it if its reason has enough rows.
    public mutating func write(_ issue: Issue) throws {
        issueCounts[issue.reason, default: 0] += 1
        guard issueCounts[issue.reason, default: 0] <= Self.issueRowsPerReason else { return }
        try database.cachedStatement(
            sql: "INSERT INTO parse_issue (trace, line, byte_offset, reason, excerpt) VALUES (?, ?, ?, ?, ?)"
        ).execute(arguments: [trace, issue.line, issue.byteOffset, issue.reason, issue.excerpt])
    }

    /// Counts issues that do not become rows.
    public mutating func count(_ issues: Int64, reason: String) {
        issueCounts[reason, default: 0] += issues
    }

    private mutating func write(_ operation: Operation) throws {
        if operation.kind == .attach, operation.domain > 0, operation.device > 0,
            attachments.count < Self.attachmentLimit
        {
            attachments.insert([operation.domain, operation.device])
        }
        if operation.kind == .ioPageFault { try faults.append { $0.add(operation.id + operationBase) } }
        operationShapes[Self.index(operation.kind.rawValue, operation.flags.rawValue, of: Self.operationShapeCount)] +=
            1
        try operations.append { row in
            row.addAutomaticID()
            row.add(trace)
            row.add(operation.time)
            row.add(Int64(operation.kind.rawValue))
            row.add(Int64(operation.cpu))
            row.add(Int64(operation.task) + taskBase)
            row.add(reference: Int64(operation.domain), base: domainBase)
            row.add(reference: Int64(operation.device), base: deviceBase)
            row.add(operation.iova)
            row.add(operation.size)
            row.add(operation.result)
            row.add(operation.paddr)
            row.add(operation.sinceEntry)
            row.add(operation.detail)
            row.add(Int64(operation.flags.rawValue))
            row.add(Self.stored(operation.grade))
            row.add(operation.line)
        }
    }

    /// That an operation names its domain's address is not stored: it is most common and costs nothing this way.
    private static func stored(_ grade: Grade?) -> Int64? {
        grade == .pointer ? nil : grade.map { Int64($0.rawValue) }
    }

    /// Late news of operations that were written before.
    private mutating func write(_ corrections: [Correction]) throws {
        guard !corrections.isEmpty else { return }
        try operations.flush()
        let statement = try database.cachedStatement(sql: "UPDATE operation SET domain = ?, grade = ? WHERE id = ?")
        for correction in corrections {
            try statement.execute(arguments: [
                Int64(correction.domain) + domainBase, Self.stored(correction.grade),
                correction.operation + operationBase,
            ])
        }
    }

    private static func index(_ kind: some BinaryInteger, _ shape: some BinaryInteger, of shapes: Int) -> Int {
        (Int(truncatingIfNeeded: kind) & (kinds - 1)) * shapes + (Int(truncatingIfNeeded: shape) & (shapes - 1))
    }

    private mutating func write(_ layer: Layer) throws {
        let cause = layer.flush == 0 ? layer.cause?.rawValue ?? 0 : Layer.Cause.flush.rawValue
        let shape = cause + 4 * (layer.granularity?.rawValue ?? 0)
        layerShapes[Self.index(layer.kind.rawValue, shape, of: Self.layerShapeCount)] += 1
        try layers.append { row in
            row.addAutomaticID()
            row.add(trace)
            row.add(layer.time)
            row.add(Int64(layer.kind.rawValue))
            row.add(Int64(layer.cpu))
            row.add(Int64(layer.task) + taskBase)
            row.add(reference: layer.flush, base: operationBase)
            row.add(layer.flush == 0 ? layer.cause.map { Int64($0.rawValue) } : nil)
            row.add(reference: layer.flush == 0 ? Int64(layer.domain) : 0, base: domainBase)
            row.add(reference: Int64(layer.unit), base: unitBase)
            row.add(reference: Int64(layer.device), base: deviceBase)
            row.add(layer.hardwareDomain)
            row.add(layer.granularity.map { Int64($0.rawValue) })
            row.add(layer.address)
            row.add(layer.mask)
            row.add(Int64(layer.hint ? 1 : 0) | (layer.startsRun ? 2 : 0))
            row.add(layer.line)
        }
        guard layer.word0 != nil || layer.word1 != nil else { return }
        try commands.append { row in
            row.add(layer.id + layerBase)
            row.add(layer.word0)
            row.add(layer.word1)
        }
    }

    // MARK: - End of the log

    /// The trace that holds the same bytes already, if there is one.
    public func existingTrace(_ content: Content) throws -> String? {
        try String.fetchOne(
            database, sql: "SELECT name FROM trace WHERE content_hash = ? AND content_bytes = ?",
            arguments: [content.hash, content.bytes])
    }

    /// Where the trace of this name came from; `nil` if there is none.
    public func source(ofTrace name: String) throws -> String? {
        try String.fetchOne(database, sql: "SELECT source FROM trace WHERE name = ?", arguments: [name])
    }

    /// Writes the files of a log that has several, in the order of their numbers.
    public func write(_ parts: [Part]) throws {
        let statement = try database.makeStatement(sql: "INSERT INTO log_part VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        for (index, part) in parts.enumerated() {
            try statement.execute(arguments: [
                partBase + Int64(index) + 1, trace, part.source, part.content.hash, part.content.bytes,
                part.fileBytes, part.lines, part.events, part.times?.lowerBound, part.times?.upperBound,
            ])
        }
    }

    /// Writes the names, counts and the trace's own row.
    ///
    /// - Returns: the name that the trace has got.
    public mutating func finish(_ builder: OperationBuilder, _ description: Description) throws -> String {
        try operations.flush()
        try layers.flush()
        try commands.flush()
        try faults.flush()
        // SQLite numbered the rows; what refers to them counts on its having gone on without a gap.
        let totals = builder.totals
        let operationCount = Operation.Kind.allCases.reduce(Int64(0)) { $0 + totals[$1] }
        let layerCount = Layer.Kind.allCases.reduce(Int64(0)) { $0 + totals[$1] }
        for (table, expected) in [("operation", operationBase + operationCount), ("layer", layerBase + layerCount)] {
            let highest = try Int64.fetchOne(database, sql: "SELECT max(id) FROM \(table)") ?? 0
            guard highest == expected else {
                throw DatabaseError(resultCode: .SQLITE_CONSTRAINT, message: "ids of \(table) have a gap")
            }
        }
        try writeNames(builder)
        try writeDomains(builder)
        try writeCounts(builder)
        let name = try uniqueName(description.name)
        let flushLayer =
            totals[Operation.Kind.sync] + totals[Operation.Kind.flushAll] > 0
            ? "api" : totals.hardwareRuns > 0 ? "hardware" : "none"
        try database.execute(
            sql: """
                INSERT INTO trace VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                trace, name, description.source, description.content.hash, description.content.bytes,
                description.fileBytes, description.lines, totals.events, totals.firstTime, totals.lastTime,
                totals.backwards, description.bufferEntries, description.bufferWritten, flushLayer,
                totals.showsAttaches, totals.showsReturns, builder.assumesSingleDomain, operationBase + 1,
                operationCount, layerBase + 1, layerCount,
            ])
        return name
    }

    private func writeNames(_ builder: OperationBuilder) throws {
        let task = try database.makeStatement(sql: "INSERT INTO task VALUES (?, ?, ?, ?)")
        for (index, value) in builder.tasks.enumerated() {
            try task.execute(arguments: [taskBase + Int64(index) + 1, trace, value.pid, value.comm])
        }
        for (table, base, names) in [("device", deviceBase, builder.devices), ("unit", unitBase, builder.units)] {
            let statement = try database.makeStatement(sql: "INSERT INTO \(table) VALUES (?, ?, ?)")
            for (index, name) in names.enumerated() {
                try statement.execute(arguments: [base + Int64(index) + 1, trace, name])
            }
        }
    }

    private func writeDomains(_ builder: OperationBuilder) throws {
        let statement = try database.makeStatement(
            sql: "INSERT INTO domain VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        let showsAllocations = builder.domains.contains { $0.allocated != nil }
        for (index, domain) in builder.domains.enumerated() {
            try statement.execute(arguments: [
                domainBase + Int64(index) + 1, trace, domain.name, domain.pointer.map { Int64(bitPattern: $0) },
                domain.generation, domain.evidence.rawValue, domain.kind.rawValue, domain.kindEvidence.rawValue,
                domain.owner.rawValue, domain.ownerEvidence.rawValue, domain.mode.rawValue, domain.modeReason,
                domain.hardwareDomain, domain.allocated, domain.freed,
                domain.wasAttached,
                domain.pointer == nil || showsAllocations && domain.allocated == nil || domain.wasAttachedBefore,
            ])
        }
        let grades = try database.makeStatement(sql: "INSERT INTO domain_grade VALUES (?, ?, ?)")
        for (index, domain) in builder.domains.enumerated() {
            for grade in Grade.allCases where domain.operations(grade) > 0 {
                try grades.execute(arguments: [
                    domainBase + Int64(index) + 1, grade.rawValue, domain.operations(grade),
                ])
            }
        }
        let ids = try database.makeStatement(
            sql: """
                INSERT INTO hardware_id (trace, hardware_domain, unit, domain, first_line, end_line)
                VALUES (?, ?, ?, ?, ?, ?)
                """)
        for id in builder.hardwareIDs {
            try ids.execute(arguments: [
                trace, id.id, id.unit > 0 ? Int64(id.unit) + unitBase : nil, Int64(id.domain) + domainBase,
                id.firstLine, id.endLine == .max ? nil : id.endLine,
            ])
        }
        for pair in attachments.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            try database.execute(
                sql: "INSERT INTO attachment VALUES (?, ?)",
                arguments: [Int64(pair[0]) + domainBase, Int64(pair[1]) + deviceBase])
        }
    }

    private func writeCounts(_ builder: OperationBuilder) throws {
        for count in builder.eventCounts {
            let form =
                switch count.form {
                case .tracepoint: "tracepoint"
                case .probe: "probe"
                case .probeReturn: "return"
                }
            try database.execute(
                sql: "INSERT INTO event_count VALUES (?, ?, ?, ?, ?)",
                arguments: [trace, count.name, form, count.isUnderstood, count.count])
        }
        for (stage, shapes, counts) in [
            ("operation", Self.operationShapeCount, operationShapes), ("layer", Self.layerShapeCount, layerShapes),
        ] {
            for (index, count) in counts.enumerated() where count > 0 {
                try database.execute(
                    sql: "INSERT INTO kind_count VALUES (?, ?, ?, ?, ?)",
                    arguments: [trace, stage, index / shapes, index % shapes, count])
            }
        }
        for (reason, count) in issueCounts.sorted(by: { $0.key < $1.key }) {
            try database.execute(
                sql: "INSERT INTO parse_issue_count VALUES (?, ?, ?)", arguments: [trace, reason, count])
        }
    }

    private func uniqueName(_ wanted: String) throws -> String {
        var name = wanted
        var number = 2
        while try Bool.fetchOne(
            database, sql: "SELECT EXISTS (SELECT 1 FROM trace WHERE name = ?)", arguments: [name]) == true
        {
            name = "\(wanted)-\(number)"
            number += 1
        }
        return name
    }
}
