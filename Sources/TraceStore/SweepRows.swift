import GRDB

/// A flush schedule of a sweep, of a whole trace or one of its domains: a row of `sweep_point`.
public struct SweepPointRow: Sendable {
    /// From 1, in order of the trace's domains; 0 for the whole trace.
    public var domain: Int32
    /// The schedule.
    public var schedule: Schedule
    /// Unmap calls.
    public var unmapCalls: Int64 = 0
    /// Those of them made while no device was attached.
    public var detachedCalls: Int64 = 0
    /// Flushes.
    public var flushes: Int64 = 0
    /// Domains that still wait for a flush at the end of the log.
    public var flushesPending: Int64 = 0
    /// Its stale windows.
    public var stale = WindowStatistics.Total()
    /// 4096-byte pages by kind of hazard; for accesses faults.
    public var hazards: [HazardKind: Int64] = [:]
    /// What the flushes become at the hardware; `nil` if that was not asked.
    public var hardware: HardwareCounts?
    /// Whether no schedule that can be chosen has both fewer flushes and less exposure.
    public var isPareto = false
    /// How the flushes are known.
    public var evidence: String

    /// What a point is a point of.
    public struct Schedule: Sendable {
        /// Canonical.
        public var policy: String
        /// Its name without parameters.
        public var family: String
        /// Its N; `nil` without one.
        public var calls: Int64?
        /// Its T in ns; `nil` without one.
        public var wait: Int64?
        /// Whether it belongs to the grid.
        public var isInGrid: Bool
        /// Whether a kernel does so by default.
        public var isKernelDefault: Bool
        /// What it stands for if it is there to compare with; otherwise empty.
        public var mark: String

        /// Describes a schedule.
        public init(
            policy: String, family: String, calls: Int64?, wait: Int64?, isInGrid: Bool, isKernelDefault: Bool,
            mark: String
        ) {
            self.policy = policy
            self.family = family
            self.calls = calls
            self.wait = wait
            self.isInGrid = isInGrid
            self.isKernelDefault = isKernelDefault
            self.mark = mark
        }
    }

    /// A point of nothing yet.
    public init(domain: Int32, _ schedule: Schedule, evidence: String) {
        self.domain = domain
        self.schedule = schedule
        self.evidence = evidence
    }

    /// Pages x length of windows, open ones as far as the log shows them.
    public var pageSeconds: Double { stale.exposure + stale.censoredPageSeconds }
}

/// Writes sweeps of one trace, inside a transaction of ``TraceStore/write(_:)``.
public enum SweepWriter {
    /// A sweep as a whole: a row of `sweep`.
    public struct Header: Sendable {
        /// Canonical.
        public var grid: String
        /// What else the points rest on, `name=value` joined by spaces.
        public var options: String
        /// The hardware profile; `nil` for none.
        public var hardware: String?
        /// Begin and end of what was replayed, ns of the trace clock.
        public var span: (first: Int64, last: Int64)

        /// Describes a sweep.
        public init(grid: String, options: String, hardware: String?, span: (first: Int64, last: Int64)) {
            self.grid = grid
            self.options = options
            self.hardware = hardware
            self.span = span
        }
    }

    /// Takes the place of the same sweep.
    ///
    /// - Returns: its number.
    public static func write(
        _ header: Header, _ points: [SweepPointRow], of trace: TraceSummary, in database: Database
    ) throws -> Int64 {
        let old = try Int64.fetchOne(
            database, sql: "SELECT id FROM sweep WHERE trace = ? AND grid = ? AND options = ?",
            arguments: [trace.id, header.grid, header.options])
        if let old { try delete(database, sweeps: [old]) }
        try database.execute(
            sql: "INSERT INTO sweep VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            arguments: [
                trace.id, header.grid, header.options, header.hardware, header.span.first, header.span.last,
            ])
        let sweep = database.lastInsertedRowID
        let domainBase = (trace.domains.first?.id ?? 1) - 1
        let statement = try database.makeStatement(
            sql: "INSERT INTO sweep_point VALUES (NULL, \(Array(repeating: "?", count: 30).joined(separator: ", ")))")
        for point in points {
            try statement.execute(arguments: arguments(of: point, sweep, domainBase))
        }
        return sweep
    }

    private static func arguments(of point: SweepPointRow, _ sweep: Int64, _ domainBase: Int64) -> StatementArguments {
        let (schedule, stale) = (point.schedule, point.stale)
        let kinds: [HazardKind] = [.access, .iovaReuse, .pageReuse, .deferredReuse]
        // The percentiles are those of 50, 90 and 99 %.
        let lengths = [0, 2].map { stale.percentiles.indices.contains($0) ? stale.percentiles[$0] : nil }
        return [
            sweep, point.domain > 0 ? Int64(point.domain) + domainBase : nil, schedule.policy, schedule.family,
            schedule.calls, schedule.wait, schedule.isInGrid, schedule.isKernelDefault, schedule.mark,
        ] + [
            point.unmapCalls, point.detachedCalls, point.flushes, point.flushesPending, stale.windows, stale.censored,
            stale.uncertain,
        ] + StatementArguments(lengths + [stale.longest])
            + [stale.exposure, stale.censoredPageSeconds, stale.peak]
            + StatementArguments(kinds.map { point.hazards[$0] ?? 0 })
            + [point.hardware?.commands, point.hardware?.waits, point.isPareto, point.evidence]
    }

    static func delete(_ database: Database, trace: Int64) throws {
        try delete(
            database, sweeps: Int64.fetchAll(database, sql: "SELECT id FROM sweep WHERE trace = ?", arguments: [trace]))
    }

    private static func delete(_ database: Database, sweeps: [Int64]) throws {
        for sweep in sweeps {
            try database.execute(sql: "DELETE FROM sweep_point WHERE sweep = ?", arguments: [sweep])
            try database.execute(sql: "DELETE FROM sweep WHERE id = ?", arguments: [sweep])
        }
    }
}
