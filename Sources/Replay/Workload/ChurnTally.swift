import IOMMUModel
import TraceStore

/// How much is mapped and unmapped, how soon addresses and pages are used again, and what is mapped at a time (design §4 26).
///
/// Rests on the log's maps and unmaps alone: on no policy, and on no page size.
struct ChurnTally {
    /// How far back something is: in time and in calls.
    private enum Distance: UInt64, CaseIterable {
        case addressTime, addressCalls, pageTime, pageCalls
    }

    private struct Level {
        var mappings: Int64 = 0
        var bytes: Int64 = 0
        var peakMappings: Int64 = 0
        var peakBytes: Int64 = 0

        @inline(__always)
        mutating func change(mappings: Int64, bytes: Int64) {
            self.mappings &+= mappings
            self.bytes = self.bytes.addingSaturated(bytes)
            peakMappings = max(peakMappings, self.mappings)
            peakBytes = max(peakBytes, self.bytes)
        }
    }

    /// What happens in a step, and how much more is mapped at its end.
    private struct Step {
        var maps: Int64 = 0
        var unmaps: Int64 = 0
        var mappedBytes: Int64 = 0
        var unmappedBytes: Int64 = 0
        var mappings: Int64 = 0
        var bytes: Int64 = 0

        @inline(__always)
        mutating func change(mappings: Int64, bytes: Int64) {
            self.mappings &+= mappings
            self.bytes = self.bytes.addingSaturated(bytes)
        }
    }

    private var clock: TimeSteps
    /// By domain - 1: what each map call mapped, as far as it is mapped still. The tag is ``tag(_:_:)``.
    private var live: ContiguousArray<TranslationMap>
    private var removed: ContiguousArray<TranslationMap.Run>? = []
    private var addresses: LastRemoved
    private var pages = LastRemoved(spaces: 1)
    private var calls: Int64 = 0
    /// By cell, the longest of each distance; -1 for none.
    private var longest: ContiguousArray<SIMD4<Int64>> = []
    /// By member.
    private var levels: ContiguousArray<Level> = []
    /// By cell and step.
    private var steps = SummingTable(zero: Step())
    /// By cell, distance and bucket.
    private var histogram = SummingTable(zero: Int64(0))

    init(domains: Int, first: Int64, last: Int64) {
        clock = TimeSteps(first: first, last: last)
        live = ContiguousArray(repeating: TranslationMap(), count: domains)
        addresses = LastRemoved(spaces: domains)
    }

    // MARK: - Calls

    /// A map call that succeeds.
    ///
    /// - Parameter isOverLive: whether anything is mapped in its range already.
    mutating func map(
        _ range: AddressRange, to paddr: UInt64?, domain: Int32, at time: Int64, isOverLive: Bool, cell: Int32,
        _ cells: CellTable
    ) {
        prepare(cell, cells)
        calls += 1
        let index = Int(domain) - 1
        var isFirstLive = false
        if isOverLive {
            isFirstLive = live[index].run(of: range.start) != nil
            remove(range, index, at: time, cells, isUnmapped: false)
        }
        if !isFirstLive, let moment = addresses.take(range.start & ~4095, space: Int32(index)) {
            count(moment, .addressTime, .addressCalls, at: time, cell)
        }
        if let paddr, let moment = pages.take(paddr & ~4095, space: 0) {
            count(moment, .pageTime, .pageCalls, at: time, cell)
        }
        live[index].replace(
            with: TranslationMap.Run(
                range: range, target: paddr ?? 0, pageSize: paddr == nil ? 0 : 4096, tag: Self.tag(cell, range.start)))
        let bytes = Int64(clamping: range.size)
        let step = step(cell, at: time)
        steps[step].maps &+= 1
        steps[step].mappedBytes = steps[step].mappedBytes.addingSaturated(bytes)
        steps[step].change(mappings: 1, bytes: bytes)
        changeLevels(of: cell, mappings: 1, bytes: bytes, cells)
    }

    /// An unmap call.
    ///
    /// - Parameters:
    ///   - range: what it removed; `nil` for nothing.
    ///   - size: the bytes of that, as recorded.
    mutating func unmap(
        _ range: AddressRange?, size: UInt64, domain: Int32, at time: Int64, cell: Int32, _ cells: CellTable
    ) {
        prepare(cell, cells)
        calls += 1
        let step = step(cell, at: time)
        steps[step].unmaps &+= 1
        steps[step].unmappedBytes = steps[step].unmappedBytes.addingSaturated(Int64(clamping: size))
        guard let range else { return }
        let index = Int(domain) - 1
        remove(range, index, at: time, cells, isUnmapped: true)
        addresses.add(range, space: Int32(index), LastRemoved.Moment(ordinal: calls, time: time))
    }

    /// Whose mappings in a range are gone.
    private mutating func remove(
        _ range: AddressRange, _ index: Int, at time: Int64, _ cells: CellTable, isUnmapped: Bool
    ) {
        removed?.removeAll(keepingCapacity: true)
        live[index].remove(range, into: &removed)
        let moment = LastRemoved.Moment(ordinal: calls, time: time)
        for position in 0..<(removed?.count ?? 0) {
            guard let piece = removed?[position] else { return }
            let owner = Int32(truncatingIfNeeded: piece.tag & 0xf_ffff)
            let isWhole = Self.tag(owner, piece.range.start) == piece.tag
            let (mappings, bytes): (Int64, Int64) = (isWhole ? -1 : 0, -Int64(clamping: piece.range.size))
            steps[step(owner, at: time)].change(mappings: mappings, bytes: bytes)
            changeLevels(of: owner, mappings: mappings, bytes: bytes, cells)
            guard isUnmapped, piece.pageSize > 0,
                let target = AddressRange(start: piece.target, size: piece.range.size)
            else { continue }
            pages.add(target, space: 0, moment)
        }
    }

    /// Says who mapped, and where the call's range begins: a piece that begins elsewhere is not the call's begin.
    @inline(__always)
    private static func tag(_ cell: Int32, _ start: UInt64) -> Int64 {
        Int64(truncatingIfNeeded: UInt64(UInt32(bitPattern: cell)) & 0xf_ffff | (start >> 12) << 20)
    }

    // MARK: - Sums

    @inline(__always)
    private mutating func prepare(_ cell: Int32, _ cells: CellTable) {
        while longest.count <= Int(cell) { longest.append(SIMD4(repeating: -1)) }
        while levels.count < cells.members.count { levels.append(Level()) }
    }

    @inline(__always)
    private mutating func step(_ cell: Int32, at time: Int64) -> Int {
        steps.index(of: UInt64(UInt32(bitPattern: cell)) << 8 | UInt64(clock.step(at: time)))
    }

    @inline(__always)
    private mutating func changeLevels(of cell: Int32, mappings: Int64, bytes: Int64, _ cells: CellTable) {
        let groups = cells.groups[Int(cell)]
        levels[0].change(mappings: mappings, bytes: bytes)
        levels[Int(groups.domain)].change(mappings: mappings, bytes: bytes)
        levels[Int(groups.device)].change(mappings: mappings, bytes: bytes)
        levels[Int(groups.task)].change(mappings: mappings, bytes: bytes)
    }

    private mutating func count(
        _ moment: LastRemoved.Moment, _ time: Distance, _ calls: Distance, at now: Int64, _ cell: Int32
    ) {
        add(max(now.subtractingSaturated(moment.time), 0), time, cell)
        add(self.calls - moment.ordinal, calls, cell)
    }

    private mutating func add(_ length: Int64, _ distance: Distance, _ cell: Int32) {
        histogram[histogram.index(of: Self.histogramKey(cell, distance, LengthScale.bucket(of: length)))] += 1
        let place = Int(distance.rawValue)
        longest[Int(cell)][place] = max(longest[Int(cell)][place], length)
    }

    private static func histogramKey(_ cell: Int32, _ distance: Distance, _ bucket: Int) -> UInt64 {
        (UInt64(UInt32(bitPattern: cell)) << 2 | distance.rawValue) << 16 | UInt64(bucket)
    }

    // MARK: - What it came to

    /// By whatever can be told apart.
    mutating func totals(_ cells: CellTable) -> [ChurnTotalRow] {
        var cellsOf: [[Int]] = Array(repeating: [], count: cells.members.count)
        for cell in longest.indices {
            let groups = cells.groups[cell]
            for member in [0, groups.domain, groups.device, groups.task] { cellsOf[Int(member)].append(cell) }
        }
        let sums = sumsByCell()
        var counts: [[(key: UInt64, count: Int64)]] = Array(repeating: [], count: longest.count)
        for entry in histogram.entries { counts[Int(entry.key >> 18)].append((entry.key, entry.value)) }
        var merged = MergedHistogram()
        return cellsOf.indices.map { member in
            var row = ChurnTotalRow(of: cells.members[member])
            var longest = SIMD4<Int64>(repeating: -1)
            for cell in cellsOf[member] {
                row.maps &+= sums[cell].maps
                row.unmaps &+= sums[cell].unmaps
                row.mappedBytes = row.mappedBytes.addingSaturated(sums[cell].mappedBytes)
                row.unmappedBytes = row.unmappedBytes.addingSaturated(sums[cell].unmappedBytes)
                longest = pointwiseMax(longest, self.longest[cell])
            }
            for distance in Distance.allCases {
                merged.clear()
                var count: Int64 = 0
                for cell in cellsOf[member] {
                    for entry in counts[cell] where entry.key >> 16 & 3 == distance.rawValue {
                        let upTo = LengthScale.upperBound(of: Int(entry.key & 0xffff))
                        merged.add([(upTo: upTo, windows: entry.count, pages: 0)])
                        count += entry.count
                    }
                }
                let limit = longest[Int(distance.rawValue)]
                row.distances[Int(distance.rawValue)] = ChurnTotalRow.Distances(
                    count: count, percentiles: merged.percentiles([50, 90, 99], limit: limit),
                    longest: count > 0 ? limit : nil)
            }
            if levels.indices.contains(member) {
                let level = levels[member]
                row.live = (level.mappings, level.bytes)
                row.peak = (level.peakMappings, level.peakBytes)
            }
            return row
        }
    }

    /// What all steps of each cell come to.
    private func sumsByCell() -> ContiguousArray<Step> {
        var sums = ContiguousArray(repeating: Step(), count: longest.count)
        for entry in steps.entries {
            let (key, step) = (entry.key, entry.value)
            let cell = Int(key >> 8)
            sums[cell].maps &+= step.maps
            sums[cell].unmaps &+= step.unmaps
            sums[cell].mappedBytes = sums[cell].mappedBytes.addingSaturated(step.mappedBytes)
            sums[cell].unmappedBytes = sums[cell].unmappedBytes.addingSaturated(step.unmappedBytes)
        }
        return sums
    }

    /// In the course of time, by cell, then time; steps in which nothing happens are missing.
    func stepRows(_ cells: ContiguousArray<Cell>) -> [ChurnStepRow] {
        steps.entries.sorted { $0.key < $1.key }.map { entry in
            let (key, step) = (entry.key, entry.value)
            return ChurnStepRow(
                cell: cells[Int(key >> 8)], start: clock.start(of: Int64(key & 0xff)), maps: step.maps,
                unmaps: step.unmaps, mappedBytes: step.mappedBytes, unmappedBytes: step.unmappedBytes,
                mappings: step.mappings, bytes: step.bytes)
        }
    }
}
