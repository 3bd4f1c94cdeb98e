/// All CPUs' records in the order of time; of equal times the CPU that comes first in the recording is first, as the
/// kernel and trace-cmd order them.
struct CPUMerge: ~Copyable {
    private let streams: ContiguousArray<CPUStream>
    private var heap: TimeHeap<UInt64>

    /// Reads the first record of each stream.
    init(_ streams: ContiguousArray<CPUStream>) throws(LogError) {
        self.streams = streams
        heap = TimeHeap(capacity: streams.count)
        for index in streams.indices where try streams[index].advance() {
            heap.insert(index, at: streams[index].record.time)
        }
    }

    /// The CPU whose record is next; `nil` at the end.
    var top: CPUStream? { heap.first.map { streams[$0] } }

    /// Steps over the next record.
    mutating func advance() throws(LogError) {
        guard let stream = top else { return }
        heap.replaceFirst(try stream.advance() ? stream.record.time : nil)
    }
}
