/// Lines of a small file that nobody vouches for.
struct MetadataText {
    let bytes: [UInt8]

    private static let longestLine = 8192

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    init(_ text: String) { bytes = Array(text.utf8) }

    /// Whether it holds bytes that no text has.
    var isBinary: Bool { bytes.contains(0) }

    /// Its lines without blank ones, printable, without spaces at their ends.
    func forEachLine(_ body: (String) -> Void) {
        for line in bytes.split(whereSeparator: { $0 == 10 || $0 == 13 }) {
            let text = Self.clean(line.prefix(Self.longestLine))
            if !text.isEmpty { body(text) }
        }
    }

    /// The first line; empty if there is none.
    var firstLine: String {
        for line in bytes.split(whereSeparator: { $0 == 10 || $0 == 13 }).prefix(64) {
            let text = Self.clean(line.prefix(Self.longestLine))
            if !text.isEmpty { return text }
        }
        return ""
    }

    /// Without control characters, which would reach a terminal, and without spaces at the ends.
    static func clean(_ bytes: some Sequence<UInt8>) -> String {
        var text = String.UnicodeScalarView()
        for scalar in String(decoding: Array(bytes), as: UTF8.self).unicodeScalars {
            if scalar == "\t" {
                text.append(" ")
            } else {
                text.append(scalar.value < 32 || (127...159).contains(scalar.value) ? "?" : scalar)
            }
        }
        var slice = text[...]
        while slice.first == " " { slice.removeFirst() }
        while slice.last == " " { slice.removeLast() }
        return String(slice)
    }

    /// A count; `nil` if it is none, or more than anything can have been counted.
    static func count(_ text: some StringProtocol) -> Int64? {
        guard let value = Int64(text), (0..<RecordingMetadata.largestCount).contains(value) else { return nil }
        return value
    }
}
