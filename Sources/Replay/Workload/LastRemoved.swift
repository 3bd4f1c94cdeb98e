import IOMMUModel
import SeededTable

/// When each page was unmapped last, so that it is known how long ago that is when it is mapped again.
///
/// Small removals stand page by page in a hash table, large ones as ranges. Both forget what is long ago when they are full:
/// an address that is never used again must not cost memory for ever.
struct LastRemoved {
    /// When something was removed.
    struct Moment: Hashable {
        /// Number of the call, from 1.
        var ordinal: Int64
        /// ns
        var time: Int64
    }

    /// Of pages one by one so many are remembered before half of them is forgotten, of ranges a quarter.
    static let limit = 1 << 19
    /// Up to so many pages stand one by one.
    private static let pagewise: Int64 = 16

    /// By page and address space. The ordinal is negative once the page was mapped again.
    private var pages = SeededTable<KeyPair, Moment>()
    /// By address space. The tag of a run is the time, and what its target exceeds its start by is the ordinal: that stays so
    /// when a run is cut.
    private var ranges: ContiguousArray<TranslationMap>
    private var oldest: Int64 = 0
    private var latest: Int64 = 0

    /// - Parameter spaces: how many address spaces there are, numbered from 0.
    init(spaces: Int) { ranges = ContiguousArray(repeating: TranslationMap(), count: spaces) }

    /// A range was removed, now. Whole pages of 4096 bytes count.
    mutating func add(_ range: AddressRange, space: Int32, _ moment: Moment) {
        latest = moment.ordinal
        let count = range.pages
        guard count > 0, count <= Self.pagewise else { return addRange(range, space: space, moment) }
        for page in 0..<UInt64(count) { addPage(range.start & ~4095 &+ page << 12, space: space, moment) }
    }

    private mutating func addRange(_ range: AddressRange, space: Int32, _ moment: Moment) {
        guard ranges.indices.contains(Int(space)) else { return }
        let whole = range.roundedOut(to: 4096)
        ranges[Int(space)].replace(
            with: TranslationMap.Run(
                range: whole, target: whole.start &+ UInt64(bitPattern: moment.ordinal), pageSize: 4096,
                tag: moment.time))
        guard ranges[Int(space)].runCount > Self.limit / 4 else { return }
        let recent = latest - (latest - oldest) / 2
        ranges[Int(space)].filter { Self.ordinal(of: $0) >= recent }
        // What is left may all be recent; then it is forgotten sooner than it need be.
        if ranges[Int(space)].runCount > Self.limit / 8 { ranges[Int(space)].removeAll() }
        oldest = max(oldest, recent)
    }

    private mutating func addPage(_ page: UInt64, space: Int32, _ moment: Moment) {
        pages.set(Self.key(page, space), moment)
        guard pages.count > Self.limit else { return }
        var since = oldest
        repeat {
            since += max((latest - since) / 2, 0) + 1
            pages.filter { abs($0.value.ordinal) >= since }
        } while pages.count > Self.limit / 2
        oldest = max(oldest, since)
    }

    private static func key(_ page: UInt64, _ space: Int32) -> KeyPair {
        KeyPair(page, UInt64(UInt32(bitPattern: space)))
    }

    /// How many slots are looked at to find a page.
    func probes(of page: UInt64, space: Int32) -> Int { pages.probes(of: Self.key(page, space)) }

    /// When a page was removed last, if it was not asked for since; it is mapped again now.
    mutating func take(_ page: UInt64, space: Int32) -> Moment? {
        let index = pages.find(Self.key(page, space))
        let entry = index.map { pages[at: $0] } ?? Moment(ordinal: 0, time: 0)
        if ranges.indices.contains(Int(space)), ranges[Int(space)].runCount > 0,
            let run = ranges[Int(space)].run(of: page), Self.ordinal(of: run) > abs(entry.ordinal)
        {
            // From now on the page stands by itself.
            let moment = Moment(ordinal: Self.ordinal(of: run), time: run.tag)
            addPage(page, space: space, Moment(ordinal: -moment.ordinal, time: moment.time))
            return moment
        }
        guard let index, entry.ordinal > 0 else { return nil }
        pages[at: index].ordinal = -entry.ordinal
        return entry
    }

    private static func ordinal(of run: TranslationMap.Run) -> Int64 {
        Int64(bitPattern: run.target &- run.range.start)
    }
}
