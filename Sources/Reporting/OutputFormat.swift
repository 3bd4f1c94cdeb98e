import Foundation
import GRDB

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
    private let write: (Data) throws -> Void
    private var buffer = Data()
    /// The first write that failed, to be thrown at the end.
    private var failure: (any Error)?

    /// Output that hands its bytes to `write`.
    public init(_ write: @escaping (Data) throws -> Void) { self.write = write }

    /// Output to an open file.
    public convenience init(_ file: FileHandle) {
        self.init { try file.write(contentsOf: $0) }
    }

    /// Writes a line.
    public func print(_ text: String, terminator: String = "\n") {
        buffer.append(contentsOf: text.utf8)
        buffer.append(contentsOf: terminator.utf8)
        if buffer.count >= 1 << 16 { flush() }
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

extension DatabaseValue {
    /// As people read it; `nil` for NULL.
    var text: String? {
        switch storage {
        case .null: nil
        case .int64(let value): String(value)
        case .double(let value):
            value == value.rounded() && abs(value) < 1e15 ? String(format: "%.1f", value) : "\(value)"
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
