import Foundation
import Testing

/// The scripts of `tools/` say how they are used, and do nothing else then.
@Suite struct ToolHelpTests {
    private static let tools = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "tools")

    /// All that can be called, by its path below `tools/`.
    static let names: [String] = {
        let places = ["", "checks/", "checks/fuzz/"]
        let names = places.flatMap { place in
            ((try? FileManager.default.contentsOfDirectory(atPath: tools.appending(path: place).path)) ?? [])
                .map { place + $0 }
        }
        return names.filter { name in
            let path = tools.appending(path: name).path
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
                && FileManager.default.isExecutableFile(atPath: path)
        }.sorted()
    }()

    private func run(_ name: String, _ argument: String) throws -> (status: Int32, output: String, errors: String) {
        let folder = try TemporaryFolder()
        let process = Process()
        process.executableURL = Self.tools.appending(path: name)
        process.arguments = [argument]
        process.currentDirectoryURL = URL(filePath: folder.path)
        let (output, errors) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, errors)
        try process.run()
        let texts = try [output, errors].map { try $0.fileHandleForReading.readToEnd() ?? Data() }
        process.waitUntilExit()
        #expect(try folder.files == [])
        return (
            process.terminationStatus, String(decoding: texts[0], as: UTF8.self),
            String(decoding: texts[1], as: UTF8.self)
        )
    }

    @Test(arguments: names) func help(name: String) throws {
        for argument in ["--help", "-h"] {
            let result = try run(name, argument)
            #expect(result.status == 0)
            #expect(result.errors == "")
            #expect(result.output.contains(URL(filePath: name).lastPathComponent), "\(result.output)")
            #expect(!result.output.contains("set -"))
        }
    }

    @Test(arguments: ["record", "demo", "install", "setup", "oracle", "bench", "checks/cut-check"])
    func unknownOption(name: String) throws {
        let result = try run(name, "--frob")
        #expect(result.status == 2)
        #expect(result.output == "")
        #expect(result.errors.contains("--frob") || result.errors.contains("usage:"), "\(result.errors)")
    }

    /// `tools/README.md` has each tool in the room that it is in, and no other.
    @Test func everyToolIsInItsRoom() throws {
        let page = try String(contentsOf: Self.tools.appending(path: "README.md"), encoding: .utf8)
        let rooms = page.components(separatedBy: "\n## ").dropFirst()
        #expect(rooms.map { $0.prefix { $0 != "\n" } } == ["For users", "For contributors", "Checks"])
        var listed: [String] = []
        for (number, room) in rooms.enumerated() {
            let place = number == 2 ? "checks/" : ""
            for line in room.split(separator: "\n") {
                if let tool = line.prefixMatch(of: /\| `([\w\/-]+)/) { listed.append(place + tool.1) }
            }
        }
        #expect(listed.sorted() == Self.names)
    }
}
