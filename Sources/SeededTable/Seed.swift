/// Random numbers that hashes start from, others in each run of the tool: nobody can write a log whose keys collide.
///
/// No result may depend on them. ``SeededTable`` therefore tells what it holds in the order in which that came.
@frozen
public struct Seed: Sendable {
    @usableFromInline let first: UInt64
    /// Odd, as ``third`` is: a product with it loses no bit of the key.
    @usableFromInline let second: UInt64
    @usableFromInline let third: UInt64

    /// That of this run of the tool.
    public static let ofProcess: Seed = {
        var generator = SystemRandomNumberGenerator()
        return Seed(using: &generator)
    }()

    /// One from a generator: a test can give a table another seed, or the same one again.
    public init(using generator: inout some RandomNumberGenerator) {
        first = generator.next()
        second = generator.next() | 1
        third = generator.next() | 1
    }

    /// Two words as one of 64 bits.
    ///
    /// Multiplies twice. Once is not enough: the products of keys at equal distances are at equal distances, too, and with one
    /// seed in ten those of plain numbers lie in a few clumps.
    @inlinable @inline(__always)
    public func hash(_ one: UInt64, _ other: UInt64) -> UInt64 {
        Self.fold(Self.fold(one ^ first, other ^ second), third)
    }

    /// Bytes as one word of 64 bits. Different texts may have the same one.
    @inlinable @inline(__always)
    public func hash(of bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = first
        var offset = 0
        while offset &+ 8 <= bytes.count {
            hash = Self.fold(hash ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self), second)
            offset &+= 8
        }
        if offset < bytes.count {
            // The last eight bytes once more, or all of a shorter text.
            var tail: UInt64 = 0
            if bytes.count >= 8 {
                tail = bytes.loadUnaligned(fromByteOffset: bytes.count &- 8, as: UInt64.self)
            } else if bytes.count >= 4 {
                tail = UInt64(bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self)) << 32
                tail |= UInt64(bytes.loadUnaligned(fromByteOffset: bytes.count &- 4, as: UInt32.self))
            } else {
                for byte in bytes { tail = tail << 8 | UInt64(byte) }
            }
            hash = Self.fold(hash ^ tail, second)
        }
        // Not at the start, where the first bytes could take the length away again.
        return Self.fold(hash ^ UInt64(truncatingIfNeeded: bytes.count), third)
    }

    /// The two halves of a product, one over the other.
    @inlinable @inline(__always)
    static func fold(_ one: UInt64, _ other: UInt64) -> UInt64 {
        let product = one.multipliedFullWidth(by: other)
        return product.high ^ product.low
    }
}
