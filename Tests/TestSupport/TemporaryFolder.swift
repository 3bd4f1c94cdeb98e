import Foundation

/// A folder of a test's own, gone when the test is: tests run side by side.
public final class TemporaryFolder: Sendable {
    private let url: URL

    /// Creates an empty folder.
    public init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "iommu-trace-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    /// The folder's own path.
    public var path: String { url.path }

    /// The path of a file in it, there or not.
    public func path(_ name: String) -> String { url.appending(path: name).path }

    /// Writes a file and tells its path.
    public func write(_ bytes: [UInt8], to name: String) throws -> String {
        try Data(bytes).write(to: url.appending(path: name))
        return path(name)
    }

    /// Writes a text and tells its path.
    public func write(_ text: String, to name: String) throws -> String { try write(Array(text.utf8), to: name) }

    /// Writes files into a folder in it, in folders that are made as needed, and tells that folder's path.
    public func write(_ files: [String: String], into folder: String) throws -> String {
        for (name, text) in files {
            let file = url.appending(path: folder).appending(path: name)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        return path(folder)
    }
}
