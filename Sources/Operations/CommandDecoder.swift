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

    /// `cmdq`: one submission to an SMMUv3 command queue, of which the probe shows the first command.
    static func arm(_ event: UnsafePointer<TraceEvent>) -> Layer {
        var layer = Layer(.armCommands)
        layer.word0 = event.pointee[.word0]
        layer.word1 = event.pointee[.word1]
        return layer
    }
}
