import GRDB
import IOMMUModel
import Operations
import TraceStore

extension Hardware {
    /// The hardware that a log's own commands give away; `nil` if it shows none that is understood.
    ///
    /// * The driver's era is that of the kernel, if that is known (``HardwareProfile/recorded(in:)``).
    /// * VT-d: descriptors with the invalidation hint, or cache_tag events, are of 6.12 and later; anything else of 5.4 to 6.11,
    ///   and earlier kernels have no such event. Flushes of what is not present are caching mode's. Commands that name a PASID
    ///   are those of first-stage tables.
    /// * AMD: page-selective commands are of 5.13 and later. Flushes below a map are NpCache's.
    /// * Arm: whether ranges are named, the first bits of a command tell, which Linux sets with range invalidation only.
    static func recorded(_ database: Database, _ trace: TraceSummary) throws -> Hardware? {
        guard let driver = trace.driver, !trace.layerKinds.isEmpty else { return nil }
        func exists(_ condition: String) throws -> Bool {
            try Bool.fetchOne(
                database,
                sql: "SELECT EXISTS (SELECT 1 FROM layer WHERE id >= ? AND id < ? AND \(condition))",
                arguments: [trace.layerIDs.lowerBound, trace.layerIDs.upperBound]) ?? false
        }
        func kinds(_ kinds: Layer.Kind...) -> String {
            "kind IN (\(kinds.map { "\($0.rawValue)" }.joined(separator: ", ")))"
        }
        let byKernel = trace.kernelVersion.flatMap { HardwareProfile(driver, kernel: $0) }
        switch driver {
        case .intel:
            let isFirstStage = trace.layerKinds.contains(.pasidIOTLBInvalidation)
            guard isFirstStage || trace.layerKinds.contains(.iotlbInvalidation) else { return nil }
            let isModern =
                try !trace.layerKinds.isDisjoint(with: [
                    .cacheTagFlushRange, .cacheTagFlushRangeNotPresent, .cacheTagFlushAll,
                ]) || exists("\(kinds(.iotlbInvalidation, .pasidIOTLBInvalidation)) AND flags & 1")
            return Hardware(
                byKernel ?? (isModern ? .vtd612 : .vtd61), cachesAbsent: try flushesMaps(database, trace),
                isFirstStage: isFirstStage)
        case .amd:
            guard !trace.layerKinds.isDisjoint(with: [.amdInvalidatePages, .amdInvalidateAll]) else { return nil }
            let isModern = try exists(
                "\(kinds(.amdInvalidatePages)) AND granularity = \(Layer.Granularity.page.rawValue)")
            return Hardware(
                byKernel ?? (isModern ? .amd6 : .amd419),
                cachesAbsent: try trace.layerKinds.contains(.syncMap) || flushesMaps(database, trace))
        case .arm:
            guard trace.layerKinds.contains(.armInvalidation) || trace.layerKinds.contains(.armCommands) else {
                return nil
            }
            // TG is 0 without ranges.
            let hasRanges = try exists(
                """
                \(kinds(.armInvalidation)) AND granularity = \(Layer.Granularity.page.rawValue)
                AND EXISTS (SELECT 1 FROM raw_command WHERE raw_command.layer = layer.id AND word1 & 0xc00)
                """)
            let isLater = trace.kernelVersion.map { $0 > .lastOfManyRanges } ?? false
            return Hardware(hasRanges ? (isLater ? .smmuv3RIL73 : .smmuv3RIL) : byKernel ?? .smmuv3)
        case .none, .riscv: return nil
        }
    }

    /// By chance the flush of an old mapping may follow a new one at its address; a habit is no chance.
    private static func flushesMaps(_ database: Database, _ trace: TraceSummary) throws -> Bool {
        if trace.layerKinds.contains(.cacheTagFlushRangeNotPresent) { return true }
        let belowMaps =
            try Int64.fetchOne(
                database,
                sql: "SELECT count(*) FROM layer WHERE id >= ? AND id < ? AND cause = ? AND granularity = ?",
                arguments: [
                    trace.layerIDs.lowerBound, trace.layerIDs.upperBound, Layer.Cause.map.rawValue,
                    Layer.Granularity.page.rawValue,
                ]) ?? 0
        guard belowMaps > 0 else { return false }
        let maps =
            try Int64.fetchOne(
                database, sql: "SELECT count(*) FROM operation WHERE id >= ? AND id < ? AND kind = ?",
                arguments: [
                    trace.operationIDs.lowerBound, trace.operationIDs.upperBound, Operation.Kind.map.rawValue,
                ]) ?? 0
        return belowMaps.multipliedReportingOverflow(by: 8).partialValue >= maps
    }

    /// Whether a log's commands can be compared with those of the model, one by one.
    var showsCommands: Bool {
        switch profile.driver {
        case .intel, .amd: true
        // Which two commands later kernels send for a range, no log has shown.
        case .arm: profile != .smmuv3RIL73
        case .none, .riscv: false
        }
    }
}
