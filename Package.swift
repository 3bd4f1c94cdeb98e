// swift-tools-version: 6.1
import PackageDescription

// `tools/test` tests optimised code, but optimising the tests themselves takes longer than all of them run.
let testSettings: [SwiftSetting] = [.unsafeFlags(["-Onone"], .when(configuration: .release))]

// One folder under Sources/ per target; `docs/architecture.md` draws the one direction in which they depend on each other.
let package = Package(
    name: "iommu-trace",
    products: [
        .executable(name: "iommu-trace", targets: ["iommu-trace"]),
        .library(name: "IOMMUModel", targets: ["IOMMUModel"]),
        .library(name: "TraceFormats", targets: ["TraceFormats"]),
        // For tools/checks/fuzz only.
        .library(name: "Fuzzed", targets: ["TraceFormats", "Operations", "TraceStore", "TestSupport"]),
    ],
    dependencies: [
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        .systemLibrary(name: "CZlib", path: "Sources/CZlib"),
        .systemLibrary(name: "CZstd", path: "Sources/CZstd"),
        .systemLibrary(name: "CLzma", path: "Sources/CLzma"),

        .target(name: "SeededTable"),
        .target(name: "IOMMUModel"),
        .target(name: "FlushSchedules", dependencies: ["IOMMUModel"]),
        .target(name: "TraceFormats", dependencies: ["SeededTable", "CZlib", "CZstd", "CLzma"]),
        .target(name: "Operations", dependencies: ["SeededTable", "TraceFormats"]),
        .target(
            name: "Schema",
            path: "schema",
            resources: [
                .embedInCode("tables"), .embedInCode("views"), .embedInCode("reports"), .embedInCode("queries"),
                .embedInCode("costs"),
            ]
        ),
        .target(
            name: "TraceStore",
            dependencies: [
                "SeededTable", "Operations", "Schema",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ]
        ),
        .target(name: "Ingest", dependencies: ["TraceFormats", "Operations", "TraceStore"]),
        .target(
            name: "Replay", dependencies: ["SeededTable", "IOMMUModel", "FlushSchedules", "Operations", "TraceStore"]),
        .target(
            name: "Reporting",
            dependencies: ["Operations", "Schema", "TraceStore", .product(name: "GRDB", package: "GRDB.swift")]
        ),
        .executableTarget(
            name: "iommu-trace",
            dependencies: [
                "FlushSchedules", "Ingest", "Replay", "Reporting", "TraceStore",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),

        .executableTarget(
            name: "modelbench", dependencies: ["FlushSchedules", "Replay", "TraceStore"],
            path: "tools/contribute/modelbench"),
        .target(name: "TestSupport", dependencies: ["CZlib", "CZstd", "CLzma"], path: "Tests/TestSupport"),
        .testTarget(
            name: "SeededTableTests", dependencies: ["SeededTable", "TestSupport"], swiftSettings: testSettings),
        .testTarget(
            name: "IOMMUModelTests", dependencies: ["IOMMUModel", "TestSupport"], swiftSettings: testSettings),
        .testTarget(
            name: "TraceFormatsTests", dependencies: ["SeededTable", "TraceFormats", "TestSupport"],
            swiftSettings: testSettings),
        .testTarget(
            name: "OperationsTests", dependencies: ["SeededTable", "Operations", "TraceFormats", "TestSupport"],
            swiftSettings: testSettings),
        .testTarget(
            name: "PipelineTests",
            dependencies: [
                "SeededTable", "FlushSchedules", "Ingest", "Replay", "Reporting", "TraceStore", "Operations",
                "TraceFormats", "Schema", "IOMMUModel", "TestSupport", .product(name: "GRDB", package: "GRDB.swift"),
            ],
            resources: [.copy("Diff")],
            swiftSettings: testSettings
        ),
        .testTarget(
            name: "CommandLineTests",
            dependencies: ["iommu-trace", "TestSupport", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: testSettings
        ),
    ]
)
