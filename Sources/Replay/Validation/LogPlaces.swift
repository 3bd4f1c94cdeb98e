import Operations
import TraceStore

/// What surrounds a command in the log, as far as it explains why it is there.
struct LogPlaces {
    /// A command and why it is there.
    struct Explained {
        var command: CommandMatcher.RecordedCommand
        var reason: String
    }

    private static let besideContext = "attach or detach"
    private static let removal = "device removal"
    private static let lossReach: Int64 = 100

    /// Lines, in order.
    private let losses: [Int64]
    /// By CPU, the line.
    private var lastOperation: [Int32: Int64] = [:]
    private var lastCommand: [Int32: Int64] = [:]
    private var lastMatched: [Int32: StoredLayer] = [:]
    /// CPUs with a device-table command since an unmap or map there.
    private var deviceEntries: Set<Int32> = []
    /// CPUs whose last operation was a map.
    private var mapping: Set<Int32> = []
    private var held: [Int32: [CommandMatcher.RecordedCommand]] = [:]
    private static let heldLimit = 4096

    init(losses: [Int64]) { self.losses = losses }

    /// An operation: decides why the commands beside context-cache invalidations before it on its CPU are there.
    mutating func take(_ operation: StoredOperation) -> [Explained] {
        let waiting = held.removeValue(forKey: operation.cpu) ?? []
        if operation.kind.isUnmap || operation.kind == .map { deviceEntries.remove(operation.cpu) }
        lastOperation[operation.cpu] = operation.line
        if operation.kind == .map { mapping.insert(operation.cpu) } else { mapping.remove(operation.cpu) }
        let isRemoval = operation.kind == .removeDeviceFromGroup
        return waiting.map { Explained(command: $0, reason: isRemoval ? Self.removal : Self.besideContext) }
    }

    /// A layer.
    ///
    /// - Returns: the command that it is, with its place; `nil` for what empties no IOTLB.
    mutating func take(_ layer: StoredLayer) -> CommandMatcher.RecordedCommand? {
        if layer.kind == .amdInvalidateDeviceEntry { deviceEntries.insert(layer.cpu) }
        guard layer.kind.invalidatesIOTLB else { return nil }
        lastCommand[layer.cpu] = layer.line
        return CommandMatcher.RecordedCommand(
            layer: layer, domain: 0, isAtTheBegin: lastOperation[layer.cpu] == nil,
            isBesideDeviceEntry: deviceEntries.contains(layer.cpu), isAfterMap: mapping.contains(layer.cpu))
    }

    /// A command beside a context-cache invalidation: what the attach, detach or removal was, the CPU's next operation tells.
    ///
    /// - Returns: the command, if it needs not wait.
    mutating func hold(_ command: CommandMatcher.RecordedCommand) -> Explained? {
        guard held[command.layer.cpu]?.count ?? 0 < Self.heldLimit else {
            return Explained(command: command, reason: Self.besideContext)
        }
        held[command.layer.cpu, default: []].append(command)
        return nil
    }

    mutating func takeHeld() -> [Explained] {
        defer { held = [:] }
        return held.values.joined().map { Explained(command: $0, reason: Self.besideContext) }
    }

    mutating func matched(_ layer: StoredLayer) { lastMatched[layer.cpu] = layer }

    /// The same command that was just matched, to another IOMMU.
    func isFurtherUnit(_ layer: StoredLayer) -> Bool {
        guard let last = lastMatched[layer.cpu], last.unit != layer.unit, layer.unit != 0 else { return false }
        return last.pid == layer.pid && last.granularity == layer.granularity && last.address == layer.address
            && last.mask == layer.mask && (lastOperation[layer.cpu] ?? 0) < last.line
    }

    func isNearLoss(_ line: Int64) -> Bool {
        // The first loss that is not too far before it, by bisection: a log can announce as many as it has lines.
        let earliest = line.subtractingSaturated(Self.lossReach)
        var (low, high) = (0, losses.count)
        while low < high {
            let middle = (low + high) / 2
            if losses[middle] < earliest { low = middle + 1 } else { high = middle }
        }
        return low < losses.count && losses[low] <= line.addingSaturated(Self.lossReach)
    }

    /// Whether the log has no command any more on the CPU of the operation at this line, which is that CPU's last.
    func isAtTheEnd(_ line: Int64) -> Bool {
        line == .max
            || lastOperation.contains { $0.value == line && lastCommand[$0.key] ?? 0 < line }
    }
}
