/// A line, or a part of the file, that could not be taken as it stands.
public struct ParseIssue: Hashable, Sendable {
    /// Why. The raw value is what reports group by.
    public enum Reason: String, CaseIterable, Sendable {
        /// Of no shape that an event's line has.
        case notAnEvent = "not an event line"
        /// The time has no fraction: a counter clock, which counts no nanoseconds.
        case counterClock = "time is a bare count, not seconds"
        /// The line has neither time nor CPU nor task. The event is taken, at the time of the one before it, on CPU 0.
        case noTime = "event without time, CPU and task"
        /// The time is beyond what 64-bit nanoseconds hold.
        case timeOutOfRange = "time out of range"
        /// The CPU number is beyond what Linux can have.
        case cpuOutOfRange = "CPU number out of range"
        /// A known event without a field that it must have.
        case missingField = "field missing"
        /// A known event with a field that is no number or too large for one.
        case badNumber = "field is not a 64-bit number"
        /// A size above 2^57 bytes, which no page table spans.
        case sizeOutOfRange = "size above 2^57"
        /// Address plus size beyond 2^64.
        case rangeOutOfRange = "address plus size beyond 2^64"
        /// `iova=A - B size=S` where B - A is not S.
        case endMismatch = "end address does not match the size"
        /// A line longer than ``LineSplitter/longestLine``.
        case lineTooLong = "line longer than 64 KiB"
        /// The log ends without a line end in a map or an unmap whose size is no number of pages. The event is taken, but
        /// may be cut: half of a number is a number.
        case openLine = "last line has no line end, it may be cut"
        /// A return probe with no call that it could belong to.
        case returnWithoutCall = "return of a call that was not seen"
        /// The archive ends before its end mark.
        case truncatedArchive = "archive is truncated"
        /// The archive's data is wrong: everything after this point is lost.
        case corruptArchive = "archive is corrupt"
        /// Something follows the archive's end that is no archive.
        case trailingBytes = "bytes after the end of the archive"
        /// The file could not be read to its end.
        case readError = "read error"
        /// A recording ends before the data that it speaks of.
        case truncatedRecording = "recording is truncated"
        /// A part of a recording is wrong: a page of events, or all that follows on that CPU.
        case corruptRecording = "recording is corrupt"
    }

    /// Why the line was not taken.
    public var reason: Reason
    /// Line number in the decompressed log, from 1; for an archive's damage the last line before it.
    public var line: Int64
    /// Byte offset: of the line in the decompressed log, for an archive's damage in the file as it is on disk.
    public var offset: Int64
    /// The line's first bytes, or what is known of the damage.
    public var excerpt: String

    /// Creates an issue.
    public init(reason: Reason, line: Int64, offset: Int64, excerpt: String) {
        self.reason = reason
        self.line = line
        self.offset = offset
        self.excerpt = excerpt
    }
}

/// An announcement in a log that events are missing at this place (model.md §7.3).
public struct LostEvents: Hashable, Sendable {
    /// Line number of the announcement, from 1.
    public var line: Int64
    /// The CPU whose buffer overflowed; `nil` if the announcement names none.
    public var cpu: Int32?
    /// How many events; `nil` if it does not say.
    public var count: Int64?

    /// Creates an announcement.
    public init(line: Int64, cpu: Int32?, count: Int64?) {
        self.line = line
        self.cpu = cpu
        self.count = count
    }
}
