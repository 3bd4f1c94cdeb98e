import Foundation

/// Writes ftrace text from a shorthand in which a test shows only what it is about.
public enum FtraceText {
    /// Expands lines of `cpu task µs event: text` to lines as the kernel prints them, at 100 s plus that many µs.
    ///
    /// A task is a thread id; the name is made up from it. Lines that begin with `#` or `CPU:` stay as they are, empty
    /// ones and the indentation go.
    public static func expand(_ shorthand: String) -> String {
        shorthand.split(separator: "\n").map { line -> String in
            let line = line.trimmingCharacters(in: .whitespaces)
            if line.isEmpty || line.hasPrefix("#") || line.hasPrefix("CPU:") { return line }
            let parts = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: true).map(String.init)
            guard parts.count == 4, let cpu = Int(parts[0]), let task = Int(parts[1]), let time = Int(parts[2]) else {
                return line
            }
            return Self.line(cpu: cpu, task: task, microseconds: time, parts[3])
        }.filter { !$0.isEmpty }.joined(separator: "\n") + "\n"
    }

    /// One line as the kernel prints it.
    public static func line(cpu: Int, task: Int, microseconds: Int, _ event: String) -> String {
        let comm = task == 0 ? "<idle>" : "task\(task)"
        let left = String(repeating: " ", count: max(16 - comm.count, 0)) + comm
        let time = String(format: "%5d.%06d", 100 + microseconds / 1_000_000, microseconds % 1_000_000)
        return left + "-" + "\(task)".padding(toLength: 7, withPad: " ", startingAt: 0)
            + String(format: " [%03d] ....1 ", cpu) + time + ": " + event
    }
}
