import Foundation
import Glibc
import Synchronization
import Testing

/// The tool as users run it: a process of its own.
enum Tool {
    /// What a finished run has left.
    struct Result {
        var exitCode: Int32
        var output: String
        var errors: String
    }

    /// The executable, which the build puts beside the test bundle.
    static let path = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appending(path: "iommu-trace").path

    /// Runs the tool to its end.
    ///
    /// - Parameters:
    ///   - stdin: all of its standard input; empty if not given.
    ///   - environment: variables beside the few that every run gets.
    ///   - directory: its working directory.
    ///   - launcher: a command that the tool's own command line is appended to, as ``Unprivileged/launcher``.
    static func run(
        _ arguments: [String], stdin: Data = Data(), environment: [String: String] = [:], directory: TemporaryFolder,
        launcher: [String] = [], sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Result {
        let tool = try RunningTool(arguments, environment: environment, directory: directory, launcher: launcher)
        tool.write(stdin)
        tool.closeInput()
        return try tool.finish(sourceLocation: sourceLocation)
    }
}

/// A run that has not ended yet.
final class RunningTool: Sendable {
    enum Ending: Equatable {
        case exit(Int32)
        case signal(Int32)
    }

    /// Longer than this a run hangs. Far above what any takes, so that a busy machine fails no test.
    static let patience = Duration.seconds(120)

    /// Held from the making of pipes to the spawn: a pipe's end that another tool was given, too, would keep its reader
    /// waiting.
    private static let spawning = NSLock()

    private let process: pid_t
    private let input: Mutex<Int32?>
    private let output = Collector()
    private let errors = Collector()
    private let ending = Mutex<Ending?>(nil)

    init(
        _ arguments: [String], environment: [String: String] = [:], directory: TemporaryFolder, launcher: [String] = []
    ) throws {
        // A tool that ends before it has read its input must not take the tests along.
        signal(SIGPIPE, SIG_IGN)
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        var ignored = sigset_t()
        sigemptyset(&ignored)
        sigaddset(&ignored, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &ignored)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        let inherited = ProcessInfo.processInfo.environment.filter { ["PATH", "LD_LIBRARY_PATH"].contains($0.key) }
        // A Swift trap shall end the process at once, not after a minute of symbolication.
        let variables = inherited.merging(["SWIFT_BACKTRACE": "enable=no"]) { $1 }.merging(environment) { $1 }
        let command = ["env", "-C", directory.path] + launcher + [Tool.path] + arguments

        Self.spawning.lock()
        defer { Self.spawning.unlock() }
        let (stdin, stdout, stderr) = (try Pipe(), try Pipe(), try Pipe())
        for (pipe, end) in [(stdin.reading, 0), (stdout.writing, 1), (stderr.writing, 2)] as [(Int32, Int32)] {
            posix_spawn_file_actions_adddup2(&actions, pipe, end)
        }
        var process: pid_t = 0
        let code = Self.withCStrings(command) { arguments in
            Self.withCStrings(variables.map { "\($0.key)=\($0.value)" }) { variables in
                posix_spawnp(&process, command[0], &actions, &attributes, arguments, variables)
            }
        }
        for end in [stdin.reading, stdout.writing, stderr.writing] { close(end) }
        guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EINVAL) }
        self.process = process
        input = Mutex(stdin.writing)
        output.collect(stdout.reading)
        errors.collect(stderr.reading)
    }

    deinit {
        closeInput()
        if ending.withLock({ $0 }) == nil {
            kill(process, SIGKILL)
            waitpid(process, nil, 0)
        }
    }

    // MARK: - While it runs

    /// Writes to its standard input; what it does not want any more is dropped.
    func write(_ data: Data) {
        guard let descriptor = input.withLock({ $0 }) else { return }
        var left = data[...]
        while !left.isEmpty {
            let count = left.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno != EINTR { return }
            left = left.dropFirst(max(count, 0))
        }
    }

    func closeInput() {
        input.withLock {
            if let descriptor = $0 { close(descriptor) }
            $0 = nil
        }
    }

    func send(_ signal: Int32) { kill(process, signal) }

    var identifier: pid_t { process }
    var hasEnded: Bool { poll() != nil }

    /// Waits until something holds that the tool brings about; fails if it ends or hangs before.
    func wait(for what: String, sourceLocation: SourceLocation = #_sourceLocation, _ holds: () -> Bool) throws {
        let start = ContinuousClock.now
        while !holds() {
            // It may have brought it about with its last breath.
            if poll() != nil, holds() { return }
            try #require(poll() == nil, "ended before \(what): \(errors.text)", sourceLocation: sourceLocation)
            try #require(
                ContinuousClock.now - start < Self.patience, "no \(what)", sourceLocation: sourceLocation)
            usleep(2000)
        }
    }

    /// Waits until it has written this to stderr.
    func waitForErrors(containing text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try wait(for: "'\(text)' on stderr", sourceLocation: sourceLocation) { errors.text.contains(text) }
    }

    // MARK: - Its end

    /// Waits for its end by itself. A signal, such as the one of a Swift trap, fails the test.
    func finish(sourceLocation: SourceLocation = #_sourceLocation) throws -> Tool.Result {
        let ending = try end(sourceLocation: sourceLocation)
        let (output, errors) = (output.finished(), errors.finished())
        guard case .exit(let code) = ending else {
            Issue.record("the tool was ended by \(ending): \(errors)", sourceLocation: sourceLocation)
            throw POSIXError(.EINTR)
        }
        return Tool.Result(exitCode: code, output: output, errors: errors)
    }

    /// Waits for its end, however it comes.
    func end(sourceLocation: SourceLocation = #_sourceLocation) throws -> Ending {
        let start = ContinuousClock.now
        while true {
            if let ending = poll() { return ending }
            try #require(ContinuousClock.now - start < Self.patience, "the tool hangs", sourceLocation: sourceLocation)
            usleep(2000)
        }
    }

    /// How it ended; `nil` if it still runs.
    private func poll() -> Ending? {
        ending.withLock { ending in
            var status: Int32 = 0
            if ending == nil, waitpid(process, &status, WNOHANG) == process {
                // WIFEXITED and its like, which are macros. 4 is a trap as a signal and "refused" as an exit code.
                ending = status & 0x7f == 0 ? .exit(status >> 8 & 0xff) : .signal(status & 0x7f)
            }
            return ending
        }
    }

    // MARK: - Plumbing

    /// Both ends are closed in the processes that are spawned from here.
    private struct Pipe {
        var reading: Int32 = -1
        var writing: Int32 = -1

        init() throws {
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { throw POSIXError(.EMFILE) }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            (reading, writing) = (ends[0], ends[1])
        }
    }

    private static func withCStrings<Value>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Value
    ) -> Value {
        let copies = strings.map { strdup($0) }
        defer { copies.forEach { free($0) } }
        return body(copies + [nil])
    }
}

/// Reads one end of a pipe in a thread of its own, so that the tool never waits for a full one.
private final class Collector: Sendable {
    private let bytes = Mutex<[UInt8]>([])
    private let isFinished = DispatchSemaphore(value: 0)

    func collect(_ descriptor: Int32) {
        Thread.detachNewThread { [self] in
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                let piece = buffer[..<count]
                bytes.withLock { $0 += piece }
            }
            close(descriptor)
            isFinished.signal()
        }
    }

    var text: String { String(decoding: bytes.withLock { $0 }, as: UTF8.self) }

    /// All of it, once the other end is closed.
    func finished() -> String {
        isFinished.wait()
        isFinished.signal()
        return text
    }
}

/// A user whom permissions stop, as they do not stop root.
enum Unprivileged {
    /// What to run the tool with; `nil` if there is no way to be such a user.
    static let launcher: [String]? = {
        if geteuid() != 0 { return [] }
        let launcher = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        guard let folder = try? TemporaryFolder(),
            let tool = try? RunningTool(["--version"], directory: folder, launcher: launcher),
            (try? tool.end()) == .exit(0)
        else { return nil }
        return launcher
    }()
}
