/// What tells a log from others: two with equal values are the same bytes (design §4 17).
public struct LogContent: Hashable, Sendable {
    /// ``ContentHash/value`` of the decompressed log.
    public var hash: UInt64
    /// Its length in bytes.
    public var bytes: UInt64

    /// A log of several parts: the same whatever their order.
    init(parts: [LogContent]) {
        var together = ContentHash()
        bytes = 0
        for part in parts.sorted(by: { ($0.hash, $0.bytes) < ($1.hash, $1.bytes) }) {
            withUnsafeBytes(of: (part.hash.littleEndian, part.bytes.littleEndian)) { together.update($0) }
            bytes &+= part.bytes
        }
        hash = together.value
    }

    init(hash: UInt64, bytes: UInt64) {
        self.hash = hash
        self.bytes = bytes
    }
}

/// XXH64 (seed 0), fed in pieces: tells whether two logs are the same bytes (design §4 17).
///
/// Not a guard against forgery, only against importing one recording twice; together with the length it is beyond
/// accident. Written out here because hashing must keep up with decompression, and the cryptographic hash at hand takes
/// longer than the rest of the import.
public struct ContentHash: Sendable {
    private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

    private var lanes = (
        Self.prime1 &+ Self.prime2, Self.prime2, UInt64(0), 0 &- Self.prime1
    )
    private var pending = InlineArray<32, UInt8>(repeating: 0)
    private var pendingCount = 0

    /// Bytes fed so far.
    public private(set) var length: UInt64 = 0

    /// The hash of nothing, to be fed.
    public init() {}

    /// Feeds the next bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        length &+= UInt64(bytes.count)
        var offset = 0
        if pendingCount > 0 {
            while pendingCount < 32, offset < bytes.count {
                pending[pendingCount] = bytes[offset]
                pendingCount += 1
                offset += 1
            }
            guard pendingCount == 32 else { return }
            pendingCount = 0
            lanes = withUnsafeBytes(of: pending) { Self.stripe(lanes, $0, at: 0) }
        }
        var current = lanes
        while offset &+ 32 <= bytes.count {
            current = Self.stripe(current, bytes, at: offset)
            offset &+= 32
        }
        lanes = current
        while offset < bytes.count {
            pending[pendingCount] = bytes[offset]
            pendingCount += 1
            offset += 1
        }
    }

    /// Hash and length of what was fed so far.
    public var content: LogContent { LogContent(hash: value, bytes: length) }

    /// The hash of all bytes fed so far.
    public var value: UInt64 {
        var hash: UInt64
        if length >= 32 {
            hash =
                Self.rotate(lanes.0, 1) &+ Self.rotate(lanes.1, 7) &+ Self.rotate(lanes.2, 12)
                &+ Self.rotate(lanes.3, 18)
            for lane in [lanes.0, lanes.1, lanes.2, lanes.3] {
                hash = (hash ^ Self.round(0, lane)) &* Self.prime1 &+ Self.prime4
            }
        } else {
            hash = Self.prime5
        }
        hash = hash &+ length
        withUnsafeBytes(of: pending) { bytes in
            var offset = 0
            while offset + 8 <= pendingCount {
                hash ^= Self.round(0, bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                hash = Self.rotate(hash, 27) &* Self.prime1 &+ Self.prime4
                offset += 8
            }
            if offset + 4 <= pendingCount {
                hash ^= UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) &* Self.prime1
                hash = Self.rotate(hash, 23) &* Self.prime2 &+ Self.prime3
                offset += 4
            }
            while offset < pendingCount {
                hash ^= UInt64(bytes[offset]) &* Self.prime5
                hash = Self.rotate(hash, 11) &* Self.prime1
                offset += 1
            }
        }
        hash = (hash ^ (hash >> 33)) &* Self.prime2
        hash = (hash ^ (hash >> 29)) &* Self.prime3
        return hash ^ (hash >> 32)
    }

    private typealias Lanes = (UInt64, UInt64, UInt64, UInt64)

    private static func stripe(_ lanes: Lanes, _ bytes: UnsafeRawBufferPointer, at offset: Int) -> Lanes {
        (
            round(lanes.0, bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
            round(lanes.1, bytes.loadUnaligned(fromByteOffset: offset &+ 8, as: UInt64.self)),
            round(lanes.2, bytes.loadUnaligned(fromByteOffset: offset &+ 16, as: UInt64.self)),
            round(lanes.3, bytes.loadUnaligned(fromByteOffset: offset &+ 24, as: UInt64.self))
        )
    }

    private static func round(_ accumulator: UInt64, _ input: UInt64) -> UInt64 {
        rotate(accumulator &+ input &* prime2, 31) &* prime1
    }

    private static func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
        value << count | value >> (64 &- count)
    }
}
