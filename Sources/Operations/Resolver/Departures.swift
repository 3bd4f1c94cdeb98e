/// What is unmapped after a device has left its domain: the rest of that domain, which nobody flushes any more.
///
/// VFIO and iommufd take the device out first. That invalidates what the hardware holds of the device and of its domain, by whose id the
/// domain is known. The task then unmaps all that is left, area by area from the lowest address up, and moves the device on. No
/// command tells whose those unmaps are; what stands before and behind them does.
struct Departures {
    /// A device has left a domain, and its task has not gone on to something else.
    fileprivate struct Run {
        /// The id that the hardware knew the domain by.
        var id: Int64
        /// Where the device was moved to first is blocked; the next attach of it ends the run.
        var device: Int32?
        var time: Int64
        /// What was unmapped, as the window's entries.
        var members: ContiguousArray<Int> = []
        var unmaps = 0
        var pages: UInt64 = 0
        /// Unmaps that begin where the one before ended.
        var joins = 0
        /// Where the last unmap ended, and the one before it.
        var end: UInt64 = 0
        var formerEnd: UInt64 = 0
        /// Unmaps that do not fit, such as an interrupt's for another device.
        var others = 0
        /// So much has been unmapped that no attach needs to tell what it was.
        var isCertain = false
    }

    /// The unmaps that are of a domain.
    typealias Departed = (id: Int64, members: ContiguousArray<Int>)

    /// More tasks than are killed at a time.
    private static let limit = 64
    /// ns between two steps.
    private static let pause: Int64 = 1_000_000_000
    /// Less may have the shape by chance: pages between two attaches of the device, and where there is no second one.
    private static let leastPages: UInt64 = 64
    fileprivate static let certainPages: UInt64 = 512
    fileprivate static let certainUnmaps = 16
    fileprivate static let certainPagesOfFew: UInt64 = 8192

    private static let moverLimit = 1 << 12

    private var runs: [Int32: Run] = [:]
    /// Tasks that have moved devices: VFIO's owners, and whoever binds drivers.
    private var movers: Set<Int32> = []

    /// Whether a task has moved devices, and so may well unmap for a domain of its own.
    func isMover(_ task: Int32) -> Bool { movers.contains(task) }

    /// A task has taken a device out of the domain that has an id.
    mutating func leave(_ id: Int64, task: Int32, time: Int64) -> Departed? {
        let departed = end(task)
        if movers.count < Self.moverLimit { movers.insert(task) }
        if runs.count >= Self.limit { runs.removeAll() }
        runs[task] = Run(id: id, time: time)
        return departed
    }

    /// A task has moved a device: first where nothing passes, and at the end to where it belongs.
    mutating func move(_ device: Int32, task: Int32, time: Int64) -> Departed? {
        if movers.count < Self.moverLimit { movers.insert(task) }
        guard let run = runs[task] else { return nil }
        if run.unmaps == 0 {
            runs[task]?.device = device
            runs[task]?.time = time
            return nil
        }
        let isEnd = run.device == device && run.pages >= Self.leastPages && run.isOfAreas
        runs[task] = nil
        return isEnd || run.isCertain ? (run.id, run.members) : nil
    }

    /// A task maps: it has turned to something else. What it had unmapped by then may be certain.
    mutating func map(task: Int32) -> Departed? { runs.isEmpty ? nil : end(task) }

    /// A task unmaps: what it has left, as long as that goes on.
    mutating func unmap(_ index: Int, _ entry: Entry) -> Departed? {
        guard !runs.isEmpty, let former = runs[entry.task] else { return nil }
        let pause = entry.time.subtractingReportingOverflow(former.time)
        guard !pause.overflow, pause.partialValue < Self.pause, former.others <= former.unmaps + 8 else {
            return end(entry.task)
        }
        runs[entry.task]?.take(index, entry)
        return nil
    }

    /// The window ends: what is certain by then need not wait.
    mutating func endWindow() -> [Departed] {
        var departed: [Departed] = []
        for (task, run) in runs.sorted(by: { $0.key < $1.key }) {
            if run.isCertain { departed.append((run.id, run.members)) }
            runs[task]?.members.removeAll()
        }
        return departed
    }

    private mutating func end(_ task: Int32) -> Departed? {
        guard let run = runs.removeValue(forKey: task), run.isCertain else { return nil }
        return (run.id, run.members)
    }
}

extension Departures.Run {
    /// Whether it goes through areas, and is no scatter of addresses that rise by chance.
    fileprivate var isOfAreas: Bool { joins * 2 >= unmaps - 1 }

    fileprivate mutating func take(_ index: Int, _ entry: Entry) {
        let end = entry.iova.addingReportingOverflow(entry.size)
        guard !end.overflow, entry.size > 0 else { return others += 1 }
        if entry.iova < self.end {
            // Was the one before a stray one, far above the area that goes on here?
            guard unmaps > 1, formerEnd < self.end, entry.iova == formerEnd, members.popLast() != nil else {
                return others += 1
            }
            others += 1
            unmaps -= 1
            self.end = formerEnd
        }
        if unmaps > 0, entry.iova == self.end { joins += 1 }
        members.append(index)
        unmaps += 1
        pages &+= entry.size >> 12
        let isLong = unmaps >= Departures.certainUnmaps && pages >= Departures.certainPages
        isCertain = isCertain || isOfAreas && (isLong || pages >= Departures.certainPagesOfFew)
        formerEnd = self.end
        self.end = end.partialValue
        time = entry.time
    }
}
