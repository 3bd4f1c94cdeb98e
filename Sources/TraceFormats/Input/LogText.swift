/// The text of a log: what the file holds, decompressed if it is an archive, in pieces as large as the caller likes.
///
/// Damage does not throw: the text ends where the damage begins, and ``damage`` tells. Several gzip members, zstd frames
/// or xz streams in one file are one text, as the tools themselves read them.
final class LogText {
    let file: LogFile
    private var input = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    private var available: UnsafeMutableRawBufferPointer
    private var decoder: (any StreamDecoder)?
    private var memberEnded = false
    private var reachedEnd = false
    /// Whether the last piece filled its buffer, so that the decoder may hold more although its input is used up.
    private var mayHoldMore = false
    /// Bytes that were looked at before they were read.
    private var head = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 16)
    private var headCount = 0
    private var headStart = 0

    /// Bytes taken from the file so far.
    private(set) var fileBytes: Int64 = 0
    /// Bytes of text handed out so far.
    private(set) var textBytes: Int64 = 0
    /// Hash of the text handed out so far.
    private(set) var hash = ContentHash()
    /// What ended the text before its time; the line number is the reader's to fill in.
    private(set) var damage: ParseIssue?

    /// Whether something is missing at the text's end.
    var isCut: Bool { damage != nil }

    /// Looks at a log's first bytes.
    init(_ file: LogFile) throws(LogError) {
        self.file = file
        available = UnsafeMutableRawBufferPointer(rebasing: input[..<0])
        try refill()
        guard !available.isEmpty else { throw .empty(path: file.path) }
        // A pipe may deliver one byte at a time.
        while available.count < ArchiveFormat.longestMagic, !reachedEnd { try refillKeeping() }
        try FileMagic.check(UnsafeRawBufferPointer(available), path: file.path)
        decoder = try ArchiveFormat.decoder(for: UnsafeRawBufferPointer(available), path: file.path)
    }

    deinit {
        input.deallocate()
        head.deallocate()
    }

    var path: String { file.path }
    var fileSize: Int64? { file.size }
    /// Whether the file is an archive.
    var isArchive: Bool { decoder != nil }

    /// The first bytes of the text, at most 64, which remain to be read.
    func peek() throws(LogError) -> UnsafeRawBufferPointer {
        while headCount < head.count {
            let count = try produce(into: UnsafeMutableRawBufferPointer(rebasing: head[headCount...]))
            if count == 0 { break }
            headCount += count
        }
        return UnsafeRawBufferPointer(rebasing: head[headStart..<headCount])
    }

    /// Reads the next bytes of text.
    ///
    /// - Returns: how many; 0 at the end of the text.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(LogError) -> Int {
        let count: Int
        if headStart < headCount {
            count = min(headCount - headStart, buffer.count)
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: head[headStart..<(headStart + count)]))
            headStart += count
        } else {
            count = try produce(into: buffer)
        }
        hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        textBytes += Int64(count)
        return count
    }

    private func produce(into buffer: UnsafeMutableRawBufferPointer) throws(LogError) -> Int {
        if let decoder { try decode(decoder, into: buffer) } else { try copy(into: buffer) }
    }

    private func copy(into buffer: UnsafeMutableRawBufferPointer) throws(LogError) -> Int {
        if available.isEmpty { try refillOrEnd() }
        let count = min(available.count, buffer.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: available[..<count]))
        available = UnsafeMutableRawBufferPointer(rebasing: available[count...])
        return count
    }

    private func decode(
        _ decoder: any StreamDecoder, into buffer: UnsafeMutableRawBufferPointer
    ) throws(LogError) -> Int {
        var filled = 0
        while filled < buffer.count, damage == nil {
            if available.isEmpty { try refillOrEnd() }
            if available.isEmpty, !mayHoldMore {
                if !memberEnded {
                    report(.truncatedArchive, "the \(decoder.name) data ends before its \(decoder.ending)")
                }
                break
            }
            if memberEnded, try !startMember(decoder) { break }
            let step = decoder.decode(available, into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            let isStuck = step.consumed == 0 && step.produced == 0 && !available.isEmpty
            available = UnsafeMutableRawBufferPointer(rebasing: available[step.consumed...])
            filled += step.produced
            mayHoldMore = false
            switch step.state {
            case .goesOn:
                mayHoldMore = filled == buffer.count
                if isStuck { report(.corruptArchive, "the \(decoder.name) data leads nowhere") }
            case .memberEnded: memberEnded = true
            case .corrupt(let reason): report(.corruptArchive, reason)
            }
        }
        return filled
    }

    /// Prepares for a further member.
    ///
    /// - Returns: false if what follows is none. Zeros between members are padding, as the tools themselves take them.
    private func startMember(_ decoder: any StreamDecoder) throws(LogError) -> Bool {
        while !available.isEmpty {
            guard let index = available.firstIndex(where: { $0 != 0 }) else {
                available = UnsafeMutableRawBufferPointer(rebasing: available[..<0])
                try refillOrEnd()
                continue
            }
            available = UnsafeMutableRawBufferPointer(rebasing: available[index...])
            while available.count < ArchiveFormat.longestMagic, !reachedEnd { try refillKeeping() }
            guard decoder.isMember(UnsafeRawBufferPointer(available)) else {
                report(.trailingBytes, "no \(decoder.name) member starts here")
                return false
            }
            decoder.reset()
            memberEnded = false
            return true
        }
        return false
    }

    private func report(_ reason: ParseIssue.Reason, _ text: String) {
        damage = ParseIssue(reason: reason, line: 0, offset: fileBytes - Int64(available.count), excerpt: text)
    }

    private func refill() throws(LogError) {
        let count = try file.read(into: input)
        fileBytes += Int64(count)
        available = UnsafeMutableRawBufferPointer(rebasing: input[..<count])
        reachedEnd = count == 0
    }

    /// A read error in the middle of a log is damage like any other: what came before it stays.
    private func refillOrEnd() throws(LogError) {
        guard !reachedEnd else { return }
        do {
            try refill()
        } catch {
            reachedEnd = true
            report(.readError, error.message)
        }
    }

    /// Reads on behind the few bytes that are still needed.
    private func refillKeeping() throws(LogError) {
        let kept = Array(available)
        let rest = UnsafeMutableRawBufferPointer(rebasing: input[kept.count...])
        var count = 0
        do {
            count = try file.read(into: rest)
        } catch {
            report(.readError, error.message)
        }
        input.copyBytes(from: kept)
        fileBytes += Int64(count)
        reachedEnd = count == 0
        available = UnsafeMutableRawBufferPointer(rebasing: input[..<(kept.count + count)])
    }
}

/// Knows files that are no log by their first bytes, to say what they are.
enum FileMagic {
    private static let formats: [(magic: [UInt8], format: String, advice: String)] = [
        (Array("PERFILE2".utf8), "a perf recording", "convert it: perf script -i FILE | gzip > FILE.txt.gz"),
        (Array("BZh".utf8), "a bzip2 archive", "decompress it first: bzip2 -dc FILE | iommu-trace import -"),
        ([0x50, 0x4b, 0x03, 0x04], "a zip archive", "unpack it first"),
        (Array("SQLite format 3\0".utf8), "an SQLite database", "name it with --db, and a log to import"),
    ]

    /// Throws if the bytes are those of a known format that is not read here, or hold bytes that no text has.
    static func check(_ bytes: UnsafeRawBufferPointer, path: String) throws(LogError) {
        for (magic, format, advice) in formats where bytes.starts(with: magic) {
            throw .unsupported(path: path, format: format, advice: advice)
        }
        if ArchiveFormat.isArchive(bytes) || TraceDatHeader.isRecording(bytes) { return }
        try checkIsText(bytes, path: path)
    }

    /// Throws if an archive holds what is no log: another archive, for example.
    static func checkContent(_ bytes: UnsafeRawBufferPointer, path: String) throws(LogError) {
        if ArchiveFormat.isArchive(bytes) {
            throw .unsupported(path: path, format: "an archive inside an archive", advice: "decompress it first")
        }
        for (magic, format, advice) in formats where bytes.starts(with: magic) {
            throw .unsupported(path: path, format: "an archive of \(format)", advice: advice)
        }
    }

    /// Throws if the first bytes of a text hold a NUL.
    static func checkIsText(_ bytes: UnsafeRawBufferPointer, path: String) throws(LogError) {
        if bytes.prefix(4096).contains(0) { throw .binary(path: path) }
    }
}
