import FlushSchedules
import Operations
import TraceStore

@testable import Replay

/// What the windows and hazards of one policy are, worked out from the definitions (design §4 10-15) page by page.
///
/// When the policy flushes is ``ScheduleTwin``'s business.
struct WindowTwin {
    /// Which windows are counted together.
    struct Key: Hashable {
        var cell: Cell
        var end: UInt8
        var isUncertain: Bool
    }

    struct Count: Hashable {
        var windows: Int64 = 0
        var pages: Int64 = 0
        var pageNanoseconds: Double = 0
        var lengths: [Int64] = []
    }

    struct HazardKey: Hashable {
        var cell: Cell
        var kind: HazardKind
    }

    /// A row of `stale_window`.
    struct Row: Hashable {
        var operation: Int64
        var iova: UInt64
        var pages: Int64
        var opened: Int64
        var closed: Int64?
        var end: UInt8
        var line: Int64
    }

    private final class Window {
        let operation: Int64
        let domain: Int32
        let opened: Int64
        let cell: Cell
        let losses: Int
        /// Numbers of the pages that are open.
        var pages: Set<UInt64> = []
        /// Operations that happened inside it, where that has to be settled later.
        var happened: [HazardKey: [Int64]] = [:]

        init(_ operation: StoredOperation, cell: Cell, losses: Int) {
            self.operation = operation.id
            domain = operation.domain
            opened = operation.time
            self.cell = cell
            self.losses = losses
        }
    }

    /// A flush of the log that has begun.
    private struct Completion {
        var time: Int64
        var pages: ClosedRange<UInt64>?
        var windows: [Window]
        var cause: FlushRow.Cause
        var line: Int64
    }

    private(set) var counts: [Key: Count] = [:]
    private(set) var hazards: [HazardKey: Int64] = [:]
    private(set) var rows: Set<Row> = []
    /// When how many pages of whom were open.
    private var spans: [(from: Int64, to: Int64, pages: Int64, cell: Cell)] = []

    private let policy: Policy
    private let showsAttaches: Bool
    private var lossLines: ArraySlice<Int64>
    private var losses = 0
    private var schedules: [ScheduleTwin]
    private var open: [Window] = []
    private var completions: [Completion] = []
    private var domainOfDevice: [Int32: Int32] = [:]
    private var latestTime = Int64.min
    private var now = Int64.min
    /// Id of the operation that is applied.
    private var current: Int64 = 0
    private var syncs: [StoredOperation] = []
    /// Lines of operations, by id.
    private var lines: [Int64: Int64] = [:]
    /// By domain and page number: the page mapped there, and after how many losses; `nil` if the log does not say.
    private var live: [Int32: [UInt64: (page: UInt64?, losses: Int)]] = [:]
    /// By domain and page number of the address: who removed it last, and what had been mapped.
    private var lastByAddress: [Int32: [UInt64: (window: Window, page: UInt64?)]] = [:]
    /// By domain and page: who removed it last, and from where.
    private var lastByPage: [Int32: [UInt64: (window: Window, address: UInt64)]] = [:]

    init(_ policy: Policy, domains: Int32, showsAttaches: Bool, lossLines: [Int64]) {
        self.policy = policy
        self.showsAttaches = showsAttaches
        self.lossLines = lossLines[...]
        schedules = (1...domains).map { ScheduleTwin(policy, domain: $0, showsAttaches: showsAttaches) }
    }

    mutating func replay(_ operations: [StoredOperation], lastTime: Int64) {
        for operation in operations { apply(operation) }
        finishDue(upTo: lastTime)
        for window in open { close(window, nil, at: lastTime, .endOfLog, line: 0) }
    }

    private mutating func apply(_ operation: StoredOperation) {
        while let line = lossLines.first, line < operation.line {
            finishDue(upTo: latestTime)
            losses += 1
            lossLines.removeFirst()
        }
        latestTime = max(latestTime, operation.time)
        now = operation.time
        current = operation.id
        lines[operation.id] = operation.line
        let passesTime: Bool =
            switch operation.kind {
            case .unmap, .unmapFast: operation.domain > 0
            case .map, .attach, .detach, .domainFree, .ioPageFault: true
            default: false
            }
        if passesTime { finishDue(upTo: operation.time) }
        var window: Window?
        if operation.kind.isUnmap, operation.domain > 0 { window = unmap(operation) }
        let before = schedules.map(\.flushes.count)
        for index in schedules.indices { schedules[index].apply(operation) }
        func forEachFlush(_ isIncluded: (FlushRow.Cause) -> Bool) {
            for (schedule, before) in zip(schedules, before) {
                for flush in schedule.flushes[before...] where isIncluded(flush.cause) {
                    closeAll(schedule.domain, flush)
                }
            }
        }
        // All but these come before the call's own window opens.
        forEachFlush { ![.batchFull, .domainFree].contains($0) }
        if let window, opens(operation) {
            let schedule = schedules[Int(operation.domain) - 1]
            let split = schedule.splits.filter { $0.key >= before[Int(operation.domain) - 1] }.max { $0.key < $1.key }
            open(window, operation, from: split.map { $0.value >> 12 } ?? 0)
        }
        forEachFlush { [.batchFull, .domainFree].contains($0) }
        switch operation.kind {
        case .map: map(operation)
        case .sync, .flushAll: if policy == .recorded { complete(operation) }
        case .attach, .detach: move(operation)
        case .domainFree:
            for window in open where window.domain == operation.domain {
                close(window, nil, at: operation.time, .flush(.domainFree), line: operation.line)
            }
        case .ioPageFault: fault(operation)
        default: break
        }
    }

    // MARK: - Opening

    private func isAttached(_ domain: Int32) -> Bool { !showsAttaches || domainOfDevice.values.contains(domain) }

    /// Takes what it removed out of the table; its window, if a device could reach that.
    private mutating func unmap(_ operation: StoredOperation) -> Window? {
        let bytes = operation.result ?? operation.size
        guard bytes > 0 else { return nil }
        let pages = operation.iova >> 12..<(operation.iova + bytes) >> 12
        let devices = domainOfDevice.filter { $0.value == operation.domain }
        let cell = Cell(
            domain: operation.domain, device: devices.count == 1 ? devices.first?.key ?? 0 : 0, task: operation.task)
        let window = Window(operation, cell: cell, losses: losses)
        let isReachable = isAttached(operation.domain)
        for page in pages {
            let mapped = live[operation.domain, default: [:]].removeValue(forKey: page)
            guard isReachable else { continue }
            let known = mapped?.losses == losses ? mapped?.page : nil
            lastByAddress[operation.domain, default: [:]][page] = (window, known)
            if let known { lastByPage[operation.domain, default: [:]][known] = (window, page) }
        }
        guard isReachable else {
            let key = Key(cell: cell, end: WindowEnd.unreachable.rawValue, isUncertain: false)
            counts[key, default: Count()].windows += 1
            counts[key, default: Count()].pages += Int64(pages.count)
            return nil
        }
        return window
    }

    private func opens(_ operation: StoredOperation) -> Bool {
        let isStrict =
            operation.kind == .unmap && operation.flags.contains(.attachProbe)
        switch policy {
        case .sync, .perPage: return false
        case .vfio: return !isStrict
        default: return true
        }
    }

    private mutating func open(_ window: Window, _ operation: StoredOperation, from first: UInt64) {
        let bytes = operation.result ?? operation.size
        window.pages = Set((operation.iova >> 12..<(operation.iova + bytes) >> 12).filter { $0 >= first })
        if policy == .recorded, operation.sinceEntry > 0 {
            for sync in syncs
            where sync.domain == operation.domain && sync.cpu == operation.cpu && sync.pid == operation.pid
                && sync.time >= operation.time - operation.sinceEntry
            {
                if !sync.hasRange { window.pages = [] }
                window.pages.subtract(sync.iova >> 12..<(sync.iova + sync.size) >> 12)
            }
        }
        if window.pages.isEmpty { return }
        open.append(window)
    }

    /// The most pages open at one time, of a moment those that close before those that open.
    var peaks: [Member: Int64] {
        var changes: [(time: Int64, pages: Int64, cell: Cell)] = []
        for span in spans where span.from < span.to {
            changes.append((span.from, span.pages, span.cell))
            changes.append((span.to, -span.pages, span.cell))
        }
        changes.sort { ($0.time, $0.pages) < ($1.time, $1.pages) }
        var levels: [Member: Int64] = [:]
        var peaks: [Member: Int64] = [:]
        for change in changes {
            let cell = change.cell
            for member in [Member.trace, .domain(cell.domain), .device(cell.device), .task(cell.task)] {
                levels[member, default: 0] += change.pages
                peaks[member] = max(peaks[member] ?? 0, levels[member] ?? 0)
            }
        }
        return peaks.filter { $0.value > 0 }
    }

    // MARK: - Closing

    private mutating func closeAll(_ domain: Int32, _ flush: ScheduleTwin.Flush) {
        guard ![.call, .recordedSync, .recordedFlushAll].contains(flush.cause) else { return }
        for window in open where window.domain == domain {
            close(
                window, nil, at: flush.time, .flush(flush.cause), line: lines[flush.operation] ?? 0,
                operation: flush.operation)
        }
    }

    private mutating func close(
        _ window: Window, _ range: ClosedRange<UInt64>?, at time: Int64, _ end: WindowEnd, line: Int64,
        operation: Int64 = 0
    ) {
        let closed = window.pages.filter { range?.contains($0) ?? true }.sorted()
        guard !closed.isEmpty else { return }
        settle(window, closedBy: end, at: operation)
        window.pages.subtract(closed)
        open.removeAll { $0.pages.isEmpty }
        // That a run has ended shows only later.
        spans.append((window.opened, policy == .vfio ? max(time, now) : time, Int64(closed.count), window.cell))
        // Neighbours are one address range.
        let starts = closed.indices.filter { $0 == 0 || closed[$0 - 1] + 1 != closed[$0] }
        for (start, next) in zip(starts, starts.dropFirst() + [closed.count]) {
            let length = max(time - window.opened, 0)
            let key = Key(cell: window.cell, end: end.rawValue, isUncertain: window.losses != losses)
            counts[key, default: Count()].windows += 1
            counts[key, default: Count()].pages += Int64(next - start)
            counts[key, default: Count()].pageNanoseconds += Double(next - start) * Double(length)
            counts[key, default: Count()].lengths.append(length)
            rows.insert(
                Row(
                    operation: window.operation, iova: closed[start] << 12, pages: Int64(next - start),
                    opened: window.opened, closed: end == .endOfLog ? nil : window.opened + length,
                    end: end.rawValue, line: line))
        }
    }

    private mutating func complete(_ operation: StoredOperation) {
        let isSync = operation.kind == .sync
        guard operation.domain > 0, !isSync || !operation.hasRange || operation.size > 0 else { return }
        if isSync { syncs = (syncs + [operation]).suffix(64) }
        completions.append(
            Completion(
                time: operation.completed,
                pages: isSync && operation.hasRange
                    ? operation.iova >> 12...(operation.iova + operation.size - 1) >> 12 : nil,
                windows: open.filter { $0.domain == operation.domain },
                cause: isSync ? .recordedSync : .recordedFlushAll, line: operation.line))
        completions.sort { $0.time < $1.time }
    }

    /// Timers fire and flushes of the log end that are due.
    private mutating func finishDue(upTo time: Int64) {
        while let first = completions.first, first.time <= time {
            completions.removeFirst()
            for window in first.windows {
                close(window, first.pages, at: first.time, .flush(first.cause), line: first.line)
            }
        }
        for index in schedules.indices {
            let before = schedules[index].flushes.count
            schedules[index].fireTimer(upTo: time)
            for flush in schedules[index].flushes[before...] { closeAll(schedules[index].domain, flush) }
        }
    }

    private mutating func move(_ operation: StoredOperation) {
        let former = domainOfDevice[operation.device]
        if operation.kind == .attach {
            if operation.device > 0 { domainOfDevice[operation.device] = operation.domain }
        } else if former == operation.domain {
            domainOfDevice[operation.device] = nil
        }
        guard let former, !isAttached(former) else { return }
        for window in open where window.domain == former {
            close(window, nil, at: operation.time, .detach, line: operation.line)
        }
    }

    // MARK: - Hazards

    private mutating func map(_ operation: StoredOperation) {
        guard !operation.flags.contains(.failed), operation.domain > 0, operation.size > 0 else { return }
        let pages = operation.iova >> 12..<(operation.iova + operation.size) >> 12
        let mappedBefore = Set(live[operation.domain, default: [:]].values.compactMap(\.page))
        for address in pages {
            let page = operation.paddr.map { $0 >> 12 + address - pages.lowerBound }
            reuseOfAddress(address, page, in: operation.domain)
            if let page { reuseOfPage(page, in: operation.domain, wasMapped: mappedBefore.contains(page)) }
        }
        for address in pages {
            let page = operation.paddr.map { $0 >> 12 + address - pages.lowerBound }
            live[operation.domain, default: [:]][address] = (page, losses)
        }
    }

    private mutating func reuseOfAddress(_ address: UInt64, _ page: UInt64?, in domain: Int32) {
        guard let last = lastByAddress[domain]?[address], last.window.pages.contains(address) else { return }
        var kind = HazardKind.unknownPage
        if let page, let old = last.page {
            let isQueue =
                switch policy {
                case .queue, .singleQueue: true
                default: false
                }
            kind = page == old ? .samePageRemap : isQueue ? .deferredReuse : .iovaReuse
        }
        count(kind, last.window)
    }

    private mutating func reuseOfPage(_ page: UInt64, in domain: Int32, wasMapped: Bool) {
        func openWindow(_ domain: Int32) -> Window? {
            guard let last = lastByPage[domain]?[page], last.window.pages.contains(last.address) else { return nil }
            return last.window
        }
        let others = lastByPage.keys.filter { $0 != domain }.compactMap(openWindow)
        if !wasMapped, let latest = others.max(by: { $0.operation < $1.operation }) {
            count(.pageReuse, latest)
        } else if let own = openWindow(domain) {
            count(.recycled, own)
        }
    }

    private mutating func fault(_ operation: StoredOperation) {
        guard operation.hasRange else { return }
        let known = domainOfDevice[operation.device].flatMap { $0 > 0 ? $0 : nil }
        let domains = known.map { [$0] } ?? Array(lastByAddress.keys)
        let hits = domains.compactMap { lastByAddress[$0]?[operation.iova >> 12]?.window }
            .filter { $0.pages.contains(operation.iova >> 12) }
        if hits.count == 1, let hit = hits.first { count(.access, hit) }
    }

    private mutating func count(_ kind: HazardKind, _ window: Window) {
        let key = HazardKey(cell: window.cell, kind: window.losses == losses ? kind : .uncertain)
        if policy == .vfio { window.happened[key, default: []].append(current) } else { hazards[key, default: 0] += 1 }
    }

    /// Under VFIO it shows later when a window was closed: what happened after that did not happen inside it.
    private mutating func settle(_ window: Window, closedBy end: WindowEnd, at operation: Int64) {
        for (key, operations) in window.happened {
            let inside = operations.count { end == .detach || end == .endOfLog || $0 < operation }
            if inside > 0 { hazards[key, default: 0] += Int64(inside) }
        }
        window.happened = [:]
    }
}
