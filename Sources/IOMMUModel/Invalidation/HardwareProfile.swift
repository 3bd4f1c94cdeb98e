/// Which commands a flush becomes: a driver, its era and its hardware (model.md §1.9, §4).
public enum HardwareProfile: String, CaseIterable, Sendable {
    /// The interface as it was founded in 4.15: a range_add for each page-table callback, one sync (model.md §1.5).
    case contract
    /// Intel up to 5.3: each page-table callback sends its own page-selective descriptor and waits for it.
    case vtd419 = "vtd-4.19"
    /// Intel 5.4 to 6.11: one descriptor and one wait for each segment of the gather.
    case vtd61 = "vtd-6.1"
    /// Intel 6.12 to 6.18: the same descriptors, aligned and with the invalidation hint.
    case vtd612 = "vtd-6.12"
    /// Intel 6.19, with generic page tables: one descriptor for all that was gathered.
    case vtd619 = "vtd-6.19"
    /// Intel from 7.0 on: the same, but that a sync of nothing sends nothing.
    case vtd70 = "vtd-7.0"
    /// AMD up to 5.12: a sync flushes the whole domain.
    case amd419 = "amd-4.19"
    /// AMD 5.13 to 6.18: one command for all that was gathered.
    case amd6 = "amd-6"
    /// AMD 6.19 to 7.1, with generic page tables: the same commands.
    case amd619 = "amd-6.19"
    /// AMD from 7.2 on: caches of tables are emptied only where tables went; a sync of nothing sends nothing.
    case amd72 = "amd-7.2"
    /// Arm SMMUv3 up to 7.0: one command for each page.
    case smmuv3
    /// Arm SMMUv3 from 7.1 on: the same, but one command for all of the domain from an eighth of a granule's bytes of commands on.
    case smmuv371 = "smmuv3-7.1"
    /// Arm SMMUv3 with range invalidation.
    case smmuv3RIL = "smmuv3-ril"
    /// Arm SMMUv3 with range invalidation after 7.3: two commands at most.
    case smmuv3RIL73 = "smmuv3-ril-7.3"
    /// RISC-V 6.13 to 7.1: one command for each page, or for all of the domain from 2 MiB on.
    case riscv613 = "riscv-6.13"
    /// RISC-V from 7.2 on: one command for each leaf, at most 512, or ranges where the hardware takes them.
    case riscv72 = "riscv-7.2"

    /// Whose driver it is.
    public enum Driver: Sendable {
        /// No driver: the interface alone.
        case none
        case intel
        case amd
        case arm
        case riscv
    }

    /// Whose driver it is.
    public var driver: Driver {
        switch self {
        case .contract: .none
        case .vtd419, .vtd61, .vtd612, .vtd619, .vtd70: .intel
        case .amd419, .amd6, .amd619, .amd72: .amd
        case .smmuv3, .smmuv371, .smmuv3RIL, .smmuv3RIL73: .arm
        case .riscv613, .riscv72: .riscv
        }
    }

    /// The profile of a kernel's driver, of hardware without range invalidation.
    ///
    /// - Parameters:
    ///   - driver: whose driver; `nil` comes back for none, and for RISC-V before 6.13.
    ///   - kernel: its version.
    public init?(_ driver: Driver, kernel: KernelVersion) {
        switch driver {
        case .none: return nil
        case .intel:
            self =
                kernel < KernelVersion(5, 4)
                ? .vtd419
                : kernel < KernelVersion(6, 12)
                    ? .vtd61 : kernel < KernelVersion(6, 19) ? .vtd612 : kernel < KernelVersion(7, 0) ? .vtd619 : .vtd70
        case .amd:
            self =
                kernel < KernelVersion(5, 13)
                ? .amd419 : kernel < KernelVersion(6, 19) ? .amd6 : kernel < KernelVersion(7, 2) ? .amd619 : .amd72
        case .arm: self = kernel < KernelVersion(7, 1) ? .smmuv3 : .smmuv371
        case .riscv:
            guard kernel >= KernelVersion(6, 13) else { return nil }
            self = kernel < KernelVersion(7, 2) ? .riscv613 : .riscv72
        }
    }

    /// What it stands for, in a few words.
    public var summary: String {
        switch self {
        case .contract: "the interface of 4.15: a range_add for each page, one sync"
        case .vtd419: "Intel up to 5.3: a descriptor and a wait for each page-table callback"
        case .vtd61: "Intel 5.4 to 6.11: a descriptor and a wait for each segment of the gather"
        case .vtd612: "Intel 6.12 to 6.18: the same, aligned, with the invalidation hint"
        case .vtd619: "Intel 6.19: one descriptor for all that was gathered"
        case .vtd70: "Intel from 7.0 on: the same; a sync of nothing sends nothing"
        case .amd419: "AMD up to 5.12: the whole domain at each sync"
        case .amd6: "AMD 5.13 to 6.18: one command for all that was gathered"
        case .amd619: "AMD 6.19 to 7.1: the same, with generic page tables"
        case .amd72: "AMD from 7.2 on: caches of tables are spared as long as no table goes"
        case .smmuv3: "Arm SMMUv3 up to 7.0: a command for each page"
        case .smmuv371: "Arm SMMUv3 from 7.1 on: the domain in place of 512 pages or more"
        case .smmuv3RIL: "Arm SMMUv3 with range invalidation"
        case .smmuv3RIL73: "Arm SMMUv3 with range invalidation after 7.3: at most two commands (assumed)"
        case .riscv613: "RISC-V 6.13 to 7.1: a command for each page below 2 MiB (assumed)"
        case .riscv72: "RISC-V from 7.2 on: a command for each leaf, at most 512 (assumed)"
        }
    }

    /// Whether no recording has ever confirmed it: it follows the driver's source alone.
    public var isBySourceAlone: Bool { driver == .riscv || self == .smmuv3RIL73 }

    /// The page sizes that the driver advertises (model.md §3.1): what decides how many callbacks an unmap has.
    public var pageSizes: PageSizes {
        switch self {
        case .vtd419, .amd419, .amd6, .amd619, .amd72: .everyPowerOfTwo
        default: .fourKTwoMOneG
        }
    }

    /// When the ranges that unmaps remove reach the hardware.
    enum Collecting {
        /// Within the callback: nothing is left for a sync to do.
        case eachCallback
        /// Each range by itself, at the sync.
        case eachPage
        /// In spans, which end where the gather's rule says.
        case spans(Gather.Rule)
        /// Not at all: a sync flushes everything.
        case wholeDomain
    }

    var collecting: Collecting {
        switch self {
        case .contract: .eachPage
        case .vtd419: .eachCallback
        case .vtd61, .vtd612: .spans(.callbacks)
        case .amd419: .wholeDomain
        case .vtd619, .vtd70, .amd6, .amd619, .amd72, .riscv72: .spans(.anything)
        case .smmuv3, .smmuv371, .smmuv3RIL, .smmuv3RIL73, .riscv613: .spans(.pages)
        }
    }

    /// One page-table callback takes a whole unmap call: `unmap_range`, from 7.1 on and in 7.0.11.
    public var callbacksTakeCalls: Bool {
        switch self {
        case .vtd70, .amd72, .smmuv371, .smmuv3RIL73, .riscv72: true
        default: false
        }
    }

    /// Generic page tables refuse a map over a live one (model.md §1.11): a log that shows one has lost something, or is of two
    /// domains.
    public var refusesDoubleMaps: Bool {
        switch self {
        case .vtd619, .vtd70, .amd619, .amd72, .riscv72: true
        default: false
        }
    }

    /// What a sync becomes before which nothing was gathered (model.md §1.6).
    enum EmptySync {
        /// The interface does not call the driver (7.0 and later).
        case isNone
        /// The driver is called, and sends nothing.
        case sendsNothing
        /// Its range, from 2^64 - 1 to 0, is read as one page.
        case sendsPage
        /// It is read as everything.
        case sendsDomain
    }

    var emptySync: EmptySync {
        switch self {
        case .contract, .vtd419, .smmuv3, .smmuv3RIL, .riscv613: .sendsNothing
        case .vtd61: .sendsPage
        case .vtd612, .vtd619, .amd419, .amd6, .amd619: .sendsDomain
        case .vtd70, .amd72, .smmuv371, .smmuv3RIL73, .riscv72: .isNone
        }
    }

    /// An unmap that finds nothing still adds its address to the gather, and the sync that follows flushes one page there, if
    /// nothing else was gathered: generic page tables before the interface looked for empty gathers.
    public var gathersNothing: Bool { self == .vtd619 }

    /// Whether a page-selective command spares paging-structure caches as long as no table went: VT-d's hint, lost on the
    /// queued path up to 6.11 (model.md §4.1), AMD's PDE bit, which Linux always set up to 7.1.
    var hasHint: Bool {
        switch self {
        case .vtd612, .vtd619, .vtd70, .amd72, .riscv72: true
        default: driver == .arm
        }
    }

    /// The word for hardware that may cache absent translations, as emulated IOMMUs say that they do; `nil` where there is
    /// no such thing.
    var cachingWord: String? {
        switch driver {
        case .intel: "caching-mode"
        case .amd: "np-cache"
        case .none, .arm, .riscv: nil
        }
    }

    /// Whether the driver can have first-stage tables for the kernel's own domains: VT-d's scalable mode.
    var hasFirstStage: Bool { driver == .intel && self != .vtd419 }

    /// Whether there is hardware that takes ranges in one command, beside that of profiles of their own: RISC-V's capability S.
    var hasRanges: Bool { self == .riscv72 }
}

/// A version of Linux, as far as drivers differ: `6.19` of `6.19.14+deb14-amd64`.
public struct KernelVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// `6` of 6.19.
    public let major: Int
    /// `19` of 6.19.
    public let minor: Int

    /// A version by its numbers.
    public init(_ major: Int, _ minor: Int) { (self.major, self.minor) = (major, minor) }

    /// Reads what `uname -r` prints; `nil` if it does not begin with two numbers.
    public init?(release: String) {
        let parts = release.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, let major = Int(parts[0]),
            let minor = Int(parts[1].prefix { $0.isASCII && $0.isNumber }),
            (0...1_000_000).contains(major), (0...1_000_000).contains(minor)
        else { return nil }
        self.init(major, minor)
    }

    /// Older versions come first.
    public static func < (left: KernelVersion, right: KernelVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    /// `6.19`
    public var description: String { "\(major).\(minor)" }

    /// `dma_iova_unlink` syncs from this one on, and a sync of nothing is none.
    public static let unlinkSyncs = KernelVersion(7, 0)
    /// The last one known to send an SMMUv3 as many range commands as a range takes.
    public static let lastOfManyRanges = KernelVersion(7, 3)
}
