import GRDB

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
    /// The file or its folder may not be written.
    case readOnly(path: String)
    /// The file could not be opened or created.
    case cannotOpen(path: String)
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
        case .readOnly(let path):
            "\(path): may not be written, neither the file nor its folder's journal; nothing was changed"
        case .cannotOpen(let path):
            "\(path): cannot be opened or created; check that the folder exists and may be written"
        case .full(let path):
            "\(path): no space left on the device; the database is as it was before"
        case .busy(let path):
            "\(path): another process is writing to it; try again when that has ended"
        case .other(let path, let message):
            "\(path): \(message)"
        case .noSuchTrace(let name, let known):
            "no trace is called '\(name)'; there \(known.count == 1 ? "is" : "are"): \(known.joined(separator: ", "))"
        case .noTraces(let path):
            "\(path): holds no trace yet; import a log first: iommu-trace import LOG --db \(path)"
        case .interrupted:
            "interrupted; the database is as it was before"
        }
    }

    init(_ error: DatabaseError, path: String) {
        self =
            switch error.resultCode.primaryResultCode {
            case .SQLITE_NOTADB: .notADatabase(path: path)
            case .SQLITE_READONLY, .SQLITE_PERM: .readOnly(path: path)
            case .SQLITE_CANTOPEN: .cannotOpen(path: path)
            case .SQLITE_FULL: .full(path: path)
            case .SQLITE_BUSY, .SQLITE_LOCKED: .busy(path: path)
            case .SQLITE_INTERRUPT: .interrupted
            default: .other(path: path, message: error.message ?? error.description)
            }
    }
}

extension StoreError: CustomStringConvertible {
    /// The same as ``message``.
    public var description: String { message }
}
