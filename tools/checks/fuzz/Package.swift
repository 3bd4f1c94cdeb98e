// swift-tools-version: 6.1
import PackageDescription

// Feeds what reads strangers' files with what libFuzzer makes up. A package of its own: it links only with the flags that
// tools/checks/fuzz/run gives, so a plain build of the project must not meet it.
let package = Package(
    name: "fuzz",
    dependencies: [.package(name: "iommu-trace", path: "../../..")],
    targets: [
        .target(name: "CFuzzer"),
        .target(name: "Fuzzing", dependencies: ["CFuzzer", .product(name: "Fuzzed", package: "iommu-trace")]),
        .executableTarget(name: "FuzzText", dependencies: ["Fuzzing"]),
        .executableTarget(name: "FuzzArchive", dependencies: ["Fuzzing"]),
        .executableTarget(name: "FuzzDat", dependencies: ["Fuzzing"]),
        .executableTarget(name: "FuzzCosts", dependencies: ["Fuzzing"]),
    ],
    swiftLanguageModes: [.v6]
)
