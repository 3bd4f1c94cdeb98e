import TestSupport
import Testing

@testable import TraceFormats

/// Every shape in which a user has a log (model.md §7.3), each told by its lines.
struct LineShapeTests {
    private static let unmap = "unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096"

    /// The log's only event.
    private static func event(_ line: String) throws -> ReadLog.Event? {
        let log = try ReadLog(line + "\n")
        return log.issues.isEmpty && log.losses.isEmpty && log.events.count == 1 ? log.events.first : nil
    }

    // MARK: - Shapes with a time

    @Test(
        "ftrace's latency format counts µs from the first event on",
        arguments: [
            ("      dd-271       1..... 45793us!: ", "dd", 271, 1, 45_793_000),
            ("      dd-271       1..... 45793us : ", "dd", 271, 1, 45_793_000),
            ("      sh-99        0..... 33304us*: ", "sh", 99, 0, 33_304_000),
            ("  <idle>-0         1d.h1.    33us+: ", "<idle>", 0, 1, 33000),
            ("kworker/-1234567  12d.s2.     0us : ", "kworker/", 1_234_567, 12, 0),
            ("  a-b-1 c-7        0....1     5us : ", "a-b-1 c", 7, 0, 5000),
        ] as [(String, String, Int32, Int32, Int64)])
    func latency(prefix: String, comm: String, pid: Int32, cpu: Int32, time: Int64) throws {
        let event = try #require(try Self.event(prefix + Self.unmap))
        #expect(event.comm == comm)
        #expect(event.pid == pid)
        #expect(event.cpu == cpu)
        #expect(event.time == time)
        #expect(event[.iova] == 0x1000)
    }

    @Test("trace-cmd report -l has the same columns and the trace clock's time")
    func latencyReport() throws {
        let event = try #require(
            try Self.event("      dd-347     0d.H1.    48.336672: unmap:                IOMMU: iova=0x1000 size=4096"))
        #expect(event.time == 48_336_672_000)
        #expect(event.cpu == 0)
        #expect(event.pid == 347)
    }

    @Test(
        "perf script separates the task id by spaces and names the subsystem",
        arguments: [
            ("        qemu-kvm  4575 [008]   438.308478: iommu:unmap: ", "qemu-kvm", 4575),
            ("        qemu-kvm  4575/4580  [008]   438.308478:        iommu:unmap: ", "qemu-kvm", 4580),
            ("       CPU 0/KVM    4575/4580    [008]   438.308478:          iommu:unmap: ", "CPU 0/KVM", 4580),
            ("         swapper     0 [008]   438.308478000: iommu:unmap: ", "swapper", 0),
            ("kworker/u16:3-ev   190 [008]   438.308478:          1 iommu:unmap: ", "kworker/u16:3-ev", 190),
            ("            beef  4580 [008]   438.308478: iommu:unmap: ", "beef", 4580),
            ("a [x] 7 b 12 [008] 438.308478: iommu:unmap: ", "a [x] 7 b", 12),
        ] as [(String, String, Int32)])
    func perf(prefix: String, comm: String, pid: Int32) throws {
        let event = try #require(try Self.event(prefix + "IOMMU: iova=0x1000 size=4096 unmapped_size=4096"))
        #expect(event.comm == comm)
        #expect(event.pid == pid)
        #expect(event.cpu == 8)
        #expect(event.time == 438_308_478_000)
        #expect(event.name == "unmap")
    }

    @Test("call chains are passed over, of perf, ftrace and trace-cmd")
    func callChains() throws {
        let log = try ReadLog(
            """
            fio   271 [001]    25.241791: iommu:unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            \t        ffffffff81b0c3e6 __iommu_unmap+0x146 ([kernel.kallsyms])
            \t        ffffffff81b0c3e6 __iommu_unmap+0x146 ([kernel.kallsyms])
                        ffffffffc0a1b2c3 [unknown] ([nvme])
                            7f32a1b2c3d4 [unknown] (/usr/bin/fio)

            fio   271 [001]    25.241792: iommu:unmap: IOMMU: iova=0x2000 size=4096 unmapped_size=4096

                         fio-271     [001] d.h1.    25.241793: unmap: IOMMU: iova=0x3000 size=4096 unmapped_size=4096
                         fio-271     [001] d.h1.    25.241793: <stack trace>
             => __iommu_unmap
             => iommu_unmap_fast
             => iommu_dma_unmap_page (ffffffff81b0c3e6)
            """ + "\n")
        #expect(log.issues.isEmpty)
        #expect(log.events.map { $0[.iova] } == [0x1000, 0x2000, 0x3000])
    }

    @Test(
        "the kernel log with dynamic debug",
        arguments: [
            "[  236.898865] iommu: ", "<7>[  236.898865] iommu: ", "[  236.898865] host kernel: iommu: ",
            "[  236.898865][    C0] iommu: ", "  [  236.898865] iommu: ",
        ])
    func kernelLog(prefix: String) throws {
        let map = try #require(try Self.event(prefix + "map: iova 0xfcbbf000 pa 0x00000008b2f33000 size 0x1000"))
        #expect(map.name == "map")
        // The message stands at the function's entry: an attempt.
        #expect(map.form == .probe)
        #expect(map[.iova] == 0xfcbb_f000)
        #expect(map[.paddr] == 0x8_b2f3_3000)
        #expect(map[.size] == 4096)
        #expect(map.time == 236_898_865_000)
        #expect(try Self.event(prefix + "unmap this: iova 0x1aa00000 size 0x400000")?[.size] == 0x40_0000)
        #expect(try Self.event(prefix + "unmapped: iova 0x1aa00000 size 0x200000")?.isKnown == true)
        #expect(try Self.event(prefix + "mapping: iova 0x1000 pa 0x2000 pgsize 0x1000 count 1")?.isKnown == true)
        let other = try #require(try Self.event(prefix + "Default domain type: Translated"))
        #expect(other.name == "printk")
        #expect(!other.isKnown)
    }

    @Test("the kernel log may name task or CPU")
    func kernelLogCaller() throws {
        let text = "iommu: unmap this: iova 0x1000 size 0x1000"
        #expect(try Self.event("[    1.000000][ T1234] " + text)?.pid == 1234)
        #expect(try Self.event("[    1.000000][    C7] " + text)?.cpu == 7)
    }

    // MARK: - Without a time

    @Test("an event without a time is taken at that of the one before, and told of")
    func untimed() throws {
        let log = try ReadLog(
            """
            tracing_mark_write: begin
            map: IOMMU: iova=0x1000 paddr=0x2000 size=4096
                         fio-271     [001] d.h1.    25.241793: unmap: IOMMU: iova=0x3000 size=4096 unmapped_size=4096
            iommu:unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
            qi_submit: iotlb_inv dmar1: 0x100e2 0x0 0x0 0x0
            sched_switch: prev_comm=fio
            """ + "\n")
        #expect(log.events.map(\.name) == ["tracing_mark_write", "map", "unmap", "unmap", "qi_submit", "sched_switch"])
        #expect(log.events.map(\.time) == [0, 0] + [Int64](repeating: 25_241_793_000, count: 4))
        #expect(
            log.events.map(\.comm) == ["(not recorded)", "(not recorded)", "fio"]
                + Array(repeating: "(not recorded)", count: 3))
        #expect(log.issues.map(\.reason) == Array(repeating: .noTime, count: 5))
        #expect(log.issues.map(\.line) == [1, 2, 4, 5, 6])
    }

    @Test(
        "a letter's lines are no events",
        arguments: [
            "Subject: map: broken", "On Monday somebody wrote:", "map: see below", "print: this", "note: that",
            "unmap: bo=7 size=4096", "From: a@b.c", "sync: fine", "Hello,", "-- ", "--", "_: ", ": ", "map:", "1: 2",
        ])
    func letters(line: String) throws {
        let log = try ReadLog(line + "\n" + FtraceText.line(cpu: 0, task: 7, microseconds: 1, Self.unmap) + "\n")
        #expect(log.events.count == 1)
        #expect(log.issues.map(\.reason) == [.notAnEvent])
    }

    // MARK: - In a mail

    @Test("quotation is passed over, however deep", arguments: ["> ", ">", ">> ", "> > ", "> >> ", ">\t> "])
    func quoted(mark: String) throws {
        let text = """
            # entries-in-buffer/entries-written: 2/5   #P:1
                         fio-271     [001] d.h1.    25.241793: unmap: IOMMU: iova=0x3000 size=4096 unmapped_size=4096
            CPU:1 [LOST 3 EVENTS]
              kworker/0:1H-58    [000] .....    25.241794: unmap: IOMMU: iova=0x4000 size=4096 unmapped_size=4096
            """
        let lines = text.split(separator: "\n")
        let log = try ReadLog(lines.map { mark + $0 }.joined(separator: "\r\n") + "\n" + mark + "\n" + mark + mark)
        #expect(log.issues.isEmpty)
        #expect(log.events.map(\.comm) == ["fio", "kworker/0:1H"])
        #expect(log.losses.map(\.loss) == [LostEvents(line: 3, cpu: 1, count: 3)])
        #expect(log.bufferCounts == TraceReader.BufferCounts(entries: 2, written: 5))
    }

    @Test("a mail may mix all shapes")
    func mixed() throws {
        let log = try ReadLog(
            """
            Dear list,
            > fio-271     [001] d.h1.    25.000001: unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
              dd-271       1..... 25000002us!: unmap: IOMMU: iova=0x2000 size=4096 unmapped_size=4096
              qemu-kvm  4575 [008]   25.000003: iommu:unmap: IOMMU: iova=0x3000 size=4096 unmapped_size=4096
            > [   25.000004] iommu: unmap this: iova 0x4000 size 0x1000
              dd-347   [000]    25.000005: (+809)   unmap:                IOMMU: iova=0x5000 size=4096 unmapped_size=4096
              dd-347     0d.H1.    25.000006: unmap:                 iova=0x6000 size=4096 unmapped_size=4096
            unmap: IOMMU: iova=0x7000 size=4096 unmapped_size=4096
            > fio-271     [001] d.h1.    25.000008: unmap: IOMMU: iova=0x8000 size=4096 unmapped_size=4096
            """ + "\n")
        #expect(log.events.map { $0[.iova] } == (1...8).map { $0 * 0x1000 })
        #expect(log.events.map(\.time) == [1, 2, 3, 4, 5, 6, 6, 8].map { 25_000_000_000 + $0 * 1000 })
        #expect(log.issues.map(\.reason) == [.notAnEvent, .noTime])
    }

    @Test("a byte-order mark in front of the log is no part of it")
    func byteOrderMark() throws {
        #expect(try ReadLog("\u{feff}# tracer: nop\n").issues.isEmpty)
    }

    // MARK: - Losses and headers

    @Test(
        "losses are announced in many ways",
        arguments: [
            ("CPU:1 [LOST 1571 EVENTS]", 1, 1571), ("CPU:0 [LOST EVENTS]", 0, nil), ("[LOST EVENTS]", nil, nil),
            ("CPU:7 [204600 EVENTS DROPPED]", 7, 204_600), ("CPU:7 [EVENTS DROPPED]", 7, nil),
            ("  CPU:1 [LOST 5 EVENTS]", 1, 5),
            ("         swapper     0 [003]   438.308478: PERF_RECORD_LOST id:5: lost:12", 3, 12),
            ("         swapper     0 [003]   438.308478: PERF_RECORD_LOST lost 12", 3, 12),
            ("         swapper     0 [003]   438.308478: PERF_RECORD_LOST_SAMPLES lost 9", 3, 9),
            ("Processed 40000 events and lost 3 chunks!", nil, nil),
        ] as [(String, Int32?, Int64?)])
    func losses(line: String, cpu: Int32?, count: Int64?) throws {
        let log = try ReadLog(line + "\n")
        #expect(log.issues.isEmpty)
        #expect(log.losses.map(\.loss) == [LostEvents(line: 1, cpu: cpu, count: count)])
    }

    @Test(
        "headers are no issues",
        arguments: [
            "# tracer: nop", "##### CPU 3 buffer started ####", "cpus=2", "version = 6", "CPU 1 is empty",
            "CPU:1 [SUBBUFFER START]", "Warning:", "Check IO/CPU overload!", "   ", "\t",
            "         swapper     0 [003]   438.308478: PERF_RECORD_COMM exec: dd:12/12",
        ])
    func headers(line: String) throws {
        let log = try ReadLog(line + "\n")
        #expect(log.issues.isEmpty && log.events.isEmpty && log.losses.isEmpty)
    }

    // MARK: - Refused

    private static func refusal(_ text: String) -> LogError? {
        do {
            _ = try ReadLog(text)
            return nil
        } catch {
            return error as? LogError
        }
    }

    private static func counted(_ ticks: [UInt64]) -> String {
        "# tracer: nop\n"
            + ticks.map { "              dd-201     [001] .....            \($0): \(unmap)\n" }.joined()
    }

    @Test(
        "bare counts are refused, with the clock that they look like",
        arguments: [
            (Array(4...40), TickClock.counter), ([1753, 1764, 1764, 1764, 1765], .uptime),
            ([64_580_847_743, 64_605_889_980, 64_607_052_968], .cycles), ([7], .counter), ([64_580_847_743], .cycles),
        ] as [([UInt64], TickClock)])
    func tickClocks(ticks: [UInt64], clock: TickClock) throws {
        let text = Self.counted(ticks)
        guard case .tickClock(_, 2, clock)? = Self.refusal(text) else {
            Issue.record("\(String(describing: Self.refusal(text)))")
            return
        }
        let message = Self.refusal(text)?.message ?? ""
        #expect(message.contains("--ticks-per-second") && message.contains(" \(clock.name),"))
        let log = try ReadLog(text, ticksPerSecond: 1000)
        #expect(log.issues.isEmpty)
        #expect(log.events.map(\.time) == ticks.map { Int64($0) * 1_000_000 })
    }

    @Test("ticks that make more than 2^63 ns are issues")
    func hugeTicks() throws {
        let ticks: [UInt64] = [9_223_372_036, 9_223_372_037, .max]
        let log = try ReadLog(Self.counted(ticks), ticksPerSecond: 1)
        #expect(log.events.map(\.time) == [9_223_372_036_000_000_000])
        #expect(log.issues.map(\.reason) == [.timeOutOfRange, .timeOutOfRange])
        let cycles = try ReadLog(Self.counted([.max]), ticksPerSecond: 3_000_000_000)
        #expect(cycles.events.map(\.time) == [6_148_914_691_236_517_205])
    }

    @Test("a single count among times is an issue, not another clock")
    func countAmongTimes() throws {
        let line = FtraceText.line(cpu: 0, task: 7, microseconds: 1, Self.unmap) + "\n"
        let log = try ReadLog(line + Self.counted([1, 2, 3]) + line)
        #expect(log.events.count == 2)
        #expect(log.issues.map(\.reason) == Array(repeating: .counterClock, count: 3))
    }

    @Test("ftrace's raw and hex are refused, few lines or many", arguments: [1, 100])
    func numbers(count: Int) throws {
        let raw = "# tracer: nop\n" + String(repeating: "285 0 29052442588 type: 1149\n", count: count)
        guard case .numbersOnly(_, "raw")? = Self.refusal(raw) else {
            Issue.record("raw")
            return
        }
        let hex =
            "# tracer: nop\n" + String(repeating: "00000124 00000001 00000007067dfce7 type: 1149\n\n", count: count)
        guard case .numbersOnly(_, "hex")? = Self.refusal(hex) else {
            Issue.record("hex")
            return
        }
        #expect(Self.refusal(raw)?.message.contains("echo 0 > /sys/kernel/tracing/options/raw") == true)
    }
}
