import TraceFormats

/// Decodes what was sent to the hardware: VT-d descriptors, AMD commands, SMMUv3 commands (model.md §4.1-4.3).
enum CommandDecoder {
    /// `qi_submit`: one queued-invalidation descriptor of VT-d.
    ///
    /// - Parameter type: the descriptor's type as the event names it, such as `iotlb_inv`.
    static func queuedInvalidation(_ event: UnsafePointer<TraceEvent>, type: String) -> Layer {
        let word0 = event.pointee[.word0] ?? 0
        let word1 = event.pointee[.word1] ?? 0
        var layer = Layer(kind(ofType: type))
        switch layer.kind {
        case .iotlbInvalidation, .pasidIOTLBInvalidation:
            // A PASID's commands name a domain and a PASID within it: 2 for all of that, 3 for a range.
            layer.granularity = Layer.Granularity(rawValue: UInt8(truncatingIfNeeded: word0 >> 4 & 3))
            layer.hardwareDomain = Int64(word0 >> 16 & 0xffff)
            if layer.granularity == .page {
                layer.address = word1 & ~0xfff
                layer.mask = Int64(word1 & 0x3f)
            }
            layer.hint = word1 & 0x40 != 0
            if layer.kind == .pasidIOTLBInvalidation { layer.word0 = word0 }
        case .contextInvalidation:
            layer.granularity = Layer.Granularity(rawValue: UInt8(truncatingIfNeeded: word0 >> 4 & 3))
            layer.hardwareDomain = Int64(word0 >> 16 & 0xffff)
            layer.word0 = word0
        default:
            layer.word0 = word0
            layer.word1 = word1
        }
        return layer
    }

    private static func kind(ofType type: String) -> Layer.Kind {
        switch type {
        case "iotlb_inv": .iotlbInvalidation
        case "cc_inv": .contextInvalidation
        case "dev_tlb_inv": .deviceTLBInvalidation
        case "iec_inv": .interruptEntryInvalidation
        case "inv_wait": .wait
        case "p_iotlb_inv": .pasidIOTLBInvalidation
        case "pc_inv": .pasidCacheInvalidation
        case "p_dev_tlb_inv": .pasidDeviceTLBInvalidation
        case "page_grp_resp": .pageGroupResponse
        default: .otherDescriptor
        }
    }

    /// `amd_cmd`: one command of an AMD IOMMU as four 32-bit words, the opcode in the top bits of the second.
    static func amd(_ event: UnsafePointer<TraceEvent>) -> Layer {
        let words = (
            event.pointee[.word0] ?? 0, event.pointee[.word1] ?? 0, event.pointee[.word2] ?? 0,
            event.pointee[.word3] ?? 0
        )
        let kind: Layer.Kind =
            switch words.1 >> 28 & 0xf {
            case 1: .amdCompletionWait
            case 2: .amdInvalidateDeviceEntry
            case 3: .amdInvalidatePages
            case 4: .amdInvalidateDeviceTLB
            case 5: .amdInvalidateInterrupt
            case 8: .amdInvalidateAll
            default: .amdOther
            }
        var layer = Layer(kind)
        layer.word0 = words.0 & 0xffff_ffff | words.1 << 32
        layer.word1 = words.2 & 0xffff_ffff | words.3 << 32
        if kind == .amdInvalidatePages {
            layer.hardwareDomain = Int64(words.1 & 0xffff)
            // Without the PDE bit caches of tables may keep what they have.
            layer.hint = words.2 & 2 == 0
            let operand = words.2 & 0xffff_f000 | words.3 << 32
            if words.2 & 1 == 0 {
                layer.granularity = .page
                layer.address = operand
                layer.mask = 0
            } else {
                // The run of low ones in the address codes the size: k of them cover 2^(k+1) pages.
                let ones = (~(operand >> 12)).trailingZeroBitCount
                layer.granularity = ones >= 39 ? .domain : .page
                if ones < 39 {
                    let offsetBits = UInt64(ones) + 13
                    layer.address = (operand >> offsetBits) << offsetBits
                    layer.mask = Int64(ones) + 1
                }
            }
        } else if kind == .amdInvalidateAll {
            layer.granularity = .global
        }
        return layer
    }

    /// `cmdq`: one submission to an SMMUv3 command queue. A probe shows the first command of it, or with `cmds` the first four;
    /// of the others it is known only that they were there.
    static func arm(_ event: UnsafePointer<TraceEvent>) -> [Layer] {
        let shown: [(UInt64?, UInt64?)] =
            event.pointee[.word7] == nil
            ? [(event.pointee[.word0], event.pointee[.word1])]
            : [(Field.word0, Field.word1), (.word2, .word3), (.word4, .word5), (.word6, .word7)].map {
                (event.pointee[$0], event.pointee[$1])
            }
        guard let count = event.pointee[.count] else { return [arm(shown[0].0, shown[0].1)] }
        let commands = Int(min(count, armBatch))
        return shown.prefix(commands).map { arm($0.0, $0.1) }
            + (0..<max(commands - shown.count, 0)).map { _ in Layer(.armUnseen) }
    }

    /// The driver submits no more at once, `CMDQ_BATCH_ENTRIES`.
    private static let armBatch: UInt64 = 64

    /// One command: its first and its second word.
    private static func arm(_ word0: UInt64?, _ word1: UInt64?) -> Layer {
        guard let word0, let kind = ArmInvalidation(opcode: word0 & 0xff) else {
            var layer = Layer(.armCommands)
            (layer.word0, layer.word1) = (word0, word1)
            return layer
        }
        var layer = Layer(.armInvalidation)
        let word1 = word1 ?? 0
        (layer.word0, layer.word1) = (word0, word1)
        layer.granularity = kind.granularity
        if kind.granularity != .global {
            layer.hardwareDomain = Int64(kind.isByVMID ? word0 >> 32 & 0xffff : word0 >> 48)
        }
        guard kind.granularity == .page else { return layer }
        layer.hint = word1 & 1 != 0
        layer.address = word1 & ~0xfff
        // Of a range, which TG tells, the command covers (NUM + 1) << SCALE pages; without, one page, of any size.
        let granuleBits = 10 + 2 * (word1 >> 10 & 3)
        let pages = granuleBits == 10 ? 1 : ((word0 >> 12 & 31) + 1) << (word0 >> 20 & 31)
        let size = granuleBits == 10 ? 4096 : pages << granuleBits
        layer.mask = Int64(63 - size.leadingZeroBitCount) - 12 + (size.nonzeroBitCount > 1 ? 1 : 0)
        return layer
    }

    /// The TLBI commands of SMMUv3 that Linux sends.
    private struct ArmInvalidation {
        var granularity: Layer.Granularity
        var isByVMID = false

        init?(opcode: UInt64) {
            switch opcode {
            case 0x12, 0x22: granularity = .page
            case 0x2a: (granularity, isByVMID) = (.page, true)
            case 0x11, 0x21: granularity = .domain
            case 0x28: (granularity, isByVMID) = (.domain, true)
            case 0x10, 0x20, 0x30: granularity = .global
            default: return nil
            }
        }
    }
}
