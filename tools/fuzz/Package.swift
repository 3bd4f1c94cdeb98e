// swift-tools-version: 6.1
import PackageDescription

// Feeds the readers of logs with what libFuzzer makes up. A package of its own: it links only with the flags that
// tools/fuzz/run gives, so a plain build of the project must not meet it.
let package = Package(
    name: "fuzz",
    dependencies: [.package(name: "iommu-trace", path: "../..")],
    targets: [
        .target(name: "CFuzzer"),
        .executableTarget(
            name: "FuzzText",
            dependencies: ["CFuzzer", .product(name: "TraceFormats", package: "iommu-trace")]
        ),
    ],
    swiftLanguageModes: [.v6]
)
