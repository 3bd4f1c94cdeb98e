/// Readers for an event's own text: a layout for each tracepoint, one shape for all probes.
///
/// They turn text into ``Field`` values and check what no 64-bit address space can hold; they do not know what an event
/// means.
struct EventBody {
    /// Sizes above this are no mapping that a page table could hold (57 bits are the widest address there is); letting
    /// them in would make every sum over the database overflow.
    private static let largestSize: UInt64 = 1 << 57

    /// Fills in `event`, whose name is set.
    ///
    /// - Returns: whether the text has the layout of a known event; an event of another subsystem may share the name.
    func read(
        _ body: ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) -> Bool {
        var body = body
        event.pointee.present = 0
        event.pointee.form = .tracepoint
        event.pointee.location = .none
        event.pointee.caller = .none
        let name = EventName(event.pointee.name)
        if name == .tracingMarkWrite || name == .print { return true }
        if body.byte == UInt8(ascii: "(") {
            guard readLocation(&body, into: event, symbols: &symbols) else { return false }
            try readPairs(&body, into: event, symbols: &symbols)
            try checkRange(of: event)
            return true
        }
        switch name {
        case .map, .unmap:
            guard try readMapping(&body, into: event, symbols: &symbols) else { return false }
        case .mapList where body.skip("IOMMU:"):
            try readVendorName(&body, into: event, symbols: &symbols)
            try readPairs(&body, into: event, symbols: &symbols)
            try requireMap(event)
        case .attachDeviceToDomain, .detachDeviceFromDomain, .addDeviceToGroup, .removeDeviceFromGroup:
            guard body.skip("IOMMU:") || body.startsWith("device=") || body.startsWith("gid=") else { return false }
            try readPairs(&body, into: event, symbols: &symbols)
            try require(.device, in: event)
        case .ioPageFault:
            guard try readFault(&body, into: event, symbols: &symbols) else { return false }
        case .faultMessage:
            guard let fault = try FaultMessage.read(body) else { return false }
            if let device = fault.device { set(.device, to: symbols.intern(device), in: event) }
            set(.iova, to: fault.iova, in: event)
            if let flags = fault.flags { set(.flags, to: flags, in: event) }
            if let domain = fault.hardwareDomain { set(.hardwareDomain, to: domain, in: event) }
        case .iotlbFill:
            try readPairs(&body, into: event, symbols: &symbols)
            try require(.iova, in: event)
        case .qiSubmit:
            try readDescriptor(&body, into: event, symbols: &symbols)
        case .cacheTagFlushRange, .cacheTagFlushRangeNotPresent, .cacheTagFlushAll, .cacheTagAssign, .cacheTagUnassign:
            try readCacheTag(&body, into: event, symbols: &symbols)
        case .dmaMapPage, .dmaMapResource, .dmaMapPhys, .dmaUnmapPage, .dmaUnmapResource, .dmaUnmapPhys, .dmaAlloc,
            .dmaAllocPages, .dmaFree, .dmaFreePages:
            try DMABody.read(&body, into: event, symbols: &symbols)
            try require(.iova, in: event)
            try require(.size, in: event)
            try checkRange(of: event)
        case .dmaMapList, .dmaUnmapList, .dmaAllocTable, .dmaFreeTable:
            try DMABody.read(&body, into: event, symbols: &symbols)
            try checkRange(of: event)
        case .bounced:
            try DMABody.readBounce(&body, into: event, symbols: &symbols)
            try checkRange(of: event)
        case .mapSingle, .mapList, .unmapSingle, .unmapList, .bounceMapSingle, .bounceMapList, .bounceUnmapSingle:
            guard body.startsWith("dev=") || body.startsWith("dev_name=") else { return false }
            try readPairs(&body, into: event, symbols: &symbols)
            try require(.device, in: event)
            try require(.iova, in: event)
            try require(.size, in: event)
            try checkRange(of: event)
        case .unmapMessage, .unmappedMessage, .mappingMessage:
            guard body.startsWith("iova ") else { return false }
            try readMessage(&body, into: event, symbols: &symbols)
            try require(.iova, in: event)
            if name != .mappingMessage { try require(.size, in: event) }
            try checkRange(of: event)
        default:
            return false
        }
        return true
    }

    // MARK: - Core

    /// `IOMMU: iova=A - B paddr=C size=D` and its like: a vendor's with a name, raw fields, and the kernel log's message.
    ///
    /// - Returns: whether it is one; other subsystems have events called map and unmap.
    @inline(__always)
    private func readMapping(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) -> Bool {
        let isMap = event.pointee.name == EventName.map.symbol
        if body.skip("IOMMU:") {
            if body.byte != UInt8(ascii: " ") { try readVendorName(&body, into: event, symbols: &symbols) }
        } else if isMap, body.startsWith("iova ") {
            try readMessage(&body, into: event, symbols: &symbols)
            try requireMap(event)
            return true
        } else if !body.startsWith("iova=") {
            return false
        }
        try readPairs(&body, into: event, symbols: &symbols)
        try require(.iova, in: event)
        try require(.size, in: event)
        if isMap { try require(.paddr, in: event) }
        try checkRange(of: event)
        return true
    }

    private func requireMap(_ event: UnsafeMutablePointer<TraceEvent>) throws(LineError) {
        try require(.iova, in: event)
        try require(.size, in: event)
        try require(.paddr, in: event)
        try checkRange(of: event)
    }

    /// Vendor kernels name the device or the domain right behind `IOMMU:`.
    private func readVendorName(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) {
        var name = body
        let text = name.token(until: UInt8(ascii: " "))
        guard !text.isEmpty, !text.contains(UInt8(ascii: "=")) else { return }
        set(.device, to: symbols.intern(text), in: event)
        body = name
    }

    /// `IOMMU:driver device iova=A flags=B`
    private func readFault(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) -> Bool {
        if !body.startsWith("device=") && !body.startsWith("driver=") && !body.startsWith("iova=") {
            guard body.skip("IOMMU:") else { return false }
            body.skipSpaces()
            set(.driver, to: symbols.intern(body.token(until: UInt8(ascii: " "))), in: event)
            body.skipSpaces()
            set(.device, to: symbols.intern(body.token(until: UInt8(ascii: " "))), in: event)
        }
        try readPairs(&body, into: event, symbols: &symbols)
        try require(.iova, in: event)
        return true
    }

    /// A message of the kernel log: `iova 0xfcbbf000 pa 0x00000008b2f33000 size 0x1000`. It stands at the entry of the
    /// function, like a probe.
    private func readMessage(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) {
        event.pointee.form = .probe
        event.pointee.location = symbols.intern("dynamic debug")
        while true {
            body.skipSpaces()
            guard !body.isAtEnd else { return }
            let field = FieldKeys.field(for: body.token(until: UInt8(ascii: " ")))
            body.skipSpaces()
            guard let field else { continue }
            guard let value = body.number(), body.isAtEnd || body.byte == UInt8(ascii: " ") else {
                throw LineError(.badNumber)
            }
            set(field, to: value, in: event)
        }
    }

    // MARK: - Probes

    /// `(function+0x5/0x2a0)`, `(caller+0x1b/0x30 <- function)`, `(system.event)`, each possibly with ` [module]`.
    private func readLocation(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) -> Bool {
        guard body.skip(UInt8(ascii: "(")) else { return false }
        var place = body
        _ = body.token(until: UInt8(ascii: ")"))
        let close = body.position
        guard body.skip(UInt8(ascii: ")")) else { return false }
        event.pointee.form = .probe
        place = ByteCursor(position: place.position, end: close)
        let first = functionName(&place)
        while !place.isAtEnd, event.pointee.form == .probe {
            if place.skip("<- ") { event.pointee.form = .probeReturn } else { place.advance() }
        }
        if event.pointee.form == .probeReturn {
            event.pointee.caller = symbols.intern(first)
            event.pointee.location = symbols.intern(functionName(&place))
        } else {
            event.pointee.location = symbols.intern(first)
        }
        return true
    }

    /// The name before `+offset/length`, a space or the end.
    private func functionName(_ place: inout ByteCursor) -> UnsafeRawBufferPointer {
        let start = place.position
        while !place.isAtEnd, place.byte != UInt8(ascii: "+"), place.byte != UInt8(ascii: " ") { place.advance() }
        return UnsafeRawBufferPointer(start: start, count: place.position - start)
    }

    /// `key=value` pairs in any order; unknown keys are passed over.
    private func readPairs(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) {
        while true {
            body.skipSpaces()
            guard !body.isAtEnd else { return }
            // The second half of `iova=A - B`.
            if body.byte == UInt8(ascii: "-"), body.byte(ahead: 1) == UInt8(ascii: " ") {
                body.advance()
                body.skipSpaces()
                guard let end = body.number() else { throw LineError(.badNumber) }
                set(.end, to: end, in: event)
                continue
            }
            let key = body.position
            while !body.isAtEnd, body.byte != UInt8(ascii: "="), body.byte != UInt8(ascii: " ") { body.advance() }
            let field = FieldKeys.field(for: UnsafeRawBufferPointer(start: key, count: body.position - key))
            guard body.skip(UInt8(ascii: "=")) else { continue }
            guard let field else {
                _ = body.token(until: UInt8(ascii: " "))
                continue
            }
            if body.skip(UInt8(ascii: "{")) {
                try readWords(&body, into: event)
            } else if body.skip(UInt8(ascii: "\"")) {
                set(field, to: symbols.intern(body.token(until: UInt8(ascii: "\""))), in: event)
                _ = body.skip(UInt8(ascii: "\""))
            } else if field == .device || field == .driver || field == .unit || field == .direction {
                set(field, to: symbols.intern(body.token(until: UInt8(ascii: " "))), in: event)
            } else {
                guard let value = body.number(), body.isAtEnd || body.byte == UInt8(ascii: " ") else {
                    throw LineError(.badNumber)
                }
                set(field, to: value, in: event)
            }
        }
    }

    /// `0x3000000000012,0xfff86001,0x0,0x0}`, what is behind `cmds={`: as many words as there are fields for.
    private func readWords(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>
    ) throws(LineError) {
        var places = Self.words[...]
        repeat {
            guard let value = body.number() else { throw LineError(.badNumber) }
            if let place = places.popFirst() { set(place, to: value, in: event) }
        } while body.skip(UInt8(ascii: ","))
        guard body.skip(UInt8(ascii: "}")) else { throw LineError(.badNumber) }
    }

    private static let words: [Field] = [.word0, .word1, .word2, .word3, .word4, .word5, .word6, .word7]

    // MARK: - Intel

    /// `iotlb_inv dmar0: 0x800f2 0xf9a00005 0x0 0x0`
    private func readDescriptor(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) {
        if body.startsWith("qw0=") {
            try readPairs(&body, into: event, symbols: &symbols)
            for field in [Field.unit, .word0, .word1, .word2, .word3] { try require(field, in: event) }
            set(.type, to: symbols.intern(Self.descriptorName(event.pointee[.word0] ?? 0)), in: event)
            return
        }
        set(.type, to: symbols.intern(body.token(until: UInt8(ascii: " "))), in: event)
        body.skipSpaces()
        set(.unit, to: symbols.intern(body.token(until: UInt8(ascii: ":"))), in: event)
        guard body.skip(UInt8(ascii: ":")) else { throw LineError(.missingField) }
        try readWord(&body, as: .word0, into: event)
        try readWord(&body, as: .word1, into: event)
        try readWord(&body, as: .word2, into: event)
        try readWord(&body, as: .word3, into: event)
    }

    /// What the event's text calls a descriptor of this first word (`show_fields` in drivers/iommu/intel/trace.h).
    private static func descriptorName(_ word: UInt64) -> StaticString {
        switch word & 0xf {
        case 1: "cc_inv"
        case 2: "iotlb_inv"
        case 3: "dev_tlb_inv"
        case 4: "iec_inv"
        case 5: "inv_wait"
        case 6: "p_iotlb_inv"
        case 7: "pc_inv"
        case 8: "p_dev_tlb_inv"
        case 9: "page_grp_resp"
        default: "UNKNOWN"
        }
    }

    private func readWord(
        _ body: inout ByteCursor, as field: Field, into event: UnsafeMutablePointer<TraceEvent>
    ) throws(LineError) {
        body.skipSpaces()
        guard !body.isAtEnd else { throw LineError(.missingField) }
        try readNumber(&body, as: field, into: event)
    }

    /// `dmar1 0000:00:1b.0[0] type iotlb did 9 [0xeab00000-0xeab1afff] addr 0xeab00000 pages 0x20 mask 0x5` and
    /// `dmar6/0000:8a:00.0 type iotlb did 7 pasid 0 ref 1`
    private func readCacheTag(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) {
        if body.startsWith("iommu=") {
            try readPairs(&body, into: event, symbols: &symbols)
            try require(.hardwareDomain, in: event)
            let type: StaticString =
                switch event.pointee[.type] {
                case 0: "iotlb"
                case 1: "devtlb"
                case 2: "nesting_iotlb"
                default: "nesting_devtlb"
                }
            set(.type, to: symbols.intern(type), in: event)
            return
        }
        var unit = ByteCursor(position: body.position, end: body.end)
        _ = body.token(until: UInt8(ascii: " "))
        unit = ByteCursor(position: unit.position, end: body.position)
        set(.unit, to: symbols.intern(unit.token(until: UInt8(ascii: "/"))), in: event)
        body.skipSpaces()
        if unit.skip(UInt8(ascii: "/")) {
            set(.device, to: symbols.intern(unit.token(until: UInt8(ascii: " "))), in: event)
        } else {
            let device = body.position
            while !body.isAtEnd, body.byte != UInt8(ascii: "["), body.byte != UInt8(ascii: " ") { body.advance() }
            let name = UnsafeRawBufferPointer(start: device, count: body.position - device)
            set(.device, to: symbols.intern(name), in: event)
            _ = body.token(until: UInt8(ascii: " "))
        }
        while true {
            body.skipSpaces()
            guard !body.isAtEnd else { break }
            if body.skip(UInt8(ascii: "[")) {
                guard let start = body.number(), body.skip(UInt8(ascii: "-")), let last = body.number() else {
                    throw LineError(.badNumber)
                }
                set(.start, to: start, in: event)
                set(.end, to: last, in: event)
                _ = body.skip(UInt8(ascii: "]"))
            } else if body.skip("type ") {
                set(.type, to: symbols.intern(body.token(until: UInt8(ascii: " "))), in: event)
            } else if body.skip("did ") {
                try readNumber(&body, as: .hardwareDomain, into: event)
            } else if body.skip("addr ") {
                try readNumber(&body, as: .address, into: event)
            } else if body.skip("pages ") {
                try readNumber(&body, as: .pages, into: event)
            } else if body.skip("mask ") {
                try readNumber(&body, as: .mask, into: event)
            } else if body.skip("pasid ") {
                try readNumber(&body, as: .pasid, into: event)
            } else {
                _ = body.token(until: UInt8(ascii: " "))
            }
        }
        try require(.hardwareDomain, in: event)
    }

    private func readNumber(
        _ body: inout ByteCursor, as field: Field, into event: UnsafeMutablePointer<TraceEvent>
    ) throws(LineError) {
        guard let value = body.number() else { throw LineError(.badNumber) }
        set(field, to: value, in: event)
    }

    // MARK: - Checks

    private func require(_ field: Field, in event: UnsafeMutablePointer<TraceEvent>) throws(LineError) {
        guard event.pointee.present & (1 << UInt64(field.rawValue)) != 0 else { throw LineError(.missingField) }
    }

    /// Whether the sizes of a map or unmap are such that an address space can hold.
    func checkRange(of event: UnsafeMutablePointer<TraceEvent>) throws(LineError) {
        if let unmapped = event.pointee[.unmapped], unmapped > Self.largestSize { throw LineError(.sizeOutOfRange) }
        guard let size = event.pointee[.size] else { return }
        guard size <= Self.largestSize else { throw LineError(.sizeOutOfRange) }
        guard let iova = event.pointee[.iova] else { return }
        // A range may end exactly at 2^64, where its end reads as 0.
        let bytes = max(size, event.pointee[.unmapped] ?? 0)
        if bytes > 0, iova.addingReportingOverflow(bytes &- 1).overflow { throw LineError(.rangeOutOfRange) }
        if let end = event.pointee[.end], end &- iova != size { throw LineError(.endMismatch) }
    }

    @inline(__always)
    private func set(_ field: Field, to value: UInt64, in event: UnsafeMutablePointer<TraceEvent>) {
        event.pointee[field] = value
    }

    @inline(__always)
    private func set(_ field: Field, to symbol: Symbol, in event: UnsafeMutablePointer<TraceEvent>) {
        event.pointee[field] = UInt64(symbol.rawValue)
    }
}
