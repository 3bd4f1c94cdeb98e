import CFuzzer
import Glibc
import TraceFormats

/// One file in memory that each input goes through, and one batch: what a run costs is the reading.
let descriptor = openMemoryFile()
let batch = EventBatch()

/// Reads one made-up log to its end. Refusals and issues are fine; a crash, a hang or a broken promise is not.
func read(_ bytes: UnsafeRawBufferPointer, ticksPerSecond: UInt64?) {
    guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes.baseAddress, bytes.count, 0) == bytes.count else {
        return
    }
    do {
        var reader = try TraceReader(LogFile(path: "/proc/self/fd/\(descriptor)"), ticksPerSecond: ticksPerSecond)
        var goesOn = true
        while goesOn {
            goesOn = try reader.read(into: batch)
            for event in batch.events {
                precondition(event.time >= 0 && event.cpu >= 0 && event.pid >= 0)
                guard event.isKnown, let size = event[.size] else { continue }
                precondition(size <= 1 << 57)
            }
        }
    } catch {}
}

var argc = CommandLine.argc
var argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(
    LLVMFuzzerRunDriver(&argc, &argv) { data, count in
        let bytes = UnsafeRawBufferPointer(start: data, count: count)
        // The first byte decides whether the log's clock counts.
        read(bytes, ticksPerSecond: (bytes.first ?? 0) & 1 == 0 ? nil : 2_593_904_000)
        return 0
    })
