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

    /// A part of an open window, by address and by page.
    private struct OpenPage {
        var kind: HazardKind
        var window: Window
        var domain: Int32
        var addresses: AddressRange
        var pages: AddressRange
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

    /// How many losses the log has announced so far.
    var losses: Int32 = 0
    /// Time of the operation that is replayed, in ns, where runs matter: that one has ended only shows later, and until then
    /// its windows count as open pages.
    var now = Int64.min
    private let kept: WindowsKept
    /// Whether there is a timeline, and rows of hazards.
    private let isDetailed: Bool
    private var domains: ContiguousArray<DomainState>
    private var completions: ContiguousArray<Completion> = []
    /// When the next flush of the log is through, in ns; `Int64.max` if none is under way.
    private(set) var nextCompletion = Int64.max
    /// Parts of windows that close just now; kept to be filled again.
    private var parts: ContiguousArray<OpenPieces.Closed> = []
    /// What one map call uses again; kept to be filled again.
    private var openPages: ContiguousArray<OpenPage> = []
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
        kept: WindowsKept, detail: ReplayOptions.Detail = .full,
        domains: [(manner: Manner, reuse: HazardKind)],
        span: (first: Int64, last: Int64)
    ) {
        self.kept = kept
        isDetailed = detail == .full
        self.domains = ContiguousArray(domains.map { DomainState(manner: $0.manner, reuse: $0.reuse) })
        timeline = Timeline(first: span.first, last: span.last)
        if case .longest(let count) = kept { longest = LongestWindows(limit: count) } else { longest = .init(limit: 0) }
    }

    /// Whether the policy opens windows in any domain.
    var opensWindows: Bool { domains.contains { $0.manner != .none } }

    // MARK: - Opening

    /// An unmap call opens a window, or only a part of it: what lies outside was flushed inside the call.
    @inline(__always)
    mutating func open(
        _ unmap: WorldEvent.Unmap, _ domain: Int32, _ part: AddressRange?, _ stale: StaleState
    ) {
        let index = Int(domain) - 1
        guard let whole = unmap.range else { return }
        let (cell, time) = (unmap.call.occasion.cell, unmap.call.occasion.time)
        switch domains[index].manner {
        case .none: return
        case .whole:
            // An order between is that of a window whose call flushed for itself under this policy.
            if domains[index].first == domains[index].end { domains[index].first = unmap.order }
            domains[index].end = unmap.order + 1
            opened(cell, whole.pages, newly: whole.pages, at: time, stale)
        case .ranged, .inRuns:
            guard let range = part.map({ whole.intersection($0) }) ?? whole,
                let window = stale.domains[index].window(unmap.order)
            else { return }
            let pages = domains[index].pieces.open(window, range)
            opened(cell, range.pages, newly: pages, at: time, stale)
        }
    }

    /// - Parameter newly: pages that no other part of the window holds open.
    @inline(__always)
    private mutating func opened(_ cell: Int32, _ pages: Int64, newly: Int64, at time: Int64, _ stale: StaleState) {
        changeLevels(of: cell, by: newly, at: time, stale)
        if isDetailed { timeline.opened(cell, at: time, pages: pages) }
    }

    @inline(__always)
    private mutating func changeLevels(of cell: Int32, by pages: Int64, at time: Int64, _ stale: StaleState) {
        let groups = stale.cells.groups[Int(cell)]
        while levels.count < stale.cells.members.count { levels.append(Level()) }
        levels[0].change(by: pages, at: time)
        levels[Int(groups.domain)].change(by: pages, at: time)
        if stale.cells.tellsOnlyDomains { return }
        levels[Int(groups.device)].change(by: pages, at: time)
        levels[Int(groups.task)].change(by: pages, at: time)
    }

    // MARK: - Closing

    /// All open windows of a domain close.
    ///
    /// - Parameter line: line of the log that shows it; 0 for none.
    mutating func closeAll(
        _ domain: Int32, at time: Int64, _ end: WindowEnd, line: Int64, _ stale: StaleState
    ) {
        let index = Int(domain) - 1
        switch domains[index].manner {
        case .none: break
        case .whole: closeWhole(domain, before: .max, at: time, end.rawValue, line: line, stale)
        case .ranged, .inRuns:
            // Only a flush of the run itself was before what happened since its last call.
            if end == .detach { runGoesOn(in: domain, stale) }
            domains[index].suspects.removeAll(keepingCapacity: true)
            domains[index].pieces.close(nil, where: { _ in true }, into: &parts)
            closeParts(domain, at: time, end.rawValue, line: line, stale)
        }
    }

    /// The domain is freed: what was kept ready for it is not needed any more.
    mutating func forget(_ domain: Int32) {
        domains[Int(domain) - 1].pieces = OpenPieces()
        domains[Int(domain) - 1].suspects = []
    }

    /// Counts what has left ``OpenPieces`` for ``parts``.
    private mutating func closeParts(
        _ domain: Int32, at time: Int64, _ end: UInt8, line: Int64, _ stale: StaleState
    ) {
        for part in parts {
            closed(part.window, part.range, part.pages, domain, at: time, end, line: line, stale)
        }
    }

    private mutating func closeWhole(
        _ domain: Int32, before order: Int64, at time: Int64, _ end: UInt8, line: Int64, _ stale: StaleState
    ) {
        let index = Int(domain) - 1
        let (first, last) = (domains[index].first, min(domains[index].end, order))
        guard first < last else { return }
        domains[index].first = last
        stale.domains[index].forEachWindow(first..<last) {
            closed($0, $0.range, $0.range.pages, domain, at: time, end, line: line, stale)
        }
    }

    /// A flush of the log starts now. What it covers is settled; it closes when its last layer is through.
    mutating func complete(_ flush: WorldEvent.LogFlush, _ domain: Int32, _ stale: StaleState) {
        if flush.flush.isEmpty { return }
        let completion = Completion(
            time: flush.completed, domain: domain, ranges: flush.flush.range.map { [$0] }, order: flush.order,
            certainBefore: flush.certainBefore,
            end: WindowEnd.flush(flush.flush.isSync ? .recordedSync : .recordedFlushAll).rawValue,
            line: flush.flush.occasion.line)
        var index = completions.count
        while index > 0, completions[index - 1].time > completion.time { index -= 1 }
        completions.insert(completion, at: index)
        nextCompletion = completions[0].time
        if completions.count > Self.completionLimit { _ = finishFirstCompletion(stale) }
    }

    /// More flushes than a host has under way at once; a hostile log may never end any.
    private static let completionLimit = 256

    /// A further command of a run that is under way.
    mutating func extend(_ flush: WorldEvent.LogFlush, _ domain: Int32, _ stale: StaleState) {
        let line = flush.flush.occasion.line
        guard let index = completions.lastIndex(where: { $0.line == line && $0.domain == domain }) else {
            complete(flush, domain, stale)
            return
        }
        if let range = flush.flush.range {
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

    /// The flush that is through next closes what it covers.
    ///
    /// - Returns: whether there was any.
    mutating func finishFirstCompletion(_ stale: StaleState) -> Bool {
        guard !completions.isEmpty else { return false }
        let done = completions.removeFirst()
        nextCompletion = completions.first?.time ?? .max
        let index = Int(done.domain) - 1
        if domains[index].manner == .whole {
            closeWhole(done.domain, before: done.order, at: done.time, done.end, line: done.line, stale)
            return true
        }
        for range in done.ranges.map({ Self.joined($0).map(Optional.some) }) ?? [nil] {
            domains[index].pieces.close(
                range,
                where: {
                    $0.order < done.order && $0.line < done.certainBefore.line && $0.opened < done.certainBefore.time
                }, into: &parts)
            closeParts(done.domain, at: done.time, done.end, line: done.line, stale)
        }
        return true
    }

    /// - Parameter noLongerOpen: pages that are open in the window no more.
    @inline(__always)
    private mutating func closed(
        _ window: Window, _ range: AddressRange, _ noLongerOpen: Int64, _ domain: Int32, at time: Int64, _ end: UInt8,
        line: Int64, _ stale: StaleState
    ) {
        let pages = range.pages
        changeLevels(of: window.cell, by: 0 &- noLongerOpen, at: max(time, now), stale)
        let difference = time.subtractingReportingOverflow(window.opened)
        let length = difference.overflow ? .max : max(difference.partialValue, 0)
        let isUncertain = window.losses != losses
        let isOpen = end == WindowEnd.endOfLog.rawValue
        let key = UInt64(UInt32(bitPattern: window.cell)) << 8 | UInt64(end) << 1 | (isUncertain ? 1 : 0)
        let sum = sums.index(of: key)
        sums[sum].windows += 1
        sums[sum].pages = sums[sum].pages.addingSaturated(pages)
        sums[sum].pageNanoseconds += Double(range.size) / 4096 * Double(length)
        sums[sum].longest = max(sums[sum].longest, length)
        windowCount += 1
        if !isUncertain {
            if isDetailed {
                timeline.stale(
                    window.cell, from: window.opened, to: window.opened.addingSaturated(length), pages: pages)
            }
            if !isOpen {
                let bucket = buckets.index(of: UInt64(sum) << 16 | UInt64(LengthScale.bucket(of: length)))
                buckets[bucket].windows += 1
                buckets[bucket].pages = buckets[bucket].pages.addingSaturated(pages)
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
        sums[sum].windows += 1
        sums[sum].pages = sums[sum].pages.addingSaturated(pages)
    }

    /// A flush of the policy, for the timeline.
    @inline(__always)
    mutating func flushed(_ cell: Int32, at time: Int64, flushes: Int64) {
        timeline.flushed(cell, at: time, flushes: flushes)
    }

    // MARK: - What is open

    /// Says which windows of a domain must be kept for this ledger, and which are open besides.
    func addNeeds(of domain: Int32, to needs: inout WindowNeeds) {
        let index = Int(domain) - 1
        switch domains[index].manner {
        case .none: break
        case .whole: if domains[index].first < domains[index].end { needs.add(from: domains[index].first) }
        case .ranged, .inRuns: domains[index].pieces.forEach { needs.add($0) }
        }
    }

    /// Calls `body` with the parts of `range` in which a domain's window of this order is open.
    ///
    /// It changes nothing, but it works in place: a ledger is too large to look into a copy.
    @inline(__always)
    private mutating func forEachOpen(
        _ order: Int64, in range: AddressRange, domain: Int32, _ stale: StaleState,
        _ body: (Window, AddressRange) -> Void
    ) {
        let index = Int(domain) - 1
        switch domains[index].manner {
        case .none: break
        case .whole:
            guard order >= domains[index].first, order < domains[index].end,
                let window = stale.domains[index].window(order)
            else { return }
            body(window, range)
        case .ranged, .inRuns:
            if domains[index].pieces.count > 0 { domains[index].pieces.forEachOpen(order, in: range, body) }
        }
    }

    // MARK: - Hazards

    /// A map call uses stale translations again: counts where windows are open (design §4 13).
    mutating func mapped(_ map: WorldEvent.Map, at time: Int64, _ batch: WorldEvents.View, _ stale: StaleState) {
        for place in map.addresses {
            let use = batch.reuses[Int(place)]
            let kind: HazardKind =
                switch use.page {
                case .unknown: .unknownPage
                case .same: .samePageRemap
                case .another: domains[Int(use.domain) - 1].reuse
                }
            count(kind, use, reuse: map.operation, at: time, stale)
        }
        openPages.removeAll(keepingCapacity: true)
        collectOpen(map.pagesOfOthers, .pageReuse, batch, stale)
        guard !openPages.isEmpty else {
            // Pages of the same domain need no comparing: each was removed last by one call.
            for place in map.ownPages {
                count(.recycled, batch.reuses[Int(place)], reuse: map.operation, at: time, stale)
            }
            return
        }
        collectOpen(map.ownPages, .recycled, batch, stale)
        countOpenPages(reuse: map.operation, at: time, stale)
    }

    /// Adds to ``openPages`` those of the pages that are open, of the latest unmap call first.
    private mutating func collectOpen(
        _ places: Range<Int32>, _ kind: HazardKind, _ batch: WorldEvents.View, _ stale: StaleState
    ) {
        var found = openPages
        openPages = []
        let first = found.count
        for place in places {
            let use = batch.reuses[Int(place)]
            forEachOpen(use.order, in: use.addresses, domain: use.domain, stale) { window, part in
                let start = use.paddr &+ (part.start - use.addresses.start)
                guard let pages = AddressRange(start: start, size: part.size) else { return }
                found.append(OpenPage(kind: kind, window: window, domain: use.domain, addresses: part, pages: pages))
            }
        }
        if found.count - first > 1 { found[first...].sort { $0.window.operation > $1.window.operation } }
        openPages = found
    }

    /// Each page counts once, for the first window in ``openPages`` that it is open in.
    private mutating func countOpenPages(reuse: Int64, at time: Int64, _ stale: StaleState) {
        let found = openPages
        openPages = []
        defer { openPages = found }
        func count(_ part: AddressRange, of page: OpenPage) {
            let start = page.addresses.start &+ (part.start - page.pages.start)
            guard let addresses = AddressRange(start: start, size: part.size) else { return }
            self.count(page.kind, page.window, domain: page.domain, addresses, reuse: reuse, at: time, stale)
        }
        if found.count == 1 { return count(found[0].pages, of: found[0]) }
        var counted = RangeTree()
        for (number, page) in found.enumerated() {
            counted.forEachGap(in: page.pages) { count($0, of: page) }
            _ = counted.insert(page.pages, number: Int64(number))
        }
    }

    /// A recorded fault: counts if it lies in one open window.
    mutating func faulted(_ fault: WorldEvent.Fault, at time: Int64, _ batch: WorldEvents.View, _ stale: StaleState) {
        var hit: (window: Window, domain: Int32)?
        var hits = 0
        for place in fault.addresses {
            let use = batch.reuses[Int(place)]
            forEachOpen(use.order, in: use.addresses, domain: use.domain, stale) { window, _ in
                hit = (window, use.domain)
                hits += 1
            }
        }
        guard hits == 1, let hit else { return }
        count(.access, hit.window, domain: hit.domain, fault.page, reuse: fault.operation, at: time, stale)
    }

    /// Counts where the window of a stale translation is open.
    private mutating func count(
        _ kind: HazardKind, _ use: StaleUse, reuse: Int64, at time: Int64, _ stale: StaleState
    ) {
        let index = Int(use.domain) - 1
        switch domains[index].manner {
        case .none: return
        case .whole:
            guard use.order >= domains[index].first, use.order < domains[index].end,
                let window = stale.domains[index].window(use.order)
            else { return }
            count(kind, window, domain: use.domain, use.addresses, reuse: reuse, at: time, stale)
        case .ranged, .inRuns:
            guard domains[index].pieces.count > 0 else { return }
            parts.removeAll(keepingCapacity: true)
            domains[index].pieces.forEachOpen(use.order, in: use.addresses) {
                parts.append(OpenPieces.Closed(window: $0, range: $1, pages: 0))
            }
            for part in parts {
                count(kind, part.window, domain: use.domain, part.range, reuse: reuse, at: time, stale)
            }
        }
    }

    /// The run of calls goes on: what happened since the last one happened inside its windows.
    mutating func runGoesOn(in domain: Int32, _ stale: StaleState) {
        let suspects = domains[Int(domain) - 1].suspects
        guard !suspects.isEmpty else { return }
        domains[Int(domain) - 1].suspects.removeAll()
        for hazard in suspects {
            record(
                hazard.kind, hazard.window, domain: domain, hazard.range, reuse: hazard.reuse, at: hazard.time, stale)
        }
    }

    /// Something happened inside an open window: to `range` of its addresses, by operation `reuse` at `time`.
    private mutating func count(
        _ kind: HazardKind, _ window: Window, domain: Int32, _ range: AddressRange, reuse: Int64, at time: Int64,
        _ stale: StaleState
    ) {
        let kind = window.losses == losses ? kind : .uncertain
        if domains[Int(domain) - 1].manner == .inRuns, domains[Int(domain) - 1].suspects.count < Self.suspectLimit {
            domains[Int(domain) - 1].suspects.append(
                Suspect(kind: kind, window: window, range: range, reuse: reuse, time: time))
        } else {
            record(kind, window, domain: domain, range, reuse: reuse, at: time, stale)
        }
    }

    /// More than happens between two calls of a run; a hostile log must not fill memory.
    private static let suspectLimit = 1 << 16

    private mutating func record(
        _ kind: HazardKind, _ window: Window, domain: Int32, _ range: AddressRange, reuse: Int64, at time: Int64,
        _ stale: StaleState
    ) {
        let index = hazards.index(of: UInt64(UInt32(bitPattern: window.cell)) << 8 | UInt64(kind.rawValue))
        let age = max(time.subtractingSaturated(window.opened), 0)
        hazards[index].add(
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
    mutating func takeRows() -> (windows: ContiguousArray<StaleWindowRow>, hazards: ContiguousArray<HazardRow>) {
        defer { (windowRows, hazardRows) = ([], []) }
        return (windowRows, hazardRows)
    }

    /// The log is at its end: what is open stays so.
    mutating func finish(at time: Int64, _ stale: StaleState) {
        for domain in domains.indices {
            // Nothing shows that its run has ended.
            runGoesOn(in: Int32(domain + 1), stale)
            closeAll(Int32(domain + 1), at: time, .endOfLog, line: 0, stale)
        }
        windowRows.append(contentsOf: longest.takeAll())
        if kept != .all { rowCount = Int64(windowRows.count) }
    }

    /// What it all amounts to.
    func statistics(_ table: CellTable) -> WindowStatistics {
        let cells = table.cells
        var statistics = WindowStatistics()
        var histograms = [[(upTo: Int64, windows: Int64, pages: Int64)]](repeating: [], count: sums.entries.count)
        for entry in buckets.entries {
            let (key, bucket) = (entry.key, entry.value)
            let upTo = LengthScale.upperBound(of: Int(key & 0xffff))
            histograms[Int(key >> 16)].append((upTo, bucket.windows, bucket.pages))
        }
        for (index, entry) in sums.entries.enumerated() {
            let (key, sum) = (entry.key, entry.value)
            let end = UInt8(truncatingIfNeeded: key >> 1 & 0x7f)
            statistics.summaries.append(
                WindowStatistics.Summary(
                    cell: cells[Int(key >> 8)], end: end, isUncertain: key & 1 != 0, windows: sum.windows,
                    pages: sum.pages, pageSeconds: sum.pageNanoseconds / 1e9,
                    longest: end == WindowEnd.unreachable.rawValue ? nil : sum.longest,
                    histogram: histograms[index].sorted { $0.upTo < $1.upTo }))
        }
        for entry in hazards.entries {
            let (key, sum) = (entry.key, entry.value)
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
        statistics.totals = totals(of: statistics.summaries, table)
        statistics.hazards.sort { ($0.cell, $0.kind.rawValue) < ($1.cell, $1.kind.rawValue) }
        statistics.timeline = timeline.steps(cells).sorted { ($0.cell, $0.start) < ($1.cell, $1.start) }
        statistics.stepLength = timeline.stepLength
        statistics.windowsLeftOut = windowCount - rowCount
        return statistics
    }

    /// What summaries amount to by trace, domain, device and task.
    private func totals(
        of summaries: [WindowStatistics.Summary], _ table: CellTable
    ) -> [(of: Member, total: WindowStatistics.Total)] {
        var summariesOfMember: [Member: [Int]] = [.trace: []]
        for (index, summary) in summaries.enumerated() {
            let cell = summary.cell
            for member in [.trace, .domain(cell.domain), .device(cell.device), .task(cell.task)] as [Member] {
                summariesOfMember[member, default: []].append(index)
            }
        }
        var histogram = MergedHistogram()
        return table.members.enumerated().compactMap { number, member in
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
