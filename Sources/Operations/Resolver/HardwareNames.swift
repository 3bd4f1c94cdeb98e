/// Finds out which hardware ids the domains have that are known by their devices: descriptors name the ids only.
struct HardwareNames {
    private static let domainLimit = 32
    private static let memoryLimit = 1 << 18

    private struct Address: Hashable {
        var domain: Int32
        var iova: UInt64
    }

    /// What speaks for a domain having an id.
    private struct Count {
        /// Commands for just the range that the domain had unmapped.
        var ofUnmaps = 0
        /// Addresses handed out again although the id had not been flushed since.
        var withoutFlush = 0
    }

    private var lastFlush: [Int64: Int64] = [:]
    private var freed: [Address: (time: Int64, epoch: Int)] = [:]
    private var reuses: [Int32: Int] = [:]
    private var counts: [Int32: [Int64: Count]] = [:]
    /// How often a domain has got another id.
    private var epochs: [Int32: Int] = [:]

    mutating func map(_ domain: Int32, _ iova: UInt64) {
        guard reuses[domain] != nil || reuses.count < Self.domainLimit else { return }
        reuses[domain, default: 0] += 0
        guard let freed = freed.removeValue(forKey: Address(domain: domain, iova: iova)),
            freed.epoch == epochs[domain, default: 0]
        else { return }
        reuses[domain, default: 0] += 1
        for (id, flush) in lastFlush where flush <= freed.time {
            counts[domain, default: [:]][id, default: Count()].withoutFlush += 1
        }
    }

    mutating func unmap(_ domain: Int32, _ iova: UInt64, time: Int64) {
        if freed.count >= Self.memoryLimit { freed.removeAll() }
        freed[Address(domain: domain, iova: iova)] = (time, epochs[domain, default: 0])
    }

    /// A domain has another id from now on: what was told of it is of no use any more.
    mutating func forget(_ domain: Int32) {
        guard reuses[domain] != nil else { return }
        reuses[domain] = 0
        counts[domain] = nil
        epochs[domain, default: 0] += 1
    }

    mutating func flush(_ id: Int64, time: Int64) {
        guard lastFlush[id] != nil || lastFlush.count < Self.domainLimit else { return }
        lastFlush[id] = time
    }

    /// A command for the range that a domain has just unmapped.
    mutating func command(_ id: Int64, afterUnmapOf domain: Int32) {
        guard lastFlush[id] != nil || lastFlush.count < Self.domainLimit else { return }
        lastFlush[id] = lastFlush[id] ?? .max
        guard reuses[domain] != nil || reuses.count < Self.domainLimit else { return }
        reuses[domain, default: 0] += 0
        counts[domain, default: [:]][id, default: Count()].ofUnmaps += 1
    }

    /// The ids that are clear by now, by domain: one is of one domain, so those that are clear leave fewer for the others.
    var names: [(domain: Int32, id: Int64)] {
        var ids = lastFlush.keys.sorted()
        var domains = reuses.keys.sorted()
        var names: [(domain: Int32, id: Int64)] = []
        while let name = domains.lazy.compactMap({ domain in id(of: domain, ids).map { (domain, $0) } }).first {
            names.append(name)
            ids.removeAll { $0 == name.1 }
            domains.removeAll { $0 == name.0 }
        }
        if ids.count == 1, domains.count == 1 { names.append((domains[0], ids[0])) }
        return names
    }

    private func id(of domain: Int32, _ ids: [Int64]) -> Int64? {
        let counts = counts[domain] ?? [:]
        let ofUnmaps = ids.map { counts[$0]?.ofUnmaps ?? 0 }
        if let most = ofUnmaps.max(), most >= 8, most * 10 >= ofUnmaps.reduce(0, +) * 9,
            let index = ofUnmaps.firstIndex(of: most)
        {
            return ids[index]
        }
        let all = reuses[domain] ?? 0
        guard all >= 30 else { return nil }
        let shares = ids.map { (share: Double(counts[$0]?.withoutFlush ?? 0) / Double(all), id: $0) }
            .sorted { ($0.share, $0.id) < ($1.share, $1.id) }
        guard let first = shares.first, first.share < 0.05 else { return nil }
        if shares.count > 1, shares[1].share < max(0.1, 4 * first.share) { return nil }
        return first.id
    }
}
