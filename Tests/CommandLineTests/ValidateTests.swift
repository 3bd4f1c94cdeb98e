import Foundation
import TestSupport
import Testing

/// `iommu-trace validate` as a process.
@Suite struct ValidateTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        for name in ["vfiounmap-strict.probes", "nvme-lazy.probes"] {
            let log = SharedTraces.packageRoot.appending(path: "traces/\(name).txt.gz").path
            #expect(try Tool.run(["import", log, "--name", name], directory: folder).exitCode == 0)
        }
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    private func number(_ row: [String: Any], _ name: String) -> Int { (row[name] as? NSNumber)?.intValue ?? -1 }

    @Test func allTracesAreValidated() throws {
        let result = try run("validate", "--format", "json")
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        let rows = try result.objects()
        #expect(Set(rows.compactMap { $0["trace"] as? String }) == ["vfiounmap-strict.probes", "nvme-lazy.probes"])
        for row in rows {
            let quantity = try #require(row["quantity"] as? String)
            #expect(
                number(row, "recorded")
                    == number(row, "matched") + number(row, "explained") + number(row, "missing"))
            #expect(number(row, "predicted") == number(row, "matched") + number(row, "extra"))
            if quantity == "descriptors" {
                #expect(number(row, "missing") == 0)
                #expect(number(row, "extra") == 0)
            }
            #expect(row["evidence"] as? String == "modelled")
        }
        let syncs = rows.filter { $0["basis"] as? String == "vfio" && $0["quantity"] as? String == "flushes" }
        #expect(syncs.map { number($0, "matched") } == [2084])
    }

    @Test func anotherDriverDiffersAndTheFirstDifferencesAreShown() throws {
        let result = try run(
            "validate", "--trace", "vfiounmap-strict.probes", "--hardware", "vtd-6.12", "--differences", "2")
        #expect(result.exitCode == 0)
        #expect(result.output.contains("The first differences:"))
        // The hint of 6.12 is what the driver of 6.1 does not send.
        #expect(result.output.contains("page-selective, address 0x0, mask 0, hint"))
        let rows = try run("report", "differences", "--format", "json").objects()
        #expect(rows.count == 2)
        #expect(rows.allSatisfy { number($0, "line") > 0 })
        let sums = try run("validate", "--trace", "vfiounmap-strict.probes", "--by", "trace", "--format", "json")
            .objects()
        #expect(sums.count == 2)
        #expect(sums.allSatisfy { $0["domain"] as? String == "all" })
    }

    @Test(
        arguments: [
            (["--policy", "none"], "none"), (["--hardware", "vtd-5"], "vtd-5"), (["--differences=-1"], "-1"),
            (["--by", "task"], "task"), (["--hz", "0"], "--hz 0"), (["--page-sizes", "5K"], "5K"),
            (["--trace", "other"], "other"),
        ])
    func wrongUseIsRefused(arguments: [String], named: String) throws {
        let result = try Tool.run(["validate"] + arguments, directory: folder)
        #expect(result.exitCode == 2)
        #expect(result.errors.contains(named))
        #expect(result.output == "")
    }

    @Test func withoutALogThereIsNothingToValidate() throws {
        let result = try run("validate", "--db", "other.db")
        #expect(result.exitCode == 4)
        #expect(result.output == "")
    }

    @Test func aReportSaysThatNothingWasValidated() throws {
        let result = try run("report", "validate", "--format", "json")
        #expect(result.exitCode == 0)
        #expect(result.errors.contains("nothing was validated yet: iommu-trace validate"))
    }
}
