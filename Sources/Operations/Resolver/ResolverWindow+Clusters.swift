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
        var graph = BurstGraph(nodes: bursts + labelCount)
        for label in 0..<labelCount {
            for other in 0..<label { graph.add(Self.ofLabels, bursts + label, bursts + other) }
        }
        for burst in 0..<bursts {
            for label in 0..<labelCount { graph.add(ownScores[burst * labelCount + label], burst, bursts + label) }
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
        var live = ContiguousArray<Int32>(repeating: 0, count: slotOfAddress.count)
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
                resolver.freed[entry.iova] = Resolver.Freed(
                    time: entry.time, size: entry.size, task: entry.task, burst: entry.burst,
                    window: resolver.windowNumber, count: count)
                live[entry.slot] = max(live[entry.slot] - 1, 0)
                continue
            }
            // Only where nobody else used the address meanwhile is it the former user who got it again.
            if let freed = resolver.freed.removeValue(forKey: entry.iova), freed.count == 1, live[entry.slot] == 0,
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
        let keys = [
            Resolver.ReuseKey(task: map.task, isMap: true), Resolver.ReuseKey(task: freed.task, isMap: false),
        ]
        for key in keys where resolver.reuse[key] != nil || resolver.reuse.count < Resolver.featureLimit {
            resolver.reuse[key, default: Resolver.Reuse()].count(notFlushed, labels: labelCount)
        }
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

extension Resolver.Reuse {
    mutating func count(_ labels: UInt32, labels count: Int) {
        total += 1
        for label in 0..<min(count, 32) where labels >> UInt32(label) & 1 != 0 { withoutFlush[label] += 1 }
    }
}

/// Bursts and labels, and what speaks for or against two of them being of one domain. Joins the two for which most speaks,
/// again and again, while anything does (greedy additive edge contraction).
private struct BurstGraph {
    private var edges: ContiguousArray<[Int: Float]>
    private var parents: ContiguousArray<Int>
    private var heap: ContiguousArray<(weight: Float, low: Int, high: Int)> = []

    init(nodes: Int) {
        edges = ContiguousArray(repeating: [:], count: nodes)
        parents = ContiguousArray(0..<nodes)
    }

    mutating func add(_ weight: Float, _ one: Int, _ other: Int) {
        guard one != other, weight != 0 else { return }
        edges[one][other, default: 0] += weight
        edges[other][one, default: 0] += weight
    }

    func root(of node: Int) -> Int {
        var node = node
        while parents[node] != node { node = parents[node] }
        return node
    }

    mutating func contract() {
        for node in edges.indices {
            for (other, weight) in edges[node] where node < other && weight > 0 { push(weight, node, other) }
        }
        while let best = pop() {
            guard parents[best.low] == best.low, parents[best.high] == best.high,
                edges[best.low][best.high] == best.weight
            else { continue }
            let keepsLow = edges[best.low].count >= edges[best.high].count
            let (kept, gone) = keepsLow ? (best.low, best.high) : (best.high, best.low)
            parents[gone] = kept
            let moved = edges[gone]
            edges[gone] = [:]
            edges[kept][gone] = nil
            for (other, weight) in moved where other != kept {
                edges[other][gone] = nil
                let sum = (edges[kept][other] ?? 0) + weight
                edges[kept][other] = sum
                edges[other][kept] = sum
                if sum > 0 { push(sum, min(kept, other), max(kept, other)) }
            }
        }
    }

    // MARK: - Heap

    /// Whether one edge goes before another; never undecided between different edges, so that a log always gives the same.
    private func precedes(_ one: Int, _ other: Int) -> Bool {
        let (a, b) = (heap[one], heap[other])
        if a.weight != b.weight { return a.weight > b.weight }
        return (a.low, a.high) < (b.low, b.high)
    }

    private mutating func push(_ weight: Float, _ low: Int, _ high: Int) {
        heap.append((weight, low, high))
        var child = heap.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() -> (weight: Float, low: Int, high: Int)? {
        guard let top = heap.first else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var first = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && precedes(child, first) {
                first = child
            }
            if first == parent { return top }
            heap.swapAt(parent, first)
            parent = first
        }
    }
}
