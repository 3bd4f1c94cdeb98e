import FlushSchedules
import Glibc
import TraceStore

/// Many flush schedules over one trace: flushes saved against exposure, for the whole and for each domain (design §4 31).
///
/// One pass over the operations. Threads share out the schedules: what comes out does not depend on how many there are.
public struct Sweep: Sendable {
    private let schedules: [(policy: Policy, schedule: SweepPointRow.Schedule)]
    private let grid: PolicyGrid
    private let options: ReplayOptions
    private let threads: Int

    /// Prepares a sweep.
    ///
    /// - Parameters:
    ///   - options: what it rests on; windows are not kept one by one, and no IOTLB is simulated.
    ///   - threads: at most so many at once; `nil` for one on each CPU.
    public init(_ grid: PolicyGrid, options: ReplayOptions = ReplayOptions(), threads: Int? = nil) {
        self.grid = grid
        var options = options
        options.windows = .none
        options.iotlb = nil
        options.detail = .sums
        self.options = options
        self.threads = max(threads ?? sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1)
        var policies = grid.policies
        policies += Self.marks.map(\.policy).filter { !policies.contains($0) }
        schedules = policies.map { ($0, Self.schedule($0, isInGrid: grid.policies.contains($0))) }
    }

    // MARK: - Schedules

    /// What there is to compare with, and what it stands for.
    private static let marks: [(policy: Policy, isKernelDefault: Bool, text: String)] = [
        (.perPage, false, "before the interface"),
        (.sync, true, "kernel default, strict"),
        (.kernelQueue, true, "kernel default, lazy"),
        (.kernelSingleQueue, true, "kernel default, lazy with one queue (s390)"),
        (.recorded, false, "as recorded"),
        (.vfio, false, "as VFIO unmaps a guest"),
        (.kernelIOMMUFD, false, "as iommufd unmaps a guest"),
    ]

    private static func schedule(_ policy: Policy, isInGrid: Bool) -> SweepPointRow.Schedule {
        let mark = marks.first { $0.policy == policy }
        let canonical = policy.canonical
        let (calls, wait) = policy.parameters
        return SweepPointRow.Schedule(
            policy: canonical, family: String(canonical.prefix { $0 != "=" }), calls: calls, wait: wait,
            isInGrid: isInGrid, isKernelDefault: mark?.isKernelDefault ?? false, mark: mark?.text ?? "")
    }

    /// Those that mean something in a trace: `recorded` needs flushes, and VFIO unmaps unmanaged domains only.
    private func schedules(
        for trace: TraceSummary
    ) throws(SweepError) -> [(policy: Policy, schedule: SweepPointRow.Schedule)] {
        let isRecorded = trace.flushLayer != .none
        if !isRecorded, grid.policies.contains(.recorded) { throw .nothingRecorded(trace.name) }
        let isUnmanaged = trace.domains.contains { $0.kind == .unmanaged }
        let isVFIO = trace.domains.contains { $0.kind == .unmanaged && $0.owner != .iommufd }
        let isIOMMUFD = trace.domains.contains { $0.owner == .iommufd }
        let own = schedules.compactMap { policy, schedule -> (policy: Policy, schedule: SweepPointRow.Schedule)? in
            var schedule = schedule
            switch policy {
            case .recorded where !isRecorded: return nil
            case .vfio where !isUnmanaged && !schedule.isInGrid: return nil
            case .iommufd where !isUnmanaged && !schedule.isInGrid: return nil
            case .kernelIOMMUFD where isIOMMUFD:
                schedule.isKernelDefault = true
                schedule.mark = "kernel default, iommufd"
            case .vfio where isVFIO:
                schedule.isKernelDefault = true
                schedule.mark = "kernel default, VFIO"
            default: break
            }
            return (policy, schedule)
        }
        guard own.count.multipliedReportingOverflow(by: trace.domains.count).partialValue <= Self.stateLimit else {
            throw .tooManyDomains(trace.name, domains: trace.domains.count, points: own.count)
        }
        return own
    }

    /// Schedules times domains: each keeps about half a kilobyte.
    private static let stateLimit = 2_000_000

    // MARK: - Running

    /// Runs in one transaction: interrupted or failed, it leaves nothing.
    ///
    /// - Parameters:
    ///   - name: the trace; `nil` for the newest.
    ///   - progress: called now and then with the operations done and their number.
    ///   - isCancelled: asked now and then; true ends the sweep with ``StoreError/interrupted``.
    /// - Returns: the trace's name and the sweep's number.
    public func run(
        in store: TraceStore, trace name: String?, progress: (Int64, Int64) -> Void = { _, _ in },
        isCancelled: () -> Bool = { false }
    ) throws -> (trace: String, sweep: Int64) {
        try store.write { database in
            let trace = try TraceSummary(database, name: name, path: store.path)
            let options = options.adopting(trace)
            let part = try trace.find(options.part, database)
            let schedules = try schedules(for: trace)
            var pipeline = ReplayPipeline(
                trace, schedules.map { Replay.Request($0.policy) }, options: options, part: part, batchSize: 4096)
            pipeline.threads = max(min(threads, schedules.count / Self.lanesPerThread), 1)
            var cursor = try OperationCursor(
                database, trace, through: part.lines.upperBound, followsFlushes: pipeline.followsFlushes)
            let total = Int64(trace.operationIDs.count)
            let firstLine = part.lines.lowerBound
            pipeline = try ModelThread.run(
                pipeline, &cursor, take: { $0.take($1, from: firstLine) }, collect: { _ in }, keep: { _ in },
                didRead: { done in
                    if isCancelled() { throw StoreError.interrupted }
                    progress(Int64(done), total)
                })
            pipeline.finish()
            let header = SweepWriter.Header(
                grid: grid.canonical, options: options.text(for: .fast, part), hardware: options.hardware?.canonical,
                span: (part.firstTime, part.lastTime))
            let sweep = try SweepWriter.write(header, points(schedules, pipeline), of: trace, in: database)
            return (trace.name, sweep)
        }
    }

    /// Schedules for which another thread is worth its while.
    private static let lanesPerThread = 4

    // MARK: - Points

    private func points(
        _ schedules: [(policy: Policy, schedule: SweepPointRow.Schedule)], _ pipeline: ReplayPipeline
    ) -> [SweepPointRow] {
        var points: [SweepPointRow] = []
        for (lane, (_, schedule)) in zip(pipeline.lanes, schedules) {
            points += Self.points(of: lane, schedule, pipeline.world)
        }
        // The whole trace first, then domain by domain; schedules in the order of the grid.
        let order = points.indices.sorted { (points[$0].domain, $0) < (points[$1].domain, $1) }
        var sorted = order.map { points[$0] }
        var first = 0
        while first < sorted.count {
            let next = sorted[first...].firstIndex { $0.domain != sorted[first].domain } ?? sorted.count
            Self.markFront(&sorted[first..<next])
            first = next
        }
        return sorted
    }

    /// A schedule's points: the trace's and those of the domains that unmap.
    private static func points(
        of lane: Lane, _ schedule: SweepPointRow.Schedule, _ world: World
    ) -> [SweepPointRow] {
        let rows = lane.summary(world.unmaps, world.stale.cells)
        let statistics = lane.windows.statistics(world.stale.cells)
        var totals: [Int32: WindowStatistics.Total] = [:]
        for (member, total) in statistics.totals {
            switch member {
            case .trace: totals[0] = total
            case .domain(let domain): totals[domain] = total
            case .device, .task: break
            }
        }
        var hazards: [Int32: [HazardKind: Int64]] = [:]
        for hazard in statistics.hazards {
            for domain in [0, hazard.cell.domain] {
                let known = hazards[domain, default: [:]][hazard.kind] ?? 0
                hazards[domain, default: [:]][hazard.kind] = known.addingSaturated(hazard.pages)
            }
        }
        func point(_ domain: Int32, _ rows: [ReplayDomainRow]) -> SweepPointRow {
            let evidence = domain == 0 ? lane.weakestEvidence(of: rows).text : rows.first?.evidence
            var point = SweepPointRow(domain: domain, schedule, evidence: evidence ?? Evidence.assumed.text)
            for row in rows {
                point.unmapCalls = point.unmapCalls.addingSaturated(row.unmapCalls)
                point.detachedCalls = point.detachedCalls.addingSaturated(row.detachedCalls)
                point.flushes = point.flushes.addingSaturated(row.flushes ?? 0)
                point.flushesPending += row.flushesPending
            }
            point.hardware = HardwareCounts.sum(rows)
            point.stale = totals[domain] ?? WindowStatistics.Total()
            point.hazards = hazards[domain] ?? [:]
            return point
        }
        return [point(0, rows)] + rows.filter { $0.unmapCalls > 0 }.map { point($0.domain, [$0]) }
    }

    /// Only what can be chosen competes: what the grid has, and the kernel's defaults.
    private static func markFront(_ points: inout ArraySlice<SweepPointRow>) {
        func place(_ point: SweepPointRow) -> ParetoFront.Point {
            ParetoFront.Point(flushes: point.flushes, pageSeconds: point.pageSeconds)
        }
        func competes(_ point: SweepPointRow) -> Bool { point.schedule.isInGrid || point.schedule.isKernelDefault }
        let front = ParetoFront(points.filter(competes).map(place))
        for index in points.indices where competes(points[index]) {
            points[index].isPareto = front.isOn(place(points[index]))
        }
    }
}

/// Why a trace cannot be swept.
public enum SweepError: Error, Hashable {
    /// The grid has `recorded`, and the log no flushes: the trace's name.
    case nothingRecorded(String)
    /// The trace's name, and how much it would be.
    case tooManyDomains(String, domains: Int, points: Int)

    /// What is wrong and what to do.
    public var message: String {
        switch self {
        case .nothingRecorded(let trace):
            "\(trace): the log shows no flushes, so 'recorded' is no point of a grid: leave it out"
        case .tooManyDomains(let trace, let domains, let points):
            "\(trace): \(points) schedules of \(domains) domains are too much to keep at once: give --policies with fewer "
                + "points, such as queue=256,1ms..100ms/5"
        }
    }
}

extension Policy {
    /// Its N, and its T in ns.
    fileprivate var parameters: (calls: Int64?, wait: Int64?) {
        switch self {
        case .batch(let calls): (calls, nil)
        case .queue(let entries, let timeout), .singleQueue(let entries, let timeout): (entries, timeout)
        case .every(let interval): (nil, interval)
        case .iommufd(let runs): (runs, nil)
        case .perPage, .sync, .recorded, .vfio, .end, .fast: (nil, nil)
        }
    }
}
