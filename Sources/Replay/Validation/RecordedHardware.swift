import GRDB
import IOMMUModel
import Operations
import TraceStore

extension Hardware {
    /// The hardware that a log's own commands give away; `nil` if it shows none that is understood.
    ///
    /// * VT-d: descriptors with the invalidation hint, or cache_tag events, are of 6.12 and later; anything else of 5.4 to 6.11,
    ///   and earlier kernels have no such event. Flushes of what is not present are caching mode's.
    /// * AMD: page-selective commands are of 5.13 and later. Flushes below a map are NpCache's.
    /// * Arm: whether ranges are named, the log does not tell; flushes at the API are the same.
    static func recorded(_ database: Database, _ trace: TraceSummary) throws -> Hardware? {
        func count(_ condition: String) throws -> Int64 {
            try Int64.fetchOne(
                database, sql: "SELECT count(*) FROM layer WHERE id >= ? AND id < ? AND \(condition)",
                arguments: [trace.layerIDs.lowerBound, trace.layerIDs.upperBound]) ?? 0
        }
        func kinds(_ kinds: Layer.Kind...) -> String {
            "kind IN (\(kinds.map { "\($0.rawValue)" }.joined(separator: ", ")))"
        }
        // By chance the flush of an old mapping may follow a new one at its address; a habit is no chance.
        let maps =
            try Int64.fetchOne(
                database, sql: "SELECT count(*) FROM operation WHERE id >= ? AND id < ? AND kind = ?",
                arguments: [
                    trace.operationIDs.lowerBound, trace.operationIDs.upperBound, Operation.Kind.map.rawValue,
                ]) ?? 0
        let belowMaps = try count(
            "cause = \(Layer.Cause.map.rawValue) AND granularity = \(Layer.Granularity.page.rawValue)")
        let flushesMaps = try belowMaps > 0 && belowMaps * 8 >= maps || count(kinds(.cacheTagFlushRangeNotPresent)) > 0
        if try count(kinds(.iotlbInvalidation)) > 0 {
            let isModern =
                try count("\(kinds(.iotlbInvalidation)) AND flags & 1") > 0
                || count(kinds(.cacheTagFlushRange, .cacheTagFlushRangeNotPresent, .cacheTagFlushAll)) > 0
            return Hardware(isModern ? .vtd612 : .vtd61, cachesAbsent: flushesMaps)
        }
        if try count(kinds(.amdInvalidatePages, .amdInvalidateAll)) > 0 {
            let isModern =
                try count("\(kinds(.amdInvalidatePages)) AND granularity = \(Layer.Granularity.page.rawValue)") > 0
            let tellsOfMaps = try count(kinds(.syncMap)) > 0
            return Hardware(isModern ? .amd6 : .amd419, cachesAbsent: flushesMaps || tellsOfMaps)
        }
        return try count(kinds(.armCommands)) > 0 ? Hardware(.smmuv3) : nil
    }

    /// Whether a log's commands can be compared with those of the model, one by one: of Arm's it shows only the first of each
    /// submission.
    var showsCommands: Bool {
        switch profile {
        case .vtd419, .vtd61, .vtd612, .amd419, .amd6: true
        case .contract, .smmuv3, .smmuv3RIL: false
        }
    }
}
