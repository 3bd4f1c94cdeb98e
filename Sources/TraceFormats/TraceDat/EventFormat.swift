/// One event's `format` text, as it stands below `/sys/kernel/tracing/events` and in each recording: where the fields of
/// its records are.
struct EventFormat {
    struct Field {
        /// As declared, such as `__data_loc char[]`.
        var type: String
        var name: String
        /// Whether the declaration is `name[…]`.
        var isArray: Bool
        var offset: Int
        /// In bytes; 0 for what reaches to the record's end.
        var size: Int
        var isSigned: Bool
    }

    var system: String
    var name: String
    /// The `common_type` of its records.
    var id: UInt16
    /// Without the common ones.
    var fields: [Field] = []
    /// The text behind `print fmt:`.
    var printFormat: String = ""

    private static let mostFields = 128
    private static let longestName = 64
    private static let longestPrint = 4096

    /// Reads a text; `nil` if it is none of an event.
    ///
    /// - Parameter needsFields: whether anybody asks for the fields of such an event.
    init?(_ text: [UInt8], system: String, needsFields: (_ system: String, _ name: String, _ text: [UInt8]) -> Bool) {
        self.system = system
        name = ""
        var id: UInt16?
        var wantsFields: Bool?
        var rest = text[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: 10) ?? rest.endIndex
            let line = rest[rest.startIndex..<end].drop { $0 == 32 || $0 == 9 }
            rest = rest[min(end + 1, rest.endIndex)...]
            if line.starts(with: "name: ".utf8) {
                name = String(decoding: line.dropFirst(6).prefix(Self.longestName), as: UTF8.self)
            } else if line.starts(with: "ID: ".utf8) {
                id = UInt16(String(decoding: line.dropFirst(4), as: UTF8.self))
            } else if line.starts(with: "field:".utf8) {
                if wantsFields == nil { wantsFields = needsFields(system, name, text) }
                guard wantsFields == true, fields.count < Self.mostFields else { continue }
                if let field = Field(line.dropFirst(6)), !field.name.hasPrefix("common_") { fields.append(field) }
            } else if line.starts(with: "print fmt: ".utf8), wantsFields == true {
                printFormat = String(decoding: line.dropFirst(11).prefix(Self.longestPrint), as: UTF8.self)
            }
        }
        guard let id, !name.isEmpty else { return nil }
        self.id = id
    }

    func field(_ name: String) -> Field? { fields.first { $0.name == name } }

    /// Whether this is a probe on another event, which prints its first argument by name where tracepoints have a text of
    /// their own.
    var isEventProbe: Bool { fields.first.map { printFormat.hasPrefix("\" \($0.name)=") } ?? false }
}

extension EventFormat.Field {
    /// Reads `unsigned long long iova;	offset:8;	size:8;	signed:0;`
    init?(_ line: ArraySlice<UInt8>) {
        guard line.count < 256 else { return nil }
        let parts = line.split(separator: UInt8(ascii: ";")).map { part in
            String(decoding: part.drop { $0 == 32 || $0 == 9 }, as: UTF8.self)
        }
        guard let declaration = parts.first else { return nil }
        var declared = declaration[...]
        isArray = declared.hasSuffix("]")
        if isArray, let bracket = declared.lastIndex(of: "[") { declared = declared[..<bracket] }
        guard let space = declared.lastIndex(of: " ") else { return nil }
        type = String(declaration[..<space])
        name = String(declared[declared.index(after: space)...])
        var offset: UInt64?
        var size: UInt64?
        isSigned = false
        for part in parts.dropFirst() {
            if part.hasPrefix("offset:") { offset = UInt64(part.dropFirst(7)) }
            if part.hasPrefix("size:") { size = UInt64(part.dropFirst(5)) }
            if part == "signed:1" { isSigned = true }
        }
        guard let offset, let size, offset < 1 << 20, size < 1 << 20 else { return nil }
        self.offset = Int(offset)
        self.size = Int(size)
    }

    /// Whether the record holds the place of a text in it, instead of the value itself.
    var isDataLocation: Bool { type.hasPrefix("__data_loc") }
    /// The same, counted from the end of the field.
    var isRelativeLocation: Bool { type.hasPrefix("__rel_loc") }
    /// Whether it is an array of characters inside the record.
    var isCharacters: Bool { isArray && (type == "char" || type.hasSuffix(" char")) && !isDataLocation }
}
