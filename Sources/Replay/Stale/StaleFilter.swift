import IOMMUModel

/// Tells for most pages at once that no domain, or which few of them, may have them stale and open. It may name too many
/// domains, never too few.
struct StaleFilter {
    /// What is known of all pages that share a slot.
    private struct Slot {
        /// Id of the latest unmap call that removed one.
        var operation = Int64.min
        /// A bit for each domain that did since the slot was in use, by the last bits of its number.
        var domains: UInt64 = 0

        @inline(__always)
        mutating func add(_ domain: Int32, _ operation: Int64, _ firstOpen: Int64) {
            if self.operation < firstOpen { domains = 0 }
            domains |= StaleFilter.bit(of: domain)
            self.operation = operation
        }
    }

    private static let slotBits: UInt64 = 13
    /// More pages than that are not looked at one by one.
    private static let pageLimit: UInt64 = 64

    private var slots = ContiguousArray(repeating: Slot(), count: 1 << Int(slotBits))
    /// What was removed in ranges of more pages.
    private var large = Slot()
    /// Windows of unmap calls before this id are closed under all policies.
    var firstOpen = Int64.min

    /// The bit of a domain; others may share it.
    @inline(__always)
    static func bit(of domain: Int32) -> UInt64 { 1 << UInt64(UInt32(bitPattern: domain) & 63) }

    /// An unmap call removed pages of a domain.
    mutating func add(_ pages: AddressRange, domain: Int32, operation: Int64) {
        let (first, last) = (pages.start >> 12, pages.last >> 12)
        guard last - first < Self.pageLimit else {
            large.add(domain, operation, firstOpen)
            return
        }
        for page in first...last { slots[Self.slot(of: page)].add(domain, operation, firstOpen) }
    }

    /// The bits of all domains that may have one of the pages stale, in a window that is open under some policy.
    func domains(of pages: AddressRange) -> UInt64 {
        let (first, last) = (pages.start >> 12, pages.last >> 12)
        guard last - first < Self.pageLimit else { return .max }
        var found = large.operation < firstOpen ? 0 : large.domains
        for page in first...last {
            let slot = slots[Self.slot(of: page)]
            if slot.operation >= firstOpen { found |= slot.domains }
        }
        return found
    }

    @inline(__always)
    private static func slot(of page: UInt64) -> Int {
        Int(truncatingIfNeeded: (page &* 0x9e37_79b9_7f4a_7c15) >> (64 - slotBits))
    }
}
