import FlushSchedules
import IOMMUModel
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// Design §4 13: what happens inside open windows.
@Suite struct HazardTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var policy: String
        var seed: UInt64
        var hasLosses: Bool
        var showsAttaches: Bool
        var testDescription: String {
            "\(policy), seed \(seed)\(hasLosses ? ", losses" : "")\(showsAttaches ? ", attaches" : "")"
        }

        static func all(_ policies: [String]) -> [Case] {
            policies.flatMap { policy in
                seeds.prefix(3).flatMap { seed in
                    [(false, false), (false, true), (true, true)].map {
                        Case(policy: policy, seed: seed, hasLosses: $0.0, showsAttaches: $0.1)
                    }
                }
            }
        }
    }

    private func replay(_ test: Case, _ stream: ReuseStream) throws -> ReplayedLane {
        let trace = TraceSummary.make(
            domains: Int(ReuseStream.domains), lastTime: stream.lastTime, showsAttaches: test.showsAttaches,
            lossLines: stream.lossLines)
        return Replayed(
            trace, [.init(try Policy(parsing: test.policy))], options: ReplayOptions(windows: .all), stream.operations,
            batchSize: 100
        ).lanes[0]
    }

    // MARK: - Against the definitions

    static let twinned = Case.all(["recorded", "batch=1", "batch=9", "batch=100", "every=2us", "every=50us", "end"])

    @Test(arguments: twinned) func hazardsAreThoseOfTheDefinitions(test: Case) throws {
        let stream = ReuseStream(seed: test.seed, count: 4000, hasLosses: test.hasLosses)
        let lane = try replay(test, stream)
        var twin = HazardTwin(try Policy(parsing: test.policy), showsAttaches: test.showsAttaches)
        twin.replay(stream)

        var counted: [String: Int64] = [:]
        for (cell, kind, pages) in lane.statistics.hazards.map({ ($0.cell, $0.kind, $0.pages) }) {
            counted["\(kind.text) of \(cell.domain)", default: 0] += pages
        }
        let expected = twin.found.reduce(into: [:]) { $0["\($1.kind.text) of \($1.domain)", default: 0] += 1 as Int64 }
        #expect(counted == expected)

        // Those that are somebody's exposure one by one: which call, which map or fault, which address.
        let rows = lane.rows.hazards.filter(\.kind.isHazard).flatMap { row in
            (row.iova >> 12..<(row.iova + row.size) >> 12).map {
                HazardTwin.Found(
                    kind: row.kind, operation: row.operation, reuse: row.reuse, domain: row.domain, address: $0)
            }
        }
        let hazards = twin.found.filter(\.kind.isHazard)
        #expect(rows.count == hazards.count)
        #expect(Set(rows) == Set(hazards))

        // There are some of each kind, or nothing is tested.
        let kinds = Set(twin.found.map(\.kind))
        if test.policy == "batch=1" {
            #expect(kinds.isEmpty)
        } else {
            #expect(kinds.isSuperset(of: [.access, .iovaReuse, .pageReuse, .recycled]))
            if test.hasLosses, test.policy != "every=2us", test.policy != "batch=9" {
                #expect(kinds.contains(.uncertain))
            }
        }
    }

    /// What is closed under all policies is forgotten now and then, and nothing else: not what one of them still needs.
    @Test(arguments: [["recorded"], ["recorded", "batch=20"], ["every=50us", "recorded"]])
    func longLogsAreNoDifferent(policies: [String]) throws {
        let stream = ReuseStream(seed: 5, count: 60_000, hasLosses: false, drift: 20)
        let trace = TraceSummary.make(domains: Int(ReuseStream.domains), lastTime: stream.lastTime)
        var (most, mostOpen) = (0, 0)
        let replayed = Replayed(
            trace, try policies.map { try .init($0) }, options: ReplayOptions(windows: .none), stream.operations,
            batchSize: 200
        ) { pipeline in
            let domain = pipeline.world.stale.domains[0]
            most = max(most, domain.size)
            var needs = WindowNeeds()
            for lane in pipeline.lanes { lane.windows.addNeeds(of: 1, to: &needs) }
            mostOpen = max(mostOpen, Int(domain.end - min(needs.from, domain.end)) + needs.orders.count)
        }
        // The domain has seen more addresses than that, of which few were stale at one time.
        #expect(most > 64 && most < 4 * mostOpen + 256 + 1024)
        if policies == ["recorded"] { #expect(mostOpen < 300) }
        for (lane, policy) in zip(replayed.lanes, policies) {
            let statistics = lane.statistics
            var twin = HazardTwin(try Policy(parsing: policy), showsAttaches: false)
            twin.replay(stream)
            for kind in HazardKind.allCases {
                let counted = statistics.hazards.filter { $0.kind == kind }.reduce(0) { $0 + $1.pages }
                let expected = twin.found.count { $0.kind == kind }
                #expect(counted == Int64(expected), "\(kind) under \(policy)")
                if kind.isHazard { #expect(expected > 100, "\(kind) under \(policy)") }
            }
        }
    }

    // MARK: - Against the windows

    static let all = Case.all([
        "recorded", "vfio", "batch=7", "batch=100", "queue=8,100us", "queue=100,1ms", "single-queue=16,1ms",
        "every=10us", "end",
    ])

    /// No hazard lies outside of the window that it names.
    @Test(arguments: all) func everyHazardLiesInItsWindow(test: Case) throws {
        let stream = ReuseStream(seed: test.seed, count: 4000, hasLosses: test.hasLosses)
        let lane = try replay(test, stream)
        let windows = Dictionary(grouping: lane.rows.windows, by: \.operation)
        var outside = 0
        for hazard in lane.rows.hazards {
            let range = try #require(AddressRange(start: hazard.iova, size: hazard.size))
            // A sync that came later may have closed a part of them before the rest.
            var left = [range]
            for window in windows[hazard.operation] ?? [] {
                let whole = try #require(AddressRange(start: window.iova, size: window.size))
                guard whole.overlaps(range) else { continue }
                left = left.flatMap { $0.subtracting(whole) }
                #expect(window.domain == hazard.domain && window.operation < hazard.reuse)
                let time = stream.operations[Int(hazard.reuse) - 1].time
                #expect(hazard.age == time - window.opened)
                if let closed = window.closed, time > closed { outside += 1 }
            }
            #expect(left == [], "hazard of operation \(hazard.operation) at \(hazard.reuse)")
        }
        #expect(outside == 0, "of \(lane.rows.hazards.count)")
        // VFIO's runs are short, and so little happens inside them.
        if test.policy != "vfio" { #expect(lane.rows.hazards.count > 20) }
    }

    /// The figures of all windows are those of the single ones.
    @Test(arguments: all) func figuresAreThoseOfTheRows(test: Case) throws {
        let stream = ReuseStream(seed: test.seed, count: 4000, hasLosses: test.hasLosses)
        let lane = try replay(test, stream)
        let statistics = lane.statistics
        let summaries = statistics.summaries.filter { $0.end != WindowEnd.unreachable.rawValue }
        #expect(summaries.reduce(0) { $0 + $1.windows } == Int64(lane.rows.windows.count))
        #expect(statistics.windowsLeftOut == 0)
        for (isUncertain, isOpen) in [(false, false), (false, true), (true, false), (true, true)] {
            let rows = lane.rows.windows.filter { $0.isUncertain == isUncertain && ($0.closed == nil) == isOpen }
            let own = summaries.filter {
                $0.isUncertain == isUncertain && ($0.end == WindowEnd.endOfLog.rawValue) == isOpen
            }
            #expect(own.reduce(0) { $0 + $1.windows } == Int64(rows.count))
            #expect(own.reduce(0) { $0 + $1.pages } == rows.reduce(0) { $0 + Int64($1.size / 4096) })
            let lengths = rows.map { ($0.closed ?? stream.lastTime) - $0.opened }
            let exposure = zip(rows, lengths).reduce(0.0) { $0 + Double($1.0.size) / 4096 * Double($1.1) / 1e9 }
            #expect(abs(own.reduce(0) { $0 + $1.pageSeconds } - exposure) <= 1e-9 * max(exposure, 1))
            #expect(own.compactMap(\.longest).max() == lengths.max())
            // Only closed and certain ones have a place in the histogram, each in its bucket.
            let buckets = own.flatMap(\.histogram).reduce(into: [:]) { $0[$1.upTo, default: 0] += $1.windows }
            let expected = lengths.reduce(into: [Int64: Int64]()) {
                $0[LengthScale.upperBound(of: LengthScale.bucket(of: $1)), default: 0] += 1
            }
            #expect(buckets == (isUncertain || isOpen ? [:] : expected))
        }
        // The most at one time. What closes at the moment at which another one opens has closed before or does later, as the
        // log has it.
        let whole = try #require(statistics.totals.first { $0.of == .trace })
        #expect(whole.total.peak >= most(lane.rows.windows, closedFirst: true))
        // Under vfio a window counts until the operation that shows the end of its run, behind its own (design §4 11).
        if test.policy != "vfio" { #expect(whole.total.peak <= most(lane.rows.windows, closedFirst: false)) }
    }

    private func most(_ rows: ContiguousArray<StaleWindowRow>, closedFirst: Bool) -> Int64 {
        var changes: [(time: Int64, rank: Int, pages: Int64)] = []
        for row in rows where !closedFirst || row.closed != row.opened {
            changes.append((row.opened, 1, Int64(row.size / 4096)))
            if let closed = row.closed { changes.append((closed, closedFirst ? 0 : 2, -Int64(row.size / 4096))) }
        }
        changes.sort { ($0.time, $0.rank) < ($1.time, $1.rank) }
        var (level, most): (Int64, Int64) = (0, 0)
        for change in changes {
            level += change.pages
            most = max(most, level)
        }
        return most
    }
}
