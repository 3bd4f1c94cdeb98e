import Schema

/// The program's version.
enum Version {
    static let number = "0.1.0"

    /// With the version of the database layout that it reads and writes.
    static var text: String { "iommu-trace \(number) (schema \(Schema.version))" }
}
