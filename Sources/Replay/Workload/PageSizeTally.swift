import IOMMUModel
import TraceStore

/// Which page sizes the maps of a log get, and what keeps them from being larger (design §4 25).
struct PageSizeTally {
    private struct Sum {
        var callbacks: Int64 = 0
        var pages: Int64 = 0
        var bytes: Int64 = 0
        var lifted = PageSizeRow.Lifted.none
    }

    private let sizes: PageSizes
    /// By cell, logarithm of the page size and limits; logarithm 0 where the log does not tell the physical address.
    private var sums = SummingTable(zero: Sum())

    init(_ sizes: PageSizes) { self.sizes = sizes }

    /// A map call that succeeds.
    mutating func map(_ range: AddressRange, to paddr: UInt64?, cell: Int32) {
        guard let paddr else {
            let index = sums.index(of: Self.key(cell, 0, []))
            sums[index].callbacks += 1
            sums[index].bytes = sums[index].bytes.addingSaturated(Int64(clamping: range.size))
            return
        }
        // Like PageTable.map: what is no multiple of the granule the kernel would have refused.
        let whole = range.roundedOut(to: sizes.granule)
        let physical = paddr & ~(sizes.granule &- 1)
        let length = whole.size & ~(sizes.granule &- 1)
        var offset: UInt64 = 0
        while offset < length {
            let (iova, target, left) = (whole.start &+ offset, physical &+ offset, length &- offset)
            guard let callback = sizes.callback(iova: iova, paddr: target, size: left) else { return }
            let limits = sizes.limits(of: callback.pageSize, iova: iova, paddr: target, size: left)
            let index = sums.index(of: Self.key(cell, callback.pageSize.trailingZeroBitCount, limits))
            sums[index].callbacks += 1
            sums[index].pages = sums[index].pages.addingSaturated(Int64(clamping: callback.count))
            sums[index].bytes = sums[index].bytes.addingSaturated(Int64(clamping: callback.size))
            let part = offset..<(offset &+ callback.size)
            if let lifted = lifted(part, callback.pageSize, whole.start, physical, length) {
                sums[index].lifted.add(lifted)
            }
            offset &+= callback.size
        }
    }

    /// How many bytes of a part of a map, which has pages of one size, would be in larger ones; `nil` for none.
    private func lifted(
        _ part: Range<UInt64>, _ pageSize: UInt64, _ iova: UInt64, _ paddr: UInt64, _ length: UInt64
    ) -> PageSizeRow.Lifted? {
        var lifted = PageSizeRow.Lifted.none
        var isAny = false
        for place in PageSizeRow.Lifted.sizes.indices {
            let size = PageSizeRow.Lifted.sizes[place]
            guard pageSize < size else { continue }
            // What is shorter than a page is in none, unless it is for its length.
            for limit in length < size ? Self.length..<Self.length + 1 : Self.limits.indices {
                let large = sizes.largePages(
                    notBelow: size, without: Self.limits[limit], iova: iova, paddr: paddr, length: length
                ).clamped(to: part)
                guard !large.isEmpty else { continue }
                lifted.bytes[limit * 2 + place] = Int64(clamping: large.upperBound - large.lowerBound)
                isAny = true
            }
        }
        return isAny ? lifted : nil
    }

    /// In the order in which ``PageSizeRow/Lifted`` has them.
    private static let limits: [PageSizes.Limits] = [.iova, .paddr, .length, .offered]
    private static let length = 2

    private static func key(_ cell: Int32, _ logarithm: Int, _ limits: PageSizes.Limits) -> UInt64 {
        UInt64(UInt32(bitPattern: cell)) << 16 | UInt64(logarithm) << 8 | UInt64(limits.rawValue)
    }

    /// What there was, by cell, page size and limits.
    func rows(_ cells: ContiguousArray<Cell>) -> [PageSizeRow] {
        sums.entries.sorted { $0.key < $1.key }.map { entry in
            let (key, sum) = (entry.key, entry.value)
            let logarithm = key >> 8 & 0xff
            return PageSizeRow(
                cell: cells[Int(key >> 16)], pageSize: logarithm == 0 ? nil : 1 << logarithm,
                limits: UInt8(truncatingIfNeeded: key), callbacks: sum.callbacks, pages: sum.pages, bytes: sum.bytes,
                lifted: sum.lifted)
        }
    }
}
