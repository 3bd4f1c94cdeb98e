import FlushSchedules
import GRDB
import IOMMUModel
import Operations
import TraceStore

/// What the flushes of a domain are predicted from.
enum Basis: Equatable {
    /// The unmaps, under a policy that flushes where the unmaps say so.
    case policy(Policy)
    /// The unmaps, under a flush queue: the times are compared. Its commands follow from the recorded flushes.
    case queue(Policy)
    /// The log's own flushes: their caller is free to flush when he likes.
    case recordedFlushes
    /// The unmaps of a log that shows neither flushes nor who is attached: each recorded command must be the flush of some of
    /// them, but that it has to be there does not follow.
    case commands

    var text: String {
        switch self {
        case .policy(let policy), .queue(let policy): policy.canonical
        case .recordedFlushes: "recorded flushes"
        case .commands: "recorded commands"
        }
    }
}

extension Validation {
    /// By domain - 1.
    func bases(_ database: Database, _ trace: TraceSummary) throws -> [Basis] {
        let flushesRanges =
            try Bool.fetchOne(
                database,
                sql: """
                    SELECT EXISTS (
                        SELECT 1 FROM layer WHERE id >= ? AND id < ? AND flags & 2 AND cause IS NULL AND granularity = ?)
                    """,
                arguments: [
                    trace.layerIDs.lowerBound, trace.layerIDs.upperBound, Layer.Granularity.page.rawValue,
                ]) ?? false
        return trace.domains.map { domain in
            switch policy {
            case .recorded: return trace.flushLayer == .api ? .recordedFlushes : .commands
            case .queue, .singleQueue, .every: return .queue(policy ?? .kernelQueue)
            case .perPage, .sync, .vfio, .iommufd, .batch, .end: return .policy(policy ?? .sync)
            case .fast, nil: break
            }
            // A flush queue takes whole domains; where ranges are flushed, but not each unmap's, somebody gathers.
            guard trace.flushLayer == .api else {
                if domain.mode == .strict { return .policy(.sync) }
                return domain.mode.defers && !flushesRanges ? .queue(.kernelQueue) : .commands
            }
            switch (domain.owner, domain.evidence) {
            case (.type1, .recorded): return .policy(.vfio)
            // Each of its batches is a call of iommu_unmap.
            case (.iommufd, .recorded): return .policy(.sync)
            default: break
            }
            switch (domain.kind, domain.mode) {
            case (.unmanaged, _): return .recordedFlushes
            case (_, .strict): return .policy(.sync)
            case (_, .deferred), (_, .mixed): return .queue(.kernelQueue)
            case (_, .unknown): return .recordedFlushes
            }
        }
    }
}
