/// Which commands a flush becomes: a driver, its era and its hardware (model.md §1.9, §4).
public enum HardwareProfile: String, CaseIterable, Sendable {
    /// The interface as it was founded in 4.15: a range_add for each page-table callback, one sync (model.md §1.5).
    case contract
    /// Intel up to 5.3: each page-table callback sends its own page-selective descriptor and waits for it.
    case vtd419 = "vtd-4.19"
    /// Intel 5.4 to 6.11: one descriptor and one wait for each segment of the gather.
    case vtd61 = "vtd-6.1"
    /// Intel from 6.12 on: the same descriptors, aligned and with the invalidation hint.
    case vtd612 = "vtd-6.12"
    /// AMD up to 5.12: a sync flushes the whole domain.
    case amd419 = "amd-4.19"
    /// AMD of today: one command for all that was gathered.
    case amd6 = "amd-6"
    /// Arm SMMUv3: one command for each page.
    case smmuv3
    /// Arm SMMUv3 with range invalidation.
    case smmuv3RIL = "smmuv3-ril"

    /// What it stands for, in a few words.
    public var summary: String {
        switch self {
        case .contract: "the interface of 4.15: a range_add for each page, one sync"
        case .vtd419: "Intel up to 5.3: a descriptor and a wait for each page-table callback"
        case .vtd61: "Intel 5.4 to 6.11: a descriptor and a wait for each segment of the gather"
        case .vtd612: "Intel from 6.12 on: the same, aligned, with the invalidation hint"
        case .amd419: "AMD up to 5.12: the whole domain at each sync"
        case .amd6: "AMD of today: one command for all that was gathered"
        case .smmuv3: "Arm SMMUv3: a command for each page"
        case .smmuv3RIL: "Arm SMMUv3 with range invalidation"
        }
    }

    /// The page sizes that the driver advertises (model.md §3.1): what decides how many callbacks an unmap has.
    public var pageSizes: PageSizes {
        switch self {
        case .vtd419, .amd419, .amd6: .everyPowerOfTwo
        case .contract, .vtd61, .vtd612, .smmuv3, .smmuv3RIL: .fourKTwoMOneG
        }
    }

    /// When the ranges that unmaps remove reach the hardware.
    enum Collecting {
        /// Within the callback: nothing is left for a sync to do.
        case eachCallback
        /// Each range by itself, at the sync.
        case eachPage
        /// In spans, which end where the next range leaves a gap or its callback has another length in bytes.
        case spansOfOneCallbackSize
        /// In spans, which end where the next range leaves a gap or has pages of another size.
        case spansOfOnePageSize
        /// In one span, whatever lies between.
        case oneSpan
        /// Not at all: a sync flushes everything.
        case wholeDomain
    }

    /// Whether a page-selective command spares paging-structure caches as long as no table went: VT-d's hint, lost on the
    /// queued path up to 6.11 (model.md §4.1).
    var hasHint: Bool { self == .vtd612 || self == .smmuv3 || self == .smmuv3RIL }

    /// The word for hardware that may cache absent translations, as emulated IOMMUs say that they do; `nil` where there is
    /// no such thing.
    var cachingWord: String? {
        switch self {
        case .vtd419, .vtd61, .vtd612: "caching-mode"
        case .amd419, .amd6: "np-cache"
        case .contract, .smmuv3, .smmuv3RIL: nil
        }
    }

    var collecting: Collecting {
        switch self {
        case .contract: .eachPage
        case .vtd419: .eachCallback
        case .vtd61, .vtd612: .spansOfOneCallbackSize
        case .amd419: .wholeDomain
        case .amd6: .oneSpan
        case .smmuv3, .smmuv3RIL: .spansOfOnePageSize
        }
    }
}
