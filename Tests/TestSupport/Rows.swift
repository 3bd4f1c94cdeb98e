/// A list whose missing elements are read as a stand-in: a test that finds too few of them fails instead of trapping and
/// taking all others with it.
public struct Rows<Element>: RandomAccessCollection {
    private let elements: [Element]
    private let missing: Element

    /// Wraps what there is.
    public init(_ elements: [Element], missing: Element) {
        self.elements = elements
        self.missing = missing
    }

    /// Index of the first element.
    public var startIndex: Int { 0 }
    /// Number of elements.
    public var endIndex: Int { elements.count }

    /// An element, or the stand-in.
    public subscript(position: Int) -> Element {
        elements.indices.contains(position) ? elements[position] : missing
    }
}

extension Rows: Sendable where Element: Sendable {}
