#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// stdout and stderr by `write(2)`: no Foundation, no buffering behind our back.
enum StandardStream: Int32 {
    case output = 1
    case error = 2

    /// Writes all bytes. Where stdout cannot take them (disk full), says so and exits 1: a cut log must not look whole.
    func put(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let written = write(rawValue, part.baseAddress, part.count)
            if written >= 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                let reason = String(cString: strerror(errno))
                if self == .output { StandardStream.error.put("tracegen: cannot write: \(reason)\n") }
                exit(1)
            }
        }
    }

    func put(_ text: String) {
        var text = text
        text.withUTF8 { put(UnsafeRawBufferPointer($0)) }
    }
}

/// A command line that cannot be run.
func refuse(_ reason: String) -> Never {
    StandardStream.error.put("tracegen: \(reason)\nTry 'tracegen --help'.\n")
    exit(2)
}
