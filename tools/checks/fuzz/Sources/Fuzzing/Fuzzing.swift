import CFuzzer
import Glibc

/// Runs libFuzzer's main loop with the program's own arguments, and ends the program.
///
/// - Parameter body: tries one input. Whatever it does not promise is a finding: a trap, a hang, too much memory.
public func fuzz(_ body: @escaping @Sendable (UnsafeRawBufferPointer) -> Void) -> Never {
    tried = body
    var argc = CommandLine.argc
    var argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    exit(
        LLVMFuzzerRunDriver(&argc, &argv) { data, count in
            tried(UnsafeRawBufferPointer(start: data, count: count))
            return 0
        })
}

/// libFuzzer takes a C function, which can capture nothing. Written once, before the loop.
nonisolated(unsafe) private var tried: @Sendable (UnsafeRawBufferPointer) -> Void = { _ in }
