/// Address ranges that may overlap, to be found by overlap: a treap in order of start, each node knowing how far its
/// subtree reaches.
///
/// Adding, removing and finding one take logarithmic time in the number of ranges, however they lie: hostile logs can
/// make anything overlap with anything. Ranges are told apart by start and number.
public struct RangeTree: Sendable {
    /// A range's place in the tree for as long as it is in it: a small number, so that arrays can run beside the tree.
    public typealias Place = Int32

    private struct Node {
        var range: AddressRange
        /// The highest last address in the subtree.
        var reach: UInt64
        var number: Int64
        var left: Place = none
        var right: Place = none
        var priority: UInt64
    }

    private static let none: Place = -1

    private var nodes: ContiguousArray<Node> = []
    private var free: ContiguousArray<Place> = []
    private var root = none
    private var seed = firstSeed
    /// One for all trees of a run: asking the system for it takes longer than most trees live.
    private static let firstSeed = UInt64.random(in: .min ... .max)

    /// No ranges.
    public init() {}

    /// Ranges held now.
    public var count: Int { nodes.count - free.count }
    /// Whether there is none.
    public var isEmpty: Bool { root == Self.none }

    /// Adds a range.
    ///
    /// - Parameter number: tells apart ranges with one start; no two may have both in common.
    public mutating func insert(_ range: AddressRange, number: Int64) -> Place {
        let node = Node(
            range: range, reach: range.last, number: number, priority: nextPriority())
        let place: Place
        if let reused = free.popLast() {
            nodes[Int(reused)] = node
            place = reused
        } else {
            place = Place(truncatingIfNeeded: nodes.count)
            nodes.append(node)
        }
        root = insert(place, below: root)
        return place
    }

    /// Removes the range with this start and number.
    ///
    /// - Returns: its place, which is free now; `nil` if it is not there.
    @discardableResult
    public mutating func remove(start: UInt64, number: Int64) -> Place? {
        var removed: Place?
        root = remove(start, number, below: root, &removed)
        if let removed { free.append(removed) }
        return removed
    }

    /// Forgets everything.
    public mutating func removeAll() {
        nodes.removeAll(keepingCapacity: true)
        free.removeAll(keepingCapacity: true)
        root = Self.none
    }

    /// Calls `body` with each range that shares a byte with `range`, and its place, in order of start, then number.
    public func forEach(overlapping range: AddressRange, _ body: (AddressRange, Place) -> Void) {
        visit(root, range, body)
    }

    // MARK: - Nodes

    private func visit(_ place: Place, _ range: AddressRange, _ body: (AddressRange, Place) -> Void) {
        guard place != Self.none, nodes[Int(place)].reach >= range.start else { return }
        visit(nodes[Int(place)].left, range, body)
        guard nodes[Int(place)].range.start <= range.last else { return }
        if nodes[Int(place)].range.last >= range.start {
            body(nodes[Int(place)].range, place)
        }
        visit(nodes[Int(place)].right, range, body)
    }

    /// The next of a sequence of well mixed bits (SplitMix64) whose begin no log can know: what a log can foretell it can
    /// choose, and a tree of chosen priorities is a list. What is found, and in which order, does not depend on them.
    private mutating func nextPriority() -> UInt64 {
        seed &+= 0x9e37_79b9_7f4a_7c15
        var value = seed
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    private func isBefore(_ start: UInt64, _ number: Int64, _ place: Place) -> Bool {
        (start, number) < (nodes[Int(place)].range.start, nodes[Int(place)].number)
    }

    private mutating func updateReach(_ place: Place) {
        let node = nodes[Int(place)]
        var reach = node.range.last
        if node.left != Self.none { reach = max(reach, nodes[Int(node.left)].reach) }
        if node.right != Self.none { reach = max(reach, nodes[Int(node.right)].reach) }
        nodes[Int(place)].reach = reach
    }

    /// - Returns: the subtree's new root.
    private mutating func insert(_ new: Place, below place: Place) -> Place {
        guard place != Self.none else { return new }
        if nodes[Int(new)].priority > nodes[Int(place)].priority {
            let (left, right) = split(place, nodes[Int(new)].range.start, nodes[Int(new)].number)
            nodes[Int(new)].left = left
            nodes[Int(new)].right = right
            updateReach(new)
            return new
        }
        if isBefore(nodes[Int(new)].range.start, nodes[Int(new)].number, place) {
            nodes[Int(place)].left = insert(new, below: nodes[Int(place)].left)
        } else {
            nodes[Int(place)].right = insert(new, below: nodes[Int(place)].right)
        }
        updateReach(place)
        return place
    }

    /// Takes a subtree apart: what comes before a start and number, and the rest.
    private mutating func split(_ place: Place, _ start: UInt64, _ number: Int64) -> (Place, Place) {
        guard place != Self.none else { return (Self.none, Self.none) }
        defer { updateReach(place) }
        if isBefore(start, number, place) {
            let (left, right) = split(nodes[Int(place)].left, start, number)
            nodes[Int(place)].left = right
            return (left, place)
        }
        let (left, right) = split(nodes[Int(place)].right, start, number)
        nodes[Int(place)].right = left
        return (place, right)
    }

    private mutating func remove(
        _ start: UInt64, _ number: Int64, below place: Place, _ removed: inout Place?
    ) -> Place {
        guard place != Self.none else { return Self.none }
        let node = nodes[Int(place)]
        if node.range.start == start, node.number == number {
            removed = place
            return join(node.left, node.right)
        }
        if isBefore(start, number, place) {
            nodes[Int(place)].left = remove(start, number, below: node.left, &removed)
        } else {
            nodes[Int(place)].right = remove(start, number, below: node.right, &removed)
        }
        updateReach(place)
        return place
    }

    /// Joins two subtrees of which the left one comes wholly before the right one.
    private mutating func join(_ left: Place, _ right: Place) -> Place {
        guard left != Self.none else { return right }
        guard right != Self.none else { return left }
        if nodes[Int(left)].priority > nodes[Int(right)].priority {
            nodes[Int(left)].right = join(nodes[Int(left)].right, right)
            updateReach(left)
            return left
        }
        nodes[Int(right)].left = join(left, nodes[Int(right)].left)
        updateReach(right)
        return right
    }
}
