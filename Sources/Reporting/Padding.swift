extension String {
    /// The text, filled up with spaces to a width, at least one of them.
    package func padding(to width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(width - count, 1))
    }
}
