/// A place in a line of a log. Every step is checked against the line's end, so no line can make it read beyond.
struct ByteCursor {
    private(set) var position: UnsafePointer<UInt8>
    let end: UnsafePointer<UInt8>

    init(position: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) {
        self.position = position
        self.end = end
    }

    @inline(__always)
    var isAtEnd: Bool { position >= end }

    @inline(__always)
    var remaining: Int { end - position }

    /// The next byte, 0 at the end: no digit, letter or separator that a parser looks for.
    @inline(__always)
    var byte: UInt8 { position < end ? position.pointee : 0 }

    /// The byte `offset` ahead, 0 beyond the end.
    @inline(__always)
    func byte(ahead offset: Int) -> UInt8 { offset < remaining ? position[offset] : 0 }

    @inline(__always)
    mutating func advance() {
        if position < end { position += 1 }
    }

    /// Steps over the next byte if it is this one.
    @inline(__always)
    mutating func skip(_ expected: UInt8) -> Bool {
        guard byte == expected, position < end else { return false }
        position += 1
        return true
    }

    @inline(__always)
    mutating func skipSpaces() {
        while position < end, position.pointee == UInt8(ascii: " ") { position += 1 }
    }

    /// Steps over this text if it comes next.
    @inline(__always)
    mutating func skip(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard remaining >= count else { return false }
        for index in 0..<count where position[index] != text.utf8Start[index] { return false }
        position += count
        return true
    }

    /// Whether this text comes next.
    @inline(__always)
    func startsWith(_ text: StaticString) -> Bool {
        var cursor = self
        return cursor.skip(text)
    }

    /// The bytes from here up to the first of `separator` or the end; stands on that separator afterwards.
    @inline(__always)
    mutating func token(until separator: UInt8) -> UnsafeRawBufferPointer {
        let start = position
        while position < end, position.pointee != separator { position += 1 }
        return UnsafeRawBufferPointer(start: start, count: position - start)
    }

    /// A run of decimal digits; `nil` if there is none or it does not fit in 64 bits.
    @inline(__always)
    mutating func decimal() -> UInt64? {
        let start = position
        var value: UInt64 = 0
        while position < end {
            let digit = position.pointee &- UInt8(ascii: "0")
            guard digit < 10 else { break }
            // Nineteen digits cannot overflow; what is longer takes the careful way.
            if position - start < 19 {
                value = value &* 10 &+ UInt64(digit)
            } else {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
                if overflow || carry { return nil }
                value = sum
            }
            position += 1
        }
        return position > start ? value : nil
    }

    /// A run of hexadecimal digits; `nil` if there is none or it does not fit in 64 bits.
    @inline(__always)
    mutating func hexadecimal() -> UInt64? {
        let start = position
        var value: UInt64 = 0
        while position < end {
            guard let digit = Self.hexDigit(position.pointee) else { break }
            if value >> 60 != 0 { return nil }
            value = value << 4 | UInt64(digit)
            position += 1
        }
        return position > start ? value : nil
    }

    /// A number as logs write them: `0x…` hexadecimal, otherwise decimal, possibly negative (stored by bit pattern).
    @inline(__always)
    mutating func number() -> UInt64? {
        if byte == UInt8(ascii: "0"), byte(ahead: 1) | 0x20 == UInt8(ascii: "x") {
            position += 2
            return hexadecimal()
        }
        if byte == UInt8(ascii: "-") {
            position += 1
            return decimal().map { 0 &- $0 }
        }
        return decimal()
    }

    @inline(__always)
    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        let digit = byte &- UInt8(ascii: "0")
        if digit < 10 { return digit }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter < 6 ? letter + 10 : nil
    }
}
