/// How a recording's pages are laid out: the machine's `long` and what its `header_page` says.
struct PageLayout: Hashable, Sendable {
    /// Bytes of the commit field, a `long`.
    var commitSize = 8
    /// Where the records begin.
    var dataOffset = 16
    /// Bytes of a page, or of a sub-buffer since Linux 6.8.
    var pageSize = 4096
}

/// The records of one ring-buffer page (model.md §7.8; the kernel's `ring_buffer.c`).
///
/// Each step is checked against the page's end. A page that contradicts itself ends there and says so.
struct RingPage {
    /// Events that the ring buffer lost just before this page, if it says so.
    enum Missed: Hashable {
        case none
        case unknown
        case count(UInt64)
    }

    /// One record: its own bytes, valid as long as the page's, and its time as recorded.
    struct Record {
        var bytes: UnsafeRawBufferPointer
        var time: UInt64
    }

    private(set) var missed: Missed = .none
    private(set) var isDamaged = false
    private var data: UnsafeRawBufferPointer
    private var position = 0
    private var time: UInt64 = 0

    private static let commitMask: UInt64 = (1 << 27) - 1
    private static let missedBit: UInt64 = 1 << 31
    private static let countStoredBit: UInt64 = 1 << 30
    /// An absolute stamp has 59 bits; the others are those of the time before.
    private static let stampBits: UInt64 = 59

    /// A page without records.
    init() { data = UnsafeRawBufferPointer(start: nil, count: 0) }

    /// Begins a page, of which `page` holds what the file has.
    init(_ page: UnsafeRawBufferPointer, layout: PageLayout) {
        self.init()
        guard page.count >= layout.dataOffset, let base = page.baseAddress else {
            isDamaged = true
            return
        }
        time = page.loadUnaligned(fromByteOffset: 0, as: UInt64.self)
        let commit =
            layout.commitSize == 8
            ? page.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            : UInt64(page.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        let length = Int(commit & Self.commitMask)
        let room = page.count - layout.dataOffset
        isDamaged = length > room
        data = UnsafeRawBufferPointer(start: base + layout.dataOffset, count: min(length, room))
        guard commit & Self.missedBit != 0 else { return }
        missed = .unknown
        if commit & Self.countStoredBit != 0, length <= room - layout.commitSize {
            let count =
                layout.commitSize == 8
                ? page.loadUnaligned(fromByteOffset: layout.dataOffset + length, as: UInt64.self)
                : UInt64(page.loadUnaligned(fromByteOffset: layout.dataOffset + length, as: UInt32.self))
            missed = .count(count)
        }
    }

    /// The next record; `nil` at the page's end.
    mutating func next() -> Record? {
        while data.count - position >= 4 {
            let header = word(position)
            let kind = header & 31
            let delta = UInt64(header >> 5)
            switch kind {
            case 29:
                // A record that was discarded, or the rest of the page.
                guard delta != 0, let skipped = wordIfThere(position + 4), skipped >= 4 else {
                    isDamaged = isDamaged || delta != 0
                    position = data.count
                    return nil
                }
                time &+= delta
                step(4, Int(skipped))
            case 30:
                guard let high = wordIfThere(position + 4) else { return giveUp() }
                time &+= UInt64(high) << 27 &+ delta
                position += 8
            case 31:
                guard let high = wordIfThere(position + 4) else { return giveUp() }
                stamp(UInt64(high) << 27 &+ delta)
                position += 8
            case 0:
                guard let length = wordIfThere(position + 4), length > 4 else { return giveUp() }
                return record(delta, at: position + 8, count: Int(length) - 4)
            default:
                return record(delta, at: position + 4, count: Int(kind) * 4)
            }
        }
        return nil
    }

    private mutating func record(_ delta: UInt64, at start: Int, count: Int) -> Record? {
        guard count <= data.count - start, let base = data.baseAddress else { return giveUp() }
        time &+= delta
        position = start
        step(0, count)
        return Record(bytes: UnsafeRawBufferPointer(start: base + start, count: count), time: time)
    }

    /// Steps over a record's bytes, which are padded to words.
    private mutating func step(_ header: Int, _ count: Int) {
        let padded = header + (count + 3) & ~3
        position = padded <= data.count - position ? position + padded : data.count
    }

    /// As the kernel's `rb_fix_abs_ts`.
    private mutating func stamp(_ low: UInt64) {
        let high = time & ~((1 << Self.stampBits) - 1)
        var stamp = low & ((1 << Self.stampBits) - 1)
        if high != 0 {
            stamp |= high
            if stamp < time { stamp &+= 1 << Self.stampBits }
        }
        time = stamp
    }

    private mutating func giveUp() -> Record? {
        isDamaged = true
        position = data.count
        return nil
    }

    @inline(__always)
    private func word(_ offset: Int) -> UInt32 { data.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }

    @inline(__always)
    private func wordIfThere(_ offset: Int) -> UInt32? {
        offset >= 0 && data.count - offset >= 4 ? word(offset) : nil
    }
}
