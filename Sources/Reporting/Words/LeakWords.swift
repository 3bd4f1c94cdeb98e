import GRDB

/// What the patterns of report leaks mean.
enum LeakWords {
    static func pattern(_ row: Row) -> String? {
        switch row.string("pattern") {
        case "": nil
        case "none": "none: a domain takes its page table along"
        case "in flight": "in flight: all made in the last tenth of the log"
        case "set up": "set up: all made in the first tenth of the log"
        case "steady":
            "steady: made in place of others, no more is mapped at the end than after the first tenth of the log"
        case "growing": "growing: made in most tenths of the log, and more and more is mapped"
        case "growing or steady":
            "growing, or made in place of others: in most tenths of the log (by domain it is told)"
        case let other: other
        }
    }
}
