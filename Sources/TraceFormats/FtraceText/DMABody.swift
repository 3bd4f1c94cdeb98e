/// Texts of the DMA API's events (model.md §7.6): they name the device of the map or unmap beside them.
///
/// `0000:00:05.0 dir=TO_DEVICE dma_addr=ffded676 size=74 phys_addr=100f54676 attrs=`. Addresses are hexadecimal without a
/// mark, those in lists have one. Of a scatter list the first address and the sum of the sizes are kept.
enum DMABody {
    static func read(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) {
        // Raw fields begin with a key, like the rest.
        if !body.startsWith("device=") {
            let device = body.token(until: UInt8(ascii: " "))
            guard !device.isEmpty, !device.contains(UInt8(ascii: "=")) else { throw LineError(.missingField) }
            event.pointee[.device] = UInt64(symbols.intern(device).rawValue)
        }
        while true {
            body.skipSpaces()
            guard !body.isAtEnd else { break }
            if body.skip("dma_addr=") {
                event.pointee[.iova] = try address(&body)
            } else if body.skip("phys_addr=") {
                event.pointee[.paddr] = try address(&body)
            } else if body.skip("size=") {
                event.pointee[.size] = try number(&body)
            } else if body.skip("dir=") {
                event.pointee[.direction] = UInt64(symbols.intern(body.token(until: UInt8(ascii: " "))).rawValue)
            } else if body.skip("device=") {
                event.pointee[.device] = UInt64(symbols.intern(body.token(until: UInt8(ascii: " "))).rawValue)
            } else if body.skip("ents=") {
                // `mapped/all`
                event.pointee[.count] = try number(&body)
                _ = body.token(until: UInt8(ascii: " "))
            } else if body.skip("dma_addrs={") {
                if let first = try firstOfList(&body) { event.pointee[.iova] = first }
            } else if body.skip("phys_addrs={") {
                if let first = try firstOfList(&body) { event.pointee[.paddr] = first }
            } else if body.skip("sizes={") {
                event.pointee[.size] = try sumOfList(&body)
            } else {
                _ = body.token(until: UInt8(ascii: " "))
            }
        }
        guard event.pointee[.device] != nil else { throw LineError(.missingField) }
    }

    /// `dev_name: 0000:00:05.0 dma_mask=ffffffff dev_addr=bf000000 size=4096 FORCE`
    static func readBounce(
        _ body: inout ByteCursor, into event: UnsafeMutablePointer<TraceEvent>, symbols: inout SymbolTable
    ) throws(LineError) {
        while true {
            body.skipSpaces()
            guard !body.isAtEnd else { break }
            if body.skip("dev_name: ") || body.skip("dev_name=") {
                event.pointee[.device] = UInt64(symbols.intern(body.token(until: UInt8(ascii: " "))).rawValue)
            } else if body.skip("dev_addr=") {
                event.pointee[.iova] = try address(&body)
            } else if body.skip("size=") {
                event.pointee[.size] = try number(&body)
            } else {
                _ = body.token(until: UInt8(ascii: " "))
            }
        }
        guard event.pointee[.device] != nil else { throw LineError(.missingField) }
    }

    private static func address(_ body: inout ByteCursor) throws(LineError) -> UInt64 {
        _ = body.skip("0x")
        guard let value = body.hexadecimal() else { throw LineError(.badNumber) }
        return value
    }

    private static func number(_ body: inout ByteCursor) throws(LineError) -> UInt64 {
        guard let value = body.number() else { throw LineError(.badNumber) }
        return value
    }

    /// The first number of `0x…,0x…}`, and all of them passed over; `nil` of an empty list.
    private static func firstOfList(_ body: inout ByteCursor) throws(LineError) -> UInt64? {
        let first = body.byte == UInt8(ascii: "}") ? nil : try address(&body)
        _ = body.token(until: UInt8(ascii: " "))
        return first
    }

    private static func sumOfList(_ body: inout ByteCursor) throws(LineError) -> UInt64 {
        var sum: UInt64 = 0
        while !body.isAtEnd, body.byte != UInt8(ascii: "}"), body.byte != UInt8(ascii: " ") {
            let (next, overflow) = sum.addingReportingOverflow(try address(&body))
            guard !overflow else { throw LineError(.badNumber) }
            sum = next
            if !body.skip(UInt8(ascii: ",")) { break }
        }
        _ = body.token(until: UInt8(ascii: " "))
        return sum
    }
}
