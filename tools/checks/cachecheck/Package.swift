// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that a plain `swift build` of iommu-trace never compiles a checking tool.
let package = Package(
    name: "cachecheck",
    dependencies: [.package(name: "iommu-trace", path: "../../..")],
    targets: [
        .executableTarget(
            name: "cachecheck", dependencies: [.product(name: "IOMMUModel", package: "iommu-trace")])
    ],
    swiftLanguageModes: [.v6]
)
