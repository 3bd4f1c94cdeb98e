import Foundation
import SeededTable

/// The part of a log on which the resolver decides at one time.
struct ResolverWindow {
    /// The window's operations, and behind them the maps that were live when it began.
    var entries: ContiguousArray<Entry>
    /// How many of them are the window's own.
    let count: Int
    /// As they were when the window began.
    private var carried: ContiguousArray<Entry> = []
    /// The addresses of operations, by slot, and of what parts of maps have left.
    private(set) var addresses = SeededTable<UInt64, Void>()
    /// For each burst the neighbour before it, -1 for none.
    var neighbours: ContiguousArray<Int> = []
    /// For each burst its first entry.
    var firsts: ContiguousArray<Int> = []
    /// Flushes of whole domains: before which entry, which label (`nil`: all), when.
    private(set) var flushes: ContiguousArray<(before: Int, label: Int?, time: Int64)> = []
    /// Of each burst and label, how many unmaps speak against it: `burst * labelCount + label`.
    var impossible: ContiguousArray<Int32> = []
    /// Of each burst, unmaps that no clue tells of.
    var untold: ContiguousArray<Int32> = []
    /// Whether nearly all unmaps have a clue of their own.
    private(set) var isAnchored = false
    private(set) var labelCount = 0
    /// Addresses of its operations; those behind are of what parts of maps were left.
    private var ownAddresses = 0

    /// Of each burst: its label, by how much that leads, and the scores of all labels.
    var labels: ContiguousArray<Int> = []
    var leads: ContiguousArray<Float> = []
    private var scores: ContiguousArray<Float> = []
    /// What speaks against each label and, unlike low scores, for no other one.
    private var against: ContiguousArray<Float> = []
    /// Scores that do not depend on the labels of others.
    var ownScores: ContiguousArray<Float> = []

    private var candidates: [Int] = []
    /// The maps behind the only candidate that an unmap removes with it: `iommu_map_sg` maps piece by piece.
    private var pieces: [Int] = []

    private(set) var verdicts: ContiguousArray<Verdict> = []
    private(set) var late: [(id: Int64, former: Verdict, now: Verdict)] = []

    private static let sweeps = 3
    /// Pieces of one unmap, and of all unmaps with more than that: iommufd removes thousands of maps at a time.
    private static let pieceLimit = 64
    private static let pieceBudget = 1 << 17
    private var pieceBudget = 0

    init(
        _ operations: ContiguousArray<Operation>, _ clues: ContiguousArray<Clue>, later: ArraySlice<Clue> = [],
        _ resolver: inout Resolver
    ) {
        entries = []
        entries.reserveCapacity(operations.count + 1024)
        count = operations.count
        var reader = ClueReader(cpus: Int(operations.map(\.cpu).max() ?? 0) + 1)
        var clue = 0
        var lastOfCPU = ContiguousArray(repeating: -1, count: Int(operations.map(\.cpu).max() ?? 0) + 1)
        for operation in operations {
            while clue < clues.count, clues[clue].line < operation.line {
                reader.take(clues[clue], &entries, &flushes, &resolver)
                clue += 1
            }
            var entry = Entry()
            entry.iova = operation.iova ?? 0
            entry.size = operation.kind == .map ? operation.size ?? 0 : operation.result ?? operation.size ?? 0
            entry.time = operation.time
            entry.id = operation.id
            entry.cpu = operation.cpu
            entry.task = operation.task
            entry.isMap = operation.kind == .map
            entry.feature = resolver.feature(task: operation.task, isMap: entry.isMap, size: entry.size)
            entry.slot = slot(of: entry.iova)
            let cpu = Int(max(operation.cpu, 0))
            let last = lastOfCPU[cpu]
            let isSameTask = last >= 0 && entries[last].task == entry.task
            let pause = last >= 0 ? Self.pause(entries[last].time, operation.time) : .max
            if isSameTask, pause < Resolver.pauseInBurst {
                entry.burst = entries[last].burst
            } else {
                entry.burst = neighbours.count
                let isNear = isSameTask && pause < Resolver.pauseBetweenNeighbours
                neighbours.append(isNear ? entries[last].burst : -1)
                firsts.append(entries.count)
            }
            lastOfCPU[cpu] = entries.count
            entries.append(entry)
            reader.add(entries.count - 1, &entries, &resolver, cpu: cpu)
        }
        while clue < clues.count {
            reader.take(clues[clue], &entries, &flushes, &resolver)
            clue += 1
        }
        ClueReader.finish(&entries, &resolver)
        labelCount = resolver.labels.count
        ruleOut(reader.ranges, later, resolver)
        addPieces(resolver)
        ownAddresses = addresses.count
        if !resolver.carried.isEmpty {
            for (slot, address) in addresses.entries.enumerated() {
                guard let live = resolver.carried[address.key] else { continue }
                for var entry in live {
                    entry.slot = slot
                    carried.append(entry)
                }
            }
            entries.append(contentsOf: carried)
        }
        let unmaps = entries[..<count].reduce(into: (all: 0, fixed: 0)) { sum, entry in
            if !entry.isMap { sum.all += 1 }
            if !entry.isMap, entry.fixed >= 0 { sum.fixed += 1 }
        }
        isAnchored = unmaps.fixed * 5 >= unmaps.all * 4
    }

    /// The addresses of what larger unmaps may remove of earlier windows' maps.
    private mutating func addPieces(_ resolver: Resolver) {
        guard !resolver.carried.isEmpty else { return }
        var ranges: [(start: UInt64, end: UInt64)] = []
        for entry in entries[..<count] where !entry.isMap && entry.size > 4096 {
            let end = entry.iova.addingReportingOverflow(entry.size)
            if !end.overflow { ranges.append((entry.iova, end.partialValue)) }
        }
        guard !ranges.isEmpty else { return }
        ranges.sort { $0.start < $1.start }
        var reach: UInt64 = 0
        for index in ranges.indices {
            // Sorted by their starts, each reaches as far as any before it.
            reach = max(reach, ranges[index].end)
            ranges[index].end = reach
        }
        let inside = resolver.carried.keys.filter { address in
            var (low, high) = (0, ranges.count)
            while low < high {
                let middle = (low + high) / 2
                if ranges[middle].start <= address { low = middle + 1 } else { high = middle }
            }
            return low > 0 && address < ranges[low - 1].end
        }
        for address in inside.sorted() { _ = slot(of: address) }
    }

    private mutating func slot(of address: UInt64) -> Int {
        addresses.index(of: address, adding: ())
    }

    /// ns; a clock that runs backwards makes no pause.
    private static func pause(_ former: Int64, _ time: Int64) -> Int64 {
        let (pause, overflow) = time.subtractingReportingOverflow(former)
        return overflow ? .max : pause
    }

    // MARK: - Steps

    /// Gives every operation a label, or none.
    mutating func decide(_ resolver: inout Resolver) {
        let bursts = neighbours.count
        labels = ContiguousArray(repeating: -1, count: bursts)
        leads = ContiguousArray(repeating: 0, count: bursts)
        if labelCount > 0 {
            ownScores = ContiguousArray(repeating: 0, count: bursts * labelCount)
            for entry in entries[..<count] where entry.fixed >= 0 {
                ownScores[entry.burst * labelCount + entry.fixed] += 2
            }
            if !isAnchored, labelCount > 1 { cluster(&resolver) }
            var former: ContiguousArray<Int> = []
            for number in 0..<Self.sweeps where number < 2 || former != labels {
                former = labels
                sweep(resolver, isFirst: number == 0)
            }
        }
        finish(&resolver)
    }

    /// The maps that are live at the window's begin, and every list as it was then.
    func liveAtBegin(_ entries: inout ContiguousArray<Entry>) -> LiveMaps {
        var live = LiveMaps(slots: addresses.count)
        for index in carried.indices {
            entries[count + index] = carried[index]
            live.append(count + index, &entries)
        }
        return live
    }

    /// The label that an entry is taken for at present.
    private func label(of index: Int) -> Int {
        let entry = entries[index]
        if entry.burst < 0 { return entry.label }
        if entry.fixed >= 0 { return entry.fixed }
        return entry.pair >= 0 ? entry.pair : labels[entry.burst]
    }

    private func burstLabel(of index: Int) -> Int {
        entries[index].burst < 0 ? entries[index].label : labels[entries[index].burst]
    }

    private func lead(of index: Int) -> Float {
        entries[index].burst < 0 ? entries[index].confidence : leads[entries[index].burst]
    }

    /// Fills ``candidates`` with the live maps that an unmap may remove, and ``pieces`` if there is only one, in pieces.
    private mutating func findCandidates(_ unmap: Int, _ live: LiveMaps) {
        candidates.removeAll(keepingCapacity: true)
        pieces.removeAll(keepingCapacity: true)
        let (size, fixed) = (entries[unmap].size, entries[unmap].fixed)
        var index = live.heads[entries[unmap].slot]
        while index >= 0 {
            let isExcluded = fixed >= 0 && entries[index].excluded >> UInt32(fixed) & 1 != 0
            if entries[index].size == size, !isExcluded { candidates.append(index) }
            index = entries[index].next
        }
        guard candidates.isEmpty, live.heads[entries[unmap].slot] >= 0 else { return }
        // Pieces one behind the other: of each address the one of the same burst, otherwise the oldest.
        var (left, address) = (size, entries[unmap].iova)
        var former = -1
        while left > 0, let slot = addresses.find(address) {
            if pieces.count >= Self.pieceLimit {
                guard pieceBudget > 0 else { break }
                pieceBudget -= 1
            }
            var best = -1
            var next = live.heads[slot]
            while next >= 0 {
                let isFitting = entries[next].size > 0 && entries[next].size <= left
                let isOfBurst = former >= 0 && entries[next].burst == entries[former].burst
                if isFitting, best < 0 || isOfBurst && entries[best].burst != entries[former].burst { best = next }
                next = entries[next].next
            }
            guard best >= 0 else { break }
            pieces.append(best)
            left -= entries[best].size
            address = address &+ entries[best].size
            former = best
        }
        if left == 0, let head = pieces.first {
            candidates.append(head)
        } else {
            pieces.removeAll(keepingCapacity: true)
        }
    }

    private mutating func remove(_ map: Int, from live: inout LiveMaps) {
        live.remove(map, &entries)
        for piece in pieces.dropFirst() { live.remove(piece, &entries) }
    }

    /// One pass over the window: scores each burst by what its operations do to the maps of others as they are labelled
    /// now, then labels all bursts anew.
    private mutating func sweep(_ resolver: Resolver, isFirst: Bool) {
        scores = ownScores
        against = ContiguousArray(impossible.map { Float($0) })
        pieceBudget = Self.pieceBudget
        var live = liveAtBegin(&entries)
        for index in 0..<count { entries[index].excluded = 0 }
        let features = weighFeatures(resolver)
        var pairs: [(map: Int, label: Int, isCertain: Bool)] = []
        for index in 0..<count {
            let entry = entries[index]
            if entry.isMap {
                let own = label(of: index)
                if own >= 0, !isAnchored {
                    // The domain maps the address anew: what is live there of it was not recognised when it went.
                    var other = live.heads[entry.slot]
                    while other >= 0 {
                        let next = entries[other].next
                        if label(of: other) == own { live.remove(other, &entries) }
                        other = next
                    }
                }
                live.append(index, &entries)
                continue
            }
            findCandidates(index, live)
            let own = entry.fixed >= 0 ? entry.fixed : entry.possible(labels[entry.burst])
            if entry.fixed < 0, !candidates.isEmpty { scoreUnmap(entry) }
            if entry.fixed >= 0, candidates.isEmpty { scoreWhole(entry, live) }
            var pick = own >= 0 ? candidates.first { burstLabel(of: $0) == own } : nil
            pick = pick ?? candidates.first { burstLabel(of: $0) < 0 }
            if pick == nil, let weakest = candidates.min(by: { lead(of: $0) < lead(of: $1) }),
                entry.fixed < 0 || lead(of: weakest) < Resolver.sure
            {
                pick = weakest
            }
            if own >= 0 { scoreMaps(own, pick) }
            if entry.impossible != 0, candidates.count == 1, let pick { scoreAgainst(entry.impossible, pick) }
            if let pick {
                if entry.fixed >= 0 {
                    let isCertain =
                        candidates.count == 1 && burstLabel(of: pick) == own && entry.fixedGrade != .inferred
                    pairs.append((pick, own, isCertain))
                    for piece in pieces.dropFirst() { pairs.append((piece, own, isCertain)) }
                }
                remove(pick, from: &live)
            }
            if entry.fixed >= 0 { exclude(entry.fixed, live.heads[entry.slot], size: entry.size) }
        }
        labelBursts(features, resolver, isFirst: isFirst)
        for index in 0..<count where entries[index].isMap { entries[index].pair = -1 }
        for pair in pairs where pair.map < count {
            entries[pair.map].pair = pair.label
            entries[pair.map].isCertain = pair.isCertain
        }
    }

    /// Whoever stays where a domain has unmapped is none of that domain.
    private mutating func exclude(_ label: Int, _ head: Int, size: UInt64) {
        var index = head
        while index >= 0 {
            // What is larger may have lost a part.
            if entries[index].size <= size { entries[index].excluded |= 1 << UInt32(label) }
            index = entries[index].next
        }
    }

    /// The unmap belongs where such a map is live.
    private mutating func scoreUnmap(_ unmap: Entry) {
        var present: UInt32 = 0
        var isComplete = true
        for candidate in candidates {
            let label = burstLabel(of: candidate)
            if label >= 0 { present |= 1 << UInt32(label) } else { isComplete = false }
        }
        for label in 0..<labelCount where unmap.impossible >> UInt32(label) & 1 == 0 {
            if present >> UInt32(label) & 1 != 0 {
                scores[unmap.burst * labelCount + label] += 1
            } else if isComplete {
                scores[unmap.burst * labelCount + label] -= 0.7
            }
        }
    }

    /// The maps that it may have removed belong where the unmap does.
    private mutating func scoreMaps(_ label: Int, _ pick: Int?) {
        for candidate in candidates where entries[candidate].burst >= 0 {
            let isMeant = candidates.count == 1 || candidate == pick && burstLabel(of: candidate) == label
            scores[entries[candidate].burst * labelCount + label] += isMeant ? 1 : 0.5 / Float(candidates.count)
        }
        for piece in pieces.dropFirst() where entries[piece].burst >= 0 {
            scores[entries[piece].burst * labelCount + label] += 1
        }
    }

    /// The larger map of which an unmap removes the first part belongs where the unmap does.
    private mutating func scoreWhole(_ unmap: Entry, _ live: LiveMaps) {
        var whole = live.heads[unmap.slot]
        while whole >= 0, entries[whole].size <= unmap.size { whole = entries[whole].next }
        guard whole >= 0, entries[whole].burst >= 0 else { return }
        scores[entries[whole].burst * labelCount + unmap.fixed] += 1
    }

    /// A map is of no domain that the unmap which removed it cannot be of.
    private mutating func scoreAgainst(_ labels: UInt32, _ map: Int) {
        let burst = entries[map].burst
        guard burst >= 0 else { return }
        for label in 0..<labelCount where labels >> UInt32(label) & 1 != 0 { against[burst * labelCount + label] += 1 }
    }

    /// What the task, kind and size of an operation say for each label: `feature * labelCount + label`.
    private func weighFeatures(_ resolver: Resolver) -> ContiguousArray<Float> {
        // With one label there is nothing to choose, but whether the like of it is known to be of that.
        var counts = ContiguousArray<Float>(repeating: 0.3, count: resolver.featureCount * labelCount)
        let stride = Resolver.labelLimit
        for feature in 0..<min(resolver.featureCount, resolver.featureCounts.count / stride) {
            for label in 0..<labelCount {
                counts[feature * labelCount + label] += resolver.featureCounts[feature * stride + label]
            }
        }
        for index in 0..<count {
            let label = label(of: index)
            if label >= 0 { counts[entries[index].feature * labelCount + label] += 1 }
        }
        guard labelCount > 1 else { return ContiguousArray(counts.map { $0 > 0.5 ? 1 : 0 }) }
        // From counts to what they speak for each label.
        for feature in 0..<resolver.featureCount {
            var total: Float = 0
            for label in 0..<labelCount { total += counts[feature * labelCount + label] }
            for label in 0..<labelCount {
                counts[feature * labelCount + label] = 2 * log(counts[feature * labelCount + label] / total)
            }
        }
        return counts
    }

    private mutating func labelBursts(_ features: ContiguousArray<Float>, _ resolver: Resolver, isFirst: Bool) {
        for burst in labels.indices {
            let feature = entries[firsts[burst]].feature
            let neighbour = neighbours[burst]
            var (best, first) = (-1, -Float.infinity)
            for label in 0..<labelCount {
                var score = scores[burst * labelCount + label]
                score += features[feature * labelCount + label]
                if neighbour >= 0, leads[neighbour] >= Resolver.sure, labels[neighbour] == label { score += 1 }
                scores[burst * labelCount + label] = score
                score -= against[burst * labelCount + label]
                if score > first { (best, first) = (label, score) }
            }
            // That the others cannot be it does not yet make it the one: there may be domains that no command names.
            var second = -Float.infinity
            for label in 0..<labelCount where label != best { second = max(second, scores[burst * labelCount + label]) }
            if labelCount == 1 { first = isAlone(burst, first, resolver) ? .infinity : 0 }
            leads[burst] = labelCount == 1 ? first : first - second
            for label in 0..<labelCount { scores[burst * labelCount + label] -= against[burst * labelCount + label] }
            if best >= 0, impossible[burst * labelCount + best] * 2 > untold[burst] { leads[burst] = 0 }
            labels[burst] = leads[burst] < (isFirst ? 1 : Resolver.leastLead) ? -1 : best
        }
    }

    /// Where commands name one domain only, a burst is of that if something says so. It may be of a domain that sends none: one
    /// that no device is attached to, unmapped by the task that took its device out.
    private func isAlone(_ burst: Int, _ score: Float, _ resolver: Resolver) -> Bool {
        let isMover = resolver.departures.isMover(entries[firsts[burst]].task)
        return score > 0 || untold[burst] > 0 && score == 0 && !isMover
    }

    // MARK: - Decision

    /// Goes through the window once more and decides on each operation so that maps and unmaps fit together.
    private mutating func finish(_ resolver: inout Resolver) {
        live = liveAtBegin(&entries)
        pieceBudget = Self.pieceBudget
        swap(&occupancy, &resolver.occupancy)
        swap(&mapped, &resolver.mapped)
        defer {
            swap(&occupancy, &resolver.occupancy)
            swap(&mapped, &resolver.mapped)
        }
        verdicts.reserveCapacity(count)
        for index in 0..<count {
            if entries[index].isMap {
                finishMap(index)
            } else {
                finishUnmap(index)
            }
            let entry = entries[index]
            verdicts.append(Verdict(label: entry.label >= 0 ? entry.label : nil, grade: entry.grade))
            if entry.label >= 0 {
                let place = entry.feature * Resolver.labelLimit + entry.label
                while resolver.featureCounts.count <= place { resolver.featureCounts.append(0) }
                resolver.featureCounts[place] += 1
            }
        }
    }

    private var live = LiveMaps(slots: 0)
    private var occupancy = Occupancy()
    private var mapped = EverMapped()

    private mutating func finishMap(_ index: Int) {
        let entry = entries[index]
        var (label, grade, lead) = (-1, Grade.ambiguous, Float(0))
        if entry.fixed >= 0 {
            (label, grade, lead) = (entry.fixed, entry.fixedGrade, .infinity)
        } else if entry.pair >= 0 {
            (label, grade, lead) = (entry.pair, entry.isCertain ? .hardware : .inferred, .infinity)
        } else if labelCount > 0 {
            (label, lead) = (labels[entry.burst], leads[entry.burst])
            if lead < Resolver.leastLead { label = -1 }
            // Who is sure takes the place of an old map: that was not the domain's, or has gone unseen.
            let takes = lead >= Resolver.sure && labelCount > 1 && label >= 0 && hasOnlyOld(label, entry)
            if label >= 0, labelCount > 1, !takes { label = free(label, entry) }
            if label >= 0 { grade = .inferred }
        }
        if label >= 0 {
            if occupancy.labels(entry) >> UInt32(label) & 1 != 0 { evict(label, entry) }
            occupancy.add(label, entry)
        }
        entries[index].label = label
        entries[index].grade = grade
        entries[index].confidence = lead
        mapped.add(entry)
        live.append(index, &entries)
    }

    /// The domain maps what another map is still live at: one that was taken for one of this domain wrongly, or whose unmap
    /// was not recognised.
    private mutating func evict(_ label: Int, _ entry: Entry) {
        let reach: UInt64 = 32 << 12
        var address = entry.iova > reach ? entry.iova - reach : 0
        let end = entry.iova &+ min(entry.size, reach)
        while address < end {
            var other = addresses.find(address).map { live.heads[$0] } ?? -1
            while other >= 0 {
                let (next, former) = (entries[other].next, entries[other])
                if former.label == label, former.iova &+ former.size > entry.iova || former.iova >= entry.iova {
                    if former.grade == .inferred, former.pair < 0, labelCount > 1 {
                        // It stays, for whoever unmaps it.
                        correct(other, to: -1)
                        entries[other].confidence = 0
                    } else {
                        live.remove(other, &entries)
                        occupancy.remove(label, former)
                    }
                }
                other = next
            }
            address = address &+ 4096
        }
    }

    /// Whether all that is live of the label at the same address was only inferred in an earlier window.
    private func hasOnlyOld(_ label: Int, _ entry: Entry) -> Bool {
        guard entry.excluded >> UInt32(label) & 1 == 0 else { return false }
        var (other, isFound) = (live.heads[entry.slot], false)
        while other >= 0 {
            if entries[other].label == label {
                guard entries[other].burst < 0, entries[other].pair < 0, entries[other].grade == .inferred else {
                    return false
                }
                isFound = true
            }
            other = entries[other].next
        }
        return isFound
    }

    /// The label, if its domain has nothing at the map's address, otherwise the best other one of which that is true.
    private func free(_ label: Int, _ entry: Entry) -> Int {
        let taken = entry.excluded | occupancy.labels(entry)
        if taken >> UInt32(label) & 1 == 0 { return label }
        var best = -1
        for label in 0..<labelCount where taken >> UInt32(label) & 1 == 0 {
            if best < 0 || scores[entry.burst * labelCount + label] > scores[entry.burst * labelCount + best] {
                best = label
            }
        }
        return best
    }

    private mutating func finishUnmap(_ index: Int) {
        findCandidates(index, live)
        if candidates.isEmpty, finishPart(index) { return }
        let entry = entries[index]
        var (label, grade) = (-1, Grade.ambiguous)
        if entry.fixed >= 0 {
            (label, grade) = (entry.fixed, entry.fixedGrade)
        } else if labelCount > 0, leads[entry.burst] >= Resolver.leastLead {
            label = entry.possible(labels[entry.burst])
            if label >= 0 { grade = .inferred }
        }
        if label >= 0, let own = candidates.first(where: { entries[$0].label == label }) {
            finishRemoval(own)
        } else if let weakest = weakestCandidate(of: entry) {
            if entry.fixed < 0 {
                // It removes what is there, of whichever domain: otherwise that would stay, and this be of nothing.
                label = entry.possible(entries[weakest].label)
                if label < 0, entries[weakest].label >= 0, entries[weakest].grade == .inferred {
                    for map in pieces.isEmpty ? [weakest] : pieces { correct(map, to: -1) }
                }
                grade = label >= 0 ? .inferred : .ambiguous
                finishRemoval(weakest)
            } else if entries[weakest].grade.rawValue > Grade.hardware.rawValue, entries[weakest].pair < 0 {
                for map in pieces.isEmpty ? [weakest] : pieces { correct(map, to: label) }
                finishRemoval(weakest)
            }
        }
        if labelCount > 1, candidates.isEmpty, entry.fixed < 0, mapped.mayHold(entry) {
            // Something was mapped there, and nobody is left who could have it: the domain may be any of those that had it.
            (label, grade) = (-1, .ambiguous)
        }
        entries[index].label = label
        entries[index].grade = grade
        if label >= 0 { occupancy.remove(label, entry) }
        if entry.fixed >= 0 { exclude(entry.fixed, live.heads[entry.slot], size: entry.size) }
    }

    /// The live map that the unmap most probably removes where none is of its own domain.
    private func weakestCandidate(of unmap: Entry) -> Int? {
        let possible = candidates.filter { unmap.possible(entries[$0].label) == entries[$0].label }
        return (possible.isEmpty ? candidates : possible).min { entries[$0].confidence < entries[$1].confidence }
    }

    /// An unmap of the first bytes of a larger map is of that map's domain; what it leaves is a map of its own.
    private mutating func finishPart(_ index: Int) -> Bool {
        let entry = entries[index]
        guard entry.size > 0 else { return false }
        var whole = live.heads[entry.slot]
        while whole >= 0, entries[whole].size <= entry.size || entry.fixed >= 0 && entries[whole].label != entry.fixed {
            whole = entries[whole].next
        }
        guard whole >= 0 else { return false }
        let (rest, overflow) = entry.iova.addingReportingOverflow(entry.size)
        guard !overflow else { return false }
        live.remove(whole, &entries)
        let label = entry.possible(entries[whole].label)
        if label < 0, entries[whole].label >= 0, entries[whole].grade == .inferred { correct(whole, to: -1) }
        entries[index].label = label
        if entry.fixed >= 0 {
            entries[index].grade = entry.fixedGrade
        } else {
            entries[index].grade = label >= 0 ? .inferred : .ambiguous
        }
        if entries[whole].label >= 0 { occupancy.remove(entries[whole].label, entry) }
        entries[whole].iova = rest
        entries[whole].size -= entry.size
        entries[whole].slot = slot(of: rest)
        while live.heads.count < addresses.count { live.heads.append(-1) }
        live.append(whole, &entries)
        return true
    }

    private mutating func finishRemoval(_ map: Int) {
        live.remove(map, &entries)
        for piece in pieces.dropFirst() { live.remove(piece, &entries) }
    }

    /// A map was taken for one of another domain, or of none, when less was known.
    private mutating func correct(_ map: Int, to label: Int) {
        let entry = entries[map]
        let former = Verdict(label: entry.label >= 0 ? entry.label : nil, grade: entry.grade)
        let now = Verdict(label: label >= 0 ? label : nil, grade: label >= 0 ? .inferred : .ambiguous)
        if entry.label >= 0 { occupancy.remove(entry.label, entry) }
        if label >= 0 { occupancy.add(label, entry) }
        entries[map].label = label
        entries[map].grade = now.grade
        if entry.burst < 0 {
            late.append((entry.id, former, now))
        } else {
            verdicts[map] = now
        }
    }

    /// Hands the maps that are live at the window's end on to the next one.
    mutating func carry(into resolver: inout Resolver) {
        for (slot, entry) in addresses.entries.enumerated() {
            let address = entry.key
            var maps: ContiguousArray<Entry> = []
            var index = live.heads[slot]
            while index >= 0 {
                entries[index].burst = -1
                entries[index].isCertain = false
                maps.append(entries[index])
                index = entries[index].next
            }
            if let former = resolver.carried[address] {
                resolver.carriedCount -= former.count
                if slot >= ownAddresses { maps = former + maps }
            }
            guard !maps.isEmpty, resolver.carriedCount < Resolver.memoryLimit else {
                resolver.carried[address] = nil
                continue
            }
            resolver.carriedCount += maps.count
            resolver.carried[address] = maps
        }
    }
}
