import TraceFormats

@testable import Operations
@testable import TraceStore

/// A log as the operations and the trace that a replay reads, straight from the ``OperationBuilder``: no database in between.
struct BuiltTrace {
    let summary: TraceSummary
    let operations: [StoredOperation]

    init(path: String) throws {
        var reader = try TraceReader(LogFile(path: path))
        let batch = EventBatch()
        var builder = OperationBuilder()
        var goesOn = true
        while goesOn {
            goesOn = try reader.read(into: batch)
            builder.add(batch)
        }
        builder.finish()
        self.init(builder)
    }

    private init(_ builder: OperationBuilder) {
        let pids = builder.tasks.map(\.pid)
        // The last layer of a flush ends it.
        var ends: [Int64: Int64] = [:]
        for layer in builder.layers where layer.flush > 0 {
            ends[layer.flush] = max(ends[layer.flush] ?? .min, layer.time)
        }
        var corrected: [Int64: Int32] = [:]
        for correction in builder.corrections { corrected[correction.operation] = correction.domain }
        let totals = builder.totals
        let showsSyncs = totals[.sync] > 0
        operations = builder.operations.map { operation in
            var stored = StoredOperation(
                id: operation.id, time: operation.time, kind: operation.kind, flags: operation.flags,
                cpu: operation.cpu, pid: pids[Int(operation.task) - 1], task: operation.task,
                domain: corrected[operation.id] ?? operation.domain, device: operation.device,
                iova: operation.iova ?? 0, size: operation.size ?? 0, paddr: operation.paddr,
                sinceEntry: showsSyncs ? operation.sinceEntry ?? 0 : 0, result: operation.result,
                hasRange: operation.iova != nil, line: operation.line)
            // The device of a map tells nothing that a replay asks for.
            if operation.kind == .map || operation.kind == .sync || operation.kind == .flushAll { stored.device = 0 }
            stored.completed = max(ends[operation.id] ?? operation.time, operation.time)
            return stored
        }
        let showsAllocations = builder.domains.contains { $0.allocated != nil }
        summary = TraceSummary(
            id: 1, name: "built", firstTime: totals.firstTime, lastTime: totals.lastTime,
            flushLayer: totals[.sync] + totals[.flushAll] > 0 ? .api : .none, showsSyncs: showsSyncs,
            showsAttaches: totals.showsAttaches, operationIDs: 1..<Int64(builder.operations.count) + 1, layerIDs: 1..<1,
            domains: builder.domains.enumerated().map { index, domain in
                TraceSummary.Domain(
                    id: Int64(index) + 1, name: domain.name, kind: domain.kind, kindEvidence: domain.kindEvidence,
                    owner: domain.owner, ownerEvidence: domain.ownerEvidence, mode: domain.mode,
                    evidence: domain.evidence,
                    isAssumedAttached: domain.pointer == nil || showsAllocations && domain.allocated == nil
                        || domain.wasAttachedBefore)
            }, pids: pids, firstTaskID: 1, firstDeviceID: 0, losses: [])
    }
}
