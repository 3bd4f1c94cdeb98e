import Fuzzing

// Logs of text. The first byte decides, beside being the log's own, whether somebody said what a tick lasts.
let log = MadeUpLog()
fuzz { bytes in
    log.read(bytes, ticksPerSecond: (bytes.first ?? 0) & 1 == 0 ? nil : 2_593_904_000)
}
