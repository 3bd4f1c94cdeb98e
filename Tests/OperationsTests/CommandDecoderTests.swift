import TestSupport
import Testing

@testable import Operations

/// Descriptors of VT-d and commands of AMD, as the hardware reads them (model.md §4.1, §4.2).
struct CommandDecoderTests {
    private static func descriptor(_ text: String) throws -> Layer? {
        try BuiltLog("0 7 1 qi_submit: \(text)").layers.first
    }

    private static func amd(_ c0: UInt32, _ c1: UInt32, _ c2: UInt32, _ c3: UInt32) throws -> Layer? {
        let words = [c0, c1, c2, c3].map { String($0, radix: 16) }
        return try BuiltLog(
            "0 7 1 amd_cmd: (__iommu_queue_command_sync+0x5/0xd0) c0=0x\(words[0]) c1=0x\(words[1]) c2=0x\(words[2]) c3=0x\(words[3])"
        ).layers.first
    }

    @Test("an IOTLB descriptor has granularity, domain id, address, mask and hint")
    func iotlb() throws {
        let page = try #require(try Self.descriptor("iotlb_inv dmar0: 0x800f2 0xf9a01045 0x0 0x0"))
        #expect(page.kind == .iotlbInvalidation)
        #expect(page.granularity == .page)
        #expect(page.hardwareDomain == 8)
        #expect(page.address == 0xf9a01000)
        #expect(page.mask == 5)
        #expect(page.hint)
        #expect(page.word0 == nil)
        let domain = try #require(try Self.descriptor("iotlb_inv dmar0: 0xffff00e2 0x0 0x0 0x0"))
        #expect(domain.granularity == .domain)
        #expect(domain.hardwareDomain == 0xffff)
        #expect(domain.address == nil)
        #expect(domain.mask == nil)
        #expect(!domain.hint)
        #expect(try Self.descriptor("iotlb_inv dmar0: 0xd2 0x0 0x0 0x0")?.granularity == .global)
        #expect(try Self.descriptor("iotlb_inv dmar0: 0xc2 0x0 0x0 0x0")?.granularity == nil)
    }

    @Test("an address operand stays as sent, even if its mask covers more")
    func unalignedAddress() throws {
        let layer = try #require(try Self.descriptor("iotlb_inv dmar0: 0x800f2 0x4dc0000e 0x0 0x0"))
        #expect(layer.address == 0x4dc00000)
        #expect(layer.mask == 14)
    }

    @Test("a mask that covers everything does not overflow")
    func largestMask() throws {
        let log = try BuiltLog(
            """
            0 7 1 unmap: IOMMU: iova=0xfffffffffffff000 size=4096 unmapped_size=4096
            0 7 2 qi_submit: iotlb_inv dmar0: 0x800f2 0xffffffffffffffff 0x0 0x0
            """)
        #expect(log.layers[0].mask == 63)
        #expect(log.domain("hw:8")?.mode == .strict)
    }

    @Test("other descriptors keep their kind and words")
    func others() throws {
        let context = try #require(try Self.descriptor("cc_inv dmar0: 0x4000090031 0x0 0x0 0x0"))
        #expect(context.kind == .contextInvalidation)
        #expect(context.granularity == .page)
        #expect(context.hardwareDomain == 9)
        #expect(context.word0 == 0x40_0009_0031)
        let kinds: [(String, Layer.Kind)] = [
            ("dev_tlb_inv", .deviceTLBInvalidation), ("iec_inv", .interruptEntryInvalidation), ("inv_wait", .wait),
            ("pc_inv", .pasidCacheInvalidation), ("p_dev_tlb_inv", .pasidDeviceTLBInvalidation),
            ("page_grp_resp", .pageGroupResponse), ("new_in_7.0", .otherDescriptor),
        ]
        for (name, kind) in kinds {
            let layer = try #require(try Self.descriptor("\(name) dmar3: 0x1000000003 0x7ffffffffffff001 0x0 0x0"))
            #expect(layer.kind == kind)
            #expect(layer.word0 == 0x10_0000_0003)
            #expect(layer.word1 == 0x7fff_ffff_ffff_f001)
            #expect(!layer.startsRun)
        }
        let pasid = try #require(try Self.descriptor("p_iotlb_inv dmar0: 0x1000100096 0x3003 0x0 0x0"))
        #expect(pasid.kind == .pasidIOTLBInvalidation)
        #expect(pasid.word0 == 0x10_0010_0096)
        #expect(pasid.startsRun)
    }

    @Test("an AMD command's kind is the opcode in the top bits of its second word")
    func amdKinds() throws {
        let kinds: [(UInt32, Layer.Kind)] = [
            (1, .amdCompletionWait), (2, .amdInvalidateDeviceEntry), (3, .amdInvalidatePages),
            (4, .amdInvalidateDeviceTLB), (5, .amdInvalidateInterrupt), (8, .amdInvalidateAll), (0, .amdOther),
            (15, .amdOther),
        ]
        for (opcode, kind) in kinds {
            let layer = try #require(try Self.amd(0x5d2001, opcode << 28 | 1, 0x33a5, 0x7))
            #expect(layer.kind == kind)
            #expect(layer.word0 == UInt64(opcode << 28 | 1) << 32 | 0x5d2001)
            #expect(layer.word1 == 0x7_0000_33a5)
        }
        #expect(try Self.amd(0, 0x8000_0000, 0, 0)?.granularity == .global)
    }

    @Test("INVALIDATE_IOMMU_PAGES without the size bit is one page")
    func amdOnePage() throws {
        let layer = try #require(try Self.amd(0, 0x30000003, 0xfffb0002, 0x1))
        #expect(layer.hardwareDomain == 3)
        #expect(layer.granularity == .page)
        #expect(layer.address == 0x1_fffb_0000)
        #expect(layer.mask == 0)
    }

    /// `build_inv_address` sets the bits below the highest one that first and last page differ in.
    @Test(
        "INVALIDATE_IOMMU_PAGES with the size bit: the run of ones in the address is the size",
        arguments: [
            (0x0000_2003, 0x2000, 1), (0x0000_3003, 0x0000, 3), (0x0000_5003, 0x4000, 2), (0x0000_7003, 0x0000, 4),
            (0x001f_f003, 0x0000, 10), (0x002f_f003, 0x20_0000, 9),
        ] as [(UInt32, UInt64, Int64)])
    func amdSizes(word: UInt32, address: UInt64, mask: Int64) throws {
        let layer = try #require(try Self.amd(0, 0x30000007, word, 0))
        #expect(layer.granularity == .page)
        #expect(layer.mask == mask)
        #expect(layer.address == address)
    }

    @Test("INVALIDATE_IOMMU_PAGES of everything is the whole domain")
    func amdWholeDomain() throws {
        // CMD_INV_IOMMU_ALL_PAGES_ADDRESS: 0x7fffffffffffffff, with size bit and PDE bit.
        let layer = try #require(try Self.amd(0, 0x30000007, 0xffff_f003, 0x7fff_ffff))
        #expect(layer.granularity == .domain)
        #expect(layer.hardwareDomain == 7)
        #expect(layer.address == nil)
        #expect(try Self.amd(0, 0x30000007, 0xffff_f003, 0xffff_ffff)?.granularity == .domain)
    }

    private static func arm(_ text: String) throws -> Rows<Layer> {
        try BuiltLog(
            """
            0 7 1 sync: (arm_smmu_iotlb_sync+0x0/0x40) domain=0xa start=0x1000 end=0x1fff
            0 7 2 cmdq: (arm_smmu_cmdq_issue_cmdlist+0x0/0x900) smmu=0xb \(text)
            """
        ).layers
    }

    @Test("of an SMMUv3 submission the first command is read, and the others are known to be there")
    func arm() throws {
        let layers = try Self.arm("cmd0=0x3000000000011 cmd1=0x0 n=3 sync=1")
        #expect(layers.map(\.kind) == [.armInvalidation, .armUnseen, .armUnseen])
        #expect(layers[0].word0 == 0x3000000000011 && layers[0].word1 == 0)
        #expect(layers[0].granularity == .domain && layers[0].hardwareDomain == 3 && layers[0].address == nil)
        #expect(layers.map(\.flush) == [1, 1, 1])
        // What invalidates no TLB is kept as it is.
        let other = try Self.arm("cmd0=0x46 cmd1=0x0 n=1 sync=1")
        #expect(other.map(\.kind) == [.armCommands] && other[0].granularity == nil)
        // More than the driver submits at once is nobody's.
        #expect(try Self.arm("cmd0=0x11 cmd1=0x0 n=4000000000 sync=1").count == 64)
        #expect(try Self.arm("cmd0=0x11 cmd1=0x0").map(\.kind) == [.armInvalidation])
    }

    @Test("with cmds the first four commands of an SMMUv3 submission are read, by opcode and range")
    func armCommands() throws {
        let layers = try Self.arm(
            "cmd0=0x3000000000012 cmd1=0xfffba301 n=6 sync=0 "
                + "cmds={0x3000000000012,0xfffba301,0x3000000500012,0xffea0701,0x300000000002a,0x20000000,0x28,0x0}")
        #expect(
            layers.map(\.kind)
                == [.armInvalidation, .armInvalidation, .armInvalidation, .armInvalidation, .armUnseen, .armUnseen])
        #expect(layers.prefix(4).map(\.granularity) == [.page, .page, .page, .domain])
        #expect(layers.prefix(3).map(\.address) == [0xfffba000, 0xffea0000, 0x2000_0000])
        // NUM 0 of SCALE 5 is 32 pages; the leaf bit is the hint. Stage 2 goes by VMID, in other bits.
        #expect(layers.prefix(3).map(\.mask) == [0, 5, 0] && layers.prefix(3).map(\.hint) == [true, true, false])
        #expect(layers.prefix(4).map(\.hardwareDomain) == [3, 3, 0, 0])
        #expect(try Self.arm("cmd0=0x12 cmd1=0x1001 n=1 sync=1 cmds={0x12,0x1001,0x0,0x0,0x0,0x0,0x0,0x0}").count == 1)
        // Three pages are covered by a mask of four.
        #expect(
            try Self.arm("cmd0=0x2012 cmd1=0x1701 n=1 sync=1 cmds={0x2012,0x1701,0x0,0x0,0x0,0x0,0x0,0x0}").first?.mask
                == 2)
    }

    @Test("a list of commands that is cut off is an issue", arguments: ["{0x12,0x10", "{0x12,,0x0}", "{}", "{zz}"])
    func brokenList(list: String) throws {
        let log = try BuiltLog("0 7 2 cmdq: (arm_smmu_cmdq_issue_cmdlist+0x0/0x900) n=1 cmds=\(list)")
        #expect(log.issues.map(\.reason) == [.badNumber] && log.layers.isEmpty)
    }

    @Test("AMD's command spares caches of tables where its PDE bit is clear")
    func amdHint() throws {
        #expect(try Self.amd(0, 0x3000_0004, 0x0001_0002, 0)?.hint == false)
        #expect(try Self.amd(0, 0x3000_0004, 0x0001_0000, 0)?.hint == true)
        #expect(try Self.amd(0, 0x3000_0004, 0xfff6_f001, 0)?.mask == 5)
    }
}
