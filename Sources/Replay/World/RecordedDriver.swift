import IOMMUModel
import Operations
import TraceStore

extension TraceSummary {
    /// The recorded kernel, or the oldest that the log's events can be of; `nil` if nothing tells.
    var kernelVersion: KernelVersion? {
        kernel.map { KernelVersion(Int(clamping: $0.number / 1000), Int(clamping: $0.number % 1000)) }
    }

    /// Whose driver sent the commands that the log shows; where it shows none, that of most machines of the kernel's architecture, by
    /// the release's name; `nil` if that is not known either.
    var driver: HardwareProfile.Driver? {
        if !layerKinds.isDisjoint(with: Self.intelKinds) { return .intel }
        if !layerKinds.isDisjoint(with: Self.amdKinds) { return .amd }
        if !layerKinds.isDisjoint(with: Self.armKinds) { return .arm }
        guard let release = kernel?.release else { return nil }
        if release.contains("arm64") || release.contains("aarch64") { return .arm }
        return release.contains("riscv") ? .riscv : .intel
    }

    private static let intelKinds: Set<Layer.Kind> = [
        .cacheTagFlushRange, .cacheTagFlushRangeNotPresent, .cacheTagFlushAll, .contextInvalidation, .iotlbInvalidation,
        .pasidIOTLBInvalidation, .pasidCacheInvalidation, .deviceTLBInvalidation, .wait,
    ]
    private static let armKinds: Set<Layer.Kind> = [.armCommands, .armInvalidation, .armUnseen]
    private static let amdKinds: Set<Layer.Kind> = [
        .amdInvalidatePages, .amdInvalidateAll, .amdCompletionWait, .amdInvalidateDeviceEntry, .amdInvalidateDeviceTLB,
    ]
}

extension HardwareProfile {
    /// The driver of a log: by the release of its kernel, else by what the log gives away; `nil` if it shows no commands and its
    /// kernel is not known. From 6.19 on Intel and AMD gather alike.
    static func recorded(in trace: TraceSummary) -> HardwareProfile? {
        let kernel = trace.kernelVersion
        switch (trace.driver, kernel) {
        case (let driver?, let kernel?): return HardwareProfile(driver, kernel: kernel)
        case (.amd?, nil): return .amd6
        case (.arm?, nil): return .smmuv3
        case (.intel?, nil): return trace.layerKinds.contains(.cacheTagFlushRange) ? .vtd612 : .vtd61
        default: return nil
        }
    }
}
