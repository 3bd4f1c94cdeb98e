import IOMMUModel
import TraceStore

/// The stale windows of one policy: which are open, and what the closed ones amount to (design §4 10-12, 15, 16).
struct WindowLedger {
    /// How a policy closes the windows of a domain.
    enum Manner {
        /// It opens none: each call flushes for itself.
        case none
        /// All at once.
        case whole
        /// By address.
        case ranged
        /// By address; whether they were closed with a call shows only later, when its run goes on or has ended.
        case inRuns
    }

    private struct DomainState {
        var manner: Manner
        /// What a stale address that is mapped to another page means here.
        var reuse: HazardKind
        /// Where windows close all at once: the orders of those that are open.
        var first: Int64 = 0
        var end: Int64 = 0
        var pieces = OpenPieces()
        /// What happened since the last call of a run that may have ended with it.
        var suspects: ContiguousArray<Suspect> = []
    }

    private struct Suspect {
        var kind: HazardKind
        var window: Window
        var range: AddressRange
        var reuse: Int64
        var time: Int64
    }

    /// A flush that the log shows, until the time at which its last layer is through.
    private struct Completion {
        var time: Int64
        var domain: Int32
        /// What it covers, as its commands come; `nil` for the whole domain.
        var ranges: [AddressRange]?
        /// Only windows before this order had opened when it started.
        var order: Int64
        /// Only windows that opened before both are certain to be of the hardware domain that it flushed.
        var certainBefore: (line: Int64, time: Int64)
        var end: UInt8
        var line: Int64
    }

    /// Open pages. What opens and closes at one moment is not counted in between: a peak has to last.
    private struct Level {
        var pages: Int64 = 0
        var peak: Int64 = 0
        /// Since when it has been so many, ns.
        var since = Int64.min

        @inline(__always)
        mutating func change(by pages: Int64, at time: Int64) {
            if time > since {
                peak = max(peak, self.pages)
                since = time
            }
            self.pages &+= pages
        }
    }

    private struct Sum {
        var windows: Int64 = 0
        var pages: Int64 = 0
        var pageNanoseconds: Double = 0
        var longest: Int64 = 0
    }

    /// Windows and hazards since they were taken last.
    private(set) var windowRows: ContiguousArray<StaleWindowRow> = []
    private(set) var hazardRows: ContiguousArray<HazardRow> = []

    let stale: StaleState
    /// Time of the operation that is replayed, in ns, where runs matter: that one has ended only shows later, and until then
    /// its windows count as open pages.
    var now = Int64.min
    private let kept: WindowsKept
    /// Whether there is a timeline, and rows of hazards.
    private let isDetailed: Bool
    private var domains: ContiguousArray<DomainState>
    private var completions: ContiguousArray<Completion> = []
    /// Parts of windows that close just now; kept to be filled again.
    private var parts: ContiguousArray<OpenPieces.Closed> = []
    private var levels: ContiguousArray<Level> = [Level()]
    /// By cell, end and certainty.
    private var sums = SummingTable(zero: Sum())
    /// By index into ``sums`` and bucket.
    private var buckets = SummingTable(zero: (windows: Int64(0), pages: Int64(0)))
    /// By cell and kind.
    private var hazards = SummingTable(zero: HazardSum())
    private var hazardRowCounts = ContiguousArray(repeating: 0, count: HazardKind.allCases.count + 1)
    private var timeline: Timeline
    private var longest: LongestWindows
    private var windowCount: Int64 = 0
    private var rowCount: Int64 = 0

    /// - Parameter domains: by domain - 1, how its windows close and what the reuse of an address means there.
    init(
        stale: StaleState, kept: WindowsKept, detail: ReplayOptions.Detail = .full,
        domains: [(manner: Manner, reuse: HazardKind)],
        span: (first: Int64, last: Int64)
    ) {
        self.stale = stale
        self.kept = kept
        isDetailed = detail == .full
        self.domains = ContiguousArray(domains.map { DomainState(manner: $0.manner, reuse: $0.reuse) })
        timeline = Timeline(first: span.first, last: span.last)
        if case .longest(let count) = kept { longest = LongestWindows(limit: count) } else { longest = .init(limit: 0) }
    }

    /// Whether the policy opens windows in any domain.
    var opensWindows: Bool { domains.contains { $0.manner != .none } }

    // MARK: - Opening

    /// An unmap call opens a window, from an address on: what lies before was flushed inside the call.
    @inline(__always)
    mutating func open(_ window: Window, domain: Int32, from start: UInt64? = nil) {
        let index = Int(domain) - 1
        switch domains[index].manner {
        case .none: return
        case .whole:
            // An order between is that of a window whose call flushed for itself under this policy.
            if domains[index].first == domains[index].end { domains[index].first = window.order }
            domains[index].end = window.order + 1
            opened(window, window.range)
        case .ranged, .inRuns:
            guard let range = AddressRange(start: max(start ?? 0, window.range.start), last: window.range.last) else {
                return
            }
            domains[index].pieces.open(window, range)
            opened(window, range)
        }
    }

    /// The same where several parts of the call were not flushed inside it.
    mutating func open(_ window: Window, domain: Int32, parts: [AddressRange]) {
        for part in parts {
            domains[Int(domain) - 1].pieces.open(window, part)
            opened(window, part)
        }
    }

    @inline(__always)
    private mutating func opened(_ window: Window, _ range: AddressRange) {
        let pages = range.pages
        changeLevels(of: window.cell, by: pages, at: window.opened)
        if isDetailed { timeline.opened(window.cell, at: window.opened, pages: pages) }
    }

    @inline(__always)
    private mutating func changeLevels(of cell: Int32, by pages: Int64, at time: Int64) {
        let (domain, device, task) = stale.cells.groups[Int(cell)]
        while levels.count < stale.cells.members.count { levels.append(Level()) }
        levels[0].change(by: pages, at: time)
        levels[domain].change(by: pages, at: time)
        if stale.cells.tellsOnlyDomains { return }
        levels[device].change(by: pages, at: time)
        levels[task].change(by: pages, at: time)
    }

    // MARK: - Closing

    /// All open windows of a domain close.
    ///
    /// - Parameter line: line of the log that shows it; 0 for none.
    mutating func closeAll(_ domain: Int32, at time: Int64, _ end: WindowEnd, line: Int64) {
        let index = Int(domain) - 1
        switch domains[index].manner {
        case .none: break
        case .whole: closeWhole(domain, before: .max, at: time, end.rawValue, line: line)
        case .ranged, .inRuns:
            // Only a flush of the run itself was before what happened since its last call.
            if end == .detach { runGoesOn(in: domain) }
            domains[index].suspects.removeAll(keepingCapacity: true)
            domains[index].pieces.close(nil, where: { _ in true }, into: &parts)
            closeParts(domain, at: time, end.rawValue, line: line)
        }
    }

    /// The domain is freed: what was kept ready for it is not needed any more.
    mutating func forget(_ domain: Int32) {
        domains[Int(domain) - 1].pieces = OpenPieces()
        domains[Int(domain) - 1].suspects = []
    }

    /// Counts what has left ``OpenPieces`` for ``parts``.
    private mutating func closeParts(_ domain: Int32, at time: Int64, _ end: UInt8, line: Int64) {
        for part in parts {
            closed(part.window, part.range, part.pages, domain, at: time, end, line: line)
        }
    }

    private mutating func closeWhole(_ domain: Int32, before order: Int64, at time: Int64, _ end: UInt8, line: Int64) {
        let index = Int(domain) - 1
        let (first, last) = (domains[index].first, min(domains[index].end, order))
        guard first < last else { return }
        domains[index].first = last
        let unmapped = stale.domains[index]
        unmapped.forEachWindow(first..<last) {
            closed($0, $0.range, $0.range.pages, domain, at: time, end, line: line)
        }
    }

    /// A flush of the log starts now. What it covers is settled; it closes when its last layer is through.
    mutating func complete(_ flush: RecordedFlush, domain: Int32, _ end: WindowEnd) {
        if flush.isEmpty { return }
        let completion = Completion(
            time: flush.completed, domain: domain, ranges: flush.range.map { [$0] },
            order: stale.domains[Int(domain) - 1].end, certainBefore: flush.certainBefore, end: end.rawValue,
            line: flush.line)
        var index = completions.count
        while index > 0, completions[index - 1].time > completion.time { index -= 1 }
        completions.insert(completion, at: index)
        if completions.count > Self.completionLimit { finishFirstCompletion() }
    }

    /// More flushes than a host has under way at once; a hostile log may never end any.
    private static let completionLimit = 256

    /// A further command of a run that is under way.
    mutating func extend(_ flush: RecordedFlush, domain: Int32, _ end: WindowEnd) {
        guard let index = completions.lastIndex(where: { $0.line == flush.line && $0.domain == domain }) else {
            complete(flush, domain: domain, end)
            return
        }
        if let range = flush.range {
            completions[index].ranges?.append(range)
        } else {
            completions[index].ranges = nil
        }
    }

    /// Neighbours become one, so that a window over several of them closes as one.
    private static func joined(_ ranges: [AddressRange]) -> [AddressRange] {
        var result: [AddressRange] = []
        for next in ranges.sorted(by: { $0.start < $1.start }) {
            if let last = result.last, last.last == .max || next.start <= last.last + 1,
                let joined = AddressRange(start: last.start, last: max(last.last, next.last))
            {
                result[result.count - 1] = joined
            } else {
                result.append(next)
            }
        }
        return result
    }

    /// When the next flush of the log is through; `nil` if none is under way.
    @inline(__always)
    var nextCompletion: Int64? { completions.isEmpty ? nil : completions[0].time }

    /// The flush that is through next closes what it covers.
    mutating func finishFirstCompletion() {
        let done = completions.removeFirst()
        let index = Int(done.domain) - 1
        if domains[index].manner == .whole {
            closeWhole(done.domain, before: done.order, at: done.time, done.end, line: done.line)
            return
        }
        for range in done.ranges.map({ Self.joined($0).map(Optional.some) }) ?? [nil] {
            domains[index].pieces.close(
                range,
                where: {
                    $0.order < done.order && $0.line < done.certainBefore.line && $0.opened < done.certainBefore.time
                }, into: &parts)
            closeParts(done.domain, at: done.time, done.end, line: done.line)
        }
    }

    /// - Parameter noLongerOpen: pages that are open in the window no more.
    @inline(__always)
    private mutating func closed(
        _ window: Window, _ range: AddressRange, _ noLongerOpen: Int64, _ domain: Int32, at time: Int64, _ end: UInt8,
        line: Int64
    ) {
        let pages = range.pages
        changeLevels(of: window.cell, by: 0 &- noLongerOpen, at: max(time, now))
        let difference = time.subtractingReportingOverflow(window.opened)
        let length = difference.overflow ? .max : max(difference.partialValue, 0)
        let isUncertain = window.losses != stale.losses
        let isOpen = end == WindowEnd.endOfLog.rawValue
        let key = UInt64(UInt32(bitPattern: window.cell)) << 8 | UInt64(end) << 1 | (isUncertain ? 1 : 0)
        let sum = sums.index(of: key)
        sums.sums[sum].windows += 1
        sums.sums[sum].pages = sums.sums[sum].pages.addingSaturated(pages)
        sums.sums[sum].pageNanoseconds += Double(range.size) / 4096 * Double(length)
        sums.sums[sum].longest = max(sums.sums[sum].longest, length)
        windowCount += 1
        if !isUncertain {
            if isDetailed {
                timeline.stale(
                    window.cell, from: window.opened, to: window.opened.addingSaturated(length), pages: pages)
            }
            if !isOpen {
                let bucket = buckets.index(of: UInt64(sum) << 16 | UInt64(LengthScale.bucket(of: length)))
                buckets.sums[bucket].windows += 1
                buckets.sums[bucket].pages = buckets.sums[bucket].pages.addingSaturated(pages)
            }
        }
        switch kept {
        case .none: return
        case .longest: guard !isUncertain, !isOpen, longest.isWorthwhile(length) else { return }
        case .all: break
        }
        let row = StaleWindowRow(
            operation: window.operation, map: window.map, domain: domain,
            device: stale.cells.cells[Int(window.cell)].device,
            iova: range.start, size: range.size, opened: window.opened,
            closed: isOpen ? nil : window.opened.addingSaturated(length), end: end, closedLine: line,
            isUncertain: isUncertain)
        if kept == .all {
            windowRows.append(row)
            rowCount += 1
        } else {
            longest.insert(row)
        }
    }

    // MARK: - Other than flushes

    /// What an unmap removed that no device could reach.
    mutating func unreachable(_ cell: Int32, pages: Int64) {
        let end = WindowEnd.unreachable.rawValue
        let sum = sums.index(of: UInt64(UInt32(bitPattern: cell)) << 8 | UInt64(end) << 1)
        sums.sums[sum].windows += 1
        sums.sums[sum].pages = sums.sums[sum].pages.addingSaturated(pages)
    }

    /// A flush of the policy, for the timeline.
    @inline(__always)
    mutating func flushed(_ cell: Int32, at time: Int64, flushes: Int64) {
        timeline.flushed(cell, at: time, flushes: flushes)
    }

    // MARK: - What is open

    /// The order of the first window that is open where a domain's windows close all at once; `Int64.max` where none is.
    func firstOpen(in domain: Int32) -> Int64 {
        let index = Int(domain) - 1
        guard domains[index].manner == .whole, domains[index].first < domains[index].end else { return .max }
        return domains[index].first
    }

    /// Whether a domain's window of this order may be open: `false` if it is not for certain.
    @inline(__always)
    func mayBeOpen(_ order: Int64, in domain: Int32) -> Bool {
        let index = Int(domain) - 1
        switch domains[index].manner {
        case .none: return false
        case .whole: return order >= domains[index].first && order < domains[index].end
        case .ranged, .inRuns: return domains[index].pieces.count > 0
        }
    }

    /// How many parts of windows are open where they close by address.
    func openPieces(in domain: Int32) -> Int { domains[Int(domain) - 1].pieces.count }

    /// Id of the first unmap call that they belong to, or lower; `Int64.max` if there are none.
    func firstOfPieces(in domain: Int32) -> Int64 { domains[Int(domain) - 1].pieces.firstOperation }

    /// The orders of those windows.
    func ordersOfPieces(in domain: Int32) -> Set<Int64> { domains[Int(domain) - 1].pieces.orders }

    /// Calls `body` with the parts of `range` in which a domain's window of this order is open.
    ///
    /// It changes nothing, but it works in place: a ledger is too large to look into a copy.
    @inline(__always)
    mutating func forEachOpen(
        _ order: Int64, in range: AddressRange, domain: Int32, _ body: (Window, AddressRange) -> Void
    ) {
        let index = Int(domain) - 1
        switch domains[index].manner {
        case .none: break
        case .whole:
            guard order >= domains[index].first, order < domains[index].end,
                let window = stale.domains[index].window(order)
            else { return }
            body(window, range)
        case .ranged, .inRuns: domains[index].pieces.forEachOpen(order, in: range, body)
        }
    }

    // MARK: - Hazards

    /// What the reuse of a stale address for another page means in a domain.
    func reuseKind(in domain: Int32) -> HazardKind { domains[Int(domain) - 1].reuse }

    /// Something happened to addresses of a domain: counts it where its window of this order is open.
    @inline(__always)
    mutating func count(
        _ kind: HazardKind, order: Int64, in range: AddressRange, domain: Int32, reuse: Int64, at time: Int64
    ) {
        let index = Int(domain) - 1
        switch domains[index].manner {
        case .none: return
        case .whole:
            guard order >= domains[index].first, order < domains[index].end,
                let window = stale.domains[index].window(order)
            else { return }
            count(kind, window, domain: domain, range, reuse: reuse, at: time)
        case .ranged, .inRuns:
            parts.removeAll(keepingCapacity: true)
            domains[index].pieces.forEachOpen(order, in: range) {
                parts.append(OpenPieces.Closed(window: $0, range: $1, pages: 0))
            }
            for part in parts { count(kind, part.window, domain: domain, part.range, reuse: reuse, at: time) }
        }
    }

    /// The run of calls goes on: what happened since the last one happened inside its windows.
    mutating func runGoesOn(in domain: Int32) {
        let suspects = domains[Int(domain) - 1].suspects
        guard !suspects.isEmpty else { return }
        domains[Int(domain) - 1].suspects.removeAll()
        for hazard in suspects {
            record(hazard.kind, hazard.window, domain: domain, hazard.range, reuse: hazard.reuse, at: hazard.time)
        }
    }

    /// Something happened inside an open window: to `range` of its addresses, by operation `reuse` at `time`.
    mutating func count(
        _ kind: HazardKind, _ window: Window, domain: Int32, _ range: AddressRange, reuse: Int64, at time: Int64
    ) {
        let kind = window.losses == stale.losses ? kind : .uncertain
        if domains[Int(domain) - 1].manner == .inRuns, domains[Int(domain) - 1].suspects.count < Self.suspectLimit {
            domains[Int(domain) - 1].suspects.append(
                Suspect(kind: kind, window: window, range: range, reuse: reuse, time: time))
        } else {
            record(kind, window, domain: domain, range, reuse: reuse, at: time)
        }
    }

    /// More than happens between two calls of a run; a hostile log must not fill memory.
    private static let suspectLimit = 1 << 16

    private mutating func record(
        _ kind: HazardKind, _ window: Window, domain: Int32, _ range: AddressRange, reuse: Int64, at time: Int64
    ) {
        let index = hazards.index(of: UInt64(UInt32(bitPattern: window.cell)) << 8 | UInt64(kind.rawValue))
        let age = max(time.subtractingSaturated(window.opened), 0)
        hazards.sums[index].add(
            pages: kind == .access ? 1 : range.pages, operation: window.operation, reuse: reuse, iova: range.start,
            age: age)
        guard isDetailed, hazardRowCounts[Int(kind.rawValue)] < kind.rowLimit else { return }
        hazardRowCounts[Int(kind.rawValue)] += 1
        hazardRows.append(
            HazardRow(
                kind: kind, operation: window.operation, reuse: reuse, domain: domain,
                device: stale.cells.cells[Int(window.cell)].device, iova: range.start, size: range.size,
                age: age))
    }

    /// What happened in a cell's windows, of one kind.
    private struct HazardSum {
        var pages: Int64 = 0
        var operation: Int64 = 0
        var reuse: Int64 = 0
        var iova: UInt64 = 0
        var shortestAge = Int64.max

        @inline(__always)
        mutating func add(pages more: Int64, operation: Int64, reuse: Int64, iova: UInt64, age: Int64) {
            if self.operation == 0 { (self.operation, self.reuse, self.iova) = (operation, reuse, iova) }
            pages = pages.addingSaturated(more)
            shortestAge = min(shortestAge, age)
        }
    }

    // MARK: - Handing over

    /// Hands over the rows and forgets them.
    @inline(__always)
    mutating func takeRows(
        _ window: (StaleWindowRow) throws -> Void, _ hazard: (HazardRow) throws -> Void
    ) rethrows {
        if !windowRows.isEmpty {
            for row in windowRows { try window(row) }
            windowRows.removeAll(keepingCapacity: true)
        }
        if !hazardRows.isEmpty {
            for row in hazardRows { try hazard(row) }
            hazardRows.removeAll(keepingCapacity: true)
        }
    }

    /// The log is at its end: what is open stays so.
    mutating func finish(at time: Int64) {
        for domain in domains.indices {
            // Nothing shows that its run has ended.
            runGoesOn(in: Int32(domain + 1))
            closeAll(Int32(domain + 1), at: time, .endOfLog, line: 0)
        }
        windowRows.append(contentsOf: longest.takeAll())
        if kept != .all { rowCount = Int64(windowRows.count) }
    }

    /// What it all amounts to.
    var statistics: WindowStatistics {
        let cells = stale.cells.cells
        var statistics = WindowStatistics()
        var histograms = [[(upTo: Int64, windows: Int64, pages: Int64)]](repeating: [], count: sums.keys.count)
        for (key, bucket) in zip(buckets.keys, buckets.sums) {
            let upTo = LengthScale.upperBound(of: Int(key & 0xffff))
            histograms[Int(key >> 16)].append((upTo, bucket.windows, bucket.pages))
        }
        for (index, (key, sum)) in zip(sums.keys, sums.sums).enumerated() {
            let end = UInt8(truncatingIfNeeded: key >> 1 & 0x7f)
            statistics.summaries.append(
                WindowStatistics.Summary(
                    cell: cells[Int(key >> 8)], end: end, isUncertain: key & 1 != 0, windows: sum.windows,
                    pages: sum.pages, pageSeconds: sum.pageNanoseconds / 1e9,
                    longest: end == WindowEnd.unreachable.rawValue ? nil : sum.longest,
                    histogram: histograms[index].sorted { $0.upTo < $1.upTo }))
        }
        for (key, sum) in zip(hazards.keys, hazards.sums) {
            guard let kind = HazardKind(rawValue: UInt8(truncatingIfNeeded: key)) else { continue }
            statistics.hazards.append(
                WindowStatistics.Hazard(
                    cell: cells[Int(key >> 8)], kind: kind, pages: sum.pages, operation: sum.operation,
                    reuse: sum.reuse,
                    iova: sum.iova, shortestAge: sum.shortestAge))
        }
        // Cells are numbered as they come, other policies' among them: the order must not depend on those.
        statistics.summaries.sort {
            ($0.cell, $0.end, $0.isUncertain ? 1 : 0) < ($1.cell, $1.end, $1.isUncertain ? 1 : 0)
        }
        statistics.totals = totals(of: statistics.summaries)
        statistics.hazards.sort { ($0.cell, $0.kind.rawValue) < ($1.cell, $1.kind.rawValue) }
        statistics.timeline = timeline.steps(cells).sorted { ($0.cell, $0.start) < ($1.cell, $1.start) }
        statistics.stepLength = timeline.stepLength
        statistics.windowsLeftOut = windowCount - rowCount
        return statistics
    }

    /// What summaries amount to by trace, domain, device and task.
    private func totals(of summaries: [WindowStatistics.Summary]) -> [(of: Member, total: WindowStatistics.Total)] {
        var summariesOfMember: [Member: [Int]] = [.trace: []]
        for (index, summary) in summaries.enumerated() {
            let cell = summary.cell
            for member in [.trace, .domain(cell.domain), .device(cell.device), .task(cell.task)] as [Member] {
                summariesOfMember[member, default: []].append(index)
            }
        }
        var histogram = MergedHistogram()
        return stale.cells.members.enumerated().compactMap { number, member in
            guard let own = summariesOfMember[member] else { return nil }
            var total = WindowStatistics.Total()
            for index in own { total.add(summaries[index], to: &histogram) }
            total.percentiles = histogram.percentiles([50, 90, 99], limit: total.longest ?? 0)
            total.pagePercentiles = histogram.pagePercentiles([50, 99], limit: total.longest ?? 0)
            histogram.clear()
            if levels.indices.contains(number) { total.peak = levels[number].peak }
            return (member, total)
        }
    }
}

extension WindowStatistics.Total {
    fileprivate mutating func add(_ summary: WindowStatistics.Summary, to histogram: inout MergedHistogram) {
        if summary.end == WindowEnd.unreachable.rawValue {
            unreachablePages = unreachablePages.addingSaturated(summary.pages)
        } else if summary.isUncertain {
            uncertain += summary.windows
        } else if summary.end == WindowEnd.endOfLog.rawValue {
            censored += summary.windows
            censoredPageSeconds += summary.pageSeconds
        } else {
            windows += summary.windows
            exposure += summary.pageSeconds
            longest = max(longest ?? 0, summary.longest ?? 0)
            histogram.add(summary.histogram)
        }
    }
}
