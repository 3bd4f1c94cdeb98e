import CZlib
import CZstd

/// How the sections of a version 7 recording are compressed: each piece of its own, with its raw size beside it.
enum DatCompression: Sendable {
    case zlib
    case zstd

    /// By the name in the recording's header; `nil` for "none".
    init?(name: [UInt8]) throws(DatDamage) {
        switch String(decoding: name, as: UTF8.self) {
        case "none", "": return nil
        case "zlib": self = .zlib
        case "zstd": self = .zstd
        case let other: throw .wrong("the compression \"\(other)\", which is not known here")
        }
    }

    /// Decompresses one piece.
    ///
    /// - Returns: how many bytes came out, `nil` if the piece is corrupt or does not fit.
    func decompress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        guard let source = input.baseAddress, let target = output.baseAddress else { return nil }
        switch self {
        case .zlib:
            var count = uLongf(output.count)
            let code = uncompress(
                target.assumingMemoryBound(to: UInt8.self), &count, source.assumingMemoryBound(to: UInt8.self),
                uLong(input.count))
            return code == Z_OK ? Int(count) : nil
        case .zstd:
            let count = ZSTD_decompress(target, output.count, source, input.count)
            return ZSTD_isError(count) == 0 ? count : nil
        }
    }
}
