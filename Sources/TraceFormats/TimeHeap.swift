/// Streams of records by the time of their next record; of equal times the stream with the lower number is first.
struct TimeHeap<Time: Comparable & BitwiseCopyable>: ~Copyable {
    private struct Entry: BitwiseCopyable {
        var time: Time
        var stream: Int32

        @inline(__always)
        static func < (left: Entry, right: Entry) -> Bool {
            left.time != right.time ? left.time < right.time : left.stream < right.stream
        }
    }

    private let entries: UnsafeMutablePointer<Entry>
    private var count = 0

    /// Room for so many streams.
    init(capacity: Int) { entries = .allocate(capacity: max(capacity, 1)) }

    deinit { entries.deallocate() }

    /// The stream whose record is next; `nil` if none has any.
    @inline(__always)
    var first: Int? { count > 0 ? Int(entries[0].stream) : nil }

    /// Adds a stream that is not in; no more than there is room for.
    mutating func insert(_ stream: Int, at time: Time) {
        (entries + count).initialize(to: Entry(time: time, stream: Int32(truncatingIfNeeded: stream)))
        count += 1
        var index = count - 1
        while index > 0, entries[index] < entries[(index - 1) / 2] {
            exchange(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    /// The first stream's next record is at this time; `nil` if it has no more.
    @inline(__always)
    mutating func replaceFirst(_ time: Time?) {
        guard count > 0 else { return }
        if let time {
            entries[0].time = time
        } else {
            count -= 1
            entries[0] = entries[count]
        }
        siftDown()
    }

    private func siftDown() {
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < count else { return }
            if child + 1 < count, entries[child + 1] < entries[child] { child += 1 }
            guard entries[child] < entries[index] else { return }
            exchange(index, child)
            index = child
        }
    }

    @inline(__always)
    private func exchange(_ left: Int, _ right: Int) {
        let entry = entries[left]
        entries[left] = entries[right]
        entries[right] = entry
    }
}
