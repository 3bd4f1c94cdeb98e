/// Looks up the field for a key such as `iova`: a hash table over the known keys, built once for the whole program.
enum FieldKeys {
    private static let known: [(StaticString, Field)] = [
        ("domain", .domain), ("iova", .iova), ("end", .end), ("paddr", .paddr), ("size", .size),
        ("unmapped", .unmapped), ("unmapped_size", .unmapped), ("queued", .queued), ("start", .start),
        ("pgsize", .pageSize), ("did", .hardwareDomain), ("addr", .address), ("order", .order), ("type", .type),
        ("dev", .device), ("device", .device), ("groupID", .group), ("flags", .flags), ("prot", .protection),
        ("c0", .word0), ("c1", .word1), ("c2", .word2), ("c3", .word3), ("cmd0", .word0), ("cmd1", .word1),
        ("cmds", .word0),
        ("n", .count), ("sync", .waits), ("smmu", .object), ("cookie", .object), ("timer", .object),
        ("pages", .pages), ("mask", .mask), ("pasid", .pasid), ("offset", .offset), ("driver", .driver),
        // Raw fields, as `trace-cmd report -R` prints them.
        ("gid", .group), ("iommu", .unit), ("domain_id", .hardwareDomain),
        ("qw0", .word0), ("qw1", .word1), ("qw2", .word2), ("qw3", .word3),
        ("dev_addr", .iova), ("phys_addr", .paddr), ("dma_addr", .iova), ("dir", .direction),
        // Dynamic-debug messages.
        ("pa", .paddr),
    ]

    private struct Slot {
        var first: UInt64 = 0
        var second: UInt64 = 0
        var field: Field?
    }

    private static let slotBits: UInt64 = 8
    private static let slotMask = (1 << Int(slotBits)) - 1

    /// Written once here and never freed, so that a look-up counts no references.
    nonisolated(unsafe) private static let slots: UnsafePointer<Slot> = {
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: slotMask + 1)
        slots.initialize(repeating: Slot(), count: slotMask + 1)
        for (key, field) in known {
            let bytes = UnsafeRawBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount)
            guard let (first, second) = words(bytes) else { continue }
            var index = slot(first, second)
            while slots[index].field != nil { index = (index + 1) & slotMask }
            slots[index] = Slot(first: first, second: second, field: field)
        }
        return UnsafePointer(slots)
    }()

    @inline(__always)
    static func field(for key: UnsafeRawBufferPointer) -> Field? {
        guard let (first, second) = words(key) else { return nil }
        let slots = slots
        var index = slot(first, second)
        while let field = slots[index].field {
            if slots[index].first == first, slots[index].second == second { return field }
            index = (index + 1) & slotMask
        }
        return nil
    }

    @inline(__always)
    private static func slot(_ first: UInt64, _ second: UInt64) -> Int {
        Int(truncatingIfNeeded: ((first ^ second &* 31) &* 0x9e37_79b9_7f4a_7c15) >> (64 - slotBits))
    }

    /// A key of at most 16 bytes as two words.
    @inline(__always)
    private static func words(_ key: UnsafeRawBufferPointer) -> (UInt64, UInt64)? {
        guard key.count <= 16 else { return nil }
        if key.count <= 8 { return (word(key, from: 0), UInt64(key.count)) }
        return (word(key, from: 0), word(key, from: 8))
    }

    @inline(__always)
    private static func word(_ key: UnsafeRawBufferPointer, from first: Int) -> UInt64 {
        var word: UInt64 = 0
        for index in first..<min(key.count, first + 8) { word = word << 8 | UInt64(key[index]) }
        return word
    }
}
