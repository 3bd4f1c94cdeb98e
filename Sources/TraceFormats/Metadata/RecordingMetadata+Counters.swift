/// What was counted, and which devices share a group.
extension RecordingMetadata {
    private static func field(_ label: Substring) -> WritableKeyPath<CPUCounters, Int64?>? {
        switch label {
        case "entries": \.entries
        case "overrun": \.overrun
        case "commit overrun": \.commitOverrun
        case "dropped events": \.dropped
        case "read events": \.read
        default: nil
        }
    }

    /// `per_cpu/cpuN/stats` of one CPU or of several, one after the other, and lines of `kprobe_profile` among them.
    ///
    /// - Parameter cpu: the CPU of a file that does not say.
    /// - Returns: whether anything in it was taken.
    @discardableResult
    mutating func readCounters(_ text: MetadataText, cpu: Int64? = nil, source: String) -> Bool {
        var isOne = false
        var current = cpu.flatMap { Self.counters($0, source) }
        text.forEachLine { line in
            if let number = Self.cpu(named: line) {
                if let current { add(current) }
                current = Self.counters(number, source)
                isOne = true
                return
            }
            if let colon = line.lastIndex(of: ":"), let field = Self.field(line[..<colon]) {
                let text = line[line.index(after: colon)...].drop { $0 == " " }
                guard let count = MetadataText.count(text) else {
                    add(
                        .notRead, "\(source): \(line[..<colon]) \(text.prefix(32)) is no count that can be",
                        source: source)
                    return
                }
                current?[keyPath: field] = count
                isOne = isOne || current != nil
            } else if readProbe(line, source: source) {
                isOne = true
            }
        }
        if let current { add(current) }
        return isOne
    }

    private static func counters(_ cpu: Int64, _ source: String) -> CPUCounters? {
        (0..<mostCPUs).contains(cpu) ? CPUCounters(cpu: Int32(cpu), source: source) : nil
    }

    /// `CPU: 3`, `== /sys/kernel/tracing/per_cpu/cpu3`, `per_cpu/cpu3/stats:`
    private static func cpu(named line: String) -> Int64? {
        if line.hasPrefix("CPU: ") { return Int64(line.dropFirst(5)) }
        guard let name = line.split(separator: "/").first(where: { $0.hasPrefix("cpu") }), line.contains("per_cpu/cpu")
        else { return nil }
        return Int64(name.dropFirst(3).prefix { $0.isASCII && $0.isNumber })
    }

    /// `  unmap_fast                 12200               110`: hits and missed ones. Newer kernels have a third count.
    private mutating func readProbe(_ line: String, source: String) -> Bool {
        let words = line.split(separator: " ")
        guard (3...4).contains(words.count), words[0].utf8.count <= 128, words[0].first?.isNumber == false,
            let hits = MetadataText.count(words[1]), let missed = MetadataText.count(words[2]),
            words.count == 3 || MetadataText.count(words[3]) != nil
        else { return false }
        add(Probe(name: String(words[0]), hits: hits, missed: missed, source: source))
        return true
    }

    /// `kprobe_profile`
    @discardableResult
    mutating func readProbes(_ text: MetadataText, source: String) -> Bool {
        var isOne = false
        text.forEachLine { line in if readProbe(line, source: source) { isOne = true } }
        return isOne
    }

    /// Types of a group's default domain (`iommu_group_show_type()`).
    private static let groupTypes: Set<Substring> = [
        "DMA", "DMA-FQ", "identity", "auto", "blocked", "unmanaged", "unknown",
    ]

    /// Lines `N type device…`; a device may be followed by `=` and its driver.
    mutating func readGroups(_ text: MetadataText, source: String) -> Bool {
        var isOne = false
        text.forEachLine { line in
            let words = line.split(separator: " ")
            // Also as `grep . /sys/kernel/iommu_groups/*/type` prints it: `…/3/type:DMA`.
            if words.count == 1, let colon = line.lastIndex(of: ":") {
                let path = line[..<colon].split(separator: "/")
                let type = line[line.index(after: colon)...]
                guard path.count >= 2, path.last == "type", let number = Int64(path[path.count - 2]),
                    Self.groupTypes.contains(type)
                else { return }
                add(group: number, type: String(type), source: source)
                isOne = true
                return
            }
            guard words.count >= 2, let number = Int64(words[0]), Self.groupTypes.contains(words[1]) else { return }
            isOne = true
            let devices = words.dropFirst(2).compactMap { Self.device($0) }
            add(group: number, type: String(words[1]), devices: devices, source: source)
        }
        return isOne
    }

    private static func device(_ word: Substring) -> Device? {
        let parts = word.split(separator: "=", maxSplits: 1)
        guard let name = parts.first, name.utf8.count <= 128 else { return nil }
        return Device(name: String(name), driver: parts.count > 1 ? String(parts[1].prefix(64)) : nil)
    }

    /// `iommu_groups/N/type`
    mutating func readGroupType(_ line: String, group: Int64, source: String) -> Bool {
        guard Self.groupTypes.contains(line[...]) else { return false }
        add(group: group, type: line, source: source)
        return true
    }

    /// Takes away what a source said before.
    mutating func forget(_ key: Key, source: String) { removeFacts { $0.key == key && $0.source == source } }
}
