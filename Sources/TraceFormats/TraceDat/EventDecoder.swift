import Glibc

/// Turns records into events, by the formats of the recording that they are from.
///
/// For each format it is worked out once where the fields are that the text form of such an event has too, and under which
/// ``Field`` they go (``FieldKeys`` has the names for both). A record then is a few loads.
final class EventDecoder {
    /// How a field's bytes become a value.
    private enum Load {
        case unsigned
        case signed
        /// A text of which the record holds place and length.
        case located
        /// The same with the place counted from the end of this field.
        case relative
        /// A text in the record itself.
        case characters
        /// A number that the text form prints where others have a name.
        case decimalName
        case hexadecimalName
        /// The number of a cache tag's type.
        case cacheTagName
    }

    private struct Step {
        var field: Field
        var load: Load
        var offset: Int
        var size: Int
    }

    private struct Plan {
        var name: Symbol
        var form: TraceEvent.Form = .tracepoint
        var isKnown = false
        var isMarker = false
        /// Whether the descriptor's type follows from its first word.
        var isDescriptor = false
        /// Whether sizes are to be checked, as those of maps and unmaps are.
        var hasRange = false
        /// Where the address of the probed function is, and of its caller.
        var location: Int?
        var caller: Int?
        /// Bytes of such an address.
        var addressSize = 8
        var steps: Range<Int> = 0..<0
        /// Bytes that a record must have at least.
        var size = 8
    }

    /// The tracepoints whose fields are read, and what they must have: those of ``EventBody``.
    private static let tracepoints: [String: [Field]] = [
        "iommu:map": [.iova, .paddr, .size],
        "iommu:unmap": [.iova, .size],
        "iommu:attach_device_to_domain": [.device],
        "iommu:detach_device_from_domain": [.device],
        "iommu:add_device_to_group": [.device],
        "iommu:remove_device_from_group": [.device],
        "iommu:io_page_fault": [.iova],
        "intel_iommu:qi_submit": [.word0, .word1, .word2, .word3],
        "intel_iommu:cache_tag_assign": [.hardwareDomain],
        "intel_iommu:cache_tag_unassign": [.hardwareDomain],
        "intel_iommu:cache_tag_flush_range": [.hardwareDomain],
        "intel_iommu:cache_tag_flush_range_np": [.hardwareDomain],
        "intel_iommu:cache_tag_flush_all": [.hardwareDomain],
        "dma:dma_map_page": [.iova, .size],
        "dma:dma_map_resource": [.iova, .size],
        "dma:dma_map_phys": [.iova, .size],
        "dma:dma_unmap_page": [.iova, .size],
        "dma:dma_unmap_resource": [.iova, .size],
        "dma:dma_unmap_phys": [.iova, .size],
        "dma:dma_alloc": [.iova, .size],
        "dma:dma_alloc_pages": [.iova, .size],
        "dma:dma_free": [.iova, .size],
        "dma:dma_free_pages": [.iova, .size],
        "dma:dma_map_sg": [],
        "dma:dma_unmap_sg": [],
        "dma:dma_alloc_sgt": [],
        "dma:dma_free_sgt": [],
        "ftrace:print": [],
    ]

    /// What the kernel's print format calls the low bits of a descriptor (`enum` of `drivers/iommu/intel/trace.h`).
    private static let descriptorTypes = [
        "0x0", "cc_inv", "iotlb_inv", "dev_tlb_inv", "iec_inv", "inv_wait", "p_iotlb_inv", "pc_inv", "p_dev_tlb_inv",
        "page_grp_resp", "0xa", "0xb", "0xc", "0xd", "0xe", "0xf",
    ]
    /// `enum cache_tag_type`.
    private static let cacheTagTypes = ["iotlb", "devtlb", "nesting_iotlb", "nesting_devtlb"]

    private static let markerLength = 512
    /// Addresses of probed functions that are remembered.
    private static let rememberedPlaces = 1 << 14

    private let plans: ContiguousArray<Plan>
    private let steps: ContiguousArray<Step>
    /// Index into ``plans`` for each `common_type`, -1 for those without a format.
    private let planOfType: UnsafeMutablePointer<Int32>
    private let checks = EventBody()
    private let kernelSymbols: KernelSymbols
    private var places: [UInt64: Symbol] = [:]
    private let descriptorSymbols: [Symbol]
    private let cacheTagSymbols: [Symbol]

    /// Whether the fields of such an event are looked at.
    static func needsFields(_ system: String, _ name: String, _ text: [UInt8]) -> Bool {
        tracepoints[system + ":" + name] != nil || isProbe(text)
    }

    /// Probes name their place in their fields; those on events have none, but a text that begins as no tracepoint's does.
    private static func isProbe(_ text: [UInt8]) -> Bool {
        contains(text, "__probe_") || contains(text, "print fmt: \" ")
    }

    private static func contains(_ text: [UInt8], _ part: StaticString) -> Bool {
        text.withUnsafeBytes { bytes in
            let count = part.utf8CodeUnitCount
            guard let base = bytes.baseAddress, bytes.count >= count else { return false }
            var place = base
            let last = base + (bytes.count - count)
            while place <= last, let found = memchr(place, Int32(part.utf8Start.pointee), last - place + 1) {
                if memcmp(found, part.utf8Start, count) == 0 { return true }
                place = UnsafeRawPointer(found) + 1
            }
            return false
        }
    }

    init(_ formats: [EventFormat], kernelSymbols: KernelSymbols, symbols: inout SymbolTable) {
        self.kernelSymbols = kernelSymbols
        descriptorSymbols = Self.descriptorTypes.map { symbols.intern($0) }
        cacheTagSymbols = Self.cacheTagTypes.map { symbols.intern($0) }
        planOfType = .allocate(capacity: 1 << 16)
        planOfType.initialize(repeating: -1, count: 1 << 16)
        var plans: ContiguousArray<Plan> = []
        var steps: ContiguousArray<Step> = []
        for format in formats where planOfType[Int(format.id)] < 0 {
            planOfType[Int(format.id)] = Int32(plans.count)
            plans.append(Self.plan(format, &steps, &symbols))
        }
        self.plans = plans
        self.steps = steps
    }

    deinit { planOfType.deallocate() }

    // MARK: - Plans

    private static func plan(
        _ format: EventFormat, _ steps: inout ContiguousArray<Step>, _ symbols: inout SymbolTable
    ) -> Plan {
        var plan = Plan(name: symbols.intern(format.name))
        let required = tracepoints[format.system + ":" + format.name]
        let probed = format.field("__probe_func") ?? format.field("__probe_ip")
        guard required != nil || probed != nil || format.isEventProbe else { return plan }
        let first = steps.count
        if format.system == "ftrace" {
            guard let text = format.field("buf") else { return plan }
            steps.append(Step(field: .text, load: .characters, offset: text.offset, size: text.size))
            plan.isMarker = true
        } else {
            let isCacheTag = format.name.hasPrefix("cache_tag_")
            for field in format.fields {
                var name = field.name
                guard var key = name.withUTF8({ FieldKeys.field(for: UnsafeRawBufferPointer($0)) }) else { continue }
                // What a device is given, which other events of the DMA API call dma_addr.
                if format.system == "dma", key == .address { key = .iova }
                if field.isArray, key == .word0, field.size % 8 == 0 {
                    // Commands of one submission: `cmds`.
                    for (index, word) in words.prefix(field.size / 8).enumerated() {
                        steps.append(Step(field: word, load: .unsigned, offset: field.offset + 8 * index, size: 8))
                    }
                    continue
                }
                guard let load = load(of: field, as: key, format, isCacheTag: required != nil && isCacheTag)
                else { continue }
                steps.append(Step(field: key, load: load, offset: field.offset, size: field.size))
            }
        }
        plan.steps = first..<steps.count
        if let required {
            let there = Set(steps[plan.steps].map(\.field))
            guard there.isSuperset(of: required) else { return plan }
            plan.isDescriptor = format.name == "qi_submit"
        } else {
            plan.form = format.field("__probe_func") != nil ? .probeReturn : .probe
            plan.addressSize = probed?.size == 4 ? 4 : 8
            plan.location = probed.flatMap { $0.size == plan.addressSize ? $0.offset : nil }
            plan.caller = format.field("__probe_ret_ip").flatMap { $0.size == plan.addressSize ? $0.offset : nil }
        }
        plan.hasRange = steps[plan.steps].contains { $0.field == .size || $0.field == .unmapped }
        plan.size = steps[plan.steps].reduce(8) { max($0, $1.offset + $1.size) }
        for place in [plan.location, plan.caller] { plan.size = max(plan.size, (place ?? 0) + plan.addressSize) }
        plan.isKnown = true
        return plan
    }

    private static let words: [Field] = [.word0, .word1, .word2, .word3, .word4, .word5, .word6, .word7]

    private static func load(
        of field: EventFormat.Field, as key: Field, _ format: EventFormat, isCacheTag: Bool
    ) -> Load? {
        if field.isDataLocation { return field.size == 4 ? .located : nil }
        if field.isRelativeLocation { return field.size == 4 ? .relative : nil }
        if field.isCharacters { return .characters }
        guard !field.isArray, [1, 2, 4, 8].contains(field.size) else { return nil }
        if isCacheTag, key == .type { return .cacheTagName }
        if key == .device || key == .unit || key == .driver {
            return format.printFormat.contains("\(field.name)=0x") ? .hexadecimalName : .decimalName
        }
        return field.isSigned ? .signed : .unsigned
    }

    // MARK: - Records

    /// Fills in `event` from a record; its time, CPU and task are set by the caller.
    ///
    /// - Returns: why not; `nil` if all is well.
    func decode(
        _ record: UnsafeRawBufferPointer, into event: UnsafeMutablePointer<TraceEvent>, _ batch: EventBatch,
        symbols: inout SymbolTable
    ) -> ParseIssue.Reason? {
        guard record.count >= 8 else { return .corruptRecording }
        let type = Int(record.loadUnaligned(fromByteOffset: 0, as: UInt16.self))
        let index = Int(planOfType[type])
        guard index >= 0 else { return .corruptRecording }
        return plans.withUnsafeBufferPointer { plans in
            steps.withUnsafeBufferPointer { steps in
                fill(event, from: record, plans[index], steps, batch, &symbols)
            }
        }
    }

    @inline(__always)
    private func fill(
        _ event: UnsafeMutablePointer<TraceEvent>, from record: UnsafeRawBufferPointer, _ plan: borrowing Plan,
        _ steps: UnsafeBufferPointer<Step>, _ batch: EventBatch, _ symbols: inout SymbolTable
    ) -> ParseIssue.Reason? {
        event.pointee.name = plan.name
        event.pointee.form = plan.form
        event.pointee.isKnown = plan.isKnown
        event.pointee.present = 0
        event.pointee.location = .none
        event.pointee.caller = .none
        guard plan.isKnown else { return nil }
        guard record.count >= plan.size else { return .missingField }
        for index in plan.steps {
            let step = steps[index]
            switch step.load {
            case .unsigned: event.pointee[step.field] = Self.number(record, step.offset, step.size)
            case .signed:
                let value = Self.number(record, step.offset, step.size)
                let shift = UInt64(64 - 8 * step.size)
                event.pointee[step.field] = UInt64(bitPattern: Int64(bitPattern: value << shift) >> Int64(shift))
            default:
                guard let symbol = text(step, record, batch, &symbols) else { return .missingField }
                event.pointee[step.field] = symbol
            }
        }
        if plan.isDescriptor, let word = event.pointee[.word0] {
            event.pointee[.type] = UInt64(descriptorSymbols[Int(word & 15)].rawValue)
        }
        if plan.hasRange {
            do throws(LineError) { try checks.checkRange(of: event) } catch { return error.reason }
        }
        if let offset = plan.location {
            event.pointee.location = place(Self.number(record, offset, plan.addressSize), &symbols)
        }
        if let offset = plan.caller {
            event.pointee.caller = place(Self.number(record, offset, plan.addressSize), &symbols)
        }
        return nil
    }

    /// A little-endian number that is inside the record.
    @inline(__always)
    private static func number(_ record: UnsafeRawBufferPointer, _ offset: Int, _ size: Int) -> UInt64 {
        switch size {
        case 8: record.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        case 4: UInt64(record.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        case 2: UInt64(record.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
        default: UInt64(record[offset])
        }
    }

    /// A text field's symbol, or for markers its index; `nil` if it lies outside of the record.
    private func text(
        _ step: Step, _ record: UnsafeRawBufferPointer, _ batch: EventBatch, _ symbols: inout SymbolTable
    ) -> UInt64? {
        var start = step.offset
        var count = step.size == 0 ? record.count - start : step.size
        switch step.load {
        case .located, .relative:
            let place = record.loadUnaligned(fromByteOffset: step.offset, as: UInt32.self)
            start = Int(place & 0xffff) + (step.load == .relative ? step.offset + 4 : 0)
            count = Int(place >> 16)
        case .cacheTagName:
            let type = Int(truncatingIfNeeded: Self.number(record, step.offset, step.size))
            if cacheTagSymbols.indices.contains(type) { return UInt64(cacheTagSymbols[type].rawValue) }
            return UInt64(symbols.intern("0x" + String(type, radix: 16)).rawValue)
        case .hexadecimalName:
            let value = Self.number(record, step.offset, step.size)
            return UInt64(symbols.intern("0x" + String(value, radix: 16)).rawValue)
        case .decimalName:
            return UInt64(symbols.intern(String(Self.number(record, step.offset, step.size))).rawValue)
        default: break
        }
        guard start >= 0, count >= 0, start <= record.count, count <= record.count - start else { return nil }
        var bytes = UnsafeRawBufferPointer(rebasing: record[start..<(start + count)])
        if let end = bytes.firstIndex(of: 0) { bytes = UnsafeRawBufferPointer(rebasing: bytes[..<end]) }
        guard step.field == .text else { return UInt64(symbols.intern(bytes).rawValue) }
        while bytes.last == 10 { bytes = UnsafeRawBufferPointer(rebasing: bytes.dropLast()) }
        batch.texts.append(
            String(decoding: UnsafeRawBufferPointer(rebasing: bytes.prefix(Self.markerLength)), as: UTF8.self))
        return UInt64(batch.texts.count - 1)
    }

    /// The name of the function at an address.
    private func place(_ address: UInt64, _ symbols: inout SymbolTable) -> Symbol {
        if let known = places[address] { return known }
        guard let name = kernelSymbols.name(of: address) else { return .none }
        let symbol = name.withUnsafeBytes { symbols.intern($0) }
        if places.count < Self.rememberedPlaces { places[address] = symbol }
        return symbol
    }
}
