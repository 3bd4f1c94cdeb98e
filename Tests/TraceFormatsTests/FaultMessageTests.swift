import TestSupport
import Testing

@testable import TraceFormats

/// Faults as drivers write them into the kernel log.
@Suite struct FaultMessageTests {
    struct Message: Sendable, CustomTestStringConvertible {
        var text: String
        var device: String?
        var iova: UInt64
        var flags: UInt64?
        var hardwareDomain: UInt64?
        var testDescription: String { text }
    }

    @Test(arguments: [
        Message(
            text:
                "DMAR: [DMA Write NO_PASID] Request device [00:02.0] fault addr 0x9f5fc000 [fault reason 0x05] PTE Write access is not set",
            device: "0000:00:02.0", iova: 0x9f5f_c000, flags: 1),
        Message(
            text:
                "DMAR: [DMA Read] Request device [03:00.1] fault addr fffe0000 [fault reason 06] PTE Read access is not set",
            device: "0000:03:00.1", iova: 0xfffe_0000, flags: 0),
        Message(
            text: "DMAR:[DMA Read] Request device [03:00.1] fault addr fffe0000", device: "0000:03:00.1",
            iova: 0xfffe_0000,
            flags: 0),
        Message(
            text: "AMD-Vi: Event logged [IO_PAGE_FAULT device=05:00.0 domain=0x000e address=0x91482640 flags=0x0020]",
            device: "0000:05:00.0", iova: 0x9148_2640, flags: 1, hardwareDomain: 14),
        Message(
            text:
                "nvme 0000:05:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000c address=0xfe980000 flags=0x0000]",
            device: "0000:05:00.0", iova: 0xfe98_0000, flags: 0, hardwareDomain: 12),
        Message(
            text:
                "arm-smmu 15000000.iommu: Unhandled context fault: fsr=0x402, iova=0xf9a00000, fsynr=0x1d0011, cbfrsynra=0x1, cb=3",
            device: "15000000.iommu", iova: 0xf9a0_0000, flags: 1),
        Message(
            text:
                "arm-smmu-v3 arm-smmu-v3.0.auto: event: F_TRANSLATION client: 0000:01:00.0 sid: 0x100 ssid: 0x0 iova: 0xfffff000 ipa: 0x0",
            device: "0000:01:00.0", iova: 0xffff_f000),
    ])
    func driversMessages(_ message: Message) throws {
        let log = try ReadLog("[  327.753942] \(message.text)\n<3>[  327.753950] [  T154] \(message.text)\n")
        #expect(log.events.count == 2)
        for event in log.events {
            #expect(event.name == "fault_message" && event.isKnown)
            #expect(event.texts[.device] == message.device)
            #expect(event[.iova] == message.iova)
            #expect(event[.flags] == message.flags)
            #expect(event[.hardwareDomain] == message.hardwareDomain)
        }
        #expect(log.events.map(\.pid) == [0, 154])
    }

    /// Cut anywhere, a message is an event with less in it, an unknown one or an issue; never more than it was.
    @Test func cutMessages() throws {
        let text =
            "[  1.500000] nvme 0000:05:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000c address=0xfe980000 flags=0x0000]"
        for length in 13..<text.count {
            let log = try? ReadLog(String(text.prefix(length)) + "\n")
            for event in log?.events ?? [] where event.isKnown {
                #expect(event.name == "fault_message")
                #expect(event[.iova] == 0xfe98_0000)
            }
        }
        #expect(
            try ReadLog("[  1.500000] DMAR: [DMA Read] Request device [00:02.0] fault addr zzz\n").issues[0].reason
                == .badNumber)
        #expect(
            try ReadLog("[  1.500000] DMAR: [DMA Read] Request device [00:02.0]\n").issues[0].reason == .missingField)
        let other = try ReadLog(
            "[  1.500000] DMAR: Host address width 39\n[  1.600000] AMD-Vi: Interrupt remapping enabled\n")
        #expect(other.events.map(\.name) == ["printk", "printk"])
    }
}
