import ArgumentParser
import Foundation

/// Command lines that begin with no command, and of which the parser, which takes their first word for a log, would say
/// something beside the point.
enum FirstWord {
    private static var commands: [String] { IOMMUTrace.configuration.subcommands.map { $0._commandName } + ["help"] }

    /// What is wrong and what to do; `nil` if the parser may have its say.
    static func mistake(in arguments: [String]) -> String? {
        guard let first = arguments.first, first == "show" || !commands.contains(first),
            !arguments.contains(where: { ["-h", "--help", "--version"].contains($0) || $0.hasPrefix("---") })
        else { return nil }
        let isOption = first.hasPrefix("-") && first != "-"
        if isOption, let command = arguments.dropFirst().first(where: { commands.contains($0) && !exists($0) }) {
            return "options stand behind the command: iommu-trace \(command) … \(first)"
        }
        if !isOption, first != "show", !exists(first), let command = nearest(to: first) {
            let rest = arguments.dropFirst().map(\.quotedForShell)
            return "'\(first)' is neither a command nor a file; did you mean: "
                + (["iommu-trace", command] + rest).joined(separator: " ")
        }
        return databaseMistake(in: arguments)
    }

    /// A log by itself is looked at and forgotten.
    private static func databaseMistake(in arguments: [String]) -> String? {
        var words = arguments.first == "show" ? arguments.dropFirst() : arguments[...]
        guard let place = words.firstIndex(where: { $0 == "--db" || $0.hasPrefix("--db=") }) else { return nil }
        var file = String(words.remove(at: place).dropFirst(5))
        if file.isEmpty, words.indices.contains(place) { file = words.remove(at: place) }
        let log = words.first { !$0.hasPrefix("-") || $0 == "-" } ?? "LOG"
        let command = "iommu-trace import \(log.quotedForShell) --db \((file.isEmpty ? "FILE" : file).quotedForShell)"
        return "iommu-trace LOG keeps nothing, so --db means nothing to it; to keep the log: \(command)"
    }

    private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// The command that a word is at most two letters away from.
    static func nearest(to word: String) -> String? {
        commands.map { (name: $0, distance: distance(word, $0)) }
            .filter { $0.distance <= min(2, word.count / 2) }
            .min { $0.distance < $1.distance }?.name
    }

    /// How many letters must be added, left out or replaced.
    static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right)
        var row = Array(0...right.count)
        for (index, letter) in left.prefix(64).enumerated() {
            var next = [index + 1]
            for column in right.indices {
                next.append(min(row[column] + (letter == right[column] ? 0 : 1), row[column + 1] + 1, next[column] + 1))
            }
            row = next
        }
        return row[right.count]
    }
}
