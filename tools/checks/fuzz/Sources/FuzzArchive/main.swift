import Fuzzing
import TestSupport
import TraceFormats

// Archives. An input is read as it is if it begins like one; otherwise its first four bytes say what is made of the rest:
//
//   0  the format, and whether text or damage is tried
//   1  where the text is parted into members, in 256ths
//   2  where the archive is cut, or a byte of it is changed, in 256ths
//   3  what that byte is changed by; what stands between the members
//
// Checksums would keep libFuzzer out of everything behind them; so the archive is made here, and what must come out is
// known: all of the text, or less of it and a word about damage.
let log = MadeUpLog()

func makers(_ number: UInt8) -> @Sendable ([UInt8]) -> [UInt8] {
    switch number % 3 {
    case 0: { Gzip.member($0, level: 1) }
    case 1: { Archives.zstd($0) }
    default: { Archives.xz($0) }
    }
}

func isArchive(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let magics: [[UInt8]] = [
        [0x1f, 0x8b], [0x28, 0xb5, 0x2f, 0xfd], [0xfd, 0x37, 0x7a, 0x58], [0x50, 0x2a, 0x4d, 0x18],
    ]
    return magics.contains { bytes.starts(with: $0) }
}

let damages: Set<ParseIssue.Reason> = [.truncatedArchive, .corruptArchive, .trailingBytes]

fuzz { bytes in
    if isArchive(bytes) {
        log.read(bytes)
        return
    }
    guard bytes.count > 4 else { return }
    let text = Array(bytes.dropFirst(4))
    let make = makers(bytes[0])
    let part = text.count * Int(bytes[1]) / 256
    let between: [UInt8] = bytes[3] & 1 == 0 ? [] : [UInt8](repeating: 0, count: Int(bytes[3] >> 4))
    var archive = make(Array(text[..<part])) + between + make(Array(text[part...]))
    let plain = text.withUnsafeBytes { log.read($0) }
    switch bytes[0] / 3 % 3 {
    case 0:
        let read = archive.withUnsafeBytes { log.read($0) }
        // What the text itself is refused for may be said in other words inside an archive.
        if let plain, let read { precondition(plain.hash == read.hash && plain.issues == read.issues) }
    case 1:
        let cut = archive.count * Int(bytes[2]) / 256
        let read = archive[..<cut].withUnsafeBytes { log.read($0) }
        // A few bytes are not known to begin an archive. The first member alone lacks nothing, although its last line may
        // be half of one.
        guard cut >= 6, let plain, let read, !isFirstMember(cut) else { return }
        precondition(read.bytes <= plain.bytes && read.events <= plain.events)
        precondition(read.hash == plain.hash || !damages.isDisjoint(with: read.issues))
    default:
        archive[archive.count * Int(bytes[2]) / 256] ^= bytes[3]
        archive.withUnsafeBytes { _ = log.read($0) }
    }

    /// A cut between members leaves an archive that lacks nothing.
    func isFirstMember(_ cut: Int) -> Bool {
        let first = make(Array(text[..<part])).count
        return cut >= first && cut <= first + between.count
    }
}
