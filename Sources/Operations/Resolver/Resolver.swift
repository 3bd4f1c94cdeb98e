import SeededTable

/// Finds the domains of maps and unmaps whose events name none (design §4 23, model.md §8.4).
///
/// What an event of the DMA API or a descriptor beside an operation says of its domain is taken as it is. From there it
/// goes on by what must be so: an unmap removes a map of its address and size, and a domain maps an address once at a time;
/// and by what mostly is so: what a task does on a CPU without pause it does for one device, and a flush queue hands
/// an address out again only after it was flushed. Where that leaves more than one domain, none is named.
///
/// It works on windows of the log. Between them it carries the maps that are still live, and counts: memory does not grow
/// with the log.
struct Resolver {
    /// Operations decided together.
    static let windowLength = 1 << 15
    /// Of a window so many wait for the next one: what tells of them may still come.
    static let margin = 256
    /// Labels told apart; operations of further ones stay ambiguous.
    static let labelLimit = 32
    /// Maps, freed addresses and kinds of operations that are remembered, so that a hostile log cannot fill memory.
    static let memoryLimit = 1 << 18
    static let featureLimit = 1 << 14

    /// Operations of one task on one CPU with shorter pauses (ns) than this are one burst, for one device.
    static let pauseInBurst: Int64 = 60_000
    /// A burst that begins so soon after another one of its task and CPU is probably for the same device.
    static let pauseBetweenNeighbours: Int64 = 1_000_000
    /// Scores by which a burst's first label must lead for others to rest on it, and to be given at all.
    static let sure: Float = 1.5
    static let leastLead: Float = 0.5

    /// Whoever unmaps flushes within this time (ns): a flush queue waits for 10 ms.
    static let flushDelay: Int64 = 100_000_000

    /// What a window leaves of the counts of those before it.
    static let memory: Float = 0.5

    /// The domains that the log has shown so far.
    private(set) var labels: [Label] = []
    private var indexOfLabel: [Label: Int] = [:]
    /// Whether events of the DMA API tell domains: the hardware's ids are then another name for the same ones.
    private(set) var namesDevices = false

    /// Maps of earlier windows that may be live, by address.
    var carried: [UInt64: ContiguousArray<Entry>] = [:]
    var carriedCount = 0
    /// Which labels have something mapped on each page.
    var occupancy = Occupancy()
    private var featureIndex: [Feature: Int] = [:]
    /// How often each feature had each label: `feature * labelLimit + label`.
    var featureCounts: ContiguousArray<Float> = []
    /// When each label was last flushed as a whole, in ns.
    var lastFlush: ContiguousArray<Int64> = []
    /// The last unmap of an address, while nothing was mapped there since.
    var freed = SeededTable<UInt64, Freed>()
    /// Its memory, for the next window.
    var graph = BurstGraph()
    /// Domains that their devices have left.
    var departures = Departures()
    /// What the log has mapped so far.
    var mapped = EverMapped()
    var reuse: [ReuseKey: Reuse] = [:]
    var windowNumber = 0

    /// What is counted of operations to tell where others of their kind belong.
    private struct Feature: Hashable {
        var task: Int32
        var isMap: Bool
        var size: UInt64
    }

    struct Freed {
        var time: Int64 = 0
        var size: UInt64 = 0
        var task: Int32 = 0
        var burst = 0
        var window = 0
        /// Unmaps of the address since it was mapped.
        var count = 0
    }

    struct ReuseKey: Hashable {
        var task: Int32
        var isMap: Bool
    }

    /// How often a task mapped an address again, or unmapped one that was mapped again, and how often each label had not
    /// been flushed in between: a flush queue of that domain would not have handed it out.
    struct Reuse {
        var total: Float = 0
        var withoutFlush = InlineArray<32, Float>(repeating: 0)
    }

    var featureCount: Int { featureIndex.count + 1 }

    mutating func feature(task: Int32, isMap: Bool, size: UInt64) -> Int {
        let key = Feature(task: task, isMap: isMap, size: size)
        if let index = featureIndex[key] { return index }
        guard featureIndex.count < Self.featureLimit else { return 0 }
        let index = featureIndex.count + 1
        featureIndex[key] = index
        return index
    }

    /// The index of a label, -1 if there are too many.
    mutating func index(of label: Label) -> Int {
        if let index = indexOfLabel[label] { return index }
        if case .device = label, !namesDevices {
            // What was told from hardware ids before stays; from here on devices tell.
            namesDevices = true
        }
        guard labels.count < Self.labelLimit else { return -1 }
        indexOfLabel[label] = labels.count
        labels.append(label)
        lastFlush.append(.min)
        return labels.count - 1
    }

    /// The index of a label that has been seen.
    func knownIndex(of label: Label) -> Int? { indexOfLabel[label] }

    /// Decides on operations in the order of the log, all of them maps and unmaps with an address and a size.
    ///
    /// - Parameters:
    ///   - clues: what stands beside them, in the order of the log.
    ///   - later: what stands behind them, as far as it is known.
    /// - Returns: one verdict each, and what has become clear of maps of earlier windows: id, label and grade.
    mutating func resolve(
        _ operations: ContiguousArray<Operation>, _ clues: ContiguousArray<Clue>, later: ArraySlice<Clue> = []
    ) -> (verdicts: ContiguousArray<Verdict>, late: [(id: Int64, former: Verdict, now: Verdict)]) {
        windowNumber += 1
        forgetSlowly()
        var window = ResolverWindow(operations, clues, later: later, &self)
        window.decide(&self)
        window.carry(into: &self)
        return (window.verdicts, window.late)
    }

    /// What was counted long ago weighs less: tasks end, and their numbers and the hardware's ids come again.
    private mutating func forgetSlowly() {
        for index in featureCounts.indices { featureCounts[index] *= Self.memory }
        for (key, counts) in reuse {
            var counts = counts
            counts.total *= Self.memory
            for label in 0..<labels.count { counts.withoutFlush[label] *= Self.memory }
            reuse[key] = counts.total < 0.5 ? nil : counts
        }
    }
}
