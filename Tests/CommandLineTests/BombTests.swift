import Foundation
import Glibc
import TestSupport
import Testing

/// Archives that are small on disk and large inside take no more memory than others. `tools/checks/bomb-check` does the same with
/// ten gigabytes.
@Suite struct BombTests {
    private static let size = 64 << 20

    /// Peak memory that a run of the tool took, in bytes.
    private static func memory(of log: String, in folder: TemporaryFolder, expecting code: Int32) throws -> Int {
        // GNU time is not everywhere; bash's `ulimit -v` bounds addresses, which Swift takes many of. So the tool's own
        // status is read while it runs, as often as possible: the peak that the kernel keeps there only grows.
        let tool = try RunningTool(["import", log, "--db", log + ".db"], directory: folder)
        var peak = 0
        try tool.wait(for: "its end") {
            let status = try? String(contentsOfFile: "/proc/\(tool.identifier)/status", encoding: .utf8)
            let line = status?.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
            let kilobytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
            peak = max(peak, (kilobytes ?? 0) << 10)
            return tool.hasEnded
        }
        let result = try tool.finish()
        #expect(result.exitCode == code, "\(result.errors)")
        return peak
    }

    @Test(arguments: ["gzip", "zstd", "xz"], ["one line", "many lines"])
    func bomb(format: String, content: String) throws {
        let folder = try TemporaryFolder()
        let line = content == "one line" ? Array("x".utf8) : Array("what is this line doing here\n".utf8)
        let piece = [UInt8]((0..<(Self.size / 16 / line.count)).map { _ in line }.joined())
        let pack: ([UInt8]) -> [UInt8] =
            switch format {
            case "gzip": { Gzip.member($0, level: 1) }
            case "zstd": { Archives.zstd($0) }
            default: { Archives.xz($0) }
            }
        let head = pack(Array(FtraceLog(calls: 5).text.utf8))
        let packed = pack(piece)
        try folder.write(Data(head), to: "small")
        try folder.write(Data(head + (0..<16).flatMap { _ in packed }), to: "large")
        let small = try Self.memory(of: "small", in: folder, expecting: 0)
        let large = try Self.memory(of: "large", in: folder, expecting: 3)
        #expect(small > 1 << 20)
        #expect(large < 150 << 20)
        #expect(large < small + Self.size / 2, "\(small) bytes for the head, \(large) for all")
        let reasons = try Tool.run(
            ["sql", "SELECT DISTINCT reason FROM parse_issue", "--format", "csv", "--db", "large.db"], directory: folder
        )
        let expected = content == "one line" ? "line longer than 64 KiB" : "not an event line"
        #expect(reasons.output == "reason\n\(expected)\n")
    }
}
