/// Pairs what was predicted with what was recorded, in order, whichever of the two comes first.
///
/// Interrupts and other CPUs get between cause and effect, so an item may wait for its partner while others find theirs,
/// but not for long: whoever still waits when as many as ``limit`` came after it on its side has none.
struct Matcher<Predicted, Recorded> {
    /// An item that found no partner.
    enum Unmatched {
        case missing(Recorded)
        case extra(Predicted)
    }

    private let limit: Int
    private let isMatch: (Predicted, Recorded) -> Bool
    private var predicted: ContiguousArray<(item: Predicted, number: Int)> = []
    private var recorded: ContiguousArray<(item: Recorded, number: Int)> = []
    private var predictions = 0
    private var records = 0

    init(limit: Int, isMatch: @escaping (Predicted, Recorded) -> Bool) {
        self.limit = limit
        self.isMatch = isMatch
    }

    /// Something predicted.
    ///
    /// - Returns: the oldest waiting record that it predicts.
    mutating func add(predicted item: Predicted) -> Recorded? {
        predictions += 1
        if let index = recorded.firstIndex(where: { isMatch(item, $0.item) }) { return recorded.remove(at: index).item }
        predicted.append((item, predictions))
        return nil
    }

    /// Something recorded.
    ///
    /// - Returns: the oldest waiting prediction of it.
    mutating func add(recorded item: Recorded) -> Predicted? {
        records += 1
        if let index = predicted.firstIndex(where: { isMatch($0.item, item) }) {
            return predicted.remove(at: index).item
        }
        recorded.append((item, records))
        return nil
    }

    /// The latest record, which found no partner, waits no longer.
    mutating func withdrawLastRecorded() { _ = recorded.popLast() }

    /// Those that have waited for too long, or all if nothing more is to come.
    mutating func takeUnmatched(all: Bool = false) -> [Unmatched] {
        guard
            all || predicted.first.map({ predictions - $0.number >= limit }) ?? false
                || recorded.first.map({ records - $0.number >= limit }) ?? false
        else { return [] }
        let late = predicted.prefix { all || predictions - $0.number >= limit }.count
        let lost = recorded.prefix { all || records - $0.number >= limit }.count
        defer {
            predicted.removeFirst(late)
            recorded.removeFirst(lost)
        }
        return recorded.prefix(lost).map { .missing($0.item) } + predicted.prefix(late).map { .extra($0.item) }
    }
}
