import Foundation
import Testing

/// Databases that many tests begin with, imported once: their bytes, to be written into a test's own folder.
enum Prepared {
    /// The traces `log` and `other`, of five calls each.
    static let twoTraces = Result { try database(of: ["log", "other"]) }
    /// The trace `log`.
    static let oneTrace = Result { try database(of: ["log"]) }

    private static func database(of names: [String]) throws -> Data {
        let folder = try TemporaryFolder()
        for (index, name) in names.enumerated() {
            try folder.write(FtraceLog(calls: 5, seed: UInt64(index + 1)).text, to: name + ".txt")
        }
        _ = try Tool.run(["import"] + names.map { $0 + ".txt" }, directory: folder)
        return try folder.read("iommu-trace.db")
    }
}
