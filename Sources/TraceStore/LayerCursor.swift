import GRDB
import Operations

/// Something below the API as a validation reads it back.
public struct StoredLayer: Sendable {
    /// Line of the log.
    public var line: Int64
    /// ns
    public var time: Int64
    /// What was done.
    public var kind: Layer.Kind
    /// Why, where the log shows it.
    public var cause: Layer.Cause?
    /// The CPU.
    public var cpu: Int32
    /// Thread id.
    public var pid: Int32
    /// From 1, in order of the trace's domains: its flush's, otherwise that of the CPU's last unmap; 0 if unknown.
    public var domain: Int32
    /// The IOMMU that was told; 0 if unknown.
    public var unit: Int64
    /// The domain id that the hardware knows; `nil` for none.
    public var hardwareDomain: Int64?
    /// How much it names.
    public var granularity: Layer.Granularity?
    /// Address operand, as sent.
    public var address: UInt64
    /// log2 of the 4 KiB pages covered.
    public var mask: Int
    /// The invalidation hint: only leaf entries changed.
    public var hint: Bool
    /// Whether it is the first of a run of IOTLB invalidations: a flush at the hardware layer.
    public var startsRun: Bool
}

/// Reads a trace's layers in the order of the log.
public struct LayerCursor {
    private let layers: RawStatement
    private let firstDomain: Int64
    private let firstTask: Int64
    private let pids: [Int32]

    /// Starts at a trace's first layer. No schema change may happen while it is in use.
    public init(_ database: Database, _ trace: TraceSummary) throws {
        firstDomain = (trace.domains.first?.id ?? 1) - 1
        firstTask = trace.firstTaskID
        pids = trace.pids
        layers = try RawStatement(
            database,
            """
            SELECT layer.line, layer.time_ns, layer.kind, layer.cause, layer.cpu, layer.task,
                coalesce(layer.domain, operation.domain, 0), coalesce(layer.unit, 0), layer.hardware_domain,
                layer.granularity, layer.address, coalesce(layer.mask, 0), layer.flags
            FROM layer LEFT JOIN operation ON operation.id = layer.flush
            WHERE layer.id >= ?1 AND layer.id < ?2 ORDER BY layer.id
            """, [trace.layerIDs.lowerBound, trace.layerIDs.upperBound])
    }

    /// The next layer; `nil` after the last.
    public mutating func next() throws -> StoredLayer? {
        guard try layers.step() else { return nil }
        let task = Int(layers.integer(5) - firstTask)
        let domain = layers.integer(6)
        let flags = layers.integer(12)
        return StoredLayer(
            line: layers.integer(0), time: layers.integer(1),
            kind: Layer.Kind(rawValue: UInt8(truncatingIfNeeded: layers.integer(2))) ?? .otherDescriptor,
            cause: Layer.Cause(rawValue: UInt8(truncatingIfNeeded: layers.integer(3))),
            cpu: Int32(truncatingIfNeeded: layers.integer(4)), pid: pids.indices.contains(task) ? pids[task] : -1,
            domain: domain > 0 ? Int32(truncatingIfNeeded: domain - firstDomain) : 0, unit: layers.integer(7),
            hardwareDomain: layers.isNull(8) ? nil : layers.integer(8),
            granularity: Layer.Granularity(rawValue: UInt8(truncatingIfNeeded: layers.integer(9))),
            address: UInt64(bitPattern: layers.integer(10)), mask: Int(truncatingIfNeeded: layers.integer(11)),
            hint: flags & 1 != 0, startsRun: flags & 2 != 0)
    }
}
