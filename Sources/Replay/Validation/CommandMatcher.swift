import IOMMUModel
import Operations
import TraceStore

/// Pairs predicted commands with recorded ones: granularity, domain id, address, mask and hint must all be equal.
final class CommandMatcher {
    /// A command that the model predicts.
    struct Command {
        var command: InvalidationCommand
        /// Number of the domain, from 1.
        var domain: Int32
        /// Line of the operation that it follows from.
        var line: Int64
        /// Whether it is known if tables were freed: else any hint will do.
        var isHintKnown: Bool
    }

    /// A command of the log, and where it stands.
    struct RecordedCommand {
        var layer: StoredLayer
        /// The domain that it is counted for until a match says better; 0 for none.
        var domain: Int32
        /// Nothing of the API was seen on its CPU before.
        var isAtTheBegin: Bool
        /// A command about a device's table entry came before it on its CPU, and no map or unmap since.
        var isBesideDeviceEntry: Bool
        /// The last operation on its CPU was a map.
        var isAfterMap: Bool
    }

    private var matcher: Matcher<Command, RecordedCommand>
    private let ids: DomainIDs

    /// - Parameter isResolved: by domain - 1, whether the log tells which operations are its own.
    init(isResolved: [Bool]) {
        let ids = DomainIDs(isResolved: isResolved)
        self.ids = ids
        matcher = Matcher(limit: 512) { $0.isEqual(to: $1.layer) && ids.allows($0.domain, $1.layer) }
    }

    func add(predicted command: Command) -> RecordedCommand? { matcher.add(predicted: command) }
    func add(recorded command: RecordedCommand) -> Command? { matcher.add(recorded: command) }
    func takeUnmatched(all: Bool) -> [Matcher<Command, RecordedCommand>.Unmatched] { matcher.takeUnmatched(all: all) }

    /// The latest recorded command waits no longer.
    func withdrawLastRecorded() { matcher.withdrawLastRecorded() }

    func learn(_ domain: Int32, _ layer: StoredLayer) { ids.learn(domain, layer) }
    func forget(_ domain: Int32) { ids.forget(domain) }
    func domain(of layer: StoredLayer) -> Int32? { ids.domain(of: layer) }
}

/// The ids by which hardware knows the domains of a log, learned from its own commands.
final class DomainIDs {
    private let isResolved: [Bool]
    private var ids: [Int64?]
    private var domains: [Int64: Int32] = [:]

    init(isResolved: [Bool]) {
        self.isResolved = isResolved
        ids = Array(repeating: nil, count: isResolved.count)
    }

    /// Whether a command of a domain can be this one. Until an id is known, the log's own order has to tell.
    func allows(_ domain: Int32, _ layer: StoredLayer) -> Bool {
        let index = Int(domain) - 1
        guard isResolved.indices.contains(index), isResolved[index] else { return true }
        guard let id = ids[index] else { return layer.domain == 0 || layer.domain == domain }
        return id == layer.hardwareDomain
    }

    func learn(_ domain: Int32, _ layer: StoredLayer) {
        let index = Int(domain) - 1
        guard isResolved.indices.contains(index), isResolved[index], let id = layer.hardwareDomain else { return }
        ids[index] = id
        domains[id] = domain
    }

    func forget(_ domain: Int32) {
        let index = Int(domain) - 1
        guard ids.indices.contains(index), let id = ids[index] else { return }
        ids[index] = nil
        domains[id] = nil
    }

    func domain(of layer: StoredLayer) -> Int32? { layer.hardwareDomain.flatMap { domains[$0] } }
}

extension CommandMatcher.Command {
    /// Whether the hardware was told just that.
    func isEqual(to layer: StoredLayer) -> Bool {
        guard command.range != nil else { return layer.granularity == .domain }
        guard layer.granularity == .page, layer.address == command.address, layer.mask == command.mask else {
            return false
        }
        return !isHintKnown || layer.hint == (command.hint == .leavesOnly)
    }

    func text(_ hardware: Hardware?) -> String {
        guard command.range != nil else { return "domain-selective" }
        let hint = command.hint == .leavesOnly ? ", hint" : ""
        return "page-selective, address 0x\(String(command.address, radix: 16)), mask \(command.mask)\(hint)"
    }
}

extension StoredLayer {
    /// The bytes that a page-selective command covers.
    var block: AddressRange? {
        guard granularity == .page, (0...51).contains(mask) else { return nil }
        let size: UInt64 = 4096 << UInt64(mask)
        return AddressRange(start: address & ~(size - 1), size: size)
    }

    var text: String {
        let id = hardwareDomain.map { ", domain id \($0)" } ?? ""
        guard granularity == .page else { return "\(granularity?.text ?? "unknown")-selective\(id)" }
        return
            "page-selective, address 0x\(String(address, radix: 16)), mask \(mask)\(hint ? ", hint" : "")\(id)"
    }
}
