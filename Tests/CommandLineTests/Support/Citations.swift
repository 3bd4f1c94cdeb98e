import Foundation

/// A place in the project's own pages that a text refers to.
struct Citation: Hashable, CustomStringConvertible {
    enum Target: Hashable {
        /// A section of `docs/model.md`, and a number of the list in it.
        case model(section: String, item: Int?)
        /// A number of `docs/definitions.md`.
        case definition(Int)
        /// A page in `docs/`, and a heading of it.
        case page(String, heading: String?)
        /// A file or folder of the repository.
        case path(String)
        /// It looks like one of the above, but names nothing.
        case nothing(String)
    }

    var target: Target
    /// The line of the text, from 1.
    var line: Int

    var description: String {
        switch target {
        case .model(let section, let item): "model.md §\(section)" + (item.map { " item \($0)" } ?? "")
        case .definition(let number): "definition \(number)"
        case .page(let page, let heading): page + (heading.map { ", \($0)" } ?? "")
        case .path(let path): path
        case .nothing(let text): text
        }
    }

    /// All citations of a text, however its lines are broken and whatever its comments begin with.
    static func all(in text: String) -> [Citation] {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(content)
        return lines.indices.flatMap { index -> [Citation] in
            // A citation may go on in the next line, but it begins in this one.
            let line = lines[index]
            guard ["§", "/", ".md", "esign", "efinition"].contains(where: { line.contains($0) }) else { return [] }
            let joined = index + 1 < lines.count ? line + " " + lines[index + 1] : line
            return found(in: joined, before: joined.index(joined.startIndex, offsetBy: line.count))
                .map { Citation(target: $0, line: index + 1) }
        }
    }

    /// A line without its indentation and the marks of a comment.
    private static func content(_ line: Substring) -> String {
        let text = line.drop { $0 == " " || $0 == "\t" }
        let mark = ["///", "//", "--", "#", ">"].first { text.hasPrefix($0) } ?? ""
        return text.dropFirst(mark.count).trimmingCharacters(in: .whitespaces)
    }

    private static func found(in text: String, before end: String.Index) -> [Target] {
        var targets: [Target] = []
        func each(_ pattern: some RegexComponent, _ take: (Substring) -> Void) {
            for range in text.ranges(of: pattern) where range.lowerBound < end { take(text[range.lowerBound...]) }
        }
        if text.localizedCaseInsensitiveContains("model.md") {
            each(/[Mm]odel\.md\)? +§(?=\d)/) { targets += model($0.drop { $0 != "§" }) }
        }
        if text.localizedCaseInsensitiveContains("design §") {
            each(/[Dd]esign §(?=\d)/) { rest in
                let rest = rest.drop { $0 != "§" }
                guard rest.hasPrefix("§4 ") else {
                    targets.append(.nothing("design " + rest.prefix { $0 != " " }))
                    return
                }
                targets += numbers(rest.dropFirst(3)).map { .definition($0) }
            }
        }
        if text.localizedCaseInsensitiveContains("definition") {
            each(/\b[Dd]efinitions? (?=\d)/) { targets += numbers($0.drop { !$0.isNumber }).map { .definition($0) } }
        }
        for match in text.matches(of: /\b([a-z]+)\.md, ([A-Z][a-z]+(?: [a-z]+)*)/) where match.range.lowerBound < end {
            targets.append(.page("\(match.1).md", heading: String(match.2)))
        }
        let path = /(?:^|[^\w\/.])((?:docs|tools|schema|Sources|Tests|traces)\/[\w.+\/-]*\w)/
        for match in text.matches(of: path) where match.1.startIndex < end {
            targets.append(.path(String(match.1)))
        }
        return targets
    }

    /// `§2.3, §2.4 rule 4, §9 items 1 to 5, 25` after the page's name.
    private static func model(_ text: Substring) -> [Target] {
        let token = /(?<mark>§?)(?<number>\d+(?:\.\d+)?)|items?\b|rules?\b|and\b|to\b|,|;|-/
        var targets: [Target] = []
        var rest = text
        var section = ""
        var last: Int?
        var isRange = false
        while let match = rest.drop(while: { $0 == " " }).prefixMatch(of: token) {
            rest = rest[match.range.upperBound...]
            guard let number = match.output.number.map(String.init) else {
                isRange = ["to", "-"].contains(match.0)
                continue
            }
            if match.output.mark == "§" || number.contains(".") {
                section = number
                last = nil
                targets.append(.model(section: section, item: nil))
            } else if let item = Int(number) {
                let first = isRange ? (last.map { $0 &+ 1 } ?? item) : item
                targets += (min(first, item)...item).map { .model(section: section, item: $0) }
                last = item
            }
            isRange = false
        }
        return targets
    }

    /// `10-12, 15 and 16`.
    private static func numbers(_ text: Substring) -> [Int] {
        var numbers: [Int] = []
        var rest = text
        var isRange = false
        while let match = rest.drop(while: { $0 == " " }).prefixMatch(of: /\d+|and\b|to\b|,|-/) {
            rest = rest[match.range.upperBound...]
            if let number = Int(match.0) {
                let first = isRange ? (numbers.last.map { $0 &+ 1 } ?? number) : number
                numbers += min(first, number)...number
                isRange = false
            } else {
                isRange = ["to", "-"].contains(match.0)
            }
        }
        return numbers
    }
}

/// What a page of Markdown has that can be cited.
struct CitedPage {
    /// Headings as they stand, without their number.
    private(set) var headings: Set<String> = []
    /// Numbers of headings, such as `2.4`, with those of the list in the section.
    private(set) var sections: [String: Set<Int>] = [:]
    /// Numbers of all lists.
    private(set) var numbers: Set<Int> = []

    init(_ text: String) {
        var section = ""
        for line in text.split(separator: "\n") {
            if let heading = line.prefixMatch(of: /#+ +(?:(\d+(?:\.\d+)?)\.? +)?(.*)/) {
                headings.insert(String(heading.2))
                section = heading.1.map(String.init) ?? ""
                if !section.isEmpty { sections[section] = [] }
            } else if let item = line.prefixMatch(of: /(\d+)\.\s/), let number = Int(item.1) {
                numbers.insert(number)
                sections[section]?.insert(number)
            }
        }
    }
}
