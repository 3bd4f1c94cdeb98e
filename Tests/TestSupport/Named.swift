/// One of the things that a parameterised test tries, printed by a name: by that a failing case is found.
public struct Named<Value: Sendable>: Sendable, CustomStringConvertible {
    /// The name.
    public let description: String
    /// What is tried.
    public let value: Value

    /// Names a value.
    public init(_ name: String, _ value: Value) {
        description = name
        self.value = value
    }
}
