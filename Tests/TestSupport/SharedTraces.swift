import Foundation

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

    /// Logs that other people published, as text.
    public static let found: [URL] = files(in: folder?.appending(path: "found")).filter { $0.pathExtension == "txt" }

    /// One workload recorded and printed in every way there is.
    public static let shapes: [URL] = files(in: folder?.appending(path: "lab/6.1-shapes"))
        .filter { $0.lastPathComponent.hasSuffix(".txt") || $0.lastPathComponent.hasSuffix(".txt.gz") }

    /// The laboratory's logs with function probes, by kernel and policy.
    public static let labProbes = lab([".probes.txt.gz"])
    /// Its logs with tracepoints only.
    public static let labOthers = lab([".events.txt.gz", ".dma.txt.gz"])

    private static func lab(_ endings: [String]) -> [URL] {
        guard let lab = folder?.appending(path: "lab") else { return [] }
        return files(in: lab).filter(isFolder).flatMap { files(in: $0) }
            .filter { log in endings.contains { log.lastPathComponent.hasSuffix($0) } }
    }

    /// The logs that are part of the package.
    public static let bundled: [URL] = files(in: packageRoot.appending(path: "traces"))
        .filter { $0.lastPathComponent.hasSuffix(".txt.gz") }

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
