import TestSupport

@testable import IOMMUModel

/// What a domain has mapped, page by page, as a driver's rules in a few words leave it: slow, and obvious.
///
/// It takes calls only of which the result is beyond dispute: a map where nothing is mapped, and an unmap of whole leaves
/// that follow each other, or of a part of one.
struct ContractTwin {
    struct Page: Hashable {
        var target: UInt64
        var leaf: AddressRange
    }

    let format: any PageTableFormat
    private(set) var pages: [UInt64: Page] = [:]

    init(_ format: any PageTableFormat) { self.format = format }

    var granule: UInt64 { format.pageSizes.granule }
    var bytes: UInt64 { UInt64(pages.count) * granule }

    /// The largest page that fits, again and again: `iommu_pgsize` in words.
    mutating func map(_ iova: UInt64, to paddr: UInt64, _ size: UInt64) {
        var done: UInt64 = 0
        while done < size {
            var leafSize = granule
            for bit in 12..<40 as Range<UInt64> where format.pageSizes.bitmap & 1 << bit != 0 {
                let candidate: UInt64 = 1 << bit
                if (iova + done) % candidate == 0, (paddr + done) % candidate == 0, size - done >= candidate {
                    leafSize = candidate
                }
            }
            let leaf = IOMMUModelTests.bytes(iova + done, leafSize)
            for offset in stride(from: 0, to: leafSize, by: Int(granule)) {
                pages[iova + done + offset] = Page(target: paddr + done + offset, leaf: leaf)
            }
            done += leafSize
        }
    }

    /// - Returns: bytes that the driver reports.
    mutating func unmap(_ iova: UInt64, _ size: UInt64) -> UInt64 {
        let asked = IOMMUModelTests.bytes(iova, size)
        let leaf = pages[iova]?.leaf ?? asked
        if asked.contains(leaf) || format.rules.partialUnmap == .split {
            remove { asked.contains($0) }
            return size
        }
        if format.rules.partialUnmap == .refuse { return 0 }
        // A leaf goes whole; VT-d clears as many bytes from where it was asked to, and whatever leaf that reaches.
        let reach = format.rules.unmapWalk == .range ? IOMMUModelTests.bytes(iova, leaf.size) : leaf
        remove { [pages] page in pages[page.start]?.leaf.overlaps(reach) == true }
        return leaf.size
    }

    private mutating func remove(where isDoomed: (AddressRange) -> Bool) {
        for page in pages.keys where isDoomed(IOMMUModelTests.bytes(page, granule)) { pages[page] = nil }
    }

    func isFree(_ range: AddressRange) -> Bool {
        stride(from: range.start, through: range.last, by: Int(granule)).allSatisfy { pages[$0] == nil }
    }
}

/// Random calls that a ``ContractTwin`` takes.
struct ContractScript {
    enum Call {
        case map(iova: UInt64, paddr: UInt64, size: UInt64)
        /// In the way of what is mapped, in smallest pages: `before` of them are free.
        case clash(iova: UInt64, paddr: UInt64, size: UInt64, before: UInt64)
        case unmap(iova: UInt64, size: UInt64)
    }

    private var random: SeededGenerator
    private let allowsInsides: Bool
    let granule: UInt64
    let large: UInt64
    let zone: AddressRange

    /// - Parameter allowsInsides: whether an unmap may begin inside a leaf: VT-d then clears what was not asked for.
    init(_ format: any PageTableFormat, seed: UInt64, allowsInsides: Bool) {
        random = SeededGenerator(seed: seed)
        self.allowsInsides = allowsInsides
        granule = format.pageSizes.granule
        large = format.geometry.entrySize(level: 1)
        // Two superpages on both sides of a border of the level above, and one that only large maps go to.
        zone = IOMMUModelTests.bytes(format.geometry.entrySize(level: 2) - large, 3 * large)
    }

    mutating func next(_ twin: ContractTwin) -> Call {
        while true {
            if random.next() % 3 != 0, let call = map(twin) { return call }
            if let call = unmap(twin) { return call }
        }
    }

    private mutating func map(_ twin: ContractTwin) -> Call? {
        let isLarge = random.next() % 3 == 0
        let perLarge = large / granule
        let first = isLarge ? random.next() % 3 * perLarge : random.next() % (2 * perLarge)
        let count = isLarge ? perLarge : min(1 + random.small(below: perLarge), 2 * perLarge - first)
        let iova = zone.start + first * granule
        let range = bytes(iova, count * granule)
        var paddr = random.next() % (1 << 30) & ~(granule - 1)
        if twin.isFree(range) {
            // Superpages where both sides line up.
            if isLarge || random.next() & 1 == 0 { paddr = paddr & ~(large - 1) | iova & (large - 1) }
            // AMD's driver of 4.19 puts no superpage where a table is, even an empty one.
            if twin.format.rules.overTable == .fail(.busy), first < 2 * perLarge { paddr ^= large / 2 }
            return .map(iova: iova, paddr: paddr, size: range.size)
        }
        guard case .fail = twin.format.rules.overPage, case .fail = twin.format.rules.insideSuperpage else {
            return nil
        }
        // Out of line by one page, so that all pages are small ones.
        paddr = (paddr & ~(large - 1) | iova & (large - 1)) ^ granule
        let before = stride(from: range.start, through: range.last, by: Int(granule)).prefix { twin.pages[$0] == nil }
        return .clash(iova: iova, paddr: paddr, size: range.size, before: UInt64(before.count))
    }

    private mutating func unmap(_ twin: ContractTwin) -> Call? {
        let salt = random.next()
        let isPart = random.next() % 3 == 0
        let pages = isPart ? twin.pages.filter { $0.value.leaf.size > granule } : twin.pages
        guard let page = pages.keys.min(by: { $0 ^ salt < $1 ^ salt }), let leaf = pages[page]?.leaf else { return nil }
        if isPart {
            // Of a leaf that no split has taken a part of before.
            let start = allowsInsides ? page : leaf.start
            let isWhole = stride(from: leaf.start, through: leaf.last, by: Int(granule)).allSatisfy {
                twin.pages[$0]?.leaf == leaf
            }
            guard isWhole else { return nil }
            return .unmap(iova: start, size: (1 + random.small(below: (leaf.last - start) / granule + 1)) * granule)
        }
        // From one leaf's start to another one's end, without a hole; what a split left over counts by the page.
        var last = leaf.start
        let leaves = 1 + random.small(below: 64)
        for _ in 0..<leaves {
            guard let next = twin.pages[last]?.leaf, next.start == last else { break }
            last = next.last &+ 1
        }
        guard last > leaf.start else { return nil }
        let range = bytes(leaf.start, last - leaf.start)
        guard stride(from: range.start, through: range.last, by: Int(granule)).allSatisfy({ twin.pages[$0] != nil })
        else { return nil }
        return .unmap(iova: range.start, size: range.size)
    }
}
