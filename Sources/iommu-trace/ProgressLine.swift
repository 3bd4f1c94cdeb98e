import ArgumentParser
import Foundation
import Glibc
import TraceStore

/// One line on stderr that says how far something is: overwritten on a terminal, otherwise a new one each second.
final class ProgressLine {
    enum Mode: String, ExpressibleByArgument, CaseIterable {
        case auto, always, never
    }

    private let label: String
    private let isShown: Bool
    /// What takes no longer says nothing.
    private let delay: Duration
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let start = ContinuousClock.now
    private var lastShown: ContinuousClock.Instant?
    private var lastWidth = 0
    private var latest: (done: Int64, total: Int64?, items: Int64, name: String)?

    init(_ label: String, _ mode: Mode, after delay: Duration = .zero) {
        self.label = label
        self.delay = delay
        isShown = mode == .always || mode == .auto && isatty(STDERR_FILENO) == 1
    }

    /// Shows a state, unless one was shown just now.
    ///
    /// - Parameters:
    ///   - done: in whatever unit, of `total` if that is known.
    ///   - items: things dealt with so far, for the rate.
    func show(done: Int64, of total: Int64?, items: Int64, named name: String) {
        guard isShown else { return }
        let now = ContinuousClock.now
        if now - start < delay { return }
        latest = (done, total, items, name)
        if let lastShown, now - lastShown < (isTerminal ? .milliseconds(100) : .seconds(1)) { return }
        lastShown = now
        printLatest(at: now)
    }

    /// Takes the line away from a terminal; elsewhere says how it ended. A second call does nothing.
    func finish() {
        guard isShown, latest != nil else { return }
        defer { latest = nil }
        if isTerminal {
            print("")
            Message.raw("\r")
        } else {
            printLatest(at: .now)
        }
    }

    private func printLatest(at now: ContinuousClock.Instant) {
        guard let (done, total, items, name) = latest else { return }
        let elapsed = max((now - start) / .seconds(1), 1e-3)
        var text = "\(label): "
        if let total, total > 0 {
            let share = min(Double(done) / Double(total), 1)
            text += "\(Int(share * 100)) %, "
            if share > 0.01, share < 1 { text += "\(Int((elapsed / share - elapsed).rounded(.up))) s left, " }
        }
        text += "\(items) \(name), \(Self.rate(Double(items) / elapsed)) \(name)/s"
        print(text)
    }

    private func print(_ text: String) {
        guard isTerminal else {
            Message.raw(text + "\n")
            return
        }
        let padding = String(repeating: " ", count: max(lastWidth - text.count, 0))
        lastWidth = text.count
        Message.raw("\r" + text + padding)
    }

    private static func rate(_ value: Double) -> String {
        value >= 1e6
            ? String(format: "%.1f M", value / 1e6)
            : value >= 1e3 ? String(format: "%.0f k", value / 1e3) : String(format: "%.0f", value)
    }
}

extension ProgressLine {
    /// Says of a query that takes more than a second that it goes on.
    convenience init(_ label: String, _ mode: Mode, query store: TraceStore) {
        self.init(label, mode, after: .seconds(1))
        store.onProgress { [weak self] in self?.show(done: $0, of: nil, items: $0, named: "M steps of the query") }
    }
}
