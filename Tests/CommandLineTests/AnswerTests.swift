import Foundation
import Testing

/// What the answer of a replay says beside its figures: faults, calls without a device, logs without times.
@Suite struct AnswerTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func answer(_ log: String, _ policies: String...) throws -> Tool.Result {
        try folder.write(log, to: "log.txt")
        return try Tool.run(["log.txt"] + policies.flatMap { ["-p", $0] }, directory: folder)
    }

    private static func line(_ time: String, _ event: String) -> String {
        "             fio-270     [000] .....   \(time): \(event)\n"
    }

    /// The n-th page, as the tracepoints print it.
    private static func range(_ page: Int) -> String {
        "0x\(String(0x1000 * page, radix: 16)) - 0x\(String(0x1000 * (page + 1), radix: 16))"
    }

    private static let head = "# tracer: nop\n"

    @Test func faultsAreTold() throws {
        var log = Self.head
        for index in 0..<5 {
            let iova = Self.range(index + 1)
            log += Self.line("100.0\(index)0000", "map: IOMMU: iova=\(iova) paddr=0x5000 size=4096")
            log += Self.line(
                "100.0\(index)1000", "unmap: IOMMU: iova=\(iova) size=4096 unmapped_size=4096")
            log += Self.line(
                "100.0\(index)3500", "io_page_fault: IOMMU:nvme 0000:00:03.0 iova=\(iova.prefix(6)) flags=0x0001")
        }
        let output = try answer(log, "sync").output
        #expect(output.contains("\nFaults: 5\n"))
        #expect(try answer(log, "end").output.contains("note: end: 1 flush is due when the log ends: not made"))
        #expect(output.contains("0x1000, use after unmap, 2.500 ms after fio-270 unmapped it"))
        #expect(output.components(separatedBy: "use after unmap").count == 4)
        #expect(output.contains("… and 2 more: report faults"))
        #expect(
            !(try answer(
                Self.head + Self.line("1.000000", "map: IOMMU: iova=0x1000 - 0x2000 paddr=0x5000 size=4096"), "sync"
            ).output
                .contains("Faults")))
    }

    @Test func callsWithoutADeviceAreTold() throws {
        let domain = "domain=0xff2caa95c1103290"
        var log =
            Self.head
            + Self.line("100.000000", "attach: (intel_iommu_attach_device+0x5/0x8c0) \(domain) dev=\"0000:00:03.0\"")
        for (second, iova) in ["0x1000", "0x2000", "0x3000"].enumerated() {
            log += Self.line(
                "10\(second).100000",
                "map: (__iommu_map+0x5/0x2a0) \(domain) iova=\(iova) paddr=\(iova) size=4096 prot=0x7")
            if second == 1 {
                log += Self.line(
                    "101.200000", "detach: (intel_iommu_detach_device+0x5/0x8c0) \(domain) dev=\"0000:00:03.0\"")
            }
            log += Self.line(
                "10\(second).300000",
                "unmap_fast: (iommu_unmap_fast+0x5/0x10) \(domain) iova=\(iova) size=4096 queued=0")
            log += Self.line("10\(second).400000", "unmapped: (iommu.unmap) iova=\(iova) size=4096 unmapped=4096")
        }
        let output = try answer(log, "sync").output
        #expect(output.contains("note: 2 of 3 unmap calls were made with no device attached"))
    }

    /// Design §4 10 needs times: without them there is no length, not a length of 0.
    @Test func windowsOfALogWithoutTimesHaveNoLength() throws {
        var log = Self.head + "#\ntracing_mark_write: begin\n"
        for index in 1...4 {
            let iova = Self.range(index)
            log += "map: IOMMU: iova=\(iova) paddr=0x5000 size=4096\n"
            log += "unmap: IOMMU: iova=\(iova) size=4096 unmapped_size=4096\n"
        }
        try folder.write(log, to: "log.txt")
        #expect(try Tool.run(["import", "log.txt"], directory: folder).exitCode == 3)
        let output = try Tool.run(["replay", "-p", "batch=2"], directory: folder).output
        #expect(output.contains("note: the log has no times, so no window has a length"))
        let rows = try Tool.run(["report", "windows", "--format", "json"], directory: folder).objects()
        let row = try #require(rows.first)
        #expect(row["windows"] as? Int == 4)
        for column in ["p50_ns", "max_ns", "exposure_page_seconds", "page_seconds", "mean_stale_pages"] {
            #expect(row[column] is NSNull)
        }
        #expect(
            try Tool.run(["sweep", "--policies", "batch=2"], directory: folder).output.contains("the log has no times"))
    }
}
