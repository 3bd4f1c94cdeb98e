import SeededTable

/// Bursts and labels, and what speaks for or against two of them being of one domain. Joins the two for which most speaks,
/// again and again, while anything does (greedy additive edge contraction).
///
/// All in flat arrays that are used again for the next window.
struct BurstGraph {
    private struct Edge {
        var low: Int32
        var high: Int32
        var weight: Float
        /// The next edge in the lists of its two nodes, -1 for none.
        var nextOfLow: Int32
        var nextOfHigh: Int32
    }

    private struct Candidate {
        var weight: Float
        var edge: Int32
        var low: Int32
        var high: Int32

        /// Whether it goes first; never undecided between different edges, so that a log always gives the same.
        func precedes(_ other: Candidate) -> Bool {
            weight != other.weight ? weight > other.weight : (low, high) < (other.low, other.high)
        }
    }

    private var edges: ContiguousArray<Edge> = []
    private var heads: ContiguousArray<Int32> = []
    private var degrees: ContiguousArray<Int32> = []
    private var parents: ContiguousArray<Int32> = []
    /// The edge between two nodes.
    private(set) var edgeOfPair = SeededTable<UInt64, Int32>()
    private var heap: ContiguousArray<Candidate> = []

    /// Forgets everything: as many nodes, and nothing between them.
    mutating func reset(nodes: Int) {
        edges.removeAll(keepingCapacity: true)
        heap.removeAll(keepingCapacity: true)
        edgeOfPair.removeAll()
        heads.removeAll(keepingCapacity: true)
        degrees.removeAll(keepingCapacity: true)
        parents.removeAll(keepingCapacity: true)
        for node in 0..<nodes {
            heads.append(-1)
            degrees.append(0)
            parents.append(Int32(truncatingIfNeeded: node))
        }
    }

    private static func key(_ low: Int32, _ high: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: low)) << 32 | UInt64(UInt32(bitPattern: high))
    }

    mutating func add(_ weight: Float, _ one: Int, _ other: Int) {
        guard one != other, weight != 0 else { return }
        let low = Int32(truncatingIfNeeded: min(one, other))
        let high = Int32(truncatingIfNeeded: max(one, other))
        if let edge = edgeOfPair[Self.key(low, high)] {
            edges[Int(edge)].weight += weight
        } else {
            let edge = Int32(truncatingIfNeeded: edges.count)
            edges.append(Edge(low: low, high: high, weight: weight, nextOfLow: -1, nextOfHigh: -1))
            link(edge, to: low)
            link(edge, to: high)
            edgeOfPair.set(Self.key(low, high), edge)
        }
    }

    private mutating func link(_ edge: Int32, to node: Int32) {
        if edges[Int(edge)].low == node {
            edges[Int(edge)].nextOfLow = heads[Int(node)]
        } else {
            edges[Int(edge)].nextOfHigh = heads[Int(node)]
        }
        heads[Int(node)] = edge
        degrees[Int(node)] += 1
    }

    func root(of node: Int) -> Int {
        var node = node
        while Int(parents[node]) != node { node = Int(parents[node]) }
        return node
    }

    mutating func contract() {
        for index in edges.indices where edges[index].weight > 0 { push(Int32(truncatingIfNeeded: index)) }
        while let best = pop() {
            let edge = edges[Int(best.edge)]
            guard edge.low == best.low, edge.high == best.high, edge.weight == best.weight else { continue }
            let keepsLow = degrees[Int(best.low)] >= degrees[Int(best.high)]
            let (kept, gone) = keepsLow ? (best.low, best.high) : (best.high, best.low)
            parents[Int(gone)] = kept
            kill(best.edge)
            move(gone, to: kept)
        }
    }

    /// An edge that is none any more stays in the lists of its nodes, and passes them on.
    private mutating func kill(_ edge: Int32) {
        let (low, high) = (edges[Int(edge)].low, edges[Int(edge)].high)
        edgeOfPair.remove(Self.key(low, high))
        degrees[Int(low)] -= 1
        degrees[Int(high)] -= 1
        edges[Int(edge)].weight = .nan
    }

    /// Gives all edges of a node to another one.
    private mutating func move(_ gone: Int32, to kept: Int32) {
        var next = heads[Int(gone)]
        while next >= 0 {
            let number = next
            let edge = edges[Int(number)]
            next = edge.low == gone ? edge.nextOfLow : edge.nextOfHigh
            guard !edge.weight.isNaN else { continue }
            let other = edge.low == gone ? edge.high : edge.low
            let (low, high) = (min(kept, other), max(kept, other))
            if let former = edgeOfPair[Self.key(low, high)] {
                kill(number)
                edges[Int(former)].weight += edge.weight
                if edges[Int(former)].weight > 0 { push(former) }
                continue
            }
            edgeOfPair.remove(Self.key(edge.low, edge.high))
            edgeOfPair.set(Self.key(low, high), number)
            // The place in the other node's list stays; that in the list of the node that is gone becomes one in the kept one's.
            let nextOfOther = edge.low == other ? edge.nextOfLow : edge.nextOfHigh
            edges[Int(number)].low = low
            edges[Int(number)].high = high
            if low == other {
                edges[Int(number)].nextOfLow = nextOfOther
            } else {
                edges[Int(number)].nextOfHigh = nextOfOther
            }
            link(number, to: kept)
            if edge.weight > 0 { push(number) }
        }
        heads[Int(gone)] = -1
    }

    // MARK: - Heap

    private mutating func push(_ edge: Int32) {
        let value = edges[Int(edge)]
        let candidate = Candidate(weight: value.weight, edge: edge, low: value.low, high: value.high)
        heap.append(candidate)
        var child = heap.count - 1
        while child > 0, candidate.precedes(heap[(child - 1) / 2]) {
            heap[child] = heap[(child - 1) / 2]
            child = (child - 1) / 2
        }
        heap[child] = candidate
    }

    private mutating func pop() -> Candidate? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return top }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
            guard heap[child].precedes(last) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return top
    }
}
