import TestSupport
import Testing

@testable import TraceFormats

/// XXH64: published values, and the same for any split.
struct ContentHashTests {
    private static func hash(_ pieces: [ArraySlice<UInt8>]) -> ContentHash {
        var hash = ContentHash()
        for piece in pieces { piece.withUnsafeBytes { hash.update($0) } }
        return hash
    }

    @Test(
        "published values",
        arguments: [
            ("", 0xef46_db37_51d8_e999), ("a", 0xd24e_c4f1_a98c_6e5b), ("abc", 0x44bc_2cf5_ad77_0999),
            ("as", 0x1c33_0fb2_d66b_e179), ("asd", 0x631c_37ce_72a9_7393), ("asdf", 0x4158_72f5_99ce_a71e),
            ("Call me Ishmael. Some years ago--never mind how long precisely-", 0x02a2_e854_70d6_fd96),
        ] as [(String, UInt64)])
    func published(text: String, expected: UInt64) {
        let hash = Self.hash([Array(text.utf8)[...]])
        #expect(hash.value == expected)
        #expect(hash.length == UInt64(text.utf8.count))
    }

    @Test("the same for any split into two, at every length around the stripes")
    func twoPieces() {
        var generator = SeededGenerator(seed: 3)
        let bytes = (0..<100).map { _ in UInt8.random(in: 0...255, using: &generator) }
        for length in 0...bytes.count {
            let whole = Self.hash([bytes[..<length]]).value
            for cut in 0...length {
                #expect(Self.hash([bytes[..<cut], bytes[cut..<length]]).value == whole)
            }
        }
    }

    @Test("the same for any split into many", arguments: 1...8 as ClosedRange<UInt64>)
    func manyPieces(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let bytes = (0..<10_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        var pieces: [ArraySlice<UInt8>] = []
        var start = 0
        while start < bytes.count {
            let end = min(start + Int.random(in: 0...97, using: &generator), bytes.count)
            pieces.append(bytes[start..<end])
            start = end
        }
        #expect(Self.hash(pieces).value == Self.hash([bytes[...]]).value)
    }

    @Test("asking for the value does not change it")
    func value() {
        var hash = Self.hash([Array("abc".utf8)[...]])
        #expect(hash.value == hash.value)
        Array("def".utf8).withUnsafeBytes { hash.update($0) }
        #expect(hash.value == Self.hash([Array("abcdef".utf8)[...]]).value)
    }

    @Test("one changed byte or one more zero is another hash")
    func changes() {
        let bytes = [UInt8](repeating: 0, count: 64)
        let hashes = (0...64).map { Self.hash([bytes[..<$0]]).value }
        #expect(Set(hashes).count == 65)
        let changed = (0..<64).map { index -> UInt64 in
            var bytes = bytes
            bytes[index] = 1
            return Self.hash([bytes[...]]).value
        }
        #expect(Set(changed + hashes).count == 129)
    }
}
