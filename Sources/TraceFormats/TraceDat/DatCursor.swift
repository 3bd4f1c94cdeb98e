/// Why a recording's description cannot be read on.
enum DatDamage: Error {
    /// The file ends in the middle of something.
    case ends(in: String)
    /// What is there cannot be right.
    case wrong(String)
    /// The file could not be read.
    case unreadable(LogError)

    /// A phrase that follows "a recording that".
    var text: String {
        switch self {
        case .ends(let part): "ends in \(part)"
        case .wrong(let what): "has \(what)"
        case .unreadable(let error): "cannot be read (\(error.message))"
        }
    }
}

/// Reads a recording's description, number by number, from the file or from a section that was decompressed.
///
/// Nothing that a file says about sizes is believed before the bytes are there.
struct DatCursor {
    /// Of what is read, for messages.
    var part: String
    /// Where the next byte stands in the file, or in the section.
    private(set) var offset: Int64

    private let source: LogBytes?
    private var window: [UInt8] = []
    private var windowStart: Int64 = 0

    private static let windowSize = 64 << 10

    /// Reads from a place in the file on.
    init(_ source: LogBytes, at offset: Int64, part: String) {
        self.source = source
        self.offset = offset
        self.part = part
    }

    /// Reads from memory.
    init(_ bytes: [UInt8], part: String) {
        source = nil
        window = bytes
        offset = 0
        self.part = part
    }

    mutating func seek(to offset: Int64) { self.offset = offset }

    mutating func u8() throws(DatDamage) -> UInt8 { UInt8(truncatingIfNeeded: try number(1)) }
    mutating func u16() throws(DatDamage) -> UInt16 { UInt16(truncatingIfNeeded: try number(2)) }
    mutating func u32() throws(DatDamage) -> UInt32 { UInt32(truncatingIfNeeded: try number(4)) }
    mutating func u64() throws(DatDamage) -> UInt64 { try number(8) }

    /// The next bytes, at most `limit` of them.
    mutating func bytes(_ count: UInt64, limit: Int) throws(DatDamage) -> [UInt8] {
        guard count <= UInt64(limit) else { throw .wrong("\(part) of \(count) bytes") }
        let count = Int(count)
        if windowIndex(count) == nil, count <= Self.windowSize { try fill() }
        if let index = windowIndex(count) {
            offset += Int64(count)
            return Array(window[index..<(index + count)])
        }
        guard let source, offset >= 0, offset <= source.size, Int64(count) <= source.size - offset else {
            throw .ends(in: part)
        }
        var filled = 0
        var failure: LogError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(LogError) {
                filled = try source.read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                failure = error
            }
            initialized = filled
        }
        if let failure { throw .unreadable(failure) }
        guard filled == count else { throw .ends(in: part) }
        offset += Int64(count)
        return bytes
    }

    /// The bytes before the next NUL, at most `limit`; stands behind the NUL afterwards.
    mutating func string(limit: Int = 1024) throws(DatDamage) -> [UInt8] {
        var text: [UInt8] = []
        while true {
            let byte = try u8()
            if byte == 0 { return text }
            guard text.count < limit else { throw .wrong("a name of more than \(limit) bytes in \(part)") }
            text.append(byte)
        }
    }

    /// Steps over this text, NUL included.
    mutating func expect(_ text: String) throws(DatDamage) {
        let found = try bytes(UInt64(text.utf8.count), limit: 64)
        guard found.elementsEqual(text.utf8) else { throw .wrong("something else than \(part)") }
    }

    private mutating func number(_ count: Int) throws(DatDamage) -> UInt64 {
        if windowIndex(count) == nil { try fill() }
        guard let index = windowIndex(count) else { throw .ends(in: part) }
        offset += Int64(count)
        var value: UInt64 = 0
        for place in (0..<count).reversed() { value = value << 8 | UInt64(window[index + place]) }
        return value
    }

    /// Where the next `count` bytes are in the window, if they are.
    private func windowIndex(_ count: Int) -> Int? {
        let index = offset &- windowStart
        guard index >= 0, index <= Int64(window.count), Int64(count) <= Int64(window.count) - index else { return nil }
        return Int(index)
    }

    private mutating func fill() throws(DatDamage) {
        guard let source else { return }
        var filled = 0
        var failure: LogError?
        let offset = offset
        window = [UInt8](unsafeUninitializedCapacity: Self.windowSize) { buffer, initialized in
            do throws(LogError) {
                filled = try source.read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                failure = error
            }
            initialized = filled
        }
        windowStart = offset
        if let failure { throw .unreadable(failure) }
    }
}
