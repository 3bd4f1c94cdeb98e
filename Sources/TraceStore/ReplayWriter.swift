import GRDB
import Operations

/// One flush of a replay: a row of `flush`.
public struct FlushRow: Sendable {
    /// What made the policy flush.
    public enum Cause: UInt8, CaseIterable, Sendable {
        /// The unmap call itself: sync and per-page.
        case call = 1
        /// A sync of the log.
        case recordedSync = 2
        /// A flush_all of the log.
        case recordedFlushAll = 3
        /// The batch is full, or VFIO's 512 regions are.
        case batchFull = 4
        /// A ring of the flush queue is full.
        case ringFull = 5
        /// A timer fired.
        case timer = 6
        /// The next range does not fit the gather: a gap, or callbacks of another length.
        case gatherSplit = 7
        /// A run of unmaps of one task ended.
        case endOfRun = 8
        /// The domain is freed.
        case domainFree = 9

        /// The word for it.
        public var text: String {
            switch self {
            case .call: "call"
            case .recordedSync: "sync"
            case .recordedFlushAll: "flush_all"
            case .batchFull: "batch full"
            case .ringFull: "ring full"
            case .timer: "timer"
            case .gatherSplit: "gather split"
            case .endOfRun: "end of run"
            case .domainFree: "domain free"
            }
        }
    }

    /// ns
    public var time: Int64
    /// From 1, in order of the trace's domains.
    public var domain: Int32
    /// Id of the operation at which it happened; 0 for none.
    public var operation: Int64
    /// What made the policy flush.
    public var cause: Cause
    /// How many flushes at once.
    public var flushes: Int64
    /// Unmap calls covered.
    public var calls: Int64
    /// Whether a device was attached: only then a hardware command follows.
    public var isAttached: Bool

    /// Creates a row.
    public init(
        time: Int64, domain: Int32, operation: Int64, cause: Cause, flushes: Int64, calls: Int64, isAttached: Bool
    ) {
        self.time = time
        self.domain = domain
        self.operation = operation
        self.cause = cause
        self.flushes = flushes
        self.calls = calls
        self.isAttached = isAttached
    }
}

/// One replay's counts for one domain: a row of `replay_domain`.
public struct ReplayDomainRow: Sendable {
    /// From 1, in order of the trace's domains.
    public var domain: Int32
    /// Canonical.
    public var policy: String
    /// Why this policy, where fast chose; otherwise empty.
    public var reason: String
    /// Unmap calls.
    public var unmapCalls: Int64 = 0
    /// Those of them that were VFIO's attach probe.
    public var attachProbeCalls: Int64 = 0
    /// Those of them made while no device was attached.
    public var detachedCalls: Int64 = 0
    /// 4096-byte pages removed.
    public var pagesUnmapped: Int64 = 0
    /// Those of them removed while no device was attached.
    public var unreachablePages: Int64 = 0
    /// `nil` if the log cannot tell.
    public var flushes: Int64?
    /// Those of the flushes made while no device was attached.
    public var detachedFlushes: Int64?
    /// Unmap calls that no flush has covered at the end of the log.
    public var callsPending: Int64 = 0
    /// 1 if a flush is still due at the end of the log.
    public var flushesPending: Int64 = 0
    /// What the flushes become at the hardware; `nil` if that was not asked, or the log cannot tell.
    public var hardware: HardwareCounts?
    /// What happened in the simulated IOTLB; `nil` if that was not asked, or the log cannot tell.
    public var cache: CacheCounts?
    /// How the flushes are known.
    public var evidence: String

    /// Counts of nothing yet.
    public init(domain: Int32, policy: String, reason: String, evidence: String) {
        self.domain = domain
        self.policy = policy
        self.reason = reason
        self.evidence = evidence
    }
}

/// What flushes become at the hardware: columns of `replay_domain` and `replay`.
public struct HardwareCounts: Sendable {
    /// Invalidation commands.
    public var commands: Int64
    /// Those of them that name a whole domain.
    public var domainCommands: Int64
    /// Those of them that are not the first before their wait; a column of `flush_summary` only.
    public var furtherCommands: Int64
    /// Completion waits.
    public var waits: Int64
    /// Commands to devices with a TLB of their own.
    public var deviceTLBCommands: Int64
    /// 4096-byte pages that the other commands cover.
    public var pages: Int64
    /// Those of them that nobody had asked for.
    public var overPages: Int64

    /// Creates counts.
    public init(
        commands: Int64, domainCommands: Int64, furtherCommands: Int64, waits: Int64, deviceTLBCommands: Int64,
        pages: Int64, overPages: Int64
    ) {
        self.furtherCommands = furtherCommands
        self.deviceTLBCommands = deviceTLBCommands
        self.commands = commands
        self.domainCommands = domainCommands
        self.waits = waits
        self.pages = pages
        self.overPages = overPages
    }

    /// What domains come to together; `nil` if none has any.
    public static func sum(_ rows: [ReplayDomainRow]) -> HardwareCounts? {
        let counts = rows.compactMap(\.hardware)
        guard let first = counts.first else { return nil }
        return counts.dropFirst().reduce(first) {
            HardwareCounts(
                commands: $0.commands.addingSaturated($1.commands),
                domainCommands: $0.domainCommands.addingSaturated($1.domainCommands),
                furtherCommands: $0.furtherCommands.addingSaturated($1.furtherCommands),
                waits: $0.waits.addingSaturated($1.waits),
                deviceTLBCommands: $0.deviceTLBCommands.addingSaturated($1.deviceTLBCommands),
                pages: $0.pages.addingSaturated($1.pages),
                overPages: $0.overPages.addingSaturated($1.overPages))
        }
    }

    fileprivate static func arguments(_ counts: HardwareCounts?) -> StatementArguments {
        [
            counts?.commands, counts?.domainCommands, counts?.waits, counts?.deviceTLBCommands, counts?.pages,
            counts?.overPages,
        ]
    }
}

/// What the model's page tables saw of a domain: a row of `mapping_summary`.
public struct MappingSummaryRow: Sendable {
    /// Successful map calls.
    public var maps: Int64 = 0
    /// Bytes that they mapped.
    public var mappedBytes: UInt64 = 0
    /// Unmap calls.
    public var unmaps: Int64 = 0
    /// Bytes that they removed, as recorded.
    public var unmappedBytes: UInt64 = 0
    /// Map calls onto something still mapped.
    public var mapsOverLive: Int64 = 0
    /// Unmap calls that removed no byte.
    public var unmapsOfNothing: Int64 = 0
    /// Unmap calls of what no recorded map had mapped.
    public var unmapsWithoutMap: Int64 = 0
    /// Bytes mapped at the end of the log.
    public var liveBytes: UInt64 = 0
    /// The most bytes mapped at one time.
    public var peakLiveBytes: UInt64 = 0

    /// Counts of nothing yet.
    public init() {}
}

/// Writes replays of one trace, inside a transaction of ``TraceStore/write(_:)``.
public struct ReplayWriter {
    /// A replay as a whole: a row of `replay`, without its counts, which are sums over its domains.
    public struct Header {
        /// As typed.
        public var requested: String
        /// Canonical; for fast all that it chose, joined by +.
        public var policy: String
        /// What else the counts rest on, `name=value` joined by spaces.
        public var options: String
        /// Who says how fast the kernel's timer ticks; `nil` where the policy has no timer.
        public var hzFrom: String?
        /// The hardware profile whose commands are counted; `nil` for none.
        public var hardware: String?
        /// The simulated IOTLB's geometry, and the assumption on what fills it; `nil` for none.
        public var iotlb: (geometry: String, accesses: String)?
        /// Where its flushes are counted: api or hardware.
        public var layer: String
        /// How the flushes are known.
        public var evidence: String
        /// Begin and end of what was replayed, ns of the trace clock.
        public var span: (first: Int64, last: Int64)

        /// Describes a replay.
        public init(
            requested: String, policy: String, options: String, hzFrom: String? = nil, hardware: String?,
            iotlb: (geometry: String, accesses: String)? = nil, layer: String, evidence: String,
            span: (first: Int64, last: Int64)
        ) {
            self.requested = requested
            self.policy = policy
            self.options = options
            self.hzFrom = hzFrom
            self.hardware = hardware
            self.iotlb = iotlb
            self.layer = layer
            self.evidence = evidence
            self.span = span
        }
    }

    let database: Database
    private let trace: TraceSummary
    private let domainBase: Int64
    private var flushes: BulkInsert
    private var windows: BulkInsert
    private var hazards: BulkInsert
    private var histograms: BulkInsert
    private var timelines: BulkInsert
    /// Numbers of the replays, in the order of their headers.
    public private(set) var replays: [Int64] = []

    /// Prepares to write, and takes away what the new replays replace.
    public init(_ database: Database, _ trace: TraceSummary, replacing headers: [(requested: String, options: String)])
        throws
    {
        self.database = database
        self.trace = trace
        domainBase = (trace.domains.first?.id ?? 1) - 1
        for header in headers {
            let old = try Int64.fetchOne(
                database, sql: "SELECT id FROM replay WHERE trace = ? AND requested = ? AND options = ?",
                arguments: [trace.id, header.requested, header.options])
            if let old { try Self.delete(database, replay: old) }
        }
        let firstReplay = (try Int64.fetchOne(database, sql: "SELECT max(id) FROM replay") ?? 0) + 1
        replays = headers.indices.map { firstReplay + Int64($0) }
        flushes = try BulkInsert(database, table: "flush")
        windows = try BulkInsert(database, table: "stale_window")
        hazards = try BulkInsert(database, table: "hazard")
        histograms = try BulkInsert(database, table: "window_histogram")
        timelines = try BulkInsert(database, table: "timeline")
    }

    /// Takes the virtual tables away; to be called whether or not the replay succeeded.
    public func close() {
        for table in [flushes, windows, hazards, histograms, timelines] { table.close() }
    }

    /// Writes a flush of the replay with this index.
    @inline(__always)
    public mutating func write(_ flush: FlushRow, replay: Int) throws {
        try flushes.append { row in
            row.addAutomaticID()
            row.add(replays[replay])
            row.add(flush.time)
            row.add(Int64(flush.domain) + domainBase)
            row.add(reference: flush.operation, base: 0)
            row.add(Int64(flush.cause.rawValue))
            row.add(flush.flushes)
            row.add(flush.calls)
            row.add(flush.isAttached ? Int64(1) : 0)
        }
    }

    /// Writes a stale window of the replay with this index.
    @inline(__always)
    public mutating func write(_ window: StaleWindowRow, replay: Int) throws {
        try windows.append { row in
            row.addAutomaticID()
            row.add(replays[replay])
            row.add(window.operation)
            row.add(reference: window.map, base: 0)
            row.add(Int64(window.domain) + domainBase)
            row.add(reference: Int64(window.device), base: trace.firstDeviceID)
            row.add(Int64(bitPattern: window.iova))
            row.add(Int64(clamping: window.size))
            row.add(window.opened)
            row.add(window.closed)
            row.add(Int64(window.end))
            row.add(reference: window.closedLine, base: 0)
            row.add(window.isUncertain ? Int64(1) : 0)
        }
    }

    /// Writes a hazard of the replay with this index.
    @inline(__always)
    public mutating func write(_ hazard: HazardRow, replay: Int) throws {
        try hazards.append { row in
            row.addAutomaticID()
            row.add(replays[replay])
            row.add(Int64(hazard.kind.rawValue))
            row.add(hazard.operation)
            row.add(hazard.reuse)
            row.add(Int64(hazard.domain) + domainBase)
            row.add(reference: Int64(hazard.device), base: trace.firstDeviceID)
            row.add(Int64(bitPattern: hazard.iova))
            row.add(Int64(clamping: hazard.size))
            row.add(hazard.age)
        }
    }

    /// Writes a replay's summary.
    public mutating func finish(
        replay: Int, _ header: Header, _ domains: [ReplayDomainRow], _ cells: [FlushSummaryRow],
        _ statistics: WindowStatistics,
        staleEntries: [StaleEntryRow] = []
    ) throws {
        for table in [\.flushes, \.windows, \.hazards] as [WritableKeyPath<ReplayWriter, BulkInsert>] {
            try self[keyPath: table].flush()
        }
        func sum(_ value: (ReplayDomainRow) -> Int64) -> Int64 {
            domains.reduce(Int64(0)) { $0.addingSaturated(value($1)) }
        }
        let isKnown = domains.allSatisfy { $0.flushes != nil }
        try database.execute(
            sql: """
                INSERT INTO replay VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                replays[replay], trace.id, header.requested, header.policy, header.options, header.hzFrom,
                header.hardware, header.layer,
                header.span.first, header.span.last, statistics.stepLength, statistics.windowsLeftOut,
                sum { $0.unmapCalls }, sum { $0.pagesUnmapped }, isKnown ? sum { $0.flushes ?? 0 } : nil,
                sum { $0.flushesPending },
            ] + HardwareCounts.arguments(isKnown ? HardwareCounts.sum(domains) : nil)
                + [header.iotlb?.geometry, header.iotlb?.accesses]
                + StatementArguments(CacheCounts.columns(isKnown ? CacheCounts.sum(domains) : nil))
                + [header.evidence])
        let statement = try database.makeStatement(
            sql: """
                INSERT INTO replay_domain VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """)
        for domain in domains {
            try statement.execute(
                arguments: [
                    replays[replay], Int64(domain.domain) + domainBase, domain.policy, domain.reason, domain.unmapCalls,
                    domain.attachProbeCalls, domain.detachedCalls, domain.pagesUnmapped, domain.unreachablePages,
                    domain.flushes, domain.detachedFlushes, domain.callsPending, domain.flushesPending,
                ] + HardwareCounts.arguments(domain.hardware)
                    + StatementArguments(CacheCounts.columns(domain.cache)) + [domain.evidence])
        }
        try write(cells, replay: replay)
        if isKnown { try write(staleEntries, replay: replay) }
        try write(statistics, replay: replay)
    }

    private func write(_ staleEntries: [StaleEntryRow], replay: Int) throws {
        for row in staleEntries {
            let lengths = (0..<3).map { row.percentiles.indices.contains($0) ? row.percentiles[$0] : nil }
            try database.cachedStatement(
                sql: "INSERT INTO stale_entry_total VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            ).execute(
                arguments: [replays[replay]] + arguments(row.of) + [
                    row.entries, row.invalidated, row.madeRoom, row.detached,
                ] + StatementArguments(lengths + [row.longest]))
        }
    }

    func arguments(_ replay: Int, _ cell: Cell) -> StatementArguments {
        func reference(_ number: Int32, _ base: Int64) -> Int64? { number > 0 ? Int64(number) + base : nil }
        return [
            replays[replay], reference(cell.domain, domainBase), reference(cell.device, trace.firstDeviceID),
            reference(cell.task, trace.firstTaskID - 1),
        ]
    }

    /// The word for what is told apart, and its number.
    private func arguments(_ member: Member) -> StatementArguments {
        switch member {
        case .trace: ["trace", 0]
        case .domain(let number): ["domain", Int64(number) + domainBase]
        case .device(let number): ["device", number > 0 ? Int64(number) + trace.firstDeviceID : 0]
        case .task(let number): ["task", number > 0 ? Int64(number) + trace.firstTaskID - 1 : 0]
        }
    }

    private mutating func write(_ statistics: WindowStatistics, replay: Int) throws {
        var number = try Int64.fetchOne(database, sql: "SELECT max(id) FROM window_summary") ?? 0
        for summary in statistics.summaries {
            number += 1
            try database.cachedStatement(
                sql: "INSERT INTO window_summary VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            ).execute(
                arguments: [number] + arguments(replay, summary.cell) + [
                    summary.end, summary.isUncertain, summary.windows, summary.pages, summary.pageSeconds,
                    summary.longest,
                ])
            for bucket in summary.histogram {
                try histograms.append { row in
                    row.add(number)
                    row.add(bucket.upTo)
                    row.add(bucket.windows)
                    row.add(bucket.pages)
                }
            }
        }
        try histograms.flush()
        for (member, total) in statistics.totals {
            try database.cachedStatement(
                sql: "INSERT INTO stale_total VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            ).execute(
                arguments: [replays[replay]] + arguments(member) + [
                    total.windows, total.censored, total.uncertain, total.unreachablePages,
                ]
                    + StatementArguments(
                        (0..<3).map { total.percentiles.indices.contains($0) ? total.percentiles[$0] : nil }
                            + [total.longest]
                            + (0..<2).map {
                                total.pagePercentiles.indices.contains($0) ? total.pagePercentiles[$0] : nil
                            })
                    + [total.exposure, total.censoredPageSeconds, total.peak])
        }
        for hazard in statistics.hazards {
            try database.cachedStatement(sql: "INSERT INTO hazard_summary VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .execute(
                    arguments: arguments(replay, hazard.cell) + [
                        hazard.kind.rawValue, hazard.pages, hazard.operation, hazard.reuse,
                        Int64(bitPattern: hazard.iova), hazard.shortestAge,
                    ])
        }
        for step in statistics.timeline {
            try timelines.append { row in
                row.add(replays[replay])
                row.add(Int64(step.cell.domain) + domainBase)
                row.add(reference: Int64(step.cell.device), base: trace.firstDeviceID)
                row.add(reference: Int64(step.cell.task), base: trace.firstTaskID - 1)
                row.add(step.start)
                row.add(step.pageNanoseconds)
                row.add(step.windows)
                row.add(step.pages)
                row.add(step.flushes)
            }
        }
        try timelines.flush()
    }

    /// Replaces what the model saw of the trace's domains, by number - 1.
    public func write(_ summaries: [MappingSummaryRow], _ findings: MistakeRows) throws {
        try findings.write(database, trace, domainBase: domainBase)
        try database.execute(sql: "DELETE FROM mapping_summary WHERE trace = ?", arguments: [trace.id])
        let statement = try database.makeStatement(
            sql: "INSERT INTO mapping_summary VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        for (index, row) in summaries.enumerated() {
            try statement.execute(arguments: [
                trace.id, Int64(index) + 1 + domainBase, row.maps, Int64(clamping: row.mappedBytes), row.unmaps,
                Int64(clamping: row.unmappedBytes), row.mapsOverLive, row.unmapsOfNothing, row.unmapsWithoutMap,
                Int64(clamping: row.liveBytes), Int64(clamping: row.peakLiveBytes),
            ])
        }
    }

    static func delete(_ database: Database, replay: Int64) throws {
        try database.execute(
            sql: "DELETE FROM window_histogram WHERE summary IN (SELECT id FROM window_summary WHERE replay = ?)",
            arguments: [replay])
        for table in [
            "flush", "flush_summary", "replay_domain", "window_summary", "stale_total", "stale_entry_total",
            "stale_window", "hazard_summary", "hazard", "timeline",
        ] {
            try database.execute(sql: "DELETE FROM \(table) WHERE replay = ?", arguments: [replay])
        }
        try database.execute(sql: "DELETE FROM replay WHERE id = ?", arguments: [replay])
    }
}
