import GRDB

/// What a history says of a row beside its figures.
enum HistoryWords {
    /// How many operations after an unmap are looked at for its flush, in the view `which_flush_covered`.
    static let flushesLookedAt = "20,000"

    /// `nil` if there is nothing to say.
    static func note(_ row: Row) -> String? {
        let parts: [String?] =
            switch row.string("what") {
            case "map": [map(row)]
            case "unmap", "unmap_fast": [removed(row), unmap(row)]
            case "io_page_fault", "access": [row.string("access"), access(row)]
            case "flush", "window end": [flush(row), row.whole("uncertain") == 1 ? "events were lost before" : nil]
            case "page mapped elsewhere":
                [row.string("before") == "unmapped" ? "after the unmap" : "while it is mapped here"]
            default: []
            }
        let text = parts.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: ", ")
        return text.isEmpty ? nil : text
    }

    private static func map(_ row: Row) -> String? {
        if row.string("note") == "failed" { return "failed" }
        let page: String? =
            switch row.string("page") {
            case "same": "the same page again"
            case "other": "another page than before"
            case "unknown": "mapped again"
            default: nil
            }
        return page.map { $0 + (row.string("before") == "mapped" ? ", over what is still mapped" : "") }
    }

    private static func removed(_ row: Row) -> String? {
        switch row.string("note") {
        case "undo": "size 0: undoes a failed map"
        case "nothing": "removed nothing"
        default: row.whole("asked").map { "removed \(row.whole("size") ?? 0) bytes of \($0)" }
        }
    }

    private static func unmap(_ row: Row) -> String? {
        switch row.string("before") {
        case "unseen": "mapped before the log begins, or unseen"
        case "unmapped": "unmapped before, mapped again unseen"
        default: nil
        }
    }

    private static func access(_ row: Row) -> String {
        switch row.string("before") {
        case "mapped": "after the map"
        case "unmapped": "after the unmap"
        default: "neither mapped nor unmapped before"
        }
    }

    private static func flush(_ row: Row) -> String {
        let isInside = row.whole("inside_call") == 1
        return switch row.string("note") {
        case "": isInside ? "inside the call" : ""
        case "not seen": "not seen in the \(flushesLookedAt) operations after it"
        case "open": row.string("options").isEmpty ? "not by the end of the log" : "not by the end of the part"
        case "not kept": "not kept (open at the end, or not among the longest): replay --windows all"
        case "no window": "no window: flushed inside the call, or no device attached"
        case let cause: isInside ? "\(cause) inside the call" : cause
        }
    }
}
