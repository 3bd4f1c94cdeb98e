import CZlib

/// The text of a log: what the file holds, decompressed if it is gzip, in pieces as large as the caller likes.
///
/// Damage does not throw: the text ends where the damage begins, and ``damage`` tells. Several gzip members in one file
/// are one text, as `gzip` itself reads them.
final class LogText {
    private let file: LogFile
    private var input = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    private var available: UnsafeMutableRawBufferPointer
    private var stream = z_stream()
    private var isGzip = false
    private var memberEnded = false
    private var reachedEnd = false

    /// Bytes taken from the file so far.
    private(set) var fileBytes: Int64 = 0
    /// Bytes of text handed out so far.
    private(set) var textBytes: Int64 = 0
    /// Hash of the text handed out so far.
    private(set) var hash = ContentHash()
    /// What ended the text before its time; the line number is the reader's to fill in.
    private(set) var damage: ParseIssue?

    /// Looks at a log's first bytes.
    init(_ file: LogFile) throws(LogError) {
        self.file = file
        available = UnsafeMutableRawBufferPointer(rebasing: input[..<0])
        try refill()
        guard !available.isEmpty else { throw .empty(path: file.path) }
        try FileMagic.check(UnsafeRawBufferPointer(available), path: file.path)
        if available.starts(with: [0x1f, 0x8b]) {
            // 16: a gzip header is required; 15: the largest window.
            guard inflateInit2_(&stream, 16 + 15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
                throw .cannotRead(path: file.path, code: 12)
            }
            isGzip = true
        }
    }

    deinit {
        if isGzip { inflateEnd(&stream) }
        input.deallocate()
    }

    var path: String { file.path }
    var fileSize: Int64? { file.size }

    /// Reads the next bytes of text.
    ///
    /// - Returns: how many; 0 at the end of the text.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(LogError) -> Int {
        let count = isGzip ? try inflate(into: buffer) : try copy(into: buffer)
        hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        textBytes += Int64(count)
        return count
    }

    private func copy(into buffer: UnsafeMutableRawBufferPointer) throws(LogError) -> Int {
        if available.isEmpty { try refillOrEnd() }
        let count = min(available.count, buffer.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: available[..<count]))
        available = UnsafeMutableRawBufferPointer(rebasing: available[count...])
        return count
    }

    private func inflate(into buffer: UnsafeMutableRawBufferPointer) throws(LogError) -> Int {
        var filled = 0
        while filled < buffer.count, damage == nil {
            if available.isEmpty { try refillOrEnd() }
            if available.isEmpty {
                if !memberEnded {
                    report(.truncatedArchive, "the gzip data ends before its checksum")
                }
                break
            }
            if memberEnded, try !startMember() { break }
            stream.next_in = available.baseAddress?.assumingMemoryBound(to: UInt8.self)
            stream.avail_in = UInt32(available.count)
            stream.next_out = buffer.baseAddress.map { ($0 + filled).assumingMemoryBound(to: UInt8.self) }
            stream.avail_out = UInt32(buffer.count - filled)
            let code = CZlib.inflate(&stream, Z_NO_FLUSH)
            filled = buffer.count - Int(stream.avail_out)
            available = UnsafeMutableRawBufferPointer(rebasing: available[(available.count - Int(stream.avail_in))...])
            switch code {
            case Z_OK, Z_BUF_ERROR: continue
            case Z_STREAM_END: memberEnded = true
            default:
                report(.corruptArchive, stream.msg.map { String(cString: $0) } ?? "zlib error \(code)")
            }
        }
        return filled
    }

    /// Prepares for a further gzip member.
    ///
    /// - Returns: false if what follows is none. Zeros are padding, as `gzip` takes them.
    private func startMember() throws(LogError) -> Bool {
        if available.count < 2, !reachedEnd { try refillKeeping() }
        if available.starts(with: [0x1f, 0x8b]) {
            inflateReset(&stream)
            memberEnded = false
            return true
        }
        while !available.isEmpty {
            if let index = available.firstIndex(where: { $0 != 0 }) {
                available = UnsafeMutableRawBufferPointer(rebasing: available[index...])
                report(.trailingBytes, "no gzip member starts here")
                return false
            }
            available = UnsafeMutableRawBufferPointer(rebasing: available[..<0])
            try refillOrEnd()
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

    /// Reads on behind a single byte that is still needed.
    private func refillKeeping() throws(LogError) {
        let kept = Array(available)
        let rest = UnsafeMutableRawBufferPointer(rebasing: input[kept.count...])
        let count = try file.read(into: rest)
        input.copyBytes(from: kept)
        fileBytes += Int64(count)
        reachedEnd = count == 0
        available = UnsafeMutableRawBufferPointer(rebasing: input[..<(kept.count + count)])
    }
}

/// Knows files that are no text log by their first bytes, to say what they are.
enum FileMagic {
    private static let formats: [(magic: [UInt8], format: String, advice: String)] = [
        (
            [0x17, 0x08, 0x44] + Array("tracing".utf8), "a trace-cmd recording",
            "convert it: trace-cmd report -i FILE | gzip > FILE.txt.gz"
        ),
        (Array("PERFILE2".utf8), "a perf recording", "convert it: perf script -i FILE | gzip > FILE.txt.gz"),
        ([0x28, 0xb5, 0x2f, 0xfd], "a zstd archive", "decompress it first: zstd -dc FILE | iommu-trace import -"),
        (
            [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], "an xz archive",
            "decompress it first: xz -dc FILE | iommu-trace import -"
        ),
        (Array("BZh".utf8), "a bzip2 archive", "decompress it first: bzip2 -dc FILE | iommu-trace import -"),
        ([0x50, 0x4b, 0x03, 0x04], "a zip archive", "unpack it first"),
        (Array("SQLite format 3\0".utf8), "an SQLite database", "name it with --db, and a log to import"),
    ]

    /// Throws if the bytes are those of a known format other than text and gzip, or hold bytes that no text has.
    static func check(_ bytes: UnsafeRawBufferPointer, path: String) throws(LogError) {
        for (magic, format, advice) in formats where bytes.starts(with: magic) {
            throw .unsupported(path: path, format: format, advice: advice)
        }
        if bytes.starts(with: [0x1f, 0x8b]) { return }
        try checkIsText(bytes, path: path)
    }

    /// Throws if the first bytes of a text hold a NUL.
    static func checkIsText(_ bytes: UnsafeRawBufferPointer, path: String) throws(LogError) {
        if bytes.prefix(4096).contains(0) { throw .binary(path: path) }
    }
}
