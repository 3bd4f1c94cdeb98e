import Dispatch
import Glibc
import Synchronization

/// Ctrl-C and a polite kill: what is running ends at its next look, its transaction is rolled back, exit code 130.
enum Interrupt {
    private static let isRaised = Atomic<Bool>(false)
    private static let handlers = Mutex<[@Sendable () -> Void]>([])
    nonisolated(unsafe) private static var sources: [any DispatchSourceSignal] = []

    /// To be called once, before anything else runs.
    static func install() {
        for number in [SIGINT, SIGTERM] {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                isRaised.store(true, ordering: .relaxed)
                for handler in handlers.withLock({ $0 }) { handler() }
            }
            source.activate()
            sources.append(source)
        }
    }

    /// Whether a signal has come.
    static var hasCome: Bool { isRaised.load(ordering: .relaxed) }

    /// Runs `handler` on another thread when a signal comes.
    static func onSignal(_ handler: @escaping @Sendable () -> Void) {
        handlers.withLock { $0.append(handler) }
    }
}
