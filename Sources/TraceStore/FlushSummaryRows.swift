import GRDB

/// One replay's counts for one domain, device and task: a row of `flush_summary` (design §4 32).
public struct FlushSummaryRow: Sendable {
    /// Whose unmap calls, and in whose calls the flushes happened.
    public var cell: Cell
    /// Unmap calls.
    public var unmapCalls: Int64 = 0
    /// Those of them made while no device was attached.
    public var detachedCalls: Int64 = 0
    /// 4096-byte pages removed.
    public var pagesUnmapped: Int64 = 0
    /// Those of them beyond the first of each call.
    public var furtherPages: Int64 = 0
    /// `nil` if the log cannot tell.
    public var flushes: Int64?
    /// Those of the flushes made while no device was attached.
    public var detachedFlushes: Int64?
    /// Those of the others that name the whole domain.
    public var domainFlushes: Int64?
    /// What the flushes become at the hardware; `nil` if that was not asked, or the log cannot tell.
    public var hardware: HardwareCounts?

    /// Counts of nothing yet.
    public init(cell: Cell) { self.cell = cell }
}

extension ReplayWriter {
    func write(_ summaries: [FlushSummaryRow], replay: Int) throws {
        for row in summaries {
            let hardware = row.hardware
            try database.cachedStatement(
                sql: "INSERT INTO flush_summary VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            ).execute(
                arguments: arguments(replay, row.cell) + [
                    row.unmapCalls, row.detachedCalls, row.pagesUnmapped, row.furtherPages,
                    row.flushes, row.detachedFlushes, row.domainFlushes,
                ] + [
                    hardware?.commands, hardware?.domainCommands, hardware?.furtherCommands, hardware?.waits,
                    hardware?.deviceTLBCommands, hardware?.pages, hardware?.overPages,
                ])
        }
    }
}
