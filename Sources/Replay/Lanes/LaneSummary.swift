import FlushSchedules
import IOMMUModel
import TraceStore

/// What unmap calls amount to, whatever the policy.
struct UnmapCounts {
    var calls: Int64 = 0
    var attachProbeCalls: Int64 = 0
    var detachedCalls: Int64 = 0
    var bytes: UInt64 = 0
    /// Those beyond the first 4096 of each call.
    var furtherBytes: UInt64 = 0
    var unreachableBytes: UInt64 = 0

    /// Counts what one call removed.
    @inline(__always)
    mutating func addPages(of result: UInt64) {
        bytes = bytes.addingSaturated(result)
        if result > 4096 { furtherBytes = furtherBytes.addingSaturated(result - 4096) }
    }

    mutating func add(_ other: UnmapCounts) {
        calls += other.calls
        attachProbeCalls += other.attachProbeCalls
        detachedCalls += other.detachedCalls
        bytes = bytes.addingSaturated(other.bytes)
        furtherBytes = furtherBytes.addingSaturated(other.furtherBytes)
        unreachableBytes = unreachableBytes.addingSaturated(other.unreachableBytes)
    }
}

/// How often a policy flushed.
struct FlushCounts {
    var flushes: Int64 = 0
    var detachedFlushes: Int64 = 0
    /// Those with a device attached that are flush_alls of the log.
    var attachedFlushAlls: Int64 = 0
    /// Those with a device attached that are of the unmap calls themselves.
    var attachedCallFlushes: Int64 = 0

    @inline(__always)
    mutating func add(_ more: Int64, isAttached: Bool, cause: FlushRow.Cause) {
        flushes = flushes.addingSaturated(more)
        guard isAttached else {
            detachedFlushes = detachedFlushes.addingSaturated(more)
            return
        }
        switch cause {
        case .recordedFlushAll: attachedFlushAlls = attachedFlushAlls.addingSaturated(more)
        case .call: attachedCallFlushes = attachedCallFlushes.addingSaturated(more)
        default: break
        }
    }

    mutating func add(_ other: FlushCounts) {
        flushes = flushes.addingSaturated(other.flushes)
        detachedFlushes = detachedFlushes.addingSaturated(other.detachedFlushes)
        attachedFlushAlls = attachedFlushAlls.addingSaturated(other.attachedFlushAlls)
        attachedCallFlushes = attachedCallFlushes.addingSaturated(other.attachedCallFlushes)
    }

    /// Those of them, with a device attached, that name the whole domain.
    func domainFlushes(under policy: Policy) -> Int64 {
        switch policy {
        case .queue, .singleQueue:
            flushes.subtractingSaturated(detachedFlushes).subtractingSaturated(attachedCallFlushes)
        case .end: flushes.subtractingSaturated(detachedFlushes)
        case .recorded: attachedFlushAlls
        case .perPage, .sync, .vfio, .iommufd, .batch, .every, .fast: 0
        }
    }
}

extension Lane {
    /// What a domain, or a cell, comes to.
    private struct Sums {
        var unmaps = UnmapCounts()
        var flushes = FlushCounts()
        var sent = InvalidationCounts()
    }

    /// What the lane counted for a cell; the counts of unmaps are the engine's.
    private func sums(ofCell number: Int, _ unmaps: ContiguousArray<UnmapCounts>) -> Sums {
        Sums(
            unmaps: unmaps.indices.contains(number) ? unmaps[number] : UnmapCounts(),
            flushes: counter.counts.indices.contains(number) ? counter.counts[number] : FlushCounts(),
            sent: commands.flatMap { $0.sent.indices.contains(number) ? $0.sent[number] : nil } ?? InvalidationCounts())
    }

    /// Whether the log tells how often a domain was flushed under this policy.
    private func tellsFlushes(of index: Int) -> Bool {
        choices[index].policy != .recorded || trace.flushLayer != .none
    }

    /// What the lane counted for each domain that unmapped or was flushed: the sums of its cells.
    ///
    /// - Parameter unmaps: by number of the ``Cell``, what the engine counted.
    func summary(_ unmaps: ContiguousArray<UnmapCounts>, _ cells: CellTable) -> [ReplayDomainRow] {
        var sums = ContiguousArray(repeating: Sums(), count: trace.domains.count)
        for (number, cell) in cells.cells.enumerated() {
            let index = Int(cell.domain) - 1
            guard sums.indices.contains(index) else { continue }
            let own = self.sums(ofCell: number, unmaps)
            sums[index].unmaps.add(own.unmaps)
            sums[index].flushes.add(own.flushes)
            sums[index].sent.add(own.sent)
        }
        return sums.indices.compactMap { index in
            let (unmaps, flushes) = (sums[index].unmaps, sums[index].flushes)
            guard unmaps.calls > 0 || flushes.flushes > 0 else { return nil }
            let choice = choices[index]
            var row = ReplayDomainRow(
                domain: Int32(index + 1), policy: choice.policy.canonical, reason: choice.reason,
                evidence: choice.evidence.text)
            row.unmapCalls = unmaps.calls
            row.attachProbeCalls = unmaps.attachProbeCalls
            row.detachedCalls = unmaps.detachedCalls
            row.pagesUnmapped = Int64(clamping: unmaps.bytes / 4096)
            row.unreachablePages = Int64(clamping: unmaps.unreachableBytes / 4096)
            let isTold = tellsFlushes(of: index)
            row.flushes = isTold ? flushes.flushes : nil
            row.detachedFlushes = isTold ? flushes.detachedFlushes : nil
            row.callsPending = schedules[index]?.waiting ?? 0
            row.flushesPending = schedules[index]?.isFlushDue == true ? 1 : 0
            if isTold, options.hardware != nil {
                row.hardware = HardwareCounts(sums[index].sent)
                row.cache = commands?.cache?.tally.counts(of: row.domain)
            }
            return row
        }
    }

    /// The same by domain, device and task (design §4 32), for the domains of these rows.
    func cellSummary(
        _ unmaps: ContiguousArray<UnmapCounts>, _ cells: CellTable, of domains: [ReplayDomainRow]
    ) -> [FlushSummaryRow] {
        let cells = cells.cells
        let shown = Set(domains.map(\.domain))
        // Cells are numbered as they come, other policies' among them: the order must not depend on those.
        let order = cells.indices.filter { shown.contains(cells[$0].domain) }.sorted { cells[$0] < cells[$1] }
        var (domain, bytes): (Int32, UInt64) = (0, 0)
        return order.compactMap { number in
            let cell = cells[number]
            let own = sums(ofCell: number, unmaps)
            if cell.domain != domain { (domain, bytes) = (cell.domain, 0) }
            // Where calls remove parts of pages, cells come to as many whole ones as their domain.
            let before = bytes / 4096
            bytes = bytes.addingSaturated(own.unmaps.bytes)
            guard own.unmaps.calls > 0 || own.flushes.flushes > 0 || own.sent.commands > 0 || own.sent.waits > 0 else {
                return nil
            }
            let index = Int(cell.domain) - 1
            var row = FlushSummaryRow(cell: cell)
            row.unmapCalls = own.unmaps.calls
            row.detachedCalls = own.unmaps.detachedCalls
            row.pagesUnmapped = Int64(clamping: bytes / 4096 - before)
            row.furtherPages = Int64(clamping: own.unmaps.furtherBytes / 4096)
            guard tellsFlushes(of: index) else { return row }
            row.flushes = own.flushes.flushes
            row.detachedFlushes = own.flushes.detachedFlushes
            row.domainFlushes = own.flushes.domainFlushes(under: choices[index].policy)
            if options.hardware != nil { row.hardware = HardwareCounts(own.sent) }
            return row
        }
    }

    /// The weakest evidence that the flushes of these domains rest on.
    func weakestEvidence(of rows: [ReplayDomainRow]) -> Evidence {
        rows.map { choices[Int($0.domain) - 1].evidence }.max() ?? .recorded
    }

    /// The replay's own row.
    func header(_ rows: [ReplayDomainRow], _ options: String, _ part: TraceSummary.Part) -> ReplayWriter.Header {
        let applied = rows.filter { $0.unmapCalls > 0 }.map(\.policy)
        let chosen = Set(applied).sorted().joined(separator: "+")
        let used = rows.map { choices[Int($0.domain) - 1] }
        let countsRecorded = policy == .recorded || used.contains { $0.policy == .recorded }
        return ReplayWriter.Header(
            requested: requested,
            policy: policy == .fast && !chosen.isEmpty ? chosen : policy.canonical,
            options: options, hzFrom: policy.hasTimer ? self.options.hzFrom : nil,
            hardware: self.options.hardware?.canonical,
            iotlb: self.options.iotlb.map { ($0.geometry.canonical, $0.accesses.rawValue) },
            layer: countsRecorded && trace.flushLayer == .hardware ? "hardware" : "api",
            evidence: weakestEvidence(of: rows).text, span: (part.firstTime, part.lastTime))
    }
}

extension HardwareCounts {
    init(_ counts: InvalidationCounts) {
        self.init(
            commands: counts.commands, domainCommands: counts.domainCommands,
            furtherCommands: counts.furtherCommands, waits: counts.waits,
            deviceTLBCommands: counts.deviceTLBCommands, pages: Int64(clamping: counts.pages),
            overPages: Int64(clamping: counts.overPages))
    }
}
