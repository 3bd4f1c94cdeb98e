import GRDB

/// How many bytes of a log's maps got which page size, and why no larger one: a row of `page_size_summary`.
public struct PageSizeRow: Sendable {
    /// Bytes that would be in pages of at least 2 MiB, or 1 GiB, if one limit did not hold.
    public struct Lifted: Sendable {
        /// The sizes that are asked for.
        public static let sizes: [UInt64] = [1 << 21, 1 << 30]
        /// None.
        public static let none = Lifted()

        /// For the IOVA, the physical address, the length and what is offered: of at least 2 MiB, of at least 1 GiB.
        public var bytes = SIMD8<Int64>.zero

        /// Adds up, as far as 64 bits go.
        public mutating func add(_ other: Lifted) {
            let sum = bytes &+ other.bytes
            bytes = sum.replacing(with: .max, where: sum .< bytes)
        }
    }

    /// Whose maps.
    public var cell: Cell
    /// Bytes of a page; `nil` where the log does not tell the physical address.
    public var pageSize: UInt64?
    /// Sum of 1 IOVA, 2 physical address, 4 length, 8 none larger offered.
    public var limits: UInt8
    /// Calls into the driver, each for a run of equal pages.
    public var callbacks: Int64
    /// Pages of that size.
    public var pages: Int64
    /// Their bytes.
    public var bytes: Int64
    /// Of those.
    public var lifted: Lifted

    /// Creates a row.
    public init(
        cell: Cell, pageSize: UInt64?, limits: UInt8, callbacks: Int64, pages: Int64, bytes: Int64, lifted: Lifted
    ) {
        self.cell = cell
        self.pageSize = pageSize
        self.limits = limits
        self.callbacks = callbacks
        self.pages = pages
        self.bytes = bytes
        self.lifted = lifted
    }
}

/// What was mapped and unmapped, and how soon again: a row of `churn_total`.
public struct ChurnTotalRow: Sendable {
    /// How far back the unmap was when something was mapped again.
    public struct Distances: Sendable {
        /// How many.
        public var count: Int64
        /// What 50, 90 and 99 % of them do not exceed; empty without any.
        public var percentiles: [Int64]
        /// The longest; `nil` without any.
        public var longest: Int64?

        /// Creates a summary.
        public init(count: Int64 = 0, percentiles: [Int64] = [], longest: Int64? = nil) {
            self.count = count
            self.percentiles = percentiles
            self.longest = longest
        }

        fileprivate var columns: [Int64?] {
            (0..<3).map { percentiles.indices.contains($0) ? percentiles[$0] : nil } + [longest]
        }
    }

    /// Of whom.
    public var of: Member
    /// Successful map calls.
    public var maps: Int64 = 0
    /// Unmap calls.
    public var unmaps: Int64 = 0
    /// Bytes mapped.
    public var mappedBytes: Int64 = 0
    /// Bytes unmapped.
    public var unmappedBytes: Int64 = 0
    /// Of addresses in ns and in calls, of pages in ns and in calls.
    public var distances = [Distances](repeating: Distances(), count: 4)
    /// Map calls and bytes mapped at the end.
    public var live: (mappings: Int64, bytes: Int64) = (0, 0)
    /// The most of each at one time.
    public var peak: (mappings: Int64, bytes: Int64) = (0, 0)

    /// Nothing yet.
    public init(of member: Member) { of = member }
}

/// Maps and unmaps of a step of time: a row of `churn_step`.
public struct ChurnStepRow: Sendable {
    /// Whose.
    public var cell: Cell
    /// Begin in ns.
    public var start: Int64
    /// Successful map calls.
    public var maps: Int64
    /// Unmap calls.
    public var unmaps: Int64
    /// Bytes mapped.
    public var mappedBytes: Int64
    /// Bytes unmapped.
    public var unmappedBytes: Int64
    /// How many more of the cell's map calls are mapped at the end of the step than at its begin.
    public var mappings: Int64
    /// Likewise bytes.
    public var bytes: Int64

    /// Creates a row.
    public init(
        cell: Cell, start: Int64, maps: Int64, unmaps: Int64, mappedBytes: Int64, unmappedBytes: Int64, mappings: Int64,
        bytes: Int64
    ) {
        self.cell = cell
        self.start = start
        self.maps = maps
        self.unmaps = unmaps
        self.mappedBytes = mappedBytes
        self.unmappedBytes = unmappedBytes
        self.mappings = mappings
        self.bytes = bytes
    }
}

/// What a log's maps and unmaps amount to by themselves.
public struct WorkloadRows: Sendable {
    /// What is not in the database yet.
    public struct Missing: Sendable {
        /// How much is mapped, and how soon again.
        public var churn: Bool
        /// Page sizes, of those that are offered.
        public var pageSizes: Bool
        /// Whether anything is missing.
        public var isAny: Bool { churn || pageSizes }

        /// Looks into the database.
        ///
        /// - Parameter offered: the page sizes of the domains, as typed.
        public init(_ database: Database, _ trace: TraceSummary, offered: String) throws {
            churn =
                try Bool.fetchOne(
                    database, sql: "SELECT NOT EXISTS (SELECT 1 FROM churn_total WHERE trace = ?)",
                    arguments: [trace.id]) ?? true
            pageSizes =
                try Bool.fetchOne(
                    database,
                    sql: "SELECT NOT EXISTS (SELECT 1 FROM page_size_summary WHERE trace = ? AND offered = ?)",
                    arguments: [trace.id, offered]) ?? true
        }
    }

    /// The page sizes of the domains, as typed.
    public var offered: String
    /// `nil` if they are in the database already.
    public var pageSizes: [PageSizeRow]?
    /// Likewise.
    public var totals: [ChurnTotalRow]?
    /// Likewise.
    public var steps: [ChurnStepRow]?

    /// Puts the parts together.
    public init(
        offered: String, pageSizes: [PageSizeRow]?, totals: [ChurnTotalRow]?, steps: [ChurnStepRow]?
    ) {
        self.offered = offered
        self.pageSizes = pageSizes
        self.totals = totals
        self.steps = steps
    }

    /// Writes them, inside a transaction of ``TraceStore/write(_:)``.
    public func write(_ database: Database, _ trace: TraceSummary) throws {
        let numbers = RowNumbers(trace)
        for row in pageSizes ?? [] {
            try database.cachedStatement(
                sql: "INSERT INTO page_size_summary VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            ).execute(
                arguments: [trace.id, offered] + numbers.columns(row.cell) + [
                    row.pageSize.map { Int64(clamping: $0) }, row.pageSize == nil ? nil : Int64(row.limits),
                    row.callbacks, row.pageSize == nil ? nil : row.pages, row.bytes,
                ] + StatementArguments((0..<8).map { row.pageSize == nil ? nil : row.lifted.bytes[$0] }))
        }
        for row in totals ?? [] {
            let distances = row.distances
            let reuse =
                [distances[0].count] + distances[0].columns + distances[1].columns
                + [distances[2].count] + distances[2].columns + distances[3].columns
            try database.cachedStatement(
                sql:
                    "INSERT INTO churn_total VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            ).execute(
                arguments: [trace.id] + numbers.columns(row.of) + [
                    row.maps, row.unmaps, row.mappedBytes, row.unmappedBytes,
                ] + StatementArguments(reuse) + [
                    row.live.mappings, row.live.bytes, row.peak.mappings, row.peak.bytes,
                ])
        }
        for row in steps ?? [] {
            try database.cachedStatement(sql: "INSERT INTO churn_step VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .execute(
                    arguments: [trace.id] + numbers.columns(row.cell) + [
                        row.start, row.maps, row.unmaps, row.mappedBytes, row.unmappedBytes, row.mappings, row.bytes,
                    ])
        }
    }
}

/// From numbers within a trace to those of the database.
private struct RowNumbers {
    private let domain: Int64
    private let device: Int64
    private let task: Int64

    init(_ trace: TraceSummary) {
        domain = (trace.domains.first?.id ?? 1) - 1
        device = trace.firstDeviceID
        task = trace.firstTaskID - 1
    }

    /// Domain, device and task.
    func columns(_ cell: Cell) -> StatementArguments {
        func reference(_ number: Int32, _ base: Int64) -> Int64? { number > 0 ? Int64(number) + base : nil }
        return [reference(cell.domain, domain), reference(cell.device, device), reference(cell.task, task)]
    }

    /// The word for what is told apart, and its number.
    func columns(_ member: Member) -> StatementArguments {
        func number(_ number: Int32, _ base: Int64) -> Int64 { number > 0 ? Int64(number) + base : 0 }
        return switch member {
        case .trace: ["trace", 0]
        case .domain(let own): ["domain", number(own, domain)]
        case .device(let own): ["device", number(own, device)]
        case .task(let own): ["task", number(own, task)]
        }
    }
}
