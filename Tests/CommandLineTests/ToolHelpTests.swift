import Foundation
import Testing

/// The scripts of `tools/` say how they are used, and do nothing else then.
@Suite struct ToolHelpTests {
    private static let tools = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "tools")

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

    @Test(arguments: ["record", "demo", "install", "setup", "test", "fuzz/run"]) func help(name: String) throws {
        for argument in ["--help", "-h"] {
            let result = try run(name, argument)
            #expect(result.status == 0)
            #expect(result.errors == "")
            #expect(result.output.contains("tools/\(name)"), "\(result.output)")
            #expect(!result.output.contains("set -"))
        }
    }

    @Test(arguments: ["record", "demo", "install", "setup"]) func unknownOption(name: String) throws {
        let result = try run(name, "--frob")
        #expect(result.status == 2)
        #expect(result.output == "")
        #expect(result.errors.contains("what is --frob?"))
    }
}
