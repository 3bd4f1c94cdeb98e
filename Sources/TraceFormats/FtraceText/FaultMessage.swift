/// A fault as an IOMMU driver writes it into the kernel log.
///
/// * Intel (`dmar_fault_do_one`): `DMAR: [DMA Write NO_PASID] Request device [00:02.0] fault addr 0x9f5fc000 [fault reason 0x05] …`;
///   before 5.12 without PASID, and the address without `0x`; before 4.2 `DMAR:[DMA Write] …`, which ends with the address
/// * AMD (`amd_iommu_report_page_fault`): `AMD-Vi: Event logged [IO_PAGE_FAULT device=05:00.0 domain=0x000e address=0x… flags=0x0020]`; the
///   device may stand in front instead: `nvme 0000:05:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=…`
/// * SMMU v1 and v2 (`arm_smmu_context_fault`): `arm-smmu 15000000.iommu: Unhandled context fault: fsr=0x402, iova=0x…, fsynr=0x…, cb=3`
/// * SMMUv3 since 6.13: `arm-smmu-v3 …: event: F_TRANSLATION client: 0000:01:00.0 sid: 0x100 ssid: 0x0 iova: 0x… ipa: 0x0`
enum FaultMessage {
    private enum Driver {
        case intel, amd, smmu, smmuV3
    }

    private static let marks: [(text: StaticString, driver: Driver)] = [
        ("DMAR: [DMA ", .intel), ("DMAR:[DMA ", .intel), ("AMD-Vi: Event logged [IO_PAGE_FAULT", .amd),
        ("Unhandled context fault: ", .smmu),
        (": event: F_", .smmuV3),
    ]
    /// AMD's EVENT_FLAG_W; the SMMU's FSYNR0.WNR.
    private static let amdWrite: UInt64 = 0x20
    private static let smmuWrite: UInt64 = 1 << 4

    /// Whether the text at the cursor begins with what such a message is known by.
    static func isMark(_ cursor: ByteCursor) -> Bool { marks.contains { cursor.startsWith($0.text) } }

    /// Reads a message from its begin, where a device may be named.
    ///
    /// - Returns: device, address, 0 for a read and 1 for a write, and the domain id where they are told; `nil` if it is none.
    static func read(_ message: ByteCursor) throws(LineError) -> (
        device: String?, iova: UInt64, flags: UInt64?, hardwareDomain: UInt64?
    )? {
        var cursor = message
        while !cursor.isAtEnd, !isMark(cursor) { cursor.advance() }
        guard let driver = marks.first(where: { cursor.startsWith($0.text) })?.driver else { return nil }
        let owner = device(before: cursor, in: message)
        switch driver {
        case .intel:
            var direction = cursor
            if !direction.skip("DMAR: [DMA ") { _ = direction.skip("DMAR:[DMA ") }
            let flags: UInt64? = direction.startsWith("Read") ? 0 : direction.startsWith("Write") ? 1 : nil
            return (
                name(behind: "Request device [", in: cursor), try address(behind: "fault addr ", in: cursor), flags, nil
            )
        case .amd:
            return (
                name(behind: "device=", in: cursor) ?? owner, try address(behind: "address=", in: cursor),
                number(behind: "flags=", in: cursor).map { $0 & amdWrite != 0 ? 1 : 0 },
                number(behind: "domain=", in: cursor)
            )
        case .smmu:
            return (
                owner, try address(behind: "iova=", in: cursor),
                number(behind: "fsynr=", in: cursor).map { $0 & smmuWrite != 0 ? 1 : 0 }, nil
            )
        case .smmuV3:
            return (name(behind: "client: ", in: cursor), try address(behind: "iova: ", in: cursor), nil, nil)
        }
    }

    // MARK: - Pieces

    private static func position(behind text: StaticString, in message: ByteCursor) -> ByteCursor? {
        var cursor = message
        while !cursor.isAtEnd {
            if cursor.skip(text) { return cursor }
            cursor.advance()
        }
        return nil
    }

    private static func number(behind text: StaticString, in message: ByteCursor) -> UInt64? {
        hexadecimal(behind: text, in: message)?.number
    }

    /// A hexadecimal number with or without `0x`, and whether the message ends with it.
    private static func hexadecimal(
        behind text: StaticString, in message: ByteCursor
    ) -> (number: UInt64, isLast: Bool)? {
        guard var cursor = position(behind: text, in: message) else { return nil }
        if cursor.startsWith("0x") { _ = cursor.skip("0x") }
        return cursor.hexadecimal().map { ($0, cursor.isAtEnd) }
    }

    private static func address(behind text: StaticString, in message: ByteCursor) throws(LineError) -> UInt64 {
        guard position(behind: text, in: message) != nil else { throw LineError(.missingField) }
        guard let (number, isLast) = hexadecimal(behind: text, in: message) else { throw LineError(.badNumber) }
        // Something follows in all messages but Intel's oldest: an address at the end is one that was cut.
        if isLast, !message.startsWith("DMAR:[") { throw LineError(.badNumber) }
        return number
    }

    /// A device as the driver names it, with the PCI domain that other events have.
    private static func name(behind text: StaticString, in message: ByteCursor) -> String? {
        guard var cursor = position(behind: text, in: message) else { return nil }
        var bytes: [UInt8] = []
        while !cursor.isAtEnd, !" ]),".utf8.contains(cursor.byte), bytes.count < SymbolTable.longestText {
            if cursor.byte != UInt8(ascii: "(") { bytes.append(cursor.byte) }
            cursor.advance()
        }
        return bytes.isEmpty ? nil : withDomain(String(decoding: bytes, as: UTF8.self))
    }

    /// `nvme 0000:05:00.0: `, the way in which the kernel says which device a message is about: the last word before the mark.
    private static func device(before mark: ByteCursor, in message: ByteCursor) -> String? {
        let text = UnsafeRawBufferPointer(start: message.position, count: mark.position - message.position)
        let words = text.prefix(SymbolTable.longestText).split(separator: UInt8(ascii: " "))
        guard let last = words.last, last.last == UInt8(ascii: ":") else { return nil }
        return withDomain(String(decoding: last.dropLast(), as: UTF8.self))
    }

    /// `05:00.0` is `0000:05:00.0`.
    private static func withDomain(_ name: String) -> String {
        let parts = name.split(separator: ":")
        let isShort = parts.count == 2 && parts[0].count == 2 && parts[1].count == 4 && name.contains(".")
        return isShort ? "0000:" + name : name
    }
}
