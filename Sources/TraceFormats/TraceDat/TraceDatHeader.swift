/// What a trace-cmd recording says about itself: formats, names, clock, and where each CPU's data is.
///
/// File versions 6 and 7 (`trace-cmd.dat.v6(5)`, `trace-cmd.dat.v7(5)`; model.md §7.8).
struct TraceDatHeader {
    /// One ring buffer: the machine's own, or an instance.
    struct Buffer {
        var name = ""
        var clock = ""
        var pageSize: Int
        var isCompressed = false
        var places: [CPUStream.Place] = []
    }

    var layout = PageLayout()
    var compression: DatCompression?
    var formats: [EventFormat] = []
    var kernelSymbols = KernelSymbols()
    /// Task names by thread id.
    var comms: [Int32: [UInt8]] = [:]
    var buffers: [Buffer] = []
    var clock = DatClock()
    /// Events that a full buffer did not take, by CPU.
    var dropped: [(cpu: Int32, count: Int64)] = []
    /// The kernel as trace-cmd names it: `Linux host 6.1.0 x86_64`.
    private(set) var kernel = ""
    /// `per_cpu/cpuN/stats` of the ring buffer, one text for each CPU.
    private(set) var statistics: [[UInt8]] = []
    /// What the description lacks although events can be read.
    var damage: DatDamage?

    private let path: String
    private let bytes: LogBytes
    private var isVersion7 = false
    private var headerCPUs: UInt32 = 0
    private var optionCPUs: UInt32?
    /// Where version 6 keeps its instances.
    private var instances: [(name: String, offset: UInt64)] = []
    private var hasClockText = false
    /// Sections that were read: each counts once, however often it is named.
    private var sectionsRead: Set<UInt16> = []
    private var fieldsRead = 0

    private static let magic: [UInt8] = [0x17, 0x08, 0x44] + Array("tracing".utf8)
    /// Linux can be built for that many; each buffer has its own.
    private static let mostCPUs: UInt32 = 8192
    private static let mostStreams = 1 << 15
    private static let mostBuffers = 256
    private static let mostSections = 64
    private static let mostTasks = 1 << 17
    private static let mostFields = 1 << 18
    private static let largestOption = 1 << 20
    private static let largestText = 64 << 20
    private static let largestFormat = 1 << 20
    private static let largestPage: UInt32 = 4 << 20

    /// Whether a log begins as trace-cmd's recordings do.
    static func isRecording(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: magic) }

    /// Reads all but the events.
    init(_ bytes: LogBytes) throws(LogError) {
        self.bytes = bytes
        path = bytes.path
        do throws(DatDamage) {
            var cursor = DatCursor(bytes, at: Int64(Self.magic.count), part: "its first bytes")
            let version = String(decoding: try cursor.string(limit: 16), as: UTF8.self)
            let endianness = try cursor.u8()
            let longSize = try cursor.u8()
            let pageSize = try cursor.u32()
            guard ["6", "7"].contains(version) else {
                throw .wrong("the file version \(version); 6 and 7 are read (trace-cmd convert makes one of the other)")
            }
            guard endianness == 0 else {
                throw .wrong("the byte order of a big-endian machine, which is not read here")
            }
            guard longSize == 8 || longSize == 4 else { throw .wrong("a word of \(longSize) bytes") }
            layout = PageLayout(
                commitSize: Int(longSize), dataOffset: 8 + Int(longSize), pageSize: try Self.checkedPageSize(pageSize))
            isVersion7 = version == "7"
            if version == "6" { try readVersion6(&cursor) } else { try readVersion7(&cursor) }
        } catch {
            if case .unreadable(let error) = error { throw error }
            throw .brokenRecording(path: bytes.path, reason: error.text + advice(error))
        }
        try checkClock()
    }

    /// Why the beginning of a version 7 gives nothing: its sections could be found without the list behind them, but not
    /// where in them one CPU ends and the next begins, nor which it is.
    private func advice(_ damage: DatDamage) -> String {
        guard isVersion7, buffers.isEmpty else { return "" }
        if case .wrong = damage, formats.isEmpty { return "" }
        return
            ", and is of version 7, which says only behind its events whose they are (fetch the whole file, or record "
            + "with: trace-cmd record --file-version 6 …, of which the beginning is enough)"
    }

    private static func checkedPageSize(_ size: UInt32) throws(DatDamage) -> Int {
        guard size >= 64, size <= largestPage else { throw .wrong("pages of \(size) bytes") }
        return Int(size)
    }

    /// Clocks that count something else than nanoseconds.
    private func checkClock() throws(LogError) {
        for buffer in buffers {
            let name = buffer.clock.isEmpty ? clock.name : buffer.clock
            let isConverted = clock.multiplier != nil && (name == "x86-tsc" || name == "tsc2nsec")
            guard ["counter", "uptime", "x86-tsc", "ppc-tb"].contains(name), !isConverted else { continue }
            throw .unsupported(
                path: path, format: "a recording with the clock \"\(name)\", which counts no nanoseconds",
                advice: "record with: trace-cmd record -C mono …")
        }
    }

    // MARK: - Version 6

    private mutating func readVersion6(_ cursor: inout DatCursor) throws(DatDamage) {
        try readHeaderInfo(&cursor)
        try readFtraceFormats(&cursor)
        try readFormats(&cursor)
        cursor.part = "its kernel symbols"
        kernelSymbols = KernelSymbols(try cursor.bytes(UInt64(try cursor.u32()), limit: Self.largestText))
        cursor.part = "its printk formats"
        _ = try cursor.bytes(UInt64(try cursor.u32()), limit: Self.largestText)
        try readCommandLines(&cursor)
        cursor.part = "its number of CPUs"
        headerCPUs = try cursor.u32()
        buffers.append(try readBufferVersion6(&cursor))
        if hasClockText {
            cursor.part = "its trace clock"
            // A file that ends here has all of its events.
            if let size = try? cursor.u64(), let text = try? cursor.bytes(size, limit: 4096) { clock.choose(text) }
        }
        for instance in instances {
            guard let offset = Int64(exactly: instance.offset) else { continue }
            var cursor = DatCursor(bytes, at: offset, part: "the buffer \"\(instance.name)\"")
            do throws(DatDamage) {
                var buffer = try readBufferVersion6(&cursor, isInstance: true)
                buffer.name = instance.name
                buffers.append(buffer)
            } catch {
                damage = error
            }
        }
    }

    private mutating func readBufferVersion6(
        _ cursor: inout DatCursor, isInstance: Bool = false
    ) throws(DatDamage) -> Buffer {
        if !isInstance { cursor.part = "its options" }
        var kind = try cursor.bytes(10, limit: 10)
        if kind.starts(with: "options".utf8) {
            try readOptions(&cursor, isVersion7: false)
            cursor.part = "its list of CPUs"
            kind = try cursor.bytes(10, limit: 10)
        }
        if kind.starts(with: "latency".utf8) {
            throw .wrong("no events but the text of a latency tracer (trace-cmd report shows it)")
        }
        guard kind.starts(with: "flyrecord".utf8) else { throw .wrong("something else than CPU data") }
        var buffer = Buffer(pageSize: layout.pageSize)
        let count = optionCPUs ?? headerCPUs
        guard count <= Self.mostCPUs else { throw .wrong("\(count) CPUs") }
        for cpu in 0..<Int32(count) {
            let offset = try cursor.u64()
            let size = try cursor.u64()
            try add(cpu: cpu, offset, size, to: &buffer)
        }
        return buffer
    }

    private func add(cpu: Int32, _ offset: UInt64, _ size: UInt64, to buffer: inout Buffer) throws(DatDamage) {
        guard size > 0 else { return }
        guard let offset = Int64(exactly: offset), let size = Int64(exactly: size) else {
            throw .wrong("CPU data at \(offset)")
        }
        let streams = buffers.reduce(buffer.places.count) { $0 + $1.places.count }
        guard streams < Self.mostStreams else { throw .wrong("more than \(Self.mostStreams) CPUs in all") }
        buffer.places.append(CPUStream.Place(cpu: cpu, offset: offset, size: size))
    }

    // MARK: - Version 7

    private mutating func readVersion7(_ cursor: inout DatCursor) throws(DatDamage) {
        cursor.part = "its first bytes"
        compression = try DatCompression(name: try cursor.string(limit: 64))
        _ = try cursor.string(limit: 64)
        var next = try cursor.u64()
        var sections = 0
        // Options may be in several places, each of which tells the next.
        while next != 0 {
            sections += 1
            guard sections <= Self.mostSections else { throw .wrong("more than \(Self.mostSections) lists of options") }
            do throws(DatDamage) {
                var options = try section(at: next, part: "its options", expected: 0).cursor
                next = try readOptions(&options, isVersion7: true)
            } catch {
                // Buffers that are known can be read although what follows is lost.
                guard !buffers.isEmpty else { throw error }
                damage = error
                break
            }
        }
        guard !formats.isEmpty else { throw .wrong("no event formats") }
        guard !buffers.isEmpty else { throw .wrong("no buffer of events") }
    }

    /// A section's flags and content, decompressed if it is compressed.
    private func section(
        at offset: UInt64, part: String, expected: UInt16
    ) throws(DatDamage) -> (isCompressed: Bool, cursor: DatCursor) {
        guard let offset = Int64(exactly: offset), offset < bytes.size else { throw .ends(in: part) }
        var cursor = DatCursor(bytes, at: offset, part: part)
        let id = try cursor.u16()
        guard id == expected else { throw .wrong("section \(id) where \(part) should be") }
        let flags = try cursor.u16()
        _ = try cursor.u32()
        _ = try cursor.u64()
        let isCompressed = flags & 1 != 0
        guard isCompressed, expected != 3, let compression else { return (isCompressed, cursor) }
        let packed = try cursor.u32()
        let raw = try cursor.u32()
        guard raw <= UInt32(Self.largestText) else { throw .wrong("\(part) of \(raw) bytes") }
        let input = try cursor.bytes(UInt64(packed), limit: Self.largestText)
        var count: Int?
        let output = [UInt8](unsafeUninitializedCapacity: Int(raw)) { buffer, initialized in
            count = input.withUnsafeBytes { compression.decompress($0, into: UnsafeMutableRawBufferPointer(buffer)) }
            initialized = count ?? 0
        }
        guard count != nil || raw == 0 else { throw .wrong("\(part) that cannot be decompressed") }
        return (true, DatCursor(output, part: part))
    }

    private mutating func readSection(_ id: UInt16, at offset: UInt64) throws(DatDamage) {
        guard sectionsRead.insert(id).inserted else { return }
        switch id {
        case 16:
            var cursor = try section(at: offset, part: "its page header", expected: id).cursor
            try readHeaderInfo(&cursor)
        case 17:
            var cursor = try section(at: offset, part: "its ftrace formats", expected: id).cursor
            try readFtraceFormats(&cursor)
        case 18:
            var cursor = try section(at: offset, part: "its event formats", expected: id).cursor
            try readFormats(&cursor)
        case 19:
            var cursor = try section(at: offset, part: "its kernel symbols", expected: id).cursor
            kernelSymbols = KernelSymbols(try cursor.bytes(UInt64(try cursor.u32()), limit: Self.largestText))
        case 21:
            var cursor = try section(at: offset, part: "its task names", expected: id).cursor
            try readCommandLines(&cursor)
        default: break
        }
    }

    private mutating func readBufferVersion7(_ data: [UInt8]) throws(DatDamage) {
        guard buffers.count < Self.mostBuffers else { throw .wrong("more than \(Self.mostBuffers) buffers") }
        var cursor = DatCursor(data, part: "its list of CPUs")
        let offset = try cursor.u64()
        var buffer = Buffer(pageSize: layout.pageSize)
        buffer.name = String(decoding: try cursor.string(), as: UTF8.self)
        buffer.clock = String(decoding: try cursor.string(), as: UTF8.self)
        buffer.pageSize = try Self.checkedPageSize(try cursor.u32())
        let count = try cursor.u32()
        guard count <= Self.mostCPUs else { throw .wrong("\(count) CPUs") }
        for _ in 0..<count {
            let cpu = try cursor.u32()
            let offset = try cursor.u64()
            let size = try cursor.u64()
            guard cpu < Self.mostCPUs else { throw .wrong("a CPU with the number \(cpu)") }
            try add(cpu: Int32(cpu), offset, size, to: &buffer)
        }
        buffer.isCompressed = try section(at: offset, part: "its CPU data", expected: 3).isCompressed
        buffers.append(buffer)
    }

    // MARK: - Options

    /// - Returns: where the next options are, 0 if these were the last.
    @discardableResult
    private mutating func readOptions(_ cursor: inout DatCursor, isVersion7: Bool) throws(DatDamage) -> UInt64 {
        while true {
            let id = try cursor.u16()
            if id == 0, !isVersion7 { return 0 }
            let size = try cursor.u32()
            if size > Self.largestOption {
                // Of those that are needed none is so large.
                cursor.seek(to: cursor.offset + Int64(size))
                continue
            }
            let data = try cursor.bytes(UInt64(size), limit: Self.largestOption)
            switch id {
            case 0:
                var data = DatCursor(data, part: "its options")
                return try data.u64()
            case 1: clock.addOffset(data, unit: 1000)
            case 2:
                readStatistics(data)
                if statistics.count < Int(Self.mostCPUs) { statistics.append(Array(data.prefix(4096))) }
            case 3:
                if isVersion7 {
                    try readBufferVersion7(data)
                } else {
                    guard instances.count < Self.mostBuffers else { continue }
                    var data = DatCursor(data, part: "its list of buffers")
                    let offset = try data.u64()
                    let name = (try? data.string()) ?? []
                    instances.append((String(decoding: name, as: UTF8.self), offset))
                }
            case 4:
                hasClockText = true
                clock.choose(data)
            case 5: kernel = MetadataText.clean(data.prefix { $0 != 0 }.prefix(512))
            case 7: clock.addOffset(data, unit: 1)
            case 8:
                var data = DatCursor(data, part: "its number of CPUs")
                optionCPUs = try data.u32()
            case 14:
                var data = DatCursor(data, part: "its clock's calibration")
                clock.setScale(multiplier: try data.u32(), shift: try data.u32())
            case 16...21 where isVersion7:
                var data = DatCursor(data, part: "its sections")
                try readSection(id, at: try data.u64())
            default: break
            }
        }
    }

    /// `per_cpu/cpuN/stats` of the ring buffer.
    private mutating func readStatistics(_ text: [UInt8]) {
        var cpu: Int32?
        for line in text.split(separator: 10) {
            let parts = String(decoding: line, as: UTF8.self).split(separator: ":")
            guard parts.count == 2 else { continue }
            let value = parts[1].drop { $0 == " " }
            if parts[0] == "CPU" { cpu = Int32(value) }
            guard parts[0] == "dropped events", let cpu, let count = Int64(value), count > 0, count < 1 << 48,
                (0..<Int32(Self.mostCPUs)).contains(cpu), dropped.count < Int(Self.mostCPUs)
            else { continue }
            dropped.append((cpu, count))
        }
    }

    // MARK: - Parts that both versions have

    private mutating func readHeaderInfo(_ cursor: inout DatCursor) throws(DatDamage) {
        cursor.part = "its page header"
        try cursor.expect("header_page\0")
        let text = try cursor.bytes(try cursor.u64(), limit: Self.largestFormat)
        for line in text.split(separator: 10) {
            let line = line.drop { $0 == 32 || $0 == 9 }
            guard line.starts(with: "field:".utf8), let field = EventFormat.Field(line.dropFirst(6)) else { continue }
            if field.name == "commit" {
                guard field.offset == 8, field.size == 8 || field.size == 4 else {
                    throw .wrong("pages of another layout than Linux has")
                }
                layout.commitSize = field.size
            } else if field.name == "data" {
                guard field.offset >= 8 + layout.commitSize, field.offset <= 64 else {
                    throw .wrong("pages of another layout than Linux has")
                }
                layout.dataOffset = field.offset
            }
        }
        try cursor.expect("header_event\0")
        _ = try cursor.bytes(try cursor.u64(), limit: Self.largestFormat)
    }

    private mutating func readFtraceFormats(_ cursor: inout DatCursor) throws(DatDamage) {
        cursor.part = "its ftrace formats"
        let count = try cursor.u32()
        for _ in 0..<count { try readFormat(&cursor, system: "ftrace") }
    }

    private mutating func readFormats(_ cursor: inout DatCursor) throws(DatDamage) {
        cursor.part = "its event formats"
        let systems = try cursor.u32()
        for _ in 0..<systems {
            let system = String(decoding: try cursor.string(limit: 128), as: UTF8.self)
            let count = try cursor.u32()
            for _ in 0..<count { try readFormat(&cursor, system: system) }
        }
    }

    private mutating func readFormat(_ cursor: inout DatCursor, system: String) throws(DatDamage) {
        let text = try cursor.bytes(try cursor.u64(), limit: Self.largestFormat)
        // As many as there are types; a file that has more of them repeats itself.
        guard formats.count < 1 << 16,
            let format = EventFormat(
                text, system: system,
                needsFields: { fieldsRead < Self.mostFields && EventDecoder.needsFields($0, $1, $2) })
        else { return }
        fieldsRead += format.fields.count
        formats.append(format)
    }

    private mutating func readCommandLines(_ cursor: inout DatCursor) throws(DatDamage) {
        cursor.part = "its task names"
        let text = try cursor.bytes(try cursor.u64(), limit: Self.largestText)
        var rest = text[...]
        while !rest.isEmpty, comms.count < Self.mostTasks {
            let end = rest.firstIndex(of: 10) ?? rest.endIndex
            let line = rest[..<end]
            rest = rest[min(end + 1, rest.endIndex)...]
            guard let space = line.firstIndex(of: 32),
                let pid = Int32(String(decoding: line[..<space], as: UTF8.self))
            else { continue }
            comms[pid] = Array(line[(space + 1)...].prefix(64))
        }
    }
}

/// What a recording's times count, and what is to be added to them.
struct DatClock {
    var name = ""
    /// ns
    private(set) var offset: Int64 = 0
    private(set) var multiplier: UInt32?
    private var shift: UInt32 = 0

    /// `local global [mono] boot`: the one in brackets.
    mutating func choose(_ text: [UInt8]) {
        guard let open = text.firstIndex(of: UInt8(ascii: "[")),
            let close = text[open...].firstIndex(of: UInt8(ascii: "]"))
        else { return }
        name = String(decoding: text[(open + 1)..<close], as: UTF8.self)
    }

    /// A number in ASCII, as `strtoll` takes it with base 0.
    mutating func addOffset(_ text: [UInt8], unit: Int64) {
        var digits = String(decoding: text.prefix { $0 != 0 }, as: UTF8.self).drop { $0 == " " }
        let isNegative = digits.hasPrefix("-")
        if isNegative || digits.hasPrefix("+") { digits = digits.dropFirst() }
        let isHexadecimal = digits.hasPrefix("0x") || digits.hasPrefix("0X")
        let value =
            isHexadecimal
            ? Int64(digits.dropFirst(2).prefix { $0.isHexDigit }, radix: 16)
            : Int64(digits.prefix { $0.isNumber })
        guard let value else { return }
        let (scaled, overflow) = value.multipliedReportingOverflow(by: isNegative ? -unit : unit)
        let (sum, carry) = offset.addingReportingOverflow(scaled)
        if !overflow, !carry { offset = sum }
    }

    mutating func setScale(multiplier: UInt32, shift: UInt32) {
        guard multiplier != 0, shift < 64 else { return }
        self.multiplier = multiplier
        self.shift = shift
    }

    /// A recorded time in ns; `nil` if it is beyond what 64 bits hold.
    @inline(__always)
    func nanoseconds(_ time: UInt64) -> Int64? {
        var time = time
        if let multiplier {
            let (high, low) = time.multipliedFullWidth(by: UInt64(multiplier))
            if shift == 0 {
                guard high == 0 else { return nil }
                time = low
            } else {
                guard high >> UInt64(shift) == 0 else { return nil }
                time = high << UInt64(64 - shift) | low >> UInt64(shift)
            }
        }
        guard let count = Int64(exactly: time) else { return nil }
        let (sum, overflow) = count.addingReportingOverflow(offset)
        return overflow || sum < 0 ? nil : sum
    }
}
