import TestSupport
import Testing

@testable import TraceFormats

/// The records of a ring-buffer page, by what the kernel writes into one (model.md §7.8).
struct RingPageTests {
    /// A page's records as times and first bytes.
    struct Content: Equatable {
        var times: [UInt64] = []
        var bytes: [UInt8] = []
        var sizes: [Int] = []
        var missed: RingPage.Missed = .none
        var isDamaged = false

        init(_ page: [UInt8], layout: PageLayout = PageLayout()) {
            page.withUnsafeBytes { bytes in
                var page = RingPage(bytes, layout: layout)
                while let record = page.next() {
                    times.append(record.time)
                    self.bytes.append(record.bytes[0])
                    sizes.append(record.bytes.count)
                }
                missed = page.missed
                isDamaged = page.isDamaged
            }
        }
    }

    private static let record: [UInt8] = [1, 0, 0, 0, 7, 0, 0, 0]

    @Test("each record's time is the one before plus its own")
    func deltas() {
        var page = RingPageBytes(time: 1000)
        page.add(0, Self.record)
        page.add(5, Self.record)
        page.add(1 << 27 - 1, [UInt8](repeating: 9, count: 112))
        let content = Content(page.bytes())
        #expect(content.times == [1000, 1005, 1005 + 1 << 27 - 1])
        #expect(content.bytes == [1, 1, 9])
        #expect(content.sizes == [8, 8, 112])
        #expect(!content.isDamaged)
    }

    @Test("a record of more than 112 bytes has its length in front")
    func longRecord() {
        var page = RingPageBytes(time: 10)
        page.add(1, [UInt8](repeating: 3, count: 400))
        page.add(1, Self.record)
        let content = Content(page.bytes())
        #expect(content.sizes == [400, 8])
        #expect(content.times == [11, 12])
    }

    @Test("a time extend adds more than a record can")
    func timeExtend() {
        var page = RingPageBytes(time: 1000)
        page.extend(5_000_000_000)
        page.add(1, Self.record)
        #expect(Content(page.bytes()).times == [5_000_001_001])
    }

    @Test("an absolute stamp has 59 bits, the others are those of the time before")
    func absoluteStamp() {
        let base: UInt64 = 3 << 59 | 1000
        var page = RingPageBytes(time: base)
        page.stamp(2000)
        page.add(1, Self.record)
        #expect(Content(page.bytes()).times == [3 << 59 | 2001])
        // Its bits ran over since.
        page = RingPageBytes(time: base)
        page.stamp(10)
        page.add(0, Self.record)
        #expect(Content(page.bytes()).times == [4 << 59 | 10])
        page = RingPageBytes(time: 1000)
        page.stamp(10)
        page.add(0, Self.record)
        #expect(Content(page.bytes()).times == [10])
    }

    @Test("a record that was taken back counts its time, and padding ends the page")
    func padding() {
        var page = RingPageBytes(time: 1000)
        page.add(1, Self.record)
        page.discard(7, bytes: 20)
        page.add(2, Self.record)
        page.end()
        page.add(1, Self.record)
        let content = Content(page.bytes())
        #expect(content.times == [1001, 1010])
        #expect(!content.isDamaged)
    }

    @Test("events missed before a page, counted or not, on machines of 64 and of 32 bits")
    func missed() {
        var page = RingPageBytes(time: 1)
        page.add(1, Self.record)
        #expect(Content(page.bytes()).missed == .none)
        page.miss(nil)
        #expect(Content(page.bytes()).missed == .unknown)
        page.miss(31)
        #expect(Content(page.bytes()).missed == .count(31))
        let short = Content(page.bytes(longSize: 4), layout: PageLayout(commitSize: 4, dataOffset: 12))
        #expect(short.missed == .count(31))
        #expect(short.times == [2])
    }

    @Test("a page that claims more than it has gives what is there")
    func claims() {
        var page = RingPageBytes(time: 1)
        page.add(1, Self.record)
        page.commit = 5000
        #expect(Content(page.bytes()).isDamaged)
        #expect(Content(page.bytes()).times == [2])
        for words: [UInt64] in [[0 | 1 << 5, 0xffff_ffff], [0, 2], [29 | 1 << 5, 3], [28], [30], [31], [0]] {
            page = RingPageBytes(time: 1)
            page.add(1, Self.record)
            page.raw(words)
            page.commit = UInt64(page.count)
            let content = Content(page.bytes())
            #expect(content.times == [2])
            #expect(content.isDamaged)
        }
    }

    @Test("any bytes end", arguments: seeds)
    func noise(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            var bytes = (0..<512).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 3) }
            if generator.next() % 2 == 0 { bytes.replaceSubrange(8..<16, with: [240, 1, 0, 0, 0, 0, 0, 0]) }
            let content = Content(bytes, layout: PageLayout(pageSize: 512))
            #expect(content.times.count <= 128)
        }
        #expect(Content([]).isDamaged)
        #expect(Content([1, 2, 3]).isDamaged)
    }
}
