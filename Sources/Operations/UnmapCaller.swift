import TraceFormats

/// Who called an unmap, by the function that a return probe says it returns to.
enum UnmapCaller {
    /// VFIO's type1 driver: `vfio_unmap_unpin`, `vfio_remove_dma` and its like.
    case type1
    /// iommufd: `iopt_area_unmap_domain_range` and its like.
    case iommufd
    /// The kernel's DMA API: `__iommu_dma_unmap`.
    case dma
    /// The two-step DMA API's `dma_iova_unlink`, which since 7.0 syncs by itself in a domain that defers, too.
    case unlink
    /// `iommu_map` itself, which takes back what it had mapped before it failed.
    case map

    /// `nil` for anybody else.
    init?(_ function: String) {
        switch function {
        case _ where function.hasPrefix("vfio_"): self = .type1
        case _ where function.hasPrefix("iopt_"), _ where function.hasPrefix("iommufd_"): self = .iommufd
        case _ where function.contains("dma_iova_unlink"): self = .unlink
        case _ where function.hasPrefix("iommu_map"), _ where function.hasPrefix("__iommu_map"): self = .map
        case _ where function.contains("iommu_dma_"), _ where function.hasPrefix("dma_iova_"): self = .dma
        default: return nil
        }
    }
}

/// The callers that a log names, each looked at once.
struct UnmapCallers {
    private enum Known {
        case not
        case yet(UnmapCaller?)
    }

    /// By number of the symbol.
    private var known: ContiguousArray<Known> = []
    private var last: (symbol: Symbol, caller: UnmapCaller?) = (.none, nil)

    /// Who the caller is; `nil` for anybody else.
    @inline(__always)
    mutating func caller(_ symbol: Symbol, _ names: LogNames) -> UnmapCaller? {
        if symbol == last.symbol { return last.caller }
        return find(symbol, names)
    }

    private mutating func find(_ symbol: Symbol, _ names: LogNames) -> UnmapCaller? {
        let index = Int(symbol.rawValue)
        // Symbols are numbers of a bounded table.
        while known.count <= index { known.append(.not) }
        if case .yet(let caller) = known[index] {
            last = (symbol, caller)
            return caller
        }
        let caller = UnmapCaller(names.text(symbol))
        known[index] = .yet(caller)
        last = (symbol, caller)
        return caller
    }
}
