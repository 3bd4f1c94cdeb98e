import Glibc

/// The bytes of a log as they are on disk, or standard input.
public final class LogFile: @unchecked Sendable {
    /// What messages call it.
    public let path: String
    /// Size in bytes, if it is a regular file.
    public let size: Int64?

    private let descriptor: Int32
    private let isRegular: Bool
    /// Whether somebody gave up waiting for this log.
    let isCancelled: @Sendable () -> Bool

    /// Opens a log.
    ///
    /// - Parameters:
    ///   - path: a file's path, or `-` for standard input.
    ///   - isCancelled: asked while waiting for input that may never come, such as a terminal's; true ends the log there.
    public init(path: String, isCancelled: @escaping @Sendable () -> Bool = { false }) throws(LogError) {
        self.isCancelled = isCancelled
        if path == "-" {
            self.path = "standard input"
            descriptor = STDIN_FILENO
        } else {
            self.path = path
            // Without waiting for a named pipe's writer: read(into:) waits, and can be told to stop.
            descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            if descriptor >= 0 { _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK) }
        }
        guard descriptor >= 0 else { throw .cannotRead(path: path, code: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .cannotRead(path: path, code: errno) }
        if status.st_mode & S_IFMT == S_IFDIR {
            if path != "-" { close(descriptor) }
            throw .isDirectory(path: path)
        }
        isRegular = status.st_mode & S_IFMT == S_IFREG
        size = isRegular ? Int64(status.st_size) : nil
        if isRegular { posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL) }
    }

    deinit {
        if descriptor != STDIN_FILENO, descriptor >= 0 { close(descriptor) }
    }

    /// Reads the next bytes.
    ///
    /// - Returns: how many; 0 at the end of the log.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(LogError) -> Int {
        if !isRegular {
            // A pipe may stay silent for ever: look up now and then whether somebody gave up waiting.
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            while poll(&request, 1, 100) == 0 {
                if isCancelled() { return 0 }
            }
        }
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { throw .cannotRead(path: path, code: errno) }
        }
    }

    /// Whether ``read(into:at:)`` works. Standard input may be a file, but may also stand in the middle of it.
    var isSeekable: Bool { isRegular && descriptor != STDIN_FILENO }

    /// Reads at a place in the file, whatever ``read(into:)`` has read.
    ///
    /// - Returns: how many bytes; fewer than asked for only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(LogError) -> Int {
        try Self.read(descriptor, into: buffer, at: offset, path: path)
    }

    static func read(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64, path: String
    ) throws(LogError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset) + off_t(filled))
            if count == 0 { break }
            if count > 0 {
                filled += count
            } else if errno != EINTR {
                throw .cannotRead(path: path, code: errno)
            }
        }
        return filled
    }
}
