/// Whether what a domain maps and unmaps looks like its owner's own memory that is given back: VFIO or iommufd unmapping a guest,
/// as against the DMA API, which maps and unmaps buffers.
///
/// Such an owner unmaps whole areas from the lowest address up, in one task, and maps none of it again. The DMA API hands addresses
/// out from the top down, frees them in the order in which devices are done, and hands the same ones out again.
///
/// Memory does not grow with the log: of what was unmapped only a few areas are kept, and none once it is clear that it is no teardown.
struct TeardownShape: Sendable {
    /// Unmaps that are near one another are of one area.
    private static let gap: UInt64 = 64 << 10
    /// Areas and tasks beyond these are no owner's.
    private static let areaLimit = 64
    private static let taskLimit = 8
    /// Less than this may have any shape by chance: pages unmapped, and where few unmaps did it.
    private static let leastPages: UInt64 = 256
    private static let few: UInt64 = 16
    private static let leastPagesOfFew: UInt64 = 8192
    /// One part in so many may be otherwise: what is unmapped again from below, or by another task.
    private static let tolerance: UInt64 = 16
    /// One page in so many may be mapped again: VFIO's attach test, devices' windows that a guest moves. The DMA API comes
    /// to three quarters within a few seconds.
    private static let reuseTolerance: UInt64 = 4

    /// First byte, and the one behind the last.
    private typealias Area = (start: UInt64, end: UInt64)

    /// What has been unmapped, by address.
    private var areas: ContiguousArray<Area> = []
    private var pagesOfTask: ContiguousArray<(task: Int32, pages: UInt64)> = []
    private var unmaps: UInt64 = 0
    private var pages: UInt64 = 0
    /// Pages of maps where something had been unmapped before.
    private var pagesReused: UInt64 = 0
    /// Unmaps that begin at or above the end of the one before.
    private var ascending: UInt64 = 0
    private var lastEnd: UInt64 = 0
    /// It is none, whatever comes.
    private var isOut = false

    /// The domain has mapped.
    mutating func map(iova: UInt64, size: UInt64) {
        guard !isOut, size > 0, !areas.isEmpty else { return }
        let end = Self.end(iova, size)
        let next = firstArea(endingAbove: iova)
        guard next < areas.count, areas[next].start < end else { return }
        pagesReused &+= Self.pages(size)
        // Whoever reuses as much as it has unmapped goes on so.
        if pagesReused > Self.leastPages, pagesReused > pages { giveUp() }
    }

    /// The domain has unmapped: what was removed, by whom.
    mutating func unmap(task: Int32, iova: UInt64, size: UInt64) {
        guard !isOut, size > 0 else { return }
        let end = Self.end(iova, size)
        if unmaps > 0, iova >= lastEnd { ascending += 1 }
        unmaps += 1
        lastEnd = end
        let count = Self.pages(size)
        pages &+= count
        if let index = pagesOfTask.firstIndex(where: { $0.task == task }) {
            pagesOfTask[index].pages &+= count
        } else {
            pagesOfTask.append((task, count))
        }
        add(iova, end)
        if areas.count > Self.areaLimit || pagesOfTask.count > Self.taskLimit { giveUp() }
    }

    /// Whether all of it together is a teardown.
    var isTeardown: Bool {
        guard !isOut, pages >= (unmaps < Self.few ? Self.leastPagesOfFew : Self.leastPages) else { return false }
        let most = pagesOfTask.map(\.pages).max() ?? 0
        return pagesReused <= pages / Self.reuseTolerance && pages - most <= pages / Self.tolerance
            && unmaps - 1 - ascending <= unmaps / Self.tolerance
    }

    private mutating func giveUp() {
        isOut = true
        areas = []
        pagesOfTask = []
    }

    private mutating func add(_ start: UInt64, _ end: UInt64) {
        let low = start < Self.gap ? 0 : start - Self.gap
        let first = firstArea(endingAbove: low)
        var area = (start: start, end: end)
        var next = first
        while next < areas.count, areas[next].start <= end || areas[next].start - end <= Self.gap {
            area = (min(area.start, areas[next].start), max(area.end, areas[next].end))
            next += 1
        }
        if next == first + 1 { areas[first] = area } else { areas.replaceSubrange(first..<next, with: [area]) }
    }

    private func firstArea(endingAbove address: UInt64) -> Int {
        // Mostly it is the last one.
        if let last = areas.last, last.start <= address { return last.end > address ? areas.count - 1 : areas.count }
        var (low, high) = (0, areas.count)
        while low < high {
            let middle = (low + high) / 2
            if areas[middle].end > address { high = middle } else { low = middle + 1 }
        }
        return low
    }

    private static func end(_ iova: UInt64, _ size: UInt64) -> UInt64 {
        let end = iova.addingReportingOverflow(size)
        return end.overflow ? .max : end.partialValue
    }

    private static func pages(_ size: UInt64) -> UInt64 { (size >> 12) &+ (size & 4095 == 0 ? 0 : 1) }
}
