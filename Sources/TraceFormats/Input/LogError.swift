import Glibc

/// Why a file cannot be imported at all.
public enum LogError: Error, Hashable, Sendable {
    /// The file could not be opened or read: `errno`.
    case cannotRead(path: String, code: Int32)
    /// The path names a directory.
    case isDirectory(path: String)
    /// The file, or what its archive holds, has no bytes.
    case empty(path: String)
    /// The file's first bytes are those of a format that is not read here.
    case unsupported(path: String, format: String, advice: String)
    /// The file holds bytes that no text has.
    case binary(path: String)
    /// The archive was damaged before its first line.
    case damagedFromTheStart(path: String, reason: String)
    /// Its times are bare counts of a clock, and nobody said how long a tick lasts.
    case tickClock(path: String, line: Int64, clock: TickClock)
    /// It was written with one of ftrace's options `raw` and `hex`.
    case numbersOnly(path: String, option: String)
    /// A recording whose own description is damaged, without which its events cannot be read.
    case brokenRecording(path: String, reason: String)
    /// Of the files that are to be parts of one recording, two are the same.
    case partTwice(path: String, other: String)
    /// An archive must be unpacked to a file, and there is no room for it: `errno`.
    case cannotUnpack(path: String, folder: String, code: Int32)

    /// What happened, to which file, and what to do.
    public var message: String {
        switch self {
        case .cannotRead(let path, let code):
            "\(path): cannot be read: \(String(cString: strerror(code)))"
        case .isDirectory(let path):
            "\(path): is a directory; name the log files in it"
        case .empty(let path):
            "\(path): is empty"
        case .unsupported(let path, let format, let advice):
            "\(path): is \(format), which cannot be read; \(advice)"
        case .binary(let path):
            "\(path): is binary data, not a text log; import what `cat /sys/kernel/tracing/trace` printed (with the trace "
                + "options bin, hex and raw off), or a trace.dat"
        case .damagedFromTheStart(let path, let reason):
            "\(path): \(reason) before its first line; nothing can be recovered"
        case .tickClock(let path, let line, let clock):
            "\(path):\(line): the times are bare counts, as of the trace clock \(clock.name), \(clock.advice) after: "
                + "echo mono > /sys/kernel/tracing/trace_clock"
        case .numbersOnly(let path, let option):
            "\(path): was written with ftrace's option \(option), which leaves numbers only: what they mean is not in it; "
                + "record again after: echo 0 > /sys/kernel/tracing/options/\(option)"
        case .brokenRecording(let path, let reason):
            "\(path): is a trace-cmd recording that \(reason); nothing can be recovered"
        case .partTwice(let path, let other):
            "\(path): holds the same bytes as \(other): parts of one recording differ; name it once"
        case .cannotUnpack(let path, let folder, let code):
            "\(path): cannot be unpacked into \(folder): \(String(cString: strerror(code))); "
                + "set TMPDIR to a folder with more room"
        }
    }
}

extension LogError: CustomStringConvertible {
    /// The same as ``message``.
    public var description: String { message }
}
