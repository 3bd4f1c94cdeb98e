/// The columns `%16s-%-7d [%03d] ` of one task on one CPU, made once and copied into each line.
///
/// The bytes live as long as the process: there is one prefix for each task and CPU, and a new process takes over the
/// prefix of the one that it follows.
struct TaskPrefix {
    static let length = 31
    let bytes: UnsafeMutablePointer<UInt8>

    init(command: String, pid: Int, processor: Int) {
        bytes = .allocate(capacity: Self.length)
        rewrite(command: command, pid: pid, processor: processor)
    }

    func rewrite(command: String, pid: Int, processor: Int) {
        let (command, pid, processor) = (Array(command.utf8), Array(String(pid).utf8), Array(String(processor).utf8))
        precondition(command.count <= 16 && pid.count <= 7 && processor.count <= 3, "wider than its column")
        func padding(_ count: Int, _ character: Unicode.Scalar) -> [UInt8] {
            Array(repeating: UInt8(ascii: character), count: count)
        }
        let name = padding(16 - command.count, " ") + command + Array("-".utf8)
        let number = pid + padding(7 - pid.count, " ")
        let place = Array(" [".utf8) + padding(3 - processor.count, "0") + processor + Array("] ".utf8)
        _ = UnsafeMutableBufferPointer(start: bytes, count: Self.length).initialize(from: name + number + place)
    }
}

/// What stands before the time: task, CPU, and the five latency flags.
struct Head {
    let task: TaskPrefix
    let flags: StaticString
    /// Shows `N` in the second flag: the scheduler wants this CPU back.
    let needsReschedule: Bool

    @inline(__always)
    init(_ task: TaskPrefix, _ flags: StaticString, needsReschedule: Bool = false) {
        self.task = task
        self.flags = flags
        self.needsReschedule = needsReschedule
    }
}

/// A hardware invalidation of VT-d: of the whole domain, or of 2^order pages around an address.
enum Invalidation {
    case domain
    case pages(address: UInt64, order: UInt64)

    /// What `iommu_flush_iotlb_psi` of 6.1 makes of a range: the smallest aligned power of two that holds it, the
    /// address as it came; the whole domain where that exceeds the unit's maximum address mask, 18 as in the lab.
    init(start: UInt64, end: UInt64) {
        let first = start >> 12
        let last = end >> 12
        let pages = last - first + 1
        var order = UInt64(UInt64.bitWidth - (pages - 1).leadingZeroBitCount)
        let mask: UInt64 = (1 << order) - 1
        if first & mask != 0 {
            order = UInt64((~(first ^ last) & ~mask).trailingZeroBitCount)
        }
        self = order > 18 ? .domain : .pages(address: start, order: order)
    }
}

/// The log: header, event lines in the text that the lab's kernel 6.1 printed, buffer, count of lines.
///
/// Methods are named after the event they print. Times must not decrease from call to call.
final class TraceWriter {
    private let events: UInt64
    private let processors: Int
    private var written: UInt64 = 0
    private let buffer: UnsafeMutablePointer<UInt8>
    private var next: UnsafeMutablePointer<UInt8>
    private let full: UnsafeMutablePointer<UInt8>
    /// The time of the last line.
    private(set) var lastTime: Time = 0

    private static let capacity = 1 << 20
    /// More than any one line takes.
    private static let longestLine = 1 << 10

    init(events: UInt64, processors: Int) {
        self.events = events
        self.processors = processors
        buffer = .allocate(capacity: Self.capacity)
        buffer.initialize(repeating: 0, count: Self.capacity)
        next = buffer
        full = buffer + (Self.capacity - Self.longestLine)
    }

    deinit {
        buffer.deallocate()
    }

    /// Lines that a workload may still write; one is kept for the closing marker.
    var remaining: UInt64 { events - written - 1 }

    func flush() {
        StandardStream.output.put(UnsafeRawBufferPointer(start: buffer, count: next - buffer))
        next = buffer
    }

    /// The header of `trace` with irq-info, for a log that lost nothing.
    func header() {
        let text = """
            # tracer: nop
            #
            # entries-in-buffer/entries-written: \(events)/\(events)   #P:\(processors)
            #
            #                                _-----=> irqs-off/BH-disabled
            #                               / _----=> need-resched
            #                              | / _---=> hardirq/softirq
            #                              || / _--=> preempt-depth
            #                              ||| / _-=> migrate-disable
            #                              |||| /     delay
            #           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
            #              | |         |   |||||     |         |

            """
        StandardStream.output.put(text)
    }

    @inline(__always)
    private func begin(_ head: Head, _ time: Time) -> Line {
        var line = Line(at: next)
        line.bytes(head.task.bytes, TaskPrefix.length)
        let flags = line.end
        line.text(head.flags)
        if head.needsReschedule { flags[1] = UInt8(ascii: "N") }
        line.byte(UInt8(ascii: " "))
        line.stamp(time)
        lastTime = time
        return line
    }

    @inline(__always)
    private func end(_ line: Line) {
        var line = line
        line.byte(UInt8(ascii: "\n"))
        next = line.end
        written &+= 1
        if next >= full { flush() }
    }

    func marker(_ head: Head, _ time: Time, _ text: String) {
        var line = begin(head, time)
        line.text(": tracing_mark_write: ")
        line.string(text)
        end(line)
    }

    // MARK: Tracepoints

    func mapEvent(_ head: Head, _ time: Time, iova: UInt64, page: UInt64, size: UInt64) {
        var line = begin(head, time)
        line.text(": map: IOMMU: iova=")
        line.hex16(iova)
        line.text(" - ")
        line.hex16(iova &+ size)
        line.text(" paddr=")
        line.hex16(page)
        line.text(" size=")
        line.decimal(size)
        end(line)
    }

    func unmapEvent(_ head: Head, _ time: Time, iova: UInt64, size: UInt64) {
        var line = begin(head, time)
        line.text(": unmap: IOMMU: iova=")
        line.hex16(iova)
        line.text(" - ")
        line.hex16(iova &+ size)
        line.text(" size=")
        line.decimal(size)
        line.text(" unmapped_size=")
        line.decimal(size)
        end(line)
    }

    /// 6.1 keeps the unaligned address and never sets IH, bit 6 of the second word.
    func submit(_ head: Head, _ time: Time, did: UInt64, _ invalidation: Invalidation) {
        var line = begin(head, time)
        line.text(": qi_submit: iotlb_inv dmar0: ")
        switch invalidation {
        case .domain:
            line.hex(did << 16 | 0xe2)
            line.text(" 0x0 0x0 0x0")
        case .pages(let address, let order):
            line.hex(did << 16 | 0xf2)
            line.text(" ")
            line.hex(address | order)
            line.text(" 0x0 0x0")
        }
        end(line)
    }

    /// The context entry of one device was changed: attach and detach.
    func submitContext(_ head: Head, _ time: Time, did: UInt64, source: UInt64) {
        var line = begin(head, time)
        line.text(": qi_submit: cc_inv dmar0: ")
        line.hex(source << 32 | did << 16 | 0x31)
        line.text(" 0x0 0x0 0x0")
        end(line)
    }

    // MARK: Probes

    func map(_ head: Head, _ time: Time, domain: UInt64, iova: UInt64, page: UInt64, size: UInt64, protection: UInt64) {
        var line = begin(head, time)
        line.text(": map: (__iommu_map+0x5/0x2a0) domain=")
        line.hex(domain)
        line.text(" iova=")
        line.hex(iova)
        line.text(" paddr=")
        line.hex(page)
        line.text(" size=")
        line.decimal(size)
        line.text(" prot=")
        line.hex(protection)
        end(line)
    }

    func unmap(_ head: Head, _ time: Time, domain: UInt64, iova: UInt64, size: UInt64) {
        var line = begin(head, time)
        line.text(": unmap: (iommu_unmap+0x5/0xa0) domain=")
        line.hex(domain)
        line.text(" iova=")
        line.hex(iova)
        line.text(" size=")
        line.decimal(size)
        end(line)
    }

    func unmapFast(_ head: Head, _ time: Time, domain: UInt64, iova: UInt64, size: UInt64, queued: Bool) {
        var line = begin(head, time)
        line.text(": unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=")
        line.hex(domain)
        line.text(" iova=")
        line.hex(iova)
        line.text(" size=")
        line.decimal(size)
        line.text(" queued=")
        line.byte(queued ? UInt8(ascii: "1") : UInt8(ascii: "0"))
        end(line)
    }

    func unmapped(_ head: Head, _ time: Time, iova: UInt64, size: UInt64) {
        var line = begin(head, time)
        line.text(": unmapped: (iommu.unmap) iova=")
        line.hex(iova)
        line.text(" size=")
        line.decimal(size)
        line.text(" unmapped=")
        line.decimal(size)
        end(line)
    }

    /// `end` is the last byte of the range, as in the kernel's gather.
    func sync(_ head: Head, _ time: Time, domain: UInt64, start: UInt64, end last: UInt64, pageSize: UInt64) {
        var line = begin(head, time)
        line.text(": sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=")
        line.hex(domain)
        line.text(" start=")
        line.hex(start)
        line.text(" end=")
        line.hex(last)
        line.text(" pgsize=")
        line.decimal(pageSize)
        end(line)
    }

    /// The caller of the hardware flush asks for IH (0x40 in the address), which 6.1 then drops.
    func hardwareFlush(_ head: Head, _ time: Time, did: UInt64, _ invalidation: Invalidation) {
        var line = begin(head, time)
        line.text(": hw_flush: (qi_flush_iotlb+0x5/0xb0) did=")
        line.decimal(did)
        switch invalidation {
        case .domain:
            line.text(" addr=0x0 order=0 type=0x2000000000000000")
        case .pages(let address, let order):
            line.text(" addr=")
            line.hex(address | 0x40)
            line.text(" order=")
            line.decimal(order)
            line.text(" type=0x3000000000000000")
        }
        end(line)
    }

    func queueTimeout(_ head: Head, _ time: Time, timer: UInt64) {
        var line = begin(head, time)
        line.text(": fq_timeout: (fq_flush_timeout+0x5/0xa0) timer=")
        line.hex(timer)
        end(line)
    }

    func queueFlush(_ head: Head, _ time: Time, cookie: UInt64) {
        var line = begin(head, time)
        line.text(": fq_flush: (fq_flush_iotlb+0x5/0x40) cookie=")
        line.hex(cookie)
        end(line)
    }

    func flushAll(_ head: Head, _ time: Time, domain: UInt64) {
        var line = begin(head, time)
        line.text(": flush_all: (intel_flush_iotlb_all+0x5/0x110) domain=")
        line.hex(domain)
        end(line)
    }

    func domainAlloc(_ head: Head, _ time: Time, domain: UInt64) {
        var line = begin(head, time)
        line.text(": domain_alloc: (iommu_domain_alloc+0x28/0x80 <- intel_iommu_domain_alloc) domain=")
        line.hex(domain)
        end(line)
    }

    func domainFree(_ head: Head, _ time: Time, domain: UInt64) {
        var line = begin(head, time)
        line.text(": domain_free: (intel_iommu_domain_free+0x5/0x30) domain=")
        line.hex(domain)
        end(line)
    }

    func attach(_ head: Head, _ time: Time, domain: UInt64, device: String) {
        var line = begin(head, time)
        line.text(": attach: (intel_iommu_attach_device+0x5/0x8c0) domain=")
        line.hex(domain)
        line.text(" dev=\"")
        line.string(device)
        line.text("\"")
        end(line)
    }
}
