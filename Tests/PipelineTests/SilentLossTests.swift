import Foundation
import Ingest
import TestSupport
import Testing
import TraceStore

/// Events that are missing from a log without a word in it.
@Suite struct SilentLossTests {
    /// A strict domain: each call has its entry, its tracepoint, its sync, the function that sends and the descriptor.
    private static func log(without missing: (String, Int) -> Bool) -> String {
        var lines = ["0 7 1 attach: (intel_iommu_attach_device+0x5/0x8c0) domain=0xa dev=\"0000:00:03.0\""]
        for call in 0..<200 {
            let time = 10 + call * 10
            let iova = "0x\(String(4096 + call, radix: 16))000"
            lines += [
                "map: (__iommu_map+0x5/0x2a0) domain=0xa iova=\(iova) paddr=0x2000 size=4096 prot=0x6",
                "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=0xa iova=\(iova) size=4096 queued=0",
                "unmapped: (iommu.unmap) iova=\(iova) size=4096 unmapped=4096",
                "sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=0xa start=\(iova) end=\(iova) pgsize=4096",
                "hw_flush: (qi_flush_iotlb+0x5/0xb0) did=4 addr=\(iova) order=0 type=0x3000000000000000",
                "qi_submit: iotlb_inv dmar0: 0x400f2 \(iova) 0x0 0x0",
            ].enumerated().filter { !missing(String($0.element.prefix { $0 != ":" }), call) }
                .map { "\(call % 2) 7 \(time + $0.offset) \($0.element)" }
        }
        return FtraceText.expand(lines.joined(separator: "\n"))
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var event: String
        /// `what`, `missing`, `seen` of the one row expected.
        var row: String
        var testDescription: String { event }
    }

    @Test(arguments: [
        Case(event: "sync", row: "sync,20,180"),
        Case(event: "unmap_fast", row: "unmap or unmap_fast,20,180"),
        Case(event: "unmapped", row: "iommu:unmap,20,180"),
        Case(event: "qi_submit", row: "descriptor,20,180"),
    ])
    func eventsThatDidNotFire(_ lost: Case) throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(
            folder.write(Self.log { $0 == lost.event && $1 % 10 == 3 }, to: "log"), into: store)
        let rows = try Pipeline.csv("SELECT what, missing, seen FROM what_must_have_happened", in: store)
        #expect(rows.split(whereSeparator: \.isNewline).dropFirst().map(String.init) == [lost.row])
    }

    /// What a log never shows is not missed in it.
    @Test(arguments: ["none", "sync", "unmap_fast", "unmapped", "hw_flush", "qi_submit", "map"])
    func eventsThatWereNotRecorded(_ event: String) throws {
        let folder = try TemporaryFolder()
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(Self.log { name, _ in name == event }, to: "log"), into: store)
        #expect(try Pipeline.number("SELECT count(*) FROM what_must_have_happened", in: store) == 0)
    }
}
