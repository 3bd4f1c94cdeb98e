/// One line of the log while it is being written: a cursor into the output buffer. All appends are plain stores: at
/// several million lines a second, String and its allocations would be most of the time.
struct Line {
    private(set) var end: UnsafeMutablePointer<UInt8>

    init(at start: UnsafeMutablePointer<UInt8>) {
        end = start
    }

    @inline(__always)
    mutating func text(_ literal: StaticString) {
        end.update(from: literal.utf8Start, count: literal.utf8CodeUnitCount)
        end += literal.utf8CodeUnitCount
    }

    @inline(__always)
    mutating func bytes(_ start: UnsafePointer<UInt8>, _ count: Int) {
        end.update(from: start, count: count)
        end += count
    }

    mutating func string(_ string: String) {
        for byte in string.utf8 { self.byte(byte) }
    }

    @inline(__always)
    mutating func byte(_ byte: UInt8) {
        end.pointee = byte
        end += 1
    }

    /// `0x%llx`
    @inline(__always)
    mutating func hex(_ value: UInt64) {
        text("0x")
        hexDigits(value, max(1, (67 &- value.leadingZeroBitCount) >> 2))
    }

    /// `0x%016llx`
    @inline(__always)
    mutating func hex16(_ value: UInt64) {
        text("0x")
        hexDigits(value, 16)
    }

    @inline(__always)
    private mutating func hexDigits(_ value: UInt64, _ count: Int) {
        var rest = value
        var place = count
        while place > 0 {
            place &-= 1
            let digit = UInt8(truncatingIfNeeded: rest & 15)
            end[place] = digit &+ (digit < 10 ? 48 : 87)
            rest >>= 4
        }
        end += count
    }

    /// `%llu`
    @inline(__always)
    mutating func decimal(_ value: UInt64) {
        var places = 1
        var limit: UInt64 = 10
        while value >= limit, places < 19 {
            places &+= 1
            limit &*= 10
        }
        digits(value, places)
    }

    /// `%0<count>llu`
    @inline(__always)
    mutating func digits(_ value: UInt64, _ count: Int) {
        var rest = value
        var place = count
        while place > 0 {
            place &-= 1
            end[place] = 48 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        end += count
    }

    /// `%5lu.%06lu`, seconds and microseconds, cut as the kernel cuts them.
    @inline(__always)
    mutating func stamp(_ time: Time) {
        let microseconds = time / .microsecond
        let seconds = microseconds / 1_000_000
        var padding: UInt64 = 10_000
        while seconds < padding, padding > 1 {
            byte(UInt8(ascii: " "))
            padding /= 10
        }
        decimal(seconds)
        byte(UInt8(ascii: "."))
        digits(microseconds % 1_000_000, 6)
    }
}

/// Trace time in nanoseconds. Finer than the stamps: at a high rate several lines share a microsecond, as they do in
/// a recording.
typealias Time = UInt64

extension Time {
    static let microsecond: Time = 1000
    static let second: Time = 1_000_000_000
}
