/// What the CPUs' parts of a recording share: the file, and how much may be taken of it and of memory.
final class DatPages {
    let bytes: LogBytes
    /// Bytes of CPU data that may still be read. Parts that overlap would make a small file endless.
    fileprivate(set) var fileBudget: Int64
    private var memoryBudget = 256 << 20
    /// What was found to be wrong, to be taken by the reader.
    private(set) var issues: [ParseIssue] = []
    private(set) var hasIssues = false
    private var scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)

    /// The largest piece of a compressed recording; trace-cmd makes them of ten pages.
    fileprivate static let largestPiece = 64 << 20

    init(_ bytes: LogBytes) {
        self.bytes = bytes
        fileBudget = bytes.size
    }

    deinit { scratch.deallocate() }

    func report(_ reason: ParseIssue.Reason, at offset: Int64, _ text: String) {
        issues.append(ParseIssue(reason: reason, line: 0, offset: offset, excerpt: text))
        hasIssues = true
    }

    func takeIssues() -> [ParseIssue] {
        defer {
            issues = []
            hasIssues = false
        }
        return issues
    }

    /// Memory for a CPU; `nil` if the recording asks for too much.
    fileprivate func allocate(_ count: Int) -> UnsafeMutableRawBufferPointer? {
        guard count <= memoryBudget else { return nil }
        memoryBudget -= count
        return .allocate(byteCount: count, alignment: 16)
    }

    fileprivate func free(_ buffer: UnsafeMutableRawBufferPointer) {
        memoryBudget += buffer.count
        buffer.deallocate()
    }

    fileprivate func piece(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if scratch.count < count {
            scratch.deallocate()
            scratch = .allocate(byteCount: count, alignment: 16)
        }
        return UnsafeMutableRawBufferPointer(rebasing: scratch[..<count])
    }
}

/// One CPU's records in the order in which they were written, page by page from the file.
final class CPUStream {
    /// Where a recording says that a CPU's data is.
    struct Place: Hashable {
        var cpu: Int32
        var offset: Int64
        var size: Int64
    }

    let cpu: Int32
    /// The record that is next; valid until ``advance()``.
    private(set) var record = RingPage.Record(bytes: UnsafeRawBufferPointer(start: nil, count: 0), time: 0)
    /// Events that were lost before that record.
    private(set) var missed: RingPage.Missed = .none

    private let pages: DatPages
    private let layout: PageLayout
    private let compression: DatCompression?
    private var offset: Int64
    private var end: Int64
    /// Pieces of compressed data that are still to come; `nil` before their number was read.
    private var piecesLeft: UInt32?
    private var page = RingPage()
    /// Where in the file the record's page is, or the piece that it is compressed in.
    private(set) var pageOffset: Int64 = 0
    private var damagedPages = 0
    private var block = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var blockFilled = 0
    private var blockPosition = 0
    private var blockOffset: Int64 = 0
    private let blockSize: Int
    private var isCut = false

    /// - Parameter blockSize: how much to read at once, a multiple of the page size.
    init(
        _ place: Place, _ pages: DatPages, layout: PageLayout, compression: DatCompression?, blockSize: Int
    ) {
        cpu = place.cpu
        self.pages = pages
        self.layout = layout
        self.compression = compression
        self.blockSize = blockSize
        offset = place.offset
        let (end, overflow) = place.offset.addingReportingOverflow(place.size)
        self.end = overflow ? .max : end
        if compression == nil, self.end > pages.bytes.size {
            isCut = true
            pages.report(
                .truncatedRecording, at: pages.bytes.size,
                "CPU \(cpu): \(place.size) bytes from \(place.offset) on, the file has \(pages.bytes.size)")
            self.end = pages.bytes.size
        }
    }

    deinit {
        if block.count > 0 { pages.free(block) }
    }

    /// Goes on to the next record.
    ///
    /// - Returns: false at the end of this CPU's data.
    func advance() throws(LogError) -> Bool {
        missed = .none
        while true {
            if let next = page.next() {
                record = next
                return true
            }
            if page.isDamaged, !(isCut && blockPosition >= blockFilled) { reportPage() }
            page = RingPage()
            if blockPosition >= blockFilled, try !loadBlock() {
                reportUntold()
                return false
            }
            let count = min(layout.pageSize, blockFilled - blockPosition)
            pageOffset = blockOffset + (compression == nil ? Int64(blockPosition) : 0)
            page = RingPage(
                UnsafeRawBufferPointer(rebasing: block[blockPosition..<(blockPosition + count)]), layout: layout)
            blockPosition += count
            add(page.missed)
        }
    }

    /// Damaged pages that are told one by one.
    private static let pagesTold = 64

    private func reportPage() {
        damagedPages += 1
        guard damagedPages <= Self.pagesTold else { return }
        pages.report(.corruptRecording, at: pageOffset, "CPU \(cpu): a page of events contradicts itself")
    }

    private func reportUntold() {
        guard damagedPages > Self.pagesTold else { return }
        let more = damagedPages - Self.pagesTold
        pages.report(.corruptRecording, at: pageOffset, "CPU \(cpu): \(more) further pages contradict themselves")
        damagedPages = 0
    }

    /// Pages without records hand on what they miss.
    private func add(_ more: RingPage.Missed) {
        switch (missed, more) {
        case (_, .none): break
        case (.none, _): missed = more
        case (.count(let first), .count(let second)): missed = .count(first &+ second)
        default: missed = .unknown
        }
    }

    // MARK: - Blocks

    private func loadBlock() throws(LogError) -> Bool {
        blockPosition = 0
        blockFilled = 0
        guard offset >= 0, offset < end, !pages.bytes.isCancelled() else { return false }
        blockOffset = offset
        return compression == nil ? try loadPages() : try loadPiece()
    }

    private func loadPages() throws(LogError) -> Bool {
        let count = Int(min(Int64(blockSize), end - offset))
        guard charge(Int64(count)), makeRoom(count) else { return false }
        let target = UnsafeMutableRawBufferPointer(rebasing: block[..<count])
        do {
            blockFilled = try pages.bytes.read(into: target, at: offset)
        } catch {
            pages.report(.readError, at: offset, error.message)
            end = offset
            return false
        }
        offset += Int64(count)
        if blockFilled < count { end = offset }
        return blockFilled > 0
    }

    private func loadPiece() throws(LogError) -> Bool {
        if piecesLeft == nil { piecesLeft = try number() }
        guard let left = piecesLeft, left > 0 else { return false }
        piecesLeft = left - 1
        guard let packed = try number(), let raw = try number() else { return truncated() }
        guard let compression, packed > 0, raw > 0, packed <= UInt32(DatPages.largestPiece),
            raw <= UInt32(DatPages.largestPiece)
        else { return corrupt("a piece of \(packed) bytes that claims to hold \(raw)") }
        guard charge(Int64(packed)), makeRoom(Int(raw)) else { return false }
        guard Int64(packed) <= pages.bytes.size - offset else { return truncated() }
        let piece = pages.piece(Int(packed))
        guard try pages.bytes.read(into: piece, at: offset) == piece.count else { return truncated() }
        let target = UnsafeMutableRawBufferPointer(rebasing: block[..<Int(raw)])
        guard let count = compression.decompress(UnsafeRawBufferPointer(piece), into: target) else {
            return corrupt("a piece that cannot be decompressed")
        }
        offset += Int64(packed)
        blockFilled = count
        return count > 0
    }

    private func number() throws(LogError) -> UInt32? {
        var number: UInt32 = 0
        let count = try withUnsafeMutableBytes(of: &number) { bytes throws(LogError) in
            try pages.bytes.read(into: bytes, at: offset)
        }
        guard count == 4 else { return nil }
        offset += 4
        return UInt32(littleEndian: number)
    }

    private func truncated() -> Bool {
        isCut = true
        pages.report(.truncatedRecording, at: pages.bytes.size, "CPU \(cpu): the file ends in its data")
        end = offset
        return false
    }

    private func corrupt(_ what: String) -> Bool {
        pages.report(.corruptRecording, at: offset, "CPU \(cpu): \(what)")
        end = offset
        return false
    }

    private func charge(_ count: Int64) -> Bool {
        guard count <= pages.fileBudget else { return corrupt("data that overlaps that of other CPUs") }
        pages.fileBudget -= count
        return true
    }

    private func makeRoom(_ count: Int) -> Bool {
        if block.count >= count { return true }
        if block.count > 0 {
            pages.free(block)
            block = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        }
        guard let room = pages.allocate(count) else { return corrupt("too much data at once") }
        block = room
        return true
    }
}
