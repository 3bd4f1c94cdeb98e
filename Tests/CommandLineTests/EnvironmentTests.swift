import Foundation
import Testing

/// Which database is used, and what is written where.
@Suite struct EnvironmentTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(FtraceLog(calls: 20).text, to: "log.txt")
    }

    private func run(_ arguments: String..., environment: [String: String] = [:]) throws -> Tool.Result {
        try Tool.run(arguments, environment: environment, directory: folder)
    }

    // MARK: - The database

    @Test func defaultDatabase() throws {
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try folder.files == ["iommu-trace.db", "log.txt"])
        for arguments in [
            ["replay"], ["info"], ["list"], ["report", "savings"], ["sql", "SELECT 1"], ["forget", "log"],
        ] {
            #expect(try Tool.run(arguments, directory: folder).exitCode == 0)
            #expect(try folder.files == ["iommu-trace.db", "log.txt"])
        }
    }

    @Test func databaseFromEnvironment() throws {
        let environment = ["IOMMU_TRACE_DB": "mine.db"]
        #expect(try run("import", "log.txt", environment: environment).exitCode == 0)
        #expect(try folder.files == ["log.txt", "mine.db"])
        for arguments in [
            ["replay"], ["info"], ["list"], ["report", "savings"], ["sql", "SELECT 1"], ["forget", "log"],
        ] {
            #expect(try Tool.run(arguments, environment: environment, directory: folder).exitCode == 0)
        }
        #expect(try folder.files == ["log.txt", "mine.db"])
    }

    @Test func optionWinsOverEnvironment() throws {
        #expect(try run("import", "log.txt", "--db", "x.db", environment: ["IOMMU_TRACE_DB": "y.db"]).exitCode == 0)
        #expect(try folder.files == ["log.txt", "x.db"])
        #expect(try run("info", "--db", "x.db", environment: ["IOMMU_TRACE_DB": "y.db"]).exitCode == 0)
        #expect(try run("info", environment: ["IOMMU_TRACE_DB": "y.db"]).exitCode == 4)
    }

    @Test func emptyVariableIsNone() throws {
        #expect(try run("import", "log.txt", environment: ["IOMMU_TRACE_DB": ""]).exitCode == 0)
        #expect(try folder.files == ["iommu-trace.db", "log.txt"])
    }

    // MARK: - One shot

    @Test(arguments: [["log.txt"], ["show", "log.txt"], ["log.txt", "-p", "end"], ["-"]])
    func oneShotLeavesNothing(arguments: [String]) throws {
        let result = try Tool.run(
            arguments, stdin: folder.read("log.txt"), environment: ["IOMMU_TRACE_DB": "y.db"], directory: folder)
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        #expect(result.output.hasPrefix("trace \(arguments == ["-"] ? "stdin" : "log"), from "))
        #expect(result.output.contains("\nTLB flushes of "))
        #expect(result.output.contains("\nend") == arguments.contains("end"))
        #expect(try folder.files == ["log.txt"])
    }

    /// A log can be called like a subcommand.
    @Test func oneShotOfLogCalledList() throws {
        try folder.write(folder.read("log.txt"), to: "list")
        #expect(try run("./list").output.hasPrefix("trace list, from ./list\n"))
    }

    // MARK: - Progress

    /// On stderr only; what is on stdout does not change.
    @Test func progressAlways() throws {
        for (arguments, label) in [
            (["import", "log.txt", "--db", "x.db"], "import: "), (["replay", "--db", "x.db"], "replay: "),
            (["log.txt"], "import: "),
        ] {
            let result = try Tool.run(arguments + ["--progress", "always"], directory: folder)
            #expect(result.exitCode == 0)
            #expect(result.errors.contains(label))
            #expect(result.errors.hasSuffix("/s\n"))
            #expect(!result.errors.contains("\r"))
            #expect(!result.output.contains(label))
        }
    }

    @Test(arguments: [[], ["--progress", "auto"], ["--progress", "never"]]) func noProgress(option: [String]) throws {
        for arguments in [["import", "log.txt"], ["replay"], ["log.txt"]] {
            let result = try Tool.run(arguments + option, directory: folder)
            #expect(result.exitCode == 0)
            #expect(result.errors == "")
        }
    }

    @Test func progressDoesNotChangeTheAnswer() throws {
        let answers = try ["always", "never"].map { try run("log.txt", "--progress", $0).output }
        #expect(answers[0] == answers[1])
    }
}
