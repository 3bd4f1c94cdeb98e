/// Which windows become rows of their own: `--windows`.
public enum WindowsKept: Hashable, Sendable {
    /// Each one.
    case all
    /// So many of each policy, the longest closed ones.
    case longest(Int)
    /// None.
    case none

    /// The longest 100,000 of each policy.
    public static let `default` = WindowsKept.longest(100_000)

    /// Reads `all`, `none` or `longest=N`; `nil` if it is none of these.
    public init?(parsing text: String) {
        switch text {
        case "all": self = .all
        case "none": self = .none
        default:
            let digits = text.dropFirst("longest=".count)
            guard text.hasPrefix("longest="), digits.allSatisfy({ $0.isASCII && $0.isNumber }), let count = Int(digits),
                (1...100_000_000).contains(count)
            else { return nil }
            self = .longest(count)
        }
    }
}
