import Glibc

/// A folder of small files beside a log that say what the log does not: the machine's settings and what was lost.
///
/// `docs/recording.md` describes it. Files are recognised by name, and those with other names by what is in them; what is
/// not understood is named in ``RecordingMetadata/Key/notRead`` and does no harm. Nothing outside the folder is read:
/// links are not followed.
public struct Sidecar {
    private let root: String
    private var metadata = RecordingMetadata()
    private var defaults = RecordingMetadata.Defaults()
    private var entriesLeft = 8192
    private var bytesLeft = 32 << 20

    private static let deepest = 5
    private static let largestFile = 4 << 20

    /// Reads a folder.
    ///
    /// - Throws: ``SidecarError`` if it is not there, or no folder.
    public static func read(_ folder: String) throws(SidecarError) -> RecordingMetadata {
        var sidecar = Sidecar(root: folder)
        guard sidecar.names(in: folder) != nil else { throw SidecarError(path: folder, code: errno) }
        sidecar.walk([])
        if sidecar.entriesLeft <= 0 {
            sidecar.pass(over: ".", "has more files than a sidecar has; the rest was not read")
        }
        sidecar.metadata.conclude(sidecar.defaults)
        return sidecar.metadata
    }

    /// Whether there is a folder of this name.
    public static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private init(root: String) { self.root = root }

    // MARK: - Files

    /// Names in a folder, sorted; `nil` with `errno` if it cannot be read.
    private mutating func names(in path: String) -> [String]? {
        guard let folder = opendir(path) else { return nil }
        defer { closedir(folder) }
        var names: [String] = []
        while entriesLeft > 0, let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name == "." || name == ".." { continue }
            entriesLeft -= 1
            names.append(name)
        }
        return names.sorted()
    }

    private mutating func walk(_ folder: [String]) {
        let path = ([root] + folder).joined(separator: "/")
        guard let names = names(in: path) else {
            pass(over: folder.joined(separator: "/"), "cannot be read: \(String(cString: strerror(errno)))")
            return
        }
        // In sysfs a group's devices are links out of it: their names are what counts.
        if folder.count >= 2, folder.last == "devices", let group = Int64(folder[folder.count - 2]) {
            let devices = names.filter { $0.utf8.count <= 128 }
                .map { RecordingMetadata.Device(name: MetadataText.clean($0.utf8)) }
            metadata.add(group: group, devices: devices, source: Self.source(folder))
            return
        }
        for name in names {
            let inside = folder + [name]
            var status = stat()
            guard lstat(path + "/" + name, &status) == 0 else { continue }
            let place = inside.joined(separator: "/")
            switch status.st_mode & S_IFMT {
            case S_IFDIR where inside.count < Self.deepest: walk(inside)
            case S_IFREG:
                guard let (bytes, isCut) = read(path + "/" + name) else {
                    pass(over: place, "cannot be read: \(String(cString: strerror(errno)))")
                    continue
                }
                take(MetadataText(bytes), inside)
                if isCut { pass(over: place, "only its first \(bytes.count) bytes were read") }
            case S_IFLNK: pass(over: place, "is a link, which is not followed")
            default: pass(over: place, "is no file")
            }
        }
    }

    private mutating func read(_ path: String) -> (bytes: [UInt8], isCut: Bool)? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        let limit = min(Self.largestFile, bytesLeft)
        // One byte more tells whether there is more. Files of sysfs have no size.
        var bytes = [UInt8](repeating: 0, count: min(limit, max(Int(clamping: status.st_size), 65536)) + 1)
        var filled = 0
        while filled < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(file, buffer.baseAddress.map { $0 + filled }, buffer.count - filled)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { break }
            filled += count
        }
        let isCut = filled == bytes.count
        let taken = isCut ? filled - 1 : filled
        bytesLeft -= taken
        return (Array(bytes[..<taken]), isCut)
    }

    private mutating func pass(over place: String, _ why: String) {
        let source = Self.source([place])
        metadata.add(.notRead, "\(source): \(why)", source: source)
    }

    /// What facts from a file are said to be from; `log` and options are never called like that.
    private static func source(_ path: [String]) -> String {
        MetadataText.clean("sidecar/\(path.joined(separator: "/"))".utf8.prefix(256))
    }

    // MARK: - What a file is

    private mutating func take(_ text: MetadataText, _ path: [String]) {
        let place = path.joined(separator: "/")
        guard !text.firstLine.isEmpty else { return }
        guard !text.isBinary else { return pass(over: place, "is no text") }
        let source = Self.source(path)
        if !takeNamed(text, path, source), !takeByContent(text, source) { pass(over: place, "was not understood") }
    }

    /// - Returns: false if the name says nothing, or the content is not what the name says.
    private mutating func takeNamed(_ text: MetadataText, _ path: [String], _ source: String) -> Bool {
        let name = path.last.map { $0.lowercased() } ?? ""
        let folder = path.count > 1 ? path[path.count - 2] : ""
        let stem = name.hasSuffix(".txt") ? String(name.dropLast(4)) : name
        switch stem {
        case "uname", "osrelease", "version": return metadata.readKernel(text.firstLine, source: source)
        case "cmdline":
            metadata.readCommandLine(text.firstLine, source: source)
            return true
        case "group_types", "groups": return metadata.readGroups(text, source: source)
        case "type":
            return Int64(folder).map { metadata.readGroupType(text.firstLine, group: $0, source: source) } ?? false
        case "hz":
            metadata.readHz(text.firstLine, source: source)
            return true
        case "trace_clock", "clock": return metadata.readClock(text.firstLine, source: source)
        case "kprobe_profile": return metadata.readProbes(text, source: source)
        case "probe_events": return true
        case "cap", "ecap":
            guard !folder.isEmpty, let key = RecordingMetadata.Key(rawValue: stem) else { return false }
            return metadata.readRegister(
                key, unit: MetadataText.clean(folder.utf8.prefix(64)), text.firstLine, source: source)
        default: break
        }
        if stem == "stats" || stem.hasSuffix(".stats") {
            let cpu = folder.hasPrefix("cpu") ? Int64(folder.dropFirst(3)) : nil
            return metadata.readCounters(text, cpu: cpu, source: source)
        }
        if stem.hasPrefix("dmesg") { return metadata.readKernelLog(text, source: source) }
        if stem.hasPrefix("config") || stem == "kconfig" {
            return metadata.readConfiguration(text, source: source, &defaults)
        }
        return false
    }

    private mutating func takeByContent(_ text: MetadataText, _ source: String) -> Bool {
        let line = text.firstLine
        if line.hasPrefix("Linux ") { return metadata.readKernel(line, source: source) }
        if line.contains("BOOT_IMAGE=") {
            metadata.readCommandLine(line, source: source)
            return true
        }
        if line.contains("[mono]") || line.hasPrefix("[local] global ") || line.hasPrefix("local ") {
            return metadata.readClock(line, source: source)
        }
        return metadata.readGroups(text, source: source) || metadata.readCounters(text, source: source)
            || metadata.readConfiguration(text, source: source, &defaults)
            || metadata.readKernelLog(text, source: source)
    }
}

/// A folder that was named and cannot be read.
public struct SidecarError: Error, Hashable, Sendable {
    /// The folder.
    public var path: String
    /// `errno`
    public var code: Int32

    /// What is wrong.
    public var reason: String { String(cString: strerror(code)) }

    /// What is wrong and what to do.
    public var message: String {
        "--metadata \(path): \(reason); give a folder of files such as cmdline, uname and stats"
    }
}

extension SidecarError: CustomStringConvertible {
    /// The same as ``message``.
    public var description: String { message }
}
