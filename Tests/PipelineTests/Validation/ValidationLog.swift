/// A log of calls and the commands that follow, to be made wrong on purpose.
struct ValidationLog {
    private(set) var lines: [String] = []
    private var time = 100_000_000
    var task = "fio-264"
    var cpu = 0
    var domain = "0xff1f9ec7fbaebf50"
    var id = 4

    var text: String { lines.map { $0 + "\n" }.joined() }

    mutating func add(_ event: String) {
        time += 5
        let seconds = "\(time / 1_000_000).\(String(time % 1_000_000 + 1_000_000).dropFirst())"
        lines.append("            \(task)     [00\(cpu)] d..1.   \(seconds): \(event)")
    }

    mutating func wait(microseconds: Int) { time += microseconds }

    mutating func map(_ iova: UInt64, _ size: UInt64 = 4096, paddr: UInt64? = nil) {
        let paddr = hex(paddr ?? 0x1_0000_0000 + iova)
        add("map: (__iommu_map+0x5/0x2a0) domain=\(domain) iova=\(hex(iova)) paddr=\(paddr) size=\(size) prot=0x7")
    }

    mutating func unmapFast(_ iova: UInt64, _ size: UInt64 = 4096, queued: Int = 0) {
        add("unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(domain) iova=\(hex(iova)) size=\(size) queued=\(queued)")
        add("unmapped: (iommu.unmap) iova=\(hex(iova)) size=\(size) unmapped=\(size)")
    }

    mutating func sync(_ iova: UInt64, _ size: UInt64 = 4096) {
        let last = hex(iova &+ size &- 1)
        add("sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(domain) start=\(hex(iova)) end=\(last) pgsize=4096")
    }

    mutating func pages(_ iova: UInt64, mask: UInt64 = 0, hint: Bool = false) {
        let word0 = UInt64(id) << 16 | 0xf2
        add("qi_submit: iotlb_inv dmar0: \(hex(word0)) \(hex(iova | (hint ? 0x40 : 0) | mask)) 0x0 0x0")
    }

    mutating func wholeDomain() { add("qi_submit: iotlb_inv dmar0: \(hex(UInt64(id) << 16 | 0xe2)) 0x0 0x0 0x0") }

    mutating func context() { add("qi_submit: cc_inv dmar0: 0x3000040031 0x0 0x0 0x0") }

    /// A strict unmap of one page with all that follows, as it should be.
    mutating func strictUnmap(_ iova: UInt64) {
        map(iova)
        unmapFast(iova)
        sync(iova)
        pages(iova)
    }

    mutating func traceMap(_ iova: UInt64, _ size: UInt64 = 4096) {
        let range = "iova=\(hex(iova)) - \(hex(iova + size))"
        add("map: IOMMU: \(range) paddr=\(hex(0x1_0000_0000 + iova)) size=\(size)")
    }

    mutating func traceUnmap(_ iova: UInt64, _ size: UInt64 = 4096) {
        add("unmap: IOMMU: iova=\(hex(iova)) - \(hex(iova + size)) size=\(size) unmapped_size=\(size)")
    }

    private func hex(_ number: UInt64) -> String { "0x\(String(number, radix: 16))" }
}
