/// The kernel's symbols as a recording carries them (`/proc/kallsyms`): which function an address is in.
struct KernelSymbols {
    private struct Entry {
        var address: UInt64
        var start: UInt32
        var count: UInt16
    }

    private let text: [UInt8]
    private var entries: ContiguousArray<Entry> = []

    /// No function is longer; an address that far from a symbol is in one that the recording does not name.
    private static let longestFunction: UInt64 = 64 << 10

    /// Kernels have a quarter of that, modules included.
    private static let mostSymbols = 1 << 20

    init() { text = [] }

    /// Reads `ffffffff81a2b3c0 T iommu_map` and so on; what is no such line is passed over.
    init(_ text: [UInt8]) {
        self.text = text
        var entries: ContiguousArray<Entry> = []
        text.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
            var cursor = ByteCursor(position: base, end: base + bytes.count)
            while !cursor.isAtEnd, entries.count < Self.mostSymbols {
                let lineStart = cursor.position
                _ = cursor.token(until: 10)
                var line = ByteCursor(position: lineStart, end: cursor.position)
                cursor.advance()
                guard let address = line.hexadecimal(), address != 0 else { continue }
                line.skipSpaces()
                line.advance()
                line.skipSpaces()
                let start = line.position
                while !line.isAtEnd, line.byte > UInt8(ascii: " ") { line.advance() }
                guard line.position > start, let place = UInt32(exactly: start - base) else { continue }
                entries.append(
                    Entry(address: address, start: place, count: UInt16(clamping: line.position - start)))
            }
        }
        // Modules follow the kernel, out of order. Of several names of one place the first stays the first.
        entries.sort { ($0.address, $0.start) < ($1.address, $1.start) }
        self.entries = entries
    }

    /// The name of the function that an address is in.
    func name(of address: UInt64) -> ArraySlice<UInt8>? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].address <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, address - entries[low - 1].address < Self.longestFunction else { return nil }
        var index = low - 1
        while index > 0, entries[index - 1].address == entries[low - 1].address { index -= 1 }
        let start = Int(entries[index].start)
        return text[start..<(start + Int(entries[index].count))]
    }
}
