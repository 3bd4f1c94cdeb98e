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
    /// Where an unmap found nothing since then, if that matters.
    private var nothing: UInt64?
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
            if profile.driver == .arm { flushWalks(range, leaves) }
            return
        }
        switch profile.collecting {
        case .wholeDomain: break
        case .eachPage:
            own.add(commands: callbacks(range))
            own.pages &+= Self.pages(range)
            keep(InvalidationCommand(range, hint: .leavesOnly, count: callbacks(range)))
        case .eachCallback: flushEachPage(range)
        case .spans(.anything), .spans(.gaps):
            // The driver frees tables before it gathers: also a sync because this does not fit sees them.
            if profile.hasHint, freesTables(range, leaves) { gather.addTables() }
            gather(range, length: profile == .riscv72 ? Self.stride(leaves) : 0, by: hardware.gatherRule)
        case .spans(.callbacks):
            pageSizes.forEachCallback(in: range) { iova, callback in
                guard let added = AddressRange(start: iova, size: callback.size) else { return }
                if Self.tables(in: added, pageSize: callback.pageSize, leaves) > 0 { gather.addTables() }
                gather(added, length: callback.size, by: .callbacks)
            }
        case .spans(.pages):
            pageSizes.forEachCallback(in: range) { iova, callback in
                guard let added = AddressRange(start: iova, size: callback.size) else { return }
                let tables = Self.tables(in: added, pageSize: callback.pageSize, leaves)
                if profile.driver == .arm, tables > 0 {
                    flushWalks(added, pageSize: callback.pageSize, tables: tables)
                } else {
                    gather(added, length: tables > 0 ? pageSizes.granule : callback.pageSize, by: .pages)
                }
            }
        }
    }

    /// An unmap that a sync is to follow, and that found nothing at `iova`.
    public mutating func unmapNothing(at iova: UInt64) {
        if profile.gathersNothing { nothing = nothing.map { min($0, iova) } ?? iova }
    }

    /// Whether tables go with what an unmap covers. A table spans 2 MiB, 1 GiB or more, whatever page sizes a driver advertises.
    private func freesTables(_ range: AddressRange, _ leaves: LeavesSlice) -> Bool {
        guard range.size >= 1 << 21, !leaves.isEmpty else { return false }
        var frees = false
        PageSizes.fourKTwoMOneG.forEachCallback(in: range) { iova, callback in
            guard !frees, let part = AddressRange(start: iova, size: callback.size) else { return }
            frees = Self.tables(in: part, pageSize: callback.pageSize, leaves) > 0
        }
        return frees
    }

    /// Bytes from one command to the next: those of the smallest leaf, 4096 where that is not known.
    private static func stride(_ leaves: LeavesSlice) -> UInt64 {
        leaves.isEmpty ? 4096 : max(leaves.reduce(1 << 30) { min($0, $1.pageSize) }, 4096)
    }

    /// Each page of an unmap flushed by a callback of its own, as before the interface existed.
    public mutating func flushEachPage(_ range: AddressRange) {
        own.add(commands: callbacks(range), waits: callbacks(range))
        if case .wholeDomain = profile.collecting {
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
        let tables = Int64(clamping: tables)
        guard let pages = armCommands(pages: pageSize >> 12, pageSize: 4096) else {
            own.add(commands: tables, domainCommands: tables, waits: tables)
            keep(.wholeDomain)
            return
        }
        let (sent, overflow) = pages.multipliedReportingOverflow(by: tables)
        own.add(commands: overflow ? .max : sent, waits: tables)
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
        case .eachPage, .spans:
            send(range, asked: Self.pages(range), pageSize: 4096, hint: .tablesToo)
        }
    }

    // MARK: - Flushes

    /// `iommu_tlb_sync`: what was gathered leaves for the hardware.
    ///
    /// Also where nothing was unmapped: the contract syncs then, and the range of an empty gather, from 2^64 - 1 to 0, reads as
    /// one page with Intel's driver of 6.1 and as everything with Intel's and AMD's later ones, up to 6.19 (model.md §1.6).
    public mutating func sync() {
        let nothing = nothing
        self.nothing = nil
        switch profile.collecting {
        case .wholeDomain:
            begin(.all)
            sendDomain()
        case .eachPage: own.add(waits: 1)
        case .eachCallback: break
        case .spans where gather.range != nil: flushGather()
        case .spans:
            gather.clear()
            if profile.emptySync != .isNone { begin(.sync(nil)) }
            if let nothing {
                sendPageOfNothing(at: nothing)
                return
            }
            switch profile.emptySync {
            case .isNone, .sendsNothing: break
            case .sendsPage: sendPageOfNothing(at: .max)
            case .sendsDomain: sendDomain()
            }
        }
    }

    /// One page that nobody asked for.
    private mutating func sendPageOfNothing(at iova: UInt64) {
        let start = iova & ~0xfff
        own.add(pages: 1, asked: 0)
        own.add(waits: 1)
        keep(
            InvalidationCommand(
                AddressRange(uncheckedStart: start, last: start | 0xfff),
                hint: profile.hasHint ? .leavesOnly : .tablesToo))
    }

    /// `iommu_flush_tlb_all`, or a flush queue's flush.
    public mutating func flushAll() {
        gather.clear()
        nothing = nil
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
        case .spans:
            send(
                range, asked: Self.pages(range), pageSize: pageSizes.granule,
                hint: profile.hasHint ? .leavesOnly : .tablesToo)
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
        switch profile.driver {
        case .intel:
            let mask = VTd.mask(page: range.start >> 12, count: pages)
            guard mask <= (hardware.isFirstStage ? VTd.maximumFirstStageMask : VTd.maximumMask) else {
                sendDomain()
                return
            }
            own.add(pages: 1 << UInt64(mask), asked: asked)
            let block = range.roundedOut(to: 4096 << UInt64(mask))
            keep(
                InvalidationCommand(
                    block, address: profile == .vtd61 || profile == .vtd419 ? range.start & ~0xfff : block.start,
                    mask: mask, hint: hint))
        case .amd:
            guard !hardware.cachesAbsent else {
                sendAlignedPieces(of: range, hint: hint)
                return
            }
            guard let bits = AMDvi.coverage(of: range) else {
                sendDomain()
                return
            }
            own.add(pages: 1 << UInt64(bits - 12), asked: asked)
            keep(InvalidationCommand(range.roundedOut(to: 1 << UInt64(bits)), mask: bits - 12, hint: hint))
        case .none: send(range, commands: Self.commands(range, pageSize), asked: asked, hint: hint)
        case .arm:
            guard let commands = armCommands(pages: pages, pageSize: pageSize) else {
                sendDomain()
                return
            }
            send(range, commands: commands, asked: asked, hint: hint)
            if profile == .smmuv3RIL73 {
                let more = SMMUv3.pagesOfTwoCommands(covering: pages) &- pages
                own.pages &+= more
                own.overPages &+= more
            }
        case .riscv:
            guard let commands = riscvCommands(range, stride: pageSize) else {
                sendDomain()
                return
            }
            send(range, commands: commands, asked: asked, hint: hint)
        }
        own.add(waits: 1)
    }

    /// Commands that cover just the range.
    private mutating func send(_ range: AddressRange, commands: Int64, asked: UInt64, hint: InvalidationHint) {
        let pages = Self.pages(range)
        own.add(commands: commands)
        own.pages &+= pages
        own.overPages &+= pages &- asked
        keep(InvalidationCommand(range, hint: hint, count: commands))
    }

    private static func commands(_ range: AddressRange, _ pageSize: UInt64) -> Int64 {
        Int64(clamping: (range.last - range.start) / max(pageSize, 4096) &+ 1)
    }

    /// How many commands an SMMUv3 gets for so many 4096-byte pages; `nil` where it gets one for all of the domain (model.md §4.3).
    ///
    /// - Parameter pageSize: bytes that one command covers, if there are no ranges.
    private func armCommands(pages: UInt64, pageSize: UInt64) -> Int64? {
        switch profile {
        case .smmuv3RIL: return SMMUv3.rangeCommands(pages: pages)
        case .smmuv3RIL73: return min(SMMUv3.rangeCommands(pages: pages), 2)
        default:
            let size = max(pageSize, 4096)
            let entries = pages == 0 ? 0 : (pages &- 1) / (size >> 12) &+ 1
            return profile == .smmuv371 && entries >= size / 8 ? nil : Int64(clamping: entries)
        }
    }

    /// How many commands a RISC-V IOMMU gets for a range; `nil` where it gets one for all of the domain (model.md §4.5).
    private func riscvCommands(_ range: AddressRange, stride: UInt64) -> Int64? {
        if profile == .riscv613 {
            return range.last - range.start < RISCV.domainLimit - 1 ? Self.commands(range, 4096) : nil
        }
        if hardware.hasRanges { return 1 }
        let commands = Self.commands(range, stride)
        return commands <= RISCV.commandLimit ? commands : nil
    }

    /// AMD's driver spares a hypervisor what was not changed: one command for each aligned power of two (model.md §4.2).
    private mutating func sendAlignedPieces(of range: AddressRange, hint: InvalidationHint) {
        PageSizes.everyPowerOfTwo.forEachCallback(in: range) { iova, callback in
            let pages = callback.pageSize >> 12
            let mask = pages.trailingZeroBitCount
            var start = iova
            for _ in 0..<callback.count {
                guard let piece = AddressRange(start: start, size: callback.pageSize) else { return }
                own.add(pages: pages, asked: pages)
                keep(InvalidationCommand(piece, mask: mask, hint: hint))
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
