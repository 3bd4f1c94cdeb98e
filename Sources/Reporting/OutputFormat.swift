import Foundation
import GRDB
import Glibc

/// How rows are written.
public enum OutputFormat: String, CaseIterable, Sendable {
    /// Aligned columns, to be read.
    case table
    /// An array of objects.
    case json
    /// Comma-separated, RFC 4180.
    case csv
    /// A table in Markdown.
    case markdown
}

/// Writes the rows of one result, one after the other.
protocol RowRenderer {
    /// Begins with the columns' names.
    mutating func begin(columns: [String])
    mutating func row(_ values: [DatabaseValue])
    mutating func end()
}

extension OutputFormat {
    func renderer(_ output: TextOutput) -> any RowRenderer {
        switch self {
        case .table: TableRenderer(output, style: .plain)
        case .markdown: TableRenderer(output, style: .markdown)
        case .json: JSONRenderer(output)
        case .csv: CSVRenderer(output)
        }
    }
}

/// Where text goes: standard output or a file, through a buffer.
public final class TextOutput {
    /// Columns of the terminal that it goes to, if it goes to one.
    let width: Int?
    /// Whether headings are set off by the terminal's means.
    let isStyled: Bool
    /// Whether a terminal reads it, which takes control characters for commands.
    let isTerminal: Bool
    private let write: (Data) throws -> Void
    private var buffer = Data()
    /// The first write that failed, to be thrown at the end.
    private var failure: (any Error)?

    /// Output that hands its bytes to `write`.
    public init(
        width: Int? = nil, isStyled: Bool = false, isTerminal: Bool = false, _ write: @escaping (Data) throws -> Void
    ) {
        self.width = width
        self.isStyled = isStyled
        self.isTerminal = isTerminal
        self.write = write
    }

    /// Output to standard output.
    public static var standard: TextOutput {
        TextOutput(
            width: Terminal.width(of: STDOUT_FILENO), isStyled: Terminal.isStyled(STDOUT_FILENO),
            isTerminal: isatty(STDOUT_FILENO) == 1
        ) {
            try write($0, to: STDOUT_FILENO, named: "standard output")
        }
    }

    /// Output to a file, which is opened and emptied with the first bytes: what fails before leaves it as it was.
    public static func file(_ path: String) -> TextOutput {
        let file = LazyFile(path)
        return TextOutput { try write($0, to: file.descriptor(), named: path) }
    }

    private static func write(_ data: Data, to descriptor: Int32, named name: String) throws {
        var left = data[...]
        while !left.isEmpty {
            let count = left.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                left = left.dropFirst(count)
            } else if errno != EINTR {
                throw OutputError(name: name, code: errno)
            }
        }
    }

    /// Writes a line.
    public func print(_ text: String, terminator: String = "\n") {
        buffer.append(contentsOf: text.utf8)
        buffer.append(contentsOf: terminator.utf8)
        if buffer.count >= 1 << 16 { flush() }
    }

    /// Writes a line for people, in which names out of a log do no harm to their terminal.
    ///
    /// - Parameter indent: how far it is moved in where it goes on in another line of a narrow terminal.
    public func say(_ text: String, indent: Int = 0) {
        guard let width, text.count > width else {
            print(text.onOneLine)
            return
        }
        var line = ""
        var isEmpty = true
        for word in text.onOneLine.split(separator: " ", omittingEmptySubsequences: false) {
            if !isEmpty, line.count + 1 + word.count > width {
                print(line)
                line = String(repeating: " ", count: indent) + word
            } else {
                line += (line.isEmpty && isEmpty ? "" : " ") + word
            }
            isEmpty = false
        }
        print(line)
    }

    private func flush() {
        guard failure == nil else { return }
        do { try write(buffer) } catch { failure = error }
        buffer.removeAll(keepingCapacity: true)
    }

    /// Writes what is left, and throws if anything could not be written.
    public func finish() throws {
        flush()
        if let failure { throw failure }
    }
}

/// A file that is opened when it is first needed. Unlike `FileManager.createFile` this writes into what is there: a
/// link, a pipe or a device stays one.
private final class LazyFile {
    private let path: String
    private var opened: Int32?

    init(_ path: String) { self.path = path }

    deinit { if let opened { close(opened) } }

    func descriptor() throws -> Int32 {
        if let opened { return opened }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw OutputError(name: path, code: errno) }
        opened = descriptor
        return descriptor
    }
}

/// Output that could not be written: `errno`.
public struct OutputError: Error, CustomStringConvertible {
    /// The file, or standard output.
    public let name: String
    /// `errno`
    public let code: Int32

    /// What could not be written, and why.
    public var message: String { "\(name): cannot be written: \(String(cString: strerror(code)))" }
    /// The same as ``message``.
    public var description: String { message }
}

extension DatabaseValue {
    /// As people read it; `nil` for NULL.
    var text: String? {
        switch storage {
        case .null: nil
        case .int64(let value): String(value)
        case .double(let value):
            value == value.rounded() && abs(value) < 1e15 ? String(format: "%.1f", value) : value.text
        case .string(let value): value
        case .blob(let data): "x'" + data.map { String(format: "%02x", $0) }.joined() + "'"
        }
    }

    var isNumber: Bool {
        switch storage {
        case .int64, .double: true
        default: false
        }
    }
}

extension Double {
    /// In at most 15 significant digits, as sqlite3 prints it: the 17 that tell each number from its neighbours show how it was
    /// added up, 641.5471349999999.
    var text: String {
        let exact = "\(self)"
        // Sign, point and 15 digits; an exponent makes it longer and is looked at for nothing.
        guard exact.utf8.count > 16, isFinite, let rounded = Double(String(format: "%.15g", self)) else { return exact }
        return "\(rounded)"
    }
}
