import IOMMUModel
import Operations
import TraceStore

/// What a mapping in the model's page table is known by: its map call, and what else has to be known of it when it goes.
struct MappingTag {
    /// Id of the map call.
    let operation: Int64
    /// Whether the call became several runs of the page table: pages of different sizes.
    let isSeveral: Bool

    /// How a page table keeps it: below 0 if the log does not tell the physical address.
    static func tag(of operation: StoredOperation, isSeveral: Bool) -> Int64 {
        let value = operation.id << 1 | (isSeveral ? 1 : 0)
        return operation.paddr == nil ? ~value : value
    }

    init(_ tag: Int64) {
        let value = tag < 0 ? ~tag : tag
        operation = value >> 1
        isSeveral = value & 1 != 0
    }
}

/// Finds what callers did wrong (design §4 29) and how much stays mapped (30): what the log and the model's page tables tell,
/// whatever the policy.
struct MistakeFinder {
    private let unresolved: Int32
    private let refusesDoubleMaps: Bool
    /// Id of the first operation after the latest loss: what was mapped before may have gone unseen.
    private var firstCertain: Int64 = 0
    private var rows: [MistakeRow] = []
    private var rowCounts = [Int64](repeating: 0, count: 16)
    private var sums = SummingTable(zero: (calls: Int64(0), bytes: UInt64(0)))
    private var samples: [(time: Int64, bytes: [UInt64])] = []
    private let span: (first: Int64, last: Int64)
    /// When the next sample is due, ns.
    private(set) var nextSample: Int64

    private static let sampleCount: Int64 = 10

    /// - Parameter refusesDoubleMaps: the recorded kernel makes no map over a live one.
    init(unresolved: Int32, span: (first: Int64, last: Int64), refusesDoubleMaps: Bool = false) {
        self.refusesDoubleMaps = refusesDoubleMaps
        self.unresolved = unresolved
        self.span = span
        nextSample = .max
        nextSample = moment(1)
    }

    /// Events were lost; `operation` is the last one before.
    mutating func lost(after operation: Int64) { firstCertain = operation &+ 1 }

    // MARK: - Calls

    /// Whether a call is about parts of pages.
    @inline(__always)
    static func isMisaligned(_ operation: StoredOperation) -> Bool {
        (operation.iova | operation.size | (operation.kind == .map ? operation.paddr ?? 0 : 0)) & 4095 != 0
    }

    /// A map call that succeeded, onto something mapped or misaligned.
    ///
    /// - Parameters:
    ///   - replaced: bytes of other mappings in its place.
    ///   - tag: the first of those.
    mutating func map(_ operation: StoredOperation, cell: Int32, replaced: UInt64, tag: Int64) {
        if Self.isMisaligned(operation) {
            // Rounded to pages it may touch its neighbours, which means nothing.
            add(.misaligned, operation, cell: cell, bytes: operation.size)
        } else {
            add(.doubleMap, operation, cell: cell, other: MappingTag(tag).operation, bytes: replaced)
        }
    }

    /// Whether an unmap call's own line tells something of it.
    @inline(__always)
    static func isTelling(_ operation: StoredOperation) -> Bool {
        operation.result != operation.size || operation.size == 0 || isMisaligned(operation)
    }

    /// Whether what an unmap call removed may have been a part only: of a run, or one of several runs.
    @inline(__always)
    static func isPart(_ removed: TranslationMap.Removed, _ pieces: ContiguousArray<TranslationMap.Run>?) -> Bool {
        guard let first = pieces?.first?.tag, let last = pieces?.last?.tag else { return false }
        return removed.splitRuns > 0 || first < 0 || last < 0 || (first | last) & 1 != 0
    }

    /// An unmap call, by its own line.
    mutating func tellResult(_ operation: StoredOperation, _ cell: Int32) {
        guard operation.size > 0 else { return add(.sizeZero, operation, cell: cell, bytes: 0) }
        if Self.isMisaligned(operation) {
            return add(.misaligned, operation, cell: cell, bytes: operation.size)
        }
        guard let result = operation.result, result != operation.size else { return }
        if result == 0 {
            add(.unmapOfNothing, operation, cell: cell, bytes: operation.size)
        } else if result < operation.size {
            add(.unmapOfLess, operation, cell: cell, bytes: operation.size - result)
        } else if !operation.flags.contains(.attachProbe) {
            add(.unmapOfMore, operation, cell: cell, bytes: result - operation.size)
        }
    }

    /// Looks on both sides of what an unmap removed, in order of address, for more of the same map calls.
    mutating func findRest(
        _ operation: StoredOperation, _ cell: Int32, of pieces: ContiguousArray<TranslationMap.Run>?, _ table: PageTable
    ) {
        guard let first = pieces?.first, let last = pieces?.last, !operation.flags.contains(.attachProbe) else {
            return
        }
        for (piece, neighbour) in [
            (last, last.range.last < .max ? last.range.last + 1 : nil),
            (first, first.range.start > 0 ? first.range.start - 1 : nil),
        ] {
            guard let neighbour, let rest = table.run(of: neighbour) else { continue }
            let (call, other) = (MappingTag(piece.tag).operation, MappingTag(rest.tag).operation)
            guard call == other else { continue }
            // What is left beside it, of that call: as far as one run reaches.
            return add(.unmapOfPart, operation, cell: cell, other: call, bytes: rest.range.size)
        }
    }

    private mutating func add(
        _ kind: MistakeKind, _ operation: StoredOperation, cell: Int32, other: Int64 = 0, bytes: UInt64
    ) {
        let certainty: MistakeCertainty =
            operation.domain == unresolved
            ? .ambiguous
            : other > 0 && other < firstCertain || kind == .doubleMap && refusesDoubleMaps ? .uncertain : .certain
        let index = sums.index(
            of: UInt64(UInt32(bitPattern: cell)) << 8 | UInt64(kind.rawValue) << 4 | UInt64(certainty.rawValue))
        sums[index].calls += 1
        sums[index].bytes = sums[index].bytes &+ min(bytes, 1 << 57)
        guard certainty != .ambiguous, rowCounts[Int(kind.rawValue)] < MistakeKind.rowLimit else { return }
        rowCounts[Int(kind.rawValue)] += 1
        rows.append(
            MistakeRow(operation: operation.id, kind: kind, other: other, certainty: certainty, bytes: bytes))
    }

    // MARK: - What stays mapped

    /// Takes the samples that are due before `time`.
    mutating func sample(before time: Int64, _ tables: ContiguousArray<PageTable>) {
        while nextSample < time {
            samples.append((nextSample, tables.map(\.mappedBytes)))
            nextSample = samples.count < Self.sampleCount ? moment(Int64(samples.count) + 1) : .max
        }
    }

    private func moment(_ step: Int64) -> Int64 {
        let (length, overflows) = span.last.subtractingReportingOverflow(span.first)
        guard !overflows, length >= 0 else { return span.last }
        return step == Self.sampleCount
            ? span.last
            : span.first + length / Self.sampleCount * step + length % Self.sampleCount * step / Self.sampleCount
    }

    /// Everything found, at the end of the log.
    mutating func rows(_ tables: ContiguousArray<PageTable>, _ cells: CellTable) -> MistakeRows {
        sample(before: .max, tables)
        var found = MistakeRows()
        found.mistakes = rows
        found.samples = samples
        found.summaries = sums.entries.compactMap { entry in
            let key = entry.key
            guard let kind = MistakeKind(rawValue: UInt8(key >> 4 & 15)),
                let certainty = MistakeCertainty(rawValue: UInt8(key & 15))
            else { return nil }
            return MistakeSummaryRow(
                cell: cells.cells[Int(key >> 8)], kind: kind, certainty: certainty, calls: entry.value.calls,
                bytes: entry.value.bytes)
        }
        var runs: [(operation: Int64, bytes: UInt64)] = []
        for table in tables {
            table.forEachRun(overlapping: .everything) { runs.append((MappingTag($0.tag).operation, $0.range.size)) }
        }
        runs.sort { $0.operation < $1.operation }
        for run in runs {
            if let last = found.live.last, last.operation == run.operation {
                found.live[found.live.count - 1].bytes = last.bytes &+ run.bytes
            } else {
                found.live.append(run)
            }
        }
        return found
    }
}
