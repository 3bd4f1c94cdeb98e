import Foundation
import GRDB
import Glibc
import Testing

/// What becomes of the database when it, its folder or its disk is not as it should be.
@Suite struct DatabaseFileTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(FtraceLog(calls: 40).text, to: "log.txt")
        try folder.write(FtraceLog(calls: 40, seed: 2).text, to: "other.txt")
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func makeDatabase() throws { #expect(try run("import", "log.txt").exitCode == 0) }

    /// Every way of using a file that is not ours is refused in these words, and leaves the file as it is.
    private func expectRefused(_ name: String, _ message: String, sourceLocation: SourceLocation = #_sourceLocation)
        throws
    {
        let bytes = try folder.read(name)
        let files = try folder.files
        for arguments in [
            ["import", "log.txt"], ["replay"], ["report", "savings"], ["info"], ["list"], ["forget", "x"],
            ["sql", "SELECT 1"],
        ] {
            let result = try Tool.run(arguments + ["--db", name], directory: folder)
            #expect(result.exitCode == 4, "\(arguments)", sourceLocation: sourceLocation)
            #expect(result.output == "", sourceLocation: sourceLocation)
            #expect(result.errors == "iommu-trace: \(name): \(message)\n", sourceLocation: sourceLocation)
            #expect(try folder.read(name) == bytes, sourceLocation: sourceLocation)
        }
        #expect(try folder.files == files, sourceLocation: sourceLocation)
    }

    @Test func anotherProgramsDatabase() throws {
        try folder.edit("mail.db", sql: "CREATE TABLE trace (id INTEGER); INSERT INTO trace VALUES (1)")
        try expectRefused(
            "mail.db", "is another program's database and stays untouched; name another file with --db")
    }

    @Test func textFile() throws {
        try folder.write(String(repeating: "milk\nbread\n", count: 100), to: "list.txt")
        try expectRefused("list.txt", "is not an SQLite database; name another file with --db")
    }

    /// The file is refused while the reader of the log is several batches ahead.
    @Test func textFileForLongLog() throws {
        try folder.write("milk\nbread\n", to: "list.txt")
        try folder.write(FtraceLog(calls: 6000).data.gzipped, to: "long.txt.gz")
        for _ in 1...3 {
            let result = try run("import", "long.txt.gz", "--db", "list.txt")
            #expect(result.exitCode == 4)
            #expect(result.errors.contains("list.txt: is not an SQLite database"))
        }
        #expect(try folder.text("list.txt") == "milk\nbread\n")
    }

    @Test func newerSchema() throws {
        try makeDatabase()
        try folder.edit(sql: "PRAGMA user_version = 9999")
        try expectRefused(
            "iommu-trace.db",
            "was written by a newer iommu-trace (schema version 9999); use that one, or import the logs again into another file"
        )
    }

    @Test func olderSchema() throws {
        try makeDatabase()
        try folder.edit(sql: "PRAGMA user_version = 0")
        try expectRefused(
            "iommu-trace.db",
            "was written by an older iommu-trace (schema version 0); import the logs again into another file")
    }

    @Test func missingDatabase() throws {
        for arguments in [
            ["replay"], ["report", "savings"], ["info"], ["list"], ["forget", "x"], ["sql", "SELECT 1"],
        ] {
            let result = try Tool.run(arguments + ["--db", "no.db"], directory: folder)
            #expect(result.exitCode == 4)
            #expect(
                result.errors
                    == "iommu-trace: no.db: no such database; import a log first: iommu-trace import LOG --db no.db\n")
        }
        #expect(try folder.files == ["log.txt", "other.txt"])
    }

    @Test func missingFolder() throws {
        let result = try run("import", "log.txt", "--db", "no/such.db")
        #expect(result.exitCode == 4)
        #expect(
            result.errors
                == "iommu-trace: no/such.db: cannot be created: there is no folder no; make it first: mkdir -p no\n")
        #expect(try folder.files == ["log.txt", "other.txt"])
    }

    /// Such a file is what an import that was killed at once leaves behind.
    @Test func emptyFile() throws {
        try folder.write("", to: "empty.db")
        for arguments in [["replay"], ["report", "savings"], ["info"], ["list"], ["sql", "SELECT 1 FROM trace"]] {
            let result = try Tool.run(arguments + ["--db", "empty.db"], directory: folder)
            #expect(result.exitCode == 4, "\(arguments)")
            #expect(
                result.errors
                    == "iommu-trace: empty.db: holds no trace yet; import a log first: iommu-trace import LOG --db empty.db\n"
            )
        }
        #expect(try run("import", "log.txt", "--db", "empty.db").exitCode == 0)
        #expect(try DatabaseContents(folder, "empty.db").traces == ["log"])
    }

    @Test func databaseWhoseTracesAreForgotten() throws {
        try makeDatabase()
        #expect(try run("forget", "log").exitCode == 0)
        for arguments in [["replay"], ["info"]] {
            let result = try Tool.run(arguments, directory: folder)
            #expect(result.exitCode == 4)
            #expect(result.errors.contains("iommu-trace.db: holds no trace yet; import a log first"))
        }
        #expect(try run("import", "log.txt").exitCode == 0)
    }

    // MARK: - Permissions

    @Test(.enabled(if: Unprivileged.launcher != nil, "needs a user whom permissions stop"))
    func readOnlyFile() throws {
        try makeDatabase()
        let bytes = try folder.read("iommu-trace.db")
        chmod(folder["iommu-trace.db"], 0o444)
        chmod(folder.path, 0o777)
        let launcher = try #require(Unprivileged.launcher)
        for arguments in [["import", "other.txt"], ["replay"], ["forget", "log"]] {
            let result = try Tool.run(arguments, directory: folder, launcher: launcher)
            #expect(result.exitCode == 4)
            #expect(
                result.errors
                    == "iommu-trace: iommu-trace.db: may not be written: this user may only read it; nothing was changed\n"
            )
        }
        let result = try Tool.run(["info"], directory: folder, launcher: launcher)
        #expect(result.exitCode == 0)
        #expect(result.output.hasPrefix("trace log, from log.txt"))
        #expect(try folder.read("iommu-trace.db") == bytes)
        #expect(try folder.files == ["iommu-trace.db", "log.txt", "other.txt"])
    }

    @Test(.enabled(if: Unprivileged.launcher != nil, "needs a user whom permissions stop"))
    func readOnlyFolder() throws {
        try makeDatabase()
        let bytes = try folder.read("iommu-trace.db")
        chmod(folder["iommu-trace.db"], 0o666)
        chmod(folder.path, 0o555)
        let launcher = try #require(Unprivileged.launcher)
        let messages = [
            "iommu-trace.db":
                "may not be written: its folder, ., may not be written, which its journal needs; nothing was changed",
            "new.db":
                "cannot be created: the folder . may not be written by this user; name another file with --db",
        ]
        for (database, message) in messages {
            let result = try Tool.run(
                ["import", "other.txt", "--db", database], directory: folder, launcher: launcher)
            #expect(result.exitCode == 4)
            #expect(result.errors == "iommu-trace: \(database): \(message)\n")
        }
        #expect(try Tool.run(["info"], directory: folder, launcher: launcher).exitCode == 0)
        #expect(try folder.read("iommu-trace.db") == bytes)
        chmod(folder.path, 0o755)
        #expect(try folder.files == ["iommu-trace.db", "log.txt", "other.txt"])
    }

    @Test(.enabled(if: Unprivileged.launcher != nil, "needs a user whom permissions stop"))
    func unreadableFile() throws {
        try makeDatabase()
        chmod(folder["iommu-trace.db"], 0o000)
        chmod(folder.path, 0o755)
        let launcher = try #require(Unprivileged.launcher)
        for arguments in [["report", "savings"], ["replay"], ["info"]] {
            let result = try Tool.run(arguments, directory: folder, launcher: launcher)
            #expect(result.exitCode == 4)
            #expect(
                result.errors.hasPrefix("iommu-trace: iommu-trace.db: may not be read by this user; change its"),
                "\(result.errors)")
        }
        chmod(folder["iommu-trace.db"], 0o644)
    }

    @Test func folderAsDatabase() throws {
        try FileManager.default.createDirectory(atPath: folder["sub"], withIntermediateDirectories: false)
        for arguments in [["report", "savings"], ["replay"], ["import", "log.txt"]] {
            let result = try Tool.run(arguments + ["--db", "sub"], directory: folder)
            #expect(result.exitCode == 4)
            #expect(result.errors == "iommu-trace: sub: is a folder; name a file in it with --db\n")
        }
    }

    /// The end of the file is gone: what to do is said.
    @Test func truncatedDatabase() throws {
        try makeDatabase()
        let bytes = try folder.read("iommu-trace.db")
        try folder.write(Data(bytes.prefix(bytes.count / 2)), to: "half.db")
        for arguments in [["replay"], ["sql", "SELECT count(*) FROM operation, layer"], ["import", "other.txt"]] {
            let result = try Tool.run(arguments + ["--db", "half.db"], directory: folder)
            #expect(result.exitCode == 4)
            #expect(result.errors.hasPrefix("iommu-trace: half.db: the database is damaged ("), "\(result.errors)")
            #expect(result.errors.hasSuffix("sqlite3 half.db .recover\n"))
        }
    }

    // MARK: - A full disk

    @Test(.enabled(if: SmallDisk.isAvailable, "needs the right to mount"))
    func fullDisk() throws {
        let disk = try SmallDisk(at: folder)
        let database = disk.name + "/x.db"
        #expect(try run("import", "log.txt", "--db", database).exitCode == 0)
        #expect(try run("replay", "--db", database).exitCode == 0)
        try disk.fill()
        let before = try DatabaseContents(folder, database)
        for arguments in [["import", "other.txt"], ["replay", "--policy", "end"], ["forget", "log"]] {
            let result = try Tool.run(arguments + ["--db", database], directory: folder)
            #expect(result.exitCode == 4)
            #expect(
                result.errors
                    == "iommu-trace: \(database): no space left on the device; the database is as it was before\n",
                "\(arguments)")
            #expect(try DatabaseContents(folder, database) == before)
        }
        #expect(try run("report", "savings", "--db", database).exitCode == 0)
    }

    @Test(.enabled(if: SmallDisk.isAvailable, "needs the right to mount"))
    func newDatabaseOnFullDisk() throws {
        let disk = try SmallDisk(at: folder)
        try disk.fill()
        let result = try run("import", "log.txt", "--db", disk.name + "/x.db")
        #expect(result.exitCode == 4)
        #expect(result.errors.contains("/x.db: no space left on the device"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder[disk.name]) == ["filler"])
    }

    // MARK: - Other processes

    @Test func anotherWriter() throws {
        try makeDatabase()
        let before = try DatabaseContents(folder)
        let queue = try DatabaseQueue(path: folder["iommu-trace.db"])
        try queue.inTransaction(.exclusive) { _ in
            let result = try run("import", "other.txt")
            #expect(result.exitCode == 4)
            #expect(result.errors.contains("iommu-trace.db: another process is writing to it; try again"))
            return .rollback
        }
        #expect(try DatabaseContents(folder) == before)
        #expect(try run("import", "other.txt").exitCode == 0)
    }

    /// A writer that was killed leaves a journal, from which the next one to open the database restores it; a mere reader
    /// must see to that, too.
    @Test(arguments: [["report", "events"], ["info"], ["replay"], ["import", "other.txt"]])
    func journalOfKilledWriter(arguments: [String]) throws {
        try makeDatabase()
        let before = try DatabaseContents(folder)
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        // Pages reach the file before the commit.
        configuration.prepareDatabase { try $0.execute(sql: "PRAGMA cache_size = 1") }
        let queue = try DatabaseQueue(path: folder["iommu-trace.db"], configuration: configuration)
        try queue.inTransaction(.immediate) { database in
            try database.execute(sql: "UPDATE operation SET time_ns = 0")
            try database.execute(sql: "INSERT INTO marker SELECT id + 1000, hex(randomblob(4000)) FROM operation")
            for ending in ["", "-journal"] {
                try folder.write(folder.read("iommu-trace.db\(ending)"), to: "killed.db\(ending)")
            }
            return .rollback
        }
        #expect(try folder.read("killed.db") != folder.read("iommu-trace.db"))
        #expect(try Tool.run(arguments + ["--db", "killed.db"], directory: folder).exitCode == 0)
        let contents = try DatabaseContents(folder, "killed.db")
        #expect(!folder.exists("killed.db-journal"))
        for (table, rows) in before.tables {
            #expect(contents.tables[table]?.starts(with: rows) == true, "\(table)")
        }
        if arguments[0] == "report" || arguments[0] == "info" { #expect(contents == before) }
    }
}

/// A disk of a megabyte in a folder of the test's.
private final class SmallDisk {
    static let isAvailable: Bool = {
        guard geteuid() == 0, let folder = try? TemporaryFolder() else { return false }
        return (try? SmallDisk(at: folder)) != nil
    }()

    let name = "disk"
    private let path: String

    init(at folder: TemporaryFolder) throws {
        path = folder[name]
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        guard mount("none", path, "tmpfs", 0, "size=1m") == 0 else { throw POSIXError(.EPERM) }
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }

    /// Leaves no room on it.
    func fill() throws {
        let filler = path + "/filler"
        let descriptor = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw POSIXError(.EIO) }
        defer { close(descriptor) }
        let piece = [UInt8](repeating: 1, count: 4096)
        while write(descriptor, piece, piece.count) > 0 {}
    }
}
