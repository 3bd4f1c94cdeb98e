/// Translations of one address space into another, such as IOVAs into physical addresses, in order of address.
///
/// They are kept as runs, contiguous on both sides, so that a translation of any length costs a handful of entries: a
/// log's claim to have mapped an exabyte must not allocate one. What is removed leaves its place behind, because what is
/// mapped again is mostly mapped as it was before: then nothing has to move. Places that nothing came back to are tidied away
/// when they are many.
public struct TranslationMap: Sendable {
    /// Addresses that lie beside each other and so do their targets.
    public struct Run: Hashable, Sendable {
        /// The addresses that the run translates.
        public var range: AddressRange
        /// Where the first of them points to.
        public var target: UInt64
        /// Bytes of each page, aligned to it on both sides; 0 where it is not known what the addresses point to.
        public var pageSize: UInt64
        /// Whatever the owner of the map wants to know the run by.
        public var tag: Int64

        /// Creates a run.
        public init(range: AddressRange, target: UInt64, pageSize: UInt64, tag: Int64 = 0) {
            self.range = range
            self.target = target
            self.pageSize = pageSize
            self.tag = tag
        }

        /// The part of the run that lies in `range`; `nil` if there is none.
        public func clipped(to range: AddressRange) -> Run? {
            self.range.intersection(range).map {
                Run(range: $0, target: target &+ ($0.start - self.range.start), pageSize: pageSize, tag: tag)
            }
        }
    }

    /// What was removed.
    public struct Removed: Hashable, Sendable {
        /// Bytes that were translated and are not any more.
        public var bytes: UInt64 = 0
        /// Runs touched.
        public var runs = 0
        /// Runs of which a part stays.
        public var splitRuns = 0

        /// Nothing.
        public init(bytes: UInt64 = 0, runs: Int = 0, splitRuns: Int = 0) {
            self.bytes = bytes
            self.runs = runs
            self.splitRuns = splitRuns
        }
    }

    /// Runs, and places of runs that were removed.
    private var runs = OrderedRuns()
    /// How many of them are only places.
    private var goneCount = 0

    /// Bytes translated now.
    public private(set) var bytes: UInt64 = 0
    /// Runs held now.
    public private(set) var runCount = 0

    /// Tag of the first run that the latest ``replace(with:)`` found in its place; as it was if it found none.
    public private(set) var replacedTag: Int64 = 0

    /// No translations.
    public init() {}

    /// Adds a run in place of whatever was translated there.
    ///
    /// - Returns: bytes that had been translated there before.
    @discardableResult
    public mutating func replace(with run: Run) -> UInt64 {
        makeUnique()
        if let place = runs.hintedPlace(of: run.range.start), runs[place].range == run.range {
            return put(run, at: place)
        }
        return search(andReplaceWith: run)
    }

    /// Puts a run where one of the same range is or was.
    @inline(__always)
    private mutating func put(_ run: Run, at place: OrderedRuns.Place) -> UInt64 {
        let old = runs[place]
        runs[place] = run
        if old.isGone {
            goneCount -= 1
            count(run)
            return 0
        }
        replacedTag = old.tag
        return run.range.size
    }

    private mutating func search(andReplaceWith run: Run) -> UInt64 {
        guard let position = runs.position(ofFirstEndingAtOrAfter: run.range.start) else {
            count(run)
            runs.insert(run, before: nil)
            return 0
        }
        let place = runs.place(of: position)
        let next = runs[place]
        if next.range == run.range {
            runs.hint(place)
            return put(run, at: place)
        }
        if next.range.start > run.range.last {
            count(run)
            runs.insert(run, before: position)
            return 0
        }
        var tag: Int64?
        forEachRun(overlapping: run.range, limit: 1) { tag = $0.tag }
        replacedTag = tag ?? replacedTag
        let removed = tag == nil ? 0 : remove(run.range).bytes
        insert(run)
        return removed
    }

    /// Removes all translations in `range`. Of a page that reaches beyond it the other part stays, in 4 KiB pages.
    @discardableResult
    public mutating func remove(_ range: AddressRange) -> Removed {
        var pieces: ContiguousArray<Run>?
        return remove(range, into: &pieces)
    }

    /// Removes all translations in `range`, and appends what was removed to `pieces`, in order of address.
    @discardableResult
    public mutating func remove(_ range: AddressRange, into pieces: inout ContiguousArray<Run>?) -> Removed {
        makeUnique()
        if let place = runs.hintedPlace(of: range.start), runs[place].range == range {
            return remove(at: place, into: &pieces)
        }
        return search(andRemove: range, into: &pieces)
    }

    /// Removes a run as a whole.
    @inline(__always)
    private mutating func remove(at place: OrderedRuns.Place, into pieces: inout ContiguousArray<Run>?) -> Removed {
        let run = runs[place]
        guard !run.isGone else { return Removed() }
        pieces?.append(run)
        forget(run, at: place)
        tidy()
        return Removed(bytes: run.range.size, runs: 1, splitRuns: 0)
    }

    private mutating func search(andRemove range: AddressRange, into pieces: inout ContiguousArray<Run>?) -> Removed {
        var result = Removed()
        var kept: [Run] = []
        var next = runs.position(ofFirstEndingAtOrAfter: range.start)
        while let position = next {
            let place = runs.place(of: position)
            let run = runs[place]
            guard run.range.start <= range.last else { break }
            next = runs.position(after: position)
            guard !run.isGone else { continue }
            if !range.contains(run.range) {
                result.splitRuns += 1
                Self.appendRemainder(of: run, outside: range, to: &kept)
            }
            result.runs += 1
            result.bytes &+= min(run.range.last, range.last) - max(run.range.start, range.start) + 1
            if pieces != nil, let piece = run.clipped(to: range) { pieces?.append(piece) }
            forget(run, at: place)
            runs.hint(place)
        }
        for run in kept { insert(run) }
        tidy()
        return result
    }

    /// Forgets everything.
    public mutating func removeAll() {
        guard !runs.isEmpty else { return }
        makeUnique()
        runs.removeAll()
        (bytes, runCount, goneCount) = (0, 0, 0)
    }

    /// Forgets the runs that `isKept` does not hold for.
    public mutating func filter(_ isKept: (Run) -> Bool) {
        var dropped: ContiguousArray<OrderedRuns.Place> = []
        runs.forEachPlace { place in
            if !runs[place].isGone, !isKept(runs[place]) { dropped.append(place) }
        }
        makeUnique()
        for place in dropped { forget(runs[place], at: place) }
        tidy()
    }

    /// What `address` points to; `nil` where nothing is translated.
    public func target(of address: UInt64) -> UInt64? {
        run(of: address).map { $0.target &+ (address - $0.range.start) }
    }

    /// The run that translates `address`; `nil` where nothing is translated.
    public func run(of address: UInt64) -> Run? {
        if let place = runs.hintedPlace(of: address) { return runs[place].isGone ? nil : runs[place] }
        guard let position = runs.position(ofFirstEndingAtOrAfter: address) else { return nil }
        let run = runs[runs.place(of: position)]
        return run.range.start <= address && !run.isGone ? run : nil
    }

    /// Calls `body` with each run that shares a byte with `range`, in order of address, at most `limit` of them.
    public func forEachRun(overlapping range: AddressRange, limit: Int = .max, _ body: (Run) -> Void) {
        if let place = runs.hintedPlace(of: range.start), runs[place].range.last >= range.last {
            if !runs[place].isGone, limit > 0 { body(runs[place]) }
            return
        }
        var left = limit
        var next = runs.position(ofFirstEndingAtOrAfter: range.start)
        while let position = next {
            let run = runs[runs.place(of: position)]
            guard run.range.start <= range.last, left > 0 else { return }
            next = runs.position(after: position)
            guard !run.isGone else { continue }
            body(run)
            left -= 1
        }
    }

    // MARK: - Places

    /// Before a change: what another map refers to as well stays as it is.
    @inline(__always)
    private mutating func makeUnique() {
        if !isKnownUniquelyReferenced(&runs) { runs = runs.copy() }
    }

    @inline(__always)
    private mutating func count(_ run: Run) {
        runCount += 1
        bytes &+= run.range.size
    }

    /// Leaves of a run only its place.
    @inline(__always)
    private mutating func forget(_ run: Run, at place: OrderedRuns.Place) {
        runs[place] = run.gone
        runCount -= 1
        goneCount += 1
        bytes &-= run.range.size
    }

    /// Adds a run that overlaps no other, but maybe places of such that are gone.
    private mutating func insert(_ run: Run) {
        count(run)
        guard let position = runs.position(ofFirstEndingAtOrAfter: run.range.start),
            runs[runs.place(of: position)].range.start <= run.range.last
        else {
            runs.insert(run, before: runs.position(ofFirstEndingAtOrAfter: run.range.start))
            return
        }
        runs.replace(at: position, with: run)
        goneCount -= 1
        while let next = runs.position(after: position), runs[runs.place(of: next)].range.start <= run.range.last {
            runs.remove(at: next)
            goneCount -= 1
        }
    }

    /// Puts away the places of what is gone, if they are many.
    @inline(__always)
    private mutating func tidy() {
        if goneCount > 2 * runCount + 256 { tidyAll() }
    }

    private mutating func tidyAll() {
        let old = runs
        runs = OrderedRuns()
        goneCount = 0
        old.forEachPlace { if !old[$0].isGone { runs.insert(old[$0], before: nil) } }
    }

    /// Appends the parts of `run` before and after `range`. Of its pages only those that are cut fall apart.
    private static func appendRemainder(of run: Run, outside range: AddressRange, to kept: inout [Run]) {
        let isLarge = run.pageSize > smallestPage
        let mask = isLarge ? run.pageSize - 1 : 0
        let cutSize = isLarge ? smallestPage : run.pageSize
        func keep(_ start: UInt64, _ last: UInt64, pageSize: UInt64) {
            guard let part = AddressRange(start: start, last: last) else { return }
            kept.append(
                Run(range: part, target: run.target &+ (start - run.range.start), pageSize: pageSize, tag: run.tag))
        }
        if run.range.start < range.start {
            let cutPage = range.start & ~mask
            if cutPage > run.range.start { keep(run.range.start, cutPage - 1, pageSize: run.pageSize) }
            keep(cutPage, range.start - 1, pageSize: cutSize)
        }
        if run.range.last > range.last {
            let cutPage = range.last | mask
            keep(range.last + 1, cutPage, pageSize: cutSize)
            if cutPage < run.range.last { keep(cutPage + 1, run.range.last, pageSize: run.pageSize) }
        }
    }

    private static let smallestPage: UInt64 = 4096
}

extension TranslationMap.Run {
    /// No page has so many bytes: it marks what is the place of a run only.
    private static let noPage = UInt64.max

    @inline(__always)
    fileprivate var isGone: Bool { pageSize == Self.noPage }

    fileprivate var gone: Self { Self(range: range, target: target, pageSize: Self.noPage, tag: tag) }
}
