/// A piece of HTML or SVG. Whatever a log holds goes through ``text(_:)`` or an ``Attribute``'s value, and both escape; names of
/// elements and attributes, classes and styles are literals of this program. There is no other way to make one, so nothing from
/// a log can become markup. What comes out is well-formed XML and HTML5 at once.
public struct Markup: Sendable {
    /// As it is written.
    public private(set) var source: String

    private init(source: String) { self.source = source }

    /// Nothing.
    public static let empty = Markup(source: "")

    /// Text, in which nothing is a command to a reader's browser or eye (``Swift/String/visible(atMost:)``).
    public static func text(_ text: String) -> Markup { Markup(source: escaped(text.visible())) }

    /// Text of this program, in which names of a log may stand: longer than a name.
    static func prose(_ text: String) -> Markup {
        Markup(source: escaped(text.visible(atMost: 4 * String.longestShown)))
    }

    /// An element with what it holds.
    public static func element(_ name: StaticString, _ attributes: [Attribute] = [], _ content: Markup = .empty)
        -> Markup
    {
        let start = start(name, attributes)
        return content.source.isEmpty && isVoid(name)
            ? Markup(source: start + "/>") : Markup(source: "\(start)>\(content.source)</\(name)>")
    }

    /// An element with a text.
    public static func element(_ name: StaticString, _ attributes: [Attribute] = [], text: String) -> Markup {
        element(name, attributes, .text(text))
    }

    /// An element whose parts the closure lists.
    public static func element(
        _ name: StaticString, _ attributes: [Attribute] = [], @MarkupBuilder _ content: () throws -> Markup
    ) rethrows -> Markup {
        element(name, attributes, try content())
    }

    /// Style sheets, literals of this program.
    static func style(_ sheets: StaticString...) -> Markup {
        Markup(source: "<style>\(sheets.map { "\($0)" }.joined())</style>")
    }

    /// The line before an HTML document's first element.
    static let doctype = Markup(source: "<!DOCTYPE html>\n")

    /// A line feed between elements, for people who look at the source.
    static let newLine = Markup(source: "\n")

    /// Both, one after the other.
    public static func + (left: Markup, right: Markup) -> Markup { Markup(source: left.source + right.source) }

    /// Puts another one behind.
    public static func += (left: inout Markup, right: Markup) { left.source += right.source }

    private static func start(_ name: StaticString, _ attributes: [Attribute]) -> String {
        var start = "<\(name)"
        for attribute in attributes { start += " \(attribute.name)=\"\(escaped(attribute.value))\"" }
        return start
    }

    /// Elements that HTML writes without an end. All others get one, empty or not: HTML takes no notice of `/>`.
    private static func isVoid(_ name: StaticString) -> Bool {
        ["meta", "link", "br", "hr", "rect", "line", "path", "circle", "polygon", "col"].contains("\(name)")
    }

    private static func escaped(_ text: String) -> String {
        // Most texts need nothing.
        guard text.utf8.contains(where: { [0x26, 0x3c, 0x3e, 0x22, 0x27].contains($0) }) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

/// A name and what it stands for. The name is a literal.
public struct Attribute: Sendable {
    /// As it is written.
    let name: String
    /// What it stands for, not yet escaped.
    let value: String

    /// An attribute whose value may be anything.
    public init(_ name: StaticString, _ value: String) {
        self.name = "\(name)"
        self.value = value.visible()
    }

    /// An attribute whose value is a number, such as a coordinate.
    init(_ name: StaticString, _ value: Double) {
        self.name = "\(name)"
        self.value = value.coordinate
    }

    /// `class`
    static func `class`(_ names: String) -> Attribute { Attribute("class", names) }

    /// `id`, out of this program's own words and numbers.
    static func id(_ anchor: Anchor) -> Attribute { Attribute("id", anchor.name) }

    /// A link to a place in the same page: no address ever comes from a log.
    static func link(to anchor: Anchor) -> Attribute { Attribute("href", "#" + anchor.name) }
}

/// A place in the page, by a name that this program gives.
struct Anchor: Hashable {
    let name: String

    init(_ name: StaticString) { self.name = "\(name)" }

    private init(name: String) { self.name = name }

    /// A place that belongs to this one.
    func part(_ part: StaticString) -> Anchor { Anchor(name: "\(name)-\(part)") }
}

/// Lists the parts of an element.
@resultBuilder
public enum MarkupBuilder {
    /// Text, which is escaped.
    public static func buildExpression(_ text: String) -> Markup { .text(text) }
    /// A part.
    public static func buildExpression(_ markup: Markup) -> Markup { markup }
    /// A part that may be missing.
    public static func buildExpression(_ markup: Markup?) -> Markup { markup ?? .empty }
    /// Parts in a row.
    public static func buildBlock(_ parts: Markup...) -> Markup { buildArray(parts) }
    /// A part under a condition.
    public static func buildOptional(_ part: Markup?) -> Markup { part ?? .empty }
    /// One of two.
    public static func buildEither(first: Markup) -> Markup { first }
    /// The other one.
    public static func buildEither(second: Markup) -> Markup { second }
    /// Parts of a loop.
    public static func buildArray(_ parts: [Markup]) -> Markup { parts.reduce(into: .empty) { $0 += $1 } }
}

extension String {
    /// How much of a name is shown: the longest that is a name at all is shorter.
    static let longestShown = 300

    /// The text with a sign for each character that would be seen as something else or not at all: controls, which also are no
    /// XML, what turns the direction of text around, and what has no width. What is too long ends in an ellipsis.
    func visible(atMost longest: Int = longestShown) -> String {
        // Printable ASCII of a decent length is as it should be.
        if utf8.count <= longest, utf8.allSatisfy({ (32...126).contains($0) }) { return self }
        var result = ""
        var count = 0
        for scalar in unicodeScalars {
            if count >= longest {
                result += "…"
                break
            }
            count += 1
            if let sign = scalar.sign { result += sign } else { result.unicodeScalars.append(scalar) }
        }
        return result
    }
}

extension Unicode.Scalar {
    /// What stands for a character that is not shown as it is; `nil` for all others.
    fileprivate var sign: String? {
        switch value {
        case 0..<0x20: return Unicode.Scalar(0x2400 + value).map(String.init)
        case 0x7f: return "\u{2421}"
        case 0xfffe, 0xffff: return "\u{fffd}"
        case 0x80...0x9f, 0xad, 0x61c, 0x180e, 0x200b...0x200f, 0x2028...0x202e, 0x2060...0x206f, 0xfeff,
            0xfff9...0xfffb,
            0xe0000...0xe0fff:
            return "⟨U+\(String(value, radix: 16, uppercase: true))⟩"
        default: return value & 0xfffe == 0xfffe ? "\u{fffd}" : nil
        }
    }
}
