import IOMMUModel
import TraceStore

/// Counts what a validation finds, by domain and quantity.
struct ValidationTally {
    typealias Quantity = ValidationRow.Quantity

    private let differencesKept: Int
    /// By domain, 0 for none, and quantity.
    private var found: [[ValidationRow]]

    init(_ trace: TraceSummary, bases: [Basis], differencesKept: Int) {
        self.differencesKept = differencesKept
        func basis(_ basis: Basis, _ quantity: Quantity) -> String {
            if case .queue = basis, quantity == .descriptors { return Basis.recordedFlushes.text }
            return basis.text
        }
        let none = Quantity.allCases.map { ValidationRow(domain: 0, $0, basis: "") }
        found =
            [none]
            + bases.enumerated().map { index, itsBasis in
                Quantity.allCases.map { ValidationRow(domain: Int32(index + 1), $0, basis: basis(itsBasis, $0)) }
            }
    }

    /// All rows in which there is anything.
    var rows: [ValidationRow] {
        found.joined().filter { $0.recorded > 0 || $0.predicted > 0 || $0.undetermined > 0 }
    }

    private mutating func change(_ quantity: Quantity, _ domain: Int32, _ body: (inout ValidationRow) -> Void) {
        let index = found.indices.contains(Int(domain)) ? Int(domain) : 0
        body(&found[index][quantity == .flushes ? 0 : 1])
    }

    mutating func count(recorded: Int64 = 0, predicted: Int64 = 0, _ quantity: Quantity, domain: Int32) {
        change(quantity, domain) {
            $0.recorded += recorded
            $0.predicted += predicted
        }
    }

    mutating func move(recordedFrom domain: Int32, to other: Int32, _ quantity: Quantity) {
        guard domain != other else { return }
        count(recorded: -1, quantity, domain: domain)
        count(recorded: 1, quantity, domain: other)
    }

    mutating func match(_ quantity: Quantity, domain: Int32) { change(quantity, domain) { $0.matched += 1 } }

    mutating func explain(_ reason: String, _ quantity: Quantity, domain: Int32) {
        change(quantity, domain) { $0.explained[reason, default: 0] += 1 }
    }

    mutating func miss(_ quantity: Quantity, domain: Int32, line: Int64, _ text: String) {
        change(quantity, domain) { $0.missing += 1 }
        add(ValidationDifference(line: line, isExtra: false, text: text), quantity, domain)
    }

    mutating func exceed(_ quantity: Quantity, domain: Int32, line: Int64, _ text: String) {
        change(quantity, domain) { $0.extra += 1 }
        add(ValidationDifference(line: line, isExtra: true, text: text), quantity, domain)
    }

    /// A prediction that the log cannot show.
    mutating func leaveOpen(_ quantity: Quantity, domain: Int32) {
        change(quantity, domain) {
            $0.predicted -= 1
            $0.undetermined += 1
        }
    }

    /// Differences come nearly in the order of the log: more are kept than are asked for.
    private mutating func add(_ difference: ValidationDifference, _ quantity: Quantity, _ domain: Int32) {
        let kept = differencesKept
        change(quantity, domain) { row in
            guard row.differences.count < kept * 2 + 64 else { return }
            row.differences.append(difference)
        }
    }

    /// Unmaps of a log that shows neither flushes nor attaches, of which no command is to be seen.
    mutating func noteSilent(_ callbacks: Int) {
        for index in found.indices where found[index][1].basis.hasPrefix("recorded commands") {
            found[index][1].note =
                "\(callbacks) unmapped ranges show no command: whether a device was attached, the log does not tell"
        }
    }

    /// Commands that were predicted where the log shows only some of each submission.
    mutating func leaveUnseen(_ commands: Int64, domain: Int32) {
        change(.descriptors, domain) { $0.undetermined += commands }
    }

    /// Flushes of a queue: as many predicted and recorded ones match, in order, as are not too far apart.
    mutating func compare(_ predicted: [Int64], _ recorded: [Int64], domain: Int32, tolerance: Int64) {
        let predicted = predicted.sorted()
        let recorded = recorded.sorted()
        change(.flushes, domain) { row in
            row.distances = TimePairs(predicted, recorded, tolerance: tolerance).distances
            let matched = row.distances.count
            row.recorded += Int64(recorded.count)
            row.predicted += Int64(predicted.count)
            row.matched += Int64(matched)
            row.missing += Int64(recorded.count - matched)
            row.extra += Int64(predicted.count - matched)
        }
    }

    /// Commands without a call before them, in a domain where every call has its commands. Probes miss a few in a hundred at
    /// most: more of them are differences.
    mutating func explainMissing(_ reason: String, _ quantity: Quantity) {
        for domain in found.indices {
            change(quantity, Int32(domain)) { row in
                guard row.missing > 0, row.extra == 0, row.missing <= row.recorded / 50 else { return }
                row.explained[reason, default: 0] += row.missing
                row.missing = 0
            }
        }
    }

    mutating func finish() {
        for domain in found.indices {
            for quantity in found[domain].indices {
                found[domain][quantity].differences.sort { $0.line < $1.line }
                found[domain][quantity].differences = Array(found[domain][quantity].differences.prefix(differencesKept))
            }
        }
    }
}
