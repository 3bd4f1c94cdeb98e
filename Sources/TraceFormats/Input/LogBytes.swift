import Glibc

/// A log's decompressed bytes in any order: the file itself, or an unpacked copy where that is compressed or a pipe.
final class LogBytes {
    let path: String
    /// Bytes that there are.
    let size: Int64

    /// Whether somebody gave up waiting for this log.
    let isCancelled: @Sendable () -> Bool

    private let file: LogFile?
    /// Of the unpacked copy, which has no name any more; it is gone when this is closed.
    private let copy: Int32

    /// The most that is unpacked. A zstd file of 1 MiB can claim a petabyte.
    private static let largestCopy: Int64 = 64 << 30
    /// Left free on the disk that the copy lies on.
    private static let spareDisk: UInt64 = 256 << 20
    private static let pieceSize = 1 << 20

    /// Makes a log's bytes accessible.
    ///
    /// - Returns: the bytes and what kept a part of them out, if anything did.
    static func open(_ text: LogText) throws(LogError) -> (bytes: LogBytes, damage: ParseIssue?) {
        if text.file.isSeekable, !text.isArchive {
            return (LogBytes(text, size: text.fileSize ?? 0, file: text.file, copy: -1), nil)
        }
        return try unpack(text)
    }

    private init(_ text: LogText, size: Int64, file: LogFile?, copy: Int32) {
        path = text.path
        isCancelled = text.file.isCancelled
        self.size = size
        self.file = file
        self.copy = copy
    }

    deinit {
        if copy >= 0 { close(copy) }
    }

    /// Reads at a place.
    ///
    /// - Returns: how many bytes; fewer than asked for only at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(LogError) -> Int {
        guard offset >= 0, offset < size, buffer.count > 0 else { return 0 }
        let count = Int(min(Int64(buffer.count), size - offset))
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        if let file { return try file.read(into: part, at: offset) }
        return try LogFile.read(copy, into: part, at: offset, path: path)
    }

    // MARK: - Unpacking

    /// `$TMPDIR`, otherwise the folder for large temporary files: `/tmp` may be memory.
    private static var folder: String {
        if let named = getenv("TMPDIR"), named.pointee != 0 { return String(cString: named) }
        return access("/var/tmp", W_OK) == 0 ? "/var/tmp" : "/tmp"
    }

    private static func unpack(_ text: LogText) throws(LogError) -> (bytes: LogBytes, damage: ParseIssue?) {
        let folder = folder
        // The X are replaced by letters that make it new, in place; only its owner may open it, and the name is gone at once.
        var name = Array((folder + "/iommu-trace-XXXXXX").utf8CString)
        let descriptor = mkstemp(&name)
        guard descriptor >= 0 else { throw .cannotUnpack(path: text.path, folder: folder, code: errno) }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unlink(name)
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceSize, alignment: 16)
        defer { piece.deallocate() }
        var size: Int64 = 0
        var limit: ParseIssue?
        do throws(LogError) {
            while !text.file.isCancelled() {
                let count = try text.read(into: piece)
                if count == 0 { break }
                if size + Int64(count) > largestCopy || !hasRoom(descriptor) {
                    limit = ParseIssue(
                        reason: .truncatedArchive, line: 0, offset: text.fileBytes,
                        excerpt: "unpacked \(size) bytes into \(folder), where is no room for more")
                    break
                }
                try write(UnsafeRawBufferPointer(rebasing: piece[..<count]), to: descriptor, at: size, text, folder)
                size += Int64(count)
            }
            guard ftruncate(descriptor, off_t(size)) == 0 else {
                throw .cannotUnpack(path: text.path, folder: folder, code: errno)
            }
        } catch {
            close(descriptor)
            throw error
        }
        return (LogBytes(text, size: size, file: nil, copy: descriptor), limit ?? text.damage)
    }

    private static func hasRoom(_ descriptor: Int32) -> Bool {
        var status = statvfs()
        guard fstatvfs(descriptor, &status) == 0 else { return true }
        return UInt64(status.f_bavail) &* UInt64(status.f_frsize) > spareDisk
    }

    private static func write(
        _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int64, _ text: LogText, _ folder: String
    ) throws(LogError) {
        // A run of zeros, which is what an archive can make most of, becomes a hole.
        if let base = bytes.baseAddress, bytes[0] == 0, memcmp(base, base + 1, bytes.count - 1) == 0 { return }
        var written = 0
        while written < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[written...])
            let count = pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset) + off_t(written))
            if count > 0 {
                written += count
            } else if count == 0 || errno != EINTR {
                throw .cannotUnpack(path: text.path, folder: folder, code: count == 0 ? ENOSPC : errno)
            }
        }
    }
}
