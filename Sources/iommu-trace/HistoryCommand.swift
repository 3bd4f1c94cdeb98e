import ArgumentParser
import Reporting
import TraceStore

struct HistoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "Tells all that happened to an address, in order.",
        discussion: """
            Maps, unmaps, faults and accesses of an IOVA or a range of them, the flush that covered each unmap, in the log \
            and under each policy that was replayed, and where its pages were mapped meanwhile. Whole pages are looked at. \
            An END is the first byte after the range.

              iommu-trace history 0xfe980000
              iommu-trace history 0xfe980000+512K --policy fast
              iommu-trace history 0xfe980000-0xfea00000 --format csv
            """)

    @Argument(
        help: ArgumentHelp(
            "ADDRESS, ADDRESS+SIZE or ADDRESS-END, each in hexadecimal (0x) or decimal.", valueName: "address"))
    var address: String

    @Option(help: ArgumentHelp("Only this trace (default: all).", valueName: "name"), completion: .traces)
    var trace: String?

    @Option(
        help: ArgumentHelp("Only this domain (default: all); faults of which it is not known stay.", valueName: "name"))
    var domain: String?

    @Option(
        name: [.customLong("policy"), .customShort("p")],
        help: ArgumentHelp("Only the flushes of this policy (default: of all replays).", valueName: "policy"),
        completion: .policies)
    var policy: String?

    @Option(help: ArgumentHelp("How many operations at most, the latest.", valueName: "n"))
    var limit: Int64 = 1000

    @OptionGroup var output: OutputOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var progress: ProgressOptions

    func run() throws {
        guard let addresses = Self.addresses(address) else {
            throw UsageError(
                message:
                    "history \(address): give an address such as 0xfe980000, 0xfe980000+4096 or 0xfe980000-0xfe990000")
        }
        guard (1...1_000_000).contains(limit) else {
            throw UsageError(message: "--limit \(limit): give a number from 1 to 1000000")
        }
        let store = try database.open(.read)
        let history = History(addresses, trace: trace, domain: domain, policy: policy, limit: limit)
        var outcome = History.Outcome()
        do {
            let line = ProgressLine("history", progress.progress, query: store)
            defer { line.finish() }
            try output.write { outcome = try history.write(from: store, format: output.format, to: $0) }
        } catch let error as HistoryError {
            throw UsageError(message: error.description)
        }
        if outcome.rows == 0 {
            Message.note("no operation is about \(history.title)")
            for line in outcome.nearest { Message.note(line) }
            if outcome.nearest.isEmpty { Message.note("no address was mapped there at all") }
        }
        if outcome.pagesLeftOut > 0 {
            Message.note(
                "who else maps them was not looked up for \(outcome.pagesLeftOut) more pages of memory that were mapped there: "
                    + "ask for a smaller range, or fewer operations (--limit)")
        }
        if outcome.leftOut > 0 { Message.note("\(outcome.leftOut) earlier operations are left out (--limit)") }
    }

    /// Reads a range of addresses. An END is exclusive, as the kernel's events print it.
    static func addresses(_ text: String) -> ClosedRange<UInt64>? {
        let text = text.filter { $0 != " " }
        if let plus = text.firstIndex(of: "+") {
            guard let first = number(text[..<plus]), let size = size(text[text.index(after: plus)...]), size > 0 else {
                return nil
            }
            let (last, overflows) = first.addingReportingOverflow(size - 1)
            return overflows ? nil : first...last
        }
        if let dash = text.firstIndex(of: "-") {
            guard let first = number(text[..<dash]), let end = number(text[text.index(after: dash)...]), end > first
            else {
                return nil
            }
            return first...end - 1
        }
        return number(text[...]).map { $0...$0 }
    }

    private static func number(_ text: Substring) -> UInt64? {
        let isHexadecimal = text.hasPrefix("0x") || text.hasPrefix("0X")
        let digits = isHexadecimal ? text.dropFirst(2) : text
        guard !digits.isEmpty, digits.first != "+" else { return nil }
        return UInt64(digits, radix: isHexadecimal ? 16 : 10)
    }

    private static func size(_ text: Substring) -> UInt64? {
        let shifts: [Character: UInt64] = ["K": 10, "M": 20, "G": 30]
        guard let last = text.last?.uppercased().first, let shift = shifts[last] else { return number(text) }
        guard let count = number(text.dropLast()), count <= .max >> shift else { return nil }
        return count << shift
    }
}
