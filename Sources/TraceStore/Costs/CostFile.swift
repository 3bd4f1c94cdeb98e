import Foundation
import GRDB
import Glibc
import Schema

/// Constants of the cost model, as a text: one a line, `name low typical high evidence source`, `#` begins a comment.
///
/// `schema/costs/default.txt` is the one that is built in. Any other may hold only some constants.
public struct CostFile: Hashable, Sendable {
    /// No cost file is longer than this.
    public static let sizeLimit = 1 << 16
    /// No step takes longer than this, in ns.
    public static let longest = 1_000_000_000.0
    /// What stands for the name of the built-in file.
    public static let builtInName = "built in"

    /// In the order of the file, each name once.
    public private(set) var constants: [CostConstant] = []

    /// The file that is built in, with its comments.
    public static var builtInText: String { Schema.defaultCosts }

    /// The constants that are built in.
    public static func builtIn() throws(CostFileError) -> CostFile {
        try CostFile(Data(Schema.defaultCosts.utf8), name: builtInName)
    }

    /// Reads a file. It must be an ordinary one: a pipe could keep the reader waiting for ever.
    public init(path: String) throws(CostFileError) {
        func mistake(_ reason: String) -> CostFileError { CostFileError(file: path, line: nil, reason: reason) }
        var status = stat()
        guard stat(path, &status) == 0 else { throw mistake("cannot be read: \(String(cString: strerror(errno)))") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw mistake("is no ordinary file; name one that holds constants")
        }
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw mistake("cannot be read: check that it may be read")
        }
        defer { try? file.close() }
        guard let data = try? file.read(upToCount: Self.sizeLimit + 1) else {
            // Of an empty file there is nothing to read.
            guard status.st_size == 0 else { throw mistake("cannot be read: check the disk that it is on") }
            try self.init(Data(), name: path)
            return
        }
        try self.init(data, name: path)
    }

    /// Understands the bytes of a file.
    ///
    /// - Parameter name: what errors call the file.
    public init(_ data: Data, name: String) throws(CostFileError) {
        guard data.count <= Self.sizeLimit else {
            throw CostFileError(
                file: name, line: nil,
                reason: "is longer than \(Self.sizeLimit) bytes, so it is no cost file; name another one")
        }
        guard let text = String(validating: data, as: UTF8.self), !text.contains("\0") else {
            throw CostFileError(
                file: name, line: nil, reason: "is no text in UTF-8, so it is no cost file; name another one")
        }
        var lines: [CostConstant.Name: Int] = [:]
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: Self.isLineEnd).enumerated() {
            guard let constant = try Self.constant(line, number: index + 1, name) else { continue }
            if let first = lines.updateValue(index + 1, forKey: constant.name) {
                throw CostFileError(
                    file: name, line: index + 1,
                    reason: "\(constant.name.rawValue) stands in line \(first) already; delete one of the two")
            }
            constants.append(constant)
        }
        if constants.isEmpty {
            throw CostFileError(
                file: name, line: nil, reason: "holds no constant; \(Self.format)")
        }
    }

    // MARK: - Lines

    private static let format =
        "a line is: name low typical high evidence source, such as "
        + "'sync 300 700 1000 measured my machine'"

    /// The constant of a line; `nil` if there is none in it.
    private static func constant(
        _ line: Substring, number: Int, _ file: String
    ) throws(CostFileError) -> CostConstant? {
        func mistake(_ reason: String) -> CostFileError { CostFileError(file: file, line: number, reason: reason) }
        let words = line.split(maxSplits: 5, whereSeparator: isSpace)
        guard let first = words.first, !first.hasPrefix("#") else { return nil }
        guard let name = CostConstant.Name(rawValue: String(first)) else {
            let known = CostConstant.Name.allCases.map(\.rawValue).joined(separator: ", ")
            throw mistake("no constant is called '\(first.prefix(40))'; there are: \(known)")
        }
        guard words.count == 6, let source = words.last.map(trimmed) else {
            throw mistake("\(first) has \(words.count) of 6 fields; \(format)")
        }
        guard !source.isEmpty, !source.hasPrefix("#") else {
            throw mistake("\(first) has no source; write at the end of the line who says so")
        }
        guard !source.unicodeScalars.contains(where: isControl) else {
            throw mistake("the source of \(first) holds control characters; write it in plain text")
        }
        var numbers: [Double] = []
        for word in words[1...3] {
            guard let number = nanoseconds(word) else {
                throw mistake(
                    "'\(word.prefix(40))' is no time for \(first); give nanoseconds from 0 to 1000000000, such as 700 or 1.3"
                )
            }
            numbers.append(number)
        }
        let (low, typical, high) = (numbers[0], numbers[1], numbers[2])
        guard low <= typical, typical <= high else {
            throw mistake(
                "\(first) has \(words[1]), \(words[2]), \(words[3]), which do not rise; give low, typical and high in this order"
            )
        }
        guard let evidence = CostConstant.Evidence(rawValue: String(words[4])) else {
            let known = CostConstant.Evidence.allCases.map(\.rawValue).joined(separator: ", ")
            throw mistake("'\(words[4].prefix(40))' is no evidence for \(first); give one of: \(known)")
        }
        return CostConstant(
            name, low: low, typical: typical, high: high, evidence: evidence, source: source, file: file)
    }

    private static func isLineEnd(_ character: Character) -> Bool { character == "\n" || character == "\r\n" }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 32 && scalar != "\t" || (127...159).contains(scalar.value)
    }

    private static func isSpace(_ character: Character) -> Bool { character == " " || character == "\t" }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop(while: isSpace)
        while let last = text.last, isSpace(last) { text.removeLast() }
        return String(text)
    }

    /// Digits with at most one point. `Double` alone would also take `inf`, `nan`, `0x1p9` and `1e300`.
    private static func nanoseconds(_ word: Substring) -> Double? {
        let digits = word.utf8.filter { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }.count
        let points = word.utf8.filter { $0 == UInt8(ascii: ".") }.count
        guard digits > 0, digits <= 20, points <= 1, digits + points == word.utf8.count, word.first != ".",
            word.last != ".", let number = Double(word), number <= longest
        else { return nil }
        return number
    }

    // MARK: - Writing

    /// The constants as a table that ``init(_:name:)`` reads. A source may come from the name of a log: it is kept in one line.
    public var text: String {
        constants.map { constant in
            let numbers = [constant.low, constant.typical, constant.high].map { Self.text(of: $0).leftPadded(to: 10) }
            let source = constant.source.unicodeScalars.map { Self.isControl($0) ? " " : String($0) }.joined()
            return constant.name.rawValue.padded(to: 12) + numbers.joined() + "  "
                + constant.evidence.rawValue.padded(to: 10) + "  " + source + "\n"
        }.joined()
    }

    private static func text(of number: Double) -> String {
        number == number.rounded() ? String(format: "%.0f", number) : "\(number)"
    }

    /// What reports take for their parameter `:cost`: an array of objects.
    public func json() throws -> String {
        String(decoding: try JSONEncoder().encode(constants), as: UTF8.self)
    }

    /// Replaces the constants of these names, or adds them.
    public mutating func replace(with others: [CostConstant]) {
        for other in others {
            if let index = constants.firstIndex(where: { $0.name == other.name }) {
                constants[index] = other
            } else {
                constants.append(other)
            }
        }
    }

    /// Fills table `cost`.
    func store(in database: Database) throws {
        for constant in constants {
            try database.execute(
                sql: """
                    INSERT INTO cost (name, low_ns, typical_ns, high_ns, evidence, source, meaning, part, file)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    constant.name.rawValue, constant.low, constant.typical, constant.high, constant.evidence.rawValue,
                    constant.source, constant.name.meaning, constant.name.part, constant.file,
                ])
        }
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(width - count, 0)) }
    fileprivate func leftPadded(to width: Int) -> String {
        String(repeating: " ", count: max(width - count, 1)) + self
    }
}

/// A cost file that cannot be used.
public struct CostFileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file, as it was named.
    public var file: String
    /// The line, from 1; `nil` if it is about the whole file.
    public var line: Int?
    /// What is wrong, and what to do.
    public var reason: String

    /// Place and reason.
    public var description: String { (line.map { "\(file):\($0)" } ?? file) + ": " + reason }
}
