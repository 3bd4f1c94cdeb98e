/// All CPUs' records in the order of time; of equal times the CPU that comes first in the recording is first, as the
/// kernel and trace-cmd order them.
///
/// A heap over the streams' next records.
struct CPUMerge: ~Copyable {
    private struct Entry {
        var time: UInt64
        var stream: Int32

        @inline(__always)
        static func < (left: Entry, right: Entry) -> Bool {
            left.time != right.time ? left.time < right.time : left.stream < right.stream
        }
    }

    private let streams: ContiguousArray<CPUStream>
    private let heap: UnsafeMutablePointer<Entry>
    private var count = 0

    /// Reads the first record of each stream.
    init(_ streams: ContiguousArray<CPUStream>) throws(LogError) {
        self.streams = streams
        heap = .allocate(capacity: max(streams.count, 1))
        for index in streams.indices {
            guard try streams[index].advance() else { continue }
            (heap + count).initialize(to: Entry(time: streams[index].record.time, stream: Int32(index)))
            count += 1
            siftUp()
        }
    }

    deinit { heap.deallocate() }

    /// The CPU whose record is next; `nil` at the end.
    var top: CPUStream? { count > 0 ? streams[Int(heap[0].stream)] : nil }

    /// Steps over the next record.
    mutating func advance() throws(LogError) {
        guard count > 0 else { return }
        let stream = streams[Int(heap[0].stream)]
        if try stream.advance() {
            heap[0].time = stream.record.time
        } else {
            count -= 1
            heap[0] = heap[count]
        }
        siftDown()
    }

    private func siftUp() {
        var index = count - 1
        while index > 0, heap[index] < heap[(index - 1) / 2] {
            let parent = (index - 1) / 2
            let entry = heap[index]
            heap[index] = heap[parent]
            heap[parent] = entry
            index = parent
        }
    }

    private func siftDown() {
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < count else { return }
            if child + 1 < count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < heap[index] else { return }
            let entry = heap[index]
            heap[index] = heap[child]
            heap[child] = entry
            index = child
        }
    }
}
