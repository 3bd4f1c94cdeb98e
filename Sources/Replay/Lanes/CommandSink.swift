import FlushSchedules
import IOMMUModel

/// What reaches the hardware under one policy: each unmap and each flush becomes commands, and those empty a cache
/// (design §4 19, 22).
struct CommandSink {
    /// By domain - 1.
    private var invalidators: ContiguousArray<Invalidator>
    /// By number of the ``Cell``, what was sent in its calls.
    private(set) var sent: ContiguousArray<InvalidationCounts> = []
    /// By domain - 1, the cell in whose calls its invalidator sends; -1 for none yet.
    private var payers: ContiguousArray<Int32>
    /// The IOTLB that the commands empty; `nil` if that is not asked.
    var cache: LaneCache?
    /// The contract's range_adds only record: they take effect at the sync.
    private let sendsAtUnmap: Bool

    init(_ hardware: Hardware, pageSizes: PageSizes, domains: Int, cache: LaneCache?) {
        invalidators = ContiguousArray(
            repeating: Invalidator(hardware, pageSizes: pageSizes, keepsCommands: cache != nil), count: domains)
        payers = ContiguousArray(repeating: -1, count: domains)
        self.cache = cache
        sendsAtUnmap = hardware.profile != .contract
    }

    /// An unmap call of a domain with a device.
    mutating func unmapped(
        _ range: AddressRange, leaves: ArraySlice<PageTable.Run>, _ collecting: Collecting, domain: Int32,
        at occasion: Occasion
    ) {
        // Where each callback flushes, the flush tells of it.
        guard collecting != .eachPage else { return }
        charge(occasion.cell, domain: domain)
        invalidators[Int(domain) - 1].unmap(range, leaves: leaves, isQueued: collecting == .queued)
        if sendsAtUnmap { send(domain, at: occasion.time) }
    }

    /// An unmap call that found nothing.
    mutating func unmappedNothing(at call: UnmapCall, domain: Int32) {
        if call.isAttached { invalidators[Int(domain) - 1].unmapNothing(at: call.iova) }
    }

    /// A flush of a domain with a device.
    ///
    /// - Parameters:
    ///   - cell: in whose call it is.
    ///   - hardwareDomain: the only one that a flush of the log is for; -1 for all that the domain stands for.
    mutating func flush(
        _ request: FlushRequest, domain: Int32, for cell: Int32, at time: Int64, hardwareDomain: Int64 = -1
    ) {
        charge(cell, domain: domain)
        request.apply(to: &invalidators[Int(domain) - 1])
        send(domain, hardwareDomain: hardwareDomain, at: time)
    }

    /// Something of the log that the caches obey, though it is no flush of its own.
    mutating func invalidate(_ range: AddressRange?, domain: Int32, hardwareDomain: Int64, at time: Int64) {
        cache?.apply(range, domain, hardwareDomain: hardwareDomain, at: time)
    }

    /// What is not counted for a cell yet is.
    mutating func finish() {
        for index in payers.indices { changePayer(of: index, to: -1) }
        cache?.finish()
    }

    private mutating func charge(_ cell: Int32, domain: Int32) {
        if payers[Int(domain) - 1] != cell { changePayer(of: Int(domain) - 1, to: cell) }
    }

    private mutating func changePayer(of index: Int, to cell: Int32) {
        let payer = Int(payers[index])
        payers[index] = cell
        guard payer >= 0 else { return }
        if payer >= sent.count {
            sent.append(contentsOf: repeatElement(InvalidationCounts(), count: payer + 1 - sent.count))
        }
        sent[payer].add(invalidators[index].takeCounts())
    }

    private mutating func send(_ domain: Int32, hardwareDomain: Int64 = -1, at time: Int64) {
        guard cache != nil else { return }
        invalidators[Int(domain) - 1].takeCommands {
            cache?.apply($0.range, domain, hint: $0.hint, hardwareDomain: hardwareDomain, at: time)
        }
    }
}

/// What a driver is asked to flush.
enum FlushRequest {
    /// What a policy wants.
    case policy(PolicyFlush.Request)
    /// What the log says was flushed.
    case recorded(RecordedFlush)
    /// Maps of one call: hardware that caches absent translations has to forget them.
    case mapped(AddressRange)

    func apply(to invalidator: inout Invalidator) {
        switch self {
        case .policy(.nothing), .policy(.eachPage(nil)): break
        case .policy(.sync): invalidator.sync()
        case .policy(.all): invalidator.flushAll()
        case .policy(.eachPage(let range?)): invalidator.flushEachPage(range)
        case .recorded(let flush):
            if let range = flush.range {
                invalidator.sync(range)
            } else if flush.isEmpty {
                invalidator.sync()
            } else {
                invalidator.flushAll()
            }
        case .mapped(let range): invalidator.map(range)
        }
    }
}
