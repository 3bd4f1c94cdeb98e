import Foundation
import TestSupport

/// A small log, the same for the same seed, in the shape of what a 6.1 kernel with probes writes about strict domains:
/// each call maps, unmaps and syncs.
struct FtraceLog {
    /// The domains' pointers and the one device that is attached to each.
    static let domains = ["0xff1f9ec7fbaebf50", "0xff1f9ec78baa2dd0"]

    var lines: [String]
    /// 4096-byte pages that the unmaps remove.
    private(set) var pages = 0
    /// 4096-byte pages that ``addReuse()`` has mapped.
    private(set) var reusedPages = 0
    private var microseconds = 25_241_791

    /// - Parameter calls: unmap calls, spread over both domains.
    init(calls: Int, seed: UInt64 = 1) {
        var random = SeededGenerator(seed: seed)
        lines = [
            "# tracer: nop",
            "#",
            "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION",
            "#              | |         |   |||||     |         |",
        ]
        add("tracing_mark_write: LAB_START seed \(seed)")
        for (index, domain) in Self.domains.enumerated() {
            add("attach: (intel_iommu_attach_device+0x5/0x8c0) domain=\(domain) dev=\"0000:00:0\(index + 3).0\"")
        }
        for _ in 0..<calls { addCall(&random) }
    }

    private mutating func addCall(_ random: inout SeededGenerator) {
        let domain = Self.domains[Int(random.next() % 2)]
        let size = [4096, 4096, 4096, 131072][Int(random.next() % 4)]
        let iova = 0xf000_0000 + random.next() % 4096 * 131072
        let start = "0x" + String(iova, radix: 16)
        let end = "0x" + String(iova + UInt64(size) - 1, radix: 16)
        let paddr = "0x" + String(0x1_1300_0000 + random.next() % 65536 * 4096, radix: 16)
        pages += size / 4096
        add("map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(start) paddr=\(paddr) size=\(size) prot=0x6")
        add("unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(start) size=\(size) queued=0")
        add("unmapped: (iommu.unmap) iova=\(start) size=\(size) unmapped=\(size)")
        add("sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=\(start) end=\(end) pgsize=4096")
        add("hw_flush: (qi_flush_iotlb+0x5/0xb0) did=4 addr=\(start) order=0 type=0x3000000000000000")
        add("qi_submit: iotlb_inv dmar0: 0x400f2 \(start) 0x0 0x0")
    }

    /// Adds further calls.
    mutating func addCalls(_ calls: Int, seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<calls { addCall(&random) }
    }

    /// Maps the address of the last call again at once, to another page: a hazard under a policy that has not flushed yet.
    mutating func addReuse() {
        guard let line = lines.last(where: { $0.contains(": map: ") }) else { return }
        let event = "map:" + (line.components(separatedBy: ": map:").last ?? "")
        reusedPages += event.contains("size=4096 ") ? 1 : 32
        add(event.replacing("paddr=0x", with: "paddr=0xf"))
    }

    /// Adds an event behind the last one in time.
    mutating func add(_ event: String, task: String = "fio") {
        microseconds += 7
        lines.append(Self.line(event, task: task, microseconds: microseconds))
    }

    /// One line as ftrace prints it.
    static func line(_ event: String, task: String = "fio", microseconds: Int) -> String {
        let fraction = String(microseconds % 1_000_000)
        let comm = String(repeating: " ", count: max(16 - task.utf8.count, 0)) + task
        let seconds = "\(microseconds / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
        return "\(comm)-271     [001] d.Z..    \(seconds): \(event)"
    }

    var text: String { lines.joined(separator: "\n") + "\n" }
    var data: Data { Data(text.utf8) }
}

extension Data {
    /// As one gzip member.
    var gzipped: Data { Data(Gzip.member([UInt8](self))) }

    /// With one bit turned over.
    func flippingBit(_ bit: Int, ofByte index: Int) -> Data {
        var copy = self
        copy[copy.startIndex + index] ^= 1 << UInt8(bit)
        return copy
    }
}
