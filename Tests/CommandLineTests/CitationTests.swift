import Foundation
import Testing

/// What comments, SQL, tools and pages refer to is in the repository: sections of `docs/model.md`, numbers of
/// `docs/definitions.md`, headings, files.
@Suite struct CitationTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Every text of the repository that people write, by its path.
    private static let texts: [String: String] = {
        var texts: [String: String] = [:]
        for top in [".ci", "Package.swift", "README.md", "Sources", "Tests", "schema", "docs", "tools", "traces"] {
            let place = root.appending(path: top)
            let below = FileManager.default.enumerator(
                at: place, includingPropertiesForKeys: nil, options: [.skipsHiddenFiles])
            for url in [place] + (below?.compactMap { $0 as? URL } ?? [])
            where ["swift", "sql", "md", "py", ""].contains(url.pathExtension) {
                let path = String(url.standardizedFileURL.path.dropFirst(root.standardizedFileURL.path.count + 1))
                if let text = try? String(contentsOf: url, encoding: .utf8) { texts[path] = text }
            }
        }
        return texts
    }()

    private static let citations = texts.mapValues { Citation.all(in: $0) }
    private static let pages = texts.filter { $0.key.hasPrefix("docs/") }.mapValues { CitedPage($0) }

    /// What is wrong with a citation; `nil` if nothing is.
    private static func fault(of citation: Citation) -> String? {
        switch citation.target {
        case .model(let section, let item):
            guard let numbers = pages["docs/model.md"]?.sections[section] else {
                return "docs/model.md has no section \(section)"
            }
            return item.flatMap {
                numbers.contains($0) ? nil : "section \(section) of docs/model.md has no number \($0)"
            }
        case .definition(let number):
            let isThere = pages["docs/definitions.md"]?.numbers.contains(number) == true
            return isThere ? nil : "docs/definitions.md has no number \(number)"
        case .page(let name, let heading):
            guard let page = pages["docs/\(name)"] else { return "docs/ has no \(name)" }
            return heading.flatMap { page.headings.contains($0) ? nil : "docs/\(name) has no heading '\($0)'" }
        case .path(let path):
            // Folders of the kernel's that are called as ours are.
            if path.hasPrefix("tools" + "/perf/") { return nil }
            return FileManager.default.fileExists(atPath: root.appending(path: path).path)
                ? nil : "\(path) is not there"
        case .nothing(let text): return "\(text) is no definition: these are cited as number 4"
        }
    }

    @Test func everythingCitedIsThere() {
        for (path, citations) in Self.citations.sorted(by: { $0.key < $1.key }) {
            for citation in citations {
                if let fault = Self.fault(of: citation) {
                    Issue.record("\(path):\(citation.line): \(citation): \(fault)")
                }
            }
        }
    }

    /// The test above looks at something: each kind of citation, in each kind of file.
    @Test func citationsAreFound() {
        func count(_ isMeant: (Citation.Target) -> Bool) -> Int {
            Self.citations.values.joined().count { isMeant($0.target) }
        }
        #expect(count { if case .model = $0 { true } else { false } } > 150)
        #expect(count { if case .model(_, .some) = $0 { true } else { false } } > 20)
        #expect(count { if case .definition = $0 { true } else { false } } > 100)
        #expect(count { if case .page(_, .some) = $0 { true } else { false } } > 5)
        #expect(count { if case .path = $0 { true } else { false } } > 50)
        for (folder, end) in [
            ("Sources", ".swift"), ("Tests", ".swift"), ("schema", ".sql"), ("docs", ".md"), ("tools", ""),
        ] {
            let found = Self.citations.contains {
                $0.key.hasPrefix(folder + "/") && $0.key.hasSuffix(end) && !$0.value.isEmpty
            }
            #expect(found, "\(folder)")
        }
    }

    struct Sample: Sendable, CustomTestStringConvertible {
        var text: String
        var targets: [Citation.Target]
        var testDescription: String { text }
    }

    /// Spelled so that the tests above, which read this file too, do not take them for citations.
    static let samples: [Sample] = {
        let (model, design, sign) = ("model" + ".md", "design", "\u{a7}")
        let (page, tool) = ("nopage" + ".md", "tools" + "/nothing")
        return [
            Sample(
                text: "/// As 4.15 does it (\(model) \(sign)1.5, \(sign)1.6).",
                targets: [.model(section: "1.5", item: nil), .model(section: "1.6", item: nil)]),
            Sample(
                text: "    // broken here (\(model)\n    // \(sign)2.4 rule 4: 12 ms)",
                targets: [.model(section: "2.4", item: nil), .model(section: "2.4", item: 4)]),
            Sample(
                text: "\(model) \(sign)9 items 1 to 3, 25",
                targets: [.model(section: "9", item: nil)] + [1, 2, 3, 25].map { .model(section: "9", item: $0) }),
            Sample(
                text: "\(model) \(sign)4.1-4.3",
                targets: [.model(section: "4.1", item: nil), .model(section: "4.3", item: nil)]),
            Sample(text: "[the page](\(model)) \(sign)77", targets: [.model(section: "77", item: nil)]),
            Sample(
                text: "x  -- closed (\(design) \(sign)4 10-12, 15)",
                targets: [10, 11, 12, 15].map { .definition($0) }),
            Sample(text: "(\(design) \(sign)7)", targets: [.nothing("\(design) \(sign)7)")]),
            Sample(text: "# definition" + " 99", targets: [.definition(99)]),
            Sample(text: "(\(page), Some heading)", targets: [.page(page, heading: "Some heading")]),
            Sample(text: "run \(tool) --help", targets: [.path(tool)]),
            Sample(text: "iova - 4 of the design, to items 3 and rules", targets: []),
        ]
    }()

    @Test(arguments: samples) func isRead(sample: Sample) {
        #expect(Citation.all(in: sample.text).map(\.target) == sample.targets)
    }

    @Test func whatIsNotThereIsAFault() {
        for target in Self.samples.flatMap(\.targets) {
            let isMadeUp =
                switch target {
                case .model(let section, _): section == "77"
                case .definition(let number): number == 99
                case .page, .path, .nothing: true
                }
            #expect((Self.fault(of: Citation(target: target, line: 1)) != nil) == isMadeUp, "\(target)")
        }
    }
}
