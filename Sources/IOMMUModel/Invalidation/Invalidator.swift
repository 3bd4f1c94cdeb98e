/// One domain's way from unmaps and syncs to commands, under one ``Hardware``.
///
/// No log of today's tracepoints tells how many IOMMUs a domain has, nor of device TLBs: one and none, unless ``Hardware`` says
/// otherwise (model.md §4: I and D).
public struct Invalidator: Sendable {
    /// What leads to the commands.
    public let hardware: Hardware
    private let profile: HardwareProfile
    private let pageSizes: PageSizes
    /// What was gathered since the last sync.
    private var gather = Gather()
    /// Commands since the last ``takeCommands(_:)``, if somebody wants them.
    private var commands: ContiguousArray<InvalidationCommand>?
    /// Flushes since then, and where their commands begin.
    private var flushes: ContiguousArray<(flush: Flush, firstCommand: Int)> = []

    /// What the driver was told to flush at once: `iotlb_sync`, `flush_iotlb_all` or `iotlb_sync_map`.
    public enum Flush: Hashable, Sendable {
        /// A sync of what was gathered; `nil` if nothing was.
        case sync(AddressRange?)
        /// All of the domain.
        case all
        /// What was just mapped.
        case map(AddressRange)
    }

    /// What one IOMMU without device TLBs was sent.
    private var own = InvalidationCounts()
    /// Waits of them that maps asked for.
    private var mapWaits: Int64 = 0

    /// What it all came to: each IOMMU of the domain is told the same, and each device with a TLB of its own (model.md §4).
    public var counts: InvalidationCounts { own.multiplied(for: hardware, ofMaps: mapWaits) }

    /// Hands over ``counts`` and begins anew: what others are to answer for. What is gathered stays.
    public mutating func takeCounts() -> InvalidationCounts {
        defer {
            let isOpen = own.isOpen
            (own, mapWaits) = (InvalidationCounts(), 0)
            own.isOpen = isOpen
        }
        return counts
    }

    /// Leaves that an unmap removed, in order of address.
    public typealias LeavesSlice = ArraySlice<TranslationMap.Run>

    /// Nothing gathered, nothing counted.
    ///
    /// - Parameters:
    ///   - pageSizes: those that the unmaps' callbacks are made of.
    ///   - keepsCommands: whether each command is kept for ``takeCommands(_:)``.
    public init(_ hardware: Hardware, pageSizes: PageSizes, keepsCommands: Bool = false) {
        self.hardware = hardware
        profile = hardware.profile
        self.pageSizes = pageSizes
        commands = keepsCommands ? [] : nil
    }

    /// Hands over the commands sent since the last time, in order.
    public mutating func takeCommands(_ body: (InvalidationCommand) -> Void) {
        guard let sent = commands, !sent.isEmpty else { return }
        for command in sent { body(command) }
        forgetCommands()
    }

    /// Hands over the flushes since the last time, in order, each with the commands that it became.
    ///
    /// Commands that a driver sends by itself, callback by callback, are in none.
    public mutating func takeFlushes(_ body: (Flush, ArraySlice<InvalidationCommand>) -> Void) {
        guard !flushes.isEmpty, let sent = commands.map(Array.init) else { return }
        for (index, (flush, first)) in flushes.enumerated() {
            body(flush, sent[first..<(index + 1 < flushes.count ? flushes[index + 1].firstCommand : sent.count)])
        }
        forgetCommands()
    }

    private mutating func forgetCommands() {
        commands?.removeAll(keepingCapacity: true)
        flushes.removeAll(keepingCapacity: true)
    }

    /// What is kept from now on belongs to this flush.
    private mutating func begin(_ flush: Flush) {
        if let commands { flushes.append((flush, commands.count)) }
    }

    // MARK: - Unmaps

    /// An unmap that a sync is to follow: `iommu_unmap_fast`, or the first part of `iommu_unmap`.
    ///
    /// - Parameters:
    ///   - leaves: what was there, as far as known. Where an unmap covers all of a page table, the table goes too, and caches
    ///     of tables have to forget it (model.md §3.4).
    ///   - isQueued: the gather is a flush queue's. Drivers add nothing to it, but Arm flushes what leads to a table all the same.
    public mutating func unmap(_ range: AddressRange, leaves: LeavesSlice = [], isQueued: Bool = false) {
        if isQueued {
            if profile.collecting == .spansOfOnePageSize { flushWalks(range, leaves) }
            return
        }
        switch profile.collecting {
        case .wholeDomain: break
        case .oneSpan:
            if hardware.cachesAbsent, let held = gather.range, held.joined(with: range) == nil { flushGather() }
            gather(range, length: 0, by: .anything)
        case .eachPage:
            own.add(commands: callbacks(range))
            own.pages &+= Self.pages(range)
            keep(InvalidationCommand(range, hint: .leavesOnly, count: callbacks(range)))
        case .eachCallback: flushEachPage(range)
        case .spansOfOneCallbackSize, .spansOfOnePageSize:
            pageSizes.forEachCallback(in: range) { iova, callback in
                guard let added = AddressRange(start: iova, size: callback.size) else { return }
                let tables = Self.tables(in: added, pageSize: callback.pageSize, leaves)
                if profile.collecting == .spansOfOneCallbackSize {
                    // The driver frees tables before it gathers: also a sync because this does not fit sees them.
                    if tables > 0 { gather.addTables() }
                    gather(added, length: callback.size, by: .callbacks)
                } else if tables > 0 {
                    flushWalks(added, pageSize: callback.pageSize, tables: tables)
                } else {
                    gather(added, length: callback.pageSize, by: .pages)
                }
            }
        }
    }

    /// Each page of an unmap flushed by a callback of its own, as before the interface existed.
    public mutating func flushEachPage(_ range: AddressRange) {
        own.add(commands: callbacks(range), waits: callbacks(range))
        if profile.collecting == .wholeDomain {
            own.add(domainCommands: callbacks(range))
            keep(.wholeDomain)
        } else {
            own.pages &+= Self.pages(range)
            keep(InvalidationCommand(range, hint: .tablesToo, count: callbacks(range)))
        }
    }

    /// How many tables go with all that an unmap's callback covers: those with leaves smaller than the callback's pages.
    public static func tables(in callback: AddressRange, pageSize: UInt64, _ leaves: LeavesSlice) -> UInt64 {
        let shift = UInt64(truncatingIfNeeded: pageSize.trailingZeroBitCount)
        var tables: UInt64 = 0
        var next: UInt64 = 0
        for leaf in leaves where leaf.pageSize < pageSize {
            guard let shared = leaf.range.intersection(callback) else { continue }
            let first = max(shared.start >> shift, next)
            let last = shared.last >> shift
            guard first <= last else { continue }
            tables &+= last &- first &+ 1
            next = last &+ 1
        }
        return tables
    }

    /// Flushes what leads to the tables that an unmap takes away.
    private mutating func flushWalks(_ range: AddressRange, _ leaves: LeavesSlice) {
        pageSizes.forEachCallback(in: range) { iova, callback in
            guard let part = AddressRange(start: iova, size: callback.size) else { return }
            let tables = Self.tables(in: part, pageSize: callback.pageSize, leaves)
            if tables > 0 { flushWalks(part, pageSize: callback.pageSize, tables: tables) }
        }
    }

    /// Arm flushes what leads to a table when it takes the table away, strict or not: `io_pgtable_tlb_flush_walk`.
    private mutating func flushWalks(_ range: AddressRange, pageSize: UInt64, tables: UInt64) {
        let pages =
            profile == .smmuv3RIL ? SMMUv3.rangeCommands(pages: pageSize >> 12) : Int64(clamping: pageSize >> 12)
        let (sent, overflow) = pages.multipliedReportingOverflow(by: Int64(clamping: tables))
        own.add(commands: overflow ? .max : sent, waits: Int64(clamping: tables))
        own.pages &+= Self.pages(range)
        keep(InvalidationCommand(range, hint: .tablesToo, count: overflow ? .max : sent))
    }

    // MARK: - Maps

    /// A map, `iommu_map` or all of one `iommu_map_sg`: hardware that caches absent translations has to forget them.
    public mutating func map(_ range: AddressRange) {
        guard hardware.cachesAbsent else { return }
        begin(.map(range))
        let before = own.waits
        defer { mapWaits &+= own.waits &- before }
        switch profile.collecting {
        case .wholeDomain: sendDomain()
        case .eachCallback: flushEachPage(range)
        case .eachPage, .spansOfOneCallbackSize, .spansOfOnePageSize, .oneSpan:
            send(range, asked: Self.pages(range), pageSize: 4096, hint: .tablesToo)
        }
    }

    // MARK: - Flushes

    /// `iommu_tlb_sync`: what was gathered leaves for the hardware.
    ///
    /// Also where nothing was unmapped: the contract syncs then, and the range of an empty gather, from 2^64 - 1 to 0, reads as
    /// one page with Intel's driver of 6.1 and as everything with today's Intel and AMD drivers (model.md §1.6).
    public mutating func sync() {
        switch profile.collecting {
        case .wholeDomain:
            begin(.all)
            sendDomain()
        case .eachPage: own.add(waits: 1)
        case .eachCallback: break
        case .oneSpan, .spansOfOneCallbackSize:
            if gather.range != nil {
                flushGather()
                return
            }
            gather.clear()
            begin(.sync(nil))
            if profile == .vtd61 {
                own.add(pages: 1, asked: 0)
                own.add(waits: 1)
                keep(InvalidationCommand(AddressRange(uncheckedStart: ~0xfff, last: .max), hint: .tablesToo))
            } else {
                sendDomain()
            }
        case .spansOfOnePageSize:
            if gather.range == nil { begin(.sync(nil)) }
            flushGather()
        }
    }

    /// `iommu_flush_tlb_all`, or a flush queue's flush.
    public mutating func flushAll() {
        gather.clear()
        begin(.all)
        sendDomain()
    }

    /// A sync of the log, of which the range is known.
    public mutating func sync(_ range: AddressRange) {
        begin(.sync(range))
        switch profile.collecting {
        case .wholeDomain: sendDomain()
        case .eachPage:
            own.add(commands: callbacks(range), waits: 1)
            own.pages &+= Self.pages(range)
            keep(InvalidationCommand(range, hint: .leavesOnly, count: callbacks(range)))
        case .eachCallback: flushEachPage(range)
        case .oneSpan, .spansOfOneCallbackSize:
            send(range, asked: Self.pages(range), pageSize: 4096, hint: profile.hasHint ? .leavesOnly : .tablesToo)
        case .spansOfOnePageSize:
            send(range, asked: Self.pages(range), pageSize: pageSizes.granule, hint: .leavesOnly)
        }
    }

    // MARK: - Spans

    /// `iommu_iotlb_gather_add_page` and `iommu_iotlb_gather_add_range`.
    private mutating func gather(_ added: AddressRange, length: UInt64, by rule: Gather.Rule) {
        if let before = gather.add(added, length: length, by: rule) { flush(before) }
    }

    private mutating func flushGather() {
        if let span = gather.take() { flush(span) }
    }

    private mutating func flush(_ span: Gather.Span) {
        begin(.sync(span.range))
        let hint: InvalidationHint = profile.hasHint && !span.holdsTables ? .leavesOnly : .tablesToo
        send(span.range, asked: min(span.pages, Self.pages(span.range)), pageSize: span.length, hint: hint)
    }

    // MARK: - Commands

    /// One flush of a range, with its wait.
    private mutating func send(_ range: AddressRange, asked: UInt64, pageSize: UInt64, hint: InvalidationHint) {
        let pages = Self.pages(range)
        switch profile {
        case .vtd419, .vtd61, .vtd612:
            let mask = VTd.mask(page: range.start >> 12, count: pages)
            guard mask <= VTd.maximumMask else {
                sendDomain()
                return
            }
            own.add(pages: 1 << UInt64(mask), asked: asked)
            let block = range.roundedOut(to: 4096 << UInt64(mask))
            keep(
                InvalidationCommand(
                    block, address: profile == .vtd612 ? block.start : range.start & ~0xfff, mask: mask, hint: hint))
        case .amd419, .amd6:
            guard !hardware.cachesAbsent else {
                sendAlignedPieces(of: range)
                return
            }
            guard let bits = AMDvi.coverage(of: range) else {
                sendDomain()
                return
            }
            own.add(pages: 1 << UInt64(bits - 12), asked: asked)
            keep(InvalidationCommand(range.roundedOut(to: 1 << UInt64(bits)), mask: bits - 12, hint: .tablesToo))
        case .contract, .smmuv3:
            let sent = Int64(clamping: (range.last - range.start) / max(pageSize, 4096) &+ 1)
            own.add(commands: sent)
            own.pages &+= pages
            own.overPages &+= pages &- asked
            keep(InvalidationCommand(range, hint: hint, count: sent))
        case .smmuv3RIL:
            let sent = SMMUv3.rangeCommands(pages: pages)
            own.add(commands: sent)
            own.pages &+= pages
            own.overPages &+= pages &- asked
            keep(InvalidationCommand(range, hint: hint, count: sent))
        }
        own.add(waits: 1)
    }

    /// AMD's driver spares a hypervisor what was not changed: one command for each aligned power of two (model.md §4.2).
    private mutating func sendAlignedPieces(of range: AddressRange) {
        PageSizes.everyPowerOfTwo.forEachCallback(in: range) { iova, callback in
            let pages = callback.pageSize >> 12
            let mask = pages.trailingZeroBitCount
            var start = iova
            for _ in 0..<callback.count {
                guard let piece = AddressRange(start: start, size: callback.pageSize) else { return }
                own.add(pages: pages, asked: pages)
                keep(InvalidationCommand(piece, mask: mask, hint: .tablesToo))
                start &+= callback.pageSize
            }
        }
        own.add(waits: 1)
    }

    private mutating func sendDomain() {
        own.addDomain()
        keep(.wholeDomain)
    }

    private mutating func keep(_ command: InvalidationCommand) { commands?.append(command) }

    /// Callbacks of the 4.15 loop.
    private func callbacks(_ range: AddressRange) -> Int64 { Int64(clamping: pageSizes.pageCount(of: range)) }

    private static func pages(_ range: AddressRange) -> UInt64 { (range.last >> 12) - (range.start >> 12) + 1 }
}
