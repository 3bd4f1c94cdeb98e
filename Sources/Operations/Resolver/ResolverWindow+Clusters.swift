// The first labels, where few unmaps have a clue of their own, as under a flush queue.
extension ResolverWindow {
    /// Weights for and against two bursts being of one domain.
    private static let ofOneMapping: Float = 1
    private static let ofOverlap: Float = -2
    private static let ofNeighbours: Float = 0.5
    private static let ofTask: Float = 2
    private static let ofReuse: (flushed: Float, notFlushed: Float) = (0.05, -0.2)
    /// Labels are different domains, whatever speaks for one.
    private static let ofLabels: Float = -1_000_000

    /// Groups bursts that belong together, around the labels.
    mutating func cluster(_ resolver: inout Resolver) {
        scoreReuse(&resolver)
        let tasks = tasksOfOneLabel(resolver)
        let bursts = neighbours.count
        var graph = BurstGraph()
        swap(&graph, &resolver.graph)
        defer { swap(&graph, &resolver.graph) }
        graph.reset(nodes: bursts + labelCount)
        for label in 0..<labelCount {
            for other in 0..<label { graph.add(Self.ofLabels, bursts + label, bursts + other) }
        }
        for burst in 0..<bursts {
            for label in 0..<labelCount {
                let place = burst * labelCount + label
                graph.add(ownScores[place] - Float(impossible[place]), burst, bursts + label)
            }
            if neighbours[burst] >= 0 { graph.add(Self.ofNeighbours, burst, neighbours[burst]) }
        }
        var live = liveAtBegin(&entries)
        var hasTask = ContiguousArray(repeating: false, count: bursts)
        for index in 0..<count {
            let entry = entries[index]
            if !hasTask[entry.burst],
                let label = tasks[Resolver.ReuseKey(task: entry.task, isMap: entry.isMap)]
            {
                hasTask[entry.burst] = true
                graph.add(Self.ofTask, entry.burst, bursts + label)
            }
            var other = live.heads[entry.slot]
            if entry.isMap {
                while other >= 0 {
                    if let node = node(of: other) { graph.add(Self.ofOverlap, entry.burst, node) }
                    other = entries[other].next
                }
                live.append(index, &entries)
                continue
            }
            var (first, fitting) = (-1, 0)
            while other >= 0 {
                if entries[other].size == entry.size {
                    fitting += 1
                    if first < 0 { first = other }
                }
                other = entries[other].next
            }
            guard first >= 0 else { continue }
            let weight = fitting == 1 ? Self.ofOneMapping : Self.ofOneMapping / 2 / Float(fitting)
            other = first
            while other >= 0 {
                if entries[other].size == entry.size, let node = node(of: other) {
                    graph.add(weight, entry.burst, node)
                }
                other = entries[other].next
            }
            live.remove(first, &entries)
        }
        graph.contract()
        let labelOfRoot = Dictionary((0..<labelCount).map { (graph.root(of: bursts + $0), $0) }) { first, _ in first }
        for burst in 0..<bursts { labels[burst] = labelOfRoot[graph.root(of: burst)] ?? -1 }
    }

    private func node(of index: Int) -> Int? {
        if entries[index].burst >= 0 { return entries[index].burst }
        return entries[index].label >= 0 ? neighbours.count + entries[index].label : nil
    }

    /// A flush queue hands an address out again when its domain was flushed, not before.
    private mutating func scoreReuse(_ resolver: inout Resolver) {
        var live = ContiguousArray<Int32>(repeating: 0, count: addresses.count)
        for entry in entries[count...] { live[entry.slot] += 1 }
        var flush = 0
        for index in 0..<count {
            while flush < flushes.count, flushes[flush].before <= index {
                if let label = flushes[flush].label {
                    resolver.lastFlush[label] = flushes[flush].time
                } else {
                    for label in resolver.lastFlush.indices { resolver.lastFlush[label] = flushes[flush].time }
                }
                flush += 1
            }
            let entry = entries[index]
            if !entry.isMap {
                let count = (resolver.freed[entry.iova]?.count ?? 0) + 1
                if count == 1, resolver.freed.count >= Resolver.memoryLimit { resolver.freed.removeAll() }
                resolver.freed.set(
                    entry.iova,
                    Resolver.Freed(
                        time: entry.time, size: entry.size, task: entry.task, burst: entry.burst,
                        window: resolver.windowNumber, count: count))
                live[entry.slot] = max(live[entry.slot] - 1, 0)
                continue
            }
            // Only where nobody else used the address meanwhile is it the former user who got it again.
            if let freed = resolver.freed.remove(entry.iova), freed.count == 1, live[entry.slot] == 0,
                freed.size == entry.size
            {
                score(entry, freed, &resolver)
            }
            live[entry.slot] += 1
        }
    }

    private mutating func score(_ map: Entry, _ freed: Resolver.Freed, _ resolver: inout Resolver) {
        var notFlushed: UInt32 = 0
        for label in 0..<labelCount where resolver.lastFlush[label] <= freed.time { notFlushed |= 1 << UInt32(label) }
        resolver.countReuse(Resolver.ReuseKey(task: map.task, isMap: true), notFlushed)
        resolver.countReuse(Resolver.ReuseKey(task: freed.task, isMap: false), notFlushed)
        let all = labelCount == 32 ? UInt32.max : (1 << UInt32(labelCount)) - 1
        guard notFlushed != 0, notFlushed != all else { return }
        for label in 0..<labelCount {
            let score = notFlushed >> UInt32(label) & 1 != 0 ? Self.ofReuse.notFlushed : Self.ofReuse.flushed
            ownScores[map.burst * labelCount + label] += score
            if freed.window == resolver.windowNumber { ownScores[freed.burst * labelCount + label] += score }
        }
    }

    /// Tasks that, going by that, use one domain only.
    private func tasksOfOneLabel(_ resolver: Resolver) -> [Resolver.ReuseKey: Int] {
        resolver.reuse.compactMapValues { reuse in
            guard reuse.total >= 30 else { return nil }
            var (best, first, second) = (-1, Float.infinity, Float.infinity)
            for label in 0..<labelCount {
                let share = reuse.withoutFlush[label] / reuse.total
                if share < first {
                    (best, first, second) = (label, share, first)
                } else {
                    second = min(second, share)
                }
            }
            return first < 0.1 && second > max(0.15, 4 * first) ? best : nil
        }
    }
}

extension Resolver {
    fileprivate mutating func countReuse(_ key: ReuseKey, _ notFlushed: UInt32) {
        guard reuse[key] != nil || reuse.count < Self.featureLimit else { return }
        reuse[key, default: Reuse()].count(notFlushed, labels: labels.count)
    }
}

extension Resolver.Reuse {
    mutating func count(_ labels: UInt32, labels count: Int) {
        total += 1
        for label in 0..<min(count, 32) where labels >> UInt32(label) & 1 != 0 { withoutFlush[label] += 1 }
    }
}
