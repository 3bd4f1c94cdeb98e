import TraceStore

/// Stale pages and flushes over time, in equal steps: what `timeline` is made of.
///
/// Pages that are stale for a whole step are kept as changes from step to step, so that a window costs the same however
/// many steps it spans.
struct Timeline {
    private struct Sum {
        /// Stale pages x ns of windows that begin or end within the step.
        var partial: Double = 0
        /// How many more pages than in the step before are stale from begin to end.
        var change: Int64 = 0
        var windows: Int64 = 0
        var pages: Int64 = 0
        var flushes: Int64 = 0
    }

    private var clock: TimeSteps
    /// By cell and step.
    private var sums = SummingTable(zero: Sum())

    init(first: Int64, last: Int64) { clock = TimeSteps(first: first, last: last) }

    /// ns
    var stepLength: Int64 { clock.length }

    private mutating func index(_ cell: Int32, _ step: Int64) -> Int {
        sums.index(of: UInt64(UInt32(bitPattern: cell)) << 8 | UInt64(step))
    }

    mutating func opened(_ cell: Int32, at time: Int64, pages: Int64) {
        let sum = index(cell, clock.step(at: time))
        sums[sum].windows += 1
        sums[sum].pages = sums[sum].pages.addingSaturated(pages)
    }

    mutating func flushed(_ cell: Int32, at time: Int64, flushes: Int64) {
        let sum = index(cell, clock.step(at: time))
        sums[sum].flushes = sums[sum].flushes.addingSaturated(flushes)
    }

    mutating func stale(_ cell: Int32, from opened: Int64, to closed: Int64, pages: Int64) {
        let (begin, end) = (clock.step(at: opened), clock.step(at: closed))
        let sum = index(cell, begin)
        guard begin < end else {
            sums[sum].partial += Double(pages) * Double(closed.subtractingSaturated(opened))
            return
        }
        sums[sum].partial += Double(pages) * Double(clock.start(of: begin + 1).subtractingSaturated(opened))
        if begin + 1 < end {
            let next = index(cell, begin + 1)
            sums[next].change &+= pages
        }
        let last = index(cell, end)
        if begin + 1 < end { sums[last].change &-= pages }
        sums[last].partial += Double(pages) * Double(closed.subtractingSaturated(clock.start(of: end)))
    }

    /// All steps in which anything is or happens, by cell, then time.
    func steps(_ cells: ContiguousArray<Cell>) -> [WindowStatistics.Step] {
        var steps: [WindowStatistics.Step] = []
        let order = sums.entries.sorted { $0.key < $1.key }
        var position = 0
        while position < order.count {
            let cell = order[position].key >> 8
            var level: Int64 = 0
            var step = Int64(order[position].key & 0xff)
            while position < order.count, order[position].key >> 8 == cell {
                let key = Int64(order[position].key & 0xff)
                while level > 0, step < key {
                    steps.append(row(cells[Int(cell)], step, level, Sum()))
                    step += 1
                }
                step = key
                let sum = order[position].value
                level &+= sum.change
                // A window that ends where a step begins is not in that step.
                let isEmpty = level == 0 && sum.partial == 0 && sum.windows == 0 && sum.flushes == 0
                if !isEmpty { steps.append(row(cells[Int(cell)], step, level, sum)) }
                step += 1
                position += 1
            }
        }
        return steps
    }

    private func row(_ cell: Cell, _ step: Int64, _ level: Int64, _ sum: Sum) -> WindowStatistics.Step {
        let whole = Double(level) * Double(stepLength) + sum.partial
        return WindowStatistics.Step(
            cell: cell, start: clock.start(of: step), pageNanoseconds: whole < 9e18 ? Int64(max(whole, 0)) : .max,
            windows: sum.windows, pages: sum.pages, flushes: sum.flushes)
    }
}
