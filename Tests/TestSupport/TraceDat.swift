/// Little-endian bytes, as recordings have them.
public struct ByteWriter {
    /// What was written.
    public private(set) var bytes: [UInt8] = []

    /// Nothing yet.
    public init() {}

    /// Writes the low bytes of a number.
    public mutating func number(_ value: UInt64, _ count: Int) {
        for place in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * place))) }
    }

    /// Writes bytes as they are.
    public mutating func raw(_ bytes: some Sequence<UInt8>) { self.bytes += bytes }

    /// Writes a text and a NUL.
    public mutating func string(_ text: String) { raw(Array(text.utf8) + [0]) }

    /// Fills up with zeros.
    public mutating func align(to size: Int) {
        while bytes.count % size != 0 { bytes.append(0) }
    }
}

/// An event as its format describes it, and records of it.
public struct RecordedEvent: Sendable {
    /// A field's value.
    public enum Value: Sendable {
        /// A number.
        case number(UInt64)
        /// A text, for fields of type `__data_loc char[]`.
        case text(String)
    }

    /// One field: declaration such as `u64 iova`, bytes, whether it has a sign.
    public struct Field: Sendable {
        var declaration: String
        var size: Int
        var isSigned: Bool

        /// A field of that many bytes.
        public init(_ declaration: String, _ size: Int = 8, isSigned: Bool = false) {
            self.declaration = declaration
            self.size = size
            self.isSigned = isSigned
        }
    }

    /// The folder below `events`.
    public var system: String
    /// The event's name.
    public var name: String
    /// Its number.
    public var id: UInt16
    var fields: [Field]
    var printFormat: String
    /// What its `format` file holds in place of the right text.
    public var wrongFormat: String?

    /// Describes an event.
    public init(_ system: String, _ name: String, id: UInt16, _ fields: [Field], print: String = "\"\"") {
        self.system = system
        self.name = name
        self.id = id
        self.fields = fields
        printFormat = print
    }

    private var offsets: [Int] {
        var offset = 8
        return fields.map { field in
            if field.size > 0 { offset = (offset + field.size - 1) / field.size * field.size }
            defer { offset += field.size }
            return offset
        }
    }

    /// The text of its `format` file.
    public var format: String {
        if let wrongFormat { return wrongFormat }
        var text = """
            name: \(name)
            ID: \(id)
            format:
            \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
            \tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
            \tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
            \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;


            """
        for (field, offset) in zip(fields, offsets) {
            text +=
                "\tfield:\(field.declaration);\toffset:\(offset);\tsize:\(field.size);\tsigned:\(field.isSigned ? 1 : 0);\n"
        }
        return text + "\nprint fmt: \(printFormat)\n"
    }

    /// One record's bytes.
    public func record(pid: Int32, _ values: [Value]) -> [UInt8] {
        var writer = ByteWriter()
        writer.number(UInt64(id), 2)
        writer.number(0, 2)
        writer.number(UInt64(UInt32(bitPattern: pid)), 4)
        let end = zip(fields, offsets).map { $0.size + $1 }.max() ?? 8
        var tail: [UInt8] = []
        for (index, value) in values.enumerated() {
            writer.raw([UInt8](repeating: 0, count: max(offsets[index] - writer.bytes.count, 0)))
            switch value {
            case .number(let number): writer.number(number, fields[index].size)
            case .text(let text) where fields[index].size == 0: writer.string(text)
            case .text(let text):
                let bytes = Array(text.utf8) + [0]
                writer.number(UInt64(bytes.count) << 16 | UInt64(end + tail.count), 4)
                tail += bytes
            }
        }
        writer.raw(tail)
        writer.align(to: 4)
        return writer.bytes
    }
}

extension RecordedEvent {
    /// `iommu:map`
    public static let map = RecordedEvent(
        "iommu", "map", id: 300, [Field("u64 iova"), Field("u64 paddr"), Field("size_t size")])
    /// `iommu:unmap`
    public static let unmap = RecordedEvent(
        "iommu", "unmap", id: 301, [Field("u64 iova"), Field("size_t size"), Field("size_t unmapped_size")])
    /// `iommu:attach_device_to_domain`
    public static let attach = RecordedEvent(
        "iommu", "attach_device_to_domain", id: 302, [Field("__data_loc char[] device", 4)])
    /// `intel_iommu:qi_submit`
    public static let submit = RecordedEvent(
        "intel_iommu", "qi_submit", id: 303,
        [Field("u64 qw0"), Field("u64 qw1"), Field("u64 qw2"), Field("u64 qw3"), Field("__data_loc char[] iommu", 4)])
    /// `ftrace:print`
    public static let marker = RecordedEvent(
        "ftrace", "print", id: 5, [Field("unsigned long ip"), Field("char buf[]", 0)])

    /// A map of one page, a µs after the other.
    public static func aMap(_ iova: UInt64, pid: Int32 = 7) -> [UInt8] {
        map.record(pid: pid, [.number(iova), .number(0x1000_0000 + iova), .number(4096)])
    }

    /// An unmap of one page.
    public static func anUnmap(_ iova: UInt64, pid: Int32 = 7) -> [UInt8] {
        unmap.record(pid: pid, [.number(iova), .number(4096), .number(4096)])
    }
}

/// One page of a ring buffer, put together event by event.
public struct RingPageBytes: Sendable {
    private var time: UInt64
    private var data: [UInt8] = []
    private var missed: UInt64?
    private var countsMissed = false
    /// A commit field other than the right one.
    public var commit: UInt64?

    /// An empty page that begins at a time.
    public init(time: UInt64) { self.time = time }

    /// Bytes of records so far.
    public var count: Int { data.count }

    private mutating func word(_ value: UInt64) {
        for place in 0..<4 { data.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * place))) }
    }

    /// A record, some ns after the one before.
    public mutating func add(_ delta: UInt64 = 0, _ record: [UInt8]) {
        if record.count <= 112 {
            word(UInt64(record.count / 4) | delta << 5)
        } else {
            word(delta << 5)
            word(UInt64(record.count + 4))
        }
        data += record
    }

    /// A step in time that is too long for a record.
    public mutating func extend(_ delta: UInt64) {
        word(30 | (delta & (1 << 27 - 1)) << 5)
        word(delta >> 27)
    }

    /// A time in full, but for its highest five bits.
    public mutating func stamp(_ time: UInt64) {
        word(31 | (time & (1 << 27 - 1)) << 5)
        word(time >> 27 & (1 << 32 - 1))
    }

    /// A record that was taken back.
    public mutating func discard(_ delta: UInt64, bytes: Int) {
        word(29 | delta << 5)
        word(UInt64(bytes + 4))
        data += [UInt8](repeating: 0xee, count: bytes)
    }

    /// Marks the rest of the page as unused.
    public mutating func end() { word(29) }

    /// Words as they are.
    public mutating func raw(_ words: [UInt64]) { for value in words { word(value) } }

    /// Events were lost before this page.
    public mutating func miss(_ count: UInt64?) {
        missed = count ?? 0
        countsMissed = count != nil
    }

    /// The whole page.
    public func bytes(size: Int = 4096, longSize: Int = 8) -> [UInt8] {
        var writer = ByteWriter()
        writer.number(time, 8)
        var commit = self.commit ?? UInt64(data.count)
        if missed != nil { commit |= 1 << 31 }
        if countsMissed { commit |= 1 << 30 }
        writer.number(commit, longSize)
        writer.raw(data)
        if let missed, countsMissed { writer.number(missed, longSize) }
        writer.align(to: size)
        return writer.bytes
    }
}

/// A recording as trace-cmd writes it, put together byte by byte.
public struct TraceDatFile: Sendable {
    /// How sections and events are compressed.
    public enum Compression: String, Sendable { case none, zlib, zstd }

    /// One ring buffer.
    public struct Buffer: Sendable {
        var name: String
        /// Pages of each CPU.
        var cpus: [[[UInt8]]]

        /// A buffer; the machine's own has no name.
        public init(_ name: String = "", cpus: [[[UInt8]]]) {
            self.name = name
            self.cpus = cpus
        }
    }

    /// 6 or 7.
    public var version = 6
    /// Of version 7.
    public var compression = Compression.none
    /// 0 little, 1 big.
    public var endianness: UInt8 = 0
    /// Bytes of a `long`.
    public var longSize = 8
    /// Bytes of a page.
    public var pageSize = 4096
    /// Events that have a format.
    public var events: [RecordedEvent] = [.map, .unmap, .attach, .submit, .marker]
    /// Addresses and names.
    public var kernelSymbols = ""
    /// Thread ids and names.
    public var comms = "7 fio\n8 my task\n"
    /// The clock in use.
    public var clock = "mono"
    /// Further options.
    public var options: [(id: UInt16, data: [UInt8])] = []
    /// The buffers.
    public var buffers: [Buffer]

    /// A recording of one buffer.
    public init(cpus: [[[UInt8]]]) { buffers = [Buffer(cpus: cpus)] }

    private var clockText: String { "local global [\(clock)] boot\n" }

    private func headerInfo() -> [UInt8] {
        var writer = ByteWriter()
        let page = """
            \tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
            \tfield: local_t commit;\toffset:8;\tsize:\(longSize);\tsigned:1;
            \tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
            \tfield: char data;\toffset:\(8 + longSize);\tsize:\(pageSize - 8 - longSize);\tsigned:1;

            """
        writer.string("header_page")
        writer.number(UInt64(page.utf8.count), 8)
        writer.raw(page.utf8)
        writer.string("header_event")
        writer.number(4, 8)
        writer.raw("none".utf8)
        return writer.bytes
    }

    private func formats(isFtrace: Bool) -> [UInt8] {
        var writer = ByteWriter()
        let systems = Dictionary(grouping: events) { $0.system }.filter { ($0.key == "ftrace") == isFtrace }
        if !isFtrace { writer.number(UInt64(systems.count), 4) }
        for system in systems.keys.sorted() {
            if !isFtrace { writer.string(system) }
            writer.number(UInt64(systems[system]?.count ?? 0), 4)
            for event in systems[system] ?? [] {
                writer.number(UInt64(event.format.utf8.count), 8)
                writer.raw(event.format.utf8)
            }
        }
        if isFtrace, systems.isEmpty { writer.number(0, 4) }
        return writer.bytes
    }

    private static func sized(_ text: String, _ bytes: Int) -> [UInt8] {
        var writer = ByteWriter()
        writer.number(UInt64(text.utf8.count), bytes)
        writer.raw(text.utf8)
        return writer.bytes
    }

    /// The file.
    public func bytes() -> [UInt8] {
        var writer = ByteWriter()
        writer.raw([0x17, 0x08, 0x44])
        writer.raw("tracing".utf8)
        writer.string("\(version)")
        writer.raw([endianness, UInt8(longSize)])
        writer.number(UInt64(pageSize), 4)
        return version == 6 ? version6(writer) : version7(writer)
    }

    private static func option(_ id: UInt16, _ data: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.number(UInt64(id), 2)
        writer.number(UInt64(data.count), 4)
        writer.raw(data)
        return writer.bytes
    }

    private func version6(_ begun: ByteWriter) -> [UInt8] {
        var writer = begun
        writer.raw(headerInfo())
        writer.raw(formats(isFtrace: true))
        writer.raw(formats(isFtrace: false))
        writer.raw(Self.sized(kernelSymbols, 4))
        writer.raw(Self.sized("", 4))
        writer.raw(Self.sized(comms, 8))
        let cpus = buffers[0].cpus
        writer.number(UInt64(cpus.count), 4)
        writer.raw("options  \0".utf8)
        for option in options { writer.raw(Self.option(option.id, option.data)) }
        writer.raw(Self.option(4, []))
        // The instances' places are known once their sizes are: all that follows has a known length.
        let instances = buffers.dropFirst()
        let optionBytes = instances.reduce(2) { $0 + 6 + 8 + $1.name.utf8.count + 1 }
        func tableBytes(_ buffer: Buffer) -> Int { 10 + 16 * buffer.cpus.count }
        let clock = Self.sized(clockText, 8)
        let firstTable = writer.bytes.count + optionBytes
        var place = firstTable + tableBytes(buffers[0]) + clock.count
        var tables = [firstTable]
        for instance in instances {
            tables.append(place)
            place += tableBytes(instance)
        }
        for (instance, table) in zip(instances, tables.dropFirst()) {
            var data = ByteWriter()
            data.number(UInt64(table), 8)
            data.string(instance.name)
            writer.raw(Self.option(3, data.bytes))
        }
        writer.number(0, 2)
        var data = ByteWriter()
        data.raw([UInt8](repeating: 0, count: place))
        data.align(to: pageSize)
        var offset = data.bytes.count
        for (index, buffer) in buffers.enumerated() {
            writer.raw("flyrecord\0".utf8)
            for pages in buffer.cpus {
                let size = pages.reduce(0) { $0 + $1.count }
                writer.number(UInt64(offset), 8)
                writer.number(UInt64(size), 8)
                offset += size
            }
            if index == 0 { writer.raw(clock) }
        }
        precondition(writer.bytes.count == place)
        writer.align(to: pageSize)
        for buffer in buffers { for pages in buffer.cpus { for page in pages { writer.raw(page) } } }
        return writer.bytes
    }

    private func packed(_ bytes: [UInt8]) -> [UInt8] {
        switch compression {
        case .none: bytes
        case .zlib: Archives.zlib(bytes)
        case .zstd: Archives.zstd(bytes)
        }
    }

    private func section(_ id: UInt16, _ content: [UInt8], isPlain: Bool = false) -> [UInt8] {
        var body = ByteWriter()
        let isCompressed = compression != .none && !isPlain
        if isCompressed {
            let data = packed(content)
            body.number(UInt64(data.count), 4)
            body.number(UInt64(content.count), 4)
            body.raw(data)
        } else {
            body.raw(content)
        }
        var writer = ByteWriter()
        writer.number(UInt64(id), 2)
        writer.number(isCompressed ? 1 : 0, 2)
        writer.number(0, 4)
        writer.number(UInt64(body.bytes.count), 8)
        writer.raw(body.bytes)
        return writer.bytes
    }

    private func version7(_ begun: ByteWriter) -> [UInt8] {
        var writer = begun
        writer.string(compression.rawValue)
        writer.string("1")
        let optionsPlace = writer.bytes.count
        var sections = ByteWriter()
        let first = optionsPlace + 8
        var places: [(UInt16, Int)] = []
        for (id, content) in [
            (16, headerInfo()), (17, formats(isFtrace: true)), (18, formats(isFtrace: false)),
            (19, Self.sized(kernelSymbols, 4)), (21, Self.sized(comms, 8)),
        ] as [(UInt16, [UInt8])] {
            places.append((id, first + sections.bytes.count))
            sections.raw(section(id, content))
        }
        var firstOptions = ByteWriter()
        for (id, place) in places {
            var data = ByteWriter()
            data.number(UInt64(place), 8)
            firstOptions.raw(Self.option(id, data.bytes))
        }
        for option in options { firstOptions.raw(Self.option(option.id, option.data)) }
        firstOptions.raw(Self.option(4, Array(clockText.utf8)))
        var secondOptions = ByteWriter()
        let firstOptionsPlace = first + sections.bytes.count
        // The list of buffers is where the first one ends, and the data behind it.
        let dataPlace = firstOptionsPlace + 16 + firstOptions.bytes.count + 14
        var data = ByteWriter()
        for buffer in buffers {
            var entry = ByteWriter()
            entry.number(UInt64(dataPlace + data.bytes.count), 8)
            entry.string(buffer.name)
            entry.string(clock)
            entry.number(UInt64(pageSize), 4)
            entry.number(UInt64(buffer.cpus.count), 4)
            data.number(3, 2)
            data.number(compression == .none ? 0 : 1, 2)
            data.number(0, 4)
            data.number(0, 8)
            for (cpu, pages) in buffer.cpus.enumerated() {
                var content = ByteWriter()
                if compression == .none {
                    for page in pages { content.raw(page) }
                } else if !pages.isEmpty {
                    // Two pages in a piece, the last may be alone.
                    let pieces = stride(from: 0, to: pages.count, by: 2).map { pages[$0..<min($0 + 2, pages.count)] }
                    content.number(UInt64(pieces.count), 4)
                    for piece in pieces {
                        let raw = piece.flatMap { $0 }
                        let bytes = packed(raw)
                        content.number(UInt64(bytes.count), 4)
                        content.number(UInt64(raw.count), 4)
                        content.raw(bytes)
                    }
                }
                entry.number(UInt64(cpu), 4)
                entry.number(UInt64(dataPlace + data.bytes.count), 8)
                entry.number(UInt64(content.bytes.count), 8)
                data.raw(content.bytes)
            }
            secondOptions.raw(Self.option(3, entry.bytes))
        }
        secondOptions.raw(Self.option(0, [UInt8](repeating: 0, count: 8)))
        var next = ByteWriter()
        next.number(UInt64(dataPlace + data.bytes.count), 8)
        firstOptions.raw(Self.option(0, next.bytes))
        writer.number(UInt64(firstOptionsPlace), 8)
        writer.raw(sections.bytes)
        writer.raw(section(0, firstOptions.bytes, isPlain: true))
        writer.raw(data.bytes)
        writer.raw(section(0, secondOptions.bytes, isPlain: true))
        return writer.bytes
    }
}
