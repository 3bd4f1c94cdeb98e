import TestSupport
import Testing

@testable import TraceFormats

/// Recordings put together byte by byte: what is in them comes out as from a text log.
struct TraceDatTests {
    private static func page(_ time: UInt64, _ records: [[UInt8]]) -> [UInt8] {
        var page = RingPageBytes(time: time)
        for record in records { page.add(10, record) }
        return page.bytes()
    }

    struct Form: Sendable, CustomTestStringConvertible {
        var version: Int
        var compression = TraceDatFile.Compression.none
        var testDescription: String { "version \(version), compression \(compression)" }
    }

    /// Every form of a recording that is read.
    static let allForms: [Form] = [
        Form(version: 6), Form(version: 7), Form(version: 7, compression: .zlib), Form(version: 7, compression: .zstd),
    ]

    private static func form(_ file: TraceDatFile, _ form: Form) -> TraceDatFile {
        var file = file
        (file.version, file.compression) = (form.version, form.compression)
        return file
    }

    @Test("all versions and compressions give the same events, from all CPUs in the order of time", arguments: allForms)
    func forms(form: Form) throws {
        let file = TraceDatFile(cpus: [
            [
                Self.page(1000, [RecordedEvent.aMap(0x1000), RecordedEvent.anUnmap(0x1000, pid: 8)]),
                Self.page(3000, [RecordedEvent.aMap(0x3000)]), Self.page(4000, [RecordedEvent.aMap(0x4000)]),
            ],
            [],
            [Self.page(1005, [RecordedEvent.aMap(0x2000, pid: 9), RecordedEvent.anUnmap(0x2000, pid: 0)])],
        ])
        let log = try ReadLog(bytes: Self.form(file, form).bytes())
        #expect(log.issues.isEmpty)
        #expect(log.events.map(\.time) == [1010, 1015, 1020, 1025, 3010, 4010])
        #expect(log.events.map(\.cpu) == [0, 2, 0, 2, 0, 0])
        #expect(log.events.map(\.line) == [1, 2, 3, 4, 5, 6])
        #expect(log.events.map(\.name) == ["map", "map", "unmap", "unmap", "map", "map"])
        #expect(log.events.map(\.pid) == [7, 9, 8, 0, 7, 7])
        #expect(log.events.map(\.comm) == ["fio", "<...>", "my task", "<idle>", "fio", "fio"])
        #expect(log.events.map { $0[.iova] } == [0x1000, 0x2000, 0x1000, 0x2000, 0x3000, 0x4000])
        #expect(log.events[0].fields == [.iova: 0x1000, .paddr: 0x1000_1000, .size: 4096])
        #expect(log.events[2].fields == [.iova: 0x1000, .size: 4096, .unmapped: 4096])
        #expect(log.events.allSatisfy { $0.form == .tracepoint && $0.isKnown })
        #expect(log.lines == 6)
    }

    @Test("of equal times the first CPU is first")
    func ties() throws {
        let pages = (0..<5).map { cpu in [Self.page(50, [RecordedEvent.aMap(UInt64(cpu) << 12)])] }
        #expect(try ReadLog(bytes: TraceDatFile(cpus: pages).bytes()).events.map(\.cpu) == [0, 1, 2, 3, 4])
    }

    @Test("texts, descriptors and markers", arguments: allForms)
    func texts(form: Form) throws {
        let words: [RecordedEvent.Value] = [.number(0x9_00f2), .number(0xfff4_0040), .number(0), .number(0)]
        let file = TraceDatFile(cpus: [
            [
                Self.page(
                    1,
                    [
                        RecordedEvent.attach.record(pid: 7, [.text("0000:00:02.0")]),
                        RecordedEvent.submit.record(pid: 7, words + [.text("dmar0")]),
                        RecordedEvent.submit.record(pid: 7, [.number(0xf)] + words[1...] + [.text("dmar1")]),
                        RecordedEvent.marker.record(pid: 7, [.number(0xffff), .text("LAB_START \u{fc}\n")]),
                    ])
            ]
        ])
        let log = try ReadLog(bytes: Self.form(file, form).bytes())
        try #require(log.events.count == 4)
        #expect(log.events[0].texts == [.device: "0000:00:02.0"])
        #expect(log.events[1].texts == [.type: "iotlb_inv", .unit: "dmar0"])
        #expect(log.events[1][.word1] == 0xfff4_0040)
        #expect(log.events[2].texts == [.type: "0xf", .unit: "dmar1"])
        #expect(log.events[3].texts == [.text: "LAB_START \u{fc}"])
        #expect(log.events[3].name == "print")
    }

    private typealias Field = RecordedEvent.Field

    @Test("probes say where they were, and their arguments go by name")
    func probes() throws {
        let entry = RecordedEvent(
            "mine", "iu_fast", id: 400,
            [
                Field("unsigned long __probe_ip"), Field("u64 domain"), Field("u64 iova"), Field("u64 size"),
                Field("u8 queued", 1), Field("s32 prot", 4, isSigned: true), Field("__data_loc char[] dev", 4),
                Field("u64 unknown[2]", 16),
            ])
        let back = RecordedEvent(
            "mine", "unmap_ret", id: 401,
            [Field("unsigned long __probe_func"), Field("unsigned long __probe_ret_ip"), Field("u64 unmapped")])
        let onEvent = RecordedEvent(
            "mine", "unmapped", id: 402, [Field("u64 iova"), Field("u64 size"), Field("u64 unmapped")],
            print: "\" iova=0x%Lx size=%Lu unmapped=%Lu\", REC->iova")
        var file = TraceDatFile(cpus: [
            [
                Self.page(
                    1,
                    [
                        entry.record(
                            pid: 7,
                            [
                                .number(0xffff_ffff_8100_1005), .number(0xff1f), .number(0x1000), .number(4096),
                                .number(1), .number(0xffff_fffe), .text("0000:00:08.0"), .number(1),
                            ]),
                        back.record(
                            pid: 7, [.number(0xffff_ffff_8100_1000), .number(0xffff_ffff_c000_0010), .number(4096)]),
                        onEvent.record(pid: 7, [.number(0x1000), .number(4096), .number(8192)]),
                    ])
            ]
        ])
        file.events += [entry, back, onEvent]
        file.kernelSymbols = """
            0000000000000000 A percpu
            ffffffffc0000000 t vfio_unmap\t[vfio_iommu_type1]
            ffffffff81001000 T iommu_unmap_fast
            ffffffff81000000 T before

            """
        let log = try ReadLog(bytes: file.bytes())
        try #require(log.events.count == 3)
        #expect(log.events[0].form == .probe)
        #expect(log.events[0].location == "iommu_unmap_fast")
        #expect(
            log.events[0].fields.filter { $0.key != .device } == [
                .domain: 0xff1f, .iova: 0x1000, .size: 4096, .queued: 1, .protection: UInt64(bitPattern: -2),
            ])
        #expect(log.events[0].texts == [.device: "0000:00:08.0"])
        #expect(log.events[1].form == .probeReturn)
        #expect(log.events[1].location == "iommu_unmap_fast")
        #expect(log.events[1].caller == "vfio_unmap")
        #expect(log.events[2].form == .probe)
        #expect(log.events[2].fields == [.iova: 0x1000, .size: 4096, .unmapped: 8192])
    }

    @Test("cache tags name their type; other events are counted, of which nothing else is read")
    func others() throws {
        let flush = RecordedEvent(
            "intel_iommu", "cache_tag_flush_range", id: 410,
            [
                Field("__data_loc char[] iommu", 4), Field("__data_loc char[] dev", 4), Field("u16 type", 2),
                Field("u16 domain_id", 2), Field("u32 pasid", 4), Field("unsigned long start"),
                Field("unsigned long end"), Field("unsigned long addr"), Field("unsigned long pages"),
                Field("unsigned long mask"),
            ])
        let other = RecordedEvent(
            "sched", "sched_switch", id: 411, [Field("u64 iova")], print: "\"prev=%d\", REC->iova")
        let imposter = RecordedEvent("xdp", "map", id: 412, [Field("u64 iova"), Field("u64 size")])
        let values: [RecordedEvent.Value] = [2, 9, 5, 0x1000, 0x1fff, 0x1000, 1, 0].map { .number($0) }
        var file = TraceDatFile(cpus: [
            [
                Self.page(
                    1,
                    [
                        flush.record(pid: 7, [.text("dmar1"), .text("0000:00:1b.0")] + values),
                        other.record(pid: 7, [.number(1)]), imposter.record(pid: 7, [.number(1), .number(1)]),
                    ])
            ]
        ])
        file.events += [flush, other, imposter]
        let log = try ReadLog(bytes: file.bytes())
        try #require(log.events.count == 3)
        #expect(log.events[0].texts == [.type: "nesting_iotlb", .unit: "dmar1", .device: "0000:00:1b.0"])
        #expect(log.events[0][.hardwareDomain] == 9)
        #expect(log.events[0][.end] == 0x1fff)
        #expect(log.events.map(\.name) == ["cache_tag_flush_range", "sched_switch", "map"])
        #expect(log.events.map(\.isKnown) == [true, false, false])
    }

    @Test("events that a CPU lost stand before its next one", arguments: allForms)
    func losses(form: Form) throws {
        var second = RingPageBytes(time: 2000)
        second.miss(31)
        second.add(10, RecordedEvent.aMap(0x2000))
        var empty = RingPageBytes(time: 2500)
        empty.miss(4)
        var third = RingPageBytes(time: 3000)
        third.miss(5)
        third.add(10, RecordedEvent.aMap(0x3000))
        var fourth = RingPageBytes(time: 4000)
        fourth.miss(nil)
        fourth.add(10, RecordedEvent.aMap(0x3000))
        let file = TraceDatFile(cpus: [
            [
                Self.page(1000, [RecordedEvent.aMap(0x1000)]), second.bytes(), empty.bytes(), third.bytes(),
                fourth.bytes(),
            ],
            [Self.page(1500, [RecordedEvent.aMap(0x1000)])],
        ])
        let log = try ReadLog(bytes: Self.form(file, form).bytes())
        #expect(log.losses.map(\.precedingEvents) == [2, 3, 4])
        #expect(log.losses.map(\.loss.cpu) == [0, 0, 0])
        #expect(log.losses.map(\.loss.count) == [31, 9, nil])
    }

    @Test("several buffers are one log", arguments: allForms)
    func instances(form: Form) throws {
        var file = TraceDatFile(cpus: [[Self.page(1000, [RecordedEvent.aMap(0x1000)])]])
        file.buffers.append(
            TraceDatFile.Buffer("flushes", cpus: [[Self.page(900, [RecordedEvent.aMap(0x2000)])], []]))
        file.buffers.append(TraceDatFile.Buffer("more", cpus: [[], [Self.page(1100, [RecordedEvent.aMap(0x3000)])]]))
        file = Self.form(file, form)
        if file.version == 6 {
            file.buffers[0] = TraceDatFile.Buffer(cpus: [[Self.page(1000, [RecordedEvent.aMap(0x1000)])], []])
        }
        let log = try ReadLog(bytes: file.bytes())
        #expect(log.issues.isEmpty)
        #expect(log.events.map { $0[.iova] } == [0x2000, 0x1000, 0x3000])
        #expect(log.events.map(\.cpu) == [0, 0, 1])
    }

    @Test("offsets and a calibration of the clock; what a full buffer refused", arguments: allForms)
    func options(form: Form) throws {
        var file = TraceDatFile(cpus: [[Self.page(1000, [RecordedEvent.aMap(0x1000)])]])
        file.options = [
            (7, Array("-10\0".utf8)), (1, Array("0x2\0".utf8)),
            (2, Array("CPU: 0\nentries: 1\noverrun: 0\ndropped events: 12\n\0".utf8)), (77, [1, 2, 3]),
        ]
        var log = try ReadLog(bytes: Self.form(file, form).bytes())
        #expect(log.events.map(\.time) == [1010 - 10 + 2000])
        #expect(log.losses.map(\.loss.count) == [12])
        file.options = [(14, [3, 0, 0, 0, 1, 0, 0, 0] + [UInt8](repeating: 0, count: 8))]
        file.clock = "x86-tsc"
        log = try ReadLog(bytes: Self.form(file, form).bytes())
        #expect(log.events.map(\.time) == [1515])
    }

    @Test(
        "clocks that count no nanoseconds are refused", arguments: ["counter", "uptime", "x86-tsc"], allForms.prefix(2))
    func clocks(name: String, form: Form) throws {
        var file = Self.form(TraceDatFile(cpus: [[Self.page(1000, [RecordedEvent.aMap(0x1000)])]]), form)
        file.clock = name
        #expect { try ReadLog(bytes: file.bytes()) } throws: { error in
            guard case LogError.unsupported(_, let format, _) = error else { return false }
            return format.contains("\"\(name)\"")
        }
    }

    @Test("machines of 32 bits, and larger pages", arguments: allForms)
    func layouts(form: Form) throws {
        var page = RingPageBytes(time: 1000)
        for iova in 1...150 { page.add(10, RecordedEvent.aMap(UInt64(iova) << 12)) }
        var file = TraceDatFile(cpus: [[page.bytes(size: 16384, longSize: 4)]])
        file.longSize = 4
        file.pageSize = 16384
        let log = try ReadLog(bytes: Self.form(file, form).bytes())
        #expect(log.events.count == 150)
        #expect(log.issues.isEmpty)
        #expect(log.events.last?.time == 2500)
    }

    @Test("what is not read is refused and named")
    func refused() throws {
        func reason(_ change: (inout TraceDatFile) -> Void) throws -> String {
            var file = TraceDatFile(cpus: [[Self.page(1000, [RecordedEvent.aMap(0x1000)])]])
            change(&file)
            do {
                _ = try ReadLog(bytes: file.bytes())
                return "nothing"
            } catch let error as LogError {
                return error.message
            }
        }
        #expect(try reason { $0.endianness = 1 }.contains("big-endian"))
        #expect(try reason { $0.version = 5 }.contains("version 5"))
        #expect(try reason { $0.pageSize = 16 }.contains("pages of 16 bytes"))
        #expect(try reason { $0.longSize = 2 }.contains("word of 2 bytes"))
    }

    @Test("a recording inside an archive is the same recording", arguments: allForms)
    func archives(form: Form) throws {
        let pages = (0..<20).map { page in
            Self.page(UInt64(page) * 1000 + 1, (0..<60).map { RecordedEvent.aMap(UInt64(page * 60 + $0) << 12) })
        }
        let bytes = Self.form(TraceDatFile(cpus: [pages, pages]), form).bytes()
        let plain = try ReadLog(bytes: bytes)
        #expect(plain.events.count == 2400)
        for archive in [Gzip.member(bytes), Archives.zstd(bytes), Archives.xz(bytes)] {
            let log = try ReadLog(bytes: archive)
            #expect(log.hash == plain.hash)
            #expect(log.issues.isEmpty)
            #expect(log.events.map(\.time) == plain.events.map(\.time))
        }
        #expect(plain.hash == Self.hash(bytes))
    }

    private static func hash(_ bytes: [UInt8]) -> UInt64 {
        var hash = ContentHash()
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.value
    }

    // MARK: - Damage

    private static func sample(_ form: Form) -> [UInt8] {
        let pages = (0..<6).map { page in
            Self.page(UInt64(page) * 1000 + 1, (0..<30).map { RecordedEvent.aMap(UInt64(page * 60 + $0) << 12) })
        }
        return Self.form(TraceDatFile(cpus: [pages, pages]), form).bytes()
    }

    /// Reads whatever it is; what cannot be read is refused with a reason.
    private static func readAnything(_ bytes: [UInt8]) throws -> ReadLog? {
        do {
            return try ReadLog(bytes: bytes)
        } catch let error as LogError {
            #expect(!error.message.isEmpty)
            return nil
        }
    }

    @Test("cut anywhere, a recording gives what is there and says that something is missing", arguments: allForms)
    func cut(form: Form) throws {
        let bytes = Self.sample(form)
        var kept: Set<Int> = []
        for count in stride(from: 98, to: bytes.count, by: 97) {
            guard let log = try Self.readAnything(Array(bytes[..<count])) else { continue }
            kept.insert(log.events.count)
            #expect(log.events.count <= 360)
            #expect(!log.issues.isEmpty || log.events.count == 360)
            #expect(log.issues.allSatisfy { $0.reason == .truncatedRecording || $0.reason == .corruptRecording })
        }
        // Version 7 says at its end where the events are.
        #expect(form.version == 6 ? kept.count > 10 : true)
    }

    @Test("of version 7 a beginning is refused, and it is said why and what to do", arguments: allForms)
    func beginning(form: Form) throws {
        let bytes = Self.sample(form)
        let isVersion6 = form.version == 6
        // Of version 6 this cuts into the head, of version 7 into what stands behind the events.
        #expect {
            try ReadLog(bytes: Array(bytes[..<(isVersion6 ? 500 : bytes.count - 60)]))
        } throws: { error in
            let message = (error as? LogError)?.message ?? ""
            return message.contains("is a trace-cmd recording that ")
                && message.contains("--file-version 6") == !isVersion6
        }
    }

    @Test("flipped bits and wrong numbers end in events, issues or a refusal", arguments: allForms, seeds)
    func mutated(form: Form, seed: UInt64) throws {
        let bytes = Self.sample(form)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<60 {
            var bytes = bytes
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 12..<(bytes.count - 8), using: &generator)
                if Bool.random(using: &generator) {
                    bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                } else {
                    let value = generator.hostile()
                    for index in 0..<Int.random(in: 1...8, using: &generator) {
                        bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
                    }
                }
            }
            let log = try Self.readAnything(bytes)
            #expect((log?.events.count ?? 0) <= 100_000)
        }
    }

    @Test("CPUs that all claim the same data do not make a small file endless")
    func overlap() throws {
        var file = TraceDatFile(
            cpus: [[Self.page(1, (0..<60).map { RecordedEvent.aMap(UInt64($0) << 12) })]] + (0..<500).map { _ in [] })
        file.version = 6
        var bytes = file.bytes()
        // Each CPU's place becomes that of the first.
        let table =
            try #require(
                bytes.indices.first { bytes[$0...].starts(with: "flyrecord\0".utf8) }) + 10
        let first = Array(bytes[table..<(table + 16)])
        for cpu in 1..<500 { bytes.replaceSubrange((table + 16 * cpu)..<(table + 16 * cpu + 16), with: first) }
        let log = try ReadLog(bytes: bytes)
        #expect(log.events.count < 1000)
        #expect(log.issues.contains { $0.reason == .corruptRecording })
    }

    @Test("sizes that no page table spans are issues, as in text")
    func sizes() throws {
        let file = TraceDatFile(cpus: [
            [
                Self.page(
                    1,
                    [
                        RecordedEvent.map.record(pid: 7, [.number(0), .number(0), .number(1 << 58)]),
                        RecordedEvent.map.record(pid: 7, [.number(.max), .number(0), .number(4096)]),
                        RecordedEvent.map.record(pid: -7, [.number(0), .number(0), .number(4096)]),
                        [200, 1, 0, 0, 7, 0, 0, 0], [44, 1, 0, 0, 7, 0, 0, 0, 1, 2, 3, 4], [1, 2, 3, 4],
                        RecordedEvent.aMap(0x1000),
                    ]),
                Self.page(.max - 50, [RecordedEvent.aMap(0x1000)]),
            ]
        ])
        let log = try ReadLog(bytes: file.bytes())
        #expect(
            log.issues.map(\.reason) == [
                .sizeOutOfRange, .rangeOutOfRange, .badNumber, .corruptRecording, .missingField, .corruptRecording,
                .timeOutOfRange,
            ])
        #expect(log.events.map(\.time) == [71])
    }
}
