import Foundation

/// A log that tests read: printed by a short name, wherever it lies.
public struct RecordedLog: Hashable, Sendable, CustomStringConvertible {
    /// The file.
    public var url: URL
    /// What the laboratory calls it, run and file without endings: `6.1-strict/nvme.probes`. Of another log the file's name.
    public var name: String

    /// Its name.
    public var description: String { name }
    /// The file's path.
    public var path: String { url.path }
    /// The file's name with its endings.
    public var fileName: String { url.lastPathComponent }
}

/// Recorded logs: bundled ones, and the larger set that is shared beside the package and may be absent.
public enum SharedTraces {
    /// The package's own folder.
    public static let packageRoot = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The shared folder of recorded logs: `$IOMMU_TRACE_SHARED`, otherwise `../shared/traces` beside the package.
    public static let folder: URL? = {
        let environment = ProcessInfo.processInfo.environment["IOMMU_TRACE_SHARED"]
        let candidate =
            environment.map { URL(filePath: $0) }
            ?? packageRoot.deletingLastPathComponent().appending(path: "shared/traces")
        return isFolder(candidate) ? candidate : nil
    }()

    /// Whether the shared folder is there: for `.enabled(if:)`.
    public static var areThere: Bool { folder != nil }

    /// What other people published, and where it is from.
    public static let foundFiles: [RecordedLog] = files(in: folder?.appending(path: "found")).map(named)
    /// Their logs, as text.
    public static let found = foundFiles.filter { $0.name.hasSuffix(".txt") }

    /// One workload recorded in every way there is, and printed in as many.
    public static let shapesAndRecordings: [RecordedLog] = files(in: folder?.appending(path: "lab/6.1-shapes"))
        .filter { $0.pathExtension != "stats" }.map(named)
    /// The printed ones.
    public static let shapes = shapesAndRecordings.filter { $0.name.hasSuffix(".txt") || $0.name.hasSuffix(".txt.gz") }

    private static func named(_ file: URL) -> RecordedLog { RecordedLog(url: file, name: file.lastPathComponent) }

    // MARK: - The laboratory

    /// The laboratory's kernels whose logs the tests walk: a folder `6.1-lazy` is one of 6.1. Others are left alone until
    /// they are named here.
    public static let labKernels = ["6.1", "6.12", "6.18", "6.19", "7.3"]
    /// Those whose logs of the boot the laboratory counted.
    private static let bootCounted = ["6.1"]
    /// The laboratory's own tables.
    public static var labTables: URL? { folder?.appending(path: "lab/README.md") }

    /// The laboratory's logs that are part of the package, by their names there.
    private static let bundledNames = [
        "api-strict.probes": "6.1-extra/api.probes", "net-lazy.probes": "6.1-lazy/net.probes",
        "nvme-lazy.probes": "6.1-lazy/nvme.probes", "nvme-strict.events": "6.1-strict/nvme.events",
        "nvme-strict.probes": "6.1-strict/nvme.probes", "rebind-strict.probes": "6.1-strict/rebind.probes",
        "vfiokill-strict.probes": "6.1-strict/vfiokill.probes",
        "vfiounmap-strict.probes": "6.1-strict/vfiounmap.probes",
    ]

    /// The logs that are part of the package.
    public static let bundled: [RecordedLog] = files(in: packageRoot.appending(path: "traces"))
        .filter { $0.lastPathComponent.hasSuffix(".txt.gz") }
        .map { file in RecordedLog(url: file, name: bundledNames[stem(file)] ?? stem(file)) }

    /// The laboratory's other logs, with function probes, by kernel and policy.
    public static let labProbes = notBundled(lab([".probes.txt.gz"]))
    /// Its other logs with tracepoints only.
    public static let labOthers = notBundled(lab([".events.txt.gz", ".dma.txt.gz"]))
    /// The bundled logs and all others of the laboratory, each once.
    public static let recorded = bundled + labProbes + labOthers

    /// The log that the laboratory calls so, bundled or shared: `6.1-strict/nvme.probes`.
    public static func log(_ name: String) -> RecordedLog? { recorded.first { $0.name == name } }

    /// Those of the laboratory's logs beside which there is what the hypervisor's IOTLB did meanwhile.
    public static let labWatched = lab([".events.txt.gz"]).filter { log in
        FileManager.default.fileExists(atPath: watcher(of: log).path)
    }

    /// What the hypervisor wrote while a log was recorded, `X.events.qemu.txt.gz` beside `X.events.txt.gz`.
    public static func watcher(of log: RecordedLog) -> URL {
        log.url.deletingLastPathComponent().appending(path: log.fileName.replacing(".txt.gz", with: ".qemu.txt.gz"))
    }

    /// Its recordings of trace-cmd, each beside the text of the same ring buffer or of `trace-cmd report`.
    public static let labRecordings: [(recording: RecordedLog, text: RecordedLog)] = lab([".dat", ".dat.gz"]).flatMap {
        recording in
        let folder = recording.url.deletingLastPathComponent()
        let stem = recording.fileName.replacing(".gz", with: "").replacing(".dat", with: "")
        return [".report.txt.gz", ".txt.gz", ".report.txt", "-default.report.txt", "-t.report.txt"]
            .map { folder.appending(path: stem + $0) }
            .filter { FileManager.default.fileExists(atPath: $0.path) }
            .map { (recording, log("\(folder.lastPathComponent)/\(Self.stem($0))") ?? named($0)) }
    }

    private static func lab(_ endings: [String]) -> [RecordedLog] {
        files(in: folder?.appending(path: "lab")).filter { run in
            isFolder(run) && labKernels.contains { run.lastPathComponent.hasPrefix($0 + "-") }
        }.flatMap { run in
            files(in: run).filter { log in
                endings.contains { log.lastPathComponent.hasSuffix($0) }
                    && (log.lastPathComponent != "boot.events.txt.gz"
                        || bootCounted.contains { run.lastPathComponent.hasPrefix($0 + "-") })
            }
            .map { RecordedLog(url: $0, name: "\(run.lastPathComponent)/\(stem($0))") }
        }
    }

    private static func notBundled(_ logs: [RecordedLog]) -> [RecordedLog] {
        logs.filter { log in !bundled.contains { $0.name == log.name } }
    }

    private static func stem(_ file: URL) -> String { file.lastPathComponent.replacing(".txt.gz", with: "") }

    // MARK: - Files

    /// What a folder holds, by name; nothing if it is not there.
    public static func files(in folder: URL?) -> [URL] {
        guard let folder,
            let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path)
        else { return [] }
        return names.sorted().map { folder.appending(path: $0) }
    }

    private static func isFolder(_ url: URL) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) && isDirectory.boolValue
    }
}
