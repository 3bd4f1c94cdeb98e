import Foundation
import TestSupport
import Testing

@testable import Operations

/// Logs of several domains over one range of addresses, of which the generator knows what their lines do not say.
struct ResolverPropertyTests {
    /// A log in shorthand, and the true id of each map and unmap in it.
    private struct Generated {
        var text = ""
        var truth: [Int] = []
        var clock = 10

        mutating func operation(_ isMap: Bool, _ page: Int, task: Int, id: Int) {
            let iova = "0x" + String(page << 12, radix: 16)
            text +=
                isMap
                ? "0 \(task) \(clock) map: IOMMU: iova=\(iova) paddr=0x5000 size=4096\n"
                : "0 \(task) \(clock) unmap: IOMMU: iova=\(iova) size=4096 unmapped_size=4096\n"
            truth.append(id)
            clock += 2
        }

        mutating func command(_ id: Int, page: Int?, task: Int) {
            let word = String(id << 16 | (page == nil ? 0xe2 : 0xf2), radix: 16)
            text +=
                "0 \(task) \(clock) qi_submit: iotlb_inv dmar0: 0x\(word) 0x\(String((page ?? 0) << 12, radix: 16)) 0x0 0x0\n"
            clock += 2
        }
    }

    /// What one domain has mapped, can map, and could map once it is flushed.
    private struct Domain {
        var free = Array(0..<96)
        var waiting: [Int] = []
        var live: [Int] = []
        var flushed = 0
    }

    /// Domains map and unmap in bursts of their tasks, each from the same pages; each unmap is flushed, or all of a domain
    /// now and then.
    private static func log(seed: UInt64, bursts: Int, isStrict: Bool) -> Generated {
        var random = SeededGenerator(seed: seed)
        var log = Generated()
        var domains = [Int](repeating: 0, count: 4).map { _ in Domain() }
        for index in domains.indices where !isStrict {
            domains[index].free = Array(Array(0..<512).shuffled(using: &random).prefix(64))
        }
        for _ in 0..<bursts {
            let index = Int.random(in: 0..<domains.count, using: &random)
            let id = index + 4
            let isMap = domains[index].live.count < 8 || domains[index].live.count < 60 && Bool.random(using: &random)
            let task = 100 + index * 2 + (isMap ? 0 : 1)
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                if isMap, let page = domains[index].free.popLast() {
                    log.operation(true, page, task: task, id: id)
                    domains[index].live.append(page)
                } else if !isMap, !domains[index].live.isEmpty {
                    let page = domains[index].live.remove(
                        at: Int.random(in: 0..<domains[index].live.count, using: &random))
                    log.operation(false, page, task: task, id: id)
                    if isStrict {
                        log.command(id, page: page, task: task)
                        domains[index].free.append(page)
                    } else {
                        domains[index].waiting.append(page)
                    }
                }
            }
            log.clock += Int.random(in: 80...400, using: &random)
            for index in domains.indices where !isStrict && log.clock - domains[index].flushed > 10_000 + index * 777 {
                domains[index].flushed = log.clock
                log.command(index + 4, page: nil, task: 0)
                domains[index].free += domains[index].waiting
                domains[index].waiting = []
            }
        }
        return log
    }

    /// Maps of what is mapped and unmaps of what is not, in the domains found.
    private static func contradictions(_ log: BuiltLog) -> Int {
        var live: Set<[UInt64]> = []
        var count = 0
        for operation in log.all(.map, .unmap) where operation.grade != .ambiguous {
            let place = [UInt64(operation.domain), operation.iova ?? 0]
            if operation.kind == .map {
                count += live.insert(place).inserted ? 0 : 1
            } else {
                count += live.remove(place) == nil ? 1 : 0
            }
        }
        return count
    }

    @Test(
        "a strict log without its pointers: 99 % right, no wrong one above inferred, counts as they are",
        arguments: [1, 2, 3])
    func strict(seed: UInt64) throws {
        let log = Self.log(seed: seed, bursts: 3000, isStrict: true)
        let built = try BuiltLog(log.text)
        let found = built.all(.map, .unmap)
        try #require(found.count == log.truth.count)
        let right = zip(found, log.truth).filter { built.domainName($0.0) == "hw:\($0.1)" }.count
        #expect(right * 100 >= found.count * 99)
        for (operation, id) in zip(found, log.truth) where built.domainName(operation) != "hw:\(id)" {
            #expect(operation.grade == .inferred || operation.grade == .ambiguous)
        }
        // A command names the unmap's domain firmly; its map may have gone to another one.
        #expect(Self.contradictions(built) * 1000 <= found.count)
        for id in 4..<8 {
            let unmaps = zip(found, log.truth).filter { $0.0.kind == .unmap && $0.1 == id }.count
            #expect(found.filter { $0.kind == .unmap && built.domainName($0) == "hw:\(id)" }.count == unmaps)
        }
    }

    @Test("a deferring log: inferred at most, no contradiction, and no less right late than early", arguments: [4, 5])
    func deferred(seed: UInt64) throws {
        let log = Self.log(seed: seed, bursts: 24_000, isStrict: false)
        let built = try BuiltLog(log.text)
        let found = built.all(.map, .unmap)
        try #require(found.count == log.truth.count && found.count > 2 * Resolver.windowLength)
        #expect(found.allSatisfy { $0.grade == .inferred || $0.grade == .ambiguous })
        #expect(Self.contradictions(built) == 0)
        let isRight = zip(found, log.truth).map { built.domainName($0.0) == "hw:\($0.1)" }
        let quarter = isRight.count / 4
        let early = isRight[..<quarter].filter { $0 }.count
        let late = isRight.suffix(quarter).filter { $0 }.count
        #expect(early * 100 >= quarter * 90)
        #expect(late * 100 >= early * 100 - quarter * 5)
    }

    @Test("an unmap of what nobody has any more is of no domain; one of what was never mapped is of its task's")
    func nothing() throws {
        var log = Generated()
        for (task, id, page) in [(1, 4, 0x10), (2, 6, 0x20)] {
            for offset in 0..<4 { log.operation(true, page + offset, task: task, id: id) }
            log.clock += 1000
        }
        for (task, id, page) in [(1, 4, 0x10), (2, 6, 0x20)] {
            for offset in 0..<4 {
                log.operation(false, page + offset, task: task, id: id)
                // The last one has no command of its own.
                if offset < 3 { log.command(id, page: page + offset, task: task) }
            }
            log.operation(false, page + 0x100, task: task, id: id)
            log.operation(false, page + 3, task: task, id: id)
            log.clock += 1000
        }
        let built = try BuiltLog(log.text)
        let unmaps = built.all(.unmap)
        try #require(unmaps.count == 12)
        #expect(
            unmaps.map { built.domainName($0) == "unresolved" }
                == [4, 5].flatMap { _ in
                    [false, false, false, false, false, true]
                })
    }

    @Test("part of a map is of the map's domain, and so is what is left of it")
    func parts() throws {
        let log = try BuiltLog(
            """
            0 7 1 map: IOMMU: iova=0x0 paddr=0x5000 size=8192
            0 7 9 unmap: IOMMU: iova=0x0 size=4096 unmapped_size=4096
            0 7 10 qi_submit: iotlb_inv dmar0: 0x900f2 0x0 0x0 0x0
            0 7 11 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            0 7 12 qi_submit: iotlb_inv dmar0: 0x900f2 0x1000 0x0 0x0
            0 8 5000 map: IOMMU: iova=0x9000 paddr=0x5000 size=4096
            0 8 5005 unmap: IOMMU: iova=0x9000 size=4096 unmapped_size=4096
            0 8 5006 qi_submit: iotlb_inv dmar0: 0x400f2 0x9000 0x0 0x0
            """)
        #expect(log.all(.map, .unmap).map { log.domainName($0) } == ["hw:9", "hw:9", "hw:9", "hw:4", "hw:4"])
    }
}
