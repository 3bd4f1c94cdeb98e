// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that a plain `swift build` of iommu-trace never compiles a benchmark tool.
let package = Package(
    name: "tracegen",
    targets: [.executableTarget(name: "tracegen")],
    swiftLanguageModes: [.v6]
)
