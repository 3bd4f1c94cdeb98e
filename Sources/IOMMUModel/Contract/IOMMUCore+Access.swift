extension IOMMUCore {
    /// What a device gets that reads or writes an address.
    public enum Access: Hashable, Sendable {
        /// Where a translation came from.
        public enum Source: Hashable, Sendable {
            /// The device's own TLB.
            case deviceTLB
            /// The IOTLB of its IOMMU.
            case iotlb
            /// The page table.
            case walk
            /// Nowhere: the domain passes addresses as they are.
            case identity
        }

        /// Nothing is mapped there, or the device may not pass at all.
        case fault
        /// It reaches the physical address `paddr`. `isStale`: the page table does not say so any more.
        case translated(paddr: UInt64, source: Source, isStale: Bool)
    }

    /// An access by a device: its own TLB first, then its IOMMU's, then the page table, whose answer both keep.
    ///
    /// Absent translations are never kept. A device in no domain cannot pass.
    public mutating func access(device number: Int32, iova: UInt64) -> Access {
        guard let position = Self.position(number, in: devices), let domain = devices[position].domain,
            let held = self.domain(domain)
        else { return .fault }
        if held.type.contains(.passThrough) { return .translated(paddr: iova, source: .identity, isStale: false) }
        guard let table = held.table else { return .fault }
        func found(_ paddr: UInt64, _ source: Access.Source) -> Access {
            .translated(paddr: paddr, source: source, isStale: table.physicalAddress(of: iova) != paddr)
        }
        if let hit = devices[position].tlb?.lookup(domain: domain, iova: iova) { return found(hit.target, .deviceTLB) }
        let unit = Int(devices[position].unit) - 1
        if let hit = units[unit].iotlb?.lookup(domain: domain, iova: iova) {
            devices[position].tlb?.fill(domain: domain, iova: iova, target: hit.target, size: hit.size)
            return found(hit.target, .iotlb)
        }
        guard let paddr = table.physicalAddress(of: iova) else { return .fault }
        let size = cachedSize(around: iova, in: table)
        units[unit].iotlb?.fill(domain: domain, iova: iova, target: paddr, size: size)
        devices[position].tlb?.fill(domain: domain, iova: iova, target: paddr, size: size)
        return found(paddr, .walk)
    }

    /// Bytes of the page that a cache keeps: the leaf's, or the smallest where a part of the leaf was overwritten since.
    private func cachedSize(around iova: UInt64, in table: RadixPageTable) -> UInt64 {
        let granule = table.format.pageSizes.granule
        guard let slot = table.deepestSlot(for: iova), case .leaf(_, let size) = table.decode(slot) else {
            return granule
        }
        let start = iova & ~(size &- 1)
        var bytes: UInt64 = 0
        table.forEachLeaf(overlapping: AddressRange(uncheckedStart: start, last: start | (size &- 1))) { leaf in
            bytes = max(bytes, leaf.bytes)
        }
        return bytes == size ? size : granule
    }
}
