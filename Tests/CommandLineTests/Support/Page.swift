import Foundation
import FoundationXML

/// A page as a parser of XML sees it, independent of the writer under test.
final class Page: NSObject, XMLParserDelegate {
    struct Row {
        var head = ""
        /// `data-value` of its numbers; `nil` for missing ones.
        var values: [Double?] = []
    }

    struct Table {
        var caption = ""
        var rows: [Row] = []
    }

    let source: String
    private(set) var elements: [String] = []
    private(set) var attributeNames: Set<String> = []
    private(set) var ids: [String] = []
    private(set) var links: [String] = []
    private(set) var tables: [Table] = []
    /// All text, without style sheets.
    private(set) var text = ""
    /// What elements of a class hold, in order.
    private(set) var texts: [String: [String]] = [:]
    private var open: [String] = []
    private var openClasses: [[String]] = []

    /// - Returns: `nil` if it is not well-formed.
    init?(_ source: String) {
        self.source = source
        super.init()
        let parser = XMLParser(data: Data(source.utf8))
        parser.delegate = self
        guard parser.parse() else { return nil }
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        elements.append(name)
        open.append(name)
        openClasses.append((attributes["class"] ?? "").split(separator: " ").map(String.init))
        for own in openClasses.last ?? [] { texts[own, default: []].append("") }
        attributeNames.formUnion(attributes.keys)
        if let id = attributes["id"] { ids.append(id) }
        if let link = attributes["href"] { links.append(link) }
        switch name {
        case "table": tables.append(Table())
        case "tr" where open.contains("tbody"): edit { $0.rows.append(Row()) }
        case "td", "th":
            guard open.contains("tbody") else { break }
            let classes = (attributes["class"] ?? "").split(separator: " ")
            if classes.contains("n") { editRow { $0.values.append(attributes["data-value"].flatMap(Double.init)) } }
        default: break
        }
    }

    func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
        open.removeLast()
        openClasses.removeLast()
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) {
        if open.last != "style" { text += string }
        for own in openClasses.joined() {
            if let last = texts[own]?.indices.last { texts[own]?[last] += string }
        }
        if open.last == "caption" { edit { $0.caption += string } }
        if open.last == "th", open.contains("tbody") { editRow { $0.head += string } }
    }

    private func edit(_ body: (inout Table) -> Void) {
        if !tables.isEmpty { body(&tables[tables.count - 1]) }
    }

    private func editRow(_ body: (inout Row) -> Void) {
        edit { table in if !table.rows.isEmpty { body(&table.rows[table.rows.count - 1]) } }
    }
}
