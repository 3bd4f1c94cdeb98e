import TraceFormats

/// The order in which operations and layers are handed on: an operation waits for its place, and what refers to it waits for
/// its id.
struct OperationOrder {
    /// What has found its place, to be taken.
    struct Settled {
        var operations: ContiguousArray<Operation> = []
        var layers: ContiguousArray<Layer> = []
        var markers: [Marker] = []
    }

    /// Calls in flight for longer than this many operations are taken to have lost their return.
    private static let inFlightLimit = 8192

    private var pending = PendingOperations(firstID: 1)
    private var nextLayerID: Int64 = 1
    /// Layers and markers whose operations are pending; their references are slots.
    private var waitingLayers: ContiguousArray<Layer> = []
    private var waitingMarkers: [(slot: Int, text: String)] = []
    /// How many have been handed on, by the raw values of their kinds.
    private(set) var operationCounts = InlineArray<32, Int64>(repeating: 0)
    private(set) var layerCounts = InlineArray<32, Int64>(repeating: 0)

    /// The slot that the next operation will have.
    var end: Int { pending.end }

    // MARK: - Coming

    /// - Parameter isOpen: the call is in flight; it may turn out to have taken effect later.
    mutating func append(_ operation: Operation, isOpen: Bool = false) {
        pending.append(operation, isOpen: isOpen)
        if pending.count > Self.inFlightLimit { pending.closeFirst() }
    }

    mutating func append(_ layer: Layer) { waitingLayers.append(layer) }

    /// A text of the marker that is appended next.
    mutating func append(markerText text: String) { waitingMarkers.append((pending.end, text)) }

    /// Settles an open operation where it is.
    mutating func close(_ slot: Int, _ change: (inout Operation) -> Void) { pending.close(slot, change) }

    /// This moment, not the call's entry, is the operation's time and place in the order.
    mutating func move(
        _ call: Call, to event: UnsafePointer<TraceEvent>, result: UInt64, adding flags: Operation.Flags
    ) {
        guard var operation = pending.withdraw(call.slot) else { return }
        operation.time = event.pointee.time
        operation.sinceEntry = event.pointee.time - call.entered
        operation.cpu = event.pointee.cpu
        operation.line = event.pointee.line
        operation.result = result
        operation.flags.formUnion(flags)
        pending.append(operation, isOpen: false)
    }

    // MARK: - Going

    /// Hands on what no call in flight can precede any more.
    mutating func settle(into settled: inout Settled) {
        pending.drain { operation in
            operationCounts[Int(operation.kind.rawValue)] += 1
            settled.operations.append(operation)
        }
        var count = 0
        while count < waitingLayers.count {
            if let slot = waitingLayers[count].flushSlot {
                guard let id = pending.id(ofSlot: slot) else { break }
                waitingLayers[count].flush = id
            }
            waitingLayers[count].id = nextLayerID
            nextLayerID += 1
            layerCounts[Int(waitingLayers[count].kind.rawValue)] += 1
            settled.layers.append(waitingLayers[count])
            count += 1
        }
        waitingLayers.removeSubrange(..<count)
        var named = 0
        while named < waitingMarkers.count, let id = pending.id(ofSlot: waitingMarkers[named].slot) {
            settled.markers.append(Marker(operation: id, text: waitingMarkers[named].text))
            named += 1
        }
        waitingMarkers.removeSubrange(..<named)
    }

    /// The id of an operation that was handed on, by its slot; `nil` while it waits.
    func id(ofSlot slot: Int) -> Int64? { pending.id(ofSlot: slot) }

    /// Forgets the ids of what was handed on, if nothing waits for them; whoever else has slots has asked by now.
    mutating func forgetIDs() {
        if waitingLayers.isEmpty, waitingMarkers.isEmpty { pending.forgetIDs() }
    }
}
