import CFuzzer
import Glibc
import Operations
import TraceFormats

/// One file in memory that each input goes through, and one batch: what a run costs is the reading.
///
/// libFuzzer runs in one thread.
public final class MadeUpLog: @unchecked Sendable {
    private let descriptor = openMemoryFile()
    private let batch = EventBatch()

    /// An empty file.
    public init() {}

    /// What reading a log told.
    public struct Reading {
        /// Hash of its text, by which two logs are compared.
        public var hash: UInt64 = 0
        /// Bytes of its text.
        public var bytes: UInt64 = 0
        /// Events taken.
        public var events = 0
        /// What could not be taken.
        public var issues: [ParseIssue.Reason] = []
    }

    /// Reads a log to its end and builds operations from it. Refusals and issues are fine; a crash, a hang or a broken
    /// promise is not.
    ///
    /// - Returns: `nil` if it was refused.
    @discardableResult
    public func read(_ bytes: UnsafeRawBufferPointer, ticksPerSecond: UInt64? = nil) -> Reading? {
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes.baseAddress, bytes.count, 0) == bytes.count else {
            return nil
        }
        var reading = Reading()
        do throws(LogError) {
            let log = try LogSource.open(LogFile(path: "/proc/self/fd/\(descriptor)"), ticksPerSecond: ticksPerSecond)
            var builder = OperationBuilder()
            var nextID: Int64 = 1
            var goesOn = true
            while goesOn {
                goesOn = try log.read(into: batch)
                check(batch)
                reading.events += batch.count
                reading.issues += batch.issues.map(\.reason)
                builder.add(batch)
                if !goesOn { builder.finish() }
                for issue in builder.takeIssues() { precondition(issue.line > 0) }
                builder.drain { builder in
                    for operation in builder.operations {
                        precondition(operation.id == nextID)
                        nextID += 1
                    }
                }
            }
            reading.hash = log.content.hash
            reading.bytes = log.content.bytes
        } catch {
            precondition(!error.message.isEmpty)
            return nil
        }
        return reading
    }

    private func check(_ batch: EventBatch) {
        for event in batch.events {
            precondition(event.time >= 0 && event.cpu >= 0 && event.pid >= 0 && event.line > 0)
            guard event.isKnown else { continue }
            if let size = event[.size] { precondition(size <= 1 << 57) }
            if let text = event[.text] { precondition(text < UInt64(batch.texts.count)) }
        }
        for (loss, preceding) in batch.losses {
            precondition(preceding <= batch.count && loss.count ?? 0 >= 0 && loss.cpu ?? 0 >= 0)
        }
    }
}
