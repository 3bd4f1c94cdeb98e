import Foundation
import Glibc

/// A folder for one test, gone with the test.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        let template = FileManager.default.temporaryDirectory.appending(path: "iommu-trace-tests-XXXXXX").path
        path = try template.withCString {
            let copy = strdup($0)
            defer { free(copy) }
            guard let copy, mkdtemp(copy) != nil else { throw POSIXError(.EACCES) }
            return String(cString: copy)
        }
        // Some tests run the tool as another user.
        chmod(path, 0o755)
    }

    deinit {
        chmod(path, 0o755)
        try? FileManager.default.removeItem(atPath: path)
    }

    /// The path of a file in it.
    subscript(_ name: String) -> String { path + "/" + name }

    /// Names of all files in it.
    var files: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
    }

    func exists(_ name: String) -> Bool { access(self[name], F_OK) == 0 }

    /// Writes a file and gives its name back.
    @discardableResult
    func write(_ data: Data, to name: String) throws -> String {
        try data.write(to: URL(filePath: self[name]))
        return name
    }

    @discardableResult
    func write(_ text: String, to name: String) throws -> String { try write(Data(text.utf8), to: name) }

    /// Writes files in folders that are made as needed.
    func write(_ files: [String: String]) throws {
        for (name, text) in files {
            let url = URL(filePath: self[name])
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: url)
        }
    }

    func read(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: self[name])) }

    func text(_ name: String) throws -> String { String(decoding: try read(name), as: UTF8.self) }
}
