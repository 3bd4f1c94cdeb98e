import IOMMUModel

/// Which pages a domain has mapped, however often.
///
/// Mostly each of them once, and what is mapped again is the same range again: that is what costs little.
struct MappedPages {
    /// Ranges of pages that overlapped no other when they came; the target is the IOVA that leads to them.
    private var single = TranslationMap()
    /// The others.
    private var further = RangeTree()

    /// Pages are mapped.
    mutating func insert(_ pages: AddressRange, iova: UInt64) {
        var isKnown = false
        single.forEachRun(overlapping: pages, limit: 1) { _ in isKnown = true }
        if isKnown {
            _ = further.insert(pages, number: Int64(bitPattern: iova))
        } else {
            single.replace(with: TranslationMap.Run(range: pages, target: iova, pageSize: 4096))
        }
    }

    /// They are not mapped there any more. Both numbers are those that they came with.
    mutating func remove(start: UInt64, iova: UInt64) {
        if let run = single.run(of: start), run.range.start == start, run.target == iova {
            single.remove(run.range)
        } else if !further.isEmpty {
            further.remove(start: start, number: Int64(bitPattern: iova))
        }
    }

    /// Calls `body` with each part of some pages that is not mapped, in order.
    func forEachUnmapped(of pages: AddressRange, _ body: (AddressRange) -> Void) {
        // The first page not decided yet. Ranges come in order of start: what lies before the next one is left for good.
        var next: UInt64? = pages.start
        single.forEachRun(overlapping: pages) { run in
            guard let start = next else { return }
            if run.range.start > start, let gap = AddressRange(start: start, last: run.range.start - 1) {
                forEachFurtherUnmapped(of: gap, body)
            }
            next = run.range.last < pages.last ? run.range.last + 1 : nil
        }
        if let start = next, let gap = AddressRange(start: start, last: pages.last) {
            forEachFurtherUnmapped(of: gap, body)
        }
    }

    @inline(__always)
    private func forEachFurtherUnmapped(of pages: AddressRange, _ body: (AddressRange) -> Void) {
        if further.isEmpty { body(pages) } else { further.forEachGap(in: pages, body) }
    }
}

extension RangeTree {
    /// Calls `body` with each part of a range that lies in none of the tree, in order.
    func forEachGap(in range: AddressRange, _ body: (AddressRange) -> Void) {
        var next: UInt64? = range.start
        forEach(overlapping: range) { known, _ in
            guard let start = next, known.last >= start else { return }
            if known.start > start, let gap = AddressRange(start: start, last: known.start - 1) { body(gap) }
            next = known.last < range.last ? known.last + 1 : nil
        }
        if let start = next, let gap = AddressRange(start: start, last: range.last) { body(gap) }
    }
}
