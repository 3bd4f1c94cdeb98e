import GRDB

/// What a caller of the IOMMU API did wrong, or seems to (design §4 29): a row of `mistake_kind`.
public enum MistakeKind: UInt8, CaseIterable, Sendable {
    /// A map over what another map call of the domain still has mapped.
    case doubleMap = 1
    /// An unmap that was asked for bytes and removed none.
    case unmapOfNothing = 2
    /// An unmap that removed fewer bytes than it was asked for.
    case unmapOfLess = 3
    /// An unmap that removed more bytes than it was asked for, as of a larger page.
    case unmapOfMore = 4
    /// An unmap of a part of what one map call mapped.
    case unmapOfPart = 5
    /// An address or size that is no multiple of 4096.
    case misaligned = 6
    /// An unmap of size 0, by which the kernel undoes a map that failed at once.
    case sizeZero = 7

    /// The word for it.
    public var text: String {
        switch self {
        case .doubleMap: "double_map"
        case .unmapOfNothing: "unmap_of_nothing"
        case .unmapOfLess: "unmap_of_less"
        case .unmapOfMore: "unmap_of_more"
        case .unmapOfPart: "unmap_of_part"
        case .misaligned: "misaligned"
        case .sizeZero: "size_zero_unmap"
        }
    }

    /// What it means, in a sentence.
    public var meaning: String {
        switch self {
        case .doubleMap: "a map over what another map call of the domain still has mapped"
        case .unmapOfNothing: "an unmap that was asked for bytes and removed none"
        case .unmapOfLess: "an unmap that removed fewer bytes than it was asked for"
        case .unmapOfMore: "an unmap that removed more bytes than it was asked for, as of a larger page"
        case .unmapOfPart:
            "an unmap of a part of what one map call mapped: the DMA API takes back whole buffers, other callers may"
        case .misaligned: "an address or size that is no multiple of 4096"
        case .sizeZero: "an unmap of size 0, by which the kernel undoes a map that failed at once"
        }
    }

    /// Whether it breaks a rule of the interface.
    public var isMistake: Bool { self != .sizeZero && self != .unmapOfMore }

    /// How it is known: from the call's own line, or from what the model has mapped.
    public var evidence: String { self == .doubleMap || self == .unmapOfPart ? "modelled" : "recorded" }

    /// How many of a log become rows of `mistake`; all are counted.
    public static let rowLimit: Int64 = 1000
}

/// Why a mistake may be none.
public enum MistakeCertainty: UInt8, Sendable {
    /// Nothing speaks against it.
    case certain = 0
    /// Events that may explain it were lost, or must have been, for the recorded kernel does not do such a thing.
    case uncertain = 1
    /// The log does not name the domain: several share that row.
    case ambiguous = 2
}

/// One mistake: a row of `mistake`.
public struct MistakeRow: Sendable {
    /// Id of the call.
    public var operation: Int64
    /// What was wrong.
    public var kind: MistakeKind
    /// Id of the map call that it collides with; 0 if there is none.
    public var other: Int64
    /// Why it may be none.
    public var certainty: MistakeCertainty
    /// Bytes concerned.
    public var bytes: UInt64

    /// Creates a row.
    public init(operation: Int64, kind: MistakeKind, other: Int64, certainty: MistakeCertainty, bytes: UInt64) {
        self.operation = operation
        self.kind = kind
        self.other = other
        self.certainty = certainty
        self.bytes = bytes
    }
}

/// Mistakes of one sort: a row of `mistake_summary`.
public struct MistakeSummaryRow: Sendable {
    /// Whose they are.
    public var cell: Cell
    /// What was wrong.
    public var kind: MistakeKind
    /// Why they may be none.
    public var certainty: MistakeCertainty
    /// How many.
    public var calls: Int64
    /// Bytes concerned.
    public var bytes: UInt64

    /// Creates a row.
    public init(cell: Cell, kind: MistakeKind, certainty: MistakeCertainty, calls: Int64, bytes: UInt64) {
        self.cell = cell
        self.kind = kind
        self.certainty = certainty
        self.calls = calls
        self.bytes = bytes
    }
}

/// What a replay of a whole log found in it, whatever the policy: mistakes, and what stays mapped.
public struct MistakeRows: Sendable {
    /// The first ones of each kind, in order.
    public var mistakes: [MistakeRow] = []
    /// All of them.
    public var summaries: [MistakeSummaryRow] = []
    /// Ids of map calls that still have something mapped at the end, in order, and how many bytes.
    public var live: [(operation: Int64, bytes: UInt64)] = []
    /// By step and domain - 1: a moment in ns, and bytes mapped then.
    public var samples: [(time: Int64, bytes: [UInt64])] = []

    /// Nothing found.
    public init() {}

    static func delete(_ database: Database, _ trace: TraceSummary) throws {
        for (table, key) in [("mistake", "operation"), ("live_mapping", "operation")] {
            try database.execute(
                sql: "DELETE FROM \(table) WHERE \(key) >= ? AND \(key) < ?",
                arguments: [trace.operationIDs.lowerBound, trace.operationIDs.upperBound])
        }
        for table in ["mistake_summary", "live_sample"] {
            try database.execute(sql: "DELETE FROM \(table) WHERE trace = ?", arguments: [trace.id])
        }
    }

    /// Replaces what a former replay of the trace found.
    func write(_ database: Database, _ trace: TraceSummary, domainBase: Int64) throws {
        try Self.delete(database, trace)
        func reference(_ number: Int32, _ base: Int64) -> Int64? { number > 0 ? Int64(number) + base : nil }
        let mistake = try database.makeStatement(sql: "INSERT INTO mistake VALUES (?, ?, ?, ?, ?)")
        for row in mistakes {
            try mistake.execute(arguments: [
                row.operation, row.kind.rawValue, row.other > 0 ? row.other : nil, row.certainty.rawValue,
                Int64(clamping: row.bytes),
            ])
        }
        let summary = try database.makeStatement(sql: "INSERT INTO mistake_summary VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        for row in summaries {
            try summary.execute(arguments: [
                trace.id, reference(row.cell.domain, domainBase), reference(row.cell.device, trace.firstDeviceID),
                reference(row.cell.task, trace.firstTaskID - 1), row.kind.rawValue, row.certainty.rawValue, row.calls,
                Int64(clamping: row.bytes),
            ])
        }
        let sample = try database.makeStatement(sql: "INSERT INTO live_sample VALUES (?, ?, ?, ?, ?)")
        for (step, moment) in samples.enumerated() {
            for (index, bytes) in moment.bytes.enumerated() {
                try sample.execute(arguments: [
                    trace.id, Int64(index) + 1 + domainBase, step + 1, moment.time, Int64(clamping: bytes),
                ])
            }
        }
        var mappings = try BulkInsert(database, table: "live_mapping")
        defer { mappings.close() }
        for mapping in live {
            try mappings.append { row in
                row.add(mapping.operation)
                row.add(Int64(clamping: mapping.bytes))
            }
        }
        try mappings.flush()
    }
}
