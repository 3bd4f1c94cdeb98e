import FlushSchedules
import IOMMUModel
import Operations
import TestSupport
import TraceStore

@testable import Replay
@testable import TraceStore

/// Operations over so few addresses and pages that stale ones come back all the time: maps, unmaps, faults, whatever
/// closes windows.
struct ReuseStream {
    static let domains: Int32 = 3
    private static let addresses: UInt64 = 24
    private static let pages: UInt64 = 32

    private(set) var operations: [StoredOperation] = []
    private(set) var lossLines: [Int64] = []
    private let drift: UInt64
    private var random: SeededGenerator
    private var time: Int64 = 1_000_000

    /// - Parameters:
    ///   - hasLosses: whether events are lost now and then; the flushes then have no layers.
    ///   - drift: by how many pages addresses and pages move on every 50 operations, so that what is long closed is not
    ///     used again; one window of each domain then stays open under `recorded`, far away from the others.
    init(seed: UInt64, count: Int, hasLosses: Bool, drift: UInt64 = 0) {
        random = SeededGenerator(seed: seed)
        self.drift = drift
        for number in 1...Self.domains { append(.make(.attach, domain: number, device: number)) }
        if drift > 0 {
            for number in 1...Self.domains {
                append(.make(.map, domain: number, iova: 1 << 40, size: 4096, paddr: UInt64(number) << 40))
                append(.make(.unmapFast, domain: number, iova: 1 << 40, size: 4096))
            }
        }
        while operations.count < count {
            time += [0, Int64(random.next() % 400), Int64(random.next() % 400), 3000][Int(random.next() % 4)]
            if hasLosses, random.next() % 200 == 0 { lossLines.append(Int64(operations.count)) }
            add(flushesHaveLayers: !hasLosses)
        }
        guard drift > 0 else { return }
        // What was stale all the time is used again: its page elsewhere, then its address.
        for number in 1...Self.domains {
            append(
                .make(.map, domain: number % 3 + 1, iova: 2 << 40, size: 4096, paddr: UInt64(number) << 40))
            append(.make(.map, domain: number, iova: 1 << 40, size: 4096, paddr: 5 << 40))
        }
    }

    /// Time of the last event.
    var lastTime: Int64 { time }

    /// Losses are announced between two operations.
    func isLost(before operation: StoredOperation) -> Int { lossLines.count { $0 < operation.line } }

    private mutating func append(_ operation: StoredOperation) {
        var operation = operation
        operation.id = Int64(operations.count) + 1
        operation.line = operation.id
        operation.time = time
        operation.completed = max(operation.completed + time, time)
        operations.append(operation)
    }

    private var base: UInt64 { UInt64(operations.count) / 50 * drift }

    private mutating func range() -> (iova: UInt64, size: UInt64) {
        let count = [1, 1, 2, 4][Int(random.next() % 4)] as UInt64
        return ((base + random.next() % (Self.addresses - count)) << 12, count << 12)
    }

    private mutating func add(flushesHaveLayers: Bool) {
        let domain = Int32(random.next() % 3) + 1
        let device = Int32(random.next() % 4)
        let (iova, size) = range()
        switch random.next() % 100 {
        case 0..<36:
            var map = StoredOperation.make(.map, domain: domain, iova: iova, size: size)
            map.paddr = random.next() % 16 == 0 ? nil : (1 << 20 + base + random.next() % Self.pages) << 12
            if random.next() % 32 == 0 { map.flags = .failed }
            append(map)
        case 36..<76:
            let results: [UInt64?] = [nil, size, size, size, size, size, size - 4096, 0]
            append(
                .make(
                    .unmapFast, domain: domain, iova: iova, size: size, result: results[Int(random.next() % 8)],
                    pid: 100 + Int32(random.next() % 2)))
        case 76..<82:
            var sync = StoredOperation.make(.sync, domain: domain, iova: iova, size: size)
            if flushesHaveLayers { sync.completed = Int64(random.next() % 2000) }
            append(sync)
        case 82..<86:
            var flush = StoredOperation.make(.flushAll, domain: domain)
            if drift > 0 { flush = .make(.sync, domain: domain, size: (base + Self.addresses) << 12) }
            if flushesHaveLayers { flush.completed = Int64(random.next() % 2000) }
            append(flush)
        case 86..<96:
            append(.make(.ioPageFault, domain: 0, iova: iova + random.next() % 4096, size: 1, device: device))
        case 96: append(.make(.attach, domain: Int32(random.next() % 4), device: device))
        case 97: append(.make(.detach, domain: domain, device: device))
        case 98 where drift == 0: append(.make(.domainFree, domain: domain))
        default: append(.make(.marker, domain: 0))
        }
    }
}

/// The hazards of one policy, worked out from the definitions (design §4 10, 12, 13, 15) page by page.
struct HazardTwin {
    struct Found: Hashable {
        var kind: HazardKind
        var operation: Int64
        var reuse: Int64
        var domain: Int32
        /// Page number of the stale address.
        var address: UInt64
    }

    private struct Mapping {
        var page: UInt64?
        var losses: Int
    }

    /// A page of a window.
    private struct Stale {
        var operation: Int64
        var domain: Int32
        var address: UInt64
        var opened: Int64
        var losses: Int
    }

    private struct Removal {
        var operation: Int64
        var address: UInt64
        var page: UInt64?
    }

    private struct Pending {
        var time: Int64
        var domain: Int32
        var addresses: ClosedRange<UInt64>?
        var before: Int64
    }

    let policy: Policy
    let showsAttaches: Bool
    private(set) var found: [Found] = []

    private var mapped: [Int32: [UInt64: Mapping]] = [:]
    private var open: [Stale] = []
    /// By domain: which call removed an address or a page last.
    private var lastOfAddress: [Int32: [UInt64: Removal]] = [:]
    private var lastOfPage: [Int32: [UInt64: Removal]] = [:]
    private var domainOfDevice: [Int32: Int32] = [:]
    private var waiting: [Int32: Int64] = [:]
    private var deadline: [Int32: Int64] = [:]
    private var completions: [Pending] = []
    private var losses = 0
    private var latest = Int64.min

    init(_ policy: Policy, showsAttaches: Bool) {
        self.policy = policy
        self.showsAttaches = showsAttaches
    }

    mutating func replay(_ stream: ReuseStream) {
        for operation in stream.operations {
            if stream.isLost(before: operation) > losses {
                settle(upTo: latest)
                losses = stream.isLost(before: operation)
            }
            apply(operation)
            latest = max(latest, operation.time)
        }
    }

    private mutating func apply(_ operation: StoredOperation) {
        let domain = operation.domain
        switch operation.kind {
        case .map:
            settle(upTo: operation.time)
            if !operation.flags.contains(.failed) { map(operation) }
        case .unmapFast:
            settle(upTo: operation.time)
            unmap(operation)
        case .sync, .flushAll:
            guard policy == .recorded else { return }
            let first = operation.iova >> 12
            completions.append(
                Pending(
                    time: operation.completed, domain: domain,
                    addresses: operation.kind == .sync ? first...(operation.iova + operation.size - 1) >> 12 : nil,
                    before: operation.id))
        case .attach, .detach:
            settle(upTo: operation.time)
            if operation.kind == .attach, operation.device > 0 {
                domainOfDevice[operation.device] = domain
            } else if domainOfDevice[operation.device] == domain {
                domainOfDevice[operation.device] = nil
            }
            let left = (1...ReuseStream.domains).filter { !isAttached($0) }
            open.removeAll { left.contains($0.domain) }
        case .domainFree:
            settle(upTo: operation.time)
            (waiting[domain], deadline[domain]) = (0, nil)
            open.removeAll { $0.domain == domain }
        case .ioPageFault:
            settle(upTo: operation.time)
            fault(operation)
        default: break
        }
    }

    private func isAttached(_ domain: Int32) -> Bool { !showsAttaches || domainOfDevice.values.contains(domain) }

    /// What was due by then has happened.
    private mutating func settle(upTo time: Int64) {
        for due in completions where due.time <= time {
            open.removeAll {
                $0.domain == due.domain && $0.operation < due.before && due.addresses?.contains($0.address) ?? true
            }
        }
        completions.removeAll { $0.time <= time }
        for (domain, due) in deadline where due <= time {
            deadline[domain] = nil
            waiting[domain] = 0
            open.removeAll { $0.domain == domain }
        }
    }

    // MARK: - Maps and unmaps

    private static func addresses(_ operation: StoredOperation, _ size: UInt64) -> Range<UInt64> {
        operation.iova >> 12..<(operation.iova + size) >> 12
    }

    private mutating func unmap(_ operation: StoredOperation) {
        let domain = operation.domain
        for address in Self.addresses(operation, operation.result ?? operation.size) {
            let mapping = mapped[domain]?.removeValue(forKey: address)
            guard isAttached(domain) else { continue }
            let removal = Removal(
                operation: operation.id, address: address, page: mapping?.losses == losses ? mapping?.page : nil)
            lastOfAddress[domain, default: [:]][address] = removal
            if let page = removal.page { lastOfPage[domain, default: [:]][page] = removal }
            open.append(
                Stale(
                    operation: operation.id, domain: domain, address: address, opened: operation.time, losses: losses))
        }
        waiting[domain, default: 0] += 1
        switch policy {
        case .batch(let calls) where waiting[domain] == calls:
            waiting[domain] = 0
            open.removeAll { $0.domain == domain }
        case .every(let interval) where waiting[domain] == 1: deadline[domain] = operation.time + interval
        default: break
        }
    }

    private mutating func map(_ operation: StoredOperation) {
        let domain = operation.domain
        let addresses = Self.addresses(operation, operation.size)
        for address in addresses {
            let page = operation.paddr.map { $0 >> 12 + (address - addresses.lowerBound) }
            reuseOfAddress(operation, address, page)
            if let page { reuseOfPage(operation, page) }
        }
        for address in addresses {
            let page = operation.paddr.map { $0 >> 12 + (address - addresses.lowerBound) }
            mapped[domain, default: [:]][address] = Mapping(page: page, losses: losses)
        }
    }

    private func window(_ removal: Removal, _ domain: Int32) -> Stale? {
        open.first {
            $0.operation == removal.operation && $0.domain == domain && $0.address == removal.address
        }
    }

    private mutating func note(_ kind: HazardKind, _ stale: Stale, _ reuse: StoredOperation) {
        found.append(
            Found(
                kind: stale.losses == losses ? kind : .uncertain, operation: stale.operation, reuse: reuse.id,
                domain: stale.domain, address: stale.address))
    }

    /// By address: the last call that removed it in the same domain.
    private mutating func reuseOfAddress(_ operation: StoredOperation, _ address: UInt64, _ page: UInt64?) {
        guard let last = lastOfAddress[operation.domain]?[address],
            let stale = window(last, operation.domain)
        else { return }
        if let page, let former = last.page {
            note(page == former ? .samePageRemap : .iovaReuse, stale, operation)
        } else {
            note(.unknownPage, stale, operation)
        }
    }

    /// By page: the last call of each domain that removed it.
    private mutating func reuseOfPage(_ operation: StoredOperation, _ page: UInt64) {
        var stale: [Stale] = []
        for domain in 1...ReuseStream.domains {
            guard let last = lastOfPage[domain]?[page], let window = window(last, domain) else { continue }
            stale.append(window)
        }
        let others = stale.filter { $0.domain != operation.domain }
        if let latest = others.max(by: { $0.operation < $1.operation }),
            mapped[operation.domain]?.values.contains(where: { $0.page == page }) != true
        {
            note(.pageReuse, latest, operation)
        } else if let own = stale.first(where: { $0.domain == operation.domain }) {
            note(.recycled, own, operation)
        }
    }

    /// By use: in the device's domain, or in the only one in which the address is stale.
    private mutating func fault(_ operation: StoredOperation) {
        let address = operation.iova >> 12
        let known = domainOfDevice[operation.device] ?? 0
        var stale: [Stale] = []
        for domain in 1...ReuseStream.domains where known == 0 || known == domain {
            if let newest = open.last(where: { $0.domain == domain && $0.address == address }) { stale.append(newest) }
        }
        if stale.count == 1 { note(.access, stale[0], operation) }
    }
}
