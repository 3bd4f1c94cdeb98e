import FlushSchedules
import IOMMUModel

/// Something that happened to the one IOMMU of a log, whatever the policy: what ``World`` makes of operations.
struct WorldEvent {
    /// Time of the operation that brought it about, in ns.
    var now: Int64
    /// Number of the domain, from 1; 0 for none.
    var domain: Int32
    var what: What

    /// What is large stands in ``WorldEvents``, and here its place there.
    enum What {
        case unmap(Int32)
        case map(Int32)
        /// A flush of the log.
        case flush(Int32)
        /// The domain is freed.
        case free(Occasion)
        /// A device came or went.
        case attachment(Attachment)
        /// The domain's last device left it; the line of the log.
        case detached(line: Int64)
        /// The run of unmaps in the domain is over (design §4 7).
        case endOfRun
        /// Something else happened: timers due by now have fired.
        case moment
        /// Events were lost; what was due by this time in ns was before.
        case loss(due: Int64)
        case fault(Fault)
        case access(Int32)
        /// All maps of one call are done: hardware that caches absent translations is told.
        case mapsDone(AddressRange, cell: Int32)
        /// A device reads each page of a range; the leaves that the page table has there.
        case touch(AddressRange, leaves: Range<Int32>)
    }

    /// An unmap call.
    struct Unmap {
        var call: UnmapCall
        /// What it removed; `nil` for nothing.
        var range: AddressRange?
        /// Its number among the domain's windows; -1 where it leaves none, because no device could reach it or nothing was there.
        var order: Int64 = -1
        /// How many losses the log had announced before.
        var losses: Int32
        /// Id of the map call of the first page of it that was certainly mapped; 0 if the log does not show it.
        var map: Int64 = 0
        /// The leaves that it removed, in ``WorldEvents/leaves``.
        var leaves: Range<Int32> = 0..<0
    }

    /// A map call, a failed one too.
    struct Map {
        /// Id of the operation.
        var operation: Int64
        /// Stale addresses that it maps again, in ``WorldEvents/reuses``.
        var addresses: Range<Int32> = 0..<0
        /// Stale pages of other domains that it maps, likewise.
        var pagesOfOthers: Range<Int32> = 0..<0
        /// Stale pages of its own domain, likewise.
        var ownPages: Range<Int32> = 0..<0
        /// Whether it uses anything again that is stale.
        var usesStale: Bool { !addresses.isEmpty || !pagesOfOthers.isEmpty || !ownPages.isEmpty }
        /// Where it replaced what was mapped; `nil` where nothing was.
        var replaced: AddressRange?
        /// The leaves that are there now, if that matters to a cache.
        var leaves: Range<Int32> = 0..<0
    }

    /// A flush of the log (design §4 4, 10).
    struct LogFlush {
        var flush: RecordedFlush
        /// When its last layer was through, in ns.
        var completed: Int64
        /// Of windows that opened at this line or time, in ns, or later it is not certain that it covers them.
        var certainBefore: (line: Int64, time: Int64)
        /// Only the domain's windows before this number had opened.
        var order: Int64
        /// A further invalidation of the run that stands in for the flush.
        var isFurther: Bool
    }

    /// Whether a device can reach a domain's translations.
    struct Attachment {
        var isAttached: Bool
        /// Number of the ``Cell`` that a timer's flush counts for.
        var timerCell: Int32
    }

    /// A recorded fault.
    struct Fault {
        /// Id of the operation.
        var operation: Int64
        var page: AddressRange
        /// Stale addresses that it may have hit, in ``WorldEvents/reuses``.
        var addresses: Range<Int32>
    }

    /// A recorded access of a device.
    struct Access {
        /// By the hardware's id; -1 if unknown.
        var hardwareDomain: Int64
        /// The page, by its IOVA.
        var iova: UInt64
        /// What the page table says of it.
        var leaf: PageTable.Leaf?
        /// What the log says that it was translated to.
        var recorded: UInt64?
    }
}

/// A stale translation that is used again: whether a window is still open there, each policy knows for itself.
struct StaleUse {
    /// What the address led to before and now.
    enum Page {
        case same
        case another
        case unknown
    }

    /// The domain of the unmap call.
    var domain: Int32
    /// Number of the call among its domain's windows.
    var order: Int64
    var addresses: AddressRange
    /// First page of memory; 0 where it is not about pages.
    var paddr: UInt64 = 0
    var page = Page.unknown

    /// The pages of memory that the addresses led to.
    var pages: AddressRange? { AddressRange(start: paddr, size: addresses.size) }
}

/// What a batch of operations came to, in order. Policies read it, and change nothing in it.
struct WorldEvents {
    private(set) var events: ContiguousArray<WorldEvent> = []
    private(set) var unmaps: ContiguousArray<WorldEvent.Unmap> = []
    private var maps: ContiguousArray<WorldEvent.Map> = []
    private var flushes: ContiguousArray<WorldEvent.LogFlush> = []
    private var accesses: ContiguousArray<WorldEvent.Access> = []
    /// Leaves of page tables.
    private(set) var leaves: ContiguousArray<PageTable.Run> = []
    /// Stale translations that are used again.
    private(set) var reuses: ContiguousArray<StaleUse> = []

    private static func place<Element>(in array: ContiguousArray<Element>) -> Int32 {
        Int32(truncatingIfNeeded: array.count)
    }

    mutating func add(_ what: WorldEvent.What, domain: Int32 = 0, at now: Int64) {
        events.append(WorldEvent(now: now, domain: domain, what: what))
    }

    mutating func add(_ unmap: WorldEvent.Unmap, domain: Int32, at now: Int64) {
        add(.unmap(Self.place(in: unmaps)), domain: domain, at: now)
        unmaps.append(unmap)
    }

    mutating func add(_ map: WorldEvent.Map, domain: Int32, at now: Int64) {
        add(.map(Self.place(in: maps)), domain: domain, at: now)
        maps.append(map)
    }

    mutating func add(_ flush: WorldEvent.LogFlush, domain: Int32, at now: Int64) {
        add(.flush(Self.place(in: flushes)), domain: domain, at: now)
        flushes.append(flush)
    }

    mutating func add(_ access: WorldEvent.Access, domain: Int32, at now: Int64) {
        add(.access(Self.place(in: accesses)), domain: domain, at: now)
        accesses.append(access)
    }

    /// - Returns: the place of the leaves.
    mutating func add(_ runs: ContiguousArray<PageTable.Run>) -> Range<Int32> {
        let first = Self.place(in: leaves)
        leaves.append(contentsOf: runs)
        return first..<Self.place(in: leaves)
    }

    mutating func add(_ use: StaleUse) { reuses.append(use) }

    /// What was added since ``reuseCount`` was this.
    func reuses(since first: Int32) -> Range<Int32> { first..<reuseCount }

    var reuseCount: Int32 { Self.place(in: reuses) }

    mutating func removeAll() {
        events.removeAll(keepingCapacity: true)
        unmaps.removeAll(keepingCapacity: true)
        maps.removeAll(keepingCapacity: true)
        flushes.removeAll(keepingCapacity: true)
        accesses.removeAll(keepingCapacity: true)
        leaves.removeAll(keepingCapacity: true)
        reuses.removeAll(keepingCapacity: true)
    }

    /// The same as it lies in memory, so that reading it copies nothing and counts no references. Valid inside ``withView(_:)``.
    struct View {
        let events: UnsafeBufferPointer<WorldEvent>
        let unmaps: UnsafeBufferPointer<WorldEvent.Unmap>
        let maps: UnsafeBufferPointer<WorldEvent.Map>
        let flushes: UnsafeBufferPointer<WorldEvent.LogFlush>
        let accesses: UnsafeBufferPointer<WorldEvent.Access>
        let reuses: UnsafeBufferPointer<StaleUse>
        private let allLeaves: ContiguousArray<PageTable.Run>

        fileprivate init(
            _ events: UnsafeBufferPointer<WorldEvent>, _ unmaps: UnsafeBufferPointer<WorldEvent.Unmap>,
            _ maps: UnsafeBufferPointer<WorldEvent.Map>, _ flushes: UnsafeBufferPointer<WorldEvent.LogFlush>,
            _ accesses: UnsafeBufferPointer<WorldEvent.Access>, _ reuses: UnsafeBufferPointer<StaleUse>,
            _ leaves: ContiguousArray<PageTable.Run>
        ) {
            (self.events, self.unmaps, self.maps) = (events, unmaps, maps)
            (self.flushes, self.accesses, self.reuses, allLeaves) = (flushes, accesses, reuses, leaves)
        }

        func leaves(_ place: Range<Int32>) -> ArraySlice<PageTable.Run> {
            allLeaves[Int(place.lowerBound)..<Int(place.upperBound)]
        }
    }

    func withView(_ body: (View) -> Void) {
        events.withUnsafeBufferPointer { events in
            unmaps.withUnsafeBufferPointer { unmaps in
                maps.withUnsafeBufferPointer { maps in
                    flushes.withUnsafeBufferPointer { flushes in
                        accesses.withUnsafeBufferPointer { accesses in
                            reuses.withUnsafeBufferPointer { reuses in
                                body(View(events, unmaps, maps, flushes, accesses, reuses, leaves))
                            }
                        }
                    }
                }
            }
        }
    }
}
