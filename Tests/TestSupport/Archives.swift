import CLzma
import CZlib
import CZstd

/// Makes data of the other compressed formats that are read, the same at each run.
public enum Archives {
    /// One zstd frame.
    public static func zstd(_ bytes: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
        let count = ZSTD_compress(&output, output.count, bytes, bytes.count, 3)
        precondition(ZSTD_isError(count) == 0)
        return Array(output[..<count])
    }

    /// One xz stream.
    public static func xz(_ bytes: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: lzma_stream_buffer_bound(bytes.count))
        var count = 0
        let code = lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nil, bytes, bytes.count, &output, &count, output.count)
        precondition(code == LZMA_OK)
        return Array(output[..<count])
    }

    /// A bare zlib stream, as trace-cmd writes its sections.
    public static func zlib(_ bytes: [UInt8]) -> [UInt8] {
        var count = compressBound(uLong(bytes.count))
        var output = [UInt8](repeating: 0, count: Int(count))
        let code = compress(&output, &count, bytes, uLong(bytes.count))
        precondition(code == Z_OK)
        return Array(output[..<Int(count)])
    }
}
