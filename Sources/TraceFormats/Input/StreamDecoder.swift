import CLzma
import CZlib
import CZstd

/// One compression format, read as a stream. A file may hold several members (gzip), frames (zstd) or streams (xz), one
/// after the other; a decoder stops after each of them.
protocol StreamDecoder: AnyObject {
    /// What messages call the format.
    var name: String { get }
    /// What a member ends with, for messages about one that does not.
    var ending: String { get }
    /// Whether a member starts with these bytes, of which there are at least ``ArchiveFormat/longestMagic`` unless the file ends.
    func isMember(_ bytes: UnsafeRawBufferPointer) -> Bool
    /// Prepares for a further member.
    func reset()
    /// Decodes what fits into `output`.
    func decode(_ input: UnsafeMutableRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> DecodingStep
}

/// What one call of a decoder did.
struct DecodingStep {
    enum State {
        case goesOn
        case memberEnded
        case corrupt(String)
    }

    var consumed: Int
    var produced: Int
    var state: State
}

/// The archives that are read, by their first bytes.
enum ArchiveFormat {
    /// Bytes that must be seen to tell.
    static let longestMagic = 6

    /// The most memory that a decoder may take; what asks for more is refused. `xz -9` needs 65 MiB, `zstd -19` 8 MiB and
    /// `zstd --long` 128 MiB.
    static let memoryLimit: UInt64 = 256 << 20

    static func isGzip(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: [0x1f, 0x8b]) }

    /// A zstd frame, or one to skip, with which some tools begin.
    static func isZstd(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if bytes.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) { return true }
        guard bytes.count >= 4 else { return false }
        return bytes[0] & 0xf0 == 0x50 && bytes[1] == 0x2a && bytes[2] == 0x4d && bytes[3] == 0x18
    }

    static func isXz(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.starts(with: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])
    }

    static func isArchive(_ bytes: UnsafeRawBufferPointer) -> Bool { isGzip(bytes) || isZstd(bytes) || isXz(bytes) }

    /// The decoder for a file that begins so; `nil` if it is no archive.
    ///
    /// - Throws: if there is no memory for one.
    static func decoder(for bytes: UnsafeRawBufferPointer, path: String) throws(LogError) -> (any StreamDecoder)? {
        let decoder: (any StreamDecoder)?
        if isGzip(bytes) {
            decoder = GzipDecoder()
        } else if isZstd(bytes) {
            decoder = ZstdDecoder()
        } else if isXz(bytes) {
            decoder = XzDecoder()
        } else {
            return nil
        }
        guard let decoder else { throw .cannotRead(path: path, code: 12) }
        return decoder
    }
}

/// gzip, by zlib.
final class GzipDecoder: StreamDecoder {
    let name = "gzip"
    let ending = "checksum"
    private var stream = z_stream()

    init?() {
        // 16: a gzip header is required; 15: the largest window.
        guard inflateInit2_(&stream, 16 + 15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            return nil
        }
    }

    deinit { inflateEnd(&stream) }

    func isMember(_ bytes: UnsafeRawBufferPointer) -> Bool { ArchiveFormat.isGzip(bytes) }

    func reset() { inflateReset(&stream) }

    func decode(_ input: UnsafeMutableRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> DecodingStep {
        let inputCount = UInt32(clamping: input.count)
        let outputCount = UInt32(clamping: output.count)
        stream.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.avail_in = inputCount
        stream.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.avail_out = outputCount
        let code = inflate(&stream, Z_NO_FLUSH)
        let state: DecodingStep.State =
            switch code {
            case Z_OK, Z_BUF_ERROR: .goesOn
            case Z_STREAM_END: .memberEnded
            default: .corrupt(stream.msg.map { String(cString: $0) } ?? "zlib error \(code)")
            }
        return DecodingStep(
            consumed: Int(inputCount - stream.avail_in), produced: Int(outputCount - stream.avail_out), state: state)
    }
}

/// zstd frames.
final class ZstdDecoder: StreamDecoder {
    let name = "zstd"
    let ending = "last block"
    private let context: OpaquePointer

    init?() {
        guard let context = ZSTD_createDCtx() else { return nil }
        self.context = context
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 27)
    }

    deinit { ZSTD_freeDCtx(context) }

    func isMember(_ bytes: UnsafeRawBufferPointer) -> Bool { ArchiveFormat.isZstd(bytes) }

    func reset() { ZSTD_DCtx_reset(context, ZSTD_reset_session_only) }

    func decode(_ input: UnsafeMutableRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> DecodingStep {
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let code = ZSTD_decompressStream(context, &target, &source)
        let state: DecodingStep.State
        if ZSTD_isError(code) != 0 {
            state = .corrupt(String(cString: ZSTD_getErrorName(code)))
        } else {
            state = code == 0 ? .memberEnded : .goesOn
        }
        return DecodingStep(consumed: source.pos, produced: target.pos, state: state)
    }
}

/// xz streams, by liblzma.
final class XzDecoder: StreamDecoder {
    let name = "xz"
    let ending = "index"
    private var stream = lzma_empty_stream()

    init?() {
        guard lzma_stream_decoder(&stream, ArchiveFormat.memoryLimit, 0) == LZMA_OK else { return nil }
    }

    deinit { lzma_end(&stream) }

    func isMember(_ bytes: UnsafeRawBufferPointer) -> Bool { ArchiveFormat.isXz(bytes) }

    func reset() { _ = lzma_stream_decoder(&stream, ArchiveFormat.memoryLimit, 0) }

    func decode(_ input: UnsafeMutableRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> DecodingStep {
        stream.next_in = UnsafePointer(input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.avail_in = input.count
        stream.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.avail_out = output.count
        let code = lzma_code(&stream, LZMA_RUN)
        let state: DecodingStep.State =
            switch code {
            case LZMA_OK, LZMA_BUF_ERROR: .goesOn
            case LZMA_STREAM_END: .memberEnded
            case LZMA_MEMLIMIT_ERROR: .corrupt("needs more than 256 MiB of memory; decompress it first")
            case LZMA_OPTIONS_ERROR: .corrupt("uses features that are not known here")
            case LZMA_MEM_ERROR: .corrupt("no memory left")
            default: .corrupt("liblzma error \(code.rawValue)")
            }
        return DecodingStep(
            consumed: input.count - stream.avail_in, produced: output.count - stream.avail_out, state: state)
    }
}
