import GRDB
import Operations

/// A trace of the database, as its own row and its domains tell.
public struct TraceSummary: Sendable {
    /// A domain of the trace.
    public struct Domain: Sendable {
        /// Number over all traces.
        public let id: Int64
        /// What reports call it.
        public let name: String
        /// What it is for.
        public let kind: Operations.Domain.Kind
        /// How ``kind`` is known.
        public let kindEvidence: Operations.Domain.Evidence
        /// Who maps and unmaps in it.
        public var owner = Operations.Domain.Owner.unknown
        /// How ``owner`` is known.
        public var ownerEvidence = Operations.Domain.Evidence.assumed
        /// What it did with its flushes.
        public let mode: Operations.Domain.Mode
        /// How its operations are known to be its own.
        public let evidence: Operations.Domain.Evidence
        /// Whether a device counts as attached to it until the log shows one: it was there before the recording, or the log
        /// does not name it.
        public let isAssumedAttached: Bool
        /// The id that the hardware last knew it by; `nil` if the log does not show it.
        public var hardwareDomain: Int64?
        /// Whether it stands for all operations of which the log does not name the domain.
        public var isUnresolved: Bool { name == "unresolved" }
    }

    /// Where a log shows flushes.
    public enum FlushLayer: String, Sendable {
        /// sync and flush_all.
        case api
        /// IOTLB descriptors only.
        case hardware
        /// Nowhere.
        case none
    }

    /// Number of the trace.
    public let id: Int64
    /// What reports call it.
    public let name: String
    /// Times of the first and the last event, ns of the trace clock.
    public let firstTime: Int64
    /// Time of the last event, ns of the trace clock.
    public let lastTime: Int64
    /// Where the log shows flushes.
    public let flushLayer: FlushLayer
    /// Whether the log shows syncs of the API, which cover what lies in their ranges.
    public let showsSyncs: Bool
    /// Whether the log shows attaches.
    public let showsAttaches: Bool
    /// Ids of the trace's rows in `operation`.
    public let operationIDs: Range<Int64>
    /// Ids of the trace's rows in `layer`.
    public let layerIDs: Range<Int64>
    /// In order of their ids, which have no gaps.
    public let domains: [Domain]
    /// Which of them the hardware knew by which id, and when.
    public var hardwareDomains = HardwareDomains()
    /// Thread ids by task id - ``firstTaskID``.
    public let pids: [Int32]
    /// The lowest id of the trace's tasks.
    public let firstTaskID: Int64
    /// One less than the lowest id of the trace's devices.
    public let firstDeviceID: Int64
    /// `CONFIG_HZ` of the recorded kernel and who says so, if the trace's metadata does.
    public var hz: (ticks: Int64, source: String)?
    /// The release of the recorded kernel, also as 1000 x major + minor: what the recording's metadata say, or what the log's own
    /// events give away, which is the oldest that it can be.
    public var kernel: (number: Int64, release: String)?
    /// Which layers the log shows.
    public var layerKinds: Set<Layer.Kind> = []
    /// Where the log announces lost events, in order.
    public let losses: [Loss]

    /// Lost events.
    public struct Loss: Hashable, Sendable {
        /// Line of the log that announces them.
        public var line: Int64
        /// Time in ns of the last layer before that; `Int64.min` if there is none. Operations are not looked at: a replay
        /// knows when the last one was.
        public var time: Int64
    }
}

extension TraceSummary {
    /// Reads a trace by name, or the newest one.
    public init(_ database: Database, name: String?, path: String) throws {
        let row = try Row.fetchOne(
            database, sql: "SELECT * FROM trace WHERE name = ?1 OR ?1 IS NULL ORDER BY id DESC LIMIT 1",
            arguments: [name])
        guard let row else {
            let known = try String.fetchAll(database, sql: "SELECT name FROM trace ORDER BY id")
            throw known.isEmpty ? StoreError.noTraces(path: path) : .noSuchTrace(name: name ?? "", known: known)
        }
        let id: Int64 = row["id"]
        self.id = id
        self.name = row["name"]
        firstTime = row["first_ns"]
        lastTime = row["last_ns"]
        flushLayer = FlushLayer(rawValue: row["flush_layer"]) ?? .none
        showsSyncs =
            try Bool.fetchOne(
                database,
                sql: "SELECT EXISTS (SELECT 1 FROM kind_count WHERE trace = ? AND stage = 'operation' AND kind = ?)",
                arguments: [id, Operation.Kind.sync.rawValue]) ?? true
        showsAttaches = row["shows_attaches"]
        func ids(_ first: Int64, _ count: Int64) -> Range<Int64> { first..<(first + max(count, 0)) }
        operationIDs = ids(row["first_operation"], row["operations"])
        layerIDs = ids(row["first_layer"], row["layers"])
        domains = try Row.fetchAll(database, sql: "SELECT * FROM domain WHERE trace = ? ORDER BY id", arguments: [id])
            .map { row in
                Domain(
                    id: row["id"], name: row["name"],
                    kind: Operations.Domain.Kind(rawValue: row["kind"]) ?? .unknown,
                    kindEvidence: Operations.Domain.Evidence(rawValue: row["kind_evidence"]) ?? .assumed,
                    owner: Operations.Domain.Owner(rawValue: row["owner"]) ?? .unknown,
                    ownerEvidence: Operations.Domain.Evidence(rawValue: row["owner_evidence"]) ?? .assumed,
                    mode: Operations.Domain.Mode(rawValue: row["mode"]) ?? .unknown,
                    evidence: Operations.Domain.Evidence(rawValue: row["evidence"]) ?? .assumed,
                    isAssumedAttached: row["assumed_attached"], hardwareDomain: row["hardware_domain"])
            }
        hardwareDomains = try HardwareDomains(database, trace: id, firstDomain: (domains.first?.id ?? 1) - 1)
        let tasks = try Row.fetchAll(
            database, sql: "SELECT id, pid FROM task WHERE trace = ? ORDER BY id", arguments: [id])
        firstTaskID = tasks.first?["id"] ?? 1
        pids = tasks.map { $0["pid"] }
        firstDeviceID =
            (try Int64.fetchOne(database, sql: "SELECT min(id) FROM device WHERE trace = ?", arguments: [id]) ?? 1) - 1
        hz = try Row.fetchOne(
            database,
            sql: """
                SELECT number, source FROM metadata
                WHERE trace = ? AND key = 'hz' AND number IS NOT NULL ORDER BY id LIMIT 1
                """, arguments: [id]
        ).map { ($0[0], $0[1]) }
        kernel = try Row.fetchOne(
            database,
            sql: """
                SELECT number, value FROM metadata
                WHERE trace = ? AND key IN ('kernel_release', 'evident_kernel') AND number IS NOT NULL
                ORDER BY key DESC, id LIMIT 1
                """, arguments: [id]
        ).map { ($0[0], $0[1]) }
        layerKinds = Set(
            try UInt8.fetchAll(
                database, sql: "SELECT kind FROM kind_count WHERE trace = ? AND stage = 'layer'", arguments: [id]
            ).compactMap(Layer.Kind.init))
        losses = try Self.losses(database, trace: id, layerIDs)
    }

    /// One pass through the layers, if there are losses at all.
    private static func losses(_ database: Database, trace: Int64, _ layerIDs: Range<Int64>) throws -> [Loss] {
        var losses = try Int64.fetchAll(
            database, sql: "SELECT line FROM lost_events WHERE trace = ? ORDER BY line", arguments: [trace]
        ).map { Loss(line: $0, time: .min) }
        guard let last = losses.last else { return [] }
        let layers = try RawStatement(
            database, "SELECT line, time_ns FROM layer WHERE id >= ?1 AND id < ?2 AND line < ?3 ORDER BY id",
            [layerIDs.lowerBound, layerIDs.upperBound, last.line])
        var next = 0
        var time = Int64.min
        while try layers.step() {
            while layers.integer(0) > losses[next].line {
                losses[next].time = time
                next += 1
            }
            time = layers.integer(1)
        }
        for index in next..<losses.count { losses[index].time = time }
        return losses
    }

    /// Names of all traces, oldest first.
    public static func names(_ database: Database) throws -> [String] {
        try String.fetchAll(database, sql: "SELECT name FROM trace ORDER BY id")
    }
}
