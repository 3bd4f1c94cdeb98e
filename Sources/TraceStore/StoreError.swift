import Foundation
import GRDB
import Glibc

/// Why the database cannot be used, or an import or replay could not be kept.
public enum StoreError: Error, Hashable, Sendable {
    /// There is no such file.
    case missing(path: String)
    /// The file is no SQLite database.
    case notADatabase(path: String)
    /// The file is another program's database.
    case foreign(path: String)
    /// The file was written by a newer version of this program.
    case newer(path: String, version: Int)
    /// The file was written by an older version, whose layout is not read any more.
    case older(path: String, version: Int)
    /// The file or its folder may not be written; why, in words.
    case readOnly(path: String, reason: String)
    /// The file could not be opened or created; why and what to do, in words.
    case cannotOpen(path: String, reason: String)
    /// Pages of the file are not what they must be; SQLite's own words.
    case damaged(path: String, message: String)
    /// No space is left.
    case full(path: String)
    /// Another process is writing.
    case busy(path: String)
    /// SQLite's own words for anything else.
    case other(path: String, message: String)
    /// No trace in the database has this name.
    case noSuchTrace(name: String, known: [String])
    /// The database holds no trace.
    case noTraces(path: String)
    /// The user interrupted.
    case interrupted

    /// What happened and what to do.
    public var message: String {
        switch self {
        case .missing(let path):
            "\(path): no such database; import a log first: iommu-trace import LOG --db \(path)"
        case .notADatabase(let path):
            "\(path): is not an SQLite database; name another file with --db"
        case .foreign(let path):
            "\(path): is another program's database and stays untouched; name another file with --db"
        case .newer(let path, let version):
            "\(path): was written by a newer iommu-trace (schema version \(version)); use that one, or import the logs again into another file"
        case .older(let path, let version):
            "\(path): was written by an older iommu-trace (schema version \(version)); import the logs again into another file"
        case .readOnly(let path, let reason):
            "\(Self.name(path)): may not be written: \(reason); nothing was changed"
        case .cannotOpen(let path, let reason):
            "\(Self.name(path)): \(reason)"
        case .damaged(let path, let message):
            "\(Self.name(path)): the database is damaged (\(message)); take a copy of it from before, or import the logs again into "
                + "another file; what is left of this one: sqlite3 \(path) .recover"
        case .full(let path) where path.isEmpty:
            "\(Self.name(path)): no space left on the device; set SQLITE_TMPDIR to a folder with more room"
        case .full(let path):
            "\(path): no space left on the device; the database is as it was before"
        case .busy(let path):
            "\(Self.name(path)): another process is writing to it; try again when that has ended"
        case .other(let path, let message):
            "\(Self.name(path)): \(message)"
        case .noSuchTrace(let name, let known):
            "no trace is called '\(name)'; there \(known.count == 1 ? "is" : "are"): \(known.joined(separator: ", "))"
        case .noTraces(let path):
            "\(path): holds no trace yet; import a log first: iommu-trace import LOG --db \(path)"
        case .interrupted:
            "interrupted; the database is as it was before"
        }
    }

    /// What messages call a database.
    private static func name(_ path: String) -> String { path.isEmpty ? "the temporary database" : path }

    init(_ error: DatabaseError, path: String) {
        let words = error.message ?? error.description
        self =
            switch error.resultCode.primaryResultCode {
            case .SQLITE_NOTADB: .notADatabase(path: path)
            case .SQLITE_READONLY, .SQLITE_PERM: .readOnly(path: path, reason: Self.whyNotWritten(path))
            case .SQLITE_CANTOPEN: .cannotOpen(path: path, reason: Self.whyNotOpened(path) ?? words)
            case .SQLITE_FULL: .full(path: path)
            case .SQLITE_BUSY, .SQLITE_LOCKED: .busy(path: path)
            case .SQLITE_INTERRUPT: .interrupted
            case .SQLITE_CORRUPT: .damaged(path: path, message: words)
            case .SQLITE_IOERR where Self.isFolder(path):
                .cannotOpen(path: path, reason: Self.whyNotOpened(path) ?? words)
            default: .other(path: path, message: words)
            }
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// SQLite says that it cannot, the file system why.
    private static func whyNotOpened(_ path: String) -> String? {
        if path.isEmpty { return "cannot be opened; set SQLITE_TMPDIR to a folder that may be written" }
        if isFolder(path) { return "is a folder; name a file in it with --db" }
        let folder = folder(of: path)
        if access(path, F_OK) == 0 {
            if access(path, R_OK) != 0 {
                return "may not be read by this user; change its permissions (chmod), or name another file with --db"
            }
            return access(folder, W_OK) == 0
                ? nil : "cannot be opened: its folder, \(folder), may not be written, which its journal needs"
        }
        if !isFolder(folder) {
            return "cannot be created: there is no folder \(folder); make it first: mkdir -p \(folder)"
        }
        return access(folder, W_OK | X_OK) == 0
            ? nil
            : "cannot be created: the folder \(folder) may not be written by this user; name another file with --db"
    }

    private static func whyNotWritten(_ path: String) -> String {
        if access(path, W_OK) != 0 { return "this user may only read it" }
        let folder = folder(of: path)
        return access(folder, W_OK) == 0
            ? "SQLite takes it for read-only" : "its folder, \(folder), may not be written, which its journal needs"
    }
}

extension StoreError: CustomStringConvertible {
    /// The same as ``message``.
    public var description: String { message }
}
