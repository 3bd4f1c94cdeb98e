import Foundation
import FoundationXML
import TestSupport
import Testing

@testable import Reporting

/// Nothing that goes into a page as text comes out as anything else.
@Suite struct MarkupTests {
    /// What a parser finds in a piece of markup.
    private final class Reading: NSObject, XMLParserDelegate {
        var elements: [String] = []
        var attributes: [[String: String]] = []
        var text = ""

        init?(_ markup: Markup) {
            super.init()
            let parser = XMLParser(data: Data(markup.source.utf8))
            parser.delegate = self
            guard parser.parse() else { return nil }
        }

        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
            attributes: [String: String]
        ) {
            elements.append(name)
            self.attributes.append(attributes)
        }

        func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }
    }

    private static let pieces = [
        "<script>alert(1)</script>", "\"onload=\"x", "' onclick='", "&", "&lt;", "&#60;", "</title>", "<!--", "-->",
        "]]>",
        "\0", "\u{1b}[31m", "\u{7f}", "\u{85}", "\u{9b}", "\u{202e}", "\u{2066}", "\u{200b}", "\u{feff}", "\u{fffe}",
        "\u{ffff}",
        "\u{2028}", "\u{e0041}", "\u{1fffe}", "\r\n", "\t", "é", "漢", "👩‍👩‍👧", "e\u{301}", "plain", "javascript:", "`",
        "{{", "url(",
    ]

    private static func text(_ random: inout SeededGenerator) -> String {
        (0..<random.next() % 8).map { _ in pieces[Int(random.next() % UInt64(pieces.count))] }.joined()
    }

    @Test(arguments: 0..<300) func textStaysText(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let (inside, value) = (Self.text(&random), Self.text(&random))
        let markup = Markup.element("p", [Attribute("title", value)]) {
            Markup.element("b", text: inside)
            inside
        }
        let reading = try #require(Reading(markup))
        #expect(reading.elements == ["p", "b"])
        #expect(reading.text == inside.visible() + inside.visible())
        #expect(reading.attributes.first?["title"] == value.visible())
        #expect(reading.attributes.first?.count == 1)
    }

    /// What is shown holds no control, nothing that turns the direction of text, and nothing that is not seen.
    @Test(arguments: 0..<100) func nothingIsHidden(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let shown = Self.text(&random).visible()
        for scalar in shown.unicodeScalars {
            #expect(scalar.value >= 32 && !(127...159).contains(scalar.value))
            #expect(!scalar.properties.isBidiControl)
            #expect(!scalar.properties.isNoncharacterCodePoint)
            #expect(scalar.properties.generalCategory != .format)
        }
    }

    @Test func everyCharacter() throws {
        // The whole of Unicode, in pieces.
        let all = (UInt32(0)...0x10ffff).compactMap(Unicode.Scalar.init)
        for start in stride(from: 0, to: all.count, by: 300) {
            var text = ""
            text.unicodeScalars.append(contentsOf: all[start..<min(start + 300, all.count)])
            let shown = text.visible()
            let reading = try #require(
                Reading(.element("p", text: text)), "at \(start)")
            #expect(reading.elements == ["p"])
            #expect(reading.text == shown)
            #expect(shown.unicodeScalars.allSatisfy { $0.value >= 32 && !(127...159).contains($0.value) })
        }
    }

    @Test func longNamesAreCut() {
        let name = String(repeating: "n", count: 10_000)
        #expect(name.visible() == String(repeating: "n", count: 300) + "…")
        #expect(String(repeating: "é", count: 300).visible().unicodeScalars.count == 300)
    }

    @Test func plainTextIsAsItWas() {
        #expect("fio-271, 0000:00:07.0 queue=256,10ms é漢".visible() == "fio-271, 0000:00:07.0 queue=256,10ms é漢")
        #expect(Markup.text("a < b & c > \"d\" 'e'").source == "a &lt; b &amp; c &gt; &quot;d&quot; &#39;e&#39;")
        #expect(Markup.element("br").source == "<br/>")
        #expect(Markup.element("td").source == "<td></td>")
    }
}
