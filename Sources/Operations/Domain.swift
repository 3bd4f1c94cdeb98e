/// A domain of the log: a kernel pointer and a generation, because the kernel reuses pointers (definitions.md, Words).
public struct Domain: Sendable {
    /// What a domain is for, as far as the log tells (model.md §1.1).
    public enum Kind: String, CaseIterable, Sendable {
        case unknown
        /// The kernel's DMA API.
        case dma
        /// The caller maps by itself: VFIO, iommufd, GPU drivers.
        case unmanaged
        /// No translation.
        case identity
        /// Nothing passes.
        case blocked

        /// Domain types by their feature bits (model.md §1.1).
        init(type: UInt64) {
            if type & 2 != 0 {
                self = .dma
            } else if type & 1 != 0 {
                self = .unmanaged
            } else if type & 4 != 0 {
                self = .identity
            } else {
                self = type == 0 ? .blocked : .unknown
            }
        }
    }

    /// Who maps and unmaps in the domain, which decides when it is flushed (model.md §2).
    public enum Owner: String, CaseIterable, Sendable {
        case unknown
        /// The kernel's DMA API.
        case dma
        /// VFIO's type1 driver.
        case type1
        /// iommufd.
        case iommufd

        var kind: Kind {
            switch self {
            case .unknown: .unknown
            case .dma: .dma
            case .type1, .iommufd: .unmanaged
            }
        }
    }

    /// What the domain did with its flushes (design §4 2).
    public enum Mode: String, CaseIterable, Sendable {
        case strict
        case deferred
        /// Deferred, but that the two-step DMA API synced some unmaps at once.
        case mixed
        case unknown

        /// Whether a flush queue had flushes of the domain to make.
        public var defers: Bool { self == .deferred || self == .mixed }
    }

    /// How something is known (definitions.md, Words).
    public enum Evidence: String, CaseIterable, Sendable {
        case recorded
        case inferred
        case assumed
    }

    /// The kernel's address; `nil` for a domain that is known by a device's name only, and for the one that stands for
    /// all operations of which neither is known.
    public let pointer: UInt64?
    /// The device that it is known by, if its events name that in place of an address. Devices of one group have one
    /// domain each here.
    public internal(set) var deviceName: String?
    /// Whether it is known by ``hardwareDomain`` only.
    public internal(set) var isHardwareName = false
    /// How many of its maps and unmaps rest on each grade, by raw value.
    private var grades = InlineArray<8, Int64>(repeating: 0)
    /// How many domains had this address before.
    public let generation: Int
    /// What it is for.
    public internal(set) var kind: Kind = .unknown
    /// How ``kind`` is known.
    public internal(set) var kindEvidence: Evidence = .assumed
    /// Who maps and unmaps in it.
    public internal(set) var owner: Owner = .unknown
    /// How ``owner`` is known.
    public internal(set) var ownerEvidence: Evidence = .assumed
    /// The id that the hardware last knew it by.
    public internal(set) var hardwareDomain: Int64?
    /// Times in ns of its allocation and its free, if recorded.
    public internal(set) var allocated: Int64?
    /// Time in ns of its free, if recorded.
    public internal(set) var freed: Int64?
    /// Whether a device was ever seen to be attached.
    public internal(set) var wasAttached = false
    /// Whether a flush of it reached the hardware before any attach was seen: a device was there before the recording.
    public internal(set) var wasAttachedBefore = false

    var isUsed = false
    /// A return probe named a caller that is none of the kernel's own owners.
    var hasOtherCaller = false
    /// The log shows its allocation on a kernel where VFIO would have tested it for superpages next (up to 6.15).
    var wouldHaveBeenTested = false
    /// The line on which it was freed, or its address was another domain's; 0 if it was not.
    var goneLine: Int64 = 0
    var census = FlushCensus()
    var probeCandidate = ProbeCandidate()
    var teardown = TeardownShape()
    /// Which calls a teardown is made of, where probes tell: those of `iommu_unmap` and of `iommu_unmap_fast`.
    var strictCalls: Int64 = 0
    /// See ``strictCalls``.
    var fastCalls: Int64 = 0
    /// Unmaps of just as many scattered pages as one batch of iommufd takes.
    var fullBatches: Int64 = 0
    /// 5,461 pages of 4096 bytes, no two of them neighbours in memory (model.md §2.2).
    static let batchBytes: UInt64 = 5461 * 4096

    init(pointer: UInt64?, generation: Int) {
        self.pointer = pointer
        self.generation = generation
    }

    /// What reports call it.
    public var name: String {
        guard let pointer else {
            if isHardwareName, let hardwareDomain { return "hw:\(hardwareDomain)" }
            return deviceName ?? "unresolved"
        }
        let address = "0x" + String(pointer, radix: 16)
        return generation == 0 ? address : "\(address)#\(generation)"
    }

    /// Whether its operations are known to be its own.
    public var evidence: Evidence {
        pointer != nil ? .recorded : deviceName != nil || isHardwareName ? .inferred : .assumed
    }

    /// How many of its maps and unmaps are known to be its own in this way.
    public func operations(_ grade: Grade) -> Int64 { grades[Int(grade.rawValue)] }

    mutating func count(_ grade: Grade, _ operations: Int64) { grades[Int(grade.rawValue)] += operations }

    /// What it did with its flushes.
    public var mode: Mode { census.mode }
    /// The counts that ``mode`` rests on, in words.
    public var modeReason: String { census.reason }
    /// Unmap calls of the domain that say they defer their flush.
    public var queuedUnmaps: Int64 { census.queued }

    mutating func learn(_ kind: Kind, _ evidence: Evidence) {
        guard self.kind == .unknown || evidence == .recorded, kindEvidence != .recorded else { return }
        self.kind = kind
        kindEvidence = evidence
        if kind == .dma { learn(owner: .dma, evidence) }
    }

    mutating func learn(owner: Owner, _ evidence: Evidence) {
        guard self.owner == .unknown || evidence == .recorded, ownerEvidence != .recorded else { return }
        self.owner = owner
        ownerEvidence = evidence
        learn(owner.kind, evidence)
    }

    /// What all that happened in it tells.
    ///
    /// * Who gives back a guest's memory unmaps for himself (``TeardownShape``): iommufd by calls that sync or in full batches.
    /// * Who gathers many unmaps for one sync is, in the kernel, VFIO's type1 driver. The DMA API syncs each unmap by itself or none.
    mutating func conclude() {
        if queuedUnmaps == 0, teardown.isTeardown {
            learn(.unmanaged, .inferred)
            // type1 calls iommu_unmap_fast, but for its test at attach.
            if kind == .unmanaged, !hasOtherCaller, !wouldHaveBeenTested {
                if strictCalls > fastCalls || fastCalls == 0 && fullBatches > 0 {
                    learn(owner: .iommufd, .inferred)
                } else if fastCalls > 0 {
                    learn(owner: .type1, .inferred)
                }
            }
        }
        guard pointer != nil, kind != .dma, !hasOtherCaller, !wouldHaveBeenTested, census.isGathering else { return }
        learn(owner: .type1, .inferred)
    }
}

/// Counts by which a domain's mode is told: how its unmaps were followed by flushes (design §4 2).
struct FlushCensus: Sendable {
    private struct PerCPU {
        var unmaps: Int64 = 0
        /// Unmaps that a flush of the domain followed before the CPU's next unmap.
        var flushed: Int64 = 0
        /// The last unmap waits for its flush.
        var isOpen = false
        /// How many flush_alls there had been when it began to wait: a later one covers the unmaps of all CPUs.
        var flushAllsBefore: Int64 = 0

        mutating func settle(flushAlls: Int64) {
            if isOpen, flushAllsBefore < flushAlls {
                flushed += 1
                isOpen = false
            }
        }
    }

    private var cpus: ContiguousArray<PerCPU> = []
    private var indexOfCPU: [Int32: Int] = [:]
    private var last: (cpu: Int32, index: Int) = (-1, 0)
    private var unmapsSinceFlush: Int64 = 0
    private var flushAlls: Int64 = 0
    /// Unmaps that a later flush closed.
    private var closedLater: Int64 = 0
    /// Unmaps whose caller said that it defers the flush.
    private(set) var queued: Int64 = 0
    /// Calls of unmap_fast whose caller said that it does not.
    private var unqueued: Int64 = 0
    /// Syncs that cover more than the unmap before them on their CPU.
    private var gatheredSyncs: Int64 = 0

    /// - Parameter isQueued: what the caller of unmap_fast says; `nil` for another call, and where it is not known.
    mutating func unmap(cpu: Int32, isQueued: Bool?) {
        let index = index(of: cpu)
        cpus[index].settle(flushAlls: flushAlls)
        cpus[index].unmaps += 1
        cpus[index].isOpen = true
        cpus[index].flushAllsBefore = flushAlls
        unmapsSinceFlush += 1
        switch isQueued {
        case true?: queued += 1
        case false?: unqueued += 1
        case nil: break
        }
    }

    /// A sync covers more than the unmap before it.
    mutating func gathered() { gatheredSyncs += 1 }

    /// Whether syncs are for several unmaps, and most unmaps have none of their own.
    var isGathering: Bool { gatheredSyncs > 0 && queued == 0 && closedLater * 2 >= totals.unmaps }

    mutating func flush(cpu: Int32, isFlushAll: Bool) {
        let index = index(of: cpu)
        cpus[index].settle(flushAlls: flushAlls)
        let closesOwn = cpus[index].isOpen
        if isFlushAll {
            flushAlls += 1
            cpus[index].settle(flushAlls: flushAlls)
        } else if closesOwn {
            cpus[index].flushed += 1
            cpus[index].isOpen = false
        }
        closedLater += max(unmapsSinceFlush - (closesOwn ? 1 : 0), 0)
        unmapsSinceFlush = 0
    }

    /// A flush of the whole domain that is for none of its unmaps in particular.
    mutating func flushLater() {
        for index in cpus.indices {
            cpus[index].settle(flushAlls: flushAlls)
            cpus[index].isOpen = false
        }
        closedLater += unmapsSinceFlush
        unmapsSinceFlush = 0
    }

    private mutating func index(of cpu: Int32) -> Int {
        if last.cpu == cpu { return last.index }
        let index = indexOfCPU[cpu] ?? cpus.count
        if index == cpus.count {
            cpus.append(PerCPU())
            indexOfCPU[cpu] = index
        }
        last = (cpu, index)
        return index
    }

    private var settled: ContiguousArray<PerCPU> {
        var cpus = cpus
        for index in cpus.indices { cpus[index].settle(flushAlls: flushAlls) }
        return cpus
    }

    private var totals: (unmaps: Int64, flushed: Int64) {
        settled.reduce((0, 0)) { ($0.0 + $1.unmaps, $0.1 + $1.flushed) }
    }

    var mode: Domain.Mode {
        let totals = totals
        guard totals.unmaps > 0 else { return .unknown }
        if queued > 0, unqueued > 0 { return .mixed }
        if queued * 2 > totals.unmaps { return .deferred }
        if settled.allSatisfy({ $0.flushed * 100 >= $0.unmaps * 99 }) { return .strict }
        return queued > 0 || flushAlls > 0 || closedLater > 0 ? .deferred : .unknown
    }

    var reason: String {
        let totals = totals
        guard totals.unmaps > 0 else { return "no unmaps" }
        if queued > 0 {
            let others = unqueued > 0 ? ", \(unqueued) that it is not" : ""
            return "\(queued) of \(totals.unmaps) unmaps say that their flush is queued\(others)"
        }
        if mode == .strict {
            return "\(totals.flushed) of \(totals.unmaps) unmaps are flushed before the CPU's next unmap"
        }
        if closedLater > 0 { return "\(closedLater) of \(totals.unmaps) unmaps are closed by a later flush" }
        return "no flush follows \(totals.unmaps - totals.flushed) of \(totals.unmaps) unmaps"
    }
}

/// Recognises the two-page test by which VFIO finds out whether a driver splits superpages (model.md §2.1): a map of
/// two pages, directly followed by an unmap of the first and, if that removed one page only, of the second.
struct ProbeCandidate: Sendable {
    private var nextPage: UInt64?
    private var pagesLeft = 0

    mutating func map(iova: UInt64, size: UInt64) {
        pagesLeft = size == 8192 ? 2 : 0
        nextPage = iova
    }

    /// Whether this unmap is part of the test.
    mutating func unmap(iova: UInt64, size: UInt64, isFast: Bool) -> Bool {
        guard pagesLeft > 0, !isFast, size == 4096, iova == nextPage else {
            pagesLeft = 0
            return false
        }
        pagesLeft -= 1
        nextPage = iova &+ 4096
        return true
    }

    mutating func anythingElse() { pagesLeft = 0 }
}
